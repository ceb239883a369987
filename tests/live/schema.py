# SPDX-License-Identifier: Apache-2.0
"""Validates configs with the JSON Schema that `make install` leaves, as an editor does. The harness has each config validated that skymond
takes, so that the schema refuses nothing that works. Without python3-jsonschema nothing is validated; under CI test_schema.py fails then."""
import functools
import json
import os
import pathlib
import re

import yaml

try:
    import jsonschema
except ImportError:
    jsonschema = None

ROOT = pathlib.Path(os.environ.get("SKYMON_ROOT", pathlib.Path(__file__).resolve().parents[2] / "build" / "root"))
SCHEMA = ROOT / "share" / "skymon" / "skymon.schema.json"
COMPONENTS_MAX = 40  # of one config, so that one with thousands does not take longer than its test


class Loader(yaml.SafeLoader):
    """YAML 1.2 as editors read it: no `on` and `off`, no dates, no numbers of base 60."""


Loader.yaml_implicit_resolvers = {}
for tag, pattern, first in (("bool", "true|True|TRUE|false|False|FALSE", "tTfF"), ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
                            ("int", "[-+]?[0-9]+", "-+0123456789"), ("merge", "<<", "<"),
                            ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+0123456789.")):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first))
Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))


@functools.lru_cache(maxsize=None)
def validator(path):
    """Of the schema in that file."""
    return jsonschema.Draft202012Validator(json.loads(path.read_text()))


def ours(config, schema):
    """The config without plugins that the schema does not have (the tests' own), and without what is too much."""
    if not isinstance(config, dict):
        return config
    config = dict(config)
    known = schema["$defs"]["component"]["properties"]["plugin"]["anyOf"][0]["enum"]
    served = schema["properties"]["plugins"]["properties"]
    components = config.get("components")
    if isinstance(components, dict):
        kept = {name: component for name, component in components.items()
                if not isinstance(component, dict) or component.get("plugin", known[0]) in known or "${" in str(component["plugin"])}
        config["components"] = dict(list(kept.items())[:COMPONENTS_MAX])
    if isinstance(config.get("plugins"), dict):
        config["plugins"] = {name: value for name, value in config["plugins"].items() if name in served}
    return config


def complaints(path, text, all_of_it=False):
    """The errors that the schema finds in a config, each "place: sentence"."""
    schema = validator(path)
    config = yaml.load(text, Loader)  # noqa: S506
    if not all_of_it:
        config = ours(config, schema.schema)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in schema.iter_errors(config)]


@functools.lru_cache(maxsize=10000)
def expect_good_text(text):
    found = complaints(SCHEMA, text)
    assert found == [], f"skymond takes this config, and the schema of --config-schema refuses it: {found[:5]}"


def expect_good(file):
    """For a config that skymond has taken."""
    if jsonschema is not None and SCHEMA.is_file() and not os.environ.get("SKYMON_SANITIZED"):
        expect_good_text(file.read_text())

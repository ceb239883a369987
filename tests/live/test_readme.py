# SPDX-License-Identifier: Apache-2.0
"""The facts of README.md, against the programs: the ABI, the plugins, the routes, the reasons, the keys of the config."""
import re

from harness import ROOT, SOURCE, run_skymond, run_tool

README = (SOURCE / "README.md").read_text()
HEADER = (SOURCE / "sdk" / "include" / "skymon" / "plugin.h").read_text()
PLUGINS = sorted(path.stem for path in (ROOT / "lib" / "skymon" / "plugins").glob("*.so"))


def test_the_abi():
    major, minor = (re.search(rf"#define SKYMON_ABI_{part} (\d+)", HEADER)[1] for part in ("MAJOR", "MINOR"))
    assert re.findall(r"ABI is (\d+\.\d+)", README) == [f"{major}.{minor}"]
    assert f"(plugin ABI {major}.{minor})" in run_tool("--version").stdout
    assert f" *          {major}.{minor} (" in HEADER, "plugin.h says what its newest ABI changed"


def test_the_plugins():
    table = README[README.index("| plugin | watches |"):]
    table = table[:table.index("\n\n")]
    named = set(re.findall(r"`([a-z]+)`", " ".join(line.split("|")[1] for line in table.splitlines()[2:])))
    assert named == set(PLUGINS)


def test_the_routes():
    done = run_skymond("plugins: {prometheus: {}, grafana: {url: 'https://g', api_key: abcdefgh}}\n", "--list-routes")
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        path = line.split()[1]
        shown = [path, path.replace("{query...}", "…"), re.sub("^/api/v1/grafana(/dashboards)?/", "…/", path)]
        assert any(word in README for word in shown), path


def test_the_reasons():
    words = re.search(r"enum skymon_reason \{(.*?)\};", HEADER, re.S)[1]
    reasons = {word.strip().removeprefix("SKYMON_").lower() for word in words.replace("\n", " ").split(",")} - {"none", "reason_count", ""}
    text = re.search(r"in one word of a closed list: (.*?)\.\n", README, re.S)[1]
    assert {word.strip() for word in text.split(",")} == reasons


def test_the_keys_of_the_config():
    source = (SOURCE / "core" / "config" / "settings.c").read_text()
    keys = set(re.findall(r'"([a-z_]+)"', re.search(r"top_keys\[\] = \{(.*?)\};", source, re.S)[1]))
    manual = (SOURCE / "man" / "skymon.yaml.5").read_text()
    assert keys and all(re.search(rf"^\.It Cm .*\b{key}\b", manual, re.M) for key in keys), \
        {key for key in keys if not re.search(rf"^\.It Cm .*\b{key}\b", manual, re.M)}

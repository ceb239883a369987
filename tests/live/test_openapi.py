# SPDX-License-Identifier: Apache-2.0
"""GET /api/v1/openapi.json against the running daemon, by schemathesis: codes, content types, headers, schemas of answers, methods that are not there; and
that this would notice a wrong description."""
import json
import os
import subprocess
import sys

import jsonschema
import pytest

from harness import SLOW, SOURCE
from test_page import says
from test_workers import component

FOLDER = SOURCE / "build" / "schemathesis"
# A 503 that reports a status is not a fault of the server, and a parameter may ask for any code.
LEFT_OUT = "not_a_server_error,positive_data_acceptance"


def start(skymond, tmp_path):
    sm = skymond({"plugins": {"prometheus": {}, "page": {}}, "components": {
        "db": {**says(tmp_path, "db", "unhealthy broken"), "group": "payments"}, "fine": says(tmp_path, "fine", "healthy well"),
        "numbers": component("host", warn={"disk_free": "<1%"}), "later": component("t_file", path="")}})
    sm.wait_component("db", status="unhealthy")
    return sm


def run(sm, tmp_path, description, *more):
    if not FOLDER.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("schemathesis is missing, and under CI nothing is skipped")
        pytest.skip("schemathesis is missing")
    (tmp_path / "openapi.json").write_text(json.dumps(description))
    return subprocess.run([sys.executable, "-m", "schemathesis.cli", *more, "run", tmp_path / "openapi.json", "--url", sm.url, "--phases", "coverage,fuzzing",
                           "--exclude-checks", LEFT_OUT, "--max-examples", "15", "--seed", "1", "--no-color", "--generation-database", "none"],
                          capture_output=True, text=True, cwd=tmp_path, timeout=120 * SLOW, env={**os.environ, "PYTHONPATH": str(FOLDER), "HOME": str(tmp_path)})


def test_each_answer_is_as_described(skymond, tmp_path):
    sm = start(skymond, tmp_path)
    description = sm.get("/api/v1/openapi.json").json()
    lines = sm.get("/").json()["routes"]
    described = {(method.upper(), path) for path, item in description["paths"].items() for method in item}
    assert described == {(line["method"], line["path"].replace("...", "")) for line in lines}, "the route table, whole"
    ids = [operation["operationId"] for item in description["paths"].values() for operation in item.values()]
    assert len(set(ids)) == len(ids)
    done = run(sm, tmp_path, description)
    assert done.returncode == 0, done.stdout
    (tmp_path / "names.toml").write_text('[parameters]\ncomponent = ["db", "fine", "numbers", "later"]\ngroup = "payments"\n')
    done = run(sm, tmp_path, description, "--config-file", tmp_path / "names.toml")
    assert done.returncode == 0, done.stdout


def test_a_wrong_description_is_noticed(skymond, tmp_path):
    sm = start(skymond, tmp_path)
    description = sm.get("/api/v1/openapi.json").json()
    description["paths"] = {"/api/v1/alive": description["paths"]["/api/v1/alive"]}
    description["components"]["schemas"]["Alive"]["properties"]["timestamp"] = {"type": "integer"}
    done = run(sm, tmp_path, description)
    assert done.returncode == 1 and "timestamp" in done.stdout, done.stdout


def test_the_schemas_have_every_key(skymond, tmp_path):
    """A key that was added to an answer is added to core/daemon/openapi.json, too."""
    sm = start(skymond, tmp_path)
    description = sm.get("/api/v1/openapi.json").json()
    jsonschema.Draft202012Validator.check_schema(description["components"]["schemas"]["Everything"])

    def close(schema):
        for each in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
            close(each)
        if isinstance(schema, dict) and "properties" in schema and isinstance(schema["properties"], dict):
            schema["additionalProperties"] = False
    schemas = description["components"]["schemas"]
    close(schemas)
    for path, name in (("health", "Health"), ("health?group=payments", "Health"), ("health/db", "Component"), ("health/later", "Component"), ("health/numbers", "Component"),
                       ("status", "Everything"), ("ready", "Ready"), ("alive", "Alive"), ("health/nope", "Problem"), ("", "Index")):
        answer = sm.get(f"/api/v1/{path}" if path else "/").json()
        jsonschema.validate(answer, {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}, jsonschema.Draft202012Validator)

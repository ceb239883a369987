# SPDX-License-Identifier: Apache-2.0
"""POST /-/reload, `skymon reload` and what /status says of the config: what a reload changed, or why it was refused."""
import concurrent.futures
import copy
import json
import socket

import pytest

from harness import run_skymond, run_tool, wait_until
from test_workers import component


def base(**components):
    return {"plugins": {"prometheus": {}}, "components": {"a": component("t_ok"), "b": component("t_ok"), **components}}


def config_of(daemon, **options):
    return daemon.get("/api/v1/status", **options).json()["config"]


def test_what_a_reload_did(skymond):
    config = base()
    daemon = skymond(config)
    started = config_of(daemon)
    assert started == {"file": str(daemon.config), "loaded_at": started["loaded_at"], "last_reload": None}
    del config["components"]["b"]
    config["components"]["a"]["interval"] = "2s"
    config["components"]["c"] = component("t_ok")
    config["limits"] = {"idle_timeout": "70s"}
    daemon.write_config(config)
    answer = daemon.request("POST", "/-/reload")
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert body.pop("timestamp") and body == {
        "ok": True, "added": ["c"], "removed": ["b"], "changed": ["a"], "restart": ["limits.idle_timeout"]}
    assert daemon.get("/api/v1/health/b").status_code == 404
    daemon.wait_log("1 added (c), 1 removed (b), 1 changed (a)")
    now = config_of(daemon)
    assert now["loaded_at"] > started["loaded_at"] and now["last_reload"] == {"at": now["loaded_at"], "ok": True, "errors": []}
    assert 'path=/-/reload code=200 msg="1 added (c)' in daemon.wait_log("area=audit")
    again = daemon.request("POST", "/-/reload").json()
    assert [again[key] for key in ("added", "removed", "changed")] == [[], [], []]


@pytest.mark.parametrize("wrong,expected", [
    ({"intervall": "5s"}, "intervall"), ({"plugin": "t_nothing"}, "t_nothing"), ({"interval": "5 parsecs"}, "interval"), (None, "YAML")])
def test_a_refused_reload_has_the_lines_of_the_log(skymond, wrong, expected):
    config = base()
    daemon = skymond(config)
    before = config_of(daemon)
    bad = copy.deepcopy(config)
    bad["components"]["b"] |= wrong or {}
    bad["components"]["a"]["colour"] = "red"
    daemon.write_config(bad if wrong else "components: [\n")
    mark = daemon.log_mark()
    answer = daemon.request("POST", "/-/reload")
    body = answer.json()
    assert answer.status_code == 422 and answer.headers["Content-Type"] == "application/problem+json"
    assert len(body["errors"]) == (2 if wrong else 1) and body["detail"].endswith("the old one stays in force")
    assert any(expected in error for error in body["errors"]) or wrong is None
    daemon.wait_log("the old one stays in force", after=mark)
    lines = [line for line in daemon.log_lines()[mark:] if "area=config" in line]
    assert all(f'msg="{error[:90]}' in line for error, line in zip(body["errors"], lines, strict=True))  # the log escapes what comes later
    after = config_of(daemon)
    assert after["loaded_at"] == before["loaded_at"] and after["last_reload"]["ok"] is False
    assert after["last_reload"]["errors"] == body["errors"] and daemon.component("a")["name"] == "a"
    daemon.write_config(config)
    assert daemon.request("POST", "/-/reload").status_code == 200
    assert config_of(daemon)["last_reload"]["ok"] is True and config_of(daemon)["last_reload"]["errors"] == []


def test_each_request_waits_for_a_reload_that_began_after_it(skymond):
    """While one runs, those that come wait together for the next, which reads the file as it is then."""
    daemon = skymond(base())
    daemon.write_config(base(**{f"n{i}": component("t_ok") for i in range(3)}))
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = [each.result() for each in [pool.submit(daemon.request, "POST", "/-/reload") for _ in range(20)]]
    assert {each.status_code for each in answers} == {200}
    assert sorted(answers, key=lambda each: -len(each.json()["added"]))[0].json()["added"] == ["n0", "n1", "n2"]
    # a client that leaves, and a HUP in the same moment, cost nothing
    with socket.create_connection(("127.0.0.1", daemon.port)) as connection:
        connection.sendall(b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\n\r\n")
    daemon.hup()
    assert daemon.request("POST", "/-/reload").status_code == 200


def test_who_may_reload(skymond, tmp_path):
    (tmp_path / "token").write_text("0123456789abcdef\n")
    (tmp_path / "token").chmod(0o600)
    daemon = skymond(base())
    for headers in ({"X-Forwarded-For": "192.0.2.7"}, {"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        assert daemon.request("POST", "/-/reload", headers=headers).status_code == 403
    assert daemon.get("/-/reload").status_code == 405
    daemon.wait_log("path=/-/reload code=403")
    assert config_of(daemon)["last_reload"] is None
    guarded = skymond(base() | {"access": {"token": {"file": str(tmp_path / "token")}, "public": ["status"]}})
    assert guarded.request("POST", "/-/reload").status_code == 401
    bearer = {"Authorization": "Bearer 0123456789abcdef", "X-Forwarded-For": "192.0.2.7"}
    guarded.write_config("a: [")
    assert guarded.request("POST", "/-/reload", headers=bearer).status_code == 422
    assert config_of(guarded)["file"] == "" and config_of(guarded)["last_reload"]["errors"] == []
    assert config_of(guarded, headers=bearer)["last_reload"]["errors"]
    refused = run_tool("reload", "--url", guarded.url)
    assert refused.returncode == 3 and "--token-file" in refused.stderr
    assert run_tool("reload", "--url", guarded.url, "--token-file", tmp_path / "token").returncode == 1


def test_the_tool(skymond, tmp_path):
    path = tmp_path / "sock"
    daemon = skymond(base() | {"listen": [f"unix:{path}"]}, listen=None, wait=False)
    daemon.wait_log("started")
    changed = base(c=component("t_ok")) | {"listen": [f"unix:{path}"], "limits": {"idle_timeout": "70s"}}
    daemon.write_config(changed)
    done = run_tool("reload", "--url", f"unix:{path}")
    assert (done.returncode, done.stdout) == (0, "added    c\nrestart  limits.idle_timeout\nreloaded\n"), done.stderr
    changed["components"]["a"]["intervall"] = "1s"
    daemon.write_config(changed)
    done = run_tool("reload", "--url", f"unix:{path}")
    assert done.returncode == 1 and done.stdout.startswith(f"error    {daemon.config}:") and "1 error and is refused" in done.stderr
    done = run_tool("reload", "--url", f"unix:{path}", "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["status"] == 422
    assert run_tool("reload", "now").returncode == 2 and run_tool("reload", "--nothing").returncode == 2
    assert run_tool("reload", "--url", f"unix:{tmp_path}/none").returncode == 3


def test_probes_of_prometheus_manner(skymond, tmp_path):
    (tmp_path / "a").write_text("unhealthy")
    daemon = skymond({"components": {"a": component("t_file", path=str(tmp_path / "a"), impact="unhealthy")}})
    daemon.wait_component("a", status="unhealthy")
    assert daemon.get("/-/healthy").status_code == 200 and daemon.get("/-/healthy").json()["status"] == "alive"
    assert daemon.get("/-/ready").status_code == 503 and daemon.get("/-/ready").json()["reason"] == "unhealthy"
    assert daemon.request("HEAD", "/-/healthy").status_code == 200 and daemon.request("OPTIONS", "/-/ready").status_code == 503
    (tmp_path / "a").write_text("healthy")
    wait_until(lambda: daemon.get("/-/ready").status_code == 200, 10, "ready")


def test_aliases(skymond, tmp_path):
    (tmp_path / "a").write_text("unhealthy")
    config = {"aliases": ["healthz", "livez", "readyz"],
              "components": {"a": component("t_file", path=str(tmp_path / "a"), impact="unhealthy")}}
    daemon = skymond(config)
    daemon.wait_component("a", status="unhealthy")
    assert [daemon.get(f"/{path}").status_code for path in ("healthz", "livez", "readyz")] == [503, 200, 503]
    assert daemon.get("/healthz").json()["status"] == "unhealthy" and daemon.request("OPTIONS", "/livez").status_code == 200
    config["aliases"] = ["livez"]
    daemon.write_config(config)
    assert daemon.request("POST", "/-/reload").status_code == 200
    assert [daemon.get(f"/{path}").status_code for path in ("healthz", "livez", "readyz")] == [404, 200, 404]
    for wrong, said in ((["alivez"], "no such alias: `alivez`"), (["livez", "livez"], "/livez")):
        refused = run_skymond({**config, "aliases": wrong}, "--check-config")
        assert refused.returncode == 2 and said in refused.stderr and "skymond.yaml:" in refused.stderr

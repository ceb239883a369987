# SPDX-License-Identifier: Apache-2.0
"""apply, diff, check and export, by `skymon grafana` and by the routes behind it, before the small Grafana of the tests."""
import concurrent.futures
import copy
import json
import pathlib

import pytest

from grafana_server import GrafanaDouble
from harness import ROOT, SOURCE, run_tool

SHIPPED = SOURCE / "etc" / "grafana"
RULE = {"uid": "r1", "title": "One rule", "folderUID": "sky-genesis", "ruleGroup": "sky-genesis", "condition": "B", "for": "60m",
        "noDataState": "NoData", "execErrState": "Error", "labels": {"severity": "warning"}, "annotations": {},
        "data": [{"refId": "A", "queryType": "", "relativeTimeRange": {"from": 600, "to": 0}, "datasourceUid": "prometheus",
                  "model": {"refId": "A", "expr": "up", "instant": True, "range": False}},
                 {"refId": "B", "queryType": "", "relativeTimeRange": {"from": 600, "to": 0}, "datasourceUid": "__expr__",
                  "model": {"refId": "B", "type": "math", "expression": "$A > 1"}}]}
DASHBOARD = {"uid": "d1", "title": "One dashboard", "tags": ["a", "b/c"], "schemaVersion": 36, "refresh": "", "panels": [
    {"id": 1, "title": "A panel", "type": "stat", "options": {"ratio": 1.0, "tiny": 0.1}, "targets": [{"expr": "up", "refId": "A"}]}]}
SOURCE_FILE = {"uid": "prometheus", "name": "Sky Genesis Prometheus", "type": "prometheus", "access": "proxy",
               "url": "http://prometheus:9090", "jsonData": {"timeInterval": "30s"}}


@pytest.fixture
def grafana():
    with GrafanaDouble() as double:
        yield double


@pytest.fixture
def content(tmp_path):
    """A content folder with a data source, a dashboard and a rule."""
    folder = tmp_path / "content"
    for name, text in (("datasource", SOURCE_FILE), ("dashboards/one", DASHBOARD), ("rules/one", RULE)):
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(text))
    return folder


class Broker:
    """A skymond with the plugin, and the tool that asks it."""

    def __init__(self, start, grafana, folder, role, **options):
        self.grafana, self.key_file = grafana, folder / "key"
        self.new_key(role)
        self.sm = start({"plugins": {"grafana": {"url": grafana.url, "api_key": {"file": str(self.key_file)}, "interval": "1s",
                                                 **options}}})
        self.sm.wait_component("grafana", status="healthy" if role else "unhealthy")
        grafana.requests.clear()

    def new_key(self, role):
        self.key = self.grafana.add_key(role) if role else "glsa_nobody"
        self.key_file.write_text(self.key + "\n")
        self.key_file.chmod(0o600)

    def tool(self, *words, code=0, **options):
        done = run_tool("grafana", *words, "--url", self.sm.url, **options)
        assert done.returncode == code, done
        assert self.key not in done.stdout + done.stderr
        return done

    def lines(self, *words, code=0):
        return self.tool(*words, code=code).stdout.splitlines()

    def written(self):
        return [(request.method, request.path) for request in self.grafana.requests if request.method != "GET"]

    def apply(self):
        return self.sm.request("POST", "/api/v1/grafana/apply", json={}, timeout=40)


@pytest.fixture
def broker(skymond, grafana, tmp_path, content):
    def start(role="admin", **options):
        options.setdefault("content", str(content))
        return Broker(skymond, grafana, tmp_path, role, **options)
    return start


def results(answer):
    return {(item["kind"], item["uid"]): item["result"] for item in answer.json()["items"]}


# ---- All that ships ----

@pytest.mark.asan
def test_all_that_ships_is_applied_once(broker, grafana):
    """With the installed files: what is applied is there and works, and a second run changes nothing."""
    one = broker(content=str(ROOT / "share" / "skymon" / "grafana"))
    lines = one.lines("diff", code=1)
    files = [json.loads(path.read_text()) for path in sorted(SHIPPED.rglob("*.json"))]
    assert len(lines) == len(files) + 1 > 6 and all(line.startswith("missing ") for line in lines)
    assert one.written() == []

    lines = one.lines("apply")
    assert lines[-1] == f"{len(files) + 1} created, 0 updated, 0 unchanged, 0 failed"
    assert {line.split()[0] for line in lines[:-1]} == {"created"} and len(lines) == len(files) + 2
    assert grafana.folders["sky-genesis"]["title"] == "Sky Genesis" and grafana.datasources["prometheus"]["isDefault"]
    shipped = {kind: [json.loads(path.read_text())["uid"] for path in (SHIPPED / kind).glob("*.json")] for kind in ("dashboards", "rules")}
    assert set(grafana.dashboards) == set(shipped["dashboards"]) and set(grafana.rules) == set(shipped["rules"])
    for uid, dashboard in grafana.dashboards.items():
        assert dashboard["folder"] == "sky-genesis"
        assert [wrong for _, _, wrong in grafana.panel_sources(uid) if wrong] == []
    for uid, rule in grafana.rules.items():
        assert grafana.resolves(uid) == [] and "provenance" not in rule, uid

    before = copy.deepcopy((grafana.dashboards, grafana.rules, grafana.datasources, grafana.folders))
    grafana.requests.clear()
    lines = one.lines("apply")
    assert lines[-1] == f"nothing changed: 0 created, 0 updated, {len(files) + 1} unchanged, 0 failed"
    assert {line.split()[0] for line in one.lines("diff")} == {"unchanged"}
    assert one.written() == [] and before == (grafana.dashboards, grafana.rules, grafana.datasources, grafana.folders)
    assert (one.apply().status_code, one.apply().json()["changed"]) == (200, 0)
    assert one.sm.get("/api/v1/grafana/diff").json()["changed"] == 0
    one.tool("check")


def test_the_url_of_prometheus_is_an_option(broker, grafana):
    broker(prometheus_url="http://127.0.0.1:9191").tool("apply")
    assert grafana.datasources["prometheus"]["url"] == "http://127.0.0.1:9191"


# ---- Differences ----

def test_what_was_changed_is_found_and_mended(broker, grafana):
    one = broker()
    one.tool("apply")
    model = grafana.dashboards["d1"]["model"]
    model["panels"][0]["title"] = "Renamed"
    model["tags"][1] = "else"
    del model["panels"][0]["options"]["tiny"]
    model["panels"][0]["targets"].append({"expr": "up", "refId": "B"})
    model["editable"] = False  # not ours
    model["panels"][0]["options"]["ratio"] = 1  # as Grafana's own programs write 1.0
    grafana.rules["r1"]["data"][0]["model"]["expr"] = "vector(1)"
    grafana.rules["r1"]["for"] = "5m"
    grafana.dashboards["d1"]["folder"] = ""
    items = {item["uid"]: item for item in one.sm.get("/api/v1/grafana/diff").json()["items"]}
    assert set(items["d1"]["differences"]) == {"/tags/1", "/panels/0/title", "/panels/0/options/tiny", "/panels/0/targets", "/folderUid"}
    assert set(items["r1"]["differences"]) == {"/for", "/data/0/model/expr"}
    assert items["prometheus"] == {"kind": "datasource", "uid": "prometheus", "title": "Sky Genesis Prometheus", "result": "unchanged",
                                   "message": "", "differences": []}
    lines = one.lines("diff", code=1)
    assert any(line.startswith("different dashboard  d1") and "/panels/0/title" in line for line in lines), lines
    version = model["version"]
    assert results(one.apply())[("dashboard", "d1")] == "updated"
    assert grafana.dashboards["d1"]["model"]["panels"] == DASHBOARD["panels"] and grafana.dashboards["d1"]["folder"] == "sky-genesis"
    assert grafana.dashboards["d1"]["model"]["version"] == version + 1 and grafana.rules["r1"]["for"] == "1h"
    assert grafana.rules["r1"]["data"][0]["model"]["expr"] == "up"
    one.tool("diff")


def test_a_key_with_a_slash_is_escaped_and_all_differences_are_listed(broker, grafana, content):
    many = {f"a/b~{i}": i for i in range(50)}
    (content / "dashboards" / "one.json").write_text(json.dumps({**DASHBOARD, "links": many}))
    one = broker()
    one.tool("apply")
    grafana.dashboards["d1"]["model"]["links"] = {}
    differences = next(item for item in one.sm.get("/api/v1/grafana/diff").json()["items"] if item["uid"] == "d1")["differences"]
    assert len(differences) == 50 and differences[0] == "/links/a~1b~00"


def test_what_users_set_in_the_data_source_stays(broker, grafana):
    one = broker()
    one.tool("apply")
    source = grafana.datasources["prometheus"]
    source.update(name="My Prometheus", url="http://elsewhere:9090", basicAuth=True, basicAuthUser="me", isDefault=False)
    source["jsonData"].update(httpMethod="GET", timeInterval="5s")
    source["secureJsonFields"] = {"basicAuthPassword": True}
    items = {item["uid"]: item for item in one.sm.get("/api/v1/grafana/diff").json()["items"]}
    assert set(items["prometheus"]["differences"]) == {"/url", "/jsonData/timeInterval"}
    assert results(one.apply())[("datasource", "prometheus")] == "updated"
    source = grafana.datasources["prometheus"]
    assert (source["name"], source["url"], source["basicAuth"], source["basicAuthUser"], source["isDefault"]) == (
        "My Prometheus", "http://prometheus:9090", True, "me", False)
    assert source["jsonData"] == {"httpMethod": "GET", "timeInterval": "30s"}
    body = next(request.json for request in grafana.requests if request.method == "PUT")
    assert "secureJsonData" not in body  # so Grafana keeps what it has
    assert source["secureJsonFields"] == {"basicAuthPassword": True}
    one.tool("diff")


def test_another_default_stays_the_default(broker, grafana):
    one = broker()
    other = one.sm.request("POST", "/api/v1/grafana/datasources", json={"name": "mine", "type": "loki", "url": "http://loki:3100"})
    assert other.status_code == 200, other.text
    grafana.datasources[other.json()["datasource"]["uid"]]["isDefault"] = True
    one.tool("apply")
    assert not grafana.datasources["prometheus"]["isDefault"]


def test_a_dashboard_changed_in_between_is_not_overwritten(broker, grafana):
    """Grafana's version goes along with the write, and a newer one wins."""
    one = broker()
    one.tool("apply")
    grafana.dashboards["d1"]["model"]["title"] = "Renamed"
    one.tool("apply")
    body = next(request.json for request in reversed(grafana.requests) if request.path == "/api/dashboards/db")
    assert body["overwrite"] is False and body["dashboard"]["version"] == 1 and "id" not in body["dashboard"]


# ---- What fails ----

def failed(answer, uid):
    item = next(item for item in answer.json()["items"] if item["uid"] == uid)
    assert item["result"] == "failed", item
    return item["message"]


def test_names_that_others_hold(broker, grafana):
    """Each fails with its sentence, the rest is applied, and nothing of the others is touched."""
    one = broker()
    assert one.sm.request("POST", "/api/v1/grafana/datasources", timeout=20, json={
        "name": "Sky Genesis Prometheus", "type": "prometheus", "url": "http://x:1", "uid": "other-source"}).status_code == 200
    assert one.sm.request("POST", "/api/v1/grafana/dashboards", timeout=20, json={
        "dashboard": {"title": "One dashboard", "uid": "other-dash", "panels": []}}).status_code == 200
    one.apply()
    grafana.dashboards["other-dash"]["folder"] = "sky-genesis"
    grafana.dashboards.pop("d1")
    grafana.rules["r2"] = {**grafana.rules.pop("r1"), "uid": "r2"}
    before = copy.deepcopy((grafana.dashboards, grafana.rules, grafana.datasources))
    answer = one.apply()
    assert answer.status_code == 409 and answer.json()["failed"] == 3 and answer.json()["changed"] == 0
    assert "other-source" in failed(answer, "prometheus") and "One dashboard" in failed(answer, "d1")
    assert "One rule" in failed(answer, "r1") and "3 of 4 items failed" in answer.json()["detail"]
    assert before == (grafana.dashboards, grafana.rules, grafana.datasources)
    lines = one.lines("apply", code=1)
    assert lines[-1] == "nothing changed: 0 created, 0 updated, 1 unchanged, 3 failed"
    assert sum(line.startswith("failed ") for line in lines) == 3


def test_the_uid_is_that_of_another_type(broker, grafana):
    one = broker()
    one.tool("apply")
    grafana.datasources["prometheus"]["type"] = "loki"
    answer = one.apply()
    assert answer.status_code == 409 and "loki" in failed(answer, "prometheus")
    assert one.tool("diff", code=2).stdout


def test_a_data_source_that_grafana_has_from_a_file(broker, grafana):
    one = broker()
    one.tool("apply")
    grafana.datasources["prometheus"].update(readOnly=True)
    one.tool("apply")  # nothing differs
    grafana.datasources["prometheus"].update(url="http://elsewhere:1")
    answer = one.apply()
    assert answer.status_code == 409 and "from a file" in failed(answer, "prometheus")


def test_a_folder_of_our_title_is_used(broker, grafana):
    one = broker()
    one.tool("apply")
    folder = grafana.folders.pop("sky-genesis")
    grafana.folders["by-hand"] = {**folder, "uid": "by-hand"}
    grafana.dashboards.clear()
    grafana.rules.clear()
    lines = one.lines("apply")
    assert any("by-hand" in line and line.startswith("unchanged folder") for line in lines), lines
    assert set(grafana.folders) == {"by-hand"} and grafana.dashboards["d1"]["folder"] == "by-hand"
    assert grafana.rules["r1"]["folderUID"] == "by-hand" and grafana.resolves("r1") == []
    one.tool("diff")


def test_bad_files_are_named_and_keep_nothing_else(broker, grafana, content):
    (content / "dashboards" / "again.json").write_text(json.dumps(DASHBOARD))  # before one.json
    (content / "dashboards" / "broken.json").write_text('{\n "uid": ]')
    (content / "rules" / "big.json").write_bytes(b" " * (2 << 20))
    (content / "rules" / "folder.json").write_text(json.dumps({**RULE, "uid": "r3", "folderUID": "elsewhere"}))
    (content / "rules" / "list.json").write_text("[]")
    (content / "rules" / "uid.json").write_text(json.dumps({**RULE, "uid": "a b"}))
    (content / "rules" / "note.txt").write_text("no rule")
    one = broker()
    answer = one.apply()
    assert answer.status_code == 500 and answer.json()["failed"] == 6, answer.text
    said = {item["title"]: item["message"] for item in answer.json()["items"] if item["result"] == "failed"}
    for name, words in {"dashboards/one.json": "again.json", "dashboards/broken.json": "line 2", "rules/big.json": "larger",
                        "rules/folder.json": "folderUID", "rules/list.json": "object", "rules/uid.json": "uid"}.items():
        assert words in said[name] and name in said[name], said
    assert set(grafana.rules) == {"r1"} and set(grafana.dashboards) == {"d1"} and "prometheus" in grafana.datasources


def test_rules_are_judged_and_completed_as_posted_ones(broker, grafana, content):
    short = {key: RULE[key] for key in ("title", "condition", "data")}
    short = copy.deepcopy({**short, "uid": "short", "title": "Short", "for_duration": "90s"})
    short["data"][0]["datasourceUid"] = "Sky Genesis Prometheus"  # its name will do
    lost = copy.deepcopy({**RULE, "uid": "lost", "title": "Lost"})
    lost["data"][0]["datasourceUid"] = "nowhere"
    for name, rule in (("short", short), ("lost", lost), ("bad", {**RULE, "uid": "bad", "title": "Bad", "condition": "Z"})):
        (content / "rules" / f"{name}.json").write_text(json.dumps(rule))
    one = broker()
    items = {item["title"]: item for item in one.sm.get("/api/v1/grafana/diff").json()["items"]}
    assert items["rules/bad.json"]["result"] == "failed" and items["Short"]["result"] == "missing" == items["Lost"]["result"]
    answer = one.apply()
    items = {item["title"]: item for item in answer.json()["items"]}
    assert answer.status_code == 500 and answer.json()["failed"] == 2  # the first is the file that is bad
    assert "/condition" in items["rules/bad.json"]["message"] and "nowhere" in items["Lost"]["message"]
    assert set(grafana.rules) == {"r1", "short"} and grafana.resolves("short") == []
    assert (grafana.rules["short"]["for"], grafana.rules["short"]["noDataState"]) == ("1m30s", "NoData")
    (content / "rules" / "bad.json").unlink()
    answer = one.apply()
    assert answer.status_code == 422 and answer.json()["changed"] == 0 and answer.json()["failed"] == 1
    (content / "rules" / "lost.json").unlink()
    one.tool("diff")


def test_what_is_never_evaluated_fails(broker, grafana, content):
    """For who only looks, too, once the data source is there to tell of its type."""
    path = content / "rules" / "one.json"
    series = copy.deepcopy(RULE)
    series["data"][0]["model"] = {"expr": "up"}
    path.write_text(json.dumps(series))
    one = broker()
    assert results(one.sm.get("/api/v1/grafana/diff"))[("rule", "r1")] == "missing"
    answer = one.apply()
    assert answer.status_code == 422 and "time series of A" in failed(answer, "r1") and not grafana.rules
    answer = one.sm.get("/api/v1/grafana/diff")
    assert answer.status_code == 422 and "time series of A" in failed(answer, "r1")
    one.tool("diff", code=2)


@pytest.mark.parametrize("code, words", [(500, "a conflicting alert rule is found: rule title …"), (409, "conflict"),
                                         (400, "rule title under the same organisation and folder should be unique")])
def test_a_title_that_another_rule_has(broker, grafana, code, words):
    """Versions of Grafana tell it in their ways."""
    one = broker()
    grafana.fail("POST", "^/api/v1/provisioning/alert-rules", "status", code=code, body={"message": words})
    answer = one.apply()
    assert answer.status_code == 409 and failed(answer, "r1").startswith("another rule in the folder has the title One rule")


@pytest.mark.parametrize("wanted, there", [("60m", "1h"), ("7d", "1w"), ("0", "0s"), ("5m", "5m")])
def test_the_same_time_in_other_words(broker, grafana, content, wanted, there):
    (content / "rules" / "one.json").write_text(json.dumps({**RULE, "for": wanted}))
    one = broker()
    one.tool("apply")
    assert grafana.rules["r1"]["for"] == there
    one.tool("diff")


def test_no_content(broker, tmp_path):
    one = broker(content=str(tmp_path / "nowhere"))
    done = one.tool("apply", code=1)
    assert "nowhere" in done.stderr and "content" in done.stderr and not done.stdout
    assert "nowhere" in one.tool("diff", code=2).stderr


def test_grafana_down(broker, grafana):
    one = broker()
    grafana.stop()
    done = one.tool("apply", code=1)
    lines = done.stdout.splitlines()
    assert "refused" in lines[0] and lines[0].startswith("failed    folder") and all("not tried" in line for line in lines[1:-1])
    assert lines[-1] == "nothing changed: 0 created, 0 updated, 0 unchanged, 4 failed"
    assert one.apply().status_code == 503
    one.tool("diff", code=2)
    lines = one.lines("check", code=1)
    assert len(lines) == 1 and lines[0].startswith("FAILED reachable: ") and "refused" in lines[0]
    done = one.tool("export", "d1", code=1)
    assert done.stderr.startswith("skymon grafana: ") and "refused" in done.stderr
    grafana.start()
    assert one.lines("apply")[-1].startswith("4 created")


@pytest.mark.parametrize("method, path, kind, options, code, words", [
    ("POST", "^/api/folders", "status", {"code": 500, "body": {"message": "disk full"}}, 502, "disk full"),
    ("GET", "^/api/dashboards/uid/", "html", {}, 502, "HTML"),
    ("POST", "^/api/dashboards/db", "reset", {}, 502, ""),
    ("POST", "^/api/dashboards/db", "reset", {"done": True}, 502, "may have been done"),
    ("POST", "^/api/v1/provisioning/alert-rules", "half", {}, 502, ""),
    ("GET", "^/api/datasources", "redirect", {"location": "http://127.0.0.1:1/"}, 502, "redirect"),
    ("PUT", "^/api/datasources/uid", "status", {"code": 409, "body": {"message": "changed meanwhile"}}, 409, "changed meanwhile"),
])
def test_faults_pass_and_apply_completes_later(broker, grafana, method, path, kind, options, code, words):
    one = broker()
    one.apply()
    grafana.datasources["prometheus"]["url"] = "http://x:1"
    grafana.folders.clear()
    grafana.dashboards.clear()
    grafana.rules.clear()
    fault = grafana.fail(method, path, kind, **options)
    answer = one.apply()
    assert answer.status_code == code, answer.text
    assert fault.hits and words in answer.json()["detail"] and answer.json()["failed"] >= 1
    grafana.heal()
    assert one.lines("apply")[-1].endswith(" 0 failed")
    one.tool("diff")
    assert (len(grafana.dashboards), len(grafana.rules), len(grafana.datasources), len(grafana.folders)) == (1, 1, 1, 1)


def test_two_at_once_do_no_harm(broker, grafana):
    one = broker()
    grafana.fail("GET", "^/api/folders", "slow", seconds=0.3)  # both would look before either writes
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: one.apply(), range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4, [answer.text for answer in answers]
    assert sorted(answer.json()["changed"] for answer in answers) == [0, 0, 0, 4]
    assert all(request.status < 400 for request in grafana.requests if request.method == "POST")


# ---- Keys ----

def checks(one, code):
    lines = one.lines("check", code=code)
    return {line.split(":")[0] if not line[7:].startswith("permission ") else line.split(": ")[0]: line for line in lines}


def test_check_with_an_admin_key(broker):
    one = broker()
    found = checks(one, 1)
    assert "skymon grafana apply" in found["FAILED datasource"]
    assert [name for name in found if name.startswith("FAILED")] == ["FAILED datasource"]
    assert "Grafana 9.2.0" in found["ok     reachable"] and "Main Org." in found["ok     key"]
    one.tool("apply")
    found = checks(one, 0)
    assert "Sky Genesis Prometheus asks prometheus:9090" in found["ok     datasource"]
    assert sum("permission " in name for name in found) == 11
    answer = one.sm.get("/api/v1/grafana/check").json()
    assert answer["ok"] is True and answer["checks"][0]["name"] == "reachable"


def test_check_with_less(broker, grafana):
    one = broker("editor")
    found = checks(one, 1)
    for name in ("datasources:create", "datasources:write", "alert.provisioning:read", "alert.provisioning:write"):
        assert f"FAILED permission {name}" in found
    assert "ok     permission dashboards:create" in found and "ok     permission folders:create" in found
    one.new_key("viewer")
    one.sm.hup()
    one.grafana.fail("GET", "^/api/org$", "status", code=401, body={"message": "invalid API key"}, times=1)  # read it again
    found = checks(one, 1)
    for name in ("dashboards:create", "dashboards:write", "dashboards:delete", "folders:create", "datasources:create"):
        assert f"FAILED permission {name}" in found
    assert "ok     permission datasources:read" in found


def test_a_grafana_that_tells_no_permissions(broker, grafana):
    one = broker()
    grafana.fail("GET", "^/api/access-control/", "status", code=404, body={"message": "Not found"})
    one.tool("apply")
    found = checks(one, 0)
    assert "not known" in found["ok     permissions"] and not any("datasources:write" in name for name in found)
    assert "ok     permission alert.provisioning:read" in found
    one.new_key("viewer")
    one.sm.hup()
    grafana.fail("GET", "^/api/org$", "status", code=401, body={"message": "invalid API key"}, times=1)
    found = checks(one, 1)
    assert "FAILED permission alert.provisioning:read" in found and "ok     permission datasources:read" in found


def test_apply_with_an_editor_key(broker, grafana):
    """Dashboards are what it may write."""
    one = broker("editor")
    answer = one.apply()
    assert answer.status_code == 403 and answer.json()["upstream_status"] == 403
    assert results(answer) == {("folder", "sky-genesis"): "created", ("datasource", "prometheus"): "failed",
                               ("dashboard", "d1"): "created", ("rule", "r1"): "failed"}
    assert "datasources:" in failed(answer, "prometheus") and "alert.provisioning:" in failed(answer, "r1")
    answer = one.apply()
    assert (results(answer)[("folder", "sky-genesis")], results(answer)[("dashboard", "d1")]) == ("unchanged", "unchanged")


def test_a_wrong_key(broker, grafana):
    one = broker(None)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:  # each waits until the key may be read again
        diff, export = pool.submit(one.tool, "diff", code=2), pool.submit(one.tool, "export", "d1", code=1)
        check, apply = pool.submit(one.lines, "check", code=1), pool.submit(one.apply)
    assert check.result()[0].startswith("ok ") and check.result()[1].startswith("FAILED key: ") and len(check.result()) == 2
    answer = apply.result()
    assert answer.status_code == 502 and "key" in answer.json()["detail"] and answer.json()["failed"] == 4
    assert "not tried" in diff.result().stdout and "key" in export.result().stderr
    assert one.key not in one.sm.log_text()


@pytest.mark.parametrize("words", ["apply", "diff", "check"])
def test_a_key_that_was_replaced(broker, grafana, content, words):
    """It is met in the middle, when something has failed already: all is done once more with the new one."""
    one = broker()
    one.tool("apply")
    (content / "datasource.json").write_text("{")
    grafana.fail("GET", "^/api/folders", "status", code=500, times=1)
    old = one.key
    one.new_key("admin")
    grafana.revoke(old)
    if words == "check":
        one.tool("check")
    else:
        done = one.tool(words, code=2 if words == "diff" else 1)
        assert "datasource.json" in done.stdout and "not tried" not in done.stdout, done.stdout
        assert sum(line.startswith("unchanged ") for line in done.stdout.splitlines()) == 3


def test_a_token_for_writes(broker, tmp_path):
    token = tmp_path / "token"
    token.write_text("hunter2hunter2hunter2\n")
    token.chmod(0o600)
    one = broker(write_access="token", access_token={"file": str(token)})
    done = one.tool("apply", code=1)
    assert "access_token" in done.stderr and not one.written()
    one.tool("diff", code=1)  # reads are for loopback
    assert "4 created" in one.tool("apply", "--token-file", token).stdout


# ---- Export ----

def test_export_and_import(broker, grafana, content):
    one = broker()
    one.tool("apply")
    text = one.tool("export", "d1").stdout
    exported = json.loads(text)
    assert "id" not in exported and "version" not in exported and exported["uid"] == "d1"
    assert text.startswith('{\n  "') and "0.1\n" in text
    assert {key: exported[key] for key in DASHBOARD} == DASHBOARD
    (content / "dashboards" / "one.json").write_text(text)
    one.tool("diff")  # it is what is there
    kept = copy.deepcopy(grafana.dashboards.pop("d1")["model"])
    one.tool("apply")
    again = grafana.dashboards["d1"]["model"]
    assert {**again, "id": 0, "version": 0} == {**kept, "id": 0, "version": 0}
    assert one.tool("export", "d1").stdout == text
    done = one.tool("export", "nosuch", code=1)
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1 and "nosuch" in done.stderr


def test_every_shipped_dashboard_is_what_export_prints(broker):
    """So that a file that was edited in Grafana can be put back by export."""
    one = broker(content=str(SHIPPED))
    one.tool("apply")
    for path in sorted((SHIPPED / "dashboards").glob("*.json")):
        shipped = json.loads(path.read_text())
        assert shipped.pop("id", None) is None  # as Grafana's own files have it
        assert json.loads(one.tool("export", shipped["uid"]).stdout) == shipped, path.name


def test_installed_content_is_that_of_the_tree():
    installed = ROOT / "share" / "skymon" / "grafana"
    names = sorted(path.relative_to(SHIPPED) for path in SHIPPED.rglob("*.json"))
    assert names and names == sorted(path.relative_to(installed) for path in installed.rglob("*.json"))
    assert all((installed / name).read_bytes() == (pathlib.Path(SHIPPED) / name).read_bytes() for name in names)

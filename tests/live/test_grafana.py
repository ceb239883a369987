# SPDX-License-Identifier: Apache-2.0
"""The broker: what each route does to a Grafana, the examples as pasted, what is refused before Grafana sees it, and that nothing is
there twice. Who may ask, and where Grafana is: test_grafana_access.py; faults of Grafana itself: test_grafana_faults.py; apply, diff and
check: test_grafana_apply.py."""
import concurrent.futures
import json
import re
import subprocess

import pytest

from grafana_server import GrafanaDouble
from harness import need, wait_until
from openbao import OpenBao
from test_secrets import grep

BASE = "/api/v1/grafana"
SOURCE = {"name": "Sky Genesis Prometheus", "type": "prometheus", "url": "http://prometheus:9090", "access": "proxy"}
PANEL = {"title": "Active Connections", "type": "graph", "targets": [
    {"expr": 'sky_genesis_active_connections{service="api"}', "legendFormat": "Active Connections"}]}
DASHBOARD = {"title": "Sky Genesis System Health", "tags": ["sky-genesis", "health"], "timezone": "browser", "panels": [PANEL],
             "time": {"from": "now-1h", "to": "now"}, "refresh": "30s"}
RANGE = {"from": 600, "to": 0}
RULE = {"title": "High Error Rate", "condition": "C", "data": [
    {"refId": "A", "queryType": "", "relativeTimeRange": RANGE, "datasourceUid": "prometheus",
     "model": {"expr": 'sky_genesis_error_rate_percent{service="api"}', "legendFormat": "__auto"}},
    {"refId": "B", "queryType": "", "relativeTimeRange": RANGE, "datasourceUid": "__expr__",
     "model": {"type": "reduce", "expression": "A", "reducer": "mean"}},
    {"refId": "C", "queryType": "", "relativeTimeRange": RANGE, "datasourceUid": "__expr__",
     "model": {"type": "threshold", "expression": "B", "conditions": [
         {"evaluator": {"params": [5], "type": "gt"}, "operator": {"type": "and"}, "query": {"params": ["C"]},
          "reducer": {"params": [], "type": "last"}, "type": "query"}]}}],
    "no_data_state": "NoData", "exec_err_state": "Error", "for_duration": "5m"}


@pytest.fixture
def grafana():
    with GrafanaDouble() as double:
        yield double


class Broker:
    """A skymond before a double, with a key in its config."""

    def __init__(self, start, grafana, role, top=None, **options):
        self.grafana, self.key = grafana, grafana.add_key(role)
        self.sm = start({**(top or {}), "plugins": {"grafana": {"url": grafana.url, "api_key": self.key, "interval": "300ms",
                                                              "timeout": "2s", **options}}})

    def ask(self, method, path, body=None, code=None, **options):
        if body is not None:
            options["json"] = body
        answer = self.sm.request(method, BASE + path, **options)
        assert code is None or answer.status_code == code, answer.text
        return answer

    def refused(self, method, path, body, code, pointer=None, *words):
        """It is a problem with this code, that names the field; nothing was written."""
        before = len(self.written())
        found = self.ask(method, path, body, code).json()
        assert found["status"] == code and found["error"] == found["detail"], found
        assert found.get("pointer") == pointer and all(word in found["detail"] for word in words), found
        assert pointer is None or found["detail"].startswith(pointer + " ")
        assert len(self.written()) == before
        return found

    def written(self):
        return [(request.method, request.path) for request in list(self.grafana.requests) if request.method != "GET"]


@pytest.fixture
def broker(skymond, grafana):
    return lambda role="admin", **options: Broker(skymond, grafana, role, **options)


# ---- The examples ----

def pasted(path, body, port):
    """The example's command, with a host name that leads here."""
    command = (f"curl -s -w '\\n%{{http_code}}' --connect-to your-api-server:8080:127.0.0.1:{port} -X POST "
               f"http://your-api-server:8080{BASE}{path} \\\n  -H \"Content-Type: application/json\" \\\n  -d '{json.dumps(body, indent=2)}'")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=20)
    text, _, code = done.stdout.rpartition("\n")
    return int(code), json.loads(text)


@pytest.mark.asan
def test_the_three_examples_twice(skymond, grafana):
    """On an empty Grafana, in order, with the key from a real OpenBao: the rule resolves, the panel reaches its data source; the second
    time nothing changes, and each says what is there."""
    need("curl")
    bao = OpenBao()
    try:
        key = grafana.add_key("admin")
        bao.put("grafana/api_key", key=key)
        sm = skymond({"server_names": ["your-api-server"], "plugins": {"grafana": {"url": grafana.url}},
                      "components": {"vault": {"plugin": "vault", "address": bao.url, "token": bao.token}}})
        sm.wait_component("grafana", status="healthy")
        examples = [("/datasources", SOURCE, 200), ("/dashboards", {"dashboard": DASHBOARD, "overwrite": False}, 200), ("/alerts", RULE, 201)]
        for path, body, code in examples:
            assert pasted(path, body, sm.port)[0] == code
        rule, = grafana.rules.values()
        assert grafana.resolves(rule) == [] and grafana.org.rules.visible("sky-genesis", "sky-genesis") == [rule]
        assert (rule["folderUID"], rule["orgID"], rule["for"], rule["noDataState"], rule["execErrState"]) == (
            "sky-genesis", 1, "5m", "NoData", "Error")
        assert "provenance" not in rule and grafana.folders["sky-genesis"]["title"] == "Sky Genesis"
        (uid, kept), = grafana.dashboards.items()
        assert grafana.panel_sources(uid) == [("Active Connections", "prometheus", None)]
        assert kept["model"]["panels"] == [PANEL]
        assert grafana.datasources["prometheus"]["isDefault"] and grafana.datasources["prometheus"]["access"] == "proxy"
        state = json.dumps([grafana.rules, grafana.dashboards, grafana.datasources, grafana.folders])
        for (path, body, _), there in zip(examples, ("prometheus", uid, rule["uid"])):
            code, found = pasted(path, body, sm.port)
            assert code == 409 and found["uid"] == there and "already" in found["detail"]
        assert json.dumps([grafana.rules, grafana.dashboards, grafana.datasources, grafana.folders]) == state
        assert grep(sm, key) == []
    finally:
        bao.close()


# ---- Dashboards ----

def test_dashboards(broker, grafana):
    one = broker()
    made = one.ask("POST", "/dashboards", {"dashboard": {**DASHBOARD, "uid": "own", "new": {"a": [0.1, 1e300]}}, "message": "first"}, 200)
    assert made.json() == {"id": 1, "uid": "own", "slug": "sky-genesis-system-health", "status": "success", "version": 1,
                           "url": "/d/own/sky-genesis-system-health"}
    assert grafana.dashboards["own"]["versions"][0][1] == "first" and grafana.dashboards["own"]["model"]["new"] == {"a": [0.1, 1e300]}
    found = one.ask("GET", "/dashboards/own", code=200).json()
    assert found["dashboard"]["panels"] == [PANEL] and found["meta"]["version"] == 1
    assert [row["uid"] for row in one.ask("GET", "/dashboards", code=200).json()] == ["own"]
    put = one.ask("PUT", "/dashboards/own", {"dashboard": {"title": "Other", "id": 4242}}, 200).json()
    assert put["version"] == 2 and grafana.dashboards["own"]["model"]["title"] == "Other"
    gone = one.ask("DELETE", "/dashboards/own", code=200).json()
    assert gone["message"] == "Dashboard Other deleted" and gone["title"] == "Other"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", gone["timestamp"])
    for method, body in (("GET", None), ("DELETE", None), ("PUT", {"dashboard": {"title": "x"}})):
        assert one.ask(method, "/dashboards/own", body, 404).json()["upstream_status"] == 404
        assert "upstream_status" not in one.ask(method, "/dashboards/a%20b", body, 404).json()  # Grafana was not asked
    assert not grafana.dashboards


def test_folders_of_dashboards(broker, grafana):
    one = broker()
    for uid in ("a", "b"):
        grafana.org.answer(call_of(grafana, "POST", "/api/folders", {"uid": uid, "title": uid.upper()}))
    for field, value, folder in (("folder_uid", "a", "a"), ("folderUid", "b", "b"), ("folder_id", grafana.folders["a"]["id"], "a"),
                                 ("folderId", grafana.folders["b"]["id"], "b"), ("folderId", 0, ""), ("folder_uid", "", "")):
        title = f"in {field} {value}"
        uid = one.ask("POST", "/dashboards", {"dashboard": {"title": title}, field: value}, 200).json()["uid"]
        assert grafana.dashboards[uid]["folder"] == folder
        assert one.ask("POST", "/dashboards", {"dashboard": {"title": title}, field: value}, 409).json()["uid"] == uid
        one.ask("PUT", f"/dashboards/{uid}", {"dashboard": {"title": title + " new"}}, 200)
        assert grafana.dashboards[uid]["folder"] == folder  # it stays where it is
        one.ask("PUT", f"/dashboards/{uid}", {"dashboard": {"title": title}, "folder_uid": "b"}, 200)
        assert grafana.dashboards[uid]["folder"] == "b"
    uids = {one.ask("POST", "/dashboards", {"dashboard": {"title": "everywhere"}, "folder_uid": uid}, 200).json()["uid"]
            for uid in ("a", "b", "")}
    assert len(uids) == 3  # the same title in another folder is another dashboard
    found = one.ask("POST", "/dashboards", {"dashboard": {"title": "x"}, "folder_uid": "nosuch"}, 422).json()
    assert found["pointer"] == "/folder_uid" and (found["upstream_status"], found["upstream_message"]) == (400, "Folder not found")


def call_of(grafana, method, path, body):
    from grafana_state import Call
    headers = {"authorization": f"Bearer {grafana.add_key('admin')}", "content-type": "application/json"}
    return Call(method, path, headers, json.dumps(body).encode())


def test_versions_and_overwriting(broker, grafana):
    one = broker()
    uid = one.ask("POST", "/dashboards", {"dashboard": {"title": "T"}}, 200).json()["uid"]
    there = one.ask("POST", "/dashboards", {"dashboard": {"title": "T", "uid": uid}}, 409).json()
    assert (there["uid"], there["version"], there["url"]) == (uid, 1, f"/d/{uid}/t") and there["upstream_status"] == 412
    there = one.ask("POST", "/dashboards", {"dashboard": {"title": "T", "uid": "another"}}, 409).json()
    assert there["uid"] == uid and there["upstream_message"] == "A dashboard with the same name in the folder already exists"
    there = one.ask("PUT", f"/dashboards/{uid}", {"dashboard": {"title": "T", "version": 7}, "overwrite": False}, 409).json()
    assert there["version"] == 1
    one.ask("PUT", f"/dashboards/{uid}", {"dashboard": {"title": "T", "version": 1}, "overwrite": False}, 200)
    one.ask("POST", "/dashboards", {"dashboard": {"title": "T", "uid": uid}, "overwrite": True}, 200)
    assert one.ask("POST", "/dashboards", {"dashboard": {"title": "T"}, "overwrite": True}, 200).json() == {
        "id": 1, "uid": uid, "slug": "t", "status": "success", "url": f"/d/{uid}/t", "version": 4}
    assert len(grafana.dashboards) == 1
    # renamed: its first title is free, though the uid that we would give is not
    one.ask("PUT", f"/dashboards/{uid}", {"dashboard": {"title": "Renamed"}}, 200)
    other = one.ask("POST", "/dashboards", {"dashboard": {"title": " T "}}, 200).json()["uid"]
    assert other != uid and {kept["model"]["title"] for kept in grafana.dashboards.values()} == {"T", "Renamed"}
    assert one.ask("POST", "/dashboards", {"dashboard": {"title": "T "}}, 409).json()["uid"] == other
    one.ask("PUT", f"/dashboards/{uid}", {"dashboard": {"title": "T"}, "overwrite": False}, 409)
    assert len(grafana.dashboards) == 2


def test_the_list_has_all_pages(broker, grafana):
    one = broker()
    when = "2026-01-01T00:00:00Z"
    for number in range(2001):
        model = {"uid": f"u{number}", "title": f"D {number:04}", "id": number + 100, "version": 1, "tags": []}
        grafana.dashboards[model["uid"]] = {"model": model, "folder": "", "created": when, "updated": when, "versions": []}
    found = one.ask("GET", "/dashboards", code=200).json()
    assert isinstance(found, list) and {row["uid"] for row in found} == set(grafana.dashboards) and len(found) == 2001
    assert sum("page=" in request.path for request in grafana.requests) == 3
    # and a title is found beyond the first page of those that hold it
    assert one.ask("POST", "/dashboards", {"dashboard": {"title": "D 2000"}}, 409).json()["uid"] == "u2000"
    for number in range(2001):
        grafana.dashboards[f"u{number}"]["model"]["title"] = f"all D {number:04}"
    grafana.dashboards["u0"]["model"]["title"] = "zz D"
    grafana.dashboards["u1"]["model"]["title"] = "D"
    assert one.ask("POST", "/dashboards", {"dashboard": {"title": "zz D"}}, 409).json()["uid"] == "u0"
    assert one.ask("POST", "/dashboards", {"dashboard": {"title": "D"}}, 409).json()["uid"] == "u1"


@pytest.mark.parametrize("body, pointer", [
    ({}, "/dashboard"), ({"dashboard": []}, "/dashboard"), ({"dashboard": {}}, "/dashboard"), ({"dashboard": {"a": 1}}, "/dashboard/title"),
    ({"dashboard": {"title": " "}}, "/dashboard/title"), ({"dashboard": {"title": 7}}, "/dashboard/title"),
    ({"dashboard": {"title": "x", "uid": "a b/c"}}, "/dashboard/uid"), ({"dashboard": {"title": "x", "uid": "x" * 41}}, "/dashboard/uid"),
    ({"dashboard": {"title": "x", "version": "1"}}, "/dashboard/version"), ({"dashboard": {"title": "x", "id": "1"}}, "/dashboard/id"),
    ({"dashboard": {"title": "x"}, "overwrite": "yes"}, "/overwrite"), ({"dashboard": {"title": "x"}, "folder_id": "1"}, "/folder_id"),
    ({"dashboard": {"title": "x"}, "folderUid": 1}, "/folderUid"), ({"dashboard": {"title": "x"}, "message": 1}, "/message"),
    ({"dashboard": {"title": "x"}, "folder_uid": "a", "folderUid": "b"}, "/folder_uid"), ({"dashboard": {"title": "x" * 2000}}, "/dashboard/title")])
def test_wrong_dashboards(broker, body, pointer):
    one = broker()
    one.refused("POST", "/dashboards", body, 422, pointer)
    one.refused("PUT", "/dashboards/x", body, 422 if len(json.dumps(body)) < 1000 else 404, pointer if len(json.dumps(body)) < 1000 else None)


def test_wrong_bodies(broker):
    one = broker()
    json_type = {"Content-Type": "application/json"}
    for path in ("/dashboards", "/datasources", "/alerts"):
        for text, code, words in (("garbage", 400, "line 1, column 7"), ('{\n "a": 1,\n "a": 2}', 400, "line 3"), ("", 400, "no body"),
                                  ("[]", 422, "object"), ('{"a": ' * 100 + "1" + "}" * 100, 422, "deeper than 64")):
            found = one.ask("POST", path, code=code, data=text, headers=json_type).json()
            assert words in found["detail"], found
        one.ask("POST", path, code=415, data="a=b")
        one.ask("POST", path, code=413, data=" " * (1 << 20) + "{}", headers=json_type)
    one.refused("PUT", "/dashboards/x", {"dashboard": {"title": "x", "uid": "y"}}, 422, "/dashboard/uid", "path")
    assert one.ask("POST", "/dashboards", {"dashboard": {"title": "x", "id": 4242}}, 422).json()["pointer"] == "/dashboard/id"
    one.ask("PATCH", "/dashboards/x", code=405)
    assert one.written() == []


@pytest.mark.parametrize("model", [{"max": 1 << 64}, {"d": "a\0b"}, {"d": json.loads("[" * 70 + "]" * 70)}], ids=["number", "nul", "deep"])
def test_dashboards_that_jansson_does_not_read(broker, grafana, model):
    """Grafana's bytes are passed on as they came; what is there can be replaced and deleted."""
    one = broker()
    for _ in range(2):
        one.ask("POST", "/dashboards", {"dashboard": {"title": "old", "uid": "x"}, "overwrite": True}, 200)
        grafana.dashboards["x"]["model"].update(model)
        assert one.ask("GET", "/dashboards/x", code=200).json()["dashboard"].items() >= model.items()
        assert one.ask("POST", "/dashboards", {"dashboard": {"title": "old", "uid": "x"}}, 409).json()["version"]
        grafana.dashboards["x"]["model"].update(model)
        assert one.ask("DELETE", "/dashboards/x", code=200).json()["title"] == "old" and not grafana.dashboards
    one.ask("POST", "/dashboards", {"dashboard": {"title": "old", "uid": "x"}}, 200)
    grafana.dashboards["x"]["model"].update(model)
    one.ask("PUT", "/dashboards/x", {"dashboard": {"title": "new"}}, 200)
    assert grafana.dashboards["x"]["model"]["title"] == "new"


def test_an_empty_success_is_none(broker, grafana):
    one = broker()
    for code, body in ((204, ""), (200, ""), (200, " ")):
        for path, sent in (("/dashboards", {"dashboard": {"title": "x"}}), ("/datasources", SOURCE)):
            grafana.fail("POST", "^/api/da", "status", times=1, code=code, body=body)
            assert f"sent an empty answer (HTTP {code})" in one.ask("POST", path, sent, 502).json()["detail"]
    wait_until(lambda: one.sm.log_text().count("area=audit") == 6, 5, "the audit lines")
    assert one.sm.log_text().count(" not saved: ") == one.sm.log_text().count(" not created: ") == 3


def test_refusals_say_what_is_wrong(broker, grafana):
    one = broker()
    model = {"title": "T", "uid": "u"}
    found = one.ask("POST", "/dashboards", {"dashboard": {"title": "x"}, "folderId": 555}, 422).json()
    assert found["pointer"] == "/folderId" and found["detail"] == "/folderId names a folder that does not exist"
    one.ask("POST", "/dashboards", {"dashboard": model, "folder_uid": "general"}, 200)
    assert grafana.dashboards["u"]["folder"] == ""
    one.ask("PUT", "/dashboards/u", {"dashboard": model, "folder_uid": None, "folderUid": ""}, 200)
    one.ask("PUT", "/dashboards/u", {"dashboard": model, "folder_id": 0, "folderId": 0}, 200)
    for method, path, more, words in (
            ("POST", "", {}, "to replace it, PUT it, or POST with overwrite"), ("POST", "", {"version": 9}, "another version than the one that was sent"),
            ("PUT", "/u", {"version": 9}, "omit `overwrite: false`"), ("PUT", "/u", {}, "no version was sent")):
        found = one.ask(method, "/dashboards" + path, {"dashboard": {**model, **more}, "overwrite": False}, 409).json()
        assert words in found["detail"] and found["version"] == 3, found
        assert ("POST with" in found["detail"]) == (method == "POST")
    grafana.fail("POST", "dashboards/db", "status", times=1, code=404)
    found = one.ask("PUT", "/dashboards/u", {"dashboard": model}, 502).json()
    assert "HTTP 404" in found["detail"] and "pointer" not in found


def test_texts_are_cut_between_characters(broker, grafana):
    one = broker()
    for start in ("", "x"):
        found = one.ask("POST", "/alerts", {**RULE, "labels": {start + "ü" * 300: 1}}, 422).json()
        assert found["pointer"].startswith(f"/labels/{start}üü") and "\ufffd" not in found["detail"]
        title = start + "ü" * 1000
        uid = one.ask("POST", "/dashboards", {"dashboard": {"title": title, "uid": "long" + start}}, 200).json()["uid"]
        one.ask("GET", "/dashboards", code=200)
        grafana.fail("DELETE", "^/api/dashboards", "close", times=1, done=True)
        found = one.ask("DELETE", f"/dashboards/{uid}", code=200).json()
        assert found["title"] == title and found["message"] == f"Dashboard {title} deleted"


# ---- Data sources ----

def test_data_sources(broker, grafana):
    one = broker()
    first = one.ask("POST", "/datasources", {"name": "one", "type": "loki", "url": "http://l"}, 200).json()
    assert first["message"] == "Datasource added" and first["datasource"]["uid"] == "loki"
    assert (first["datasource"]["isDefault"], first["datasource"]["access"]) == (True, "proxy")
    second = one.ask("POST", "/datasources", {"name": "two", "type": "loki", "secure_json_data": {"password": "geheim-77"},
                                              "json_data": {"a": 1}, "with_credentials": True, "access": "direct"}, 200).json()["datasource"]
    assert second["uid"] != "loki" and second["isDefault"] is False and second["jsonData"] == {"a": 1} and second["withCredentials"]
    assert second["secureJsonFields"] == {"password": True} and second["access"] == "direct"
    third = one.ask("POST", "/datasources", {"name": "three", "type": "x y", "uid": "own", "isDefault": True}, 200).json()["datasource"]
    assert third["uid"] == "own" and third["isDefault"] and not grafana.datasources["loki"]["isDefault"]
    for body, uid in (({"name": "one", "type": "tempo"}, "loki"), ({"name": "new", "type": "tempo", "uid": "own"}, "own")):
        found = one.ask("POST", "/datasources", body, 409).json()
        assert found["uid"] == uid and "exists already" in found["detail"]
    assert "geheim-77" not in one.sm.log_text()
    assert len(grafana.datasources) == 3


def test_no_default_is_made_where_it_is_not_wanted(broker, grafana):
    one = broker()
    for name, more in (("a", {"is_default": False}), ("b", {"isDefault": False})):
        assert one.ask("POST", "/datasources", {"name": name, "type": "t", **more}, 200).json()["datasource"]["isDefault"] is False
    assert one.ask("POST", "/datasources", {"name": "c", "type": "t"}, 200).json()["datasource"]["isDefault"] is True


@pytest.mark.parametrize("body, pointer", [
    ({}, "/name"), ({"name": "", "type": "t"}, "/name"), ({"name": "n"}, "/type"), ({"name": "n", "type": 1}, "/type"),
    ({"name": "n", "type": "t", "access": "server"}, "/access"), ({"name": "n", "type": "t", "uid": "a/b"}, "/uid"),
    ({"name": "n", "type": "t", "is_default": "yes"}, "/is_default"), ({"name": "n", "type": "t", "json_data": []}, "/json_data"),
    ({"name": "n", "type": "t", "url": 1}, "/url"), ({"name": "n", "type": "t", "jsonData": {}, "json_data": {"a": 1}}, "/json_data"),
    ({"name": "n", "type": "t", "secure_json_data": {"a": "geheim", "b": 5}}, "/secure_json_data/b"),
    ({"name": "n", "type": "t", "secureJsonData": {"a/b": []}}, "/secureJsonData/a~1b")])
def test_wrong_data_sources(broker, body, pointer):
    broker().refused("POST", "/datasources", body, 422, pointer)


# ---- Alert rules ----

def test_rules(broker, grafana):
    one = broker()
    one.ask("POST", "/datasources", {**SOURCE, "uid": "px1"}, 200)
    made = one.ask("POST", "/alerts", {**RULE, "labels": {"severity": "critical"}}, 201).json()
    assert made["data"][0]["datasourceUid"] == "px1" and made["data"][1]["datasourceUid"] == "__expr__"  # matched by its type
    assert made["labels"] == {"severity": "critical"} and grafana.resolves(made["uid"]) == []
    assert all(request.headers["x-disable-provenance"] == "true" for request in grafana.requests
               if request.method == "POST" and request.path.startswith("/api/v1/provisioning/"))
    # the same title in another folder is another rule; in another group of the folder Grafana refuses it
    own = {**RULE, "folder_uid": "ops", "rule_group": "every minute", "uid": "own"}
    assert one.ask("POST", "/alerts", own, 201).json()["uid"] == "own" and grafana.folders["ops"]["title"] == "ops"
    assert one.ask("POST", "/alerts", own, 409).json()["uid"] == "own"
    found = one.ask("POST", "/alerts", {**RULE, "ruleGroup": "another"}, 409).json()
    assert (found["uid"], found["ruleGroup"], found["upstream_status"]) == (made["uid"], "sky-genesis", 500)
    found = one.ask("POST", "/alerts", {**RULE, "title": "t", "uid": "own"}, 409).json()
    assert "uid" in found["detail"] or found["upstream_status"] == 500
    found = one.ask("POST", "/alerts", {**RULE, "title": "t", "no_data_state": "KeepLast"}, 422).json()
    assert found["pointer"] == "/no_data_state" and found["upstream_message"] == "unknown NoData state option KeepLast"
    # a rule was renamed in Grafana: the uid that we would give is taken, its first title is free
    grafana.rules[made["uid"]]["title"] = "Renamed"
    again = one.ask("POST", "/alerts", RULE, 201).json()
    assert again["uid"] != made["uid"] and len(grafana.rules) == 3


def test_rules_and_data_sources_that_do_not_fit(broker, grafana):
    one = broker()
    one.refused("POST", "/alerts", RULE, 422, "/data/0/datasourceUid", "name of a data source: prometheus")
    for name in ("a", "b"):
        one.ask("POST", "/datasources", {"name": name, "type": "prometheus", "uid": name}, 200)
    one.refused("POST", "/alerts", RULE, 422, "/data/0/datasourceUid", "2 data sources", "a, b")
    assert not grafana.folders  # nothing was made for it
    query = {**RULE["data"][0], "datasourceUid": "b"}
    one.ask("POST", "/alerts", {**RULE, "data": [query, *RULE["data"][1:]]}, 201)
    one.refused("POST", "/alerts", {**RULE, "org_id": 7}, 422, "/org_id", "not 1, the organization")
    one.refused("POST", "/alerts", {**RULE, "for_duration": "soon"}, 422, "/for_duration")
    one.refused("POST", "/alerts", {**RULE, "condition": "Z"}, 422, "/condition")
    one.refused("POST", "/alerts", {**RULE, "data": []}, 422, "/data")


def test_the_folder_of_that_title_is_taken(broker, grafana):
    """Made by hand, with a uid of Grafana's: that is the one."""
    one = broker()
    grafana.org.answer(call_of(grafana, "POST", "/api/folders", {"uid": "hand", "title": "Sky Genesis"}))
    one.ask("POST", "/datasources", SOURCE, 200)
    assert one.ask("POST", "/alerts", RULE, 201).json()["folderUID"] == "hand"
    assert one.ask("POST", "/alerts", RULE, 409).json()["folderUID"] == "hand"
    assert list(grafana.folders) == ["hand"] and len(grafana.rules) == 1


# ---- Nothing is there twice ----

def posts(one, path, body, count=6):
    """So many at once: their codes, sorted."""
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return sorted(answer.status_code for answer in pool.map(lambda _: one.ask("POST", path, body, timeout=40), range(count)))


def allow_same_titles(grafana, monkeypatch):
    """As Grafana from 11.6 on: titles may be there twice, and what was made a moment ago is not found yet."""
    dashboards, rules = grafana.org.dashboards, grafana.org.rules
    save = dashboards._replaced

    def replaced(model, uid, folder, overwrite):
        old = dashboards.all.get(uid)
        if old:
            return save(model, uid, folder, overwrite)
        return uid or grafana.org.new_uid()
    monkeypatch.setattr(dashboards, "_replaced", replaced)
    monkeypatch.setattr(dashboards, "search", lambda call: [])
    monkeypatch.setattr(rules, "_check", lambda rule, old: None)
    for at, (method, pattern, handler) in enumerate(grafana.org.routes):
        if handler.__name__ == "search":
            grafana.org.routes[at] = (method, pattern, lambda call: [])


@pytest.mark.sanitized
@pytest.mark.parametrize("later", [False, True])
def test_the_same_at_once(broker, grafana, monkeypatch, later):
    one = broker(timeout="10s")
    if later:
        allow_same_titles(grafana, monkeypatch)
    grafana.fail("POST", "^/api/(dashboards|datasources|v1/provisioning)", "slow", seconds=0.2)
    for path, body, code in (("/datasources", SOURCE, 200), ("/dashboards", {"dashboard": DASHBOARD}, 200), ("/alerts", RULE, 201)):
        assert posts(one, path, body) == [code, 409, 409, 409, 409, 409]
    assert (len(grafana.datasources), len(grafana.dashboards), len(grafana.rules), len(grafana.folders)) == (1, 1, 1, 1)


@pytest.mark.sanitized
def test_concurrent_writers_of_one_dashboard(broker, grafana):
    """By its uid or by its title: one after the other, and the last one stays. A version that was sent is compared."""
    one = broker(timeout="10s")
    uid = one.ask("POST", "/dashboards", {"dashboard": DASHBOARD}, 200).json()["uid"]
    grafana.fail("POST", "^/api/dashboards", "slow", seconds=0.05)
    writes = [("PUT", f"/dashboards/{uid}", {"dashboard": DASHBOARD}), ("POST", "/dashboards", {"dashboard": DASHBOARD, "overwrite": True}),
              ("POST", "/dashboards", {"dashboard": {**DASHBOARD, "uid": uid}, "overwrite": True})] * 5
    with concurrent.futures.ThreadPoolExecutor(len(writes)) as pool:
        answers = list(pool.map(lambda write: one.ask(*write, timeout=40), writes))
    assert [answer.status_code for answer in answers] == [200] * 15, [answer.text for answer in answers]
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 17))
    sent = {"dashboard": {**DASHBOARD, "uid": uid, "version": 16}, "overwrite": False}
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: one.ask("PUT", f"/dashboards/{uid}", sent, timeout=40), range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409, 409]


@pytest.mark.asan
@pytest.mark.parametrize("later", [False, True])
def test_a_lost_answer(broker, grafana, monkeypatch, later):
    """A request that creates is sent once, and the same again answers that it exists. One that replaces or deletes is repeated by the broker."""
    one = broker()
    if later:
        allow_same_titles(grafana, monkeypatch)
    for path, body in (("/datasources", SOURCE), ("/dashboards", {"dashboard": DASHBOARD}), ("/alerts", RULE)):
        one.ask("GET", "/dashboards", code=200)  # so that a connection is kept
        grafana.fail("POST", "^/api/(dashboards|datasources|v1/provisioning)", "close", times=1, done=True)
        found = one.ask("POST", path, body, 502).json()
        assert "may have been done" in found["detail"]
        assert one.ask("POST", path, body, 409).json()["uid"]
    assert (len(grafana.datasources), len(grafana.dashboards), len(grafana.rules)) == (1, 1, 1)
    uid, = grafana.dashboards
    for method, body, upstream in (("PUT", {"dashboard": {"title": "New"}}, "POST"), ("GET", None, "GET"), ("DELETE", None, "DELETE")):
        fault = grafana.fail(upstream, "^/api/dashboards", "close", times=1, done=True)
        answer = one.ask(method, f"/dashboards/{uid}", body, 200).json()
        assert fault.hits == 1
    assert answer["title"] == "New" and answer["message"] == "Dashboard New deleted" and not grafana.dashboards


def test_an_answer_that_comes_too_late(broker, grafana, monkeypatch):
    """Grafana does it after we have given up, and after it was posted once more: it is there already then, by its uid."""
    one = broker(timeout="300ms")
    allow_same_titles(grafana, monkeypatch)
    for path, body, code in (("/datasources", SOURCE, 200), ("/dashboards", {"dashboard": DASHBOARD}, 200), ("/alerts", RULE, 201)):
        fault = grafana.fail("POST", "^/api/(dashboards|datasources|v1/provisioning)", "slow", times=1, seconds=1.5)
        assert "may have been done" in one.ask("POST", path, body, 504).json()["detail"]
        one.ask("POST", path, body, code)
        late = next(request for request in grafana.requests if request.method == "POST" and request.status is None)
        wait_until(lambda: late.status, 10, "the late one")
        assert fault.hits == 1 and late.status in (409, 412, 500)
    assert (len(grafana.datasources), len(grafana.dashboards), len(grafana.rules)) == (1, 1, 1)


def test_kept_connections_that_grafana_has_closed(broker, grafana):
    one = broker()
    for _ in range(5):
        one.ask("GET", "/dashboards", code=200)
        grafana.drop_idle()
    fault = grafana.fail("GET", "^/api/search", "close", kept=True)
    for _ in range(3):
        one.ask("GET", "/dashboards", code=200)
    fault.end()
    assert fault.hits >= 1


# ---- Rights of the key ----

def test_an_editors_key(broker, grafana):
    """It writes dashboards, and nothing else: an error of the document that the project started from."""
    one = broker("editor")
    uid = one.ask("POST", "/dashboards", {"dashboard": DASHBOARD}, 200).json()["uid"]
    one.ask("PUT", f"/dashboards/{uid}", {"dashboard": DASHBOARD}, 200)
    one.ask("PUT", "/dashboards/nosuch", {"dashboard": DASHBOARD}, 404)
    one.ask("GET", "/dashboards/nosuch", code=404)
    for path, body, needed in (("/datasources", SOURCE, "datasources:create"), ("/alerts", {**RULE, "data": [
            {"refId": "C", "datasourceUid": "__expr__", "model": {"type": "math", "expression": "1 > 0"}}]}, "alert.provisioning:write")):
        found = one.ask("POST", path, body, 403).json()
        assert needed in found["detail"] and "role Admin" in found["detail"] and found["upstream_status"] == 403
        assert "Permissions needed" in found["upstream_message"]
    assert not grafana.folders and not grafana.rules and not grafana.datasources
    one.ask("DELETE", f"/dashboards/{uid}", code=200)


def test_a_viewers_key(broker):
    one = broker("viewer")
    found = one.ask("POST", "/dashboards", {"dashboard": DASHBOARD}, 403).json()
    assert "dashboards:create" in found["detail"]


def test_a_key_that_is_replaced_in_the_store(skymond, grafana):
    """Revoked in Grafana: 502 until a new one is in the store; from then on no request fails, and nothing was restarted."""
    bao = OpenBao()
    try:
        old, new = grafana.add_key("admin"), grafana.add_key("admin")
        bao.put("grafana/api_key", key=old)
        sm = skymond({"plugins": {"prometheus": {}, "grafana": {"url": grafana.url, "interval": "10m"}},
                      "components": {"vault": {"plugin": "vault", "address": bao.url, "token": bao.token}}})
        sm.wait_component("grafana", status="healthy")
        grafana.revoke(old)
        bao.put("grafana/api_key", key=new)
        assert sm.get(BASE + "/dashboards").status_code == 200  # refused, read again, sent once more
        assert sm.request("POST", BASE + "/dashboards", json={"dashboard": DASHBOARD}).status_code == 200
        grafana.revoke(new)
        newest = grafana.add_key("admin")
        found = sm.get(BASE + "/dashboards")
        assert found.status_code == 502 and found.json()["upstream_status"] == 500 and "`api_key`" in found.json()["detail"]
        bao.put("grafana/api_key", key=newest)
        wait_until(lambda: sm.get(BASE + "/dashboards").status_code == 200, 6, "the new key")
        assert [sm.get(BASE + "/dashboards").status_code for _ in range(20)] == [200] * 20
        assert grep(sm, old, new, newest) == []
    finally:
        bao.close()


def test_no_key(skymond, grafana):
    sm = skymond({"plugins": {"grafana": {"url": grafana.url, "api_key": "", "interval": "300ms"}}})
    found = sm.wait_component("grafana", status="unknown", reason="auth_failed")
    assert "`api_key`" in found["message"]
    for method, path, body in (("GET", "/dashboards", None), ("POST", "/datasources", SOURCE)):
        answer = sm.request(method, BASE + path, json=body)
        assert answer.status_code == 503 and "`api_key`" in answer.json()["detail"]
    assert grafana.requests == []

# SPDX-License-Identifier: Apache-2.0
"""The broker before a Grafana that answers as a real one: each kind of mistake that plain forwarding makes, by several instances. What a
route is for, what counts as the same dashboard, what an answer claims, what is never evaluated, whose fault it is, shared dashboards."""
import copy
import json
import re

import pytest

from grafana_server import GrafanaDouble
from harness import SLOW, wait_until
from test_grafana import RULE, SOURCE, Broker
from test_grafana_rules import INSTANT, above, expression, query

VARIABLE = {"name": "DS_OWN", "type": "datasource", "query": "prometheus"}


@pytest.fixture
def grafana():
    with GrafanaDouble() as double:
        yield double


@pytest.fixture
def one(skymond, grafana):
    return Broker(skymond, grafana, "admin")


def state(grafana):
    return json.dumps([grafana.dashboards, grafana.folders, grafana.datasources, grafana.rules], sort_keys=True)


def folder(grafana, uid, title):
    with grafana.org.lock:
        return grafana.org.dashboards._make_folder(uid, title)


def save(one, title, uid=None, code=200, path="/dashboards", **more):
    model = {"title": title, "panels": [], **({"uid": uid} if uid else {}), **more.pop("model", {})}
    return one.ask("POST" if path == "/dashboards" else "PUT", path, {"dashboard": model, **more}, code).json()


def last_audit(one, words):
    return wait_until(lambda: next((line for line in reversed(one.sm.log_text().splitlines()) if "area=audit" in line and words in line), None),
                      5, f"an audit line with {words}")


# ---- The scope of a route ----

@pytest.mark.parametrize("uid", ["team", "sky-genesis", "F_1-x"])
def test_a_folder_is_not_a_dashboard(one, grafana, uid):
    folder(grafana, uid, f"Folder {uid}")
    inside = save(one, "Inside", "inside", folder_uid=uid)
    before = state(grafana)
    for method, body in (("GET", None), ("DELETE", None), ("PUT", {"dashboard": {"title": "x"}})):
        found = one.ask(method, f"/dashboards/{uid}", body, 404).json()
        assert "uid of a folder" in found["detail"]
    for more in ({}, {"overwrite": True}):
        assert save(one, "Other", uid, 409, **more)["pointer"] == "/dashboard/uid"
    assert state(grafana) == before and one.ask("GET", f"/dashboards/{inside['uid']}", code=200)


@pytest.mark.parametrize("body, code, pointer", [
    ({"isFolder": True}, 422, "/isFolder"), ({"is_folder": True}, 422, "/is_folder"), ({"isFolder": "yes"}, 422, "/isFolder"),
    ({"isFolder": False}, 200, None), ({"is_folder": None}, 200, None)])
def test_no_folder_by_way_of_a_dashboard(one, grafana, body, code, pointer):
    assert save(one, "A folder?", "f", code, **body).get("pointer") == pointer
    assert not grafana.folders


@pytest.mark.parametrize("uid", ["general", "nosuch", "x" * 41, "a%20b", "%C3%BC", "a%2Fb"])
def test_uids_of_no_dashboard(one, uid):
    for method, body in (("GET", None), ("DELETE", None), ("PUT", {"dashboard": {"title": "x"}})):
        one.ask(method, f"/dashboards/{uid}", body, 404)
    assert one.written() == []


@pytest.mark.parametrize("uid", ["..", "%2e%2e", ".", "..%2f..%2fadmin%2fsettings", "a%2F..%2F..%2Fusers", "a%3forgId=2", "a%23b", "a%5c..%5cusers",
                                 "a;b", "a%0d%0aX-Evil:1", "%252e%252e", "x/../../admin"])
def test_uids_that_point_elsewhere(one, grafana, uid):
    """Sent as they are: no client's library tidies them up. Grafana is not asked."""
    body = b'{"dashboard": {"title": "x"}}'
    for method in (b"GET", b"PUT", b"DELETE"):
        answer = one.sm.raw(b"%s /api/v1/grafana/dashboards/%s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n"
                            b"Content-Length: %d\r\n\r\n%s" % (method, uid.encode(), len(body), body), until_close=False)
        assert answer.startswith(b"HTTP/1.1 404 "), answer
    assert not [request for request in grafana.requests if "/api/dashboards/" in request.path], grafana.requests


def test_the_list_is_narrowed_or_refused(one):
    for title, tags in (("Alpha one", ["a", "b"]), ("Alpha two", ["a"]), ("Beta", ["b"])):
        save(one, title, model={"tags": tags})

    def titles(query):
        return [row["title"] for row in one.ask("GET", f"/dashboards?{query}", code=200).json()]
    assert titles("query=alpha") == ["Alpha one", "Alpha two"] and titles("query=alpha+t") == ["Alpha two"]
    assert titles("tag=a&tag=b") == ["Alpha one"] and titles("tag=b&query=be") == ["Beta"]
    assert titles("limit=2") == ["Alpha one", "Alpha two"] and titles("limit=2&page=2") == ["Beta"] and titles("query=none") == []
    assert len(titles("")) == len(titles("&")) == 3
    for query, name in (("qurey=alpha", "qurey"), ("starred=true", "starred"), ("type=dash-folder", "type"), ("limit=0", "limit"),
                        ("limit=x", "limit"), ("limit=5001", "limit"), ("limit", "limit"), ("page=-1", "page"), ("folderIds=0", "folderIds")):
        assert name in one.ask("GET", f"/dashboards?{query}", code=400).json()["detail"]


# ---- Identity ----

TWINS = [("Beta", "BETA"), ("Beta", "Beta?"), ("Load (all)", "load all"), ("Größe", "grösse:"), ("A  B", "a-b"), ("Café №1", "cafe 1"),
         ("数据库 1", "日志 1")]


@pytest.mark.parametrize("there, title", TWINS)
def test_titles_that_grafana_takes_for_the_same(one, grafana, there, title):
    folder(grafana, "f", "F")
    save(one, there, "there", folder_uid="f", model={"x": "precious"})
    save(one, "Elsewhere", "elsewhere", folder_uid="f")
    before = state(grafana)
    for body, path in (({}, "/dashboards"), ({"overwrite": True}, "/dashboards"), ({}, "/dashboards/elsewhere"),
                       ({"overwrite": False, "model": {"version": 1}}, "/dashboards/elsewhere")):
        found = save(one, title, None, 409, path, folder_uid="f", **copy.deepcopy(body))
        assert (found["uid"], found["dashboard_title"], found["upstream_status"]) == ("there", there, 412), found
        assert found["url"].startswith("/d/there/") and "of this title" not in found["detail"] and there in found["detail"]
    assert state(grafana) == before
    save(one, title, "free")  # in General it is free


@pytest.mark.asan
def test_overwrite_replaces_what_was_named_and_nothing_else(one, grafana):
    """By title, by uid, by number: each must be the one whose title was sent."""
    save(one, "Victim", "victim", model={"x": "precious"})
    save(one, "Mine", "mine")
    number = grafana.dashboards["victim"]["model"]["id"]
    before = state(grafana)
    for uid, model in (("mine", {}), ("victim", {}), (None, {"id": number}), ("new", {"id": number}), ("mine", {"id": number})):
        title = "Victim" if uid == "mine" else "Imported"
        if uid == "new":
            assert save(one, title, uid, overwrite=True, model=model)["uid"] == "new"
            one.ask("DELETE", "/dashboards/new", code=200)
            continue
        found = save(one, title, uid, 409, overwrite=True, model=model)
        assert found["uid"] in ("victim", "mine") and found["dashboard_title"], found
    assert state(grafana) == before
    for uid, model in ((None, {}), ("victim", {}), (None, {"id": number})):
        assert save(one, "Victim", uid, overwrite=True, model=model)["uid"] == "victim"
    assert grafana.dashboards["victim"]["model"]["version"] == 4 and len(grafana.dashboards) == 2


@pytest.mark.asan
def test_a_put_writes_its_dashboard_or_nothing(one, grafana):
    folder(grafana, "f", "F")
    for title, uid in (("Victim", "victim"), ("Attacker", "attacker")):
        save(one, title, uid, folder_uid="f")
    before = state(grafana)
    for more in ({}, {"overwrite": True}, {"overwrite": False, "model": {"version": 1}}, {"folder_uid": "f"}):
        found = save(one, "Victim", None, 409, "/dashboards/attacker", **copy.deepcopy(more))
        assert found["uid"] == "victim" and found["dashboard_title"] == "Victim" and "another dashboard" in found["detail"], found
    assert state(grafana) == before and " not replaced: another dashboard (victim)" in last_audit(one, "Victim")
    assert save(one, "Renamed", None, 200, "/dashboards/attacker")["uid"] == "attacker"
    assert grafana.dashboards["attacker"]["folder"] == "f"
    # a Grafana that saves another one than it was asked to: no success
    grafana.fail("POST", "^/api/dashboards/db", "status", code=200, times=1, body={"uid": "victim", "status": "success", "version": 9})
    assert "saved victim instead" in save(one, "Renamed", None, 502, "/dashboards/attacker")["detail"]
    assert "perhaps replaced" in last_audit(one, "instead")


@pytest.mark.parametrize("title, there", [("Team A", "Team A"), ("team a", "Team A"), ("Team A?", "Team A")])
def test_the_title_of_a_folder(one, grafana, title, there):
    folder(grafana, "a", there)
    found = save(one, title, None, 409)
    assert found["pointer"] == "/dashboard/title" and found["upstream_status"] == 400 and "folder" in found["detail"]


@pytest.mark.parametrize("title", ["SKY GENESIS", "sky-genesis", "Sky Genesis?"])
def test_a_folder_whose_title_is_the_same_to_grafana(one, grafana, title):
    """It is used, as one with exactly that title is; where a dashboard has the title, it is named."""
    folder(grafana, "hand", title)
    one.ask("POST", "/datasources", SOURCE, 200)
    made = one.ask("POST", "/alerts", RULE)
    assert made.status_code == 201 and grafana.resolves(made.json()["uid"]) == [] and list(grafana.folders) == ["hand"], made.text
    grafana.folders.clear()
    grafana.rules.clear()
    save(one, title, "taken")
    found = one.ask("POST", "/alerts", RULE, 409).json()
    assert found["uid"] == "taken" and found["dashboard_title"] == title and not grafana.rules and not grafana.folders, found


# ---- What an answer claims ----

def test_a_write_that_was_done_all_the_same(one, grafana):
    """A dashboard with a library panel that is not there: saved, and answered 500."""
    library = {"panels": [{"id": 1, "libraryPanel": {"uid": "nosuch", "name": "n"}}]}
    for uid, path, more in (("lib1", "/dashboards", {}), (None, "/dashboards", {}), ("lib1", "/dashboards/lib1", {}),
                            ("lib1", "/dashboards", {"overwrite": True})):
        found = save(one, f"Lib {uid}", uid, 502, path, model=library, **more)
        assert found["upstream_message"] == "Error while connecting library panels" and found["upstream_status"] == 500
        assert "it was saved nevertheless" in found["detail"] and found["uid"] in grafana.dashboards and found["url"], found
        assert "nevertheless" in last_audit(one, found["uid"])
    assert grafana.dashboards["lib1"]["model"]["version"] == 3


def put_beside(grafana, kind):
    """Grafana does it, and answers 500: the double is asked behind its own fault."""
    handler = {"source": grafana.org.sources.create, "rule": grafana.org.rules.create, "delete": grafana.org.dashboards.delete}[kind]
    at = next(i for i, (_, _, known) in enumerate(grafana.org.routes) if known == handler)
    method, pattern, _ = grafana.org.routes[at]

    def done(call):
        handler(call)
        from grafana_state import refuse
        raise refuse(500, "database is locked", traceID="")
    grafana.org.routes[at] = (method, pattern, done)


@pytest.mark.sanitized
@pytest.mark.parametrize("kind, ask, looks, verb", [
    ("source", ("POST", "/datasources", SOURCE), "^/api/datasources$", "created"), ("rule", ("POST", "/alerts", RULE), "alert-rules/", "created"),
    ("delete", ("DELETE", "/dashboards/x"), "^/api/dashboards/uid", "deleted")])
@pytest.mark.parametrize("done", [True, False, None])
def test_after_a_500_it_is_looked_for(one, grafana, kind, ask, looks, verb, done):
    """None: it cannot be seen whether it was done."""
    save(one, "X", "x")
    if kind == "rule":
        one.ask("POST", "/datasources", SOURCE, 200)
    write = {"source": "^/api/datasources$", "rule": "alert-rules$", "delete": "^/api/dashboards/uid"}[kind]
    if done is not False:
        put_beside(grafana, kind)
    else:
        grafana.fail(ask[0], write, "status", code=500, body={"message": "database is locked"})
    if done is None:
        sees = grafana.org.answer

        def blind(call):
            wrote = any(request.method == ask[0] and request.status == 500 and re.search(write, request.path) for request in grafana.requests)
            if wrote and call.method == "GET":
                return 500, "application/json", b'{"message": "database is locked"}'
            return sees(call)
        grafana.org.answer = blind
    found = one.ask(*ask, code=502).json()
    words = {True: f"it was {verb} nevertheless", False: "database is locked", None: "it may have been done"}[done]
    assert words in found["detail"] and found["upstream_status"] == 500, found
    assert ("may have been" in found["detail"], "nevertheless" in found["detail"]) == (done is None, done is True)
    line = last_audit(one, "database is locked")
    assert {True: f"{verb} nevertheless", False: f"not {verb}", None: f"perhaps {verb}"}[done] in line, line


@pytest.mark.parametrize("sent, pointer", [({"isPaused": True}, "/isPaused"), ({"is_paused": True}, "/is_paused"),
                                           ({"keep_firing_for": "5m"}, "/keep_firing_for"),
                                           ({"notification_settings": {"receiver": "team"}}, "/notification_settings")])
def test_fields_that_grafana_drops(one, grafana, sent, pointer):
    one.ask("POST", "/datasources", SOURCE, 200)
    made = one.ask("POST", "/alerts", {**RULE, **sent}, 201).json()
    warning, = made["warnings"]
    assert warning.startswith(f"{pointer} was sent, and this Grafana did not keep it") and made["uid"] in grafana.rules
    assert "warnings" not in one.ask("POST", "/alerts", {**RULE, "title": "Plain", "isPaused": False}, 201).json()
    found = one.ask("POST", "/datasources", {"name": "two", "type": "loki", "nosuch": 1}, 200).json()
    assert found["warnings"] == ["/nosuch was sent, and this Grafana did not keep it: it has no effect"]


def test_versions_that_change_in_between(one, grafana):
    """Once: it is done. Twice: a conflict, and the other's change stays."""
    save(one, "Busy", "busy")
    get = grafana.org.dashboards.get

    def changing(times):
        left = [times]

        def changed(call):
            found = get(call)
            found = json.loads(json.dumps(found))
            if left[0]:
                left[0] -= 1
                grafana.dashboards["busy"]["model"]["version"] += 1
            return found
        at = next(i for i, (_, _, known) in enumerate(grafana.org.routes) if known.__name__ in ("get", "changed") and known != grafana.org.rules.get)
        grafana.org.routes[at] = (*grafana.org.routes[at][:2], changed)
    changing(1)
    assert save(one, "Busy", None, 200, "/dashboards/busy")["version"] == 3
    changing(2)
    found = save(one, "Busy", None, 409, "/dashboards/busy", model={"x": 1})
    assert found["upstream_status"] == 412 and "changed twice" in found["detail"] and "x" not in grafana.dashboards["busy"]["model"]


# ---- What Grafana would never evaluate ----

def reduced(**more):
    return [query("A", {"expr": "up"}), expression("B", "reduce", "A", **{"reducer": "last", **more}), above("C", "B")]


def compared(kind, *params):
    return [query("A", INSTANT), expression("C", "threshold", "A", conditions=[{"evaluator": {"type": kind, "params": list(params)}}])]


def classic(kind="gt", params=(1,), reducer="avg", operator="and"):
    condition = {"evaluator": {"type": kind, "params": list(params)}, "reducer": {"type": reducer}, "query": {"params": ["A"]},
                 "operator": {"type": operator}}
    return [query("A", {"expr": "up"}), expression("C", "classic_conditions", conditions=[condition, condition])]


NEVER = {  # in every version: no Grafana is asked
    "a mode that does not exist": (reduced(settings={"mode": "nosuch"}), "/data/1/model/settings/mode"),
    "settings that are a text": (reduced(settings="dropNN"), "/data/1/model/settings"),
    "replaceNN without a value": (reduced(settings={"mode": "replaceNN"}), "/data/1/model/settings/replaceWithValue"),
    "a range with one number": (compared("within_range", 1), "/data/1/model/conditions/0/evaluator/params"),
    "outside of one number": (compared("outside_range", 1), "/data/1/model/conditions/0/evaluator/params"),
    "an unknown comparison": (compared("between", 1, 2), "/data/1/model/conditions/0/evaluator/type"),
    "an unknown type": ([query("A", INSTANT), expression("C", "nosuch", "A")], "/data/1/model/type"),
    "math without its query": ([query("A", INSTANT), expression("C", "math", "$A + $Q > 1")], "/data/1/model/expression"),
    "a circle": ([query("A", INSTANT), expression("B", "math", "$C + 1"), expression("C", "math", "$B > $A")], "/data/2/model"),
}
ON_9 = {  # later versions know these: the double, a Grafana 9, says so
    "eq": (compared("eq", 1), "/data/1"), "ne": (compared("ne", 1), "/data/1"), "gte": (compared("gte", 1), "/data/1"),
    "a median": (reduced(reducer="median"), "/data/1"), "sql": ([query("A", INSTANT), expression("C", "sql", "SELECT 1")], "/data/1"),
    "classic eq": (classic("eq"), "/data/1"), "classic gte": (classic("gte"), "/data/1"),
    "joined by logic-or": (classic(operator="logic-or"), "/data/1"),
    "a range with its ends": (compared("within_range_included", 1, 2), "/data/1"),
}
FINE = {
    "MEAN": reduced(reducer="MEAN"), "Last": reduced(reducer="Last"), "cOUNT": reduced(reducer="cOUNT"),
    "dropNN": reduced(settings={"mode": "dropNN"}), "no mode": reduced(settings={"mode": ""}),
    "replaceNN": reduced(settings={"mode": "replaceNN", "replaceWithValue": 0}), "within": compared("within_range", 1, 2),
    "outside": compared("outside_range", 1, 2), "classic": classic(), "no value": classic("no_value", ()),
    "Grafana's own source": [query("C", {"queryType": "randomWalk"}, "grafana")], "a constant": [expression("C", "math", "1 > 0")],
}


def test_what_is_never_evaluated(one, grafana):
    one.ask("POST", "/datasources", SOURCE, 200)

    def post(name, data):
        return {"title": name, "condition": "C", "data": data, "for": "0s"}

    def asked():  # but by the check
        return len([request for request in list(grafana.requests) if request.path not in ("/api/health", "/api/org")])
    for name, (data, pointer) in NEVER.items():
        before = asked()
        found = one.refused("POST", "/alerts", post(name, data), 422, pointer)
        assert "upstream_status" not in found and asked() == before, name
    for name, (data, pointer) in ON_9.items():
        found = one.ask("POST", "/alerts", post(name, data), 422).json()
        assert found["pointer"] == pointer and found["upstream_status"] == 400, (name, found)
        assert found["upstream_message"].startswith("Failed to build evaluator") and found["upstream_message"][30:60] in found["detail"], found
    assert not grafana.rules and not grafana.folders
    for name, data in FINE.items():
        uid = one.ask("POST", "/alerts", post(name, data), 201).json()["uid"]
        assert grafana.resolves(uid) == [], name


def frame(*fields, rows=1):
    return {"schema": {"fields": [{"name": name, "type": kind} for name, kind in fields]}, "data": {"values": [[1] * rows for _ in fields]}}


@pytest.mark.parametrize("frames, words", [
    ([frame(("t", "time"), ("v", "number"), rows=3)], "time series"), ([frame(("host", "string"), ("v", "number"))], "a table"),
    ([frame(("v", "number"), rows=2)], "a table"), ([frame(("v", "number")), frame(("v", "string"))], "not a number"),
    ([frame(("v", "number"))], None), ([frame(("v", "number")), frame(("v", "number"))], None), ([frame(("host", "string"), rows=0)], None),
    ([], None)])
def test_what_comes_out_of_the_condition(one, grafana, frames, words):
    """A query of a data source whose queries we do not read: what it gives now shows whether Grafana can alert on it."""
    one.ask("POST", "/datasources", {"name": "M", "type": "mysql", "uid": "m"}, 200)
    grafana.org.rules.frames["C"] = frames
    rule = {"title": "t", "condition": "C", "data": [query("C", {"rawSql": "select"}, "m")]}
    found = one.ask("POST", "/alerts", rule, 422 if words else 201).json()
    assert not words or (found["pointer"] == "/condition" and words in found["detail"]), found


@pytest.mark.parametrize("fault", [("status", {"code": 500, "body": {"message": "Failed to evaluate queries: connection refused"}}),
                                   ("status", {"code": 404, "body": {"message": "Not found"}}), ("status", {"code": 403}), ("close", {}),
                                   ("html", {"code": 504}), ("slow", {"seconds": 60}),
                                   ("status", {"code": 500, "body": {"message": "[A] invalid API key of the data source"}})])
def test_an_evaluation_that_says_nothing(one, grafana, fault):
    """The data source's trouble, or a Grafana without this route, does not count as a mistake of the rule."""
    one.ask("POST", "/datasources", SOURCE, 200)
    struck = grafana.fail("POST", "^/api/v1/eval", fault[0], **fault[1])
    one.ask("POST", "/alerts", RULE, 201)
    assert struck.hits >= 1


def record(**more):
    rule = {key: RULE[key] for key in ("title", "data")}
    return {**rule, "record": {"metric": "job:up:sum", "from": "B", **more}}


@pytest.mark.parametrize("rule, pointer", [
    (record(**{"from": "Z"}), "/record/from"), (record(metric="1up"), "/record/metric"), (record(metric="a b"), "/record/metric"),
    ({**record(), "record": "up"}, "/record"), (record(**{"from": "A"}), "/record/from")])
def test_recording_rules_that_are_wrong(one, rule, pointer):
    one.ask("POST", "/datasources", SOURCE, 200)
    one.refused("POST", "/alerts", rule, 422, pointer)


@pytest.mark.asan
def test_recording_rules(one, grafana):
    """Grafana 9 would keep it as an alert rule: nothing of it stays. A later one takes it, without a condition."""
    one.ask("POST", "/datasources", SOURCE, 200)
    for states in ({}, {"no_data_state": "OK", "exec_err_state": "OK"}):
        found = one.ask("POST", "/alerts", {**record(), **states}, 422).json()
        assert found["pointer"] == "/record" and not grafana.rules
    read = grafana.org.rules._read
    grafana.org.rules._read = lambda call: {**read(call), "record": call.body()["record"], "noDataState": "OK", "execErrState": "OK"}
    made = one.ask("POST", "/alerts", record(), 201).json()
    assert made["record"]["metric"] == "job:up:sum" and grafana.rules[made["uid"]]["condition"] == "" and "warnings" not in made
    asked = next(request.json for request in reversed(grafana.requests) if request.path == "/api/v1/eval")
    assert asked["condition"] == "B"


# ---- Whose fault ----

@pytest.mark.parametrize("route, body, pointer", [
    ("/dashboards", {"dashboard": {"title": "x"}, "folderId": 9999}, "/folderId"),
    ("/dashboards", {"dashboard": {"title": "x"}, "folder_id": 9999}, "/folder_id"),
    ("/dashboards", {"dashboard": {"title": "x"}, "folder_uid": "nosuch"}, "/folder_uid"),
    ("/datasources", {"name": "x", "type": "prometheus", "url": "::no url"}, "/url"),
    ("/alerts", {**RULE, "annotations": {"__dashboardUid__": "d"}}, "/annotations/__panelId__"),
    ("/alerts", {**RULE, "annotations": {"__panelId__": "1"}}, "/annotations/__dashboardUid__"),
    ("/alerts", {**RULE, "annotations": {"__dashboardUid__": "d", "__panelId__": "x"}}, "/annotations/__panelId__"),
    ("/alerts", {**RULE, "folder_uid": "general"}, "/folder_uid"), ("/alerts", {**RULE, "folderUID": "general"}, "/folderUID"),
    ("/alerts", {**RULE, "no_data_state": "KeepLast"}, "/no_data_state"), ("/alerts", {**RULE, "exec_err_state": "KeepLast"}, "/exec_err_state")])
def test_mistakes_of_the_caller(one, grafana, route, body, pointer):
    if route == "/alerts":
        one.ask("POST", "/datasources", SOURCE, 200)
    found = one.ask("POST", route, body, 422).json()
    assert found["pointer"] == pointer and "is `url` right" not in found["detail"], found
    assert not grafana.folders and not grafana.rules and not grafana.dashboards


@pytest.mark.sanitized
@pytest.mark.parametrize("target, path, body", [
    ("dashboard", "/dashboards", {"dashboard": {"title": "second"}}), ("data_source", "/datasources", {"name": "second", "type": "loki"}),
    ("alert_rule", "/alerts", {**RULE, "title": "second", "folder_uid": "new"})])
def test_a_quota(one, grafana, target, path, body):
    one.ask("POST", "/datasources", SOURCE, 200)
    one.ask("POST", "/alerts", RULE, 201)
    one.ask("POST", "/dashboards", {"dashboard": {"title": "first"}}, 200)
    before = state(grafana)
    grafana.quotas[target] = 1
    found = one.ask("POST", path, body, 403).json()
    assert "quota" in found["detail"] and "permission" not in found["detail"] and "role Admin" not in found["detail"]
    assert found["upstream_status"] == 403 and state(grafana) == before


def test_a_rule_whose_folder_cannot_be_made(one, grafana):
    """Grafana 9 has taken the rule already: it does not stay where no user sees it. A later one refuses it until the folder is there."""
    one.ask("POST", "/datasources", SOURCE, 200)
    grafana.fail("POST", "^/api/folders", "status", code=403, times=1, body={"message": "Permissions needed: folders:create"})
    assert "folders:create" in one.ask("POST", "/alerts", RULE, 403).json()["detail"]
    assert not grafana.rules and not grafana.folders
    grafana.fail("POST", "alert-rules$", "status", code=400, times=1, body={"message": "invalid alert rule: folder does not exist"})
    made = one.ask("POST", "/alerts", RULE, 201).json()
    assert grafana.resolves(made["uid"]) == [] and list(grafana.folders) == ["sky-genesis"]


@pytest.mark.parametrize("kind, options", [("close", {"done": True}), ("half", {}), ("slow", {"seconds": 3})])
def test_a_rule_whose_answer_was_lost_is_shown(one, grafana, kind, options):
    """It may be there without its folder: the same once more says that it is there, and has made the folder."""
    one.ask("POST", "/datasources", SOURCE, 200)
    grafana.fail("POST", "alert-rules$", kind, times=1, **options)
    assert "may have been done" in one.ask("POST", "/alerts", RULE).json()["detail"]
    wait_until(lambda: grafana.rules, 10, "the rule")
    assert one.ask("POST", "/alerts", RULE, 409).json()["uid"] in grafana.rules
    assert all(grafana.resolves(uid) == [] for uid in grafana.rules) and len(grafana.rules) == 1


@pytest.mark.parametrize("code, header", [(429, "17"), (503, "30"), (429, None)])
def test_a_page_with_a_status(one, grafana, code, header):
    """A proxy's page keeps what its status says."""
    handler = next(iter([grafana.listener.RequestHandlerClass]))
    real = handler._html

    def html(self, request, _, code=502):
        self._send(request, code, "text/html", b"<html><title>Slow down</title></html>", **({"Retry-After": header} if header else {}))
    handler._html = html
    try:
        grafana.fail("GET", "^/api/search", "html", code=code)
        answer = one.ask("GET", "/dashboards")
    finally:
        handler._html = real
    assert answer.status_code == (503 if code == 429 else 502) and answer.json()["upstream_status"] == code
    assert answer.headers.get("Retry-After") == (header or "1") and "Slow down" in answer.json()["detail"]


@pytest.mark.parametrize("code, kind, text, words", [
    (400, "text/plain", "Client sent an HTTP request to an HTTPS server.\n", "Client sent an HTTP request to an HTTPS server."),
    (400, "text/html", "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title>", "plain HTTP request was sent to HTTPS port"),
    (404, "text/plain", "404 page not found\n", "404 page not found"), (403, "text/html", "<html><TITLE>Blocked</TITLE>", "Blocked")])
def test_strangers_are_quoted(one, grafana, code, kind, text, words):
    grafana.fail("GET", "^/api/search", "status", code=code, body=text, content_type=kind)
    found = one.ask("GET", "/dashboards", code=502).json()
    assert words in found["detail"] and "is `url` right" in found["detail"] and "permission" not in found["detail"], found


def test_what_grafana_has_from_a_file(one, grafana):
    grafana.org.dashboards.provision("prov", "Provisioned")
    before = state(grafana)
    for method, path, body in (("PUT", "/dashboards/prov", {"dashboard": {"title": "x"}}), ("DELETE", "/dashboards/prov", None),
                               ("POST", "/dashboards", {"dashboard": {"title": "Provisioned", "uid": "prov"}, "overwrite": True})):
        found = one.ask(method, path, body, 409).json()
        assert found["upstream_status"] == 400 and "change it in that file" in found["detail"], found
    assert state(grafana) == before


# ---- A key that is gone ----

@pytest.mark.parametrize("how, status", [("deleted", 500), ("unlinked", 500), ("disabled", 401), ("expired", 401)])
def test_a_key_that_is_gone_is_replaced(skymond, grafana, tmp_path, how, status):
    """With any wording of Grafana's: auth_failed, the key is read again, and the request is done with the new one."""
    old, new = grafana.add_key("admin"), grafana.add_key("admin")
    file = tmp_path / "key"

    def put(key):
        file.write_text(key + "\n")
        file.chmod(0o600)
    put(old)
    sm = skymond({"plugins": {"grafana": {"url": grafana.url, "api_key": {"file": str(file)}, "interval": "300ms"}}})
    sm.wait_component("grafana", status="healthy")
    put(new)
    grafana.revoke(old, how)
    assert sm.request("POST", "/api/v1/grafana/dashboards", json={"dashboard": {"title": "x"}}, timeout=20).status_code == 200
    grafana.revoke(new, how)
    found = sm.get("/api/v1/grafana/dashboards", timeout=20 * SLOW)
    assert found.status_code == 502 and found.json()["upstream_status"] == status and "does not accept the key" in found.json()["detail"]
    assert sm.wait_component("grafana", status="unhealthy", reason="auth_failed")
    put(grafana.add_key("admin"))
    wait_until(lambda: sm.get("/api/v1/grafana/dashboards", timeout=20).status_code == 200, 6 * SLOW, "the newest key")


# ---- Shared dashboards ----

def shared(*inputs, **more):
    panel = {"title": "p", "datasource": {"type": "prometheus", "uid": "${DS_PROM}"},
             "targets": [{"refId": "A", "expr": 'up{job="${VAR_JOB}"}', "datasource": "${DS_PROM}"}]}
    return {"title": "Shared", "uid": "shared", "panels": [panel], "__requires": [{"type": "grafana", "id": "grafana"}], "__inputs": list(inputs),
            **more}


PROM = {"name": "DS_PROM", "label": "Prometheus", "type": "datasource", "pluginId": "prometheus"}
JOB = {"name": "VAR_JOB", "type": "constant", "value": "api \"x\""}


def sources(one, *names):
    for name in names:
        one.ask("POST", "/datasources", {**SOURCE, "name": name, "uid": name.lower()}, 200)


@pytest.mark.sanitized
@pytest.mark.parametrize("there, inputs, uid", [
    (["One"], None, "one"), (["One", "Two"], {"DS_PROM": "two"}, "two"), (["One", "Two"], {"DS_PROM": "Two"}, "two"),
    (["One", "Two"], [{"name": "DS_PROM", "type": "datasource", "pluginId": "prometheus", "value": "One"}], "one")])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_inputs_are_filled(one, grafana, there, inputs, uid, method):
    sources(one, *there)
    one.ask("POST", "/datasources", {"name": "L", "type": "loki", "uid": "l"}, 200)
    if method == "PUT":
        save(one, "Shared", "shared")
    path = "/dashboards/shared" if method == "PUT" else "/dashboards"
    one.ask(method, path, {"dashboard": shared(PROM, JOB), **({"inputs": inputs} if inputs else {})}, 200)
    model = grafana.dashboards["shared"]["model"]
    assert model["panels"] == [{"title": "p", "datasource": {"type": "prometheus", "uid": uid}, "targets": [
        {"refId": "A", "expr": 'up{job="api "x""}', "datasource": uid}]}]
    assert grafana.panel_sources("shared") == [("p", uid, None)] and not [key for key in model if key.startswith("__")]
    assert "inputs" not in next(request.json for request in reversed(grafana.requests) if request.path == "/api/dashboards/db")


@pytest.mark.parametrize("there, model, inputs, pointer, words", [
    ([], shared(PROM, JOB), None, "/dashboard/__inputs/0", "Grafana has none"),
    (["One", "Two"], shared(PROM, JOB), None, "/dashboard/__inputs/0", "one, two"),
    (["One"], shared(PROM, JOB), {"DS_PROM": "nosuch"}, "/inputs/DS_PROM", "nosuch"),
    (["One"], shared(PROM, JOB), [{"name": "DS_PROM", "value": "l"}], "/inputs/0/value", "of the type prometheus"),
    (["One"], shared(PROM, {**JOB, "value": None}), None, "/dashboard/__inputs/1", "no value"),
    (["One"], shared(PROM, JOB), {"DS_PRMO": "one"}, "/inputs/DS_PRMO", "not an input"),
    (["One"], shared(PROM, {"type": "constant"}), None, "/dashboard/__inputs/1", "name"),
    (["One"], shared(PROM, JOB), "one", "/inputs", "a list"), (["One"], {"title": "x", "panels": []}, {"DS_PROM": "one"}, "/inputs/DS_PROM", ""),
    (["One", "Two"], {"title": "x", "panels": [{"datasource": "${DS_LOST}"}]}, None, "/dashboard/panels/0/datasource", "DS_LOST")])
def test_inputs_that_cannot_be_filled(one, grafana, there, model, inputs, pointer, words):
    sources(one, *there)
    one.ask("POST", "/datasources", {"name": "L", "type": "loki", "uid": "l"}, 200)
    found = one.refused("POST", "/dashboards", {"dashboard": model, **({"inputs": inputs} if inputs else {})}, 422, pointer)
    assert words in found["detail"] and not grafana.dashboards


def test_placeholders_of_other_kinds(one, grafana):
    """A variable of the dashboard's own stays; an input that the export has lost is filled; a library panel that came along is taken."""
    sources(one, "One")
    own = {"title": "Own", "uid": "own", "templating": {"list": [VARIABLE]}, "panels": [{"datasource": {"uid": "${DS_OWN}"}}]}
    one.ask("POST", "/dashboards", {"dashboard": own}, 200)
    assert grafana.dashboards["own"]["model"]["panels"] == own["panels"]
    lost = {"title": "Lost", "uid": "lost", "panels": [{"datasource": {"type": "prometheus", "uid": "${DS_LOST}"}, "max": 0.1}]}
    one.ask("POST", "/dashboards", {"dashboard": lost}, 200)
    assert grafana.dashboards["lost"]["model"]["panels"] == [{"datasource": {"type": "prometheus", "uid": "one"}, "max": 0.1}]
    element = {"uid": "lib", "name": "Lib", "kind": 1, "model": {"type": "stat", "datasource": "${DS_PROM}", "libraryPanel": {"uid": "lib"}}}
    panel = {"id": 7, "gridPos": {"x": 0}, "libraryPanel": {"uid": "lib", "name": "Lib"}}
    for elements in ({"lib": element}, [element]):
        model = shared(PROM, title="Elements", uid="elements", __elements=elements, panels=[panel, {"type": "row", "panels": [panel]}])
        one.ask("POST", "/dashboards", {"dashboard": model, "overwrite": True}, 200)
        taken = {"type": "stat", "datasource": "one", "id": 7, "gridPos": {"x": 0}}
        assert grafana.dashboards["elements"]["model"]["panels"] == [taken, {"type": "row", "panels": [taken]}]

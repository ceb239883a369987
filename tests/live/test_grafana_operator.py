# SPDX-License-Identifier: Apache-2.0
"""An operator's day, from a shell, in one run: apply, apply again, diff, check, the examples twice, a replaced key, a PUT with another
dashboard's title, a DELETE with a folder's uid. And what people have added to what ships: apply keeps it, apply --force does not."""
import copy
import json
import subprocess

import pytest

from grafana_server import GrafanaDouble
from harness import ROOT, SLOW, family_values, need, run_tool, wait_until
from openbao import OpenBao
from test_grafana import DASHBOARD as EXAMPLE
from test_grafana import RULE as EXAMPLE_RULE
from test_grafana import SOURCE
from test_grafana_apply import DASHBOARD, RULE, SHIPPED, SOURCE_FILE, Broker, failed, results
from test_grafana_kinds import state

BASE = "/api/v1/grafana"
ALL = len(list(SHIPPED.rglob("*.json"))) + 1  # the folder too


@pytest.fixture
def grafana():
    with GrafanaDouble() as double:
        yield double


@pytest.fixture
def content(tmp_path):
    folder = tmp_path / "content"
    for name, text in (("datasource", SOURCE_FILE), ("dashboards/one", DASHBOARD), ("rules/one", RULE)):
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(text))
    return folder


@pytest.fixture
def broker(skymond, grafana, tmp_path, content):
    def start(role="admin", **options):
        options.setdefault("content", str(content))
        return Broker(skymond, grafana, tmp_path, role, **options)
    return start


# ---- The whole day ----

class Shell:
    def __init__(self, sm):
        self.sm = sm

    def tool(self, *words):
        done = run_tool("grafana", *words, "--url", self.sm.url)
        return done.returncode, done.stdout.splitlines()

    def curl(self, method, path, body=None):
        words = ["curl", "-s", "-w", "\n%{http_code}", "-X", method, self.sm.url + BASE + path]
        if body is not None:
            words += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        text, _, code = subprocess.run(words, capture_output=True, text=True, timeout=40 * SLOW).stdout.rpartition("\n")
        return int(code), json.loads(text)


@pytest.mark.asan
def test_from_an_empty_grafana_on(skymond, grafana):
    need("curl")
    bao = OpenBao()
    try:
        key = grafana.add_key("admin")
        bao.put("grafana/api_key", key=key)
        sm = skymond({"plugins": {"grafana": {"url": grafana.url, "interval": "10m"}},
                      "components": {"vault": {"plugin": "vault", "address": bao.url, "token": bao.token}}})
        sm.wait_component("grafana", status="healthy")
        shell = Shell(sm)
        applied(shell, grafana)
        examples(shell, grafana)
        replaced_key(shell, grafana, bao, key)
        nothing_else_is_touched(shell, grafana)
        for words in (f"{ALL} created, 0 updated, 0 unchanged, 0 failed", f"0 created, 0 updated, {ALL} unchanged, 0 failed", "not replaced: ",
                      "not deleted: ", " saved, "):
            wait_until(lambda: any("area=audit" in line and words in line for line in sm.log_text().splitlines()), 5, words)
    finally:
        bao.close()


def applied(shell, grafana):
    code, lines = shell.tool("apply")
    assert (code, lines[-1]) == (0, f"{ALL} created, 0 updated, 0 unchanged, 0 failed"), lines
    before = state(grafana)
    code, lines = shell.tool("apply")
    assert (code, lines[-1]) == (0, f"nothing changed: 0 created, 0 updated, {ALL} unchanged, 0 failed")
    assert shell.tool("diff")[0] == 0 and shell.tool("check")[0] == 0
    assert shell.tool("diff", "--force")[0] == 0 and shell.tool("apply", "--force")[1][-1].startswith("nothing changed")
    assert state(grafana) == before and all(grafana.resolves(uid) == [] for uid in grafana.rules)


def examples(shell, grafana):
    rule = {**EXAMPLE_RULE, "title": "My error rate"}
    mine = {**SOURCE, "name": "Mine"}
    first = [("/datasources", mine, 200), ("/dashboards", {"dashboard": EXAMPLE}, 200), ("/alerts", rule, 201)]
    for path, body, code in first:
        assert shell.curl("POST", path, body)[0] == code
    before = state(grafana)
    for path, body, _ in first:
        code, found = shell.curl("POST", path, body)
        assert code == 409 and found["uid"], found
    assert state(grafana) == before


def replaced_key(shell, grafana, bao, old):
    """Put into Vault and reloaded: it is read at once, before the old one is refused. Deleted first: the next request has it replaced."""
    second, third = grafana.add_key("admin"), grafana.add_key("admin")
    bao.put("grafana/api_key", key=second)
    shell.sm.hup()

    def uses(key):
        assert shell.curl("GET", "/dashboards")[0] == 200
        return grafana.requests[-1].headers["authorization"] == f"Bearer {key}"
    wait_until(lambda: uses(second), 5 * SLOW, "the key that was put into Vault before the reload")
    grafana.revoke(old)
    assert [shell.curl("GET", "/dashboards")[0] for _ in range(5)] == [200] * 5
    bao.put("grafana/api_key", key=third)
    grafana.revoke(second)
    assert [shell.curl("GET", "/dashboards")[0] for _ in range(5)] == [200] * 5 and uses(third)
    assert any(answer.status == 500 for answer in grafana.requests if answer.headers["authorization"] == f"Bearer {second}")


def nothing_else_is_touched(shell, grafana):
    for title in ("Victim", "Attacker"):
        model = {"title": title, "uid": title.lower(), "x": "precious"}
        assert shell.curl("POST", "/dashboards", {"dashboard": model, "folder_uid": "sky-genesis"})[0] == 200
    before = state(grafana)
    code, found = shell.curl("PUT", "/dashboards/attacker", {"dashboard": {"title": "Victim"}})
    assert code == 409 and found["uid"] == "victim" and found["url"] == "/d/victim/victim"
    code, found = shell.curl("DELETE", "/dashboards/sky-genesis")
    assert code == 404 and "folder" in found["detail"]
    assert state(grafana) == before and "sky-genesis" in grafana.folders


# ---- What people have added ----

def items(one, query=""):
    return {item["uid"]: item for item in one.sm.get(f"{BASE}/diff{query}").json()["items"]}


def edit(grafana, content):
    """As people do. The files differ in something else, so that apply has to write."""
    rule, model = grafana.rules["r1"], grafana.dashboards["d1"]["model"]
    rule["labels"] = {"severity": "critical", "team": "ops", "route": "night"}
    rule["annotations"] = {"summary": "mine"}
    rule["isPaused"] = True
    rule["notification_settings"] = {"receiver": "ops"}
    model["panels"][0]["datasource"] = {"type": "prometheus", "uid": "mimir"}
    model["panels"][0]["targets"][0]["datasource"] = "mimir"
    model["description"] = "edited"
    shipped = {**DASHBOARD, "panels": [{**DASHBOARD["panels"][0], "title": "New title", "datasource": {"type": "prometheus", "uid": "prometheus"}}]}
    (content / "dashboards" / "one.json").write_text(json.dumps(shipped))
    (content / "rules" / "one.json").write_text(json.dumps({**RULE, "for": "30m"}))


def as_later(grafana):
    """A Grafana that keeps what people can set in its later versions."""
    read = grafana.org.rules._read
    grafana.org.rules._read = lambda call: {**read(call), **{key: call.body()[key] for key in ("isPaused", "notification_settings")
                                                              if key in call.body()}}


def test_what_people_have_added_stays(broker, grafana, content):
    one = broker()
    one.tool("apply")
    as_later(grafana)
    edit(grafana, content)
    found = items(one)
    assert set(found["r1"]["differences"]) == {"/for", "/labels/severity"}
    assert set(found["d1"]["differences"]) == {"/panels/0/title"}
    before = copy.deepcopy((grafana.rules["r1"], grafana.dashboards["d1"]["model"]))
    assert results(one.apply()) == {("folder", "sky-genesis"): "unchanged", ("datasource", "prometheus"): "unchanged",
                                    ("dashboard", "d1"): "updated", ("rule", "r1"): "updated"}
    rule, model = grafana.rules["r1"], grafana.dashboards["d1"]["model"]
    assert rule["labels"] == {"severity": "warning", "team": "ops", "route": "night"} and rule["annotations"] == {"summary": "mine"}
    assert rule["isPaused"] is True and rule["notification_settings"] == {"receiver": "ops"} and rule["for"] == "30m"
    assert model["panels"][0]["datasource"]["uid"] == "mimir" == model["panels"][0]["targets"][0]["datasource"]
    assert model["description"] == "edited" and model["panels"][0]["title"] == "New title"
    # and nothing but what diff has listed was changed
    assert {**rule, "for": before[0]["for"], "labels": before[0]["labels"], "updated": ""} == {**before[0], "updated": ""}
    before[1]["panels"][0]["title"] = "New title"
    assert {**model, "version": 0} == {**before[1], "version": 0}
    one.tool("diff")


def test_by_force_it_is_as_shipped(broker, grafana, content):
    one = broker()
    one.tool("apply")
    as_later(grafana)
    edit(grafana, content)
    with grafana.org.lock:
        grafana.org.dashboards._make_folder("team", "Team")
    grafana.dashboards["d1"]["folder"] = "team"
    found = items(one, "?force=true")
    assert set(found["r1"]["differences"]) == {"/for", "/labels/severity", "/labels/team", "/labels/route", "/annotations/summary",
                                               "/isPaused", "/notification_settings"}
    assert set(found["d1"]["differences"]) == {"/panels/0/title", "/panels/0/datasource/uid", "/panels/0/targets/0/datasource", "/description",
                                               "/folderUid"}
    lines = one.lines("diff", "--force", code=1)
    assert any("/labels/team" in line for line in lines)
    assert one.lines("apply", "--force")[-1] == "0 created, 2 updated, 2 unchanged, 0 failed"
    rule, model = grafana.rules["r1"], grafana.dashboards["d1"]["model"]
    assert rule["labels"] == {"severity": "warning"} and not rule.get("annotations") and not rule.get("isPaused")
    assert "notification_settings" not in rule and "description" not in model and "datasource" not in model["panels"][0]["targets"][0]
    assert model["panels"][0]["datasource"]["uid"] == "prometheus" and grafana.dashboards["d1"]["folder"] == "sky-genesis"
    assert one.lines("apply", "--force")[-1].startswith("nothing changed")
    one.tool("diff", "--force")


@pytest.mark.parametrize("query, code", [("?force=true", 200), ("?force", 200), ("?force=0", 200), ("?force=yes", 400), ("?forse=true", 400),
                                         ("?force=true&x=1", 400)])
def test_force_is_spelt_right(broker, query, code):
    one = broker()
    assert one.sm.request("POST", f"{BASE}/apply{query}", json={}).status_code == code
    assert one.sm.get(f"{BASE}/diff{query}").status_code == code
    done = run_tool("grafana", "check", "--force", "--url", one.sm.url)
    assert done.returncode == 2 and "check does not take --force" in done.stderr


def test_what_people_have_moved_stays(broker, grafana, content):
    """To another folder or group. General is not a folder, and a folder that is gone shows nothing: from there it comes back."""
    one = broker()
    one.tool("apply")
    for uid in ("team", "gone"):
        with grafana.org.lock:
            grafana.org.dashboards._make_folder(uid, uid)
    grafana.dashboards["d1"]["folder"] = "team"
    grafana.rules["r1"].update(folderUID="team", ruleGroup="every minute")
    one.tool("diff")
    edit(grafana, content)
    one.tool("apply")
    assert grafana.dashboards["d1"]["folder"] == "team" and grafana.dashboards["d1"]["model"]["panels"][0]["title"] == "New title"
    assert (grafana.rules["r1"]["folderUID"], grafana.rules["r1"]["ruleGroup"]) == ("team", "every minute")
    grafana.dashboards["d1"]["folder"] = ""
    grafana.rules["r1"]["folderUID"] = "gone"
    del grafana.folders["gone"]
    found = items(one)
    assert found["d1"]["differences"] == ["/folderUid"] and set(found["r1"]["differences"]) == {"/folderUID", "/ruleGroup"}
    one.tool("apply")
    assert grafana.dashboards["d1"]["folder"] == "sky-genesis" and grafana.resolves("r1") == []


def test_panels_and_variables_are_matched_by_name(broker, grafana, content):
    """A choice stays where a panel was added or moved, and the value of a variable of data sources stays."""
    variable = {"name": "ds", "type": "datasource", "query": "prometheus", "current": {"text": "Ours", "value": "prometheus"}}
    shipped = {**DASHBOARD, "templating": {"list": [variable]}, "panels": [
        {"id": 1, "title": "A", "datasource": {"uid": "${ds}"}}, {"id": 2, "title": "B", "datasource": {"uid": "${ds}"}}]}
    (content / "dashboards" / "one.json").write_text(json.dumps(shipped))
    one = broker()
    one.tool("apply")
    model = grafana.dashboards["d1"]["model"]
    model["templating"]["list"].insert(0, {"name": "mine", "type": "custom"})
    model["templating"]["list"][1]["current"] = {"text": "Mine", "value": "mimir"}
    model["panels"][1]["datasource"] = {"uid": "loki"}
    model["panels"].insert(0, {"id": 3, "title": "Mine"})
    assert set(items(one)["d1"]["differences"]) == {"/panels", "/templating/list"}
    one.tool("apply")
    model = grafana.dashboards["d1"]["model"]
    assert [(panel["title"], panel["datasource"]["uid"]) for panel in model["panels"]] == [("A", "${ds}"), ("B", "loki")]
    assert [one["current"]["value"] for one in model["templating"]["list"]] == ["mimir"]


# ---- Rules that are missing, on every Grafana ----

@pytest.mark.parametrize("listed", [{"code": 404, "body": {"message": "Not found"}}, {"code": 405, "body": ""}, {"code": 500}, {"code": 502}])
@pytest.mark.parametrize("missing", [None, {"code": 404, "body": "", "content_type": "text/plain"}, {"code": 404, "body": {"message": "x"}}])
def test_a_grafana_without_a_list_of_rules(broker, grafana, listed, missing):
    """Each is asked for, and is missing by 404, with or without a body, or by Grafana 9's 500."""
    one = broker()
    grafana.fail("GET", "/alert-rules$", "status", **listed)
    fault = grafana.fail("GET", "/alert-rules/r1$", "status", times=1, **missing) if missing else None
    assert results(one.apply())[("rule", "r1")] == "created" and (fault is None or fault.hits == 1)
    assert one.apply().json()["changed"] == 0
    one.tool("diff")


def test_a_rule_that_another_tool_keeps(broker, grafana):
    one = broker()
    one.tool("apply")
    grafana.rules["r1"].update(provenance="api", condition="A")
    answer = one.apply()
    assert answer.status_code == 409 and "change it there, or delete it there first" in failed(answer, "r1")


# ---- Others at the same time, and answers that show nothing ----

@pytest.mark.sanitized
def test_two_daemons_apply_at_once(broker, skymond, grafana, content, tmp_path):
    """Each looks once more where the other was quicker."""
    one = broker()
    folder = tmp_path / "second"
    folder.mkdir()
    other = Broker(skymond, grafana, folder, "admin", content=str(content))
    for path in ("^/api/datasources$", "^/api/dashboards/db", "/alert-rules$"):
        handler = {"^/api/datasources$": grafana.org.sources.create, "^/api/dashboards/db": grafana.org.dashboards.save,
                   "/alert-rules$": grafana.org.rules.create}[path]
        for all_of in (grafana.datasources, grafana.dashboards, grafana.rules):
            all_of.clear()
        at = next(i for i, (_, _, known) in enumerate(grafana.org.routes) if known == handler)
        method, pattern, _ = grafana.org.routes[at]

        def quicker(call, handler=handler):
            handler(call)  # the other's, which is the same
            return handler(call)
        grafana.org.routes[at] = (method, pattern, quicker)
        answer = one.apply()
        grafana.org.routes[at] = (method, pattern, handler)
        assert answer.status_code == 200, answer.text
        assert other.apply().json()["changed"] == 0
    one.tool("diff")


@pytest.mark.parametrize("kind, options, code", [("status", {"code": 429}, 503), ("html", {"code": 429}, 503), ("status", {"code": 401}, 502)])
def test_apply_stops(broker, grafana, kind, options, code):
    one = broker()
    grafana.fail("GET", "^/api/datasources", kind, **options)
    answer = one.apply()
    assert answer.status_code == code and (answer.headers.get("Retry-After") == "1") == (code == 503), answer.text
    assert [item["result"] for item in answer.json()["items"]][1:] == ["failed"] * 3
    assert not any(request.path.startswith("/api/dashboards") for request in grafana.requests)


@pytest.mark.asan
def test_apply_looks_after_a_500(broker, grafana):
    """Saved, and answered 500: what is there counts, and the item says what Grafana said."""
    one = broker()
    save = grafana.org.dashboards.save

    def saved(call):
        from grafana_state import refuse
        save(call)
        raise refuse(500, "Error while connecting library panels", traceID="")
    at = next(i for i, (_, _, known) in enumerate(grafana.org.routes) if known == save)
    grafana.org.routes[at] = (*grafana.org.routes[at][:2], saved)
    answer = one.apply()
    item = next(item for item in answer.json()["items"] if item["uid"] == "d1")
    assert answer.status_code == 200 and item["result"] == "created" and "it was done nevertheless" in item["message"]
    grafana.fail("POST", "/alert-rules$", "status", code=500, body={"message": "database is locked"})
    grafana.rules.clear()
    assert "database is locked" in failed(one.apply(), "r1") and "nevertheless" not in failed(one.apply(), "r1")


def test_a_stopped_grafana_is_not_an_error_of_the_service(grafana, skymond, tmp_path):
    """Its 502, 503 and 504 fire no HighErrorRate, and its time is not the service's; the daemon's own families count them."""
    grafana.fail("GET", "^/api/search", "slow", times=1, seconds=1)
    folder = tmp_path / "numbers"
    folder.mkdir()
    key = folder / "key"
    key.write_text(grafana.add_key("admin") + "\n")
    key.chmod(0o600)
    sm = skymond({"plugins": {"prometheus": {}, "grafana": {"url": grafana.url, "api_key": {"file": str(key)}, "interval": "1h"}}})
    sm.wait_component("grafana", status="healthy")
    assert sm.get(f"{BASE}/dashboards").status_code == 200
    grafana.stop()
    assert {sm.get(f"{BASE}/dashboards", timeout=40).status_code for _ in range(20)} <= {502, 503, 504}
    assert list(family_values(sm, "sky_genesis_error_rate_percent").values()) == [0]
    average, = family_values(sm, "sky_genesis_average_response_time_ms").values()
    assert average < 40  # 1 s in 25 requests
    requests = family_values(sm, "skymon_http_requests_total")
    assert sum(count for labels, count in requests.items() if "grafana/dashboards" in labels and 'code="5' in labels) == 20


def test_installed_content_has_no_row_without_a_value():
    for path in (ROOT / "share" / "skymon" / "grafana" / "rules").glob("*.json"):
        for text in json.loads(path.read_text())["annotations"].values():
            assert "$" not in text or ("{{ else }}" in text and "$" not in text.split("{{ else }}")[1]), (path.name, text)

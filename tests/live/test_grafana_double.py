# SPDX-License-Identifier: Apache-2.0
"""The Grafana of the tests answers as a real one did: every recorded exchange is replayed against a fresh one, in order. And what it does
beyond the recording: faults, TLS, what a rule and a panel would find.

What is Grafana's own is compared by its shape: uids that it made up (and where they come back later), ids, times, accessErrorId. The first
file was recorded on one Grafana, the second on three: one, one with quotas, one with a dashboard and a data source from files."""
import json
import pathlib
import re
import ssl
import threading
import time

import pytest
import requests

from grafana_server import GrafanaDouble
from grafana_state import EXCHANGES, EXCHANGES_2
from grafana_unproven import UNPROVEN
from harness import SLOW, wait_until

TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
SHAPES = {"created": TIME, "updated": TIME, "accessErrorId": re.compile(r"ACE\d{10}")}
RULE = next(row["request"]["body"] for row in EXCHANGES if row["case"] == "alert rule, complete")
SOURCE = {"name": "one", "type": "prometheus", "access": "proxy", "url": "http://127.0.0.1:9090"}


def shaped(value):
    """The value with what is Grafana's own replaced by its shape; a time keeps whether it has parts of a second."""
    if isinstance(value, list):
        return [shaped(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for key, one in value.items():
        if key in ("id", "folderId") and isinstance(one, int) and one > 0:
            found[key] = key
            continue
        fit = SHAPES[key].fullmatch(one) if key in SHAPES and isinstance(one, str) else None
        found[key] = shaped(one) if fit is None else (key, fit.re is TIME and fit.group(1) is not None)
    return found


def made_up(request, response):
    """The uid that Grafana made up in this answer, or None."""
    body, sent = response, request.get("body")
    if request["method"] != "POST" or not isinstance(sent, dict):
        return None
    if "uid" in sent or "uid" in (sent.get("dashboard") or {}) or sent.get("overwrite") or not isinstance(body, dict):
        return None
    return body.get("datasource", body).get("uid")


GRAFANAS = ("quota: ", "provisioned: ")  # how cases begin that were recorded on a Grafana of their own
GONE = {"org: token of a service account, deleted": "deleted", "org: service account disabled": "disabled"}


def grafana_of(case):
    return next((name for name in GRAFANAS if case.startswith(name)), "")


class Replay:
    """Does all of one file, once; [case] is (recorded answer, with the double's uids; the double's answer), both as (status, type, body)."""

    def __init__(self, rows):
        self.answers, self.uids = {}, {}
        for name in ("", *GRAFANAS):
            with GrafanaDouble() as grafana, requests.Session() as session:
                session.trust_env = False
                self._prepare(grafana, name)
                keys = {role: grafana.add_key(role) for role in ("admin", "editor", "viewer")}
                for row in rows:
                    if grafana_of(row["case"]) == name:
                        self._exchange(session, grafana, row, self._key(grafana, keys, row))

    @staticmethod
    def _prepare(grafana, name):
        if name == "quota: ":
            grafana.quotas.update(dashboard=1, data_source=1, alert_rule=1)
        if name == "provisioned: ":
            grafana.org.dashboards.provision("prov1", "Provisioned")
            grafana.org.sources.provision("prometheus", "Provisioned Prom", "http://127.0.0.1:9")

    @staticmethod
    def _key(grafana, keys, row):
        if row["role"] != "wrong":
            return keys.get(row["role"])
        if row["case"] not in GONE:
            return "glsa_nobody"
        key = grafana.add_key("admin")
        grafana.revoke(key, GONE[row["case"]])
        return key

    def _here(self, text):
        for theirs, ours in self.uids.items():
            text = text.replace(theirs, ours)
        return text

    def _exchange(self, session, grafana, row, key):
        request, response = row["request"], row["response"]
        body = request.get("raw_body") or (self._here(json.dumps(request["body"])) if "body" in request else None)
        headers = {"Content-Type": "application/json", **request.get("headers", {}), **({"Authorization": f"Bearer {key}"} if key else {})}
        answer = session.request(request["method"], grafana.url + self._here(request["path"]), data=body, headers=headers, timeout=10 * SLOW)
        ours = answer.json() if answer.content else None
        theirs = made_up(request, response["body"])
        if theirs and made_up(request, ours):
            assert re.fullmatch(r"[A-Za-z0-9_-]{9}", made_up(request, ours))
            self.uids[theirs] = made_up(request, ours)
        self.answers[row["case"]] = (
            (response["status"], response["content_type"], shaped(json.loads(self._here(json.dumps(response["body"]))))),
            (answer.status_code, answer.headers["Content-Type"], shaped(ours)))


@pytest.fixture(scope="module")
def replay():
    return [Replay(EXCHANGES), Replay(EXCHANGES_2)]


def test_cases_have_names_of_their_own():
    assert [len(rows) for rows in (EXCHANGES, EXCHANGES_2)] == [68, 104]
    assert all(len({row["case"] for row in rows}) == len(rows) for rows in (EXCHANGES, EXCHANGES_2))


@pytest.mark.parametrize("file, case", [(file, row["case"]) for file, rows in enumerate((EXCHANGES, EXCHANGES_2)) for row in rows])
def test_answers_as_recorded(replay, file, case):
    theirs, ours = replay[file].answers[case]
    assert ours == theirs


# ---- What is not recorded ----

def test_the_list_of_what_is_unproven_is_whole():
    """Each name that the code follows is in the list, each entry is followed by code and names its source."""
    here = pathlib.Path(__file__).parent
    text = "".join((here / f"grafana_{name}.py").read_text() for name in ("state", "dashboards", "rules", "expressions", "server"))
    assert set(re.findall(r'unproven\("([^"]+)"\)', text)) == set(UNPROVEN)
    assert all("grafana.com/docs" in source or "github.com/grafana" in source for source in UNPROVEN.values())
    assert "not recorded" not in re.sub(r'not recorded: |"not recorded"|500 "not recorded', "", text)


@pytest.mark.parametrize("method, path, body", [
    ("GET", "/api/search?type=dash-folder", None), ("GET", "/api/search?starred=true", None), ("GET", "/api/search?folderUIDs=f", None),
    ("POST", "/api/datasources", {"name": "x", "type": "t", "access": "proxy", "url": "gopher://x"}),
    ("POST", "/api/dashboards/db", {"dashboard": {"title": "F"}, "folderUid": "f"}),
    ("POST", "/api/dashboards/db", {"dashboard": {"title": "x"}, "isFolder": True})])
def test_what_is_not_recorded_is_refused(grafana, method, path, body):
    ask(grafana, "POST", "/api/folders", {"uid": "f", "title": "F"})
    answer = ask(grafana, method, path, body)
    assert answer.status_code == 500 and answer.json()["message"].startswith("not recorded: "), answer.text


# ---- Beyond the recording ----

@pytest.fixture
def grafana():
    with GrafanaDouble() as one:
        one.key = one.add_key("admin")
        yield one


def ask(grafana, method, path, body=None, key=None, session=requests, **options):
    headers = {"Authorization": f"Bearer {key or grafana.key}", **({"Content-Type": "application/json"} if body is not None else {})}
    return session.request(method, grafana.url + path, data=None if body is None else json.dumps(body), headers=headers,
                           timeout=10 * SLOW, allow_redirects=False, **options)


def test_new_default_takes_the_place_of_the_old(grafana):
    for name in ("one", "two"):
        assert ask(grafana, "POST", "/api/datasources", {**SOURCE, "name": name, "isDefault": True}).status_code == 200
    found = {row["name"]: row["isDefault"] for row in ask(grafana, "GET", "/api/datasources").json()}
    assert found == {"one": False, "two": True}


def test_put_of_a_data_source(grafana):
    uid = ask(grafana, "POST", "/api/datasources", {**SOURCE, "isDefault": True}).json()["datasource"]["uid"]
    done = ask(grafana, "PUT", f"/api/datasources/uid/{uid}", {**SOURCE, "url": "http://else:9090"})
    assert (done.status_code, done.json()["message"]) == (200, "Datasource updated")
    assert (grafana.datasources[uid]["url"], grafana.datasources[uid]["isDefault"]) == ("http://else:9090", False)
    assert ask(grafana, "PUT", "/api/datasources/uid/nosuch", SOURCE).status_code == 404


def test_equal_posts_at_once(grafana):
    meeting, codes = threading.Barrier(2), []

    def new_uid():  # between the look and the write, where two would meet if they could
        try:
            meeting.wait(0.3)
        except threading.BrokenBarrierError:
            pass
        return f"uid{len(grafana.datasources)}"
    grafana.org.new_uid = new_uid
    threads = [threading.Thread(target=lambda: codes.append(ask(grafana, "POST", "/api/datasources", SOURCE).status_code)) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200, 409]
    assert len(grafana.datasources) == 1


def test_an_editor_writes_dashboards_and_folders_only(grafana):
    editor = grafana.add_key("editor")
    held = ask(grafana, "GET", "/api/access-control/user/permissions", key=editor).json()
    assert {"dashboards:create", "folders:create"} <= set(held) and not {"datasources:create", "alert.provisioning:write"} & set(held)
    assert ask(grafana, "POST", "/api/folders", {"uid": "f", "title": "F"}, key=editor).status_code == 200
    saved = {"dashboard": {"title": "t", "uid": "u"}, "folderUid": "f"}
    assert ask(grafana, "POST", "/api/dashboards/db", saved, key=editor).status_code == 200
    assert ask(grafana, "GET", "/api/dashboards/uid/u", key=editor).json()["meta"]["folderUid"] == "f"
    assert ask(grafana, "DELETE", "/api/dashboards/uid/u", key=editor).status_code == 200
    assert ask(grafana, "GET", "/api/v1/provisioning/alert-rules", key=editor).status_code == 403


def test_search_by_folder_and_pages(grafana):
    ask(grafana, "POST", "/api/folders", {"uid": "f", "title": "F"})
    for number in range(1001):
        folder = {"folderUid": "f"} if number < 3 else {}
        assert ask(grafana, "POST", "/api/dashboards/db", {"dashboard": {"title": f"d{number:04}"}, **folder}).status_code == 200

    def titles(query):
        return [row["title"] for row in ask(grafana, "GET", f"/api/search?{query}").json()]
    number = ask(grafana, "GET", "/api/folders").json()[0]["id"]
    assert titles(f"type=dash-db&folderIds={number}") == ["d0000", "d0001", "d0002"]
    assert len(titles("type=dash-db")) == 1000
    assert titles("type=dash-db&page=2") == ["d1000"]
    assert titles("")[0] == "F"


@pytest.mark.parametrize("how, code, words", [("deleted", 500, "invalid API key"), ("disabled", 401, "Service account is disabled"),
                                              ("expired", 401, "Expired API key"), ("unlinked", 500, "Unable to link API key")])
def test_a_key_that_is_gone(grafana, how, code, words):
    grafana.revoke(grafana.key, how)
    answer = ask(grafana, "GET", "/api/org")
    assert answer.status_code == code and words in answer.json()["message"]


@pytest.mark.parametrize("sent, shown", [("90m", "1h30m"), ("60s", "1m"), ("7d", "1w"), ("90d", "90d"), ("0", "0s"), ("100ms", "100ms")])
def test_durations(grafana, sent, shown):
    done = ask(grafana, "POST", "/api/v1/provisioning/alert-rules", {**RULE, "for": sent})
    assert (done.status_code, done.json()["for"]) == (201, shown)


def test_what_evaluation_finds(grafana):
    uid = ask(grafana, "POST", "/api/v1/provisioning/alert-rules", {**RULE, "condition": "Z"}).json()["uid"]
    assert grafana.resolves(uid) == ["the folder 'sky-genesis' does not exist: no rule group shows the rule",
                                     "the condition 'Z' names no refId", "query 'A': failed to build query: data source 'prometheus' not found"]
    assert ask(grafana, "GET", "/api/v1/provisioning/folder/sky-genesis/rule-groups/sky-genesis").status_code == 404
    ask(grafana, "POST", "/api/folders", {"uid": "sky-genesis", "title": "Sky Genesis"})
    ask(grafana, "POST", "/api/datasources", {**SOURCE, "uid": "prometheus"})
    assert ask(grafana, "PUT", f"/api/v1/provisioning/alert-rules/{uid}", RULE).status_code == 200
    assert grafana.resolves(uid) == []
    broken = json.loads(json.dumps(grafana.rules[uid]))
    broken["data"][1]["model"]["expression"] = "Q"
    assert grafana.resolves(broken) == ["query 'B': the expression names 'Q', which is no refId"]


def test_what_panels_ask(grafana):
    def source(wanted, **more):
        panel = {"title": "p", "targets": [{}], **({} if wanted is None else {"datasource": wanted})}
        (_, uid, wrong), = grafana.panel_sources({"panels": [panel], **more})
        assert (uid is None) != (wrong is None)
        return uid
    chosen = {"templating": {"list": [{"name": "ds", "type": "datasource", "query": "prometheus"}]}}
    assert source(None) is source("one") is source({"uid": "${ds}"}, **chosen) is None
    ask(grafana, "POST", "/api/datasources", {**SOURCE, "uid": "u"})
    assert source(None) is source({"uid": "nosuch"}) is source("${ds}") is None
    assert source("one") == source("u") == source({"type": "prometheus", "uid": "u"}) == source({"uid": "${ds}"}, **chosen) == "u"
    ask(grafana, "POST", "/api/datasources", {**SOURCE, "name": "two", "uid": "v", "isDefault": True})
    assert source(None) == source("$ds", **chosen) == "v"


# ---- Faults, as a client sees them ----

def test_status_and_times(grafana):
    fault = grafana.fail("GET", "^/api/org$", "status", times=2, code=412, body={"message": "no", "status": "x"})
    assert [ask(grafana, "GET", "/api/org").status_code for _ in range(3)] == [412, 412, 200]
    assert ask(grafana, "GET", "/api/folders").status_code == 200
    assert (fault.hits, [one.status for one in grafana.requests]) == (2, [412, 412, 200, 200])


@pytest.mark.parametrize("kind, options", [("reset", {}), ("reset", {"done": True}), ("close", {}), ("close", {"done": True})])
def test_answers_that_do_not_arrive(grafana, kind, options):
    grafana.fail("POST", "", kind, times=1, **options)
    with pytest.raises(requests.ConnectionError) as seen:
        ask(grafana, "POST", "/api/datasources", SOURCE)
    assert ("reset by peer" in str(seen.value)) == (kind == "reset")
    assert len(grafana.datasources) == bool(options)
    assert ask(grafana, "POST", "/api/datasources", SOURCE).status_code == (409 if options else 200)


def test_half_an_answer(grafana):
    grafana.fail("POST", "", "half", times=1)
    answer = ask(grafana, "POST", "/api/datasources", SOURCE)  # requests does not mind
    assert 0 < len(answer.content) == int(answer.headers["Content-Length"]) // 2
    assert len(grafana.datasources) == 1


def test_a_kept_connection_is_closed(grafana):
    grafana.fail("GET", "", "close", kept=True)
    with requests.Session() as session:
        assert ask(grafana, "GET", "/api/org", session=session).status_code == 200
        with pytest.raises(requests.ConnectionError):
            ask(grafana, "GET", "/api/org", session=session)
    grafana.heal()
    with requests.Session() as session:
        assert [ask(grafana, "GET", "/api/org", session=session).status_code for _ in range(2)] == [200, 200]
        assert len(grafana.connections) == 1


def test_slow_answers_come_and_end_with_the_fault(grafana):
    begun = time.monotonic()
    grafana.fail("GET", "", "slow", times=1, seconds=0.2)
    assert ask(grafana, "GET", "/api/org").status_code == 200
    assert time.monotonic() - begun >= 0.2
    grafana.fail("GET", "", "slow", seconds=600)
    seen = []

    def get():
        try:
            ask(grafana, "GET", "/api/org", session=requests)
        except requests.ConnectionError as error:
            seen.append(error)
    threads = [threading.Thread(target=get) for _ in range(64)]
    for thread in threads:
        thread.start()
    wait_until(lambda: grafana.busy == 64, 10, "64 requests at once")
    grafana.heal()
    for thread in threads:
        thread.join(10 * SLOW)
    assert len(seen) == 64


def test_strange_answers(grafana):
    for kind, code, content_type, options in (("garbage", 200, "application/json", {}), ("html", 502, "text/html", {}),
                                              ("html", 200, "text/html", {"code": 200}),
                                              ("redirect", 302, "text/html", {"location": "http://127.0.0.1:1/"})):
        grafana.fail("*", "", kind, times=1, **options)
        answer = ask(grafana, "GET", "/api/org")
        assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (code, content_type)
        assert answer.headers.get("Location") == options.get("location")
        with pytest.raises(ValueError):
            answer.json()


def test_an_answer_of_50_mib(grafana):
    fault = grafana.fail("GET", "", "big")
    answer = ask(grafana, "GET", "/api/search")
    assert (len(answer.content), answer.json()) == ((50 << 20) + 2, [])
    with ask(grafana, "GET", "/api/search", stream=True) as answer:
        answer.raw.read(1000)
    wait_until(lambda: grafana.busy == 0, 10, "the double to notice that the client left")
    assert fault.sent < 2 * (50 << 20)


def test_stopped_it_refuses(grafana):
    grafana.stop()
    with pytest.raises(requests.ConnectionError, match="refused"):
        ask(grafana, "GET", "/api/org")
    grafana.start()
    assert ask(grafana, "GET", "/api/org").status_code == 200


def test_below_a_path():
    with GrafanaDouble(prefix="/grafana/") as grafana:
        grafana.key = grafana.add_key("admin")
        assert grafana.url.endswith("/grafana")
        url = ask(grafana, "POST", "/api/dashboards/db", {"dashboard": {"title": "t", "uid": "u"}}).json()["url"]
        assert (url, grafana.requests[0].path) == ("/grafana/d/u/t", "/api/dashboards/db")
        assert requests.get(grafana.url.removesuffix("/grafana") + "/api/health", timeout=10).status_code == 404


def test_tls_with_client_certificates(certs):
    with GrafanaDouble(certificate=(certs.pem("good"), certs.key("good")), client_ca=certs.ca) as grafana:
        grafana.key = grafana.add_key("admin")
        mine = (certs.pem("client"), certs.key("client"))
        assert ask(grafana, "GET", "/api/org", verify=certs.ca, cert=mine).status_code == 200
        for options in ({"verify": certs.ca}, {"verify": certs.other_ca, "cert": mine}):
            with pytest.raises((requests.ConnectionError, ssl.SSLError)):
                ask(grafana, "GET", "/api/org", **options)
        assert len(grafana.requests) == 1

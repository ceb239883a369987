# SPDX-License-Identifier: Apache-2.0
"""Access tokens: how long they are, files that change, wrong ones; and audit lines that no worker can forge. The table of routes that ask for one is
in test_http.py."""
import json
import pathlib
import re
import subprocess

import pytest

from harness import SOURCE, family_values, free_port, run_skymond, run_tool, wait_until
from test_grafana import grafana  # noqa: F401
from test_http import watched
from test_wire_claims import TYPES
from test_workers import component

FIRST, SECOND = "the-first-token-", "the-second-token"
PUBLIC = ["health", "component", "ready", "alive"]


def put(path, text):
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.chmod(0o600)
    draft.rename(path)


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("text", ["", "x", "fifteen-bytes-x"])
@pytest.mark.parametrize("kind", ["literal", "env", "file"])
def test_a_short_token_is_a_mistake_of_the_config(tmp_path, kind, text):
    put(tmp_path / "token", text + "\n")
    token = {"literal": text, "env": {"env": "TOKEN"}, "file": {"file": str(tmp_path / "token")}}[kind]
    done = run_skymond({"access": {"token": token}, "plugins": {"prometheus": {}}}, "--check-config", env={"TOKEN": text}, name="c.yaml")
    if text != "" or kind == "literal":
        assert done.returncode == 2 and "c.yaml:" in done.stderr, done.stderr
        assert text == "" or "shorter than 16 bytes" in done.stderr, done.stderr
        assert len(text) < 2 or text not in done.stderr
    fine = run_skymond({"access": {"token": FIRST}, "plugins": {"prometheus": {}}}, "--check-config")
    assert fine.returncode == 0, fine.stderr


def test_a_file_that_changes(skymond, tmp_path):
    """It is read again without a signal; what cannot be used leaves the old token in force, and a reload is refused. Two daemons, as each look
    at the file takes its time."""
    one, two = tmp_path / "one", tmp_path / "two"
    daemons = {}
    for token in (one, two):
        put(token, FIRST)
        daemons[token] = skymond(watched(tmp_path, access={"token": {"file": str(token)}, "public": PUBLIC}))

    def codes(token):
        return [daemons[token].get("/metrics", headers=bearer(word)).status_code for word in (FIRST, SECOND, "short")]

    assert codes(one) == codes(two) == [200, 401, 401]
    put(one, SECOND)
    put(two, "short")
    daemons[one].wait_log("was read again", timeout=20)
    assert codes(one) == [401, 200, 401]
    assert "the old one stays: it is shorter than 16 bytes" in daemons[two].wait_log("cannot be read", timeout=20)
    assert codes(two) == [200, 401, 401]
    marks = {token: sm.log_mark() for token, sm in daemons.items()}
    daemons[two].hup()
    assert "shorter than 16 bytes" in daemons[two].wait_log("the token of `access`", after=marks[two])
    assert codes(two) == [200, 401, 401]
    one.unlink()
    put(two, SECOND)
    daemons[one].wait_log("the old one stays", timeout=20, after=marks[one])
    assert codes(one) == [401, 200, 401]
    daemons[two].wait_log("was read again", timeout=20, after=marks[two])
    assert codes(two) == [401, 200, 401]
    for sm in daemons.values():
        assert FIRST not in sm.log_text() and SECOND not in sm.log_text()


def failed(sm, token=FIRST):
    text = sm.get("/metrics", headers=bearer(token)).text
    return int(re.search(r"^skymon_http_failed_tokens_total (\d+)$", text, re.M).group(1))


def test_wrong_tokens_are_counted_and_logged(skymond, tmp_path):
    sm = skymond(watched(tmp_path, access={"token": FIRST, "public": PUBLIC}))
    for path, headers, counts in [("/metrics", bearer("x"), 1), ("/metrics", bearer(FIRST + "x"), 1), ("/metrics", bearer(FIRST[:-1]), 1),
                                  ("/metrics", {"Authorization": "Basic eDp5"}, 1), ("/", bearer(""), 1), ("/api/v1/status", bearer("x"), 1),
                                  ("/api/v1/health", bearer("x"), 1),  # it is public, and shows more with the right one, so guesses can be tried there
                                  ("/metrics", {}, 0), ("/api/v1/alive", {}, 0), ("/metrics", bearer(FIRST), 0), ("/nowhere", bearer("x"), 0)]:
        before = failed(sm)
        sm.get(path, headers=headers)
        assert failed(sm) - before == counts, (path, headers)
    line = sm.wait_log("a wrong token was sent")
    assert re.match(r"area=access ts=\S+ level=warn client=127\.0\.0\.1 path=/metrics msg=", line)
    for _ in range(100):
        sm.get("/metrics", headers=bearer("guess"))
    assert failed(sm) >= 107
    lines = [line for line in sm.log_lines() if line.startswith("area=access")]
    assert 5 <= len(lines) <= 15 and "guess" not in sm.log_text()


def test_skymon_status_names_the_option_that_is_missing(skymond, tmp_path):
    sm = skymond(watched(tmp_path, access={"token": FIRST}))
    done = run_tool("status", "--url", sm.url)
    assert done.returncode == 3 and "answered 401" in done.stderr and "; --token-file sends it" in done.stderr, done
    put(tmp_path / "right", FIRST)
    put(tmp_path / "wrong", SECOND)
    wait_until(lambda: run_tool("status", "--url", sm.url, "--token-file", tmp_path / "right").returncode == 0, what="exit code 0")
    done = run_tool("status", "--url", sm.url, "--token-file", tmp_path / "wrong")
    assert done.returncode == 3 and "--token-file" not in done.stderr, done


def test_wrong_tokens_of_the_broker_count_too(skymond, grafana):
    sm = skymond({"plugins": {"prometheus": {}, "grafana": {"url": grafana.url, "api_key": grafana.add_key("admin"), "read_access": "token",
                                                            "access_token": SECOND}}})
    sm.wait_component("grafana", status="healthy")
    for headers, code, counts in [(bearer("x"), 401, 1), (bearer(SECOND), 200, 0), ({}, 401, 0)]:
        before = family_values(sm, "skymon_http_failed_tokens_total")[""]
        assert sm.get("/api/v1/grafana/dashboards", headers=headers).status_code == code
        assert family_values(sm, "skymon_http_failed_tokens_total")[""] - before == counts
    # the daemon's own token in front: the broker's is sent in the same header
    both = skymond({"access": {"token": FIRST, "public": ["grafana"]},
                    "plugins": {"prometheus": {}, "grafana": {"url": grafana.url, "api_key": grafana.add_key("admin"), "read_access": "token",
                                                              "access_token": SECOND}}})
    wait_until(lambda: both.get("/api/v1/grafana/dashboards", headers=bearer(SECOND)).status_code == 200, 10, "the broker")
    before = failed(both)
    assert both.get("/api/v1/grafana/dashboards", headers=bearer(SECOND)).status_code == 200
    assert failed(both) == before
    assert both.get("/api/v1/grafana/dashboards", headers=bearer("x")).status_code == 401
    assert failed(both) == before + 1


# ---- Audit lines ----

def grep_of_the_readme():
    """The pattern that doc/grafana.md gives."""
    return re.search(r"grep '(\^area=audit[^']*)'", pathlib.Path(SOURCE, "doc", "grafana.md").read_text()).group(1)


def grep(pattern, text):
    return subprocess.run(["grep", "-a", pattern], input=text, capture_output=True, text=True, errors="replace").stdout.splitlines()


@pytest.mark.parametrize("level", ["info", "error"])
@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_a_hostile_plugin_forges_no_audit_line(skymond, level, form):
    """It logs, prints, reports and answers text that looks like one, and writes some into the wire itself, where no runner cleans it;
    the document's grep finds the daemon's own lines alone, at every level."""
    port = free_port()
    sm = skymond({"log": {"format": form, "level": level}, "plugins": {"t_forge": {"interval": "200ms"}},
                  "components": {"other": component("t_forge", interval="200ms"),
                                 "raw": component("t_forge_wire", type=TYPES["LOG"], own=True, interval="200ms")}}, listen=f"127.0.0.1:{port}", wait=False)
    sm.url = f"http://127.0.0.1:{port}"
    wait_until(lambda: sm.component("t_forge")["status"] == "degraded", 10, "its check")
    wait_until(lambda: sm.component("raw")["status"] == "healthy", 10, "what it has written into the wire")
    for what in ("one", "area=audit", "%0Aarea=audit"):
        sm.get(f"/forge/{what}")
    pattern = grep_of_the_readme() if form == "logfmt" else '^{"area":"audit"'
    lines = wait_until(lambda: len(found := grep(pattern, sm.log_text())) >= 3 and found, 5, "the lines")
    assert len(lines) == 3, lines
    for line, what in zip(lines, ("one", "area=audit", "%0Aarea=audit")):
        if form == "json":
            found = json.loads(line)
            assert (found["client"], found["path"], found["code"]) == ("127.0.0.1", f"/forge/{what}", "200")
        else:
            assert "client=127.0.0.1 " in line.split(" msg=")[0] and f"/forge/{what}" in line.split(" msg=")[0]
    sm.wait_log("10.9.8.7")  # it was logged, as what it is
    assert not [line for line in sm.log_lines() if "10.9.8.7" in line and not re.match(r'(ts=|area=audit ts=\S+ level=info client=127|{"ts":|{"area":"audit","ts")',
                                                                                      line)]

# SPDX-License-Identifier: Apache-2.0
"""Users that log in by name and password: right, wrong, missing and many; what a browser is asked and what a foreign page cannot do with its login; files that
change; and that verifying a password holds up no other request."""
import base64
import concurrent.futures
import subprocess
import sys
import time

import pytest

from harness import SLOW, run_skymond, wait_until
from test_access import bearer, put
from test_http import watched
from test_page import chromium, look  # noqa: F401 (a fixture)

TOKEN = "the-token-of-this-test"
NAVIGATES = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}


def bcrypt(password, cost, prefix="2b"):
    """By libcrypt itself."""
    code = ("import ctypes, sys; c = ctypes.CDLL('libcrypt.so.1'); c.crypt_gensalt.restype = c.crypt.restype = ctypes.c_char_p; "
            "salt = c.crypt_gensalt(sys.argv[2].encode(), int(sys.argv[3]), b'0123456789abcdef', 16); print(c.crypt(sys.argv[1].encode(), salt).decode())")
    made = subprocess.run([sys.executable, "-c", code, password, f"${prefix}$", str(cost)], capture_output=True, text=True, check=True).stdout.strip()
    assert len(made) == 60, made
    return made


def login(name, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def start(skymond, tmp_path, users, public=("alive",), **more):
    listed = {}
    for name, text in users.items():
        put(tmp_path / f"{len(listed)}.hash", text + "\n")
        listed[name] = {"file": str(tmp_path / f"{len(listed)}.hash")}
    config = watched(tmp_path, access={"users": listed, "public": list(public)}, **more)
    config["plugins"] = {"prometheus": {}, "page": {}}
    return skymond(config)


# ---- The configuration ----

@pytest.mark.parametrize("access, sentence", [
    ({"users": {}}, "access needs the option `token` or `users`"),
    ({"users": {"ops": "secret-word"}}, "the password of user `ops`: it is not a bcrypt hash"),
    ({"users": {"ops": "$2y$31$" + "a" * 53}}, "its cost is 31, and may be 4 to 15"),
    ({"users": {"ops": "$6$salt$" + "a" * 52}}, "not a bcrypt hash"),
    ({"users": {"o:ps": "$2y$10$" + "a" * 53}}, "not a valid user name"),
    ({"users": {"o ps": "$2y$10$" + "a" * 53}}, "not a valid user name"),
    ({"users": ["ops"]}, "must be a map of names"),
    ({"users": {"ops": {"vault": "a#b"}}}, "must be a text, {env: NAME} or {file: PATH}"),
    ({"users": {"ops": {"file": "/nowhere/hash"}}}, "/nowhere/hash"),
])
def test_mistakes(access, sentence):
    done = run_skymond({"access": access, "plugins": {"prometheus": {}}}, "--check-config")
    assert done.returncode == 2 and sentence in done.stderr and "secret-word" not in done.stderr, done.stderr


def test_others_must_not_write_the_file(tmp_path):
    path = tmp_path / "hash"
    put(path, bcrypt("right", 4))
    config = {"access": {"users": {"ops": {"file": str(path)}}}, "plugins": {"prometheus": {}}}
    assert run_skymond(config, "--check-config").returncode == 0
    path.chmod(0o602)
    done = run_skymond(config, "--check-config")
    assert done.returncode == 2 and str(path) in done.stderr, done.stderr


def test_no_hash_is_printed(tmp_path):
    hashed = bcrypt("right", 4)
    done = run_skymond({"access": {"users": {"ops": hashed, "more": {"env": "HASH"}}}, "plugins": {"prometheus": {}}}, "--print-config", env={"HASH": hashed})
    assert done.returncode == 0 and hashed not in done.stdout + done.stderr and "users:" in done.stdout and "{env: " in done.stdout, done


# ---- Logins ----

def test_right_wrong_and_missing(skymond, tmp_path):
    sm = start(skymond, tmp_path, {"ops": bcrypt("right", 4), "o.dd@example": bcrypt("grün: 2", 5, "2y"), "a": bcrypt("x" * 72, 4, "2a")}, public=("health", "component", "alive"))
    sm.wait_component("db", reason="ok")
    for name, password in (("ops", "right"), ("o.dd@example", "grün: 2"), ("a", "x" * 72), ("ops", "right")):
        for path in ("/", "/status.html", "/api/v1/status", "/metrics"):
            assert sm.get(path, headers=login(name, password)).status_code == 200, (name, path)
        assert sm.component("db")["message"] == "" != sm.get("/api/v1/health/db", headers=login(name, password)).json()["message"]
    for headers in ({}, login("ops", "wrong"), bearer("right")):
        answer = sm.get("/api/v1/status", headers=headers)
        assert answer.status_code == 401, headers
        assert answer.raw.headers.getlist("WWW-Authenticate") == ["Bearer", 'Basic realm="skymon", charset="UTF-8"']
    assert sm.request("HEAD", "/", headers=login("ops", "right")).status_code == 200
    assert sm.request("OPTIONS", "/api/v1/health", headers=login("ops", "right")).status_code == 200
    for name, password, code in (("ops", "right", 201), ("ops", "wrong", 401)):
        answer = sm.request("POST", "/api/v1/maintenance", json={"components": ["db"], "for": "1h", "why": "new disk"}, headers=login(name, password))
        assert answer.status_code == code, answer.text
        assert code != 201 or answer.json()["by"] == "ops"
        assert (" login=ops " in sm.wait_log(f"path=/api/v1/maintenance code={code}")) == (code == 201)
    text = sm.wait_log("a wrong name or password was sent")
    assert text.startswith("area=access") and "client=127.0.0.1" in text


@pytest.mark.parametrize("value", ["Basic", "Basic ", "Basic !!!!", "Basic b3Bz", "Basic Og==", "Basic b3BzOgByaWdodA==", "Basic " + "A" * 2000, "Basic b3BzOnJpZ2h0 x",
                                   "basic\tb3BzOnJpZ2h0", "Digest b3BzOnJpZ2h0", "Basic b3BzOnJpZ2g=", "Basic T1BTOnJpZ2h0"])
def test_odd_headers(skymond, tmp_path, value):
    sm = start(skymond, tmp_path, {"ops": bcrypt("right", 4)})
    expected = 200 if value == "Basic b3BzOnJpZ2h0 x" else 401
    assert sm.get("/metrics", headers={"Authorization": value}).status_code in (expected, 401)
    assert sm.get("/metrics", headers=login("ops", "right")).status_code == 200


def test_a_token_beside_them(skymond, tmp_path):
    put(tmp_path / "hash", bcrypt("right", 4))
    sm = skymond(watched(tmp_path, access={"token": TOKEN, "users": {"ops": {"file": str(tmp_path / "hash")}}}))
    for headers, code in ((bearer(TOKEN), 200), (login("ops", "right"), 200), (bearer("right"), 401), (login("ops", TOKEN), 401)):
        assert sm.get("/metrics", headers=headers).status_code == code
    only = skymond(watched(tmp_path, access={"token": TOKEN}))
    assert only.get("/metrics", headers=login("ops", "right")).status_code == 401
    assert only.get("/metrics").raw.headers.getlist("WWW-Authenticate") == ["Bearer"]


def test_a_file_that_changes(skymond, tmp_path):
    sm = start(skymond, tmp_path, {"ops": bcrypt("right", 4)})
    assert sm.get("/metrics", headers=login("ops", "right")).status_code == 200
    put(tmp_path / "0.hash", bcrypt("other", 4) + "\n")
    sm.wait_log("are read again", timeout=20)
    assert sm.get("/metrics", headers=login("ops", "right")).status_code == 401, "not remembered"
    assert sm.get("/metrics", headers=login("ops", "other")).status_code == 200
    put(tmp_path / "0.hash", "rubbish\n")
    mark = sm.log_mark()
    sm.hup()
    assert "the password of user `ops`" in sm.wait_log("not a bcrypt hash", after=mark)
    assert sm.get("/metrics", headers=login("ops", "other")).status_code == 200, "the reload was refused"
    sm.write_config(watched(tmp_path, access={"token": TOKEN}))
    mark = sm.log_mark()
    sm.hup()
    sm.wait_log("reload", after=mark)
    wait_until(lambda: sm.get("/metrics", headers=bearer(TOKEN)).status_code == 200, what="the new configuration")
    assert sm.get("/metrics", headers=login("ops", "other")).status_code == 401


# ---- Many ----

@pytest.mark.sanitized
def test_many_guesses(skymond, tmp_path):
    """Ten at once, then slowly; a user that has logged in does not wait."""
    sm = start(skymond, tmp_path, {"ops": bcrypt("right", 4)})
    assert sm.get("/metrics", headers=login("ops", "right")).status_code == 200
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        codes = list(pool.map(lambda n: sm.get("/metrics", headers=login("ops" if n % 2 else "nobody", f"guess {n}")).status_code, range(60)))
    assert set(codes) <= {401, 429, 503} and 1 <= codes.count(401) <= 10 + 3 * SLOW and codes.count(429) >= 20, codes
    # each 5 s one more is verified: that may be the next one
    wait = wait_until(lambda: sm.get("/metrics", headers=login("ops", "one more")).headers.get("Retry-After"), what="one that is refused")
    assert 1 <= int(wait) <= 50
    assert sm.get("/metrics", headers=login("ops", "right")).status_code == 200
    assert "guess" not in sm.log_text()


def test_verifying_holds_up_no_other_request(skymond, tmp_path):
    """While passwords are verified, which takes half a second of CPU each, the daemon answers; and it stops in good order."""
    sm = start(skymond, tmp_path, {"ops": bcrypt("right", 13)})
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(sm.get, "/metrics", headers=login("ops", f"guess {n}"), timeout=120 * SLOW) for n in range(3)]
        answered = 0
        while not any(each.done() for each in waiting):
            assert sm.get("/api/v1/alive").status_code == 200
            answered += 1
            time.sleep(0.01)
        assert answered >= 10, "one password takes longer than ten answers"
        sm.stop(timeout=120)
        assert {each.result().status_code for each in waiting} <= {401}


def test_a_reload_while_verifying(skymond, tmp_path):
    sm = start(skymond, tmp_path, {"ops": bcrypt("right", 13)})
    changed = watched(tmp_path, access={"users": {"ops": {"file": str(tmp_path / "0.hash")}}})
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(sm.get, path, headers=login("ops", "right")) for path in ("/status.html", "/metrics", "/")]
        mark = sm.log_mark()
        sm.write_config(changed)
        sm.hup()
        sm.wait_log("reload", after=mark)
        codes = [each.result().status_code for each in waiting]
    assert codes[0] in (200, 404) and codes[1:] == [200, 200], "the page may be gone by then"


# ---- Browsers ----

def test_what_a_browser_is_asked(skymond, tmp_path):
    sm = start(skymond, tmp_path, {"ops": bcrypt("right", 4)})
    asked = 'Basic realm="skymon", charset="UTF-8"'
    for headers, basic in ((NAVIGATES, True), ({}, True), ({"Sec-Fetch-Mode": "no-cors"}, False), ({"Sec-Fetch-Mode": "cors"}, False), ({"Sec-Fetch-Mode": "same-origin"}, False)):
        answer = sm.get("/", headers=headers)
        assert answer.status_code == 401 and (asked in answer.raw.headers.getlist("WWW-Authenticate")) == basic, headers


def test_foreign_pages_write_nothing(skymond, tmp_path):
    """A browser adds the login to a form that a foreign page posts."""
    sm = start(skymond, tmp_path, {"ops": bcrypt("right", 4)})
    path = "/api/v1/metrics/prometheus/api/v1/query"  # the one write that every daemon has, and takes any body; it is not guarded by itself
    form = {"Content-Type": "application/x-www-form-urlencoded", **login("ops", "right")}
    for origin, code in (("http://evil.example", 403), ("null", 403), (f"http://127.0.0.1:{sm.port}", 404), (None, 404), (f"http://127.0.0.1:{sm.port + 1}", 403)):
        headers = form if origin is None else {**form, "Origin": origin}
        assert sm.request("POST", path, headers=headers, data="a=b").status_code == code, origin
    assert sm.request("POST", path, headers={**form, "Host": "evil.example"}, data="a=b").status_code == 403, "DNS rebinding"
    answer = sm.get("/api/v1/status", headers={**login("ops", "right"), "Origin": "http://evil.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers, "no foreign page reads it"


def test_in_a_browser(skymond, tmp_path, chromium):  # noqa: F811
    sm = start(skymond, tmp_path, {"ops": bcrypt("right", 4)})
    wait_until(lambda: sm.get("/api/v1/health", headers=login("ops", "right")).status_code == 200, what="a result")
    look(chromium)
    chromium.get(f"http://ops:right@127.0.0.1:{sm.port}/")
    assert "healthy" in chromium.title
    wait_until(lambda: sm.get("/metrics", headers=login("ops", "right")).text.count('code="200"') > 0, what="an answer")
    before = chromium.execute_script("return document.querySelector('footer time').textContent")
    wait_until(lambda: chromium.execute_script("return document.querySelector('footer time').textContent") != before, 20, "an update with the login")
    assert chromium.execute_script("return document.getElementById('lost').textContent") == ""
    chromium.get("about:blank")

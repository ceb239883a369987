# SPDX-License-Identifier: Apache-2.0
"""Routes that live in a worker: what their handlers see, who may ask, what is answered, and how they are configured. How they bear load,
time, crashes and reloads is in test_worker_routes_load.py."""
import gzip
import http.client
import json
import os
import pwd
import re
import socket
import ssl

import pytest
import requests
import yaml

from harness import SLOW, TEST_PLUGINS, json_of, run_skymond, wait_until
from test_http import ports
from test_workers import component
from worker_routes import Answer, Asked, Held, ask, audits, config, echoed, own_address, start


# ---- What a handler sees ----

@pytest.mark.asan
def test_every_accessor(skymond, tmp_path):
    daemon = start(skymond, tmp_path)
    seen = echoed(ask(daemon, "/t/open/a%2Fb%20%C3%BC?q=x+y%26z&r=1&q=second", headers={"X-Test": "value of it"}))
    assert seen == {"method": "GET", "id": "a/b \u00fc", "q": "x y&z", "header": "value of it", "local": "1", "address": "127.0.0.1",
                    "trusted": "1", "time": "1", "name": "t_routes", "render": "0", "self": "0", "size": "0", "end": "1", "body": b""}
    seen = echoed(ask(daemon, "/t/open/x?q"))
    assert (seen["q"], seen["header"], seen["id"]) == ("", "none", "x")
    assert echoed(ask(daemon, "/t/open/x?qq=1"))["q"] == "none"
    answer = ask(daemon, "/t/open/x", "HEAD")
    assert (answer.code, answer.body, answer.headers["X-Answer"]) == (200, b"", "yes")
    assert int(answer.headers["Content-Length"]) > 50
    answer = ask(daemon, "/t/open/x", "OPTIONS")
    assert (answer.code, answer.body) == (200, b"") and "GET" in answer.headers["Allow"]
    assert ask(daemon, "/t/open/%00").code == 400
    assert ask(daemon, "/t/open/x", "POST", body=b"{}").code == 405
    assert echoed(ask(daemon, "/t/open/x/", version="1.0", headers={"Host": None}))["id"] == "x"


@pytest.mark.asan
def test_bodies(skymond, tmp_path):
    """To the limit, with zeros in them, in chunks; what is larger or of another type never reaches the worker."""
    daemon = start(skymond, tmp_path)
    for body in (b"{}", b"a\0b", bytes(range(256)) * 4096):
        seen = echoed(ask(daemon, "/t/echo/x", "POST", body=body))
        assert (seen["method"], int(seen["size"]), seen["end"]) == ("POST", len(body), "1")
        assert seen["body"] == body
    too_large = {"Content-Type": "application/json", "Content-Length": (1 << 20) + 1}
    assert ask(daemon, "/t/echo/x", "POST", headers=too_large).code == 413
    assert ask(daemon, "/t/echo/x", "POST", body=b"{}", headers={"Content-Type": "text/plain"}).code == 415
    assert echoed(ask(daemon, "/t/echo/x", "DELETE"))["method"] == "DELETE"
    chunked = Asked(daemon, "/t/echo/x", "POST", headers={"Transfer-Encoding": "chunked", "Content-Type": "application/json"})
    chunked.connection.sendall(b"3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n")
    assert echoed(chunked.answer())["body"] == b"[1,2]"


def test_a_larger_limit_than_the_wire_s_is_413(skymond, tmp_path):
    daemon = start(skymond, tmp_path, limits={"request_body": "4MiB"})
    assert int(echoed(ask(daemon, "/t/echo/x", "POST", body=b"x" * (2040 << 10)))["size"]) == 2040 << 10
    answer = ask(daemon, "/t/echo/x", "POST", body=b"x" * (3 << 20))
    assert answer.code == 413 and "worker" in answer.json()["detail"]


def test_many_headers(skymond, tmp_path):
    daemon = start(skymond, tmp_path)
    many = {f"a{i}": "b" for i in range(100)}
    assert echoed(ask(daemon, "/t/open/x", headers={**many, "X-Test": "last"}))["header"] == "last"
    assert ask(daemon, "/t/open/x", headers={f"a{i}": "b" for i in range(300)}).code == 431
    assert ask(daemon, "/t/open/x").code == 200


# ---- Who asks ----

def unix_ask(path, request):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return Answer(response)


def test_callers(skymond, tmp_path):
    path = tmp_path / "http.sock"
    daemon = skymond(config(tmp_path, listen=["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", ":0", f"unix:{path}"]), listen=None)
    four, six, any_four, any_six = ports(daemon)
    daemon.wait_component("t_routes", status="healthy")

    def who(port, to="127.0.0.1", source=None, **headers):
        with socket.create_connection((to, port), source_address=(source, 0) if source else None) as connection:
            seen = echoed(Asked(daemon, "/t/open/x", headers=headers, connection=connection).answer())
        return seen["address"], seen["local"]

    assert who(four) == ("127.0.0.1", "1")
    assert who(four, source="127.0.0.9") == ("127.0.0.9", "1")
    assert who(six, "::1") == ("::1", "1")
    assert who(any_six) == ("127.0.0.1", "1")  # as ::ffff:127.0.0.1
    seen = echoed(unix_ask(path, b"GET /t/open/x HTTP/1.0\r\n\r\n"))
    assert (seen["address"], seen["local"]) == ("unix", "1")
    for name in ("Forwarded", "X-Forwarded-For", "x-real-ip", "Via"):
        assert who(four, **{name: "127.0.0.1"}) == ("127.0.0.1", "0"), name
    seen = echoed(unix_ask(path, b"GET /t/open/x HTTP/1.0\r\nVia: 1.1 p\r\n\r\n"))
    assert (seen["address"], seen["local"]) == ("unix", "0")
    own = own_address()
    if own is not None:
        assert who(any_four, own) == (own, "1")       # from its own address, as when its host name is pasted on the host
        assert who(any_four, own, Via="1.1 p") == (own, "0")
        assert who(any_six, own) == (own, "1")
        assert who(four, source=own) == (own, "0")    # its peer is not the address that it came to


@pytest.mark.asan
def test_behind_a_token(skymond, tmp_path):
    token = tmp_path / "token"
    token.write_text("the-token-of-18-b.\n")
    token.chmod(0o600)
    bearer = {"Authorization": "Bearer the-token-of-18-b."}
    access = {"token": {"file": str(token)}, "public": ["health", "component", "open", "t_health"]}
    daemon = start(skymond, tmp_path, access=access)
    assert echoed(ask(daemon, "/t/open/x"))["trusted"] == "0"
    assert echoed(ask(daemon, "/t/open/x", headers=bearer))["trusted"] == "1"
    mark = daemon.log_mark()
    assert ask(daemon, "/t/echo/x", "POST", body=b"{}").code == 401
    assert ask(daemon, "/t/echo/x", "POST", body=b"{}", headers=bearer).code == 200
    wait_until(lambda: len(audits(daemon, mark)) == 2, 5, "the audit lines")
    assert [re.search(r"code=(\d+)", line).group(1) for line in audits(daemon, mark)] == ["401", "200"]
    anonymous, trusted = ask(daemon, "/t/health").json(), ask(daemon, "/t/health", headers=bearer).json()
    assert (anonymous["message"], "version" in anonymous) == ("", False)
    assert (trusted["message"], trusted["version"]) == ("looked", "7")
    assert "the-token-of-18-b." not in daemon.log_text()


# ---- Guarded routes ----

def test_hosts(skymond, tmp_path):
    daemon = start(skymond, tmp_path, server_names=["your-api-server", "monitor.example.org"])
    machine = socket.gethostname()
    good = [f"127.0.0.1:{daemon.port}", "127.0.0.1", "10.1.2.3:80", "[::1]:8080", "[fe80::1]", "localhost", "localhost:1", "LocalHost",
            "localhost.", "localhost.:8080", machine, f"{machine.upper()}:80", f"{machine}.", "your-api-server", "Your-API-Server:8080",
            "monitor.example.org."]
    bad = ["evil.example", "evil.example:8080", "localhost.evil.example", "notlocalhost", "your-api-server.evil", "127.0.0.1.evil",
           "127.0.0.1.evil:80", "[::1].evil", "[::1", "::1", "1.2.3", "127.1", "0x7f000001", "localhost..", ".", "", "[127.0.0.1]",
           "[]", "127.0.0.1:80@evil", "localhost:x", "[::1]evil:80", "evil localhost"]
    for host in good:
        assert ask(daemon, "/t/echo/x", headers={"Host": host}).code == 200, host
    for host in bad:
        mark = daemon.log_mark()
        answer = ask(daemon, "/t/echo/x", "POST", headers={"Host": host}, body=b"{}")
        assert answer.code == 403 and "server_names" in answer.json()["detail"], (host, answer)
        line, = wait_until(lambda: [line for line in audits(daemon, mark) if "method=POST" in line], 5, "the audit line")
        assert "code=403" in line
    assert ask(daemon, "/t/echo/x", headers={"Host": None}, version="1.0").code == 403
    assert ask(daemon, "/t/echo/x", headers={"Host": None}).code == 400
    assert ask(daemon, "/t/open/x", headers={"Host": "evil.example"}).code == 200  # not guarded


def test_origins(skymond, tmp_path):
    daemon = start(skymond, tmp_path)
    own = f"localhost:{daemon.port}"
    for origin, code in [(f"http://{own}", 200), (f"https://{own.upper()}", 200), ("http://evil.example", 403), ("null", 403), ("", 403),
                         (own, 403), (f"http://localhost:{daemon.port + 1}", 403), (f"http://{own}.evil", 403), (f"http://evil/{own}", 403)]:
        for method, body in (("GET", b""), ("POST", b"{}")):
            answer = ask(daemon, "/t/echo/x", method, headers={"Host": own, "Origin": origin}, body=body)
            assert answer.code == code, (origin, answer)
            assert "Access-Control-Allow-Origin" not in answer.headers
    preflight = ask(daemon, "/t/echo/x", "OPTIONS", headers={"Host": own, "Origin": "http://evil.example",
                                                             "Access-Control-Request-Method": "POST"})
    assert not [name for name in preflight.headers if name.lower().startswith("access-control")]
    assert ask(daemon, "/t/open/x").headers["Access-Control-Allow-Origin"] == "*"  # neither guarded nor private
    assert "Access-Control-Allow-Origin" not in ask(daemon, "/t/health").headers


def test_a_route_that_writes_is_guarded(skymond):
    """Unless it says that it is open."""
    daemon = skymond({"plugins": {"prometheus": {}, "t_writes": {}}})
    daemon.wait_component("t_writes", status="healthy")
    for headers in ({"Host": "evil.example"}, {"Host": f"localhost:{daemon.port}", "Origin": "http://evil.example"}):
        for method in ("POST", "PUT", "DELETE"):
            mark = daemon.log_mark()
            assert ask(daemon, "/t/writes", method, headers=headers, body=b"{}").code == 403, (method, headers)
            wait_until(lambda: audits(daemon, mark), 5, "the audit line")
        assert ask(daemon, "/t/writes", "GET", headers=headers).code == 418
        assert ask(daemon, "/t/open", "POST", headers=headers, body=b"{}").code == 418
    assert ask(daemon, "/t/writes", "POST", body=b"{}").code == 418


def test_the_audit_line(skymond, tmp_path):
    daemon = start(skymond, tmp_path)

    def told(*args, **options):
        mark = daemon.log_mark()
        ask(daemon, *args, **options)
        ask(daemon, "/t/echo/end", "DELETE")
        daemon.wait_log("path=/t/echo/end", after=mark)
        return audits(daemon, mark)[:-1]

    who = f"client=127.0.0.1 uid={os.geteuid()} user={pwd.getpwuid(os.geteuid()).pw_name}"
    assert told("/t/echo/a%20b?q=secret", "POST", body=b"{}") == [
        f'{who} method=POST path=/t/echo/a%20b code=200 msg="echoed a b of 2 bytes"']
    assert told("/t/echo/x", "POST", body=b"{}", headers={"Content-Type": "text/plain"}) == [
        f'{who} method=POST path=/t/echo/x code=415 msg="POST /t/echo/{{id}} takes a body with Content-Type: application/json"']
    refused, = told("/t/echo/x", "DELETE", headers={"Origin": "null"})
    assert refused.startswith(f'{who} method=DELETE path=/t/echo/x code=403 msg="this route is not served to pages of another')
    assert told("/t/echo/x") == [f'{who} method=GET path=/t/echo/x code=200 msg="echoed x of 0 bytes"']
    assert told("/t/echo/x", "HEAD") == [f'{who} method=HEAD path=/t/echo/x code=200 msg="echoed x of 0 bytes"']
    assert told("/t/open/x") == told("/t/echo/x", "OPTIONS") == []
    assert told("/t/echo/%0aforged", "POST", body=b"{}") == [
        f'{who} method=POST path=/t/echo/%0aforged code=200 msg="echoed  forged of 2 bytes"']


@pytest.mark.asan
def test_the_audit_line_of_one_that_left(skymond, tmp_path):
    """The audit names it when it leaves, and once more when the write was done all the same."""
    daemon = start(skymond, tmp_path)
    held = Held(daemon, tmp_path, 1, method="POST", body=b"{}", query="&deaf=1")
    held.asked[0].reset()
    line = daemon.wait_log("code=none")
    assert "client=127.0.0.1 " in line and "method=POST path=/t/slow" in line and "left" in line
    held.release()
    assert "200 was slow (no client waited" in daemon.wait_log(re.compile("^area=audit .* plugin=t_routes "))


# ---- The route of its health ----

@pytest.mark.sanitized
def test_health(skymond, tmp_path):
    (tmp_path / "word").write_text("unhealthy")
    daemon = skymond(config(tmp_path, {"interval": "300ms"}))
    for word, code, healthy, status in [("unhealthy", 503, False, "unhealthy"), ("degraded", 200, True, "degraded"),
                                        ("healthy", 200, True, "healthy")]:
        (tmp_path / "word").write_text(word)
        daemon.wait_component("t_routes", status=status)
        answer = daemon.get("/t/health")
        body = json_of(answer.text)
        assert answer.status_code == code and answer.headers["X-Health-Status"] == status
        assert list(body) == ["healthy", "status", "message", "timestamp", "version"]
        assert (body["healthy"], body["status"], body["version"]) == (healthy, status, "7")
        assert ("Retry-After" in answer.headers) == (code == 503)
        head = daemon.request("HEAD", "/t/health")
        assert (head.status_code, head.content) == (code, b"")
    assert daemon.get("/t/health?healthy=299").status_code == 299
    assert daemon.request("POST", "/t/health").status_code == 405


def test_health_before_the_first_check_and_while_it_is_down(skymond, tmp_path):
    """It never asks the worker."""
    (tmp_path / "busy").touch()
    daemon = skymond(config(tmp_path))
    answer = daemon.get("/t/health")
    assert (answer.status_code, answer.json()["healthy"], answer.json()["status"]) == (503, False, "unknown")
    (tmp_path / "busy").unlink()
    daemon.wait_component("t_routes", status="healthy")
    (tmp_path / "word").write_text("crash")
    daemon.wait_component("t_routes", status="unknown", reason="crashed")
    answer = daemon.get("/t/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "unknown") and "SIGABRT" in answer.json()["message"]
    refused = daemon.get("/t/open/x")
    assert (refused.status_code in (200, 503)) and (refused.status_code == 200 or "SIGABRT" in refused.json()["detail"])
    (tmp_path / "word").unlink()
    daemon.wait_component("t_routes", timeout=40, status="healthy")
    assert daemon.get("/t/open/x").status_code == 200


# ---- What is answered ----

def test_a_handler_s_mistakes_cost_its_own_request(skymond, tmp_path):
    daemon = start(skymond, tmp_path)
    workers = daemon.children()

    def get(how):
        return daemon.get(f"/t/misbehave?how={how}")

    assert (get("twice").text, get("empty").status_code, get("empty").content) == ("first", 204, b"")
    assert "answered twice" in daemon.wait_log("answered twice")
    silent = get("silent")
    assert silent.status_code == 500 and "t_routes" in silent.json()["detail"]
    headers = get("headers")
    assert (headers.status_code, headers.text, headers.headers["X-Fine"]) == (200, "second", "c")
    assert "X-Forged" not in headers.headers and "X-Two" not in headers.headers
    assert get("code").status_code == 500 and "code 99" in get("code").json()["detail"]
    assert get("head").status_code == 500
    big = get("big")
    assert big.status_code == 502 and "9437184 bytes" in big.json()["detail"]
    problem = get("problem")
    assert (problem.status_code, problem.headers["Content-Type"]) == (422, "application/problem+json")
    assert list(json_of(problem.text)) == ["type", "title", "status", "detail", "timestamp", "error", "more"]
    assert problem.json()["more"] == {"a": [1]} and problem.json()["error"] == "it is wrong"
    daemon.wait_log("member broken of a problem is not JSON")
    assert daemon.children() == workers


@pytest.mark.sanitized
def test_large_answers(skymond, tmp_path):
    """Above and below what the helper thread compresses, plain and compressed, over one connection."""
    daemon = start(skymond, tmp_path)
    with socket.create_connection(("127.0.0.1", daemon.port)) as connection:
        for size in (0, 1, 1023, 60000, 100000, 5 << 20, 8 << 20):
            for headers in ({}, {"Accept-Encoding": "gzip"}):
                answer = Asked(daemon, f"/t/large?size={size}", headers=headers, connection=connection).answer(30)
                packed = answer.headers.get("Content-Encoding") == "gzip"
                assert packed == (bool(headers) and size >= 1024), (size, answer.headers)
                body = gzip.decompress(answer.body) if packed else answer.body
                assert answer.code == 200 and body == b"x" * size
        assert Asked(daemon, "/t/large?size=9000000", connection=connection).answer().code == 502
        assert Asked(daemon, "/t/open/x", connection=connection).answer().code == 200


def test_pipelined_requests_behind_a_slow_one(skymond, tmp_path):
    daemon = start(skymond, tmp_path)
    paths = ["/t/slow?ms=300", "/t/open/1", "/api/v1/alive", "/t/large?size=100000", "/t/open/2"]
    requests_ = "".join(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n" for path in paths)
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=10 * SLOW) as connection:
        connection.sendall(requests_.encode())
        stream, codes, bodies = connection.makefile("rb"), [], []
        for _ in paths:
            codes.append(int(stream.readline().split()[1]))
            head = dict(line.decode().strip().lower().split(": ", 1) for line in iter(stream.readline, b"\r\n"))
            bodies.append(stream.read(int(head["content-length"])))
    assert codes == [200] * 5
    assert bodies[0] == b"done\n" and b"id=1\n" in bodies[1] and b"alive" in bodies[2] and b"id=2\n" in bodies[4]


@pytest.mark.asan
def test_over_tls(skymond, certs, tmp_path):
    tls = {"cert_file": str(certs.pem("good")), "key_file": str(certs.key("good"))}
    daemon = skymond(config(tmp_path, listen=["127.0.0.1:0", {"address": "127.0.0.1:0", "tls": tls}]), listen=None)
    daemon.wait_component("t_routes", status="healthy")
    url = f"https://127.0.0.1:{ports(daemon)[1]}"
    with requests.Session() as session:
        options = {"verify": str(certs.ca), "timeout": 30 * SLOW}
        assert session.get(url + "/t/slow?ms=200", **options).text == "done\n"
        assert len(session.get(url + f"/t/large?size={5 << 20}", **options).content) == 5 << 20
        assert session.post(url + "/t/echo/x", json={}, **options).status_code == 200
    context = ssl.create_default_context(cafile=str(certs.ca))
    raw = socket.create_connection(("127.0.0.1", ports(daemon)[1]))
    with context.wrap_socket(raw, server_hostname="127.0.0.1") as connection:
        connection.sendall(b"GET /t/slow HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: daemon.get("/api/v1/status").json()["health"]["metrics"]["active_connections"] >= 2, 5, "the connection")
        raw.close()
    daemon.wait_log("slow: no time left")


def test_http_1_0(skymond, tmp_path):
    daemon = start(skymond, tmp_path)
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=10 * SLOW) as connection:
        connection.sendall(b"GET /t/slow?ms=100 HTTP/1.0\r\n\r\n")
        got = b"".join(iter(lambda: connection.recv(65536), b""))
    assert got.startswith(b"HTTP/1.") and got.endswith(b"\r\n\r\ndone\n")


# ---- Config ----

def check(text, **options):
    return run_skymond(f"plugin_path: [{TEST_PLUGINS}]\n{text}\n", "--check-config", name="c.yaml", **options)


@pytest.mark.parametrize("text, says", [
    ("plugins:\n  t_routes: {plugin: t_routes}", "c.yaml:3"),
    ("plugins:\n  t_routes: {acepted: x}", "did you mean `accepted`"),
    ("plugins:\n  t_routes: {interval: 5}", "c.yaml:3"),
    ("plugins:\n  t_routes: {impact: bad}", "c.yaml:3"),
    ("plugins:\n  t_routes: {warn: {versions: 1}}", "no number `versions`"),
    ("plugins:\n  t_routes: {}\ncomponents:\n  t_routes: {plugin: t_ok}", "c.yaml:3:"),
    ("plugins:\n  t_routes: {}\ncomponents:\n  t_routes: {plugin: t_ok}", "c.yaml:5 has already"),
    ("plugins:\n  t_routes: {key: {store: word#0}}", "keeps secrets"),
    ("plugins:\n  t_ok: {}", "components"),
    ("plugins:\n  t_routes: {}\n  t_duplicate_route: {}", "t_routes and t_duplicate_route both have the route GET /t/open/{id}"),
    ("plugins:\n  prometheus: {interval: 5s}", "c.yaml:3"),
])
def test_what_is_wrong_is_said(text, says):
    done = check(text)
    assert done.returncode == 2 and says in done.stderr, done.stderr


def test_a_served_plugin_s_options(skymond, tmp_path):
    """interval, timeout and their like stand beside its own; of what `defaults` says for all, the interval alone is for it."""
    text = """
defaults: {interval: 7s, timeout: 3s, impact: degraded, t_routes: {rise: 2}}
plugins:
  t_routes: {accepted: a, key: geheimer, labels: {team: x}}
components:
  other: {plugin: t_ok}
"""
    done = run_skymond(f"plugin_path: [{TEST_PLUGINS}]\n{text}", "--print-config")
    assert done.returncode == 0 and "geheimer" not in done.stdout, done.stdout + done.stderr
    shown = yaml.safe_load(done.stdout)
    routes = shown["plugins"]["t_routes"]
    assert [routes[key] for key in ("interval", "timeout", "impact", "rise", "accepted")] == ["7s", "5s", "none", 2, "a"], routes
    assert shown["components"]["other"]["impact"] == "degraded"
    again = run_skymond(done.stdout.replace("plugin_path", "x-was") + f"\nplugin_path: [{TEST_PLUGINS}]\n", "--print-config")
    assert (again.returncode, yaml.safe_load(again.stdout)["plugins"], yaml.safe_load(again.stdout)["components"]) == (
        0, shown["plugins"], shown["components"]), again.stderr
    daemon = skymond(config(tmp_path, {"impact": "unhealthy"}))
    (tmp_path / "word").write_text("unhealthy")
    daemon.wait_component("t_routes", status="unhealthy")
    assert daemon.get("/api/v1/health").status_code == 503
    status = daemon.get("/api/v1/status").json()
    assert "t_routes" in status["configuration"]["features"]
    assert "t_routes" in [found["name"] for found in status["health"]["components"]]


def test_an_unhealthy_served_plugin_does_not_matter_by_default(skymond, tmp_path):
    (tmp_path / "word").write_text("unhealthy")
    daemon = skymond(config(tmp_path, defaults={"impact": "unhealthy"}))
    daemon.wait_component("t_routes", status="unhealthy")
    daemon.wait_component("other", status="healthy")
    assert daemon.get("/api/v1/health").status_code == 200


def test_its_routes_in_the_list_and_in_a_listener(skymond, tmp_path):
    daemon = skymond(config(tmp_path, listen=["127.0.0.1:0", {"address": "127.0.0.1:0", "routes": ["t_routes"]},
                                              {"address": "127.0.0.1:0", "routes": ["t_health", "open"]}]), listen=None)
    daemon.wait_component("t_routes", status="healthy")
    index = daemon.get("/").json()
    assert "/t/echo/{id}" in json.dumps(index)
    second, third = [f"http://127.0.0.1:{port}" for port in ports(daemon)[1:]]
    codes = [[requests.get(base + path, timeout=5 * SLOW).status_code for path in ("/t/open/x", "/t/health", "/t/echo/x", "/api/v1/health")]
             for base in (second, third)]
    assert codes == [[200, 200, 200, 404], [200, 200, 404, 404]]


def test_its_routes_are_listed():
    done = run_skymond(f"plugin_path: [{TEST_PLUGINS}]\nplugins: {{t_routes: {{}}}}\n", "--list-routes")
    assert done.returncode == 0 and re.search(r"POST +/t/echo/\{id\} +t_routes", done.stdout), done.stdout + done.stderr


def test_a_component_of_the_same_plugin(skymond, tmp_path):
    """Its checks run under any name; routes are served for what stands under `plugins` only."""
    more = {"components": {"second": component("t_routes", word=str(tmp_path / "second"))}}
    daemon = start(skymond, tmp_path, **more)
    daemon.wait_component("second", status="healthy")
    assert echoed(ask(daemon, "/t/open/x"))["name"] == "t_routes"

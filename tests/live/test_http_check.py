# SPDX-License-Identifier: Apache-2.0
"""http: a real nginx that is stopped, frozen, restarted, given other certificates and passwords, that redirects and refuses, and a raw server
that breaks HTTP. Each time: status, reason, a sentence without a secret or a body, and that it was reported in time."""
import base64
import re

import pytest

import truth
from conftest import factory
from harness import SLOW, wait_until
from http_peers import RawHttp, Site

SECRETS = ("geheim",)  # the site's answers, passwords and paths hold it

raw_http = factory(RawHttp)


@pytest.fixture
def site(nginx, certs):
    return lambda **options: Site(nginx, certs, **options)


def part(url, **options):
    return {"plugin": "http", "interval": "300ms", "timeout": "1s", "url": url, **options}


def config(**components):
    return {"plugins": {"prometheus": {}}, "components": components}


def cell(sm, fault, status, reason, *words, name="web", **options):
    return truth.cell("http", fault, sm, name, status=status, reason=reason, words=words, secrets=SECRETS, **options)


def healthy(sm, name="web"):
    found = sm.wait_component(name, status="healthy", reason="ok")
    truth.hides(sm, SECRETS, found)
    return found


# ---- As it should be ----

@pytest.mark.sanitized
def test_healthy(skymond, site):
    web = site()
    sm = skymond(config(web=part(web.url + "/json?token=geheim", contains="queue", matches="\"status\": ?\"ok\"", not_contains=["error", "down"],
                                 json=[{"pointer": "/status", "equals": "ok"}, {"pointer": "/queue", "below": 100, "above": 41},
                                       {"pointer": "/parts/0/up", "equals": "true"}, {"pointer": "/parts/0/name"}])))
    found = healthy(sm)
    assert found["message"].startswith(f"{web.place}: HTTP 200 after "), found
    wait_until(lambda: sm.component("web")["details"]["kept_connection"], 10, "a check over the kept connection")
    found = sm.component("web")
    assert found["details"] == {"address": "127.0.0.1", "http_version": "1.1", "kept_connection": True, "tls": "none"}
    numbers = found["numbers"]
    assert 0 < numbers["first_byte_time"] <= numbers["request_time"] < SLOW, numbers
    assert numbers["status_code"] == 200 and numbers["body_size"] == 68, numbers
    assert not {"resolve_time", "connect_time", "tls_time", "certificate_days"} & set(numbers), "what was not measured"


@pytest.mark.sanitized
def test_tls_and_http_2(skymond, site, certs):
    web = site()
    tls = {"ca_file": certs.ca}
    sm = skymond(config(web=part(web.tls_url, tls=tls, contains="ready", reconnect="0s"),
                        two=part(web.tls_url, tls=tls, http_version="2", contains="ready"),
                        clear=part(web.url, http_version="2"),
                        named=part(web.tls_url.replace("127.0.0.1", "localhost"), tls={**tls, "server_name": "good.test"}, matches="ready",
                                   reconnect="0s"),
                        any=part(web.tls_url, tls={"insecure": True})))
    found = healthy(sm)
    assert found["details"]["tls"] == "verified" and found["details"]["http_version"] == "1.1"
    assert 29 < found["numbers"]["certificate_days"] < 31
    for number in ("connect_time", "tls_time", "first_byte_time", "request_time"):
        assert 0 < found["numbers"][number] < SLOW, found["numbers"]
    assert found["numbers"]["connect_time"] + found["numbers"]["tls_time"] <= found["numbers"]["request_time"]
    healthy(sm, "two")
    wait_until(lambda: sm.component("two")["details"]["kept_connection"], 10, "a kept connection of HTTP/2")
    found = sm.component("two")
    assert found["details"]["http_version"] == "2" and 29 < found["numbers"]["certificate_days"] < 31, found
    cell(sm, "HTTP/1 where HTTP/2 is asked for", "unhealthy", "protocol", name="clear")
    found = healthy(sm, "named")
    assert found["details"]["tls"] == "verified" and "resolve_time" in found["numbers"]
    assert healthy(sm, "any")["details"]["tls"] == "unverified"


def test_thresholds_and_metrics(skymond, site, certs):
    web = site()
    sm = skymond(config(web=part(web.url, warn={"status_code": "<100", "body_size": "1KiB", "request_time": "5s"}),
                        soon=part(web.tls_url, tls={"ca_file": certs.ca}, warn={"certificate_days": "<40"}),
                        many=part(web.url + "/large", body_max="4MiB", crit={"body_size": "1MiB"})))
    healthy(sm)
    cell(sm, "certificate ends soon", "degraded", "threshold_warn", "certificate_days", name="soon")
    cell(sm, "answer larger than a limit", "unhealthy", "threshold_crit", "body_size", name="many")
    assert re.search(r'^skymon_component_tls{component="soon",peer="local",tls="verified"} 1$', sm.metrics(), re.M)


# ---- What is sent ----

def test_what_is_sent(skymond, raw_http):
    server = raw_http()
    sm = skymond(config(
        get=part(server.url + "/get?a=b#c"), user=part(server.url.replace("//", "//us%65r:p%40ss@") + "/user"),
        basic=part(server.url + "/basic", username="me", password="geheim-pw"), bearer=part(server.url + "/bearer", token="geheim-token"),
        post=part(server.url + "/post", method="POST", body='{"a": 1}', headers={"Content-Type": "application/json", "X-Empty": "", "Host": "shop.test"},
                  secret_headers=[{"name": "X-Key", "value": "geheim-key"}, {"name": "Cookie", "value": "id=geheim-id"}]),
        head=part(server.url + "/head", method="HEAD"), options=part(server.url + "/options", method="OPTIONS"),
        put=part(server.url + "/put", method="PUT", body=""), zip=part(server.url + "/zip", headers={"Accept-Encoding": "gzip"})))
    names = ["get", "user", "basic", "bearer", "post", "head", "options", "put", "zip"]
    sent = wait_until(lambda: (found := {re.search(rb"/(\w+)", head).group(1).decode(): head.decode().split("\r\n")
                                         for head in list(server.requests)}) and all(name in found for name in names) and found, 10, "all requests")
    expected = {
        "get": ["GET /get?a=b HTTP/1.1", f"Host: {server.place}", "User-Agent: skymon", "Accept: */*"],
        "user": ["Authorization: Basic " + base64.b64encode(b"user:p@ss").decode()],
        "basic": ["Authorization: Basic " + base64.b64encode(b"me:geheim-pw").decode()],
        "bearer": ["Authorization: Bearer geheim-token"],
        "post": ["POST /post HTTP/1.1", "Host: shop.test", "Content-Type: application/json", "X-Empty:", "X-Key: geheim-key", "Cookie: id=geheim-id",
                 "Content-Length: 8"],
        "head": ["HEAD /head HTTP/1.1"], "options": ["OPTIONS /options HTTP/1.1"], "put": ["PUT /put HTTP/1.1"], "zip": ["Accept-Encoding: gzip"],
    }
    for name, lines in expected.items():
        for line in lines:
            assert sent[name].count(line) == 1, (line, sent[name])
    assert not any(line.lower().startswith(("authorization", "expect", "accept-encoding")) for line in sent["get"]), sent["get"]
    assert len([line for line in sent["post"] if line.lower().startswith("host")]) == 1
    truth.hides(sm, SECRETS)


def test_passwords_and_tokens(skymond, site, raw_http, tmp_path):
    web, word = site(), tmp_path / "word"
    word.write_text("geheim-wrong\n")
    word.chmod(0o600)
    sm = skymond(config(web=part(web.url + "/basic", username="monitor", password={"file": str(word)}),
                        none=part(web.url + "/basic"), forbidden=part(web.url + "/forbidden", token="geheim-token"),
                        meant=part(web.url + "/basic", status="200, 401")))
    cell(sm, "wrong password", "unhealthy", "auth_failed", "refuses the credentials (HTTP 401)")
    cell(sm, "no password", "unhealthy", "auth_failed", "asks for a login (HTTP 401)", name="none")
    cell(sm, "token without the right", "unhealthy", "auth_failed", "refuses the credentials (HTTP 403)", name="forbidden")
    healthy(sm, "meant")
    word.write_text("geheim-pw\n")  # read again, because the check reported that it was refused
    cell(sm, "back: right password", "healthy", "ok", within=20)


# ---- What the answer says ----

ANSWERS = {
    # fault: (path, options, status, reason, words)
    "HTTP 404": ("/404", {}, "http_status", "HTTP 404 instead of 200-299"),
    "HTTP 500": ("/500", {}, "http_status", "HTTP 500 instead of 200-299"),
    "HTTP 503": ("/503", {"status": ["200", "204"]}, "http_status", "HTTP 503 instead of 200, …"),
    "HTTP 200 where 404 is asked for": ("/", {"status": "404"}, "http_status", "HTTP 200 instead of 404"),
    "a redirect": ("/same", {}, "http_status", "HTTP 301 instead of 200-299 (`redirects` is none)"),
    "text is missing": ("/500", {"status": "500", "contains": "all is well"}, "body_mismatch", "does not contain all is well"),
    "text is there": ("/", {"not_contains": "ready"}, "body_mismatch", "contains ready"),
    "pattern does not match": ("/500", {"status": "500", "matches": ["ge.eim", "^ok"]}, "body_mismatch", "does not match entry 2 of `matches`"),
    "not JSON": ("/500", {"status": "500", "json": [{"pointer": "/a"}]}, "body_mismatch", "is not JSON"),
    "JSON without the value": ("/json", {"json": [{"pointer": "/parts/1/up"}]}, "missing", "/parts/1/up is missing"),
    "another value in JSON": ("/json", {"json": [{"pointer": "/status", "equals": "down"}]}, "wrong_value", "/status is not down"),
    "a number above its limit": ("/json", {"json": [{"pointer": "/queue", "below": 42}]}, "wrong_value", "/queue is not below 42"),
}


@pytest.mark.asan
def test_what_the_answer_says(skymond, site):
    web = site()
    sm = skymond(config(**{f"f{i}": part(web.url + path, **options) for i, (path, options, _, _) in enumerate(ANSWERS.values())}))
    for i, (fault, (_, _, reason, words)) in enumerate(ANSWERS.items()):
        found = cell(sm, fault, "unhealthy", reason, words, name=f"f{i}")
        assert found["numbers"]["status_code"] >= 200, found


def test_compressed_answers(skymond, site, raw_http):
    web = site()
    broken = raw_http({"*": (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\ngeheim", "keep")})
    bomb = {"headers": {"Accept-Encoding": "gzip"}, "contains": "large large"}
    sm = skymond(config(web=part(web.url + "/json", headers={"Accept-Encoding": "gzip"}, json=[{"pointer": "/status", "equals": "ok"}]),
                        bomb=part(web.url + "/large", **bomb), fits=part(web.url + "/large", body_max="4MiB", **bomb),
                        broken=part(broken.url, headers={"accept-encoding": "gzip"})))
    healthy(sm)
    assert healthy(sm, "fits")["numbers"]["body_size"] == 2400000
    cell(sm, "an answer that unpacks to more than is read", "unhealthy", "protocol", "larger than the 1048576 bytes", name="bomb")
    cell(sm, "an answer that does not unpack", "unhealthy", "protocol", name="broken")


def test_a_pattern_that_never_ends(skymond, raw_http):
    body = b"a" * 100000 + b"b"
    server = raw_http({"*": (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body), "keep")})
    sm = skymond(config(web=part(server.url, matches="^(a+)+$"), good=part(server.url, matches="b$")))
    cell(sm, "a pattern that never ends", "unknown", "resource", "needs too many steps")
    healthy(sm, "good")


# ---- Redirects ----

REDIRECTS = {
    # (path, redirects): (status, reason, words of the message, words of the body that arrived at last)
    ("/same", "same_host"): ("healthy", "ok", "HTTP 200", None),
    ("/same", "follow"): ("healthy", "ok", "HTTP 200", None),
    ("/other", "same_host"): ("unhealthy", "http_status", "redirects to another host", None),
    ("/other", "follow"): ("healthy", "ok", "HTTP 200", "method=GET auth= cookie= key= host=localhost"),
    ("/port", "same_host"): ("healthy", "ok", "HTTP 200", "method=GET auth= cookie= key= host=127.0.0.1"),
    ("/user", "follow"): ("healthy", "ok", "HTTP 200", "method=GET auth= cookie= key= host=localhost"),
    ("/loop", "same_host"): ("unhealthy", "http_status", "redirects more than 10 times", None),
    ("/loop", "follow"): ("unhealthy", "http_status", "redirects more than 10 times", None),
    ("/file", "follow"): ("unhealthy", "http_status", "not a URL of http:// or https://", None),
    ("/nowhere", "follow"): ("unhealthy", "refused", "localhost:1: connection refused", None),
}


@pytest.mark.asan
def test_redirects(skymond, site):
    """All that is configured goes to the configured host, port and scheme alone."""
    web = site()
    login = {"token": "geheim-token", "headers": {"Cookie": "a=b"}, "secret_headers": [{"name": "X-Key", "value": "geheim-key"}]}
    parts = {}
    for i, ((path, redirects), (_, _, _, body)) in enumerate(REDIRECTS.items()):
        parts[f"r{i}"] = part(web.url + path, redirects=redirects, **login, **({"contains": body} if body else {}))
    sm = skymond(config(**parts))
    for i, ((path, redirects), (status, reason, words, _)) in enumerate(REDIRECTS.items()):
        found = cell(sm, f"redirect {path}, {redirects}", status, reason, words, name=f"r{i}")
        assert web.place in found["message"] or "localhost" in found["message"] or str(web.other) in found["message"]
        if status == "healthy":
            host = "localhost" if path in ("/other", "/user") else "127.0.0.1"
            port = web.port if path == "/same" else web.other
            assert found["details"]["redirects"] == 1 and found["details"]["final_place"] == f"http://{host}:{port}", found


def test_redirects_with_tls_and_bodies(skymond, site, certs):
    web = site()
    tls = {"ca_file": certs.ca}
    login = {"token": "geheim-token", "tls": tls, "redirects": "follow"}
    sm = skymond(config(up=part(web.url + "/up", **login, contains="auth= cookie"), down=part(web.tls_url + "/down", **login, contains="auth= cookie"),
                        post=part(web.url + "/other", **login, method="POST", body="geheim", contains="method=GET auth= cookie"),
                        kept=part(web.url + "/kept", **login, method="POST", body="geheim"),
                        same=part(web.url + "/same", token="geheim-token", redirects="same_host", contains="ok")))
    for name in ("up", "down", "post", "same"):
        healthy(sm, name)
    assert sm.component("up")["details"]["tls"] == "verified" and sm.component("down")["details"]["tls"] == "none"
    cell(sm, "redirects a body to another host", "unhealthy", "http_status", "with its body to another host", name="kept")
    wait_until(lambda: sm.component("same")["details"]["kept_connection"], 10, "both requests over the kept connection")


def test_secrets_stay_on_their_host(skymond, raw_http):
    """Seen by the server that gets the redirected request, and by the one that redirects."""
    other = raw_http()
    to = f"http://localhost:{other.port}/".encode()
    server = raw_http({"*": (b"HTTP/1.1 302 Found\r\nLocation: " + to + b"\r\nContent-Length: 0\r\n\r\n", "keep")})
    sm = skymond(config(web=part(server.url, redirects="follow", username="me", password="geheim-pw", headers={"Cookie": "geheim=1", "X-Own": "1"},
                                 secret_headers=[{"name": "X-Key", "value": "geheim-key"}])))
    healthy(sm)
    for head in (wait_until(lambda: other.requests, 5, "the redirected request")[0].lower(),):
        assert b"geheim" not in head and b"authorization" not in head and b"x-key" not in head and b"cookie" not in head and b"x-own" not in head, head
    assert b"X-Key: geheim-key" in server.requests[0] and b"Authorization: Basic" in server.requests[0]


# ---- In trouble ----

@pytest.mark.sanitized
def test_stopped_frozen_and_brought_back(skymond, site):
    web = site()
    sm = skymond(config(web=part(web.url)))
    healthy(sm)
    web.server.pause()
    found = cell(sm, "frozen", "unhealthy", "timeout", longest=1000 * SLOW)
    assert "in time" in found["message"] and web.place in found["message"], found
    web.server.resume()
    cell(sm, "back after frozen", "healthy", "ok")
    web.server.close()
    cell(sm, "stopped", "unhealthy", "refused", f"{web.place}: connection refused")
    web.server = web.start()
    cell(sm, "back after stopped", "healthy", "ok")


RAW = {
    # fault: (what is sent, what then, reason, words)
    "accepts and is silent": (b"", "hang", "timeout", "accepted the request and did not answer in time"),
    "half an answer and silent": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ngeheim", "hang", "timeout", "did not end it in time"),
    "half a head and silent": (b"HTTP/1.1 200 OK\r\nContent-", "hang", "timeout", "in time"),
    "half an answer and closed": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ngeheim", "close", "protocol", "broke off"),
    "half a head and closed": (b"HTTP/1.1 200 OK\r\nX-A: geheim", "close", "protocol", "broke off"),
    "half a chunk and closed": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\ngeheim", "close", "protocol", "broke off"),
    "a chunk that is none": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ngeheim\r\n", "close", "protocol", ""),
    "closes at once": (b"", "close", "protocol", "before it answered"),
    "resets": (b"", "reset", "protocol", "before it answered"),
    "garbage": (b"\xff\x00geheim" * 50, "close", "protocol", "not HTTP"),
    "SSH": (b"SSH-2.0-geheim\r\n", "hang", "protocol", "not HTTP"),
    "endless headers": (b"HTTP/1.1 200 OK\r\n" + b"X: geheim\r\n" * 40000, "hang", "protocol", ""),
    "a huge answer": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b"geheim" * 400000, "hang", "protocol", "larger than"),
    "an answer without an end": (b"HTTP/1.1 200 OK\r\n\r\n" + b"geheim" * 400000, "hang", "protocol", "larger than"),
}


@pytest.mark.asan
def test_broken_servers(skymond, raw_http):
    server = raw_http({f"/{i}": (sent, then) for i, (sent, then, _, _) in enumerate(RAW.values())})
    sm = skymond(config(**{f"f{i}": part(server.url + f"/{i}?geheim", contains="x", status="100-599") for i in range(len(RAW))}))
    for i, (fault, (_, _, reason, words)) in enumerate(RAW.items()):
        cell(sm, fault, "unhealthy", reason, *([words] if words else []), name=f"f{i}", longest=1000 * SLOW)
    server.answers = {"*": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "keep")}
    for i in range(len(RAW)):
        cell(sm, "back", "healthy", "ok", name=f"f{i}")


def test_what_is_not_wrong(skymond, raw_http):
    """Answers in unusual dress: chunks with trailers, HTTP/1.0 to the end of the connection, no body, 100 Continue first."""
    answers = {
        "/chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3\r\nall\r\n6\r\n right\r\n0\r\nX: y\r\n\r\n",
        "/continue": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall right",
        "/end": b"HTTP/1.0 200 OK\r\n\r\nall right",
        "/empty": b"HTTP/1.1 204 No Content\r\n\r\n",
    }
    server = raw_http({path: (answer, "close" if path == "/end" else "keep") for path, answer in answers.items()})
    sm = skymond(config(**{path[1:]: part(server.url + path, **({} if path == "/empty" else {"matches": "^all right$"})) for path in answers}))
    for path in answers:
        healthy(sm, path[1:])
    assert sm.component("end")["details"]["http_version"] == "1.0"


def test_slow(skymond, site):
    web = site()
    sm = skymond(config(web=part(web.url, warn={"request_time": 0.000001})))
    cell(sm, "slow", "degraded", "threshold_warn", "request_time")


@pytest.mark.parametrize("fault, reason", [("untrusted", "tls_untrusted"), ("expired", "tls_expired"), ("wrong_name", "tls_untrusted"),
                                           ("early", "tls_expired")])
def test_certificates(skymond, site, certs, fault, reason):
    web = site(certificate=fault)
    sm = skymond(config(web=part(web.tls_url, tls={"ca_file": certs.ca}), clear=part(web.tls_url.replace("https", "http")),
                        none=part(web.url.replace("http", "https"))))
    cell(sm, f"certificate: {fault}", "unhealthy", reason, web.tls_place)
    cell(sm, "TLS asked for without TLS", "unhealthy", "http_status", "HTTP 400", name="clear")
    cell(sm, "no TLS there", "unhealthy", "tls_other", "not TLS", name="none")
    web.certificate("good")
    web.server.process.send_signal(1)
    cell(sm, "back", "healthy", "ok", within=5)


def test_names(skymond):
    sm = skymond(config(web=part("http://no-such-host.invalid/geheim", timeout="3s")))
    cell(sm, "name does not resolve", "unhealthy", "dns", "no-such-host.invalid")

# SPDX-License-Identifier: Apache-2.0
"""websocket: a real server that is stopped, frozen, restarted, set to refuse, to be silent and to close, behind TLS and a proxy, and raw
ones that break the protocol. Each time: status, reason, a sentence without a secret, and that it was said in time."""
import json
import pathlib
import re
import select
import socket
import subprocess

import pytest

import truth
from conftest import factory
from double import Double, read_head
from harness import SANITIZED, SLOW, free_port, need, run_skymond, run_tool, wait_until
from ws_server import TOKEN, Pongs, RawWs, WsServer

SECRETS = (TOKEN, "geheim")  # the latter stands in paths, close frames and answers

websocket = factory(WsServer)
raw = factory(RawWs)
pongs = factory(Pongs)


def part(url, **options):
    return {"plugin": "websocket", "interval": "300ms", "timeout": "1s", "url": url, **options}


def config(components):
    return {"plugins": {"prometheus": {}}, "components": components}


def cell(sm, fault, status, reason, *words, name="ws", **options):
    return truth.cell("websocket", fault, sm, name, status=status, reason=reason, words=words, secrets=SECRETS, **options)


def healthy(sm, name="ws", **expected):
    found = sm.wait_component(name, status="healthy", reason="ok", **expected)
    truth.hides(sm, SECRETS, found)
    return found


def number(sm, family, name="ws"):
    found = re.search(rf'^{family}{{component="{name}"}} (\S+)$', sm.metrics(), re.M)
    return float(found.group(1)) if found else None


def connects(sm, name="ws"):
    return number(sm, "skymon_websocket_connects_total", name)


def next_check(sm, name="ws"):
    """The component after the next run that ends."""
    first = sm.component(name)["last_check"]
    return wait_until(lambda: (c := sm.component(name))["last_check"] != first and c, 15, "the next check")


# ---- As it should be ----

@pytest.mark.sanitized
def test_healthy_over_a_kept_connection(skymond, websocket):
    server = websocket()
    sm = skymond(config({"ws": part(server.url + "/?token=geheim", subprotocol="chat", send="gehe" + "im?", expect="heim",
                                    warn={"pong_time": "5s", "message_time": "5s"})}))
    found = healthy(sm)
    assert server.place in found["message"] and "pong after" in found["message"], found
    wait_until(lambda: sm.component("ws")["details"].get("kept_connection"), 10, "a check over the kept connection")
    details = sm.component("ws")["details"]
    assert details["http_status"] == 101 and details["subprotocol"] == "chat" and details["tls"] == "none"
    assert 0 < details["pong_ms"] < 500 * SLOW and 0 < details["message_ms"] < 500 * SLOW and details["connection_age_seconds"] > 0
    assert "handshake_ms" not in details and "close_code" not in details  # was not measured, did not happen
    wait_until(lambda: sm.component("ws")["details"]["connection_age_seconds"] > 1, 10, "the connection to grow old")
    assert connects(sm) == 1
    assert 0 < number(sm, "skymon_websocket_pong_duration_seconds") < 0.5 * SLOW
    assert number(sm, "skymon_websocket_handshake_duration_seconds") is None


def test_a_new_connection_for_each_check(skymond, websocket):
    server = websocket()
    sm = skymond(config({"ws": part(server.url, reconnect="0s"), "old": part(server.url, reconnect="1s")}))
    details = healthy(sm)["details"]
    assert details["kept_connection"] is False and details["close_code"] == 1000 and details["closed_cleanly"] is True
    assert details["handshake_ms"] > 0 and number(sm, "skymon_websocket_handshake_duration_seconds") > 0
    wait_until(lambda: connects(sm) >= 4, 10, "four connections")
    # One that is kept for a second is replaced after that: newcomers are let in.
    wait_until(lambda: connects(sm, "old") >= 3, 15, "a third connection")
    assert sm.component("old")["consecutive_failures"] == 0
    assert connects(sm, "old") < connects(sm)
    # Each was given back.
    (worker,) = sm.children()
    assert len(list(pathlib.Path(f"/proc/{worker}/fd").iterdir())) < 40


def test_greeting_without_a_question(skymond, websocket):
    server = websocket()
    sm = skymond(config({"ws": part(server.url + "/greet", expect="aboard"), "no": part(server.url, expect="aboard")}))
    details = healthy(sm)["details"]
    assert details["message_ms"] > 0 and details["kept_connection"] is False
    wait_until(lambda: connects(sm) >= 2, 10, "a second greeting")
    cell(sm, "no message comes", "unhealthy", "timeout", "sends no message in time", name="no")


def test_what_is_sent(skymond, raw):
    server = raw()
    skymond(config({"ws": part(server.url.replace("//", "//us%65r:p%40ss@") + "/a/b?c=d#geheim", origin="https://example.com",
                               headers={"X-Team": "orders", "Cookie": "a=b"}, subprotocol=["chat", "v2.chat"])}))
    request = wait_until(lambda: server.requests and server.requests[0].decode(), 10, "a handshake")
    lines = request.split("\r\n")
    assert lines[0] == "GET /a/b?c=d HTTP/1.1"
    for line in (f"Host: 127.0.0.1:{server.port}", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                 "Origin: https://example.com", "X-Team: orders", "Cookie: a=b", "Sec-WebSocket-Protocol: chat, v2.chat",
                 "Authorization: Basic dXNlcjpwQHNz"):
        assert lines.count(line) == 1, request
    wait_until(lambda: len(server.requests) > 1, 10, "another handshake")
    keys = {re.search(r"Sec-WebSocket-Key: (\S+)", bytes(text).decode()).group(1) for text in server.requests}
    assert len(keys) == len(server.requests)


def test_metrics_are_as_prometheus_wants_them(skymond, websocket):
    server = websocket()
    sm = skymond(config({"ws": part(server.url, send="x", expect="x", reconnect="0s")}))
    healthy(sm)
    lines = [line for line in sm.metrics().splitlines() if "skymon_websocket_" in line]
    for family in ("pong_duration_seconds", "handshake_duration_seconds", "message_duration_seconds", "connects_total"):
        assert any(line.startswith(f"skymon_websocket_{family}{{") for line in lines), lines
    done = subprocess.run([need("promtool"), "check", "metrics"], input="\n".join(lines) + "\n", capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0 and not done.stdout + done.stderr, done


# ---- In trouble ----

@pytest.mark.sanitized
def test_stopped_and_brought_back(skymond, websocket):
    server = websocket()
    sm = skymond(config({"ws": part(server.url)}))
    healthy(sm)
    server.stop()
    cell(sm, "stopped", "unhealthy", "refused", f"{server.place}: connection refused")
    server.start()
    cell(sm, "back", "healthy", "ok")


@pytest.mark.sanitized
def test_frozen(skymond, websocket):
    server = websocket()
    sm = skymond(config({"ws": part(server.url)}))
    healthy(sm)
    server.pause()
    cell(sm, "frozen, under a kept connection", "unhealthy", "timeout", "does not answer a ping in time")
    wait_until(lambda: "did not answer the handshake" in sm.component("ws")["message"], 10, "a new connection")
    cell(sm, "frozen", "unhealthy", "timeout", "accepted the connection and did not answer the handshake in time")
    wait_until(lambda: (found := sm.component("ws"))["response_time_ms"] <= 1000 and "the handshake in time" in found["message"], 10,
               "the check's own sentence, before the daemon's deadline")
    server.resume()
    cell(sm, "back", "healthy", "ok")


def test_slow(skymond, websocket):
    server = websocket()
    sm = skymond(config({"ws": part(server.url, send="a", expect="a", warn={"pong_time": "100ms"}, crit={"message_time": "600ms"})}))
    healthy(sm)
    server.mode("slow-200")
    cell(sm, "slow", "degraded", "threshold_warn", "pong_time")
    server.mode("")
    cell(sm, "back", "healthy", "ok")


def test_restart_under_a_kept_connection(skymond, websocket):
    """Between two checks: the next one finds the connection gone and a server there."""
    server = websocket()
    sm = skymond(config({"ws": part(server.url, interval="4s")}))
    before = 0

    def restart():
        nonlocal before
        before = connects(sm)
        server.stop()
        server.start()
    _, found = truth.restarted("websocket", sm, "ws", restart)
    assert found["details"]["kept_connection"] is False and connects(sm) == before + 1
    truth.hides(sm, SECRETS, found)


def test_closed_between_two_checks(skymond, websocket):
    """With a close frame of any code: a new connection decides."""
    server = websocket()
    sm = skymond(config({"ws": part(server.url, interval="1s")}))
    first = healthy(sm)
    for count, code in enumerate((1001, 1011, 3000), 2):
        mark = sm.log_mark()
        server.mode(f"bye-{code}")
        sm.wait_log(f"closed the WebSocket with {code}", after=mark)
        wait_until(lambda: connects(sm) == count, 10, "a new connection")
    found = sm.component("ws")
    assert (found["status"], found["consecutive_failures"], found["since"]) == ("healthy", 0, first["since"]), found
    truth.hides(sm, SECRETS)


def test_server_that_pings_and_gives_up(skymond, websocket):
    """Its pings wait for our next check; when it does not wait that long, each check connects again, and nothing is wrong."""
    server = websocket(ping_interval=0.2, ping_timeout=0.3)
    patient = websocket(ping_interval=0.2, ping_timeout=20)
    sm = skymond(config({"ws": part(server.url, interval="2s"), "ok": part(patient.url, interval="1s")}))
    healthy(sm)
    wait_until(lambda: connects(sm) >= 3, 15, "two new connections")
    assert sm.component("ws")["consecutive_failures"] == 0
    wait_until(lambda: sm.component("ok")["details"].get("connection_age_seconds", 0) > 2, 15, "a connection that is kept")
    assert connects(sm, "ok") == 1


def test_a_way_that_is_dead(skymond, pongs):
    """The other end acknowledges nothing any more (its window is shut): half of the time is kept for a new connection."""
    server = pongs(pings=1)
    sm = skymond(config({"ws": part(server.url, timeout="2s", send="x" * 200000)}))
    first = healthy(sm)
    wait_until(lambda: connects(sm) >= 2, 15, "a second connection")
    found = sm.component("ws")
    assert (found["status"], found["consecutive_failures"], found["since"]) == ("healthy", 0, first["since"]), found


def test_names(skymond):
    sm = skymond(config({"ws": part("ws://no-such-host.invalid/geheim", timeout="3s")}))
    cell(sm, "name does not resolve", "unhealthy", "dns", "no-such-host.invalid")


def test_token(skymond, websocket, tmp_path):
    server = websocket()
    word = tmp_path / "word"
    word.write_text("Bearer geheim-wrong\n")
    word.chmod(0o600)
    sm = skymond(config({"ws": part(server.url + "/bearer", authorization={"file": str(word)}), "none": part(server.url + "/bearer"),
                         "403": part(server.url + "/http-403", authorization="Bearer geheim-other")}))
    cell(sm, "wrong token", "unhealthy", "auth_failed", "HTTP 401", "does not accept")
    cell(sm, "no token", "unhealthy", "auth_failed", "requires a login", name="none")
    cell(sm, "token without the right", "unhealthy", "auth_failed", "HTTP 403", name="403")
    word.write_text(f"Bearer {TOKEN}\n")  # read again, because the check said that it was refused
    cell(sm, "back: right token", "healthy", "ok", within=20)


# ---- What the server says ----

SAYS = {
    "refuses with 403": ("/http-403", {}, "http_status", "HTTP 403"),
    "no WebSocket there": ("/http-200", {}, "http_status", "HTTP 200: no WebSocket"),
    "not found": ("/http-404", {}, "http_status", "HTTP 404"),
    "redirects": ("/http-302", {}, "http_status", "HTTP 302: redirects are not followed"),
    "refuses with 503": ("/http-503", {}, "http_status", "HTTP 503"),
    "no answer to the handshake": ("/hang", {}, "timeout", "did not answer the handshake"),
    "no pong": ("/deaf", {}, "timeout", "does not answer a ping"),
    "no answer to a message": ("/mute", {"send": "geheim", "expect": "x"}, "timeout", "does not answer a message"),
    "wrong answer": ("/wrong", {"send": "a", "expect": "geheim"}, "body_mismatch", "none holds"),
    "huge answer": ("/huge", {"send": "a", "expect": "b"}, "protocol", "more than the 1 MiB"),
    "sub-protocol not agreed": ("/", {"subprotocol": "soap"}, "protocol", "sub-protocol"),
    "closes with 1000": ("/close-1000", {}, "other", "1000 (normal closure)"),
    "closes with 1001": ("/close-1001", {}, "other", "1001 (going away)"),
    "closes with 1002": ("/close-1002", {}, "protocol", "1002 (protocol error)"),
    "closes with 1008": ("/close-1008", {}, "other", "1008 (policy violation)"),
    "closes with 1011": ("/close-1011", {}, "other", "1011 (internal error)"),
    "closes with 1013": ("/close-1013", {}, "resource", "1013 (try again later)"),
    "closes with 3000": ("/close-3000", {}, "auth_failed", "3000 (unauthorized)"),
    "closes with 4321": ("/close-4321", {}, "other", "with 4321"),
}


@pytest.mark.asan
def test_what_the_server_says(skymond, websocket):
    server = websocket()
    sm = skymond(config({f"f{i}": part(server.url + path, **options) for i, (path, options, _, _) in enumerate(SAYS.values())}))
    for i, (fault, (path, _, reason, words)) in enumerate(SAYS.items()):
        details = cell(sm, fault, "unhealthy", reason, words, name=f"f{i}")["details"]
        if path.startswith("/http-"):
            assert details["http_status"] == int(path[6:])
        if path.startswith("/close-"):
            assert details["close_code"] == int(path[7:]) and details["http_status"] == 101
    server.mode("echo")
    for i, (fault, (_, options, _, _)) in enumerate(SAYS.items()):
        if not options:
            cell(sm, "back", "healthy", "ok", name=f"f{i}")


def test_talkative_servers(skymond, websocket):
    """Such frames are skipped: they take no memory, and the pong is found behind it."""
    server = websocket()
    sm = skymond(config({"ws": part(server.url + "/flood", timeout="5s"), "huge": part(server.url + "/huge", send="x"),
                         "expects": part(server.url + "/flood", timeout="5s", send="a", expect="never")}))
    cell(sm, "talks without end", "healthy", "ok", "pong after")
    found = cell(sm, "talks without end, and not of what is expected", "unhealthy", "body_mismatch", "none holds", name="expects")
    assert found["response_time_ms"] <= 5000 * SLOW
    # A flood fills the kernel's buffers between two checks; that does not count as a fault either.
    wait_until(lambda: sm.component("ws")["details"].get("connection_age_seconds", 0) > 1, 15, "the flood to be kept")
    wait_until(lambda: sm.component("huge")["details"].get("connection_age_seconds", 0) > 1, 15, "huge answers to be read past")
    assert sm.component("huge")["consecutive_failures"] == 0
    if not SANITIZED:
        (worker,) = sm.children()
        peak = int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{worker}/status").read_text()).group(1))
        assert peak < 24 * 1024, f"{peak} KiB"


# ---- No WebSocket, or a broken one ----

AGREE = RawWs.AGREE
RAW = {
    # fault: (answer to the handshake, frames, does it hang then, options, reason, words)
    "closes at once": (b"", b"", False, {}, "protocol", "closed the connection before it answered"),
    "garbage": (b"\xff\x00geheim" * 50, b"", True, {}, "protocol", "not HTTP"),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", b"", True, {}, "protocol", "not HTTP"),
    "half a handshake": (AGREE[:60], b"", True, {}, "timeout", "began its answer to the handshake"),
    "half a handshake, closed": (AGREE[:60], b"", False, {}, "protocol", "in the middle of its answer"),
    "endless headers": (AGREE[:-2] + b"X: y\r\n" * 5000, b"", True, {}, "protocol", "more than 16 KiB"),
    "wrong Sec-WebSocket-Accept": (AGREE.replace(b"ACCEPT", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), b"", True, {}, "protocol",
                                   "wrong Sec-WebSocket-Accept"),
    "no Sec-WebSocket-Accept": (AGREE.replace(b"Sec-WebSocket-Accept: ACCEPT\r\n", b""), b"", True, {}, "protocol",
                                "without one Sec-WebSocket-Accept"),
    "agrees to HTTP/2": (AGREE.replace(b"websocket", b"h2c"), b"", True, {}, "protocol", "not to a WebSocket"),
    "sub-protocol unasked": (AGREE[:-2] + b"Sec-WebSocket-Protocol: soap\r\n\r\n", b"", True, {}, "protocol", "not requested"),
    "another sub-protocol": (AGREE[:-2] + b"Sec-WebSocket-Protocol: soap\r\n\r\n", b"", True, {"subprotocol": "chat"}, "protocol",
                             "not requested"),
    "extension unasked": (AGREE[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", b"", True, {}, "protocol",
                          "extension"),
    "ends without a close frame": (AGREE, b"", False, {}, "protocol", "without closing the WebSocket"),
    "pong of another ping": (AGREE, b"\x8a\x06geheim", True, {}, "timeout", "another ping"),
    "half a frame": (AGREE, b"\x81\x05gehe", True, {}, "timeout", "did not end it"),
    "half a frame, closed": (AGREE, b"\x81\x05gehe", False, {}, "protocol", "in the middle of a message"),
    "masked frame": (AGREE, b"\x81\x80\0\0\0\0", True, {}, "protocol", "masked"),
    "reserved bits": (AGREE, b"\xc1\x00", True, {}, "protocol", "reserved bits"),
    "unknown frame": (AGREE, b"\x83\x00", True, {}, "protocol", "does not exist"),
    "control frame in pieces": (AGREE, b"\x09\x00", True, {}, "protocol", "in pieces"),
    "promises exabytes": (AGREE, b"\x82\x7f\x7f" + b"\xff" * 7 + b"x" * 1000, True, {}, "timeout", "did not end it"),
    "promises exabytes for an answer": (AGREE, b"\x82\x7f\x7f" + b"\xff" * 7, True, {"expect": "x"}, "protocol", "1 MiB"),
    "many pieces for an answer": (AGREE, b"\x02\x00" + (b"\x00\x7e\xff\xff" + b"x" * 65535) * 17, True, {"expect": "y"}, "protocol",
                                  "1 MiB"),
    "text that is no text": (AGREE, b"\x81\x02\xc3\x28", True, {"expect": "x"}, "protocol", "UTF-8"),
    "close frame with half a code": (AGREE, b"\x88\x01\x03", True, {}, "protocol", "half a code"),
    "close frame without a code": (AGREE, b"\x88\x00", True, {}, "other", "without a code"),
    "close frame with no such code": (AGREE, b"\x88\x02\x03\xee", True, {}, "protocol", "must not be sent"),
}


@pytest.mark.asan
def test_broken_servers(skymond, raw):
    servers = [raw(answer, frames, hang) for answer, frames, hang, _, _, _ in RAW.values()]
    sm = skymond(config({f"f{i}": part(server.url, **options)
                         for i, (server, (_, _, _, options, _, _)) in enumerate(zip(servers, RAW.values()))}))
    for i, (fault, (_, _, _, _, reason, words)) in enumerate(RAW.items()):
        cell(sm, fault, "unhealthy", reason, words, name=f"f{i}")


def test_garbage_on_a_kept_connection(skymond, pongs):
    """Nothing that a new connection could put right silently: it is reported, once."""
    server = pongs()
    sm = skymond(config({"ws": part(server.url, interval="1s")}))
    healthy(sm)
    server.kept[-1].sendall(b"\xf3garbage")
    cell(sm, "garbage on a kept connection", "unhealthy", "protocol", "reserved bits")
    cell(sm, "back", "healthy", "ok")


def test_a_web_server_without_websockets(skymond, nginx):
    port = free_port()
    nginx(f"server {{ listen 127.0.0.1:{port}; location / {{ return 200 geheim; }} }}", port)
    sm = skymond(config({"ws": part(f"ws://127.0.0.1:{port}/geheim"), "tls": part(f"wss://127.0.0.1:{port}/")}))
    cell(sm, "a web server", "unhealthy", "http_status", "HTTP 200")
    cell(sm, "wss to a server without TLS", "unhealthy", "tls_other", "not TLS", name="tls")


# ---- TLS ----

@pytest.mark.asan
def test_certificates(skymond, websocket, certs):
    servers = {name: websocket(tls=(certs.pem(name), certs.key(name)))
               for name in ("good", "expired", "early", "wrong_name", "untrusted")}
    tls = {"ca_file": certs.ca}
    sm = skymond(config({
        **{name: part(server.url, tls=tls) for name, server in servers.items()},
        "named": part(servers["wrong_name"].url, tls={**tls, "server_name": "else.test"}),
        "other": part(servers["untrusted"].url, tls={"ca_file": certs.other_ca}),
        "any": part(servers["expired"].url, tls={"insecure": True}),
        "system": part(servers["good"].url),
        "plain": part(servers["good"].url.replace("wss:", "ws:")),
    }))
    details = healthy(sm, "good")["details"]
    assert details["tls"] == "verified" and 29 < details["certificate_days"] < 31
    for name in ("named", "other", "any"):
        healthy(sm, name)
    cell(sm, "certificate expired", "unhealthy", "tls_expired", "expired", name="expired")
    cell(sm, "certificate not yet valid", "unhealthy", "tls_expired", "not yet valid", name="early")
    cell(sm, "certificate for another name", "unhealthy", "tls_untrusted", "127.0.0.1", name="wrong_name")
    cell(sm, "certificate of an unknown issuer", "unhealthy", "tls_untrusted", name="untrusted")
    cell(sm, "certificate that the system does not know", "unhealthy", "tls_untrusted", name="system")
    cell(sm, "ws to a server with TLS", "unhealthy", "protocol", name="plain")
    # The certificate is replaced, and the server restarted: the kept connection does not hide it.
    servers["good"].stop()
    servers["good"].set_certificate(certs.pem("expired"), certs.key("expired"))
    servers["good"].start()
    cell(sm, "restarted with an expired certificate", "unhealthy", "tls_expired", name="good")
    servers["good"].stop()
    servers["good"].set_certificate(certs.pem("good"), certs.key("good"))
    servers["good"].start()
    cell(sm, "back", "healthy", "ok", name="good")


def test_tls_in_trouble(skymond, websocket, certs):
    server = websocket(tls=(certs.pem("good"), certs.key("good")))
    sm = skymond(config({"ws": part(server.url, tls={"ca_file": certs.ca})}))
    healthy(sm)
    wait_until(lambda: sm.component("ws")["details"].get("connection_age_seconds", 0) > 0.5, 10, "a kept connection")
    assert connects(sm) == 1
    server.pause()
    cell(sm, "wss, frozen under a kept connection", "unhealthy", "timeout", "ping")
    wait_until(lambda: "did not begin TLS" in sm.component("ws")["message"], 10, "a new connection")
    server.resume()
    cell(sm, "back", "healthy", "ok")
    server.mode("close-1011")
    cell(sm, "wss, closes with 1011", "unhealthy", "other", "1011")
    server.mode("")
    server.stop()
    cell(sm, "wss, stopped", "unhealthy", "refused")
    server.start()
    cell(sm, "back", "healthy", "ok")


def test_client_certificate(skymond, websocket, haproxy, certs, tmp_path):
    """A real HAProxy in front of the server, which wants one."""
    server, port = websocket(), free_port()
    both = tmp_path / "both.pem"
    both.write_text(pathlib.Path(certs.pem("good")).read_text() + pathlib.Path(certs.key("good")).read_text())
    haproxy(f"frontend f\n  bind 127.0.0.1:{port} ssl crt {both} ca-file {certs.ca} verify required\n  default_backend b\n"
            f"backend b\n  server s {server.place}\n")
    url, tls = f"wss://127.0.0.1:{port}/", {"ca_file": certs.ca}
    pair = {name: {**tls, "cert_file": certs.pem(name), "key_file": certs.key(name)} for name in ("client", "client_untrusted")}
    sm = skymond(config({"ws": part(url, tls=pair["client"], timeout="6s"), "none": part(url, tls=tls),
                         "wrong": part(url, tls=pair["client_untrusted"])}))
    healthy(sm)
    cell(sm, "no client certificate", "unhealthy", "tls_other", "asks for a certificate", name="none")
    cell(sm, "wrong client certificate", "unhealthy", "tls_other", "does not trust the issuer", name="wrong")
    server.stop()
    cell(sm, "stopped behind HAProxy", "unhealthy", "http_status", "HTTP 503")
    server.start()
    cell(sm, "back", "healthy", "ok")


# ---- Proxy ----

class Proxy(Double):
    """An HTTP proxy that connects further (CONNECT) when it is asked with the right login."""

    def __init__(self, login=None):
        self.login, self.asked = login, []
        super().__init__()

    def serve(self, client):
        client.settimeout(20)
        head = read_head(client)
        if head is None:
            return
        self.asked.append(head.split(b"\r\n")[0].decode())
        if self.login and f"Proxy-Authorization: Basic {self.login}".encode() not in head:
            client.sendall(b"HTTP/1.1 407 Login\r\n\r\n")
            return
        host, port = head.split()[1].decode().rsplit(":", 1)
        try:
            server = socket.create_connection((host, int(port)), timeout=5)
        except OSError:
            client.sendall(b"HTTP/1.1 502 No\r\n\r\n")
            return
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with server:
            self._pass(client, server)

    @staticmethod
    def _pass(one, other):
        try:
            while True:
                for ready in select.select([one, other], [], [], 30)[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    (other if ready is one else one).sendall(data)
        except OSError:
            pass


def test_proxy(skymond, websocket, certs):
    plain, secure = websocket(), websocket(tls=(certs.pem("good"), certs.key("good")))
    proxy = Proxy(login="dXNlcjpnZWhlaW0tcHc=")  # user:geheim-pw
    through = f"http://user:geheim-pw@127.0.0.1:{proxy.port}"
    try:
        sm = skymond(config({
            "ws": part(plain.url, proxy=through), "wss": part(secure.url, proxy=through, tls={"ca_file": certs.ca}),
            "login": part(plain.url, proxy=f"http://127.0.0.1:{proxy.port}"),
            "behind": part(f"ws://127.0.0.1:{free_port()}/", proxy=through),
            "gone": part(plain.url, proxy=f"http://127.0.0.1:{free_port()}")}))
        healthy(sm)
        healthy(sm, "wss")
        assert f"CONNECT {plain.place} HTTP/1.1" in proxy.asked
        cell(sm, "proxy wants a login", "unhealthy", "auth_failed", "proxy", "407", name="login")
        cell(sm, "refused behind the proxy", "unhealthy", "unreachable", "proxy", "502", name="behind")
        cell(sm, "proxy refused", "unhealthy", "refused", "proxy", name="gone")
    finally:
        proxy.close()


# ---- Configuration ----

def test_not_configured(skymond):
    sm = skymond(config({"ws": {"plugin": "websocket"}}))
    found = sm.wait_component("ws", status="unknown", reason="not_configured")
    assert "WEBSOCKET_URL" in found["message"], found


def test_options_that_cannot_be():
    wrong = {"a": ({"url": "http://bob:geheim@h/"}, "url", "must begin with ws:// or wss://"),
             "b": ({"url": "ws://h/ge heim"}, "url", "%XX"),
             "c": ({"url": "ws://h", "headers": {"Authorization": "geheim"}}, "headers", "`authorization`"),
             "d": ({"url": "ws://h", "headers": {"X-A": "b\r\nX-C: geheim"}}, "headers", "line break"),
             "e": ({"url": "ws://h", "subprotocol": "two words"}, "subprotocol", "without spaces"),
             "f": ({"url": "ws://h", "proxy": "socks5://u:geheim@h"}, "proxy", "must be http://"),
             "g": ({"url": "ws://"}, "url", "no host")}
    done = run_skymond(config({name: {"plugin": "websocket", **options} for name, (options, _, _) in wrong.items()}), "--check-config")
    assert done.returncode == 2
    for name, (_, option, words) in wrong.items():
        line = [line for line in done.stderr.splitlines() if f"option `{option}` of component {name} " in line]
        assert len(line) == 1 and words in line[0], (name, done.stderr)
    assert "geheim" not in done.stderr


def test_by_hand(websocket):
    server = websocket()
    done = run_tool("run", "websocket", f"url={server.url}/bearer", f"authorization=Bearer {TOKEN}", "send=a", "expect=a")
    assert done.returncode == 0, done
    found = json.loads(done.stdout)
    assert found["numbers"]["pong_time"] > 0 and found["numbers"]["message_time"] > 0 and found["numbers"]["handshake_time"] > 0
    server.stop()
    assert run_tool("run", "websocket", f"url={server.url}").returncode == 2

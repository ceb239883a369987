# SPDX-License-Identifier: Apache-2.0
"""grafana and the way to its Grafana: a path in the URL, a redirect, an address without an answer, certificates, proxies, restarts."""
import contextlib
import re
import socket
import threading
import time

import pytest

import truth
from grafana_broker import ALL, CONNECT, SPARE, TIMEOUT, Broker, cell, problem, seed
from grafana_server import GrafanaDouble
from harness import SLOW, free_port, wait_until
from test_websocket import Proxy


@pytest.fixture
def grafana():
    with GrafanaDouble() as double:
        yield double


@pytest.fixture
def broker(skymond, tmp_path, grafana):
    """broker(url=, double=, **options); url: another one than the double's. The key is in a file."""
    def start(url=None, double=None, **options):
        double = double or grafana
        return Broker(skymond, tmp_path, double.add_key("admin"), url or double.url, **options)
    return start


# ---- Other places ----

def test_a_redirect_is_not_followed(broker, grafana):
    with GrafanaDouble() as other:
        one = broker().ready()
        seed(grafana)
        for code in (301, 302, 307, 308):
            grafana.fail("*", "", "redirect", code=code, location=other.url + "/api/health?token=geheim-query")
            for name, route in ALL.items():
                found = problem(one.ask(*route)[0], 502, upstream_status=code)
                assert f"127.0.0.1:{other.port}" in found["detail"] and "geheim-query" not in found["detail"], (name, found)
            wait_until(lambda: one.sm.component("grafana")["details"].get("version") is None, 5, "a check under the redirect")
            grafana.heal()
        assert other.requests == []
        one.lives()


def test_a_path_and_a_slash_at_its_end(broker):
    with GrafanaDouble(prefix="/tools/grafana") as grafana:
        seed(grafana)
        one = broker(url=grafana.url + "///", double=grafana).ready()
        for name, route in ALL.items():
            answer, _ = one.ask(*route)
            assert answer.status_code in (200, 201), (name, answer.text)
        assert grafana.requests and all(re.match("/api/", request.path) for request in grafana.requests)
        assert all(request.status != 404 or "/api/folders/" in request.path or request.method == "GET" for request in grafana.requests)


# ---- A Grafana that cannot be reached ----

@contextlib.contextmanager
def full_listener():
    """A socket that takes no connection any more: its queue is full."""
    hole, fill = socket.create_server(("127.0.0.1", 0), backlog=0), []
    for _ in range(8):
        fill.append(socket.socket())
        fill[-1].setblocking(False)
        fill[-1].connect_ex(hole.getsockname())
    try:
        yield f"http://127.0.0.1:{hole.getsockname()[1]}"
    finally:
        for one in [hole, *fill]:
            one.close()


@contextlib.contextmanager
def plain_listener():
    """Answers each client in plain HTTP."""
    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                kept.append(connection)
    kept = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    for connection in kept:
        connection.close()


@contextlib.contextmanager
def silent_listener():
    """Takes connections, and says nothing, not even TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


class Place:
    """A place that has no Grafana for us: what the problem and the component say of it."""

    def __init__(self, row, code, status, reason, *words, limit=TIMEOUT, **options):
        self.row, self.code, self.status, self.reason, self.words, self.limit = row, code, status, reason, words, limit
        self.options, self.one = options, None

    def judge(self):
        began = time.monotonic()
        with self.one.asking({**ALL, "check": ("GET", "/check", None)}) as asked:
            cell(self.one, self.row, self.status, self.reason, *self.words, within=20)
            for name, future in asked.items():
                answer, took = future.result()
                assert took < self.limit + SPARE * SLOW, (self.row, name, took)
                if name == "check":
                    assert [line["ok"] for line in answer.json()["checks"]] == [False], answer.text
                    assert all(word in answer.json()["checks"][0]["message"] for word in self.words), answer.text
                    continue
                found = problem(answer, self.code, upstream_status=None)
                assert all(word in found["detail"] for word in self.words), (self.row, name, found)
                assert "Grafana cannot be asked" in found["detail"] and "may have been done" not in found["detail"], (name, found)
        assert time.monotonic() - began < 20 * SLOW
        self.one.pids = (self.one.sm.pid, self.one.pid())
        self.one.lives()


def judge_places(broker, places):
    """All daemons are started first: they wait for the same time."""
    for place in places:
        place.one = broker(**place.options)
    for place in places:
        place.judge()


def test_places_without_a_grafana(broker, grafana):
    with full_listener() as hole, silent_listener() as silent, plain_listener() as plain:
        judge_places(broker, [
            Place("stopped", 503, "unhealthy", "refused", "connection refused", url=f"http://127.0.0.1:{free_port()}"),
            Place("name does not resolve", 503, "unhealthy", "dns", "no-such-host.invalid", url="http://no-such-host.invalid:3000", tls={"insecure": True}),
            Place("no answer to the connection", 504, "unhealthy", "timeout", "connection attempt", limit=CONNECT, url=hole),
            Place("takes the connection, says nothing of TLS", 504, "unhealthy", "timeout", "did not begin TLS in time", limit=CONNECT,
                  url=f"https://{silent}"),
            Place("not TLS", 503, "unhealthy", "tls_other", "is not TLS", url=f"https://{plain}"),
            Place("proxy stopped", 503, "unhealthy", "refused", "proxy 127.0.0.1:1: connection refused", proxy="http://127.0.0.1:1")])
    assert grafana.requests == []


def test_certificates(broker, certs):
    """A server that cannot show a good certificate does not get the key."""
    with contextlib.ExitStack() as stack:
        doubles, places = {}, []
        for name, reason, words in (("untrusted", "tls_untrusted", "certificate is not accepted"),
                                    ("expired", "tls_expired", "certificate has expired"),
                                    ("wrong_name", "tls_untrusted", "certificate is not for the name 127.0.0.1")):
            doubles[name] = stack.enter_context(GrafanaDouble(certificate=(certs.pem(name), certs.key(name))))
            row = {"untrusted": "authority not trusted", "expired": "certificate expired",
                   "wrong_name": "certificate for another name"}[name]
            places.append(Place(row, 503, "unhealthy", reason, words, tls={"ca_file": certs.ca}, double=doubles[name]))
        private = stack.enter_context(GrafanaDouble(certificate=(certs.pem("good"), certs.key("good"))))
        places.append(Place("authority unknown to the machine", 503, "unhealthy", "tls_untrusted", "certificate is not accepted",
                            double=private))
        asks = stack.enter_context(GrafanaDouble(certificate=(certs.pem("good"), certs.key("good")), client_ca=certs.ca))
        judge_places(broker, places)
        # TLS 1.3 asks for ours when the request is on its way: what is lost then, the alert or the request, is a matter of luck.
        one = broker(tls={"ca_file": certs.ca}, double=asks)
        wait_until(lambda: one.sm.component("grafana")["reason"] in ("tls_other", "protocol"), 10, "a check without a certificate of ours")
        for name, route in ALL.items():
            answer, took = one.ask(*route)
            assert problem(answer, answer.status_code)["status"] in (502, 503) and took < CONNECT + SPARE * SLOW, (name, answer.text)
        assert all(double.requests == [] for double in [*doubles.values(), private, asks])
        good = {"private": ({"ca_file": certs.ca}, private, None), "insecure": ({"insecure": True}, doubles["expired"], None),
                "name": ({"ca_file": certs.ca, "server_name": "else.test"}, doubles["wrong_name"], None),
                "client": ({"ca_file": certs.ca, "cert_file": certs.pem("client"), "key_file": certs.key("client")}, asks, None)}
        for tls, double, _ in good.values():
            seed_over_tls(double)
            one = broker(tls=tls, double=double).ready()
            for name, route in ALL.items():
                answer, _ = one.ask(*route)
                assert answer.status_code in (200, 201), (name, answer.text)
            one.lives()


def seed_over_tls(double):
    """seed() asks with requests, which know no private authority; the state is the same."""
    with GrafanaDouble() as plain:
        seed(plain)
        for mine, its in ((double.dashboards, plain.dashboards), (double.datasources, plain.datasources)):
            mine.update(its)


def test_through_a_proxy(broker, grafana, certs):
    """An https URL by CONNECT: the proxy sees neither key nor request. A proxy that stops and one that does not let us in are problems."""
    proxy = Proxy(login="dXNlcjpnZWhlaW0tcHc=")  # user:geheim-pw
    through = f"http://user:geheim-pw@127.0.0.1:{proxy.port}"
    try:
        with GrafanaDouble(certificate=(certs.pem("good"), certs.key("good"))) as secure:
            seed_over_tls(secure)
            tls = {"ca_file": certs.ca}
            one = broker(tls=tls, proxy=through, double=secure).ready()
            for name, route in ALL.items():
                answer, _ = one.ask(*route)
                assert answer.status_code in (200, 201), (name, answer.text)
            assert set(proxy.asked) == {f"CONNECT 127.0.0.1:{secure.port} HTTP/1.1"}
            truth.hides(one.sm, ["geheim-pw", one.key])
            with socket.socket() as nobody:
                nobody.bind(("127.0.0.1", 0))
                judge_places(broker, [
                    Place("proxy asks for a login", 503, "unhealthy", "auth_failed", "proxy", "407", tls=tls, double=secure,
                          proxy=f"http://127.0.0.1:{proxy.port}"),
                    Place("refused behind the proxy", 503, "unhealthy", "unreachable", "proxy", "502", tls=tls, proxy=through,
                          url=f"https://127.0.0.1:{nobody.getsockname()[1]}")])
            assert one.ask("GET", "/dashboards")[0].status_code == 200
            one.lives()
    finally:
        proxy.close()


def test_stopped_and_started_again(broker, grafana):
    """The same worker, and the next request works at once."""
    seed(grafana)
    one = broker().ready()
    grafana.stop()
    cell(one, "stopped", "unhealthy", "refused", f"127.0.0.1:{grafana.port}: connection refused")
    for name, route in ALL.items():
        answer, took = one.ask(*route)
        assert problem(answer, 503)["detail"] and took < SPARE * SLOW
    grafana.start()
    assert one.ask("GET", "/dashboards")[0].status_code == 200
    cell(one, "back to normal", "healthy", "ok")
    one.lives()


def test_restarted_under_a_kept_connection(broker, grafana):
    """Between two checks: the next one finds the connection gone and a server there."""
    one = broker(interval="4s").ready()

    def restart():
        grafana.stop()
        grafana.start()
    truth.restarted("grafana", one.sm, "grafana", restart)

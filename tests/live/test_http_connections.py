# SPDX-License-Identifier: Apache-2.0
"""http: its connections. What is kept and what newcomers meet, names with several addresses, proxies, and many components at once."""
import collections
import pathlib
import re
import socket
import threading

import pytest

import truth
from conftest import factory
from door import doors  # noqa: F401
from harness import SANITIZED, SLOW, free_port, wait_until
from http_peers import RawHttp, Silent, Site
from own import own_file
from test_http_check import SECRETS, cell, config, healthy, part

raw_http = factory(RawHttp)
silent = factory(Silent)


@pytest.fixture
def site(nginx, certs):
    return lambda **options: Site(nginx, certs, **options)


def descriptors(sm):
    (worker,) = sm.children()
    return len(list(pathlib.Path(f"/proc/{worker}/fd").iterdir()))


# ---- Kept connections ----

@pytest.mark.sanitized
def test_one_connection_for_a_component(skymond, raw_http):
    server = raw_http()
    sm = skymond(config(web=part(server.url), other=part(server.url), fresh=part(server.url, reconnect="0s")))
    healthy(sm)
    wait_until(lambda: len(server.requests) > 30, 20, "many requests")
    assert sm.component("web")["details"]["kept_connection"] and sm.component("other")["details"]["kept_connection"]
    assert not sm.component("fresh")["details"]["kept_connection"] and "connect_time" in sm.component("fresh")["numbers"]
    assert server.connections < len(server.requests) / 2 + 3  # those of `fresh`, one of each other component
    before = descriptors(sm)
    wait_until(lambda: len(server.requests) > 60, 20, "more requests")
    assert descriptors(sm) <= before + 2


def test_restarted_under_a_kept_connection(skymond, site):
    web = site()
    sm = skymond(config(web=part(web.url, interval="4s")))

    def restart():
        web.server.close()
        web.server = web.start()
    _, found = truth.restarted("http", sm, "web", restart)
    assert found["details"]["kept_connection"] is False
    truth.hides(sm, SECRETS, found)


def test_lost_while_it_is_used(skymond, raw_http):
    """The server closes the kept connection when the request comes: a new one is opened, and nothing is wrong."""
    server = raw_http()
    sm = skymond(config(web=part(server.url, interval="500ms"), post=part(server.url + "/post", method="POST", body="x")))
    healthy(sm)
    wait_until(lambda: sm.component("web")["details"]["kept_connection"], 10, "a kept connection")
    for _ in range(5):
        count = server.connections
        server.drop()
        wait_until(lambda: server.connections >= count + 2, 10, "new connections")
    for name in ("web", "post"):
        assert sm.component(name)["consecutive_failures"] == 0, sm.component(name)


@pytest.mark.sanitized
def test_newcomers_are_refused(skymond, raw_http, doors):
    server = raw_http()
    door = doors(server.port)
    sm = skymond(config(web=part(f"http://127.0.0.1:{door.port}", reconnect="1s")))
    healthy(sm)
    total = door.total
    door.reset()
    wait_until(lambda: door.total >= total + 3, 15, "three new connections")  # one a second, though nothing ended them
    assert door.most <= 2 and sm.component("web")["consecutive_failures"] == 0
    wait_until(lambda: door.now == 1, 5, "the old connection to be closed")
    door.shut()
    cell(sm, "refused to newcomers: no new connection", "unhealthy", "refused", within=5)
    door.open()
    cell(sm, "back", "healthy", "ok")
    sm.write_config(config(host={"plugin": "host", "interval": "1s"}, still=part(server.url)))
    sm.hup()
    wait_until(lambda: door.now == 0, 10, "the connection of a component that was removed to be closed")


def test_certificates_are_replaced(skymond, site, certs):
    web = site()
    sm = skymond(config(web=part(web.tls_url, tls={"ca_file": certs.ca}, reconnect="1s"),
                        two=part(web.tls_url, tls={"ca_file": certs.ca}, reconnect="1s", http_version="2")))
    for certificate, reason in (("untrusted", "tls_untrusted"), ("expired", "tls_expired")):
        healthy(sm), healthy(sm, "two")
        web.certificate(certificate)
        web.server.process.send_signal(1)
        for name in ("web", "two"):
            cell(sm, f"refused to newcomers: {certificate} certificate", "unhealthy", reason, name=name, within=8)
        web.certificate("good")
        web.server.process.send_signal(1)


def test_trust_is_not_shared(skymond, site, certs):
    """Two components of one server, one of which trusts it: the other one never gets its connection."""
    web = site()
    trusts = {f"yes{i}": part(web.tls_url, tls={"ca_file": certs.ca}, interval="100ms") for i in range(4)}
    sm = skymond(config(**trusts, no=part(web.tls_url, tls={"ca_file": certs.other_ca}, interval="100ms"),
                        name=part(web.tls_url, tls={"ca_file": certs.ca, "server_name": "else.test"}, interval="100ms")))
    healthy(sm, "yes3")
    for name in ("no", "name"):
        cell(sm, "certificate: untrusted", "unhealthy", "tls_untrusted", name=name)
        for _ in range(10):
            seen = sm.component(name)["last_check"]
            wait_until(lambda: sm.component(name)["last_check"] != seen, 10, "the next check")
            assert sm.component(name)["reason"] == "tls_untrusted"


def test_client_certificates(skymond, nginx, certs, tmp_path):
    port = free_port()
    certs.copy("good", tmp_path / "pem", tmp_path / "key")
    nginx(f"server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {tmp_path}/pem; ssl_certificate_key {tmp_path}/key; "
          f"ssl_client_certificate {certs.ca}; ssl_verify_client on; location / {{ return 200 $ssl_client_s_dn; }} }}", port)

    def client(name):
        return {"ca_file": certs.ca, **({"cert_file": certs.pem(name), "key_file": certs.key(name)} if name else {})}
    url = f"https://127.0.0.1:{port}"
    sm = skymond(config(web=part(url, tls=client("client"), contains="CN=skymon"), none=part(url, tls=client(None)),
                        wrong=part(url, tls=client("client_untrusted"))))
    healthy(sm)
    for name in ("none", "wrong"):
        cell(sm, "client certificate required", "unhealthy", "http_status", "HTTP 400", name=name)


# ---- Names and addresses ----

def test_addresses_are_raced(skymond, raw_http, tmp_path):
    """A name with an address of each family, and with one that is dead: the other one answers, and the details name it."""
    port = free_port()
    server = raw_http(port=port)
    six = RawHttp(address="::1", port=port, family=socket.AF_INET6)
    try:
        hosts = tmp_path / "hosts"
        hosts.write_text("127.0.0.1 localhost\n::1 both.test\n127.0.0.1 both.test\n127.0.0.9 half.test\n127.0.0.1 half.test\n")
        sm = skymond(config(both=part(f"http://both.test:{port}", reconnect="0s"), half=part(f"http://half.test:{port}", reconnect="0s"),
                            six=part(f"http://[::1]:{port}")), preexec_fn=own_file(hosts, "/etc/hosts"))
        assert healthy(sm, "both")["details"]["address"] in ("::1", "127.0.0.1")
        assert healthy(sm, "six")["details"]["address"] == "::1"
        found = healthy(sm, "half")
        assert found["details"]["address"] == "127.0.0.1" and "resolve_time" in found["numbers"], found
        six.close()
        wait_until(lambda: sm.component("both")["details"].get("address") == "127.0.0.1", 10, "the other family")
        assert sm.component("both")["consecutive_failures"] == 0
        cell(sm, "stopped", "unhealthy", "refused", f"[::1]:{port}: connection refused", name="six")
        server.close()
        cell(sm, "stopped", "unhealthy", "refused", f"both.test:{port}: connection refused", name="both")
    finally:
        six.close()


def test_the_name_moves(skymond, doors, raw_http, tmp_path):
    """The old place lives on; at the new one nothing listens."""
    door = doors(raw_http().port, "127.0.0.2")
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n127.0.0.2 moves.test\n")
    sm = skymond(config(web=part(f"http://moves.test:{door.port}", reconnect="1s")), preexec_fn=own_file(hosts, "/etc/hosts"))
    healthy(sm)
    hosts.write_text("127.0.0.1 localhost\n127.0.0.3 moves.test\n")
    cell(sm, "refused to newcomers: the name moved", "unhealthy", "refused", within=6)
    wait_until(lambda: door.now == 0, 10, "the old place to be left")


# ---- Proxies ----

class Proxy:
    """An HTTP proxy: CONNECT, and GET of whole URLs; SOCKS5 with names. `asked`: what it was asked for."""

    name = "proxy"

    def __init__(self, port=0):
        self.asked = []
        self.listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client):
        try:
            first = client.recv(65536)
            if first[0] == 5:
                client.sendall(b"\x05\x00")
                ask = client.recv(1024)
                host, port = ask[5:5 + ask[4]].decode(), int.from_bytes(ask[5 + ask[4]:7 + ask[4]], "big")
                self.asked.append(f"SOCKS {host}:{port}")
                behind = socket.create_connection(("127.0.0.1", port))
                client.sendall(b"\x05\x00\x00\x01\0\0\0\0\0\0")
            else:
                words = first.split(b" ")
                self.asked.append((words[0] + b" " + words[1]).decode())
                port = int(re.search(rb":(\d+)", words[1].replace(b"http://", b"")).group(1))
                behind = socket.create_connection(("127.0.0.1", port))
                if words[0] == b"CONNECT":
                    client.sendall(b"HTTP/1.1 200 yes\r\n\r\n")
                else:
                    behind.sendall(re.sub(rb"http://[^/ ]+", b"", first, count=1))
        except (OSError, IndexError):
            return client.close()
        for one, other in ((client, behind), (behind, client)):
            threading.Thread(target=self._pass, args=[one, other], daemon=True).start()

    @staticmethod
    def _pass(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()


proxy = factory(Proxy)


def test_proxies(skymond, site, certs, proxy, raw_http):
    web, door = site(), proxy()
    full = raw_http({"*": (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "keep")})
    by, tls = f"http://127.0.0.1:{door.port}", {"ca_file": certs.ca}
    sm = skymond(config(web=part(f"http://good.test:{web.port}/", proxy=by, contains="ready"),
                        tls=part(f"https://good.test:{web.tls}/", proxy=by, tls=tls, contains="ready"),
                        two=part(f"https://good.test:{web.tls}/", proxy=by, tls=tls, http_version="2"),
                        socks=part(f"https://good.test:{web.tls}/", proxy=f"socks5h://127.0.0.1:{door.port}", tls=tls),
                        login=part(f"http://good.test:{web.port}/", proxy=f"http://127.0.0.1:{full.port}"),
                        tunnel=part(f"https://good.test:{web.tls}/", proxy=f"http://127.0.0.1:{full.port}", tls=tls),
                        untrusted=part(f"https://good.test:{web.tls}/", proxy=by, tls={"ca_file": certs.other_ca})))
    for name in ("web", "tls", "two", "socks"):
        healthy(sm, name)
        wait_until(lambda: sm.component(name)["details"]["kept_connection"], 10, "a kept connection")
    assert sm.component("web")["details"]["proxy_address"] == "127.0.0.1"
    assert sm.component("two")["details"]["http_version"] == "2" and sm.component("tls")["details"]["tls"] == "verified"
    assert {f"GET http://good.test:{web.port}/", f"CONNECT good.test:{web.tls}", f"SOCKS good.test:{web.tls}"} == set(door.asked)
    cell(sm, "the proxy asks for a login", "unhealthy", "auth_failed", "HTTP 407", name="login")
    cell(sm, "the proxy asks for a login, CONNECT", "unhealthy", "auth_failed", "HTTP 407", name="tunnel")
    cell(sm, "certificate: untrusted", "unhealthy", "tls_untrusted", name="untrusted")
    door.close()
    cell(sm, "proxy stopped", "unhealthy", "refused", f"proxy 127.0.0.1:{door.port}: connection refused", name="untrusted")


# ---- Many ----

def test_hundreds_hang_and_hundreds_do_not(skymond, raw_http, silent):
    good, bad = raw_http(), silent()
    hung = {f"hung{i}": part(bad.url + f"/{i}", interval="1s", timeout="2s") for i in range(100)}
    fine = {f"fine{i}": part(good.url + f"/{i}", interval="1s", timeout="2s", reconnect="0s" if i % 2 else "1m") for i in range(100)}
    sm = skymond(config(**hung, **fine))
    for i in range(100):
        sm.wait_component(f"fine{i}", status="healthy")
    for i in range(100):
        found = sm.wait_component(f"hung{i}", status="unhealthy", reason="timeout")
        assert found["response_time_ms"] <= 2000 * SLOW and "in time" in found["message"], found
    began = collections.Counter(head.split(b" ")[1] for head in list(good.requests))
    wait_until(lambda: len(good.requests) >= sum(began.values()) + 500, 30, "five rounds of the good ones")
    seen = collections.Counter(head.split(b" ")[1] for head in list(good.requests)) - began
    assert min(seen.values()) >= 3 and len(seen) == 100, seen
    assert all(sm.component(f"fine{i}")["consecutive_failures"] == 0 for i in range(100))
    assert len(sm.children()) == 1


@pytest.mark.asan
def test_three_hundred_at_once(skymond, site):
    web = site()
    parts = {f"web{i}": part(web.url + "/json", interval="500ms", timeout="5s", json=[{"pointer": "/status", "equals": "ok"}]) for i in range(300)}
    sm = skymond(config(**parts))
    for i in range(300):
        sm.wait_component(f"web{i}", timeout=30, status="healthy")
    wait_until(lambda: all(sm.component(f"web{i}")["details"]["kept_connection"] for i in range(0, 300, 10)), 30, "kept connections")
    if not SANITIZED:
        (worker,) = sm.children()
        peak = int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{worker}/status").read_text()).group(1))
        assert peak < 40 * 1024, f"{peak} KiB"
    sm.write_config(config(web0=parts["web0"]))
    sm.hup()
    wait_until(lambda: descriptors(sm) < 60, 20, "the connections of those that were removed to be closed")
    assert sm.component("web0")["status"] == "healthy"

# SPDX-License-Identifier: Apache-2.0
"""The check `tcp` against real servers (Redis in clear and over TLS, nginx, openssl s_server behind STARTTLS) and doubles that answer wrongly:
each is stopped, frozen, refused, replaced and brought back."""
import os
import socket
import ssl
import time

import pytest

import truth
from conftest import factory
from double import Double
from harness import family_values, free_port, wait_until
from redis_server import Redis
from test_certificate import imap, ldap, pop3, smtp
from test_websocket import Proxy

BASE = {"plugin": "tcp", "interval": "300ms", "timeout": "1s"}
PING = {"send": "PING\\r\\n", "expect": "+PONG\\r\\n"}

double = factory(Double)


@pytest.fixture
def redis():
    servers = []

    def start(**options):
        servers.append(Redis(**options))
        return servers[-1]
    yield start
    for server in servers:
        server.close()


def component(port, **more):
    return {**BASE, "address": f"127.0.0.1:{port}", **more}


def test_a_real_server(skymond, redis):
    """A port and a dialog, while the server is stopped, frozen and brought back."""
    server = redis()
    sm = skymond({"components": {"tcp": component(server.port), "ping": component(server.port, **PING),
                                 "steps": component(server.port, steps=[{"send": "PING\r\n", "expect": "+PONG"}, {"send": "ECHO x\\x41\\r\\n", "expect": "xA"},
                                                                        {"send": "QUIT\r\n"}])}})
    found = sm.wait_component("tcp", status="healthy")
    assert found["message"] == f"127.0.0.1:{server.port} accepts connections" and found["details"] == {"peer": "127.0.0.1"}
    assert 0 <= found["numbers"]["connect_time"] < 1 and "first_byte_time" not in found["numbers"]
    found = sm.wait_component("ping", status="healthy")
    assert found["message"].endswith("answers as expected") and 0 <= found["numbers"]["first_byte_time"] < 1
    assert "tls" not in found["details"] and "certificate_days" not in found["numbers"]
    sm.wait_component("steps", status="healthy")
    server.stop()
    truth.cell("tcp", "stopped", sm, "ping", status="unhealthy", reason="refused", words="connection refused")
    server.start()
    truth.cell("tcp", "started again", sm, "ping", status="healthy", reason="ok")
    server.pause()
    truth.cell("tcp", "frozen", sm, "ping", status="unhealthy", reason="timeout", words="no answer in time")
    assert sm.component("tcp")["status"] == "healthy"  # the kernel accepts for it
    server.resume()
    truth.cell("tcp", "back", sm, "ping", status="healthy", reason="ok")
    server.stop()
    server.start(requirepass="geheim-pw")
    truth.cell("tcp", "wrong answer", sm, "ping", status="unhealthy", reason="body_mismatch", words=["-NOAUTH", '"+PONG"'])


def test_thousands_of_descriptors_are_not_left(skymond, redis):
    server = redis()
    sm = skymond({"plugins": {"prometheus": {}},
                  "components": {f"c{i}": component(server.port, **PING, interval="100ms") for i in range(50)}})
    for i in range(50):
        sm.wait_component(f"c{i}", status="healthy")
    worker = next(iter(sm.children()))
    wait_until(lambda: min(family_values(sm, "skymon_component_checks_total").values()) >= 10, 60, "ten checks of each")

    def few():
        assert len(os.listdir(f"/proc/{worker}/fd")) < 40
        return True
    wait_until(few, 10, "descriptors to be closed")


def test_what_answers_wrongly(skymond, double):
    held = []
    kinds = {
        "silence": (lambda c: (held.append(c), time.sleep(30)), "timeout", "no answer in time"),
        "closes at once": (lambda c: c.close(), "protocol", "closed the connection before it answered"),
        "half an answer and closed": (lambda c: c.sendall(b"22"), "body_mismatch", '"22" does not contain "220", and the server closed'),
        "half an answer, then silence": (lambda c: (c.sendall(b"22"), held.append(c), time.sleep(30)), "body_mismatch", "in time"),
        "garbage": (lambda c: (c.sendall(b"\0\x1b[31m\xff" * 20), held.append(c), time.sleep(30)), "body_mismatch", "..[31m."),
        "huge answer": (lambda c: c.sendall(b"x" * 10_000_000), "body_mismatch", "in its first 16 KiB"),
    }
    servers = {name: double(serve) for name, (serve, _, _) in kinds.items()}

    def key(name):
        return name.lower().replace(" ", "-").replace(",", "")
    sm = skymond({"components": {key(name): {**BASE, "address": server.address, "expect": "220", "timeout": "500ms"}
                                 for name, server in servers.items()}})
    for name, (_, reason, words) in kinds.items():
        truth.cell("tcp", name, sm, key(name), status="unhealthy", reason=reason, words=words, within=4)


def test_addresses(skymond, redis):
    """Both families of a name are raced; what is not there is said."""
    six = socket.create_server(("::1", 0), family=socket.AF_INET6)
    port = six.getsockname()[1]
    with six:
        sm = skymond({"components": {"name": {**BASE, "address": f"localhost:{port}"}, "six": {**BASE, "address": f"[::1]:{port}"},
                                     "four": component(port), "none": {**BASE, "address": "no-such-host.invalid:1", "timeout": "3s"}}})
        found = sm.wait_component("six", status="healthy")
        assert found["details"]["peer"] == "::1" and "resolve_time" not in found["numbers"]
        sm.wait_component("four", status="unhealthy", reason="refused")
        if "::1" in {found[4][0] for found in socket.getaddrinfo("localhost", None, proto=socket.IPPROTO_TCP)}:  # of /etc/hosts
            found = sm.wait_component("name", status="healthy")
            assert found["details"]["peer"] == "::1" and found["numbers"]["resolve_time"] > 0
        truth.cell("tcp", "name does not resolve", sm, "none", status="unhealthy", reason="dns", words="no-such-host.invalid", within=15)


def test_a_silent_address_costs_a_quarter_of_a_second(skymond):
    """An address whose queue is full does not answer: the next one is tried beside it."""
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = full.getsockname()[1]
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
    sm = skymond({"components": {"full": component(port)}})
    truth.cell("tcp", "queue full", sm, "full", status="unhealthy", reason="timeout", words="no answer to the connection attempt in time")
    for filler in fillers:
        filler.close()
    full.close()


def test_tls(skymond, certs, redis, double):
    server, clear = redis(tls=certs), double(lambda c: c.sendall(b"220 hello\r\n" * 10))
    part = {"tls": {"ca_file": certs.ca}, "secure": True, **PING}
    sm = skymond({"components": {"tls": component(server.tls_port, **part), "blind": component(server.tls_port, **{**part, "tls": {"insecure": True}}),
                                 "clear": component(clear.port, **part)}})
    found = sm.wait_component("tls", status="healthy")
    assert found["message"].endswith("answers as expected, with TLS")
    assert found["details"]["tls"] == "verified" and 29 < found["numbers"]["certificate_days"] <= 30 and found["numbers"]["tls_time"] > 0
    assert sm.wait_component("blind", status="healthy")["details"]["tls"] == "unverified"
    truth.cell("tcp", "no TLS there", sm, "clear", status="unhealthy", reason="tls_other", words="not TLS")
    for kind, reason in (("expired", "tls_expired"), ("wrong_name", "tls_untrusted"), ("untrusted", "tls_untrusted")):
        server.stop()
        server.present(kind)
        server.start()
        truth.cell("tcp", f"certificate: {kind}", sm, "tls", status="unhealthy", reason=reason, within=6)
        sm.wait_component("blind", status="healthy")
    server.pause()
    truth.cell("tcp", "frozen under TLS", sm, "tls", status="unhealthy", reason="timeout", words="did not begin TLS in time")
    server.resume()


def test_starttls(skymond, certs, double):
    """The dialogs of four protocols, then real TLS, and a step inside of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.pem("good"), certs.key("good"))

    def after(dialog):
        def serve(connection):
            dialog(connection)
            with context.wrap_socket(connection, server_side=True) as tls:
                assert tls.recv(100) == b"NOOP\r\n"
                tls.sendall(b"250 ok\r\n")
                tls.recv(1)
        return serve
    dialogs = {"smtp": smtp, "imap": imap, "pop3": pop3, "ldap": ldap}
    servers = {name: double(after(dialog)) for name, dialog in dialogs.items()}
    part = {"tls": {"ca_file": certs.ca}, "send": "NOOP\\r\\n", "expect": "250 "}
    components = {name: {**BASE, "address": server.address, "starttls": name, **part} for name, server in servers.items()}
    refuses = double(lambda c: (c.sendall(b"220 mail\r\n"), c.recv(100), c.sendall(b"250 mail\r\n"), c.recv(100)))
    components["refuses"] = {**BASE, "address": refuses.address, "starttls": "smtp", **part}
    components["mixed"] = {**BASE, "address": servers["imap"].address, "starttls": "pop3", **part}
    sm = skymond({"components": components})
    for name in dialogs:
        found = sm.wait_component(name, status="healthy")
        assert found["details"]["tls"] == "verified", found
    truth.cell("tcp", "STARTTLS not offered", sm, "refuses", status="unhealthy", reason="protocol", words="does not offer STARTTLS")
    truth.cell("tcp", "another protocol than `starttls`", sm, "mixed", status="unhealthy", reason="protocol", words="not POP3")


def test_proxy(skymond, redis, double):
    server, other = redis(), double(lambda c: c.sendall(b"220 hello\r\n"))
    proxy = Proxy(login="dXNlcjpnZWhlaW0tcHc=")  # user:geheim-pw
    through = f"http://user:geheim-pw@127.0.0.1:{proxy.port}"
    try:
        sm = skymond({"components": {
            "ping": component(server.port, proxy=through, **PING), "login": component(server.port, proxy=f"http://127.0.0.1:{proxy.port}"),
            "behind": component(free_port(), proxy=through), "gone": component(server.port, proxy=f"http://127.0.0.1:{free_port()}"),
            "not": component(server.port, proxy=f"http://{other.address}")}})
        sm.wait_component("ping", status="healthy")
        assert f"CONNECT 127.0.0.1:{server.port} HTTP/1.1" in proxy.asked
        for name, fault, reason, words in (("login", "proxy wants a login", "auth_failed", "407"), ("behind", "refused behind the proxy", "unreachable", "502"),
                                           ("gone", "proxy refused", "refused", "proxy 127.0.0.1"), ("not", "no proxy there", "protocol", "not an HTTP proxy")):
            truth.cell("tcp", fault, sm, name, status="unhealthy", reason=reason, words=words, secrets=["geheim-pw", "dXNlcjpnZWhlaW0tcHc="])
    finally:
        proxy.close()


def test_one_worker_and_no_thread_for_each(skymond, double):
    """Two hundred checks that hang take no thread each, and those beside them are on time."""
    held = []
    hangs = double(lambda c: (held.append(c), time.sleep(60)))
    answers = double(lambda c: c.sendall(b"220 hello\r\n"))
    sm = skymond({"limits": {"checks_per_address": 1000}, "components": {
        **{f"hangs{i}": {**BASE, "address": hangs.address, "expect": "220", "timeout": "30s", "interval": "31s"} for i in range(200)},
        **{f"good{i}": {**BASE, "address": answers.address, "expect": "220"} for i in range(20)}}})
    for i in range(20):
        sm.wait_component(f"good{i}", status="healthy")
    wait_until(lambda: len(held) >= 200, 20, "all to be out")
    assert len(os.listdir(f"/proc/{next(iter(sm.children()))}/task")) < 45  # the resolver's may be 32
    for i in range(20):
        assert sm.component(f"good{i}")["status"] == "healthy"

# SPDX-License-Identifier: Apache-2.0
"""The check `dns` against real servers, Knot DNS with a signed zone and a validating Unbound before it, and against a small one that
misbehaves: silence, garbage, forged answers, truncation, error codes."""
import contextlib
import os
import pathlib
import socket
import struct
import subprocess
import threading
import time

import pytest

import truth
from conftest import factory
from harness import Server, free_port, need, wait_until

BASE = {"plugin": "dns", "interval": "300ms", "timeout": "2s"}
ZONE = """$ORIGIN example.test.
$TTL 300
@ SOA ns1 hostmaster {serial} 3600 600 86400 60
@ NS ns1
@ NS ns2
@ MX 10 mail
@ TXT "v=spf1 mx " "-all"
@ CAA 0 issue "letsencrypt.org"
ns1 A 192.0.2.1
ns2 A 192.0.2.2
www 60 A {www}
www 60 A 192.0.2.11
www AAAA 2001:db8::10
mail A 192.0.2.20
shop CNAME www
_sip._tcp SRV 0 5 5060 sip
sip A 192.0.2.30
"""
BIG = "".join(f"big TXT \"{'x' * 200} {i}\"\n" for i in range(20))
REVERSE = """$ORIGIN 2.0.192.in-addr.arpa.
$TTL 300
@ SOA ns1.example.test. hostmaster.example.test. 1 3600 600 86400 60
@ NS ns1.example.test.
10 PTR www.example.test.
"""
CONFIG = """server:
  listen: [127.0.0.1@{port}, "::1@{port}"]
  rundir: {folder}
database:
  storage: {folder}/db
log:
- target: stderr
  any: info
policy:
- id: own
  algorithm: ecdsap256sha256
template:
- id: default
  storage: {folder}
  zonefile-load: difference-no-serial
  zonefile-sync: -1
  journal-content: all
zone:
- domain: example.test
  file: example.zone
  dnssec-signing: on
  dnssec-policy: own
- domain: plain.test
  file: plain.zone
- domain: 2.0.192.in-addr.arpa
  file: reverse.zone
"""
UNBOUND = """server:
  interface: 127.0.0.1@{port}
  directory: "{folder}"
  pidfile: "{folder}/pid"
  chroot: ""
  username: ""
  use-syslog: no
  do-daemonize: no
  do-not-query-localhost: no
  local-zone: "test." nodefault
  local-zone: "2.0.192.in-addr.arpa." nodefault
  domain-insecure: "plain.test."
  domain-insecure: "2.0.192.in-addr.arpa."
  cache-max-ttl: 0
  trust-anchor: "{anchor}"
stub-zone:
  name: "example.test."
  stub-addr: 127.0.0.1@{upstream}
stub-zone:
  name: "plain.test."
  stub-addr: 127.0.0.1@{upstream}
stub-zone:
  name: "2.0.192.in-addr.arpa."
  stub-addr: 127.0.0.1@{upstream}
"""


class Knot(Server):
    """Authoritative for example.test (signed), plain.test and a reverse zone."""

    name = "knot"

    def __init__(self):
        super().__init__()
        self.port, path = free_port(), self.folder.path
        (path / "db").mkdir()
        self.config = path / "knot.conf"
        self.config.write_text(CONFIG.format(port=self.port, folder=path))
        (path / "reverse.zone").write_text(REVERSE)
        self.zone()
        try:
            self.start()
            self.anchor = wait_until(self.find_anchor, 20, "the zone to be signed")
        except BaseException:
            self.close()
            raise

    def find_anchor(self):
        done = subprocess.run([need("keymgr"), "-c", self.config, "example.test", "ds"], capture_output=True, text=True, timeout=30)
        return done.returncode == 0 and done.stdout.partition("\n")[0]

    def zone(self, serial=2024010101, www="192.0.2.10"):
        text = ZONE.format(serial=serial, www=www)
        (self.folder.path / "example.zone").write_text(text + BIG)
        (self.folder.path / "plain.zone").write_text(text.replace("example.test", "plain.test") + BIG)

    def start(self):
        self.launch([need("knotd"), "-c", self.config])
        self.wait_port(self.port)

    def stop(self):
        self.resume()
        self.process.kill()
        self.process.wait()

    def reload(self, **values):
        """With the zones as `values` say."""
        self.zone(**values)
        self.process.send_signal(1)


class Unbound(Server):
    name = "unbound"

    def __init__(self, knot, anchor=None):
        super().__init__()
        self.port = free_port()
        config = self.folder.path / "unbound.conf"
        config.write_text(UNBOUND.format(port=self.port, folder=self.folder.path, upstream=knot.port, anchor=anchor or knot.anchor))
        self.launch([need("unbound"), "-d", "-c", config])
        self.wait_port(self.port)


class Odd:
    """A UDP server, and a TCP one on the same port, that answers as `mode` says. 192.0.2.10 is its answer to all questions."""

    name = "odd"

    def __init__(self, mode):
        self.mode, self.asked, self.lock = mode, [], threading.Lock()
        self.udp, self.other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self.port = free_port()  # not one of the kernel's choice, which another program's UDP may have
        self.udp.bind(("127.0.0.1", self.port))
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.held = []
        for run in (self.run_udp, self.run_tcp):
            threading.Thread(target=run, daemon=True).start()

    @staticmethod
    def answer(query, flags=0x8180, count=1, id=None, name=None, tail=b""):
        end = query.index(b"\0", 12) + 5
        question = (name or query[12:end - 4]) + query[end - 4:end]
        record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\x0a"
        return (id or query[:2]) + struct.pack(">HHHHH", flags, 1, count, 0, 0) + question + record * count + tail

    def replies(self, query):
        """(bytes, from another port)"""
        good, edns = self.answer(query), query[11] == 1
        return {
            "good": [(good, False)],
            "silence": [],
            "garbage": [(b"garbage", False), (os.urandom(300), False)],
            "wrong id": [(self.answer(query, id=bytes([query[0] ^ 1, query[1]])), False)],
            "wrong question": [(self.answer(query, name=b"\4evil\4test\0"), False)],
            "a question": [(query, False)],
            "another address": [(good, True)],
            "forged, then good": [(self.answer(query, flags=0x8183, id=b"\0\0" if query[:2] != b"\0\0" else b"\1\1"), False), (good, True), (b"x", False),
                                  (good, False)],
            "SERVFAIL": [(self.answer(query, flags=0x8182, count=0), False)],
            "REFUSED": [(self.answer(query, flags=0x8185, count=0), False)],
            "NXDOMAIN": [(self.answer(query, flags=0x8183, count=0), False)],
            "no EDNS": [(self.answer(query, flags=0x8181, count=0) if edns else good, False)],
            "first is lost": [(good, False)] if len(self.asked) % 2 == 0 else [],
            "half a record": [(good[:-3], False)],
        }.get(self.mode, [(self.answer(query, flags=0x8380, count=0), False)])  # cut: the modes of TCP

    def run_udp(self):
        while True:
            try:
                query, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            if self.mode == "closed":
                return
            self.asked.append(query)
            for reply, other in self.replies(query):
                (self.other if other else self.udp).sendto(reply, peer)

    def run_tcp(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.stream, args=(connection,), daemon=True).start()

    def stream(self, connection):
        with connection, contextlib.suppress(OSError):  # the check may leave at any time
            query = connection.recv(4096)[2:]
            good = self.answer(query)
            if self.mode == "TCP: silence":
                self.held.append(connection.dup())
            elif self.mode == "TCP: half an answer":
                connection.sendall(struct.pack(">H", len(good)) + good[:20])
            elif self.mode == "TCP: garbage":
                connection.sendall(b"\0\7garbage")
            elif self.mode == "TCP: byte by byte":
                for byte in struct.pack(">H", len(good)) + good:
                    connection.sendall(bytes([byte]))
                    time.sleep(0.005)
            elif self.mode != "TCP: closes at once":
                connection.sendall(struct.pack(">H", len(good)) + good)

    def close(self):
        self.mode = "closed"
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.udp.close()
        self.other.close()
        for connection in self.held:
            connection.close()


odd = factory(Odd)


@pytest.fixture
def knot():
    server = Knot()
    yield server
    server.close()


@pytest.fixture
def unbound(knot):
    server = Unbound(knot)
    yield server
    server.close()


def component(port, name="www.example.test", **more):
    return {**BASE, "name": name, "server": f"127.0.0.1:{port}", **more}


def test_each_type(skymond, knot):
    """As Knot answers; over UDP and TCP, IPv4 and IPv6, and by the server's name."""
    rows = {
        "a": ("www", "A", ["192.0.2.11", "192.0.2.10"]), "aaaa": ("www", "AAAA", ["2001:DB8::10"]),
        "cname": ("shop", "CNAME", ["www.example.test."]), "follows": ("shop", "A", ["192.0.2.10", "192.0.2.11"]),
        "mx": ("", "MX", ["10 mail.example.test"]), "ns": ("", "NS", ["ns2.example.test", "ns1.example.test"]),
        "txt": ("", "TXT", ["v=spf1 mx -all"]), "caa": ("", "CAA", ['0 issue "letsencrypt.org"']),
        "srv": ("_sip._tcp", "SRV", ["0 5 5060 sip.example.test"]), "soa": ("", "SOA", []),
    }
    parts = {key: component(knot.port, f"{host}.example.test".lstrip("."), type=kind, expect=expect) for key, (host, kind, expect) in rows.items()}
    parts["ptr"] = component(knot.port, "192.0.2.10", type="PTR", expect="www.example.test")
    parts["tcp"] = component(knot.port, transport="tcp", contains="192.0.2.10")
    parts["six"] = {**component(knot.port), "server": f"[::1]:{knot.port}"}
    parts["named"] = {**component(knot.port), "server": f"localhost:{knot.port}"}
    parts["cut"] = component(knot.port, "big.example.test", type="TXT", contains="x" * 200 + " 7")
    parts["nodata"] = component(knot.port, type="MX", empty=True)
    parts["nxdomain"] = component(knot.port, "nope.example.test", rcode="NXDOMAIN")
    parts["own"] = component(knot.port, authoritative=True)
    sm = skymond({"components": parts})
    found = {name: sm.wait_component(name, status="healthy") for name in parts}
    assert found["a"]["numbers"]["answers"] == 2 and found["a"]["numbers"]["ttl"] == 60 and 0 < found["a"]["numbers"]["answer_time"] < 2
    assert found["soa"]["numbers"]["serial"] >= 2024010101 and found["follows"]["numbers"]["ttl"] == 60
    assert found["cut"]["details"]["transport"] == "tcp" and found["a"]["details"]["transport"] == "udp"
    assert found["cut"]["numbers"]["answers"] == 20
    assert found["own"]["details"]["authoritative"] is True and found["a"]["details"]["server"] == f"127.0.0.1:{knot.port}"
    assert "192.0.2.11" in found["a"]["details"]["answers"] and "NXDOMAIN" in found["nxdomain"]["message"]
    assert found["six"]["details"]["server"] == f"[::1]:{knot.port}"


def test_each_fault_of_a_real_server(skymond, knot):
    config = component(knot.port, expect=["192.0.2.10", "192.0.2.11"])
    sm = skymond({"components": {
        "web": config, "zone": component(knot.port, "example.test", type="SOA"), "gone": component(knot.port, "nope.example.test"),
        "empty": component(knot.port, type="MX"), "full": component(knot.port, empty=True), "exists": component(knot.port, rcode="NXDOMAIN"),
        "foreign": component(knot.port, "www.example.org"), "tcp": component(knot.port, transport="tcp")}})
    for name in ("web", "zone", "tcp"):
        sm.wait_component(name, status="healthy")
    serial = sm.component("zone")["numbers"]["serial"]

    def cell(fault, name, reason, words, status="unhealthy"):
        return truth.cell("dns", fault, sm, name, status=status, reason=reason, words=words)
    cell("no such name", "gone", "missing", "nope.example.test A: NXDOMAIN")
    cell("no record of the type", "empty", "missing", "has no record of type MX")
    cell("a record where none is expected", "full", "body_mismatch", "the unexpected answer 192.0.2.1")
    cell("a name that must not exist", "exists", "body_mismatch", "NOERROR, not NXDOMAIN")
    cell("another's zone", "foreign", "query_error", "REFUSED")
    knot.reload(serial=2024010102, www="192.0.2.99")
    cell("another answer", "web", "body_mismatch", "lacks the expected answer 192.0.2.10")
    wait_until(lambda: sm.component("zone")["numbers"]["serial"] > serial, 10, "the new serial")
    knot.reload(serial=2024010103)
    cell("back to normal", "web", "ok", "2 answers", status="healthy")
    knot.pause()
    cell("frozen", "web", "timeout", "no answer in time, asked 4 times")
    cell("frozen, over TCP", "tcp", "timeout", "no answer over TCP in time")
    knot.resume()
    cell("back to normal", "web", "ok", "2 answers", status="healthy")
    knot.stop()
    cell("stopped", "web", "refused", "connection refused")
    cell("stopped, over TCP", "tcp", "refused", "connection refused")
    knot.start()
    cell("back to normal", "web", "ok", "2 answers", status="healthy")
    cell("back to normal", "tcp", "ok", "2 answers", status="healthy")


def test_serials_of_two_servers(skymond, knot, odd):
    """A secondary that lags behind its primary; a primary that is gone or knows nothing."""
    primary, nothing = Knot(), odd("REFUSED")
    try:
        soa = component(knot.port, "plain.test", type="SOA", primary=f"127.0.0.1:{primary.port}", warn={"serial_lag": 0})
        sm = skymond({"components": {"zone": soa, "nothing": {**soa, "primary": f"127.0.0.1:{nothing.port}"}}})
        found = sm.wait_component("zone", status="healthy")
        assert found["numbers"]["serial_lag"] == 0 and found["details"]["primary_serial"] == found["numbers"]["serial"]
        primary.reload(www="192.0.2.99")  # Knot counts the serial up itself
        truth.cell("dns", "behind its primary", sm, "zone", status="degraded", reason="threshold_warn", words="serial_lag is 1")
        truth.cell("dns", "primary: REFUSED", sm, "nothing", status="degraded", reason="query_error", words="the primary 127.0.0.1")
        knot.reload(www="192.0.2.99")
        sm.wait_component("zone", status="healthy")
        primary.pause()
        truth.cell("dns", "primary: frozen", sm, "zone", status="degraded", reason="timeout", words="the primary 127.0.0.1")
        primary.stop()
        truth.cell("dns", "primary: stopped", sm, "zone", status="degraded", reason="refused", words="the primary 127.0.0.1")
    finally:
        primary.close()


def test_dnssec(skymond, knot, unbound):
    """Unbound verifies: AD for the signed zone alone; with a wrong anchor it answers SERVFAIL; Knot itself verifies nothing."""
    wrong = Unbound(knot, anchor=knot.anchor[:-4] + ("0000" if not knot.anchor.endswith("0000") else "1111"))
    try:
        sm = skymond({"components": {
            "signed": component(unbound.port, dnssec=True), "plain": component(unbound.port, "www.plain.test", dnssec=True),
            "unasked": component(unbound.port, "www.plain.test"), "knot": component(knot.port, dnssec=True),
            "bogus": component(wrong.port, dnssec=True), "own": component(unbound.port, authoritative=True)}})
        assert sm.wait_component("signed", status="healthy")["details"]["authentic"] is True
        sm.wait_component("unasked", status="healthy")
        truth.cell("dns", "not signed, with dnssec", sm, "plain", status="unhealthy", reason="body_mismatch", words="no flag AD")
        truth.cell("dns", "signatures that are not valid", sm, "bogus", status="unhealthy", reason="query_error", words="SERVFAIL")
        truth.cell("dns", "not authoritative", sm, "own", status="unhealthy", words=[], reason=sm.wait_component("own", status="unhealthy")["reason"])
        assert sm.wait_component("knot", status="unhealthy")["reason"] == "body_mismatch"
    finally:
        wrong.close()


ODD = {  # mode: (status, reason, words)
    "good": ("healthy", "ok", "1 answer"),
    "silence": ("unhealthy", "timeout", "no answer in time"),
    "garbage": ("unhealthy", "protocol", "do not fit the question"),
    "half a record": ("unhealthy", "protocol", "do not fit the question"),
    "wrong id": ("unhealthy", "protocol", "do not fit the question"),
    "wrong question": ("unhealthy", "protocol", "do not fit the question"),
    "a question": ("unhealthy", "protocol", "do not fit the question"),
    "another address": ("unhealthy", "timeout", "no answer in time"),
    "forged, then good": ("healthy", "ok", "1 answer"),
    "SERVFAIL": ("unhealthy", "query_error", "SERVFAIL"),
    "REFUSED": ("unhealthy", "query_error", "REFUSED"),
    "NXDOMAIN": ("unhealthy", "missing", "NXDOMAIN"),
    "no EDNS": ("healthy", "ok", "1 answer"),
    "first is lost": ("healthy", "ok", "1 answer"),
    "cut, then TCP": ("healthy", "ok", "1 answer"),
    "TCP: byte by byte": ("healthy", "ok", "1 answer"),
    "TCP: silence": ("unhealthy", "timeout", "over TCP"),
    "TCP: half an answer": ("unhealthy", "protocol", "closed the connection"),
    "TCP: garbage": ("unhealthy", "protocol", "does not fit the question"),
    "TCP: closes at once": ("unhealthy", "protocol", "closed the connection"),
}


@pytest.mark.asan
def test_a_server_that_misbehaves(skymond, odd):
    names = {mode: mode.lower().replace(":", "").replace(",", "").replace(" ", "-") for mode in ODD}
    sm = skymond({"plugins": {"prometheus": {}}, "components": {
        names[mode]: component(odd(mode).port, timeout="1s", expect=["192.0.2.10"]) for mode in ODD}})
    for mode, (status, reason, words) in ODD.items():
        truth.cell("dns", mode, sm, names[mode], status=status, reason=reason, words=words, within=5)
    fd = f"/proc/{list(sm.children())[0]}/fd"
    before = sm.component("garbage")["last_check"]
    wait_until(lambda: sm.component("garbage")["last_check"] > before, 10, "another check")
    assert len(os.listdir(fd)) < 40 + 6 * len(ODD)  # nothing is left open by runs that failed


def test_the_systems_servers(skymond, tmp_path):
    """Without `server` those of resolv.conf are asked."""
    lines = [line.split()[1] for line in pathlib.Path("/etc/resolv.conf").read_text().splitlines() if line.startswith("nameserver ")]
    sm = skymond({"components": {"own": {**BASE, "name": "localhost", "timeout": "1s"}}})
    found = wait_until(lambda: (found := sm.component("own"))["last_check"] and found, 10, "a check")
    assert any(server in found["message"] for server in lines or ["127.0.0.1"]), found


def test_a_thousand(skymond, odd):
    """One worker, one thread; a hundred that are silent hurt none of the others."""
    good, silent = odd("good"), odd("silence")
    parts = {"good": {**component(good.port, interval="2s"), "each": {f"n{i}": {} for i in range(900)}},
             "silent": {**component(silent.port, interval="2s", timeout="1s"), "each": {f"n{i}": {} for i in range(100)}}}
    sm = skymond({"limits": {"checks_per_address": 1000, "checks_at_once": 1000}, "components": parts})
    wait_until(lambda: all(c["status"] == "healthy" for c in sm.get("/api/v1/status").json()["health"]["components"][:900]), 30, "all to be healthy")
    assert sm.wait_component("silent-n99", status="unhealthy")["reason"] == "timeout"
    assert len(sm.children()) == 1
    wait_until(lambda: all(c["status"] == "healthy" for c in sm.get("/api/v1/status").json()["health"]["components"][:900]), 10, "all to be healthy still")

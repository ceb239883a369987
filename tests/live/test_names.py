# SPDX-License-Identifier: Apache-2.0
"""Names and addresses of which a part does not answer: what is not needed is not waited for. A name server of the test's own answers for one
family and is silent about the other; the first address of a name is a black hole; a machine has one family only. Each on a real server."""
import contextlib
import os
import socket
import struct
import threading

import pytest

from conftest import factory
from door import Door, doors  # noqa: F401
from harness import SLOW
from openbao import OpenBao
from own import own_file
from test_workers import component
from ws_server import WsServer

websocket = factory(WsServer)
A, AAAA = 1, 28


class Names:
    """zone: name -> {A: [addresses], AAAA: [addresses]}; a family that is missing is not answered at all; None: SERVFAIL."""

    def __init__(self, address, zone):
        self.zone, self.asked = zone, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                query, client = self.socket.recvfrom(512)
            except OSError:
                return
            if not query:
                return
            at, labels = 12, []
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            name, (kind,) = ".".join(labels), struct.unpack(">H", query[at + 1:at + 3])
            self.asked.append((name, kind))
            records = self.zone.get(name, {A: [], AAAA: []})
            if kind not in records:
                continue
            answers = records[kind] or []
            data = [socket.inet_pton(socket.AF_INET if kind == A else socket.AF_INET6, text) for text in answers]
            code = 2 if records[kind] is None else 0 if name in self.zone else 3
            head = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(data), 0, 0)
            rest = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 1, len(one)) + one for one in data)
            self.socket.sendto(head + query[12:at + 5] + rest, client)

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # ends the recvfrom of the other thread, which would keep the address
        self.thread.join()
        self.socket.close()


@pytest.fixture
def names(tmp_path):
    """names(zone): for Skymond's preexec_fn; names.asked(): what was looked up."""
    servers = []

    def make(zone):
        address = f"127.99.{1 + os.getpid() % 250}.{len(servers) + 1}"
        servers.append(Names(address, zone))
        path = tmp_path / "resolv.conf"
        path.write_text(f"nameserver {address}\n")
        return own_file(path, "/etc/resolv.conf")
    make.asked = lambda: {name for server in servers for name, _ in server.asked}
    yield make
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def bao():
    server = OpenBao()
    yield server
    server.close()


@contextlib.contextmanager
def black_hole(address, port):
    """A listener whose queue is full: the kernel drops what comes."""
    with contextlib.ExitStack() as open_sockets:
        hole = open_sockets.enter_context(socket.socket())
        hole.bind((address, port))
        hole.listen(0)
        for _ in range(8):
            one = open_sockets.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex((address, port))
        yield


def door_beside_holes(stack, doors, behind):
    """A door on 127.0.0.1 whose port is a black hole on 127.0.0.2 and 127.0.0.3."""
    for _ in range(50):
        door, holes = doors(behind), contextlib.ExitStack()
        try:
            for address in ("127.0.0.2", "127.0.0.3"):
                holes.enter_context(black_hole(address, door.port))
            stack.enter_context(holes)
            return door
        except OSError:  # another program has that port there
            holes.close()
    pytest.fail("no port is free on three addresses")


def config(components):
    return {"plugins": {"prometheus": {}}, "components": components}


def part(plugin, **options):
    return component(plugin, timeout="2s", reconnect="0s", **options)


def both(name, bao_port, ws_port):
    return {f"vault-{name}": part("vault", address=f"http://{name}:{bao_port}"),
            f"ws-{name}": part("websocket", url=f"ws://{name}:{ws_port}/")}


def test_one_family_is_not_answered(skymond, bao, websocket, postgres, names):
    ws = websocket()
    zone = {"a-only.test": {A: ["127.0.0.1"]}, "servfail.test": {A: ["127.0.0.1"], AAAA: None}, "none.test": {A: [], AAAA: []}, "silent.test": {},
            "good.test": {A: ["127.0.0.1"], AAAA: []}}
    parts = {**both("a-only.test", bao.port, ws.port), **both("servfail.test", bao.port, ws.port), **both("good.test", bao.port, ws.port)}
    parts = {name.replace(".", "-"): options for name, options in parts.items()}
    bad = {"none": part("websocket", url="ws://none.test/"), "silent": part("websocket", url="ws://silent.test/"),
           **{f"silent{i}": part("websocket", url=f"ws://silent{i}.test/") for i in range(8)}}
    zone |= {f"silent{i}.test": {} for i in range(8)}
    sm = skymond(config({**parts, **bad}), preexec_fn=names(zone))
    for name in parts:
        found = sm.wait_component(name, status="healthy", reason="ok")
        assert found["response_time_ms"] < 1900, (name, found)
    sm.wait_component("none", status="unhealthy", reason="dns")
    sm.wait_component("silent", status="unhealthy", reason="timeout")
    for name in parts:
        assert sm.component(name)["consecutive_failures"] == 0


def test_ipv6_alone_is_answered(skymond, websocket, names):
    ws = websocket()
    door = Six(ws.port)
    try:
        zone = {"six-only.test": {AAAA: ["::1"]}, "six-first.test": {A: ["127.0.0.1"], AAAA: ["::1"]}}
        sm = skymond(config({"six": part("websocket", url=f"ws://six-only.test:{door.port}/"),
                             "first": part("websocket", url=f"ws://six-first.test:{door.port}/"),
                             "literal": part("websocket", url=f"ws://[::1]:{door.port}/")}), preexec_fn=names(zone))
        for name in ("six", "first", "literal"):
            sm.wait_component(name, status="healthy", reason="ok")
    finally:
        door.close()


class Six(Door):
    """The same on ::1 alone."""

    def open(self):
        self.listener = socket.create_server(("::1", self.port), family=socket.AF_INET6)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=[self.listener], daemon=True).start()


def test_the_first_address_is_a_black_hole(skymond, bao, websocket, doors, names):
    zone = {"hole.test": {A: ["127.0.0.2", "127.0.0.3", "127.0.0.1"], AAAA: []}, "refused.test": {A: ["127.0.0.4", "127.0.0.1"], AAAA: ["::1"]},
            "all-holes.test": {A: ["127.0.0.2", "127.0.0.3"], AAAA: []}}
    with contextlib.ExitStack() as holes:
        vault, ws = (door_beside_holes(holes, doors, port) for port in (bao.port, websocket().port))
        parts = {**both("hole.test", vault.port, ws.port), **both("refused.test", vault.port, ws.port)}
        parts = {name.replace(".", "-"): options for name, options in parts.items()}
        sm = skymond(config({**parts, "all-holes": part("websocket", url=f"ws://all-holes.test:{ws.port}/"),
                             "vault-holes": part("vault", address=f"http://all-holes.test:{vault.port}")}), preexec_fn=names(zone))
        for name in parts:
            found = sm.wait_component(name, status="healthy", reason="ok")
            assert found["response_time_ms"] < 1900, (name, found)
        for name in ("all-holes", "vault-holes"):
            found = sm.wait_component(name, status="unhealthy", reason="timeout")
            assert "no answer to the connection attempt in time" in found["message"], found


def test_a_list_of_hosts(skymond, postgres, doors, names):
    """database: a silent or wrong name in a list costs its share of the time, and nothing when a host before it is good."""
    zone = {"good.test": {A: ["127.0.0.1"], AAAA: []}, "none.test": {A: [], AAAA: []}, "silent.test": {}, "unneeded.test": {}}

    def url(hosts):
        return postgres.url(host="HOST").replace(f"HOST:{port}", hosts)

    holes = contextlib.ExitStack()
    door = door_beside_holes(holes, doors, postgres.port).port
    zone["hole.test"] = {A: ["127.0.0.2", "127.0.0.3", "127.0.0.1"], AAAA: []}
    port = postgres.port
    parts = {"hole": f"hole.test:{door}", "first": f"good.test:{port},unneeded.test:{port}", "second": f"silent.test:{port},good.test:{port}",
             "third": f"none.test:{port},127.0.0.1:1,good.test:{port}", "literal": f"127.0.0.1:{port},unneeded.test:{port}"}
    sm = skymond(config({name: component("database", timeout="3s", reconnect="0s", url=url(hosts)) for name, hosts in parts.items()}),
                 preexec_fn=names(zone))
    with holes:
        for name in parts:
            found = sm.wait_component(name, status="healthy", reason="ok")
            limit = 2900 if name == "second" else min(1400 * SLOW, 2900)
            assert found["response_time_ms"] < limit, (name, found)
        assert "silent.test" in names.asked() and "unneeded.test" not in names.asked()  # a host before it is good

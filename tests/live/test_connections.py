# SPDX-License-Identifier: Apache-2.0
"""Many connections without a request: whichever client holds them, probes and newcomers are answered at once."""
import os
import re
import resource
import socket
import subprocess
import threading
import time

import pytest

from harness import SLOW, need, wait_until
from test_http import watched
from worker_routes import Held, config

ALIVE = b"GET /api/v1/alive HTTP/1.1\r\nHost: x\r\n\r\n"
PROMPT = 2.0  # seconds; the faults that this guards against last as long as idle_timeout (75 s) or header_timeout (10 s)


@pytest.fixture(autouse=True)
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 20000:
        pytest.skip("the system allows too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (20000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(daemon, source="127.0.0.1", send=b"", port=None):
    connection = socket.create_connection(("127.0.0.1", port or daemon.port), timeout=30 * SLOW, source_address=(source, 0))
    if send:
        connection.sendall(send)
    return connection


def is_open(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1000) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def ask(daemon, source="127.0.0.1", request=ALIVE, port=None):
    """The answer's first bytes, and how long it took."""
    begun = time.monotonic()
    with connect(daemon, source, request, port) as connection:
        got = connection.recv(4000)
    return got, time.monotonic() - begun


def served(daemon, **options):
    got, took = ask(daemon, **options)
    return got.startswith(b"HTTP/1.1 200 ") and took < PROMPT * SLOW


def evicted(daemon):
    return int(re.search(r"^skymon_http_evicted_connections_total (\d+)$", daemon.metrics(), re.M).group(1))


# ---- Thousands ----

KINDS = {
    "silent": b"", "idle after an answer": ALIVE, "half a request line": b"GET /api/v1/al", "half a head": b"GET /api/v1/alive HTTP/1.1\r\nHost: x\r\nX: ",
    "half a body": b"POST /api/v1/health HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
    "half a chunk": b"POST /api/v1/health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n100\r\nx",
}


class Flood:
    """Connections of one kind from several addresses; those that drip send a byte now and then, so that no time-out of silence ends them; each that is
    ended is replaced, as an attacker would."""

    def __init__(self, daemon, kind, sources, each):
        self.daemon, self.first = daemon, KINDS[kind]
        self.connections = [(source, connect(daemon, source, self.first)) for source in sources for _ in range(each)]
        self.stopping = threading.Event()
        self.replaced = 0
        self.thread = threading.Thread(target=self._drip)
        self.thread.start()

    def _drip(self):
        while not self.stopping.wait(0.2):
            for index, (source, connection) in enumerate(self.connections):
                try:
                    connection.setblocking(False)
                    if self.first not in (b"", ALIVE):
                        connection.send(b"a")
                    elif connection.recv(1000) == b"":
                        raise OSError
                except BlockingIOError:
                    continue
                except OSError:
                    connection.close()
                    if self.replaced < 3000:
                        self.replaced += 1
                        self.connections[index] = source, connect(self.daemon, source, self.first)
                if self.stopping.is_set():
                    return

    def end(self):
        self.stopping.set()
        self.thread.join()
        for _, connection in self.connections:
            connection.close()


@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_connections_that_ask_nothing(skymond, tmp_path, kind):
    """2,000 from two addresses fill all the places that there are by default, and 2,000 more come from two others."""
    daemon = skymond(watched(tmp_path))
    with connect(daemon, "127.0.0.9", ALIVE) as kept:  # a probe that keeps its connection, as a balancer does
        kept.recv(4000)
        first = Flood(daemon, kind, ["127.0.0.2", "127.0.0.3"], 1000)
        second = None
        try:
            assert all(served(daemon) for _ in range(20))
            second = Flood(daemon, kind, ["127.0.0.4", "127.0.0.5"], 1000)
            began = time.monotonic()
            while time.monotonic() < began + 3 or evicted(daemon) < 2000:
                assert served(daemon) and served(daemon, source="127.0.0.2")  # of an address that has all its places in use, too
                assert time.monotonic() < began + 30 * SLOW, f"{evicted(daemon)} connections were evicted"
            # one that was ended for another counts until libmicrohttpd has closed it
            wait_until(lambda: daemon.get("/api/v1/status").json()["health"]["metrics"]["active_connections"] <= 2032, 10,
                       "no more than the limit and its reserve")
        finally:
            first.end()
            if second is not None:
                second.end()
    wait_until(lambda: daemon.get("/api/v1/status").json()["health"]["metrics"]["active_connections"] <= 10, 20, "all to be closed")


# ---- One address ----

def test_an_address_takes_its_own_places(skymond, tmp_path):
    """At its limit the connection that has waited longest goes, and no other address's."""
    daemon = skymond(watched(tmp_path, limits={"connections": 50, "connections_per_address": 10}))
    other = connect(daemon, "127.0.0.8", ALIVE)
    other.recv(4000)
    held = []
    for _ in range(10):
        held.append(connect(daemon, send=ALIVE))
        assert held[-1].recv(4000).startswith(b"HTTP/1.1 200")
    assert all(is_open(connection) for connection in held)
    for number in range(5):
        held.append(connect(daemon, send=ALIVE))
        held[-1].settimeout(5 * SLOW)
        assert held[-1].recv(4000).startswith(b"HTTP/1.1 200")
        wait_until(lambda: not is_open(held[number]), 5, f"connection {number} to be closed")
        assert all(is_open(connection) for connection in held[number + 1:])
    assert is_open(other)
    held[7].setblocking(True)
    held[7].sendall(ALIVE)  # used just now: not the longest any more
    held[7].settimeout(5 * SLOW)
    assert held[7].recv(4000).startswith(b"HTTP/1.1 200")
    more = [connect(daemon, send=ALIVE) for _ in range(3)]
    wait_until(lambda: not is_open(held[6]) and not is_open(held[8]), 5, "two others to be closed")
    assert is_open(held[7])
    for connection in [other, *held, *more]:
        connection.close()


def test_ipv6_counts_by_64_bits_and_mapped_addresses_as_ipv4(skymond, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can have addresses for the test")
    limits = {"connections": 100, "connections_per_address": 10}
    daemon = skymond(watched(tmp_path, limits=limits, listen=[":0"]), listen=None)
    nets = ["fd00:736b:1:1::/64", "fd00:736b:1:2::/64"]
    for net in nets:
        subprocess.run([need("ip"), "-6", "route", "add", "local", net, "dev", "lo"], check=True, timeout=10)
    try:
        def from_six(source):
            connection = socket.socket(socket.AF_INET6)
            connection.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
            connection.settimeout(5 * SLOW)
            connection.bind((source, 0))
            connection.connect(("fd00:736b:1:1::1", daemon.port))
            connection.sendall(ALIVE)
            assert connection.recv(4000).startswith(b"HTTP/1.1 200")
            return connection

        other = from_six("fd00:736b:1:2::5")
        held = [from_six(f"fd00:736b:1:1:{i}:{i}::{i + 2:x}") for i in range(15)]
        wait_until(lambda: sum(is_open(connection) for connection in held) == 10, 5, "five of one /64 to be closed")
        assert [is_open(connection) for connection in held] == [False] * 5 + [True] * 10 and is_open(other)
        four = []
        for i in range(12):  # one half of them as a client of IPv6 gives them
            connection = socket.socket(socket.AF_INET6 if i % 2 else socket.AF_INET)
            connection.settimeout(5 * SLOW)
            connection.connect(("::ffff:127.0.0.1" if i % 2 else "127.0.0.1", daemon.port))
            connection.sendall(ALIVE)
            connection.recv(4000)
            four.append(connection)
        wait_until(lambda: [is_open(connection) for connection in four] == [False] * 2 + [True] * 10, 5, "two of 127.0.0.1 to be closed")
        assert is_open(other) and is_open(held[-1])
        for connection in [other, *held, *four]:
            connection.close()
    finally:
        for net in nets:
            subprocess.run([need("ip"), "-6", "route", "del", "local", net, "dev", "lo"], timeout=10)


# ---- Nothing to end ----

def test_probes_have_a_reserve(skymond, tmp_path):
    """All places are with requests that a worker has: what is left is for probes."""
    daemon = skymond(config(tmp_path, limits={"connections": 20, "connections_per_address": 100}))
    daemon.wait_component("t_routes", status="healthy")
    held = Held(daemon, tmp_path, 20)
    try:
        for path in ("alive", "health", "ready", "health/t_routes"):
            for _ in range(10):
                got, took = ask(daemon, request=b"GET /api/v1/%s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
                assert got.startswith(b"HTTP/1.1 200 ") and took < PROMPT * SLOW, got
        for path in ("/metrics", "/api/v1/status", "/t/open/x"):
            got, _ = ask(daemon, request=b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
            assert got.startswith(b"HTTP/1.1 503 ") and b"limits.connections" in got and b"Retry-After: 1\r\n" in got and b"Connection: close" in got, got
        silent = [connect(daemon, f"127.0.0.{i % 5 + 2}") for i in range(200)]  # they cannot take the reserve either
        assert all(served(daemon) for _ in range(20))
        for connection in silent:
            connection.close()
    finally:
        held.release()
    assert [answer.code for answer in held.answers()] == [200] * 20
    held.close()
    wait_until(lambda: daemon.get("/metrics").status_code == 200, 5, "places to be free again")


def test_clients_that_do_not_read_are_ended_when_room_is_needed(skymond, tmp_path):
    daemon = skymond(config(tmp_path, limits={"connections": 10, "connections_per_address": 100, "header_timeout": "1s"}))
    daemon.wait_component("t_routes", status="healthy")
    slow = [connect(daemon, "127.0.0.2", b"GET /t/large?size=8000000 HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(10)]
    assert served(daemon)

    def asked():
        return ask(daemon, request=b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")[0].startswith(b"HTTP/1.1 200 ")
    wait_until(asked, 15, "a place", every=0.2)
    assert evicted(daemon) >= 1
    assert "skymon_http_refused_connections_total 0\n" in daemon.metrics()
    said = [line for line in daemon.log_lines() if "ended or refused, because 10 are open: limits.connections" in line]
    assert 1 <= len(said) <= 3 and "level=warn" in said[0]
    for connection in slow:
        connection.close()


# ---- Time ----

def test_the_idle_time_out_shrinks_as_places_run_out(skymond, tmp_path):
    daemon = skymond(watched(tmp_path, limits={"connections": 40, "connections_per_address": 40, "idle_timeout": "20s", "header_timeout": "1s"}))

    def idle(count):
        made = [connect(daemon, send=ALIVE) for _ in range(count)]
        for connection in made:
            connection.recv(4000)
        return made

    few = idle(20)
    time.sleep(4)
    assert all(is_open(connection) for connection in few)  # half of the places are free
    more = idle(19)  # 39 of 40: 20 s x 1 / 10, and longer with each that goes
    wait_until(lambda: sum(not is_open(connection) for connection in few) >= 3, 12, "the oldest idle ones to be ended")
    assert evicted(daemon) == 0
    for connection in few + more:
        connection.close()


def test_descriptors_that_run_out(skymond, tmp_path):
    """Fewer than limits.connections asks for: fewer connections are taken, and the rule is the same."""
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (900, 900))
    daemon = skymond(watched(tmp_path), preexec_fn=few)
    daemon.wait_log("connections are accepted at once")
    held = [connect(daemon, f"127.0.0.{i % 3 + 2}") for i in range(1500)]
    assert all(served(daemon) for _ in range(20))
    for connection in held:
        connection.close()

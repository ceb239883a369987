# SPDX-License-Identifier: Apache-2.0
"""The monitor is not the load: so many checks at once for a plugin and for a server, the rest wait; nothing that waits is late."""
import re
import selectors
import socket
import threading
import time

import pytest

from harness import family_values, wait_until

PER_ADDRESS, PER_PLUGIN = 16, 64


class Held:
    """A server that holds each connection for so long (None: as long as it lasts), and counts how many it had at once."""

    def __init__(self, seconds, addresses=1):
        self.seconds = seconds
        self.most = self.total = 0
        self.open = {}
        self.waiting = selectors.DefaultSelector()
        self.listeners = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in range(addresses)]
        for listener in self.listeners:
            listener.setblocking(False)
            self.waiting.register(listener, selectors.EVENT_READ)
        self.addresses = ["127.0.0.1:%d" % listener.getsockname()[1] for listener in self.listeners]
        self.ending = False
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self):
        while not self.ending:
            ready = [key.fileobj for key, _ in self.waiting.select(0.01)]
            for fd in ready:
                if fd not in self.listeners:  # its client has left: before those that came for it
                    self.waiting.unregister(fd)
                    del self.open[fd]
                    fd.close()
            for listener in ready:
                if listener in self.listeners:
                    fd = listener.accept()[0]
                    self.open[fd] = time.monotonic()
                    self.total += 1
                    self.waiting.register(fd, selectors.EVENT_READ)
            self.most = max(self.most, len(self.open))
            now = time.monotonic()
            for fd, since in list(self.open.items()):
                if self.seconds is not None and now - since >= self.seconds:
                    self.open[fd] = float("inf")  # counted until the client has closed, too
                    try:
                        fd.shutdown(socket.SHUT_WR)
                    except OSError:  # the client has left already
                        pass
        for fd in [*self.open, *self.listeners]:
            fd.close()

    def close(self):
        self.ending = True
        self.thread.join()


@pytest.fixture
def held():
    servers = []

    def start(*args):
        servers.append(Held(*args))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def dials(server, count, prefix="c", number=0, **options):
    return {f"{prefix}{i}": {"plugin": "t_dials", "address": server.addresses[number], "interval": "20s", "timeout": "2s", **options}
            for i in range(count)}


def statuses(daemon):
    """{component: status} of all, in one request."""
    return {each["name"]: each["status"] for each in daemon.get("/api/v1/status").json()["health"]["components"]}


def failures(daemon, names):
    found = family_values(daemon, "skymon_component_check_failures_total")
    return sum(found[f'{{component="{name}"}}'] for name in names)


def wait_all(daemon, names, status="healthy", timeout=60):
    def look():
        found = statuses(daemon)
        wrong = {name: found[name] for name in names if found[name] != status}
        assert not wrong, (len(wrong), list(wrong.items())[:5])
        return True
    wait_until(look, timeout, f"all of {len(names)} to be {status}", every=0.1)


def test_five_hundred_of_one_server(skymond, held):
    """All find the server well, at most sixteen ask it at once, nothing is ever unhealthy, and it is ready when all have looked."""
    server = held(0.05)
    components = dials(server, 500)
    daemon = skymond({"plugins": {"prometheus": {}}, "components": components})
    wait_all(daemon, components)
    assert daemon.get("/api/v1/ready").status_code == 200
    assert server.most <= PER_ADDRESS, server.most
    wait_until(lambda: server.total >= 1200, 90, "two rounds more")  # spread by now
    assert server.most <= PER_ADDRESS, server.most
    assert set(statuses(daemon).values()) == {"healthy"}
    assert failures(daemon, components) == 0
    assert not [line for line in daemon.log_lines() if "status=unhealthy" in line]


def test_a_check_that_waits_is_not_timed_out(skymond, held):
    """The queue takes longer than the time that each check has."""
    server = held(0.3)
    components = dials(server, 100, timeout="1s")
    daemon = skymond({"plugins": {"prometheus": {}}, "components": components})
    wait_all(daemon, components)
    assert failures(daemon, components) == 0


def test_a_silent_server_holds_back_its_own_alone(skymond, held):
    silent, quick = held(None), held(0)
    bad, good = dials(silent, 100, "bad"), dials(quick, 100, "good", interval="2s")
    daemon = skymond({"plugins": {"prometheus": {}}, "components": {**bad, **good}})
    wait_all(daemon, good)
    before = quick.total
    wait_all(daemon, bad, "unhealthy")  # each has had its turn
    assert silent.most <= PER_ADDRESS
    assert quick.total >= before + 100
    found = daemon.component("bad99")
    assert (found["reason"], found["message"]) == ("timeout", "the server keeps silent")
    assert set(statuses(daemon)[name] for name in good) == {"healthy"}


def test_those_that_ignore_the_deadline_starve_no_one(skymond, held):
    """Forty of one address that hang for ever: each is found out; the others of that address have their turns."""
    silent = held(None)
    stuck = dials(silent, 40, "stuck", stubborn=True, timeout="1s", interval="5s")
    daemon = skymond({"plugins": {"prometheus": {}}, "components": {**stuck, **dials(silent, 10, "last", timeout="1s", interval="5s")}})
    wait_all(daemon, [*stuck, *(f"last{i}" for i in range(10))], "unhealthy", timeout=30)
    assert re.fullmatch(r"no answer within \d+ ms while reading", daemon.component("stuck39")["message"])
    assert daemon.component("last9")["message"] == "the server keeps silent"


def test_of_one_plugin(skymond, held):
    """Many servers: sixty-four checks at once in all."""
    server = held(0.2, 8)
    components = {}
    for number in range(8):
        components.update(dials(server, 40, f"s{number}-", number))
    daemon = skymond({"plugins": {"prometheus": {}}, "limits": {"checks_per_address": 40}, "components": components})
    wait_all(daemon, components)
    assert PER_ADDRESS < server.most <= PER_PLUGIN


def test_the_limits_are_config(skymond, held):
    server = held(0.05)
    components = dials(server, 50)
    daemon = skymond({"plugins": {"prometheus": {}}, "limits": {"checks_at_once": 3}, "components": components})
    wait_all(daemon, components)
    assert server.most <= 3


def test_threads_are_given_back(skymond, held):
    server = held(0.5)
    components = dials(server, 60)
    daemon = skymond({"plugins": {"prometheus": {}}, "limits": {"checks_per_address": 60}, "components": components})
    wait_all(daemon, components)
    worker = next(iter(daemon.children()))

    def threads():
        with open(f"/proc/{worker}/status") as status:
            return int(next(line for line in status if line.startswith("Threads:")).split()[1])

    assert server.most > PER_ADDRESS
    daemon.write_config({"plugins": {"prometheus": {}}, "components": dials(server, 1)})
    daemon.hup()
    wait_until(lambda: threads() <= 3, 30, "the threads of what is gone to end", every=0.2)

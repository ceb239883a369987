# SPDX-License-Identifier: Apache-2.0
"""A name server that never answers: the daemon runs with a resolv.conf of the test's own, mounted over the real one in a mount namespace of
its own. No worker is ended for it, and no other component's result is lost."""
import os
import socket
import time

import pytest

import truth
from harness import SLOW, wait_until
from own import own_file
from test_workers import checks, component, restarts

SILENT = "127.99.0.1"


@pytest.fixture
def silent_name_server(tmp_path):
    """A resolv.conf that names a server which takes every question and answers none."""
    if os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("this test needs root, and under CI nothing is skipped")
        pytest.skip("only root may mount")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((SILENT, 53))
        path = tmp_path / "resolv.conf"
        path.write_text(f"nameserver {SILENT}\n")
        yield path, server


def test_an_outage_of_dns(skymond, silent_name_server, postgres, tmp_path):
    path, server = silent_name_server
    named = {
        "vault": component("vault", address="http://vault.example.test:8200"),
        "authentication": component("authentication", issuer="http://id.example.test/realms/x"),
        "websocket": component("websocket", url="ws://ws.example.test:9000/"),
        "cache": component("cache", url="redis://cache.example.test:6379"),
        "http": component("http", url="http://http.example.test:8000/"),
    }
    for i in range(6):  # more of them than the helper has slots for calls that hang
        named[f"db{i}"] = component("database", url=f"postgresql://u@db{i}.example.test/x")
    good = {
        "good-db": component("database", url=postgres.url(), timeout="2s"),
        "good-file": component("database", url="sqlite:good.db", timeout="2s"),
        "good": component("t_ok"),
    }
    daemon = skymond({"plugins": {"prometheus": {}}, "components": {**named, **good}}, preexec_fn=own_file(path, "/etc/resolv.conf"))
    for name in named:
        found = daemon.wait_component(name, timeout=20, status="unhealthy", reason="timeout")
        assert found["response_time_ms"] <= 2500 * SLOW
        truth.record({"check": found["name"].rstrip("012345").replace("db", "database"), "fault": "name server never answers",
                      "status": "unhealthy", "reason": "timeout", "took": found["response_time_ms"] / 1000, "within": 2.5 * SLOW,
                      "message": found["message"]})
    for name in good:
        daemon.wait_component(name, status="healthy")
    server.settimeout(5)
    assert b"example" in server.recv(512)  # the name server really was asked
    workers, before, began = set(daemon.children()), checks(daemon), time.monotonic()
    wait_until(lambda: time.monotonic() - began > 40, 60, "an outage longer than the grace", every=0.5)
    after, seconds = checks(daemon), time.monotonic() - began
    assert set(daemon.children()) == workers
    assert set(restarts(daemon).values()) == {0}
    for name in good:
        assert daemon.component(name)["status"] == "healthy"
        assert after[name] - before[name] >= seconds * 0.8 - 2, (name, before[name], after[name])
    for name in named:
        assert daemon.component(name)["reason"] == "timeout"

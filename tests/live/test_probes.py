# SPDX-License-Identifier: Apache-2.0
"""Probes and balancers: a real HAProxy, the drain, ready and alive."""
import fcntl
import resource
import signal
import socket
import threading
import time

import requests

from harness import SLOW, free_port, wait_until
from test_workers import component


def watch_file(tmp_path, text="healthy", **options):
    (tmp_path / "status").write_text(text)
    return component("t_file", path=str(tmp_path / "status"), impact="unhealthy", **options)


def balancer(check, port, front):
    return f"""
frontend front
    bind 127.0.0.1:{front}
    default_backend api
backend api
    {check}
    server one 127.0.0.1:{port} check inter 200ms fall 2 rise 2
"""


def test_haproxy_takes_the_server_out_and_back(skymond, haproxy, tmp_path):
    for check in ("option httpchk /api/v1/ready", "option httpchk\n    http-check send meth GET uri /api/v1/ready"):
        daemon = skymond({"components": {"db": watch_file(tmp_path)}})
        balance = haproxy(balancer(check, daemon.port, free_port()))
        wait_until(lambda: balance.server_state("api", "one").startswith("UP"), 10, "UP")
        (tmp_path / "status").write_text("unhealthy")
        wait_until(lambda: balance.server_state("api", "one") == "DOWN", 10, f"DOWN with {check}")
        (tmp_path / "status").write_text("healthy")
        wait_until(lambda: balance.server_state("api", "one").startswith("UP"), 10, f"UP again with {check}")


def test_required_component_down_is_no_error_rate(skymond, prometheus, tmp_path):
    """The seed's HighErrorRate must not fire because probes get a 503."""
    daemon = skymond({"plugins": {"prometheus": {}}, "components": {"db": watch_file(tmp_path, "unhealthy")}})
    daemon.wait_component("db", status="unhealthy")
    rules = """
groups:
  - name: sky-genesis-api
    rules:
      - alert: HighErrorRate
        expr: sky_genesis_error_rate_percent{service="api"} > 5
        for: 2s
"""
    server = prometheus([f"127.0.0.1:{daemon.port}"], rules=rules)
    stop = threading.Event()

    def probe():
        session = requests.Session()
        while not stop.wait(0.02):
            for path in ("/api/v1/health", "/api/v1/ready", "/api/v1/health/db"):
                assert session.get(daemon.url + path, timeout=5).status_code == 503

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        server.wait_query("sky_genesis_total_requests_total > 500", lambda rows: rows, timeout=60)
        server.wait_query("count_over_time(sky_genesis_error_rate_percent[1m]) > 5", lambda rows: rows, timeout=30)
        assert server.query('ALERTS{alertname="HighErrorRate"}') == []
        assert server.query("max_over_time(sky_genesis_error_rate_percent[5m])")[0][1] == 0
    finally:
        stop.set()
        thread.join()


def test_starting_then_ready(skymond, tmp_path):
    daemon = skymond({"components": {"slow": component("t_slow", ms=800, timeout="5s", impact="unhealthy")}})
    first = daemon.get("/api/v1/ready")
    assert first.status_code == 503 and first.json()["reason"] == "starting" and first.json()["ready"] is False
    assert daemon.get("/api/v1/alive").status_code == 200
    wait_until(lambda: daemon.get("/api/v1/ready").status_code == 200, 10, "ready")


def test_drain_says_not_ready_before_the_socket_closes(skymond, tmp_path):
    daemon = skymond({"shutdown": {"drain": "1500ms"}, "components": {"db": watch_file(tmp_path)}})
    wait_until(lambda: daemon.get("/api/v1/ready").status_code == 200, 10, "ready")
    daemon.process.send_signal(signal.SIGTERM)
    wait_until(lambda: daemon.get("/api/v1/ready").status_code == 503, 5, "not ready")
    assert daemon.get("/api/v1/ready").json()["reason"] == "draining"
    assert daemon.get("/api/v1/alive").status_code == 200
    assert daemon.get("/api/v1/health").status_code == 200
    wait_until(lambda: daemon.process.poll() is not None, 10, "the end")
    assert daemon.process.returncode == 0
    daemon.ended = True
    daemon.folder.remove()


def test_roll_up_and_impact(skymond, tmp_path):
    (tmp_path / "vault").write_text("unhealthy")
    daemon = skymond({"components": {
        "db": watch_file(tmp_path),
        "vault": component("t_file", path=str(tmp_path / "vault"), impact="degraded"),
        "extra": component("t_crash_segv", impact="none")}})
    wait_until(lambda: daemon.get("/api/v1/health").json()["status"] == "degraded", 10, "degraded")
    assert daemon.get("/api/v1/health").headers["X-Health-Status"] == "degraded"
    assert daemon.get("/api/v1/ready").status_code == 200
    (tmp_path / "status").write_text("unhealthy")
    wait_until(lambda: daemon.get("/api/v1/health").status_code == 503, 10, "503")
    assert int(daemon.get("/api/v1/health").headers["Retry-After"]) >= 1
    assert daemon.get("/api/v1/health?unhealthy=200").status_code == 200
    assert daemon.get("/api/v1/ready?unhealthy=200").status_code == 503


def test_rise_and_fall(skymond, tmp_path):
    daemon = skymond({"components": {"db": watch_file(tmp_path, rise=2, fall=3, interval="200ms")}})
    daemon.wait_component("db", status="healthy")
    (tmp_path / "status").write_text("unhealthy")
    pending = wait_until(lambda: (lambda c: c if c["last_result"] else None)(daemon.component("db")), 5, "a pending result")
    assert pending["status"] == "healthy" and pending["last_result"]["status"] == "unhealthy"
    daemon.wait_component("db", status="unhealthy", last_result=None)
    (tmp_path / "status").write_text("healthy")
    daemon.wait_component("db", status="healthy", last_result=None)


def test_ready_follows_self(skymond, tmp_path):
    daemon = skymond({"ready": {"follow": "self"}, "components": {"db": watch_file(tmp_path, "unhealthy")}})
    daemon.wait_component("db", status="unhealthy")
    assert daemon.get("/api/v1/health").status_code == 503
    assert daemon.get("/api/v1/ready").status_code == 200


def test_a_log_that_nobody_reads_stops_nobody(skymond, tmp_path):
    """stderr is a pipe that is full: the daemon answers, and says later how much it dropped."""
    daemon = skymond({"log": {"level": "debug"}, "components": {
        f"flap{i}": component("t_file", path=str(tmp_path / "status"), interval="100ms") for i in range(40)}})
    (tmp_path / "status").write_text("healthy")
    daemon.output.pause()
    fcntl.fcntl(daemon.process.stderr.fileno(), 1031, 4096)  # F_SETPIPE_SZ: soon full
    deadline = time.monotonic() + 4 * SLOW
    turn = 0

    def flap():
        nonlocal turn
        turn += 1
        (tmp_path / "status").write_text("healthy" if turn % 2 else "unhealthy " + "x" * 150)
        assert daemon.get("/api/v1/alive").status_code == 200
        time.sleep(0.05)

    while time.monotonic() < deadline:
        flap()
    daemon.output.go_on()
    wait_until(lambda: flap() or "were dropped" in daemon.log_text(), 20, "what was dropped to be said, beside the next line")


def test_more_connections_than_descriptors(skymond):
    """A low limit of descriptors makes fewer connections, not a daemon that cannot start its workers."""
    def low():
        resource.setrlimit(resource.RLIMIT_NOFILE, (600, 600))
    daemon = skymond({"components": {"a": component("t_exits", interval="500ms"), "b": component("t_ok")}}, preexec_fn=low)
    daemon.wait_log("limits.connections is")
    held = []
    try:
        for _ in range(400):
            held.append(socket.create_connection(("127.0.0.1", daemon.port), timeout=5))
        mark = daemon.log_mark()
        daemon.wait_log("ended its process", after=mark, timeout=20)  # a worker was started again, and died again
    finally:
        for connection in held:
            connection.close()
    daemon.wait_component("b", status="healthy")

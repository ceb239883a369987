# SPDX-License-Identifier: Apache-2.0
"""The check `accesslog` on a real nginx under load, whose log is rotated in both ways while skymond and its worker restart: each request
is counted once."""
import contextlib
import os
import signal
import threading
import time

import pytest
import requests
from harness import Skymond, family_values, free_port, run_skymond, wait_until

import truth

TIMED = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_time'
SERVER = """log_format timed '%s';
server { listen 127.0.0.1:%d; access_log {folder}/access.log timed; location / { return 200 ok; } location /bad { return 503 no; } }"""


def config(path, **options):
    return {"plugins": {"prometheus": {}},
            "components": {"log": {"plugin": "accesslog", "interval": "500ms", "path": str(path), "format": "timed", **options}}}


@contextlib.contextmanager
def web(nginx):
    port = free_port()
    server = nginx(SERVER % (TIMED, port), port)
    path = server.folder.path / "access.log"
    wait_until(path.exists, 5, "the log")
    yield server, path, f"http://127.0.0.1:{port}"


def reopen(server):
    server.process.send_signal(signal.SIGUSR1)


class Load:
    """Requests all the time, counted."""

    def __init__(self, url):
        self.url, self.count, self.going = url, 0, True
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        with requests.Session() as session:
            while self.going:
                session.get(self.url, timeout=10)
                self.count += 1
                time.sleep(0.001)

    def end(self):
        self.going = False
        self.thread.join()
        return self.count


def counted(sm):
    return sum(family_values(sm, "skymon_accesslog_requests_total").values())


def test_numbers(skymond, nginx):
    with web(nginx) as (_, path, url):
        sm = skymond({**config(path), "service": {"name": "api", "metrics": {
            "total_requests": "log", "error_rate_percent": "log", "average_response_time_ms": "log"}}})
        truth.cell("accesslog", "a log without requests", sm, "log", "healthy", "ok")
        for _ in range(30):
            requests.get(url, timeout=10)
        for _ in range(10):
            requests.get(url + "/bad", timeout=10)
        wait_until(lambda: counted(sm) == 40, 20, "40 requests")
        found = sm.component("log")
        assert found["numbers"]["errors"] == 0.25 and found["numbers"]["error_rate_percent"] == 25
        assert 0 <= found["numbers"]["time_p50"] <= found["numbers"]["time_p95"] <= found["numbers"]["time_p99"] < 10
        assert found["message"].startswith("40 requests in 60 s, 25.00 % errors, p95 ")
        assert family_values(sm, "skymon_accesslog_requests_total")['{component="log",code="5xx"}'] == 10
        assert list(family_values(sm, "sky_genesis_total_requests_total").values()) == [40]
        assert list(family_values(sm, "sky_genesis_error_rate_percent").values()) == [25]


@pytest.mark.parametrize("how", ["rename", "copytruncate"])
def test_rotation_under_load(skymond, nginx, how):
    """Five rotations, under requests; a rotation by rename while the worker and then the daemon are killed, too. copytruncate itself
    loses what is written between its copy and the truncation, so that the load pauses for it."""
    with web(nginx) as (server, path, url):
        sm = skymond(config(path))
        sm.wait_component("log", status="healthy")
        total = 0
        load = Load(url)
        for turn in range(5):
            wait_until(lambda: load.count > 50, 20, "some requests")
            if how == "copytruncate":  # a copy of a file of which nothing was read cannot be recognized
                wait_until(lambda: counted(sm) > total, 20, "the first of them to be read")
            if how == "rename":
                for old in range(turn, 0, -1):
                    path.with_name(f"access.log.{old}").rename(path.with_name(f"access.log.{old + 1}"))
                path.rename(path.with_name("access.log.1"))
                if turn == 2:
                    worker = next(iter(sm.children()))
                    os.kill(worker, signal.SIGKILL)
                reopen(server)
            of_the_turn = load.end()
            total += of_the_turn
            if how == "copytruncate":  # nginx writes a line after its answer
                wait_until(lambda: path.read_bytes().count(b"\n") == of_the_turn, 20, "the last line to be written")
                path.with_name("access.log.1").write_bytes(path.read_bytes())
                os.truncate(path, 0)
                wait_until(lambda: counted(sm) == total, 20, "the copy to be read")  # before the next one replaces it
            load = Load(url)
        total += load.end()
        def whole():
            assert (counted(sm), total) == (total, total)
            return True
        wait_until(whole, 10, "all requests to be counted")
        checks = lambda: sum(family_values(sm, "skymon_component_checks_total").values())  # noqa: E731
        later = checks() + 2
        wait_until(lambda: checks() >= later, 20, "two more checks")
        assert counted(sm) == total
        assert list(family_values(sm, "skymon_accesslog_gaps_total").values()) == [0]
        assert list(family_values(sm, "skymon_accesslog_malformed_lines_total").values()) == [0]


def test_a_daemon_that_restarts(nginx, tmp_path):
    """Requests and a rotation while no skymond runs are counted by the next one."""
    with web(nginx) as (server, path, url):
        state = tmp_path / "state"
        state.mkdir()
        settings = {**config(path), "state_dir": str(state)}
        first = Skymond(settings)
        try:
            first.wait_component("log", status="healthy")
            for _ in range(5):
                requests.get(url, timeout=10)
            wait_until(lambda: counted(first) == 5, 20, "5 requests")
        finally:
            first.stop(how=signal.SIGKILL, expect=None)
        for _ in range(7):
            requests.get(url, timeout=10)
        path.rename(path.with_name("access.log.1"))
        reopen(server)
        wait_until(path.exists, 5, "the new log")
        for _ in range(11):
            requests.get(url, timeout=10)
        second = Skymond(settings)
        try:
            wait_until(lambda: counted(second) == 23, 20, "23 requests")
        finally:
            second.stop()


def test_faults(skymond, tmp_path):
    path = tmp_path / "access.log"
    line = 'h - - [x] "GET /" 200 5 "-" "-" 0.01\n'
    sm = skymond(config(path))
    truth.cell("accesslog", "no log", sm, "log", "unknown", "missing", words="No such file")
    path.write_text("")
    truth.cell("accesslog", "the log is there", sm, "log", "healthy", "ok")
    with path.open("a") as log:
        log.write("rubbish\n" * 3)
    truth.cell("accesslog", "another format", sm, "log", "unknown", "protocol", words="none of the 3 new lines")
    with path.open("a") as log:
        log.write(line)
    wait_until(lambda: counted(sm) == 1, 10, "the line")
    sm.wait_component("log", status="healthy")


@pytest.mark.parametrize("options, words", [
    ({"path": "access.log"}, "`path` of component log must be an absolute path"),
    ({"format": "nginx"}, "must be common, combined, timed, json, or a template with $$status".replace("$$", "$")),
    ({"format": "$$status$$time"}, "has two fields without a text between them"),
    ({"format": "json", "fields": {"code": "x"}}, "has `code`"),
    ({"fields": {"status": "x"}}, "are given with format: json only"),
    ({"window": "1ms"}, "window")])
def test_mistakes_are_named(options, words):
    done = run_skymond({"components": {"log": {"plugin": "accesslog", "path": "/x", **options}}}, "--check-config")
    assert done.returncode == 2 and words in done.stderr, done.stderr

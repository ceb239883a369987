# SPDX-License-Identifier: Apache-2.0
"""The check `process` against real servers: by port, pid file and unit; killed, restarted, without privilege."""
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess

import pytest

from harness import ROOT, SLOW, end_process, free_port, need, run_skymond, wait_until


def config(**options):
    return {"plugins": {"prometheus": {}}, "components": {"web": {"plugin": "process", "interval": "1s", **options}}}


def number(sm, series):
    answer = sm.get("/metrics")
    assert answer.status_code == 200, answer.text
    found = re.search(rf"^{re.escape(series)} (\S+)$", answer.text, re.M)
    return float(found.group(1)) if found else None


def nginx_on(nginx, workers=2):
    port = free_port()
    return nginx(f"server {{ listen 127.0.0.1:{port}; location / {{ return 200 ok; }} keepalive_timeout 300; }}", port, workers)


def wait_details(sm, name, **expected):
    """The details of the healthy component, once they hold these."""
    return wait_until(lambda: (details := sm.wait_component(name, status="healthy")["details"]).items() >= expected.items() and details,
                      what=f"{name} with {expected}")


@contextlib.contextmanager
def clients(port, count):
    """Connections that nginx has accepted and keeps."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        yield


def test_by_port(skymond, nginx):
    """All of nginx is found by its port; active connections follow its clients."""
    server = nginx_on(nginx)
    sm = skymond(config(port=server.port))
    details = wait_details(sm, "web", processes=3)  # nginx listens before it has its workers
    assert details["pid"] == server.process.pid
    assert details["name"] == "nginx"
    assert "limited" not in details
    assert 1e6 < details["memory_bytes"] < 1e9
    with clients(server.port, 7):
        wait_until(lambda: sm.component("web")["details"]["active_connections"] == 7, what="7 connections")
        assert number(sm, 'skymon_process_connections{component="web",state="established"}') == 7
    wait_until(lambda: sm.component("web")["details"]["active_connections"] == 0, what="no connection")


def test_killed_and_restarted(skymond, nginx):
    server = nginx_on(nginx)
    sm = skymond(config(port=server.port))
    old = sm.wait_component("web", status="healthy")["details"]["pid"]
    os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait()
    found = sm.wait_component("web", status="unhealthy", reason="refused")
    assert found["message"] == f"nothing listens on port {server.port}"
    assert number(sm, 'skymon_process_threads{component="web"}') is None, "a dead process has no series"
    command = server.process.args
    server.launch(command)
    server.wait_port(server.port)
    new = sm.wait_component("web", status="healthy")["details"]["pid"]
    assert new == server.process.pid != old
    assert number(sm, 'skymon_process_restarts_total{component="web"}') == 1


def test_by_pid_file(skymond, nginx):
    server = nginx_on(nginx)
    pid_file = server.folder.path / "pid"
    sm = skymond({"components": {
        "web": {"plugin": "process", "interval": "1s", "pid_file": str(pid_file)},
        "master": {"plugin": "process", "interval": "1s", "pid_file": str(pid_file), "children": False}}})
    wait_details(sm, "web", processes=3)
    wait_details(sm, "master", processes=1)
    with clients(server.port, 3):
        # A connection belongs to a process only once nginx has accepted it.
        for key in ("active_connections", "connections"):
            wait_until(lambda key=key: sm.component("web")["details"][key] == 3, what=f"3 {key}")
    end_process(server.process)
    # nginx removes its pid file; a check may see it end
    wait_until(lambda: "is missing" in sm.wait_component("web", status="unhealthy")["message"], what="the missing pid file")
    pid_file.write_text(f"{server.process.pid}\n")
    wait_until(lambda: "is not running" in sm.component("web")["message"], what="the stale pid file to be told")
    pid_file.write_text("none\n")
    sm.wait_component("web", status="unknown")


def test_by_unit(skymond, nginx, tmp_path):
    """A folder laid out like /sys/fs/cgroup stands for systemd."""
    server = nginx_on(nginx)
    group = tmp_path / "system.slice" / "web.service"
    sm = skymond(config(unit="web", cgroup_root=str(tmp_path)))
    assert "no control group" in sm.wait_component("web", status="unhealthy")["message"]
    group.mkdir(parents=True)
    of_nginx = pathlib.Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    children = wait_until(lambda: len(found := of_nginx.read_text().split()) == 2 and found, what="its workers")
    (group / "cgroup.procs").write_text("\n".join([str(server.process.pid), *children]) + "\n")
    wait_details(sm, "web", processes=3)
    with clients(server.port, 2):
        wait_until(lambda: sm.component("web")["details"]["active_connections"] == 2, what="2 connections")
    (group / "cgroup.procs").write_text("")
    assert "has no process" in sm.wait_component("web", status="unhealthy")["message"]


def test_cpu(skymond, tmp_path):
    """A process that spins uses about one core, and its counter grows; a second one in the tree adds up."""
    spin = subprocess.Popen([need("sh"), "-c", "while :; do :; done"], start_new_session=True)
    try:
        (tmp_path / "pid").write_text(str(spin.pid))
        settings = config(pid_file=str(tmp_path / "pid"))
        settings["service"] = {"name": "api", "metrics": {"cpu_usage_percent": "web", "memory_usage_mb": "web"}}
        sm = skymond(settings)
        sm.wait_component("web", status="healthy")
        # Some of a core even on a busy machine, and never more than one.
        wait_until(lambda: 2 < (number(sm, 'sky_genesis_cpu_usage_percent{service="api"}') or 0) < 115, what="CPU of a core")
        before = number(sm, 'skymon_process_cpu_seconds_total{component="web"}')
        wait_until(lambda: number(sm, 'skymon_process_cpu_seconds_total{component="web"}') > before, what="CPU time to grow")
        resident = int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{spin.pid}/status").read_text()).group(1)) * 1024
        told = number(sm, 'skymon_process_resident_memory_bytes{component="web"}')
        assert abs(told - resident) < 0.5 * resident + 1e6
    finally:
        end_process(spin, signal.SIGKILL)


def as_nobody(tmp_path):
    """The command line that runs a program as `nobody`. A build below a folder that is closed to others is mounted where it is again,
    in a mount namespace of its own: the paths of the worker and the plugins are compiled in, so a copy elsewhere would not find them."""
    user = [need("setpriv"), "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    if subprocess.run([*user, "test", "-x", str(ROOT / "bin/skymon")], timeout=60).returncode == 0:
        return user
    closed = next(folder for folder in [*reversed(ROOT.parents), ROOT] if folder.stat().st_mode & 0o001 == 0)
    script = 'mount --bind "$1" "$2" && mount -t tmpfs -o mode=755 open "$3" && mkdir -p "$1" && mount --bind "$2" "$1" && shift 3 && exec "$@"'
    return [need("unshare"), "--mount", "sh", "-c", script, "sh", str(ROOT), str(tmp_path), str(closed), *user]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user's process")
def test_without_privilege(nginx, tmp_path):
    """As `nobody`: memory of a named process is there, open files and connections are absent, not 0, and the details say so."""
    server = nginx_on(nginx)
    pid_file = server.folder.path / "pid"
    server.folder.path.chmod(0o755)
    run = [*as_nobody(tmp_path), str(ROOT / "bin/skymon"), "run", "process"]
    with clients(server.port, 4):
        done = subprocess.run([*run, f"pid_file={pid_file}"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done
        assert "cannot read open files of process" in done.stdout and "Permission denied" in done.stdout
        assert "memory" in done.stdout
        assert not re.search(r"^\s*\"?(open_files|active_connections)\b", done.stdout, re.M), done.stdout
        done = subprocess.run([*run, f"port={server.port}"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done
        assert "permission denied" in done.stdout.lower()
        assert re.search(r"active_connections\W+4\b", done.stdout), "the connections of a port are anybody's to count"
        assert "memory" not in done.stdout


def test_exactly_one_target():
    """Nothing to look at, or two things: the config is wrong, and the error has its place."""
    done = run_skymond("components:\n  none: {plugin: process}\n  two: {plugin: process, port: 1, unit: x}\n", "--check-config", name="c.yaml")
    assert done.returncode == 2
    assert "c.yaml:2:3: option `pid_file` of component none is missing: one of pid_file, unit and port must be given" in done.stderr
    assert "c.yaml:3:32: option `port` of component two excludes unit" in done.stderr


def test_thresholds(skymond, nginx):
    server = nginx_on(nginx)
    sm = skymond(config(port=server.port, warn={"active_connections": 2}, crit={"active_connections": 5}))
    sm.wait_component("web", status="healthy")
    with clients(server.port, 3):
        sm.wait_component("web", status="degraded", reason="threshold_warn")
        with clients(server.port, 3):
            sm.wait_component("web", status="unhealthy", reason="threshold_crit")
    sm.wait_component("web", status="healthy")


def test_promtool_finds_nothing(skymond, nginx):
    server = nginx_on(nginx)
    sm = skymond(config(port=server.port))
    sm.wait_component("web", status="healthy")
    done = subprocess.run([need("promtool"), "check", "metrics"], input=sm.metrics(), capture_output=True, text=True, timeout=30)
    assert [line for line in done.stderr.splitlines() if "skymon_process" in line] == []
    assert "error while linting" not in done.stderr


def test_frozen_process_is_running(skymond, nginx):
    """A stopped process (SIGSTOP) still is: whether it answers is another check's to say. This one never waits for it."""
    server = nginx_on(nginx)
    sm = skymond(config(port=server.port))
    sm.wait_component("web", status="healthy")
    server.pause()
    checked = sm.component("web")["last_check"]
    wait_until(lambda: sm.component("web")["last_check"] > checked, what="another check")
    assert sm.component("web")["status"] == "healthy"
    server.resume()
    assert sm.component("web")["response_time_ms"] < 1000 * SLOW

# SPDX-License-Identifier: Apache-2.0
"""The parts of the bench: servers that are started here and ended by their id, wrk, CPU by the scheduler's own clock."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
sys.path.append(str(SOURCE / "tests" / "live"))
from ports import free_port  # noqa: E402, F401
ROOT = pathlib.Path(os.environ.get("SKYMON_ROOT", SOURCE / "build" / "root"))
TEST_PLUGINS = pathlib.Path(os.environ.get("SKYMON_TEST_PLUGINS", SOURCE / "build" / "main" / "tests" / "plugins"))
SERVER_CPU, CLIENT_CPU = 0, 1
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
median = statistics.median


def need(program):
    path = shutil.which(program, path=PATH)
    if path is None:
        raise SystemExit(f"bench: {program} is missing")
    return path


def get(url, headers=None):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=30) as answer:
        return answer.read()


def tasks_of(pid):
    """The process and its children, where a server has workers of the same kind (nginx)."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def workers(pid, plugins):
    """The daemon's workers that run one of these plugins. A worker that only read the others' descriptors ends soon after the start."""
    found = []
    for child in tasks_of(pid)[1:]:
        try:
            command = pathlib.Path(f"/proc/{child}/cmdline").read_text()
        except OSError:
            continue
        if any(f"/{plugin}.so" in command for plugin in plugins):
            found.append(child)
    return found


def cpu_ns(pids):
    """CPU time by the scheduler's clock, of all threads."""
    total = 0
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except OSError:
                pass
    return total


def memory_mib(pid, what="VmRSS"):
    return int(re.search(what + r":\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


class Server:
    """Started in the foreground, in a folder of its own. pids: what its CPU is the sum of."""

    def __init__(self, command, folder, port, env=None):
        self.folder, self.port = folder, port
        self.url = f"http://127.0.0.1:{port}"
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        cwd=folder, env=env)
        self.wait()

    def wait(self):
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise SystemExit(f"bench: {self.process.args[0]} does not answer:\n" + (self.folder / "log").read_text())
                time.sleep(0.01)
        self.pids = self.find_pids()

    def find_pids(self):
        return [self.process.pid]

    def pin(self, cpu):
        for pid in self.pids:
            subprocess.run([need("taskset"), "-a", "-c", "-p", str(cpu), str(pid)], check=True, stdout=subprocess.DEVNULL)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def folder(name):
    return pathlib.Path(tempfile.mkdtemp(prefix=f"skymon-bench-{name}-"))


def start_once(command, port, path, env):
    """Milliseconds from exec to the first 200, the memory then, and the CPU (ms) that it took."""
    request = f"GET {path} HTTP/1.0\r\n\r\n".encode()
    null = os.open(os.devnull, os.O_RDWR)
    began = time.perf_counter()
    pid = os.posix_spawn(command[0], command, env, file_actions=[(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)])
    try:
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                    connection.sendall(request)
                    if b" 200 " in connection.recv(4096):
                        break
            except OSError:
                pass
            if time.perf_counter() - began > 10:
                raise SystemExit(f"bench: {command[0]} does not start")
            time.sleep(0.0002)
        taken, used = (time.perf_counter() - began) * 1000, cpu_ns([pid]) / 1e6
        time.sleep(0.3)
        return taken, memory_mib(pid), used
    finally:
        os.kill(pid, 15)
        os.waitpid(pid, 0)
        os.close(null)


def skymond(components, plugins="prometheus: {}"):
    place, port = folder("skymond"), free_port()
    (place / "skymon.yaml").write_text(f"plugin_path: [{TEST_PLUGINS}]\nlimits: {{series: 200000}}\nplugins: {{{plugins}}}\ncomponents: {{{components}}}\n")
    return Server([ROOT / "sbin" / "skymond", "-c", place / "skymon.yaml", "--listen", f"127.0.0.1:{port}"], place, port,
                  env={"PATH": os.environ["PATH"], "STATE_DIRECTORY": str(place)})


class Nginx(Server):
    def find_pids(self):
        deadline = time.monotonic() + 5
        while len(tasks_of(self.process.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        return tasks_of(self.process.pid)


def nginx(locations, files=None):
    """The best-tuned nginx for the question: one worker, no log, file from memory, sendfile off with large buffers."""
    place, port = folder("nginx"), free_port()
    for name, content in (files or {}).items():
        (place / name).write_bytes(content)
    place.chmod(0o755)
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = "".join(f"{what}_temp_path {place}/{what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (place / "nginx.conf").write_text(
        f"{user} daemon off; worker_processes 1; pid {place}/pid; error_log stderr;\n"
        "events { multi_accept on; worker_connections 4096; }\n"
        f"http {{ {temporary} access_log off; sendfile off; output_buffers 2 1m; keepalive_requests 100000000;\n"
        "open_file_cache max=1000 inactive=300s; open_file_cache_valid 300s; server_tokens off; etag off;\n"
        f"server {{ listen 127.0.0.1:{port}; root {place};\n{locations}\n}} }}\n")
    return Nginx([need("nginx"), "-e", "stderr", "-p", place, "-c", place / "nginx.conf"], place, port)


def wrk(server, path, connections, seconds, pipeline=1, delay_ms=0, headers=(), cpu=CLIENT_CPU):
    """One run; its numbers, and the server's CPU for each request."""
    run = start_wrk(server, path, connections, seconds, pipeline, delay_ms, headers, cpu)
    return finish_wrk(run, server)


def start_wrk(server, path, connections, seconds, pipeline=1, delay_ms=0, headers=(), cpu=CLIENT_CPU):
    command = [need("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(HERE / "wrk.lua")]
    if cpu is not None and os.cpu_count() > 1:
        command = [need("taskset"), "-c", str(cpu), *command]
    for header in headers:
        command += ["-H", header]
    env = {**os.environ, "BENCH_PIPELINE": str(pipeline), "BENCH_DELAY_MS": str(delay_ms)}
    before = cpu_ns(server.pids)
    return subprocess.Popen([*command, server.url + path], env=env, stdout=subprocess.PIPE, text=True), before


def finish_wrk(run, server):
    process, before = run
    text = process.communicate(timeout=120)[0]
    used = cpu_ns(server.pids) - before
    found = re.search(r"^bench (\{.*\})$", text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"bench: wrk said\n{text}")
    numbers = json.loads(found.group(1))
    numbers["rate"] = numbers["requests"] / numbers["duration_us"] * 1e6
    numbers["cpu_us"] = used / 1000 / max(numbers["requests"], 1)
    if numbers["errors"]:
        raise SystemExit(f"bench: {numbers['errors']} wrong answers from {server.url}")
    return numbers


def in_turn(rounds, *runs):
    """A B A B …; for each of them the list of its numbers."""
    results = [[] for _ in runs]
    for _ in range(rounds):
        for result, run in zip(results, runs):
            result.append(run())
    return results


def middle(results, key):
    return median([result[key] for result in results])

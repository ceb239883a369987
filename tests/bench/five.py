# SPDX-License-Identifier: Apache-2.0
"""Five checks of five kinds on real servers (those of tests/live), plain and on loopback: what skymond and its workers take when no client
asks them anything, and how soon they are there."""
import os
import pathlib
import re
import shutil
import sys
import time

from parts import ROOT, SOURCE, folder, free_port, median, memory_mib, start_once

sys.path.insert(0, str(SOURCE / "tests" / "live"))

START_ROUNDS = 7
INTERVAL_S = 10


def measure(seconds, row):
    """row(what, goal, measured, reached) for each; seconds: how long the idle minute is, a multiple of the interval."""
    try:
        import pytest
        missing = pytest.skip.Exception
    except ImportError as error:
        row("5 checks of 5 kinds", "", f"not measured: {error}")
        return
    try:
        _on_servers(seconds, row)
    except missing as error:
        row("5 checks of 5 kinds", "", f"not measured: {error}")
    except pytest.fail.Exception as error:
        raise SystemExit(f"bench: {error}")


def _on_servers(seconds, row):
    from harness import Postgres
    from openbao import OpenBao
    from redis_server import Redis
    from ws_server import WsServer
    servers = []
    try:
        for kind in (OpenBao, Postgres, Redis, WsServer):
            servers.append(kind())
        vault, database, cache, websocket = servers
        config = {"plugins": {"prometheus": {}}, "defaults": {"interval": f"{INTERVAL_S}s"}, "components": {
            "disk": {"plugin": "host"},
            "vault": {"plugin": "vault", "address": vault.url},
            "database": {"plugin": "database", "url": database.url()},
            "websocket": {"plugin": "websocket", "url": websocket.url},
            "cache": {"plugin": "cache", "url": f"redis://127.0.0.1:{cache.port}"}}}
        _start(config, row)
        _idle(config, seconds, row)
    finally:
        for server in servers:
            server.close()


def _start(config, row):
    import yaml
    place, port = folder("five"), free_port()
    try:
        (place / "skymon.yaml").write_text(yaml.safe_dump(config))
        command = [str(ROOT / "sbin" / "skymond"), "-c", str(place / "skymon.yaml"), "--listen", f"127.0.0.1:{port}"]
        env = {"PATH": os.environ["PATH"], "STATE_DIRECTORY": str(place)}
        taken = [start_once(command, port, "/api/v1/alive", env)[0] for _ in range(START_ROUNDS)]
    finally:
        shutil.rmtree(place, ignore_errors=True)
    row("exec to the first 200 of /alive, 5 checks of 5 kinds", "<= 30 ms", f"{median(taken):.1f} ms (the quickest of {START_ROUNDS}: "
        f"{min(taken):.1f})", median(taken) <= 30)


def _idle(config, seconds, row):
    from harness import Skymond
    daemon = Skymond(config)
    try:
        for name in config["components"]:
            daemon.wait_component(name, status="healthy")
        time.sleep(2)  # what a first result leaves to do is done
        names = {daemon.pid: "daemon", **daemon.children()}
        before = {pid: cpu_ms(pid) for pid in names}
        time.sleep(seconds)
        used = {pid: (cpu_ms(pid) - before[pid]) * 60 / seconds for pid in names}
        memory, pages = {pid: pss_mib(pid) for pid in names}, distinct_mib(names)
        resident = memory_mib(daemon.pid)
        if set(names) != {daemon.pid, *daemon.children()}:
            raise SystemExit("bench: a worker came or went during the idle minute:\n" + daemon.log_text())
        for name in config["components"]:
            component = daemon.component(name)
            if component["status"] != "healthy" or component["stale"]:
                raise SystemExit(f"bench: {name} did not stay healthy: {component}")
    finally:
        daemon.stop(expect=None)
    minute = "" if seconds == 60 else f" ({seconds} s, times {60 / seconds:g})"
    own, all_of_them = used[daemon.pid], sum(used.values())
    row(f"CPU in an idle minute, 5 checks of 5 kinds each {INTERVAL_S} s: the daemon", "<= 5 ms", f"{own:.1f} ms{minute}", own <= 5)
    row("the same: all processes", "<= 30 ms", f"{all_of_them:.1f} ms{minute}: {each(names, used)}", all_of_them <= 30)
    if None in memory.values():
        row("PSS of the daemon and its workers", "<= 20 MiB", "not measured: root alone may look into a worker")
    else:
        note = f"; each page counted once and whole, also those that other programs share: {pages:.1f}" if pages else ""
        row("PSS of the daemon and its workers", "<= 20 MiB", f"{sum(memory.values()):.1f} MiB: {each(names, memory)}{note}",
            sum(memory.values()) <= 20)
    row("RSS of the daemon, 5 checks of 5 kinds", "<= 6 MiB", f"{resident:.1f} MiB", resident <= 6)


def each(names, numbers):
    return ", ".join(f"{name} {numbers[pid]:.1f}" for pid, name in names.items())


def cpu_ms(pid):
    """CPU time by the scheduler's clock, of all threads, also of those that have ended: the process's CPU-time clock."""
    return time.clock_gettime_ns(~pid << 3 | 2) / 1e6


def pss_mib(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except PermissionError:
        return None
    return int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE).group(1)) / 1024


def distinct_mib(pids):
    """The pages of memory that these processes have mapped, each counted once; None when the kernel does not tell page numbers."""
    page, frames = os.sysconf("SC_PAGESIZE"), set()
    try:
        for pid in pids:
            with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
                for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
                    if line.endswith(("[vsyscall]", "[vvar]", "[vdso]", "[vvar_vclock]")):
                        continue
                    first, last = (int(word, 16) // page for word in line.split()[0].split("-"))
                    entries = memoryview(os.pread(pagemap.fileno(), (last - first) * 8, first * 8)).cast("Q")
                    frames |= {entry & (1 << 55) - 1 for entry in entries if entry >> 63}
    except OSError:
        return None
    frames.discard(0)
    return len(frames) * page / 1024 ** 2 or None

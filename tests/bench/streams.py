# SPDX-License-Identifier: Apache-2.0
"""The rows statsd and lines: StatsD packets beside a plain loop of recv(), and lines of an access log beside `wc -l`; each for a second of CPU."""
import json
import os
import resource
import socket
import subprocess
import time

from parts import HERE, cpu_ns, folder, free_port, get
from probes import Checks

PACKET = b"shop.orders:1|c|#zone:eu,path:/cart"
LINE = '127.0.0.1 - - [28/Nov/2026:00:00:00 +0000] "GET /orders/{} HTTP/1.1" 200 512 "-" "curl/7.88.1" 0.0{}\n'


def send(port, count):
    """In bursts, so that the receiver sleeps between them rarely and drops little."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect(("127.0.0.1", port))
        for number in range(count):
            out.send(PACKET)
            if number % 1000 == 999:
                time.sleep(0.002)


def plain(count):
    """Packets for a second of CPU of the plain loop."""
    program = folder("recv") / "recv"
    subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-O2", str(HERE / "recv.c"), "-o", str(program)], check=True)
    with subprocess.Popen([str(program)], stdout=subprocess.PIPE, text=True) as loop:
        port = int(loop.stdout.readline())
        send(port, count)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            while loop.poll() is None:  # one may be dropped
                out.sendto(b"end", ("127.0.0.1", port))
                time.sleep(0.02)
        packets, used = map(int, loop.stdout.read().split())
    return packets / used * 1e9


def value(checks, name):
    return sum(checks.series(name).values())


def statsd(count, row):
    port = free_port()
    checks = Checks({"shop": f"plugin: statsd, listen: '127.0.0.1:{port}', interval: 1s"})
    try:
        checks.settle()
        pids = checks.processes()
        used = cpu_ns(pids)
        send(port, count)
        deadline = time.monotonic() + 20
        while (packets := value(checks, "skymon_statsd_packets_total")) + value(checks, "skymon_statsd_dropped_packets_total") < count:
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: of {count:,} packets {packets:,.0f} were received")
            time.sleep(0.1)
            send(port, 1)  # with it comes the number of those that the kernel has dropped (SO_RXQ_OVFL)
        ours = packets / (cpu_ns(pids) - used) * 1e9
    finally:
        checks.stop()
    theirs = plain(count)
    row("StatsD packets per second of a core", "", f"{ours:,.0f}; a plain loop of recv() {theirs:,.0f}: {ours / theirs:.2f} x")


def lines(count, row):
    place = folder("lines")
    log = place / "access.log"
    log.write_text("")
    log.chmod(0o644)
    checks = Checks({"web": f"plugin: accesslog, path: {log}, format: timed, interval: 500ms"})
    try:
        checks.settle()
        pids = checks.processes()
        used = cpu_ns(pids)
        with open(log, "a", encoding="ascii") as out:
            out.write("".join(LINE.format(number, number % 90 + 10) for number in range(count)))
        deadline = time.monotonic() + 60
        while numbers(checks).get("total_requests", 0) < count:
            if time.monotonic() > deadline:
                raise SystemExit("bench: not all of the lines were read")
            time.sleep(0.2)
        ours = count / (cpu_ns(pids) - used) * 1e9
    finally:
        checks.stop()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["wc", "-l", str(log)], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    theirs = count / max(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1e-4)
    row("lines of an access log per second of a core", "", f"{ours:,.0f}; wc -l {theirs:,.0f}: {ours / theirs:.3f} x")


def numbers(checks):
    return json.loads(get(checks.daemon.url + "/api/v1/health/web"))["numbers"]

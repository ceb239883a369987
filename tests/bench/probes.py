# SPDX-License-Identifier: Apache-2.0
"""Checks by the thousand on the workers' loop: what one costs skymon in CPU (daemon and worker), and that those that hang cost the others nothing."""
import re
import shutil
import socket
import subprocess
import time

from parts import ROOT, Server, cpu_ns, folder, free_port, get, median, memory_mib, need, nginx, workers


class Checks:
    """A daemon with these components; settled once each has a result."""

    def __init__(self, components, env=None):
        self.count = len(components)
        self.plugins = {re.search(r"plugin: (\w+)", options).group(1) for options in components.values()}
        self.place, port = folder("probes"), free_port()
        lines = "".join(f"  {name}: {{{options}}}\n" for name, options in components.items())
        (self.place / "skymon.yaml").write_text("plugins: {prometheus: {}}\nlimits: {checks_per_address: 10000}\n"
                                                f"log: {{level: error}}\ncomponents:\n{lines}")
        self.began = time.monotonic()
        self.daemon = Server([ROOT / "sbin" / "skymond", "-c", self.place / "skymon.yaml", "--listen", f"127.0.0.1:{port}"], self.place, port,
                             env={"PATH": "/usr/bin:/bin", "STATE_DIRECTORY": str(self.place), **(env or {})})

    def series(self, name):
        """{component: value} of a family of the exposition."""
        found = {}
        for line in get(self.daemon.url + "/metrics").decode().splitlines():
            if line.startswith(name + "{"):
                found[line.split('component="')[1].split('"')[0]] = float(line.rsplit(" ", 1)[1])
        return found

    def settle(self, seconds=60):
        """Seconds from the start until every component has a result."""
        while len(found := self.series("skymon_component_checks_total")) < self.count or min(found.values()) < 1:
            if time.monotonic() - self.began > seconds:
                raise SystemExit("bench: not all of the checks have run")
            time.sleep(0.02)
        return time.monotonic() - self.began

    def processes(self):
        return [self.daemon.process.pid, *workers(self.daemon.process.pid, self.plugins)]

    def measure(self, seconds):
        """Checks, and CPU in ns, of so many seconds."""
        pids = self.processes()
        before, used, began = self.series("skymon_component_checks_total"), cpu_ns(pids), time.monotonic()
        time.sleep(seconds)
        used, took = cpu_ns(pids) - used, time.monotonic() - began
        after = self.series("skymon_component_checks_total")
        down = [name for name, up in self.series("skymon_component_up").items() if up == 0]
        checks = sum(after[name] - before.get(name, 0) for name in after)
        return {"checks": checks, "cpu_ns": used, "seconds": took, "down": down, "each": {name: after[name] - before.get(name, 0) for name in after}}

    def stop(self):
        self.daemon.stop()


def rate(components, seconds, rounds, env=None):
    """Checks a second for each second of CPU of daemon and worker: the median of rounds."""
    checks = Checks(components, env)
    try:
        checks.settle()
        rates, rounds_of = [], [checks.measure(seconds) for _ in range(rounds)]
        for found in rounds_of:
            if len(found["down"]) > len(components) // 2 or found["checks"] < len(components):
                raise SystemExit(f"bench: {len(found['down'])} of the checks fail, {found['checks']:.0f} have run")
            rates.append(found["checks"] / found["cpu_ns"] * 1e9)
        return median(rates), median([found["checks"] / found["seconds"] for found in rounds_of])
    finally:
        checks.stop()


class Blackbox(Server):
    """The peer, with a module for each row; asked for one probe after the other, as a Prometheus would."""

    def __init__(self, program, ca_file=None):
        place, port = folder("blackbox"), free_port()
        (place / "blackbox.yml").write_text(
            "modules:\n  tcp: {prober: tcp, timeout: 2s}\n"
            f"  http: {{prober: http, timeout: 2s, http: {{preferred_ip_protocol: ip4{f', tls_config: {{ca_file: {ca_file}}}' if ca_file else ''}}}}}\n")
        super().__init__([program, f"--config.file={place}/blackbox.yml", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"], place, port)

    def rate(self, module, target, seconds):
        """Probes for each second of its CPU."""
        path = f"{self.url}/probe?module={module}&target={target}"
        if b"probe_success 1" not in get(path):
            raise SystemExit(f"bench: blackbox_exporter's probe of {target} fails")
        used, until, probes = cpu_ns(self.pids), time.monotonic() + seconds, 0
        while time.monotonic() < until:
            get(path)
            probes += 1
        return probes / (cpu_ns(self.pids) - used) * 1e9


def beside(ours, module, target, seconds, ca_file=None):
    """(how a row ends, times the peer's rate; None where it is not installed)"""
    program = shutil.which("prometheus-blackbox-exporter") or shutil.which("blackbox_exporter")
    if program is None:
        return "; blackbox_exporter is not installed", None
    peer = Blackbox(program, ca_file)
    try:
        theirs = peer.rate(module, target, seconds)
        return f"; blackbox_exporter {theirs:,.0f}: {ours / theirs:.1f} x", ours / theirs
    finally:
        peer.stop()


def tcp(seconds, rounds, row):
    server = nginx("location / { return 200 'ok'; }")
    try:
        per_core, a_second = rate({f"c{i}": f"plugin: tcp, address: '127.0.0.1:{server.port}', interval: 100ms, timeout: 1s" for i in range(300)},
                                  seconds, rounds)
        peer, _ = beside(per_core, "tcp", f"127.0.0.1:{server.port}", seconds)
        row("tcp checks per second of a core of skymon's own", ">= 12,000", f"{per_core:,.0f} (at {a_second:,.0f} a second){peer}", per_core >= 12000)
    finally:
        server.stop()


def http(seconds, rounds, row):
    server = nginx("location / { return 200 'ok'; }")
    try:
        for what, reconnect, goal in (("a new connection each", "0s", 9000), ("connections kept", "1h", 20000)):
            per_core, a_second = rate({f"c{i}": f"plugin: http, url: 'http://127.0.0.1:{server.port}/', reconnect: {reconnect}, interval: 100ms, "
                                       "timeout: 1s" for i in range(300)}, seconds, rounds)
            peer = "" if reconnect == "1h" else beside(per_core, "http", f"http://127.0.0.1:{server.port}/", seconds)[0]
            row(f"http checks per second of a core of skymon's own, {what}", f">= {goal:,}",
                f"{per_core:,.0f} (at {a_second:,.0f} a second){peer}", per_core >= goal)
    finally:
        server.stop()


def https(seconds, rounds, row):
    place, port = folder("https"), free_port()
    subprocess.run([need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", place / "key", "-out", place / "pem"],
                   check=True, capture_output=True)
    server = nginx(f"}} server {{ listen 127.0.0.1:{port} ssl; ssl_session_tickets off; ssl_certificate {place}/pem; ssl_certificate_key {place}/key;\n"
                   "location / { return 200 'ok'; }")
    try:
        per_core, a_second = rate({f"c{i}": f"plugin: http, url: 'https://127.0.0.1:{port}/', reconnect: 0s, interval: 100ms, timeout: 2s, "
                                   f"tls: {{ca_file: '{place}/pem'}}" for i in range(80)}, seconds, rounds)
        peer, times = beside(per_core, "http", f"https://127.0.0.1:{port}/", seconds, f"{place}/pem")
        row("https checks per second of a core of skymon's own, a new connection each, one CA file", ">= 5 x blackbox_exporter",
            f"{per_core:,.0f} (at {a_second:,.0f} a second){peer}", None if times is None else times >= 5)
    finally:
        server.stop()
        shutil.rmtree(place, ignore_errors=True)


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def arrivals(log):
    """{component: the times of its requests, in seconds of the clock that skymond schedules by}"""
    boot, found = time.clock_gettime(time.CLOCK_BOOTTIME) - time.time(), {}
    for line in log.read_text().splitlines():
        at, path = line.split()
        found.setdefault(path, []).append(float(at) + boot)
    return found


def many(seconds, row, count=2000):
    place, port, interval = folder("many"), free_port(), 10
    log = place / "arrivals"
    place.chmod(0o755)
    server = nginx(f"}} log_format arrivals '$msec $uri'; server {{ listen 127.0.0.1:{port}; access_log {log} arrivals buffer=64k flush=1s;\n"
                   "location / { return 200 'ok'; }")
    began = time.time()
    checks = Checks({f"c{i}": f"plugin: http, url: 'http://127.0.0.1:{port}/c{i}', reconnect: 1h, interval: {interval}s, timeout: 5s" for i in range(count)})
    try:
        time.sleep(max(0.0, 3 - (time.monotonic() - checks.began)))
        pids = checks.processes()
        memory = sum(memory_mib(pid) for pid in pids)  # before the first scrape, which keeps the text of each series
        first = [at[0] - (began + time.clock_gettime(time.CLOCK_BOOTTIME) - time.time()) for at in wait_for_arrivals(log, count).values()]
        used, since = cpu_ns(pids), time.monotonic()
        time.sleep(seconds)
        share = (cpu_ns(pids) - used) / 1e9 / (time.monotonic() - since)
        time.sleep(1.5)  # nginx writes its log
        # A check is due at a multiple of a two-hundredth of its interval (sched_next_due), its first one apart; nginx's clock has whole ms.
        late = [(at * 1000 + 1) % (interval * 5) - 1 for times in arrivals(log).values() for at in times[1:]]
        row(f"{count:,} http checks each {interval} s, kept: CPU of daemon and worker", "<= 1.5 % of a core", f"{share * 100:.2f} %", share <= 0.015)
        results = checks.series("skymon_component_checks_total")
        row("the same: RSS of daemon and worker, before a scrape", "< 25 MiB", f"{memory:.1f} MiB ({sum(memory_mib(pid) for pid in pids):.1f} after one)",
            memory < 25)
        row("the same: from a check's time to its answer: p99", "< 5 ms", f"{percentile(late, 0.99):.1f} ms (median {percentile(late, 0.5):.1f}, "
            f"of {len(late):,})", percentile(late, 0.99) < 5)
        row("the same: from exec to the last component's first answer", "<= 1 s", f"{max(first):.2f} s ({len(results):,} components)",
            max(first) <= 1 and len(results) == count)
    finally:
        checks.stop()
        server.stop()
        shutil.rmtree(place, ignore_errors=True)


def wait_for_arrivals(log, count):
    until = time.monotonic() + 30
    while len(found := arrivals(log)) < count:
        if time.monotonic() > until:
            raise SystemExit("bench: not all of the checks have run")
        time.sleep(0.1)
    return found


def hung(seconds, row, count=500):
    server = nginx("location / { return 200 'ok'; }")
    silent = socket.create_server(("127.0.0.1", 0), backlog=4096)
    port = silent.getsockname()[1]
    checks = Checks({**{f"hung{i}": f"plugin: tcp, address: '127.0.0.1:{port}', expect: '220', interval: 2s, timeout: 30s" for i in range(count)},
                     **{f"good{i}": f"plugin: tcp, address: '127.0.0.1:{server.port}', interval: 1s, timeout: 500ms" for i in range(count)}})
    try:
        time.sleep(3)
        found, slowest = checks.measure(max(seconds, 3)), 0.0
        for _ in range(200):
            began = time.perf_counter()
            get(checks.daemon.url + "/api/v1/alive")
            slowest = max(slowest, time.perf_counter() - began)
        good = [ran for name, ran in found["each"].items() if name.startswith("good")]
        late = sum(ran < int(found["seconds"]) - 1 for ran in good)
        down = sum(name.startswith("good") for name in found["down"])
        row(f"{count} hung checks beside {count} good ones", "every good one on time", f"{late} late, {down} not healthy; the slowest of 200 /alive: "
            f"{slowest * 1000:.1f} ms", late == 0 and down == 0)
    finally:
        checks.stop()
        silent.close()
        server.stop()

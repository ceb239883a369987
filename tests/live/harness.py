# SPDX-License-Identifier: Apache-2.0
"""The live tests' tools: the real skymond and the real servers that it watches, each in a temporary folder and on a free
loopback port, each ended by its process id.

    from harness import Skymond, Postgres, Prometheus, Haproxy, Nginx, need, free_port, wait_until

    def test_disk(skymond):                                   # fixture of conftest.py: starts any number, ends all
        sm = skymond({"components": {"host": {"plugin": "host", "interval": "1s"}}})
        sm.wait_component("host", status="healthy")           # waits for GET /api/v1/health/host to say so
        assert sm.get("/api/v1/ready").status_code == 200     # requests.Response
        sm.write_config({...}); sm.hup(); sm.wait_log("…")    # a reload
        assert sm.raw(b"GET / HTTP/1.0\\r\\n\\r\\n").startswith(b"HTTP/1.1 200")

Skymond(config, …)    config: dict (written as YAML) or text. Listens on 127.0.0.1:0, state in its own folder, the folder of the test
                      plugins (tests/plugins) in plugin_path when config is a dict without one. env adds variables, args adds
                      arguments. It fails the test when the process ended by itself, a sanitizer spoke or a worker outlived it.
run_skymond(config)   runs it to its end (bad configs): .returncode, .stdout, .stderr.   run_tool("run", "host") runs skymon.
Postgres()            a cluster of its own: .url(db, user, password), .psql(sql), .stop(mode), .start(), .pause(), .resume()
Prometheus(targets)   a real one that scrapes every second: .query(expr), .wait_query(expr, accept)
Haproxy(config)       .server_state("backend", "server") -> "UP", "DOWN", … by its stats socket
Nginx(http_block)     any `http { … }` content
need("promtool")      the path of a program; without it the test is skipped, under CI=true it fails

Where things are: SKYMON_ROOT (the prefix of `make install`; default build/root), SKYMON_TEST_PLUGINS (built test plugins).
Fixtures: skymond, postgres (one cluster for the session), fresh_postgres, prometheus, haproxy, nginx (factories), tmp_path.
Mark tests of threads that meet with @pytest.mark.sanitized: they run under ASan and TSan too; tests of what is read and written one after another
with @pytest.mark.asan (a dict config gets no memory limit there).
Wait for conditions (wait_until), never sleep and hope. SLOW (1; more under sanitizers and on a busy machine) multiplies every waiting time here.
No test asserts how fast something is (that is ./dev bench's); that nothing waits for a slow thing is asserted against that thing's own time.
"""
import contextlib
import csv
import glob
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest
import requests
import yaml

import schema  # validates the config of each daemon that starts
from output import Output
from ports import free_port

SOURCE = pathlib.Path(__file__).resolve().parents[2]
ROOT = pathlib.Path(os.environ.get("SKYMON_ROOT", SOURCE / "build" / "root"))
TEST_PLUGINS = pathlib.Path(os.environ.get("SKYMON_TEST_PLUGINS", SOURCE / "build" / "main" / "tests" / "plugins"))


class Slow:
    """A number of at least 1 that waiting times are multiplied with: what is waited for on a busy machine comes, but later. Read at each use, as
    rows begin on a quiet machine and get company: from the load of the last minute and from the tasks that run now. SLOW=3 fixes it."""

    def __float__(self):
        if os.environ.get("SLOW"):
            return float(os.environ["SLOW"])
        running = int(pathlib.Path("/proc/loadavg").read_text().split()[3].split("/")[0])
        return 1 + min(4.0, max(os.getloadavg()[0], running - 1) / os.cpu_count())

    def __mul__(self, other):
        return float(self) * other

    __rmul__ = __mul__

    def __rtruediv__(self, other):
        return other / float(self)

    def __gt__(self, other):
        return float(self) > other


SLOW = Slow()
SANITIZED = os.environ.get("SKYMON_SANITIZED", "")
SANITIZER_WORDS = re.compile(r"(ERROR: AddressSanitizer|ERROR: LeakSanitizer|WARNING: ThreadSanitizer|runtime error:)")


# ---- Small things ----

def wait_until(condition, timeout=10.0, what="the condition", every=0.02):
    """Returns the first true value of condition(); fails the test after timeout seconds. AssertionErrors and connection errors of the
    condition count as "not yet", and the last one is shown."""
    began, patience = time.monotonic(), 0
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except (AssertionError, OSError, KeyError) as error:
            last = error
        patience = max(patience, timeout * SLOW)
        if time.monotonic() - began > patience:
            pytest.fail(f"waited {patience:g} s for {what}; last: {last!r}")
        time.sleep(every)


def need(program):
    """The path of a program that the test cannot do without."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin" + "".join(
        f":{folder}" for folder in sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)))
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{program} is missing, and under CI nothing is skipped")
        pytest.skip(f"{program} is missing")
    return path


class Folder:
    """A temporary folder that goes with its owner."""

    def __init__(self, prefix):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix=f"skymon-{prefix}-"))

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


def end_process(process, how=signal.SIGTERM, timeout=10.0):
    """Ends a Popen by its own id: politely, then by force. Returns the exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.send_signal(how)
        try:
            process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def processes():
    """{pid: (parent, start time, program name)} of all that live; zombies are not counted."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text()
        except OSError:
            continue
        name, fields = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
        if fields[0] != "Z":
            found[int(entry.name)] = (int(fields[1]), int(fields[19]), name)
    return found


# ---- skymond ----

def config_text(config):
    if not isinstance(config, dict):
        unlimited = SANITIZED and not re.search(r"^limits:", config, re.M) and re.search(r"^components:", config, re.M)
        return config + ("\nlimits: {worker_memory: 0}\n" if unlimited else "")
    config = dict(config)
    if TEST_PLUGINS.is_dir():
        config.setdefault("plugin_path", [str(TEST_PLUGINS)])
    if SANITIZED:  # a sanitizer's shadow counts as memory
        config["limits"] = {"worker_memory": 0, **config.get("limits", {})}
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True)


def environment(extra=None):
    """The environment of a program under test: small, so that the machine's own variables do not change a test."""
    keep = ("PATH", "HOME", "TZ", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS")
    env = {key: os.environ[key] for key in keep if key in os.environ}
    env["LANG"] = "C.UTF-8"
    env.update(extra or {})
    return env


def run_skymond(config, *args, env=None, timeout=30, name="skymond.yaml"):
    """Runs skymond until it ends by itself: for configs that it must refuse, and --check-config and its like. In the messages the
    file's path is `name`."""
    folder = Folder("run")
    try:
        command = [ROOT / "sbin" / "skymond", *args]
        if config is not None:
            (folder.path / name).write_text(config_text(config))
            command[1:1] = ["-c", name]
        env = environment({"STATE_DIRECTORY": str(folder.path), **(env or {})})
        done = subprocess.run(command, cwd=folder.path, env=env, capture_output=True, text=True, timeout=timeout * SLOW,
                              stdin=subprocess.DEVNULL)
        if done.returncode == 0 and config is not None and "--check-config" in args:
            schema.expect_good(folder.path / name)
        return done
    finally:
        folder.remove()


def run_tool(*args, env=None, timeout=30, cwd=None):
    """Runs `skymon ARGS…` to its end."""
    return subprocess.run([ROOT / "bin" / "skymon", *map(str, args)], env=environment(env), capture_output=True, text=True,
                          timeout=timeout * SLOW, stdin=subprocess.DEVNULL, cwd=cwd)


def family_values(sm, family):
    """{labels: value} of one family of the exposition."""
    rows = {}
    for line in sm.metrics().splitlines():
        if line.startswith((family + "{", family + " ")):
            labels, value = line[len(family):].rsplit(" ", 1)
            rows[labels] = float(value)
    return rows


class Skymond:
    """A running daemon. wait=False returns before it listens."""

    def __init__(self, config, args=(), env=None, listen="127.0.0.1:0", wait=True, preexec_fn=None):
        self.folder = Folder("d")
        self.config = self.folder.path / "skymond.yaml"
        self.state_dir = self.folder.path / "state"
        self.state_dir.mkdir()
        self.write_config(config)
        command = [str(ROOT / "sbin" / "skymond"), "-c", str(self.config)]
        if listen:
            command += ["--listen", listen]
        self.process = subprocess.Popen(
            command + list(map(str, args)), env=environment({"STATE_DIRECTORY": str(self.state_dir), **(env or {})}),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
            cwd=self.folder.path, preexec_fn=preexec_fn)
        self.output = Output(self.process.stderr)
        self.pid = self.process.pid
        self.family = set()
        self.ended = False
        self.port = None
        self.url = None
        if wait:
            self.wait_listening()

    # The config
    def write_config(self, config):
        """Replaces the config file at once, as an editor would; .hup() makes it count."""
        draft = self.config.with_suffix(".new")
        draft.write_text(config_text(config))
        draft.rename(self.config)

    def hup(self):
        self.process.send_signal(signal.SIGHUP)

    # The log
    def log_lines(self):
        return list(self.output.lines)

    def log_text(self):
        return "\n".join(self.output.lines)

    def log_mark(self):
        """For wait_log(…, after=mark): only lines that come later count."""
        return len(self.output.lines)

    def wait_log(self, text, timeout=10, after=0):
        """The first line that holds the text (or matches, when it is a compiled pattern)."""
        def look():
            for line in self.output.lines[after:]:
                if text.search(line) if hasattr(text, "search") else text in line:
                    return line
            assert self.process.poll() is None, f"skymond ended with {self.process.returncode}"
            return None
        try:
            return wait_until(look, timeout, f"the log line {text!r}")
        except BaseException:
            print(self.log_text())
            raise

    def wait_listening(self, timeout=10):
        line = self.wait_log("listening", timeout)
        port = re.search(r'port["=:]+(\d+)', line)
        assert port, f"no port in {line!r}"
        self.port = int(port.group(1))
        self.url = f"http://127.0.0.1:{self.port}"
        schema.expect_good(self.config)

    # HTTP
    def request(self, method, path, **options):
        options.setdefault("timeout", 10 * SLOW)
        options.setdefault("allow_redirects", False)
        return requests.request(method, self.url + path, **options)

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def raw(self, data, timeout=5, until_close=True):
        """Sends bytes as they are and returns what comes back until the server closes (or, with until_close=False, pauses)."""
        got = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout * SLOW) as connection:
            connection.sendall(data)
            if until_close:
                connection.shutdown(socket.SHUT_WR)
            else:
                connection.settimeout(0.3 * SLOW)
            try:
                while chunk := connection.recv(65536):
                    got += chunk
            except (socket.timeout, ConnectionResetError):
                pass
        return got

    def component(self, name):
        """The JSON of /api/v1/health/NAME."""
        return self.get(f"/api/v1/health/{name}").json()

    def wait_component(self, name, timeout=15, **expected):
        """Waits until the component's JSON holds all of expected (status="healthy", reason="refused", …); returns it."""
        def look():
            found = self.component(name)
            assert all(key in found for key in expected), found
            assert {key: found[key] for key in expected} == expected, found
            return found
        return wait_until(look, timeout, f"component {name} with {expected}")

    def metrics(self, **options):
        return self.get("/metrics", **options).text

    # Processes
    def children(self):
        """{pid: program name} of the daemon's own processes: its workers. Not those that only read the descriptor of a plugin which runs in
        the daemon: they end soon after the start."""
        alive = processes()
        found = {pid: name for pid, (parent, _, name) in alive.items() if parent == self.pid}
        self.family |= {(pid, alive[pid][1]) for pid in found}
        return {pid: name for pid, name in found.items() if name not in ("prometheus", "page")}

    def leftovers(self):
        alive = processes()
        return [(pid, alive[pid][2]) for pid, start in self.family if pid in alive and alive[pid][1] == start]

    def memory_kb(self):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.pid}/status").read_text()).group(1))

    # The end
    def stop(self, how=signal.SIGTERM, expect=0, timeout=15):
        """Ends the daemon and checks its end: exit code, leftover workers, reports of sanitizers. expect=None: any code."""
        if self.ended:
            return self.process.returncode
        self.ended = True
        self.children()
        crashed = self.process.poll() is not None
        code = end_process(self.process, how, timeout)
        self.output.join()
        try:
            if crashed and expect is not None:
                self._fail(f"skymond ended by itself with {code}")
            if expect is not None and code != expect:
                self._fail(f"skymond ended with {code}, not {expect}")
            if SANITIZER_WORDS.search(self.log_text()):
                self._fail("a sanitizer spoke")
            wait_until(lambda: not self.leftovers(), 5, f"the workers of skymond {self.pid} to be gone")
        finally:
            self.folder.remove()
        return code

    def _fail(self, why):
        pytest.fail(why + "\n" + "\n".join(self.output.lines[-80:]), pytrace=False)


# ---- Servers ----

class Server:
    """A program in the foreground with a temporary folder; the base of those below."""

    name = "server"

    def __init__(self):
        self.folder = Folder(self.name)
        self.process = None
        self.log = self.folder.path / "log"

    def launch(self, command, **options):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, **options)

    def wait_port(self, port, timeout=20):
        def look():
            if self.process.poll() is not None:
                pytest.fail(f"{self.name} ended: {self.log.read_text()[-2000:]}")
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
        wait_until(look, timeout, f"{self.name} on port {port}")

    def pause(self):
        """Freezes it, with all its children: connections are accepted by the kernel, nothing answers."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self):
        os.killpg(self.process.pid, signal.SIGCONT)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.resume()
            end_process(self.process)
        self.folder.remove()


class Postgres(Server):
    """A PostgreSQL cluster of its own. User `postgres` with password PASSWORD (scram) over TCP; trusted over its socket."""

    name = "postgres"
    PASSWORD = "geheim-pw"

    def __init__(self, settings=None, bin=None):
        super().__init__()
        self.client = pathlib.Path(need("postgres")).resolve().parent
        self.bin = bin or self.client
        self.data = self.folder.path / "data"
        self.port = free_port()
        self.settings = dict(settings or {})
        self.prefix = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder.path, user.pw_uid, user.pw_gid)
            self.prefix = [need("setpriv"), "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
        word = self.folder.path / "word"
        word.write_text(self.PASSWORD)
        word.chmod(0o644)
        self._run("initdb", "-D", self.data, "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8",
                  "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={word}")
        self.start()

    def _run(self, program, *args):
        done = subprocess.run([str(word) for word in [*self.prefix, self.bin / program, *args]], cwd=self.folder.path,
                              env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=120)
        assert done.returncode == 0, f"{program}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, **settings):
        """Starts it (again), on the same port; settings as in postgresql.conf are kept for later starts."""
        self.settings.update(settings)
        words = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self.folder.path, "fsync": "off",
                 "shared_buffers": "16MB", **self.settings}
        command = [*self.prefix, self.bin / "postgres", "-D", self.data]
        for key, value in words.items():
            command += ["-c", f"{key}={value}"]
        self.launch(command, env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}, cwd=self.folder.path)
        self.wait_port(self.port)
        wait_until(lambda: self.psql("select 1") == "1", 20, "PostgreSQL to answer")

    def stop(self, mode="immediate"):
        """immediate, fast or smart; returns when the process is gone."""
        how = {"immediate": signal.SIGQUIT, "fast": signal.SIGINT, "smart": signal.SIGTERM}[mode]
        end_process(self.process, how, 30)

    def pause(self):
        """Freezes the postmaster and every backend (they are in sessions of their own)."""
        self._signal_all(signal.SIGSTOP)

    def resume(self):
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, how):
        family = [pid for pid, (parent, _, _) in processes().items() if parent == self.process.pid]
        for pid in [self.process.pid, *family]:
            try:
                os.kill(pid, how)
            except ProcessLookupError:
                pass

    def psql(self, sql, database="postgres", user="postgres", check=True):
        """Runs SQL over the socket as a superuser; returns what it prints, bare."""
        done = subprocess.run([self.client / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", self.folder.path, "-p", str(self.port),
                               "-U", user, "-d", database, "-c", sql], capture_output=True, text=True, timeout=30 * SLOW,
                              stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"})
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def url(self, database="postgres", user="postgres", password=PASSWORD, host="127.0.0.1"):
        word = f":{password}" if password else ""
        return f"postgresql://{user}{word}@{host}:{self.port}/{database}"

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.resume()
            self.stop()
        self.folder.remove()


class Prometheus(Server):
    """A real Prometheus. targets: ["127.0.0.1:8080"], scraped every second as job sky-genesis-api; job: more keys for the scrape
    config (metrics_path, honor_labels, …); rules: the text of a rule file."""

    name = "prometheus"

    def __init__(self, targets, job=None, rules=None, interval="1s"):
        super().__init__()
        self.port = free_port()
        config = {"global": {"scrape_interval": interval, "evaluation_interval": interval},
                  "scrape_configs": [{"job_name": "sky-genesis-api", "static_configs": [{"targets": list(targets)}], **(job or {})}]}
        if rules is not None:
            (self.folder.path / "rules.yml").write_text(rules)
            config["rule_files"] = ["rules.yml"]
        path = self.folder.path / "prometheus.yml"
        path.write_text(yaml.safe_dump(config))
        self.launch([need("prometheus"), f"--config.file={path}", f"--storage.tsdb.path={self.folder.path / 'data'}",
                     f"--web.listen-address=127.0.0.1:{self.port}"])
        self.wait_port(self.port)
        self.url = f"http://127.0.0.1:{self.port}"
        wait_until(lambda: requests.get(self.url + "/-/ready", timeout=5).status_code == 200, 20, "Prometheus to be ready")

    def api(self, path, **params):
        return requests.get(f"{self.url}/api/v1/{path}", params=params, timeout=10).json()

    def query(self, expression):
        """[(labels, value)] of an instant query."""
        answer = self.api("query", query=expression)
        assert answer["status"] == "success", answer
        return [(row["metric"], float(row["value"][1])) for row in answer["data"]["result"]]

    def wait_query(self, expression, accept=bool, timeout=20):
        """Waits until accept(rows) is true; returns the rows."""
        def look():
            rows = self.query(expression)
            return rows if accept(rows) else None
        return wait_until(look, timeout, f"Prometheus to answer {expression}", every=0.2)

    def targets(self):
        return self.api("targets")["data"]["activeTargets"]


class Haproxy(Server):
    """A real HAProxy. config: text of frontends and backends; global and defaults are ours, with {stats} at our socket."""

    name = "haproxy"

    def __init__(self, config, user=None):
        super().__init__()
        self.socket = self.folder.path / "stats"
        text = (f"global\n  stats socket {self.socket} mode 600 level admin\n" + (f"  user {user}\n  group {user}\n" if user else "") +
                "defaults\n  mode http\n  timeout connect 2s\n  timeout client 10s\n  timeout server 10s\n" + config)
        path = self.folder.path / "haproxy.cfg"
        path.write_text(text)
        self.launch([need("haproxy"), "-db", "-f", path])
        wait_until(self._up, 10, "HAProxy's stats socket")

    def _up(self):
        assert self.process.poll() is None, self.log.read_text()
        return self.command("show info")

    def command(self, text):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.socket))
            connection.sendall(text.encode() + b"\n")
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        return answer.decode()

    def stats(self):
        return list(csv.DictReader(self.command("show stat").lstrip("# ").splitlines()))

    def server_state(self, backend, server):
        """"UP", "DOWN", "UP 1/2", …"""
        return next(row["status"] for row in self.stats() if row["pxname"] == backend and row["svname"] == server)


class Nginx(Server):
    """A real nginx. http: the content of `http { … }`; {folder} in it is the temporary folder."""

    name = "nginx"

    def __init__(self, http, port, workers=1, user="root"):
        super().__init__()
        self.port = port
        if user != "root":
            self.folder.path.chmod(0o755)
        user = f"user {user};" if os.geteuid() == 0 else ""
        places = "".join(f"{what}_temp_path {self.folder.path}/{what};" for what in
                         ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        path = self.folder.path / "nginx.conf"
        path.write_text(f"{user} daemon off; worker_processes {workers}; pid {self.folder.path}/pid; error_log stderr;\n"
                        f"events {{ worker_connections 4096; }}\n"
                        f"http {{ access_log off; {places}\n{http.replace('{folder}', str(self.folder.path))}\n}}\n")
        self.launch([need("nginx"), "-e", "stderr", "-p", self.folder.path, "-c", path])
        self.wait_port(port)


def json_of(text):
    """json.loads that refuses a key that is there twice."""
    def pairs(items):
        keys = [key for key, _ in items]
        assert len(keys) == len(set(keys)), f"a key twice in {keys}"
        return dict(items)
    return json.loads(text, object_pairs_hook=pairs)

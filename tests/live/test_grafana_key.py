# SPDX-License-Identifier: Apache-2.0
"""grafana's key: from a real OpenBao, both versions of its store, or a file; replaced while requests run; sealed, missing, at the end of
its lease. And where it is not: in no log, answer, dump, environment, argument, file, memory of the daemon or core."""
import base64
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import resource
import secrets
import signal
import subprocess
import threading
import time

import pytest

import truth
from grafana_broker import BASE, seed
from grafana_server import GrafanaDouble
from harness import ROOT, SLOW, environment, family_values, need, run_skymond, run_tool, wait_until
from openbao import OpenBao, program

PICKED_UP = 5 * SLOW  # from then on, counted from the new key's being in Vault, no request fails
NOT_ACCEPTED = "Grafana does not accept the key (HTTP 500), invalid API key"


@pytest.fixture(scope="module")
def shared_bao():
    """For tests that leave it unsealed."""
    server = OpenBao()
    yield server
    server.close()


@pytest.fixture
def grafana():
    with GrafanaDouble() as double:
        yield double


def kv_put(bao, path, key):
    """As the manual says, with the real program."""
    done = subprocess.run([program(), "kv", "put", f"-address={bao.url}", path, f"key={key}"], capture_output=True, text=True, timeout=20,
                          env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "BAO_TOKEN": bao.token}, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done


def config(bao, **options):
    """options: of the plugin."""
    return {"plugins": {"prometheus": {}, "grafana": {"interval": "300ms", **options}},
            "components": {"vault": {"plugin": "vault", "interval": "300ms", "address": bao.url, "token": bao.token}}}


class Steady:
    """Worker and daemon, which do not change while a key is replaced."""

    def __init__(self, sm):
        sm.wait_component("grafana", status="healthy")
        self.sm = sm
        self.pid = self.worker()

    def worker(self):
        return next(pid for pid, name in self.sm.children().items() if name == "grafana")

    def judge(self, *keys):
        assert self.worker() == self.pid and self.sm.process.poll() is None
        assert family_values(self.sm, "skymon_plugin_restarts_total")['{plugin="grafana"}'] == 0
        for key in keys:
            assert key not in self.sm.log_text()


OWN = (("d1", "One"), ("d2", "Two"))  # dashboards of seed(), one for each thread that writes: two of the same may be a conflict


class Load:
    """Requests without a pause on some threads; rows: (began, ended, code, body)."""

    def __init__(self, sm, threads=6):
        self.sm, self.rows, self.stopping = sm, [], threading.Event()
        self.threads = [threading.Thread(target=self._run, args=[number]) for number in range(threads)]

    def _run(self, number):
        while not self.stopping.is_set():
            began = time.monotonic()
            if number % 3:
                answer = self.sm.get(BASE + "/dashboards", timeout=40 * SLOW)
            else:
                uid, title = OWN[number // 3]
                answer = self.sm.request("PUT", f"{BASE}/dashboards/{uid}", json={"dashboard": {"title": title}}, timeout=40 * SLOW)
            self.rows.append((began, time.monotonic(), answer.status_code, answer.text))
            time.sleep(0.02)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def failed(self, since=0.0):
        """Of those that began then or later."""
        return [row for row in self.rows if row[0] >= since and row[2] != 200]

    def wait(self, count, timeout=20):
        """So many more have ended well."""
        goal = len(self.rows) + count
        wait_until(lambda: len(self.rows) >= goal, timeout, f"{count} more requests")


def used(grafana, key):
    """Requests that came with this key: their codes."""
    return [request.status for request in list(grafana.requests) if request.headers.get("authorization") == f"Bearer {key}"]


# ---- Replacing the key ----

@pytest.mark.sanitized
def test_revoked_then_replaced(skymond, shared_bao, grafana):
    """The seed's path and variables, an empty section. What fails, fails before the new key is there and 5 s after that at the latest."""
    seed(grafana)
    first = grafana.add_key("admin")
    kv_put(shared_bao, "secret/grafana/api_key", first)
    settings = config(shared_bao)
    settings["plugins"]["grafana"] = {}
    sm = skymond(settings, env={"GRAFANA_URL": grafana.url, "GRAFANA_API_KEY_PATH": "grafana/api_key"})
    steady = Steady(sm)
    with Load(sm) as load:
        load.wait(30)
        grafana.revoke(first)
        answer = sm.get(BASE + "/dashboards", timeout=40 * SLOW)
        assert answer.status_code == 502 and NOT_ACCEPTED in answer.json()["detail"], answer.text
        second = grafana.add_key("admin")
        kv_put(shared_bao, "secret/grafana/api_key", second)
        there = time.monotonic()
        wait_until(lambda: [row for row in load.rows if row[0] > there + PICKED_UP], 20, "requests that begin 5 s later")
        load.wait(60)
    assert load.failed(there + PICKED_UP) == []
    assert [row for row in load.failed() if row[2] != 502 or NOT_ACCEPTED not in row[3]] == []
    ended = max((row[1] for row in load.failed()), default=0)
    assert ended < there + PICKED_UP, f"failed {ended - there:.1f} s after the new key was there"
    assert set(used(grafana, second)[:50]) == {200}
    sm.wait_component("grafana", status="healthy")
    steady.judge(first, second)


def test_replaced_then_revoked(skymond, shared_bao, grafana):
    """In the order that is asked of people: then no request fails at all, and each is sent twice at most."""
    seed(grafana)
    keys = [grafana.add_key("admin") for _ in range(3)]
    kv_put(shared_bao, "secret/grafana/order", keys[0])
    sm = skymond(config(shared_bao, url=grafana.url, api_key={"vault": "grafana/order#key"}))
    steady = Steady(sm)
    with Load(sm) as load:
        for old, new in zip(keys, keys[1:]):
            load.wait(30)
            kv_put(shared_bao, "secret/grafana/order", new)
            grafana.revoke(old)
            wait_until(lambda: used(grafana, new).count(200) > 50, 20, "requests with the new key")
    assert load.failed() == []
    for old in keys[:-1]:
        assert 500 in used(grafana, old), "the old key was never refused"
    steady.judge(*keys)


@pytest.mark.sanitized
def test_many_at_once(skymond, shared_bao, grafana):
    """All are refused together: one reads the key again for all of them, and each is repeated once, without waiting for another reading."""
    seed(grafana)
    first, second = grafana.add_key("admin"), grafana.add_key("admin")
    kv_put(shared_bao, "secret/grafana/many", first)
    sm = skymond(config(shared_bao, url=grafana.url, interval="1h", api_key={"vault": "grafana/many#key"}))
    steady = Steady(sm)
    kv_put(shared_bao, "secret/grafana/many", second)
    grafana.revoke(first)
    grafana.requests.clear()
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        def post(number):
            return sm.request("POST", BASE + "/dashboards", json={"dashboard": {"title": f"Many {number}"}}, timeout=40 * SLOW)
        answers = list(pool.map(post, range(64)))
    assert time.monotonic() - began < 4 * SLOW
    assert [answer.status_code for answer in answers] == [200] * 64, [answer.text for answer in answers if answer.status_code != 200][:2]
    assert len({answer.json()["uid"] for answer in answers}) == 64 and len(grafana.dashboards) == 66
    refused = used(grafana, first)
    assert set(refused) == {500} and len(refused) <= 64, "a request was repeated with the key that had been refused"
    assert 500 not in used(grafana, second)
    steady.judge(first, second)


def test_vault_is_sealed_meanwhile(skymond, shared_bao, grafana):
    """The new key cannot be had: Grafana's refusal is the answer, and why the key could not be read is in the log. Unsealed, it is read."""
    seed(grafana)
    first, second = grafana.add_key("admin"), grafana.add_key("admin")
    kv_put(shared_bao, "secret/grafana/sealed", first)
    sm = skymond(config(shared_bao, url=grafana.url, api_key={"vault": "grafana/sealed#key"}))
    steady = Steady(sm)
    kv_put(shared_bao, "secret/grafana/sealed", second)
    shared_bao.seal()
    try:
        sm.wait_component("vault", reason="sealed")
        answer = sm.get(BASE + "/dashboards")
        assert answer.status_code == 200, "while the key is good Vault is not needed"
        grafana.revoke(first)
        mark = sm.log_mark()
        answer = sm.get(BASE + "/dashboards", timeout=40 * SLOW)
        assert answer.status_code == 502 and NOT_ACCEPTED in answer.json()["detail"], answer.text
        line = sm.wait_log("api_key", after=mark)
        assert "secret grafana/sealed#key of component vault" in line and "sealed" in line, line
        sm.wait_component("grafana", status="unhealthy", reason="auth_failed")
    finally:
        shared_bao.unseal()
    there = time.monotonic()
    sm.wait_component("grafana", status="healthy")
    assert time.monotonic() < there + PICKED_UP + 2 * SLOW
    assert sm.get(BASE + "/dashboards").status_code == 200
    steady.judge(first, second)


# ---- Where the key comes from ----

def test_version_1_and_the_end_of_a_lease(skymond, shared_bao, grafana):
    """The path begins with the mount. The lease ends, the key is read again, and no request is refused."""
    seed(grafana)
    first, second = grafana.add_key("admin"), grafana.add_key("admin")
    shared_bao.put("grafana/leased", mount="kv1", key=first, ttl="2s")
    settings = config(shared_bao, url=grafana.url)
    settings["components"]["vault"]["mount"] = "kv1"
    sm = skymond(settings, env={"GRAFANA_API_KEY_PATH": "kv1/grafana/leased"})
    steady = Steady(sm)
    shared_bao.put("grafana/leased", mount="kv1", key=second, ttl="2s")
    with Load(sm, 2) as load:
        def only_new():  # no request with the old key is on its way any more
            return len(used(grafana, second)) > 10 and all(second in request.headers["authorization"] for request in grafana.requests[-10:])
        wait_until(only_new, 8, "the new key, after the lease of the old one")
        grafana.revoke(first)
        load.wait(10)
    assert load.failed() == [] and 500 not in used(grafana, first)
    steady.judge(first, second)


def test_from_a_file(skymond, shared_bao, grafana, tmp_path):
    """Replaced as Kubernetes does it; the file is read again when the key is refused."""
    seed(grafana)
    keys = [grafana.add_key("admin") for _ in range(2)]
    for number, key in enumerate(keys):
        (tmp_path / f"key{number}").write_text(key + "\n")
        (tmp_path / f"key{number}").chmod(0o600)
    link = tmp_path / "key"
    link.symlink_to("key0")
    sm = skymond({"plugins": {"prometheus": {}, "grafana": {"url": grafana.url, "interval": "300ms", "api_key": {"file": str(link)}}}})
    steady = Steady(sm)
    (tmp_path / "new").symlink_to("key1")
    (tmp_path / "new").rename(link)
    grafana.revoke(keys[0])
    answer = sm.get(BASE + "/dashboards", timeout=40 * SLOW)
    assert answer.status_code == 200 and used(grafana, keys[1]), answer.text
    sm.wait_component("grafana", status="healthy")
    steady.judge(*keys)


MISSING = {
    "no such secret": ({}, "no such", "secret grafana/none#key of component vault"),
    "no such field": ({"api_key": {"vault": "ready#key"}}, "key", "secret ready#key of component vault"),
    "Vault not configured": ({}, "not configured", "component vault"),
    "empty": ({"api_key": ""}, "no key for Grafana is configured", "api_key"),
}


def test_a_key_that_no_config_can_find(grafana):
    """--check-config refuses a component that is not there, and a file that is missing."""
    for options, words in (({}, "`api_key` asks `vault` for a secret"), ({"api_key": {"file": "/nonexistent/key"}}, "/nonexistent/key")):
        done = run_skymond({"plugins": {"grafana": {"url": grafana.url, **options}}}, "--check-config", timeout=20)
        assert done.returncode == 2 and "api_key" in done.stderr and words in done.stderr, done
    assert grafana.requests == []


def test_without_a_key_nothing_is_asked(skymond, shared_bao, grafana):
    """No request leaves, not even one without a key; each is answered at once with the sentence that says what is missing."""
    daemons = {}
    for case, (options, _, _) in MISSING.items():
        settings = config(shared_bao, url=grafana.url, **{"api_key": {"vault": "grafana/none#key"}, **options})
        if case == "Vault not configured":
            settings["components"]["vault"]["address"] = ""
        daemons[case] = skymond(settings)
    for case, sm in daemons.items():
        _, *words = MISSING[case]
        truth.cell("grafana", "no key there", sm, "grafana", "unknown", "auth_failed", within=8, words=words)
        for method, path, body in (("GET", "/dashboards", None), ("DELETE", "/dashboards/d1", None), ("POST", "/apply", {}),
                                   ("POST", "/datasources", {"name": "a", "type": "prometheus"})):
            began = time.monotonic()
            answer = sm.request(method, BASE + path, json=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == 503 and answer.headers["Content-Type"] == "application/problem+json", (case, answer.text)
            assert all(word in answer.json()["detail"] for word in words), (case, answer.text)
            assert time.monotonic() - began < 2 * SLOW
        answer = sm.get(BASE + "/health")
        assert answer.status_code == 503 and all(word in answer.json()["message"] for word in words), (case, answer.text)
    assert grafana.requests == []
    key = grafana.add_key("admin")
    kv_put(shared_bao, "secret/grafana/none", key)
    daemons["no such secret"].wait_component("grafana", timeout=40, status="healthy")
    assert daemons["no such secret"].get(BASE + "/dashboards").status_code == 200
    shared_bao.do("DELETE", "secret/metadata/grafana/none")


# ---- Where it is not ----

def shapes(key):
    """The key, its halves, and each as base64 may hold it, wherever it begins."""
    found, text = [], key.removeprefix("glsa_")
    for part in (key, text[:16], text[16:]):
        found.append(part.encode())
        for shift in range(3):
            coded = base64.b64encode(b"x" * shift + part.encode())
            found += [coded[4 if shift else 0:-4]]
    return found


class Search:
    """Looks for keys in all that is shown to it, and says where they were."""

    def __init__(self, keys):
        self.shapes = [shape for key in keys for shape in shapes(key)]
        self.places, self.found = 0, []

    def look(self, where, data):
        data = data.encode(errors="replace") if isinstance(data, str) else data
        self.places += 1
        if any(shape in data for shape in self.shapes):
            self.found.append(where)

    def answer(self, answer):
        self.look(f"headers of {answer.request.method} {answer.request.path_url}", repr(answer.headers))
        self.look(f"body of {answer.request.method} {answer.request.path_url}", answer.content)
        return answer

    def process(self, pid):
        for name in ("environ", "cmdline", "comm", "status"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                self.look(f"{name} of {pid}", pathlib.Path(f"/proc/{pid}/{name}").read_bytes())

    def folder(self, path, *but):
        for file in sorted(pathlib.Path(path).rglob("*")):
            if file.is_file() and file not in but:
                self.look(str(file), file.read_bytes())


@contextlib.contextmanager
def stopped(pid):
    """None of its threads runs: its heap would shrink while it is read."""
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: all(re.search(r"^State:\s+T", (task / "status").read_text(), re.M)
                               for task in pathlib.Path(f"/proc/{pid}/task").iterdir()), 10, "the process to be stopped")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def memory(pid):
    """(where, bytes) of all that a process has in memory; of one that is stopped."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *_ = line.split(maxsplit=5)
            begin, end = (int(number, 16) for number in span.split("-"))
            if not rights.startswith("r") or line.endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            mem.seek(begin)
            data = b""
            while len(data) < end - begin and (more := mem.read(end - begin - len(data))):
                data += more
            yield line, data


WORD = 10  # hex digits: fewer may be there by chance


def in_memory(pid, words):
    """Where in a process' memory hex digits are that have one of the words in them: lines of its map with what was found."""
    found = []
    with stopped(pid):
        for line, data in memory(pid):
            for digits in re.findall(b"[0-9a-f]{%d,}" % WORD, data):
                if any(digits[at:at + WORD] in words for at in range(len(digits) - WORD + 1)):
                    found.append((line, digits[:200]))
    return found


def more_cores():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


USED = [("GET", "/health", None), ("GET", "/check", None), ("GET", "/diff", None), ("POST", "/apply", {}), ("GET", "/dashboards", None),
        ("GET", "/dashboards/d1", None), ("POST", "/dashboards", {"dashboard": {"title": "New"}}),
        ("POST", "/dashboards", {"dashboard": {"title": "New"}}), ("PUT", "/dashboards/d1", {"dashboard": {"title": "One"}}),
        ("DELETE", "/dashboards/d2", None), ("POST", "/datasources", {"name": "New", "type": "prometheus"}),
        ("POST", "/datasources", {"name": 5}), ("POST", "/alerts", {"title": "nonsense"}), ("GET", "/dashboards/none", None)]


@contextlib.contextmanager
def striking(grafana, kind, **options):
    fault = grafana.fail("*", "^/api/search", kind, **options)
    yield
    assert fault.hits
    fault.end()


def use_everything(search, sm, grafana, key):
    """Successes and refusals on all routes, and a Grafana that sends the key back, also cut in two."""
    for method, path, body in USED:
        search.answer(sm.request(method, BASE + path, json=body, timeout=40 * SLOW))
    for headers in ({"Host": "evil.example.com"}, {"Origin": "http://evil.example.com"}, {"X-Forwarded-For": "192.0.2.1"}):
        assert search.answer(sm.request("POST", BASE + "/apply", json={}, headers=headers)).status_code == 403
    for code in (500, 403, 409, 412, 429, 404):
        grafana.fail("*", "^/api/(search|dashboards|datasources|folders|v1)", "status", code=code,
                     body={"message": f"not with Bearer {key}", "status": key})
        for method, path, body in USED[1:]:
            search.answer(sm.request(method, BASE + path, json=body, timeout=40 * SLOW))
        grafana.heal()
    for before in range(0, 320, 16):
        with striking(grafana, "status", code=500, body={"message": "x" * before + key}):
            search.answer(sm.get(BASE + "/dashboards"))
    for location in (f"http://192.0.2.1/{key}?key={key}", "/" + "x" * 95 + key, f"http://{key}@192.0.2.1/", f"http://{key}/"):
        with striking(grafana, "redirect", location=location):
            search.answer(sm.get(BASE + "/dashboards"))
    grafana.fail("*", "", "status", code=200, body={"database": key, "version": key, "name": key, "message": key})
    wait_until(lambda: sm.component("grafana")["status"] == "unhealthy", 10, "the check to see it")
    for path in ("/api/v1/grafana/health", "/api/v1/grafana/check", "/api/v1/health/grafana", "/api/v1/status", "/metrics", "/"):
        search.answer(sm.get(path, timeout=40 * SLOW))
    grafana.heal()
    sm.wait_component("grafana", status="healthy")


def tool_runs(search, sm, grafana):
    """skymon grafana, looked at while it waits for its answer."""
    for word in ("check", "diff", "apply"):
        slow = grafana.fail("GET", "^/api/(health|folders)", "slow", seconds=0.5, times=1)
        with subprocess.Popen([ROOT / "bin" / "skymon", "grafana", word, "--url", sm.url], env=environment(), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as tool:
            wait_until(lambda: slow.hits, 10, "skymon grafana to be asking")
            search.process(tool.pid)
            search.look(f"what skymon grafana {word} prints", tool.communicate(timeout=60)[0])
    done = run_tool("grafana", "export", "d1", "--url", sm.url)
    assert done.returncode == 0
    search.look("skymon grafana export", done.stdout + done.stderr)


def leaves_no_core(sm, pid, how):
    """Ends a process so that it would leave a core; it has no right to."""
    assert re.search(r"Max core file size\s+0\s+0\s", pathlib.Path(f"/proc/{pid}/limits").read_text())
    os.kill(pid, how)


def test_the_key_is_nowhere(skymond, shared_bao, grafana, tmp_path):
    """One run with everything: all routes, refusals, a key that is replaced, crashes; then all that a stranger could read is searched."""
    seed(grafana)
    keys = [grafana.add_key("admin") for _ in range(2)]
    kv_put(shared_bao, "secret/grafana/hidden", keys[0])
    search = Search(keys)
    settings = config(shared_bao, url=grafana.url, api_key={"vault": "grafana/hidden#key"})
    settings["log"] = {"level": "debug"}
    sm = skymond(settings, env={"TMPDIR": str(tmp_path)}, preexec_fn=more_cores)
    steady = Steady(sm)
    use_everything(search, sm, grafana, keys[0])
    tool_runs(search, sm, grafana)
    # A crash: the worker dies by its own signals, and leaves no core.
    leaves_no_core(sm, steady.pid, signal.SIGSEGV)
    sm.wait_log("SIGSEGV")
    sm.wait_component("grafana", timeout=20, status="healthy")
    # The other key.
    kv_put(shared_bao, "secret/grafana/hidden", keys[1])
    grafana.revoke(keys[0])
    assert search.answer(sm.get(BASE + "/dashboards", timeout=40 * SLOW)).status_code == 200
    use_everything(search, sm, grafana, keys[1])
    for pid in [sm.pid, *sm.children()]:
        search.process(pid)
    for words in (["--print-config"], ["--check-config"]):
        done = run_skymond(sm.config.read_text().replace("vault: grafana/hidden#key", "literal-of-nobody"), *words)
        search.look(f"skymond {words}", done.stdout + done.stderr)
    done = run_skymond(json.dumps({"plugins": {"grafana": {"url": grafana.url, "api_key": keys[1]}}}), "--print-config")
    assert done.returncode == 0 and "api_key" in done.stdout, done
    search.look("--print-config of a literal", done.stdout + done.stderr)
    leaves_no_core(sm, next(pid for pid, name in sm.children().items() if name == "vault"), signal.SIGABRT)
    sm.wait_log("SIGABRT")
    leaves_no_core(sm, sm.pid, signal.SIGABRT)
    sm.process.wait(10 * SLOW)
    folder = list(sm.folder.path.rglob("*"))
    assert not [file for file in folder + list(tmp_path.rglob("*")) if "core" in file.name], folder
    search.folder(sm.folder.path)
    search.folder(tmp_path)
    sm.stop(expect=None)
    search.look("the log", sm.log_text())
    assert search.found == [] and search.places > 300, search.found
    assert "area=audit" in sm.log_text()


@pytest.mark.parametrize("source", ["vault", "file"])
def test_the_daemon_forgets_the_key(skymond, shared_bao, grafana, tmp_path, source):
    """It hands the bytes to the worker and has them no more: not after the start, not after another one, not after requests. The keys
    are long: what is left of a message must not be overwritten by luck. A few bytes are too many: a vector register
    that was saved on the stack has 16 to 64 of them."""
    if os.geteuid() != 0:
        pytest.skip("only root may look into a process that is not dumpable")
    seed(grafana)
    keys = ["glsa_" + secrets.token_hex(1000) for _ in range(2)]
    with grafana.org.lock:
        grafana.org.keys.update(dict.fromkeys(keys, "admin"))
    file = tmp_path / "key"

    def put(key):
        if source == "vault":
            return shared_bao.put("grafana/forgotten", key=key)
        file.write_text(key + "\n")
        return file.chmod(0o600)
    put(keys[0])
    place = {"vault": {"vault": "grafana/forgotten#key"}, "file": {"file": str(file)}}[source]
    sm = skymond(config(shared_bao, url=grafana.url, api_key=place))
    steady = Steady(sm)
    words = {key[at:at + WORD].encode() for key in keys for at in range(5, len(key) - WORD + 1)}
    assert in_memory(steady.pid, words), "this test does not see what a process has in memory"
    assert in_memory(sm.pid, words) == [], "after the start"
    put(keys[1])
    grafana.revoke(keys[0])
    assert sm.get(BASE + "/dashboards", timeout=40 * SLOW).status_code == 200
    assert in_memory(sm.pid, words) == [], "after the key was read again"
    for method, path, body in USED:
        sm.request(method, BASE + path, json=body, timeout=40 * SLOW)
    grafana.fail("GET", "^/api/search", "status", code=500, body={"message": f"no {keys[1]}"})
    sm.get(BASE + "/dashboards")
    assert in_memory(sm.pid, words) == [], "after requests"
    steady.judge(*keys)


def become_nobody():
    """In the child, before it is skymond: its files are given to it."""
    more_cores()
    if os.geteuid() == 0:
        for path in (".", "skymond.yaml", "state"):
            os.chown(path, 65534, 65534)
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


def test_no_other_process_of_the_user_may_look(skymond, shared_bao, grafana):
    """Neither daemon nor workers are dumpable: the kernel gives what is theirs in /proc to root."""
    kv_put(shared_bao, "secret/grafana/closed", grafana.add_key("admin"))
    sm = skymond(config(shared_bao, url=grafana.url, api_key={"vault": "grafana/closed#key"}), preexec_fn=become_nobody)
    steady = Steady(sm)
    for pid in (sm.pid, *sm.children()):
        process = pathlib.Path(f"/proc/{pid}")
        assert int(re.search(r"Uid:\s+(\d+)", (process / "status").read_text()).group(1)) != 0
        assert {name: (process / name).stat().st_uid for name in ("mem", "environ", "maps")} == dict.fromkeys(("mem", "environ", "maps"), 0)
        assert re.search(r"Max core file size\s+0\s+0\s", (process / "limits").read_text())
    steady.judge()

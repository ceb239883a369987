# SPDX-License-Identifier: Apache-2.0
"""skymon run: components of a configuration, thresholds, and the forms of its output."""
import json
import re
import socket
import subprocess

import pytest
import yaml

from harness import ROOT, TEST_PLUGINS, need, run_tool


def run(*words, code=0, **more):
    done = run_tool("run", *words, **more)
    assert done.returncode == code, done
    return done.stdout


@pytest.fixture
def numbers(tmp_path):
    def write(text):
        path = tmp_path / "numbers"
        path.write_text(text)
        return f"path={path}"
    return write


@pytest.fixture
def config(tmp_path):
    def write(tree):
        path = tmp_path / "skymon.yaml"
        path.write_text(yaml.safe_dump({"plugin_path": [str(TEST_PLUGINS)], **tree}, sort_keys=False))
        return path
    return write


OWN = ("--plugin-path", TEST_PLUGINS)


# ---- Thresholds and the common options ----

@pytest.mark.parametrize("words, code, reason", [
    (["warn.used=90%"], 0, "ok"),
    (["warn.used=50%"], 1, "threshold_warn"),
    (["warn.used=50%", "crit.used=70%"], 2, "threshold_crit"),
    (["crit={value: \"<100\"}"], 2, "threshold_crit"),
    (["crit.lag=100ms", "warn.value=5"], 2, "threshold_crit"),
    (["warn.response_time=0s"], 1, "threshold_warn"),
    (["interval=1m", "rise=2", "labels.team=blue"], 0, "ok"),
])
def test_thresholds(numbers, words, code, reason):
    found = json.loads(run("t_numbers", numbers("used 0.8\nvalue 12\nlag 0.25\n"), *words, *OWN, code=code))
    assert found["reason"] == reason


@pytest.mark.parametrize("words, says", [
    (["warn.usde=1"], "did you mean `used`"), (["warn.used=many"], "limit of `used`"), (["intervall=3s"], "did you mean `interval`"),
    (["interval=never"], "interval"), (["plugin=t_ok"], "plugin")])
def test_mistakes_are_those_of_a_config(numbers, words, says):
    done = run_tool("run", "t_numbers", numbers("used 0.8\n"), *words, *OWN)
    assert done.returncode == 3 and not done.stdout and says in done.stderr, done


# ---- A component of a configuration ----

def test_a_component_of_a_file(config, tmp_path):
    (tmp_path / "status").write_text("healthy all is well")
    path = config({"service": {"name": "shop"}, "defaults": {"t_file": {"path": str(tmp_path / "status")}}, "components": {
        "first": {"plugin": "t_file"}, "hanging": {"plugin": "t_hang", "timeout": "300ms"},
        "many": {"plugin": "t_series", "count": 3, "warn": {"response_time": "0s"}}}})
    assert json.loads(run("-c", path, "first"))["message"] == "all is well"
    assert json.loads(run("--config", path, "many", code=1))["reason"] == "threshold_warn"
    assert "no result within 300 ms while hanging" in run("-c", path, "hanging", code=2)
    assert "no result within 200 ms" in run("-c", path, "hanging", "--timeout", "200ms", code=2)


def test_its_secrets(config, tmp_path):
    """From a file, and from a component that keeps secrets, which runs for that; of a component that is not asked, nothing is run."""
    vault = tmp_path / "vault"
    vault.mkdir()
    (vault / "key").write_text("hunter2")
    path = config({"components": {
        "vault": {"plugin": "t_store", "folder": str(vault)},
        "app": {"plugin": "t_all_options", "secret": {"vault": "key#0"}},
        "other": {"plugin": "t_all_options", "secret": {"vault": "missing#0"}},
        "lost": {"plugin": "t_all_options", "secret": {"file": str(tmp_path / "nowhere")}}}})
    done = run_tool("run", "-c", path, "app")
    assert done.returncode == 0 and json.loads(done.stdout)["details"]["secret_size"] == 7, done
    assert "hunter2" not in done.stdout + done.stderr
    asked = (vault / "key.asked").read_text()
    found = json.loads(run("-c", path, "other", code=3))
    assert found["reason"] == "auth_failed" and "no such secret" in found["message"]
    done = run_tool("run", "-c", path, "lost")
    assert done.returncode == 3 and "nowhere" in done.stderr + done.stdout
    assert (vault / "key.asked").read_text() == asked
    run("-c", path, "vault")


def test_a_store_that_is_not_configured(config):
    path = config({"components": {"vault": {"plugin": "t_store", "folder": "${NO_SUCH:-}"},
                                  "app": {"plugin": "t_all_options", "secret": {"vault": "key#0"}}}})
    found = json.loads(run("-c", path, "app", code=3))
    assert "vault" in found["message"] and "not configured" in found["message"]


@pytest.mark.parametrize("words, says", [
    (["-c", "CONFIG"], "run what?"), (["-c", "CONFIG", "secnd"], "has no component secnd; it has: first second"),
    (["-c", "CONFIG", "first", "text=x"], "are in its file"), (["-c", "/nowhere", "first"], "/nowhere"),
    (["-c", "CONFIG", "broken"], "has no component"), (["-c", "CONFIG", "second"], "did you mean `ms`"),
    (["-c", "CONFIG", "prometheus"], "has no check")])
def test_mistakes_with_a_file(config, words, says):
    path = config({"plugins": {"prometheus": {}}, "components": {"first": {"plugin": "t_ok"}, "second": {"plugin": "t_slow", "mss": 3}}})
    done = run_tool("run", *(str(path) if word == "CONFIG" else word for word in words))
    assert done.returncode == 3 and not done.stdout and says in done.stderr, done


def test_a_mistake_has_its_place(config):
    path = config({"components": {"one": {"plugin": "t_slow", "ms": "many"}}})
    assert re.search(r"skymon\.yaml:\d+:\d+: ", run_tool("run", "-c", path, "one").stderr)


def test_the_state_of_a_running_skymond_is_left_alone(config, tmp_path):
    """Without --state-dir no folder is made in it, because it would belong to the user that runs the tool."""
    state = tmp_path / "state"
    state.mkdir()
    path = config({"state_dir": str(state), "components": {"one": {"plugin": "t_ok"}}})
    run("-c", path, "one")
    assert not list(state.iterdir())
    run("-c", path, "one", "--state-dir", state)
    assert [entry.name for entry in state.iterdir()] == ["t_ok"]


# ---- Output ----

LIMITS = ["warn.used=50%", "crit.used=90%", "warn.lag=<100ms", "crit.size=1KiB..2KiB"]
VALUES = "used 0.805\nlag 0.25\nsize 1536\nvalue 12\n"


def test_output_text(numbers):
    text = run("t_numbers", numbers(VALUES), *LIMITS, *OWN, "--output", "text", code=1)
    first, *rest = text.splitlines()
    assert first.startswith("degraded (threshold_warn): ") and "used" in first
    assert "  used: 80.5 %, warn 50%, crit 90%" in rest and "  lag: 250 ms, warn <100ms" in rest and "  value: 12" in rest
    assert re.search(r"^  response_time: \d+\.\d+ ms$", text, re.M)
    for value, shown in (("29.99998842", "30"), ("0.123456", "0.1235"), ("1234567.8", "1234568"), ("-0.5", "-0.5"), ("123.456", "123.5")):
        assert f"\n  value: {shown}\n" in run("t_numbers", numbers(f"value {value}\n"), *OWN, "--output", "text")
    assert "  text: a b" in run("t_all_options", "text=a b", *OWN, "--output", "text")


def test_output_nagios(numbers):
    line = run("t_numbers", numbers(VALUES), *LIMITS, *OWN, "--output", "nagios", code=1)
    assert line.count("\n") == 1 and line.startswith("t_numbers WARNING - ")
    message, performance = line.split(" | ")
    found = {word.split("=")[0]: word.split("=")[1] for word in performance.split()}
    assert re.fullmatch(r"[0-9.e-]+s;;", found.pop("response_time"))
    assert found == {"used": "80.5%;50;90", "lag": "0.25s;0.1:;", "size": "1536B;;1024:2048", "value": "12;;"}


@pytest.mark.parametrize("word, code, status", [("healthy", 0, "OK"), ("degraded", 1, "WARNING"), ("unhealthy", 2, "CRITICAL"), ("unknown", 3, "UNKNOWN")])
def test_the_words_of_nagios(tmp_path, word, code, status):
    (tmp_path / "status").write_text(f"{word} a|b=3;4")
    line = run("t_file", f"path={tmp_path / 'status'}", *OWN, "--output", "nagios", code=code)
    assert line.startswith(f"t_file {status} - a/b=3;4 | response_time="), line
    assert run("t_hang", "--timeout", "200ms", *OWN, "--output", "nagios", code=2).startswith("t_hang CRITICAL - no result within 200 ms")
    assert run("t_crash_segv", *OWN, "--output", "nagios", code=3).startswith("t_crash_segv UNKNOWN - ")


def test_output_metrics(config):
    path = config({"components": {"rows": {"plugin": "t_series", "count": 2, "labels": {"team": "blue"}}}})
    text = run("-c", path, "rows", "--output", "metrics")
    assert re.search(r'^t_series_value\{component="rows",team="blue",node="node-0",shard="0",zone="us"\} 0\.125$', text, re.M), text
    assert "# TYPE t_series_value gauge\n" in text
    done = subprocess.run([need("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def test_series_above_the_limit_are_named():
    done = run_tool("run", "t_series", "count=10001", *OWN)
    assert done.returncode == 0 and "1 series above limits.series are dropped, of metric t_series_value first" in done.stderr, done.stderr


def test_every_mistake_of_validate_is_shown():
    text = run("t_validate", "url=http://x", "name=both", "key=kkkkkkkk", *OWN, code=3)
    assert "option `url` must begin with t://; option `name` is given beside key" in text, text


def test_output_is_one_of_four():
    done = run_tool("run", "t_ok", *OWN, "--output", "xml")
    assert done.returncode == 3 and "json, text, metrics and nagios" in done.stderr
    assert json.loads(run("t_ok", *OWN, "--output", "json"))["status"] == "healthy"
    assert (ROOT / "bin" / "skymon").is_file()


# ---- Observed runs ----

@pytest.mark.parametrize("words, named", [
    (["bytes=100"], "bytes of memory"), (["files=1"], "descriptors"), (["threads=1"], "threads"), (["bytes=5000", "files=1", "threads=1"], "threads")])
def test_repeat_names_what_is_leaked(words, named):
    done = run_tool("run", "t_loses", *words, "--repeat", "30", *OWN)
    assert done.returncode == 1 and json.loads(done.stdout)["status"] == "healthy", done
    line = done.stderr.strip()
    assert line.startswith("skymon: leaked in 29 runs after the first: "), line
    found = {unit: int(number) for number, unit in re.findall(r"(\d+) (bytes of memory|descriptors|threads)", line)}
    units = {"bytes": "bytes of memory", "files": "descriptors", "threads": "threads"}
    lost = {units[word.split("=")[0]]: int(word.split("=")[1]) for word in words}
    assert named in found and set(found) >= set(lost)
    for unit, each in lost.items():
        slack = 40000 if unit == "bytes of memory" else 2  # a second thread of the runner, once
        assert 29 * each <= found[unit] <= 29 * (each + 32) + slack, line


@pytest.mark.parametrize("plugin", ["t_ok", "t_loses", "t_all_options", "t_series"])
def test_repeat_finds_no_leak_where_there_is_none(plugin):
    done = run_tool("run", plugin, "--repeat", "200", *OWN)
    assert done.returncode == 0 and done.stdout.count('"status"') == 1, done
    assert done.stderr == no_leak(200)


def no_leak(runs):
    return f"skymon: no memory, descriptor or thread was leaked in {runs - 1} runs after the first\n"


@pytest.mark.parametrize("does", ["now", "later", "pipe", "hang_up", "in_cancel"])
def test_repeat_of_a_plugin_on_the_loop(does):
    """Its result is sent at the end of a turn of the loop, and what is held after the run behind it: each run is counted once, in its turn."""
    done = run_tool("run", "t_loop", f"does={does}", "after=1ms", "--timeout", "300ms", "--repeat", "12", *OWN)
    found = json.loads(done.stdout)
    assert done.returncode == 0 and (found["status"], found["numbers"]["runs"]) == ("healthy", 12), done
    assert no_leak(12) in done.stderr and "asked for" not in done.stderr, done


@pytest.mark.parametrize("runs", [10, 30, 100])
def test_repeat_of_host(runs):
    """It frees blocks of many sizes in each run, which malloc would keep for its thread."""
    done = run_tool("run", "host", "--repeat", runs)
    assert done.stderr == no_leak(runs), done


def test_repeat_of_tcp():
    """Each run connects once, and the descriptor of each is closed again."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        done = run_tool("run", "tcp", f"address=127.0.0.1:{server.getsockname()[1]}", "--repeat", "30")
        assert done.returncode == 0 and done.stdout.count('"status": "healthy"') == 1 and done.stderr == no_leak(30), done
        server.setblocking(False)
        for _ in range(30):
            server.accept()[0].close()
        with pytest.raises(BlockingIOError):
            server.accept()


def test_repeat_and_a_plugin_that_dies():
    assert "crashed" in run("t_crash_segv", "--repeat", "10", *OWN, code=3)
    for words in (["--repeat", "9"], ["--repeat", "x"], ["--repeat", "20", "--count", "2"], ["--count", "2", "--repeat", "20"]):
        assert run_tool("run", "t_ok", *words, *OWN).returncode == 3


def test_trace_shows_each_call_and_its_time(numbers, tmp_path):
    done = run_tool("run", "t_numbers", numbers("used 0.8\nlag 0.25\n"), "--trace", *OWN)
    lines = [re.fullmatch(r" *(\d+\.\d{3}) ms  (.*)", line).groups() for line in done.stderr.splitlines()]
    assert [text for _, text in lines] == [
        "check, with 4800 ms", "number used: 0.8", "number lag: 0.25", "message: 2 numbers", "returned healthy"]
    times = [float(time) for time, _ in lines]
    assert times == sorted(times) and times[-1] > 0
    done = run_tool("run", "t_file", f"path={tmp_path / 'none'}", "--trace", *OWN)
    assert "step: " in done.stderr or "message: " in done.stderr


def test_trace_masks_secrets(tmp_path):
    key = tmp_path / "key"
    key.write_text("hunter2-of-the-trace")
    key.chmod(0o600)
    done = run_tool("run", "t_all_options", f"secret={{file: {key}}}", "text=x hunter2-of-the-trace", "--trace", *OWN)
    assert "detail text: x " in done.stderr and "hunter2" not in done.stderr, done.stderr


def test_trace_times_a_request():
    """By skymon_trace, which the helper library uses: the phases of an HTTP request, what a connection sends and receives."""
    done = run_tool("test-server", "http", "--tls", "good", "--", ROOT / "bin/skymon", "run", "vault", "--trace", "address={url}", "tls.ca_file={ca}")
    found = re.search(r"http 127\.0\.0\.1:\d+: connected after (\S+) ms, TLS (\S+) ms, request (\S+) ms, answer began (\S+) ms, 200 after (\S+) ms$", done.stderr, re.M)
    assert found, done.stderr
    times = [float(time) for time in found.groups()]
    assert times == sorted(times) and times[0] > 0
    done = run_tool("test-server", "tcp", "--", ROOT / "bin/skymon", "run", "cache", "--trace", "url=redis://{address}")
    for text in ("resolved 127.0.0.1 in ", "step: connecting", "sent 14 bytes", "received "):
        assert text in done.stderr, done.stderr


def test_an_api_from_the_config_alone(config, tmp_path):
    """TLS, a token, a value of its JSON and a limit on its certificate: no line of code."""
    token = tmp_path / "token"
    token.write_text("word-of-the-api\n")
    token.chmod(0o600)
    path = config({"components": {"orders": {
        "plugin": "http", "url": "${API_URL}", "token": {"file": str(token)}, "json": [{"pointer": "/queue/state", "equals": "open"}],
        "tls": {"ca_file": "${API_CA}"}, "warn": {"certificate_days": "<14"}}}})

    def ask(body, *words, code, tls="good"):
        done = run_tool("test-server", "http", "--tls", tls, *words, "--body", body, "--", "sh", "-c",
                        f"API_URL={{url}} API_CA={{ca}} {ROOT / 'bin/skymon'} run -c {path} orders")
        assert done.returncode == code, done
        return json.loads(done.stdout)
    good = '{"queue": {"state": "open"}}'
    assert ask(good, "--token", "word-of-the-api", code=0)["details"]["tls"] == "verified"
    assert "/queue/state is not open" in ask(good.replace("open", "shut"), "--token", "word-of-the-api", code=2)["message"]
    assert ask(good, "--token", "another-word", code=2)["reason"] == "auth_failed"
    assert ask(good, code=2, tls="expired")["reason"] == "tls_expired"

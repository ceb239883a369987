# SPDX-License-Identifier: Apache-2.0
"""skymon, the tool: one check, a running daemon, what plugins declare; exit codes as Nagios has them."""
import json
import subprocess

import pytest

from harness import TEST_PLUGINS, run_tool, wait_until


def run_check(*words, code):
    done = run_tool("run", *words, "--plugin-path", TEST_PLUGINS)
    assert done.returncode == code, done
    return json.loads(done.stdout) if done.stdout else None, done.stderr


def test_one_check_is_printed_as_json():
    found, _ = run_check("t_series", "count=3", code=0)
    assert (found["status"], found["reason"], found["message"]) == ("healthy", "ok", "3 series")
    family = found["metrics"]["t_series_value"]
    assert family["type"] == "gauge" and len(family["series"]) == 3
    assert family["series"][0] == {"labels": {"node": "node-0", "shard": "0", "zone": "us"}, "value": 0.125}
    assert isinstance(found["response_time_ms"], int)


def test_a_plugin_is_given_by_its_path():
    done = run_tool("run", f"{TEST_PLUGINS}/t_ok.so", "--count", "2")
    assert done.returncode == 0 and done.stdout.count("t_ok is fine") == 2, done


def test_options_are_yaml_and_nest(tmp_path):
    key = tmp_path / "key"
    key.write_text("hunter2\n")
    key.chmod(0o600)
    found, errors = run_check("t_all_options", "text=a: b #c", "tls.ca_file=/ca", "tls.insecure=true",
                              "texts=[x, 'y z']", "list=[{name: n, every: 5s}]", f"secret={{file: {key}}}", code=0)
    details = found["details"]
    assert details["text"] == "a: b #c" and details["tls_ca_file"] == "/ca" and details["tls_insecure"] is True
    assert (details["texts_0"], details["texts_1"], details["list_n"], details["secret_size"]) == ("x", "y z", 5000, 7)
    assert "hunter2" not in json.dumps(found) + errors


@pytest.mark.parametrize("words, code, status, reason", [
    (["t_file"], 3, "unknown", "not_configured"),
    (["t_start_fails"], 3, "unknown", "resource"),
    (["t_hang", "--timeout", "300ms"], 2, "unhealthy", "timeout"),
    (["t_slow", "ms=350", "--timeout", "300ms"], 2, "unhealthy", "timeout"),
])
def test_statuses(words, code, status, reason):
    found, _ = run_check(*words, code=code)
    assert (found["status"], found["reason"]) == (status, reason)


@pytest.mark.parametrize("words, status, reason, says", [
    (["t_crash_segv"], "unknown", "crashed", "crashed with SIGSEGV while reading address 0"),
    (["t_crash_stack"], "unknown", "crashed", "crashed with SIGSEGV"),
    (["t_exits"], "unknown", "crashed", "exit(3) while leaving"),
    (["t_exits_raw"], "unknown", "crashed", "exit code 3"),
    (["t_hang", "--timeout", "300ms"], "unhealthy", "timeout", "no result within 300 ms while hanging"),
    (["t_spin", "--timeout", "300ms"], "unhealthy", "timeout", "no result within 300 ms"),
    (["t_garbage_wire"], "unknown", "crashed", "sent an invalid message"),
    (["t_leak", "in_one_run=true", "--timeout", "30s"], "unknown", "killed", "memory limit of 256 MiB"),
])
def test_a_bad_plugin_costs_its_worker(words, status, reason, says):
    """It runs in a process of its own, so the tool stays to print what happened."""
    found, _ = run_check(*words, code=2 if status == "unhealthy" else 3)
    assert (found["status"], found["reason"]) == (status, reason) and says in found["message"]


def test_a_plugin_is_in_its_sandbox(tmp_path):
    """As in skymond: what it may write is the folder of its state."""
    state, open_to_all = tmp_path / "state", tmp_path / "open"
    for folder in (state, open_to_all):
        folder.mkdir()
    open_to_all.chmod(0o777)
    with subprocess.Popen(["sleep", "60"]) as victim:  # process 0 would be the plugin itself, which would take its own descriptors away
        found, _ = run_check("t_hostile", f"scratch=@{open_to_all}", f"daemon={victim.pid}", f"sibling={victim.pid}",
                             "--state-dir", state, code=0)
        victim.kill()
    assert found["details"]["write_tmp"] == "no: Permission denied" and not any(open_to_all.iterdir())
    assert [entry.name for entry in state.iterdir()] == ["t_hostile"]


@pytest.mark.parametrize("word, code", [("healthy", 0), ("degraded", 1), ("unhealthy", 2), ("unknown", 3)])
def test_exit_codes(tmp_path, word, code):
    (tmp_path / "told").write_text(f"{word} so it is told")
    found, _ = run_check("t_file", f"path={tmp_path / 'told'}", code=code)
    assert found["message"] == "so it is told"


@pytest.mark.parametrize("words, expected", [
    (["t_ok", "nope=1"], "nope"),
    (["t_slow", "ms=many"], "ms"),
    (["t_slow", "ms"], "OPTION=VALUE"),
    (["t_nowhere"], "no such plugin: t_nowhere"),
    (["/nowhere/t_ok.so"], "no t_ok.so in /nowhere"),
    (["t_constructor_crash"], "SIGSEGV while opening the plugin"),
    (["t_duplicate_route"], "no check"),
    (["t_other_major"], "ABI 7.0"),
    (["t_all_options", "secret={vault: path#field}"], "vault"),
])
def test_what_cannot_be_run_is_said(words, expected):
    found, errors = run_check(*words, code=3)
    assert found is None and expected in errors


def test_plugins_lists_the_good_and_names_the_bad():
    done = run_tool("plugins", "--plugin-path", TEST_PLUGINS)
    assert done.returncode == 1, done
    listed = {line.split()[0] for line in done.stdout.splitlines()[1:]}
    assert {"t_ok", "t_crash_segv", "t_duplicate_route"} <= listed
    for name, why in {"t_constructor_crash": "SIGSEGV", "t_constructor_exit": "exit(0)", "t_constructor_hang": "5000 ms",
                      "t_no_symbol": "no symbol", "t_default_wrong": "`5` has no unit", "t_newer_minor": "was built for ABI", "t_short_struct": "needs"}.items():
        assert name not in listed
        assert any(name in line and why in line for line in done.stderr.splitlines()), (name, done.stderr)


def test_plugins_describes_one():
    done = run_tool("plugins", "t_numbers", "--plugin-path", TEST_PLUGINS)
    assert done.returncode == 0 and "path: text, required" in done.stdout and "used, ratio" in done.stdout


def test_status_over_tls(skymond, certs, tmp_path):
    tls = {"cert_file": str(certs.pem("good")), "key_file": str(certs.key("good")), "client_ca_file": str(certs.ca)}
    daemon = skymond({"plugins": {"prometheus": {}}, "listen": {"address": "127.0.0.1:0", "tls": tls}}, listen=None)
    url = ["--url", f"https://127.0.0.1:{daemon.port}"]
    ca, own = ["--ca-file", certs.ca], ["--cert", certs.pem("client"), "--key", certs.key("client")]
    assert run_tool("status", *url, *ca, *own).returncode == 0
    both = tmp_path / "both.pem"
    both.write_text(open(certs.pem("client")).read() + open(certs.key("client")).read())
    assert run_tool("status", *url, *ca, "--cert", both).returncode == 0
    for words, says in ((ca, "403"), (own, "certificate"), ([*ca, "--key", certs.key("client")], "--key needs --cert")):
        refused = run_tool("status", *url, *words)
        assert refused.returncode == 3 and says in refused.stderr, (words, refused)


def test_status(skymond, tmp_path):
    told = tmp_path / "told"
    told.write_text("degraded a bit tired")
    daemon = skymond({"components": {
        "one": {"plugin": "t_file", "interval": "1s", "path": str(told)}, "two": {"plugin": "t_ok", "interval": "1s"}}})
    daemon.wait_component("one", status="degraded")
    daemon.wait_component("two", status="healthy")
    done = run_tool("status", "--url", daemon.url)
    assert done.returncode == 1, done
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "degraded" in lines["one"] and "a bit tired" in lines["one"] and "healthy" in lines["two"]
    assert run_tool("status", "two", "--url", daemon.url).returncode == 0
    done = run_tool("status", "one", "--json", "--url", daemon.url + "/")
    assert done.returncode == 1 and json.loads(done.stdout)["message"] == "a bit tired"
    done = run_tool("status", "three", "--url", daemon.url)
    assert done.returncode == 3 and "one, two" in done.stderr
    told.write_text("unhealthy")
    wait_until(lambda: run_tool("status", "--url", daemon.url).returncode == 2, 10, "exit code 2")
    daemon.stop()
    done = run_tool("status", "--url", daemon.url)
    assert done.returncode == 3 and "cannot ask" in done.stderr


def test_status_as_a_health_check(skymond, tmp_path):
    """0 or 1, as container engines have it: healthy < degraded < unknown < unhealthy."""
    report = tmp_path / "report"
    report.write_text("healthy")
    daemon = skymond({"components": {"one": {"plugin": "t_file", "interval": "1s", "path": str(report)}}})
    order = ["healthy", "degraded", "unknown", "unhealthy"]
    for status in order:
        report.write_text(status)
        daemon.wait_component("one", status=status)
        for limit in order[1:]:
            done = run_tool("status", "one", "--fail-on", limit, "--url", daemon.url)
            assert done.returncode == (order.index(status) >= order.index(limit)), (status, limit, done)
    assert run_tool("status", "--fail-on", "unhealthy", "--url", daemon.url).returncode == 1
    assert run_tool("status", "three", "--fail-on", "unhealthy", "--url", daemon.url).returncode == 1
    daemon.stop()
    assert run_tool("status", "--fail-on", "unhealthy", "--url", daemon.url).returncode == 1
    for wrong in ("healthy", "bad", ""):
        done = run_tool("status", "--fail-on", wrong)
        assert done.returncode == 3 and "--fail-on takes degraded, unknown or unhealthy" in done.stderr


def test_usage():
    assert "skymon run PLUGIN" in run_tool("--help").stdout
    assert run_tool("--version").stdout.startswith("skymon ")
    for command in ("run", "status", "plugins"):
        for words in ([command, "--help"], [command, "-h"], [command, "name", "--help"]):
            done = run_tool(*words)
            assert done.returncode == 0 and not done.stderr and done.stdout.startswith(f"Usage: skymon {command} "), (words, done)
            assert done.stdout.count(" skymon ") == (2 if command == "run" else 1) and "Exit codes: 0 healthy" in done.stdout, done.stdout
        for words in (["--nope"], ["--plugin-path" if command != "status" else "--url"]):
            done = run_tool(command, *words)
            assert done.returncode == 3 and done.stderr.startswith("skymon: ") and words[0] in done.stderr, done
    for words in ([], ["frobnicate"], ["worker"], ["../x"], ["--nope"], ["run"], ["status", "a", "b"]):
        done = run_tool(*words)
        assert done.returncode == 3 and done.stderr, (words, done)

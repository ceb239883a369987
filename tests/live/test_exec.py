# SPDX-License-Identifier: Apache-2.0
"""The check `exec`: real programs by each protocol, their faults, Debian's monitoring-plugins against real servers, and that nothing of
a program is left, however it ends."""
import json
import os
import pathlib
import signal
import textwrap
import time

import pytest
from harness import family_values, free_port, need, processes, run_skymond, wait_until
from redis_server import Redis

import truth

PLUGINS = pathlib.Path("/usr/lib/nagios/plugins")


def exec_(command, **options):
    return {"plugin": "exec", "interval": "1s", "timeout": "10s", "command": [str(word) for word in command], **options}


def one(command, **options):
    return {"plugins": {"prometheus": {}}, "components": {"x": exec_(command, **options)}}


def script(folder, text, name="check", interpreter="/bin/sh"):
    """An executable file that only its user may change."""
    path = folder / name
    path.write_text(f"#!{interpreter}\n{textwrap.dedent(text)}")
    path.chmod(0o755)
    return path


def below(pid):
    """{pid: name} of all that descends from a process."""
    alive, found = processes(), {}
    family = {pid}
    while True:
        more = {each: name for each, (parent, _, name) in alive.items() if parent in family and each not in found}
        if not more:
            return found
        found |= more
        family |= set(more)


# ---- nagios ----

def test_statuses(skymond):
    rows = {"fine": (0, "healthy", "ok"), "slow": (1, "degraded", "other"), "gone": (2, "unhealthy", "other"), "lost": (3, "unknown", "other")}
    sm = skymond({"components": {name: exec_(["/bin/sh", "-c", f"echo '{name} it is'; exit {row[0]}"]) for name, row in rows.items()}})
    for name, (_, status, reason) in rows.items():
        truth.cell("exec", f"exit code {rows[name][0]}", sm, name, status, reason, words=f"{name} it is")


def test_faults_of_a_program(skymond, tmp_path):
    """Each costs its own component; the message says what the program did."""
    gone, plain = script(tmp_path, "exit 0", "gone"), script(tmp_path, "exit 0", "plain")
    plain.chmod(0o644)
    rows = {
        "exit code 7": (["/bin/sh", "-c", "echo half; exit 7"], "unknown", "failed", "ended with exit code 7: half"),
        "a signal": (["/bin/sh", "-c", "kill -SEGV $$$$"], "unknown", "failed", "signal 11"),
        "no end": (["/bin/sh", "-c", "echo begun; sleep 1000"], "unhealthy", "timeout", "ended at the deadline; it had printed: begun"),
        "a flood": (["/usr/bin/yes"], "unknown", "protocol", "more than 256 KiB"),
        "no such program": (["/nowhere/check"], "unknown", "missing", "/nowhere/check: No such file"),
        "no interpreter": ([script(tmp_path, "", "odd", "/nowhere/python")], "unknown", "missing", "the interpreter that it names"),
        "binary output": (["/bin/sh", "-c", r"printf 'a\000b\377\033[31m | x=1'"], "healthy", "ok", "a?b??[31m"),
        "prints nothing": (["/bin/true"], "healthy", "ok", "printed nothing"),
        "not executable": ([plain], "unknown", "denied", "Permission denied"),
        "its file is gone": ([gone], "unknown", "missing", "No such file"),
    }
    gone.unlink()
    sm = skymond({"components": {f"c{i}": exec_(row[0], timeout="2s") for i, row in enumerate(rows.values())}})
    for i, (fault, (_, status, reason, words)) in enumerate(rows.items()):
        truth.cell("exec", fault, sm, f"c{i}", status, reason, words=words)


def test_performance_data(skymond):
    output = "OK | time=5ms;10;20;0 /=2MiB;;;0;4 'a b'=50% n=3c t=20C bad=x u=U\nmore\nlines | w=7"
    sm = skymond({**one(["/usr/bin/printf", "%s", output], warn={"seconds_time": "1ms"}, crit={"ratio_a_b": "80%"})})
    found = sm.wait_component("x", status="degraded", reason="threshold_warn")
    assert found["details"]["text"] == "more\nlines "
    assert found["details"]["perfdata_skipped"] == 1
    perfdata = found["details"]["perfdata"]
    assert perfdata["time"] == {"value": 5, "unit": "ms", "warn": "10", "crit": "20", "min": "0"}
    assert perfdata["u"] == {"value": None}
    assert found["numbers"] == {"seconds_time": 0.005, "bytes__": 2 * 2**20, "ratio_a_b": 0.5, "count_n": 3, "value_t": 20, "value_w": 7,
                                     "perfdata_skipped": 1}
    assert family_values(sm, "skymon_exec_perfdata_bytes") == {'{component="x",label="/"}': 2 * 2**20}
    assert family_values(sm, "skymon_exec_perfdata_seconds") == {'{component="x",label="time"}': 0.005}
    assert family_values(sm, "skymon_exec_perfdata_ratio") == {'{component="x",label="a b"}': 0.5}
    assert family_values(sm, "skymon_exec_perfdata_total") == {'{component="x",label="n"}': 3}
    assert family_values(sm, "skymon_exec_perfdata_value") == {'{component="x",label="t",unit="C"}': 20, '{component="x",label="w"}': 7}


# ---- json ----

RESULT = {"status": "degraded", "reason": "standby", "message": "two of three", "details": {"nodes": ["a", "b"]},
          "numbers": {"value_nodes": 2, "cache_hit_rate_percent": 91.5},
          "metrics": [{"name": "team_nodes", "type": "gauge", "help": "Nodes", "value": 2, "labels": {"zone": "a"}}]}


def test_json(skymond, tmp_path):
    program = script(tmp_path, f"echo '{json.dumps(RESULT)}'")
    sm = skymond({**one([program], protocol="json"), "service": {"name": "api", "metrics": {"cache_hit_rate_percent": "x"}}})
    found = sm.wait_component("x", status="degraded", reason="standby", message="two of three")
    assert found["details"]["nodes"] == ["a", "b"] and found["numbers"]["value_nodes"] == 2
    assert family_values(sm, "team_nodes") == {'{component="x",zone="a"}': 2}
    assert "sky_genesis_cache_hit_rate_percent" in sm.metrics()


@pytest.mark.parametrize("output, words", [
    ("", "not one JSON object"), ("OK - fine", "not one JSON object"), ('{"status": "healthy"', "not one JSON object"),
    ('{"status":"healthy","message":"a"}{"status":"healthy","message":"a"}', "not one JSON object"),
    ('{"status":"OK","message":"a"}', "`status` must be healthy"), ('{"status":"healthy","message":"a","number":{}}', "unknown key `number`"),
    ('{"status":"healthy","message":"a","numbers":{"load":1}}', "must begin with seconds_"), ("[" * 100000, "not one JSON object")])
def test_json_that_is_wrong(skymond, tmp_path, output, words):
    (tmp_path / "output").write_text(output)
    sm = skymond(one(["/bin/cat", tmp_path / "output"], protocol="json"))
    found = sm.wait_component("x", status="unknown", reason="protocol")
    assert words in found["message"]


def test_json_and_an_exit_code(skymond):
    sm = skymond(one(["/bin/sh", "-c", "echo no module named x >&2; exit 1"], protocol="json"))
    assert "ended with exit code 1: no module named x" in sm.wait_component("x", status="unknown", reason="failed")["message"]


def test_the_example(skymond):
    """sdk/examples/exec: a check in Python, as GUIDE shows it."""
    example = pathlib.Path(__file__).resolve().parents[2] / "sdk/examples/exec/queue.py"
    sm = skymond(one(["/usr/bin/python3", example, "/var/tmp"], protocol="json", read=[str(example.parent), "/var/tmp"]))
    found = sm.wait_component("x", status="healthy")
    assert "value_files" in found["numbers"] and "team_queue_files" in sm.metrics()


# ---- stream ----

STREAM = """
    import json, os, sys, time
    for line in sys.stdin:
        run = json.loads(line)
        mode = open(sys.argv[1]).read().strip()
        print("run", run["id"], file=sys.stderr, flush=True)
        if mode == "crash":
            sys.exit(3)
        if mode == "silent":
            continue
        if mode == "garbage":
            print("not json", flush=True)
            continue
        if mode == "late":
            time.sleep(run["timeout_ms"] / 1000 + 0.3)
        answer = {"id": run["id"], "status": "healthy", "message": f"{run['name']} {run['options'].get('a')} {os.getpid()}"}
        print(json.dumps(answer), flush=True)
"""


def stream(skymond, tmp_path, **options):
    mode = tmp_path / "mode"
    mode.write_text("fine")
    program = script(tmp_path, STREAM, "stream.py", "/usr/bin/python3")
    sm = skymond(one([program, mode], protocol="stream", options={"a": "b"}, read=[str(tmp_path)], **{"timeout": "2s", **options}))
    return sm, mode


def pid_of(found):
    return int(found["message"].split()[-1])


def test_a_stream(skymond, tmp_path):
    """One program serves all runs, with its options; what it prints on standard error is logged."""
    sm, _ = stream(skymond, tmp_path)
    first = pid_of(sm.wait_component("x", timeout=30, status="healthy"))
    assert sm.component("x")["message"].startswith("x b ")
    sm.wait_log("run 3")
    assert pid_of(sm.component("x")) == first


def test_a_stream_that_fails(skymond, tmp_path):
    """A crash, garbage and late answers; brought back each time."""
    sm, mode = stream(skymond, tmp_path)
    first = pid_of(sm.wait_component("x", timeout=30, status="healthy"))
    mode.write_text("crash")
    truth.cell("exec", "stream: the program crashes", sm, "x", "unknown", "failed", words="exit code 3", within=15)
    mode.write_text("fine")
    second = pid_of(sm.wait_component("x", timeout=60, status="healthy"))
    assert second != first
    assert family_values(sm, "skymon_exec_restarts_total")['{component="x"}'] >= 1
    mode.write_text("garbage")
    truth.cell("exec", "stream: garbage", sm, "x", "unknown", "protocol", words="not a JSON object", within=15)
    mode.write_text("fine")
    third = pid_of(sm.wait_component("x", timeout=60, status="healthy"))
    assert third != second
    mode.write_text("late")
    truth.cell("exec", "stream: late answers", sm, "x", "unhealthy", "timeout", within=15)
    mode.write_text("fine")
    sm.wait_component("x", timeout=60, status="healthy")
    mode.write_text("silent")
    wait_until(lambda: "3 runs in a row" in sm.component("x")["message"], 60, "the program to be ended")
    mode.write_text("fine")
    sm.wait_component("x", timeout=60, status="healthy")


def test_a_stream_ends_with_its_component(skymond, tmp_path):
    sm, _ = stream(skymond, tmp_path)
    pid = pid_of(sm.wait_component("x", timeout=30, status="healthy"))
    sm.write_config({"components": {"y": exec_(["/bin/true"])}})
    sm.hup()
    sm.wait_component("y", status="healthy")
    wait_until(lambda: pid not in processes(), 10, "the stream's end")


# ---- Options ----

@pytest.mark.parametrize("options, words", [
    ({"command": []}, "command"),
    ({"command": ["bin/check"]}, "must begin with an absolute path, or a name without /"),
    ({"command": [""]}, "must begin with a program"),
    ({"command": ["check_load -w 5"]}, "is a list, such as [check_load"),
    ({"env": {"A=B": "x"}}, "has a name that is not a variable's"),
    ({"env": {"1A": "x"}}, "has a name that is not a variable's"),
    ({"secret_env": [{"name": "A B", "value": "x"}]}, "`secret_env[0].name` of component x must be the name of a variable"),
    ({"secret_env": [{"name": "A", "value": "x"}, {"name": "A", "value": "y"}]}, "`secret_env[1].name` of component x is used twice"),
    ({"secret_env": [{"name": "A", "value": "x"}], "env": {"A": "y"}}, "is in env too: give it once"),
    ({"folder": "tmp"}, "`folder` of component x must be an absolute path"),
    ({"read": ["tmp"]}, "`read` of component x must hold absolute paths"),
    ({"write": ["tmp"]}, "`write` of component x must hold absolute paths"),
    ({"options": {"a": "b"}}, "are given to a stream only"),
    ({"protocol": "nagois"}, "nagios"),
    ({"files": 2}, "files"), ({"cpu": "10ms"}, "cpu"), ({"memory": "4KiB"}, "memory")])
def test_mistakes_are_named(options, words):
    done = run_skymond({"components": {"x": {"plugin": "exec", "command": ["/bin/true"], **options}}}, "--check-config")
    assert done.returncode == 2 and words in done.stderr, done.stderr


def test_limits_environment_and_folder(skymond, tmp_path):
    tmp_path.chmod(0o755)
    show = "echo $(ulimit -n) $(ulimit -t) $(ulimit -d) $(pwd) $A $TMPDIR; touch $TMPDIR/made"
    sm = skymond(one(["/bin/sh", "-c", show.replace("$", "$$")], memory="64MiB", cpu="1500ms", files=50, folder=str(tmp_path), env={"A": "b"}))
    message = sm.wait_component("x", status="healthy")["message"]
    assert message.startswith(f"50 2 65536 {tmp_path} b {sm.state_dir}"), message
    assert list(sm.state_dir.rglob("made"))


def test_secrets_are_masked(skymond, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("geheim-4711\n")
    secret.chmod(0o600)
    sm = skymond(one(["/bin/sh", "-c", "echo \"got $$PW\"; echo $$PW >&2"], secret_env=[{"name": "PW", "value": {"file": str(secret)}}]))
    found = sm.wait_component("x", status="healthy")
    truth.hides(sm, ["geheim-4711"], found)
    assert found["message"].startswith("got ") and len(found["message"]) > 4, found


def test_a_program_that_others_may_change(skymond, tmp_path):
    program = script(tmp_path, "echo fine")
    sm = skymond(one([program]))
    sm.wait_component("x", status="healthy")
    program.chmod(0o777)
    truth.cell("exec", "others may change the program", sm, "x", "unknown", "denied", words=f"chmod go-w {program}")
    program.chmod(0o755)
    sm.wait_component("x", status="healthy")
    tmp_path.chmod(0o777)
    assert "chmod go-w" in sm.wait_component("x", status="unknown")["message"]
    tmp_path.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(program, 12345, 0)
        wait_until(lambda: "belongs to user 12345" in sm.component("x")["message"], 30, "the owner to be named")


def test_files_of_others_are_out_of_reach(skymond, tmp_path):
    """A program reads what its component's options name, and not what they do not."""
    for name in ("named", "other"):
        (tmp_path / name).write_text(f"text of {name}\n")
    sm = skymond({"components": {"a": exec_(["/bin/cat", tmp_path / "named"]), "b": exec_(["/bin/sh", "-c", f"cat {tmp_path}/other"]),
                                 "c": exec_(["/bin/sh", "-c", f"echo x > {tmp_path}/named"])}})
    assert sm.wait_component("a", status="healthy")["message"] == "text of named"
    if "isolation" in sm.log_text() and "files" in sm.log_text():
        pytest.skip("this kernel has no Landlock")
    assert "Permission denied" in sm.wait_component("b", status="degraded")["message"]
    assert "cannot create" in sm.wait_component("c", status="unhealthy")["message"]
    assert (tmp_path / "named").read_text() == "text of named\n"


@pytest.mark.parametrize("isolation", ["own", "shared"])
def test_environments_of_others(skymond, isolation):
    """With a worker of its own, a component's secrets are out of reach of other programs of the same user. That they are not otherwise,
    nor of root, is said in doc/security.md."""
    if os.geteuid() != 0:
        pytest.skip("the test changes users")
    look = "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\000' '\\n' | grep -c ^PW="
    secret = {"secret_env": [{"name": "PW", "value": "geheim-4711"}], "protocol": "stream", "timeout": "60s"}
    sm = skymond({"user": "nobody", "components": {"a": exec_(["/bin/sleep", "1000"], **secret), "b": exec_(["/bin/sh", "-c", look + "; exit 0"], isolation=isolation)}})
    if "isolation" in sm.log_text() and "files" in sm.log_text():
        pytest.skip("this kernel has no Landlock")
    wait_until(lambda: "sleep" in below(sm.pid).values(), 20, "the program with the secret")
    seen = sm.component("b")["last_check"]
    wait_until(lambda: sm.component("b")["last_check"] not in (None, seen), 20, "the next check")
    assert sm.component("b")["message"] == {"own": "0", "shared": "1"}[isolation]


# ---- Nothing is left ----

LEAVES = """
    sleep 1000 &
    setsid sleep 1001 &
    setsid setsid sleep 1002 > /dev/null 2>&1 &
    (setsid sh -c 'sleep 1003 & setsid sleep 1004 &' &)
    echo left
"""


def test_what_a_program_leaves_behind_is_ended(skymond, tmp_path):
    sm = skymond(one([script(tmp_path, LEAVES)], interval="30s"))
    sm.wait_component("x", status="healthy", message="left")
    wait_until(lambda: "sleep" not in below(sm.pid).values(), 10, "the end of all sleepers")


def test_a_thousand_runs(skymond):
    """200 components whose programs end at once, until 1,000 runs are over: no process, zombie or descriptor more than before."""
    config = {"plugins": {"prometheus": {}}, "limits": {"checks_at_once": 8},
              "components": {f"x{i}": exec_(["/bin/true"], interval="1s", timeout="30s") for i in range(200)}}
    sm = skymond(config)
    wait_until(lambda: all(f'component="x{i}"' in sm.metrics() for i in (0, 199)), 60, "the first results")

    def runs():
        values = family_values(sm, "skymon_component_checks_total") or family_values(sm, "skymon_checks_total")
        return sum(values.values())
    wait_until(lambda: runs() >= 1000, 120, "1,000 runs", every=0.5)
    sm.write_config({**config, "components": {"x0": exec_(["/bin/true"], interval="1h")}})
    sm.hup()
    wait_until(lambda: sorted(below(sm.pid).values()) == ["exec", "keeper"], 20, "no program")
    zombies = [text for stat_file in pathlib.Path("/proc").glob("[0-9]*/stat") if (text := read(stat_file)) and ") Z " in text and
               int(text.rsplit(")", 1)[1].split()[1]) in {sm.pid, *below(sm.pid)}]
    assert not zombies
    worker = next(pid for pid, name in below(sm.pid).items() if name == "exec")
    assert len(os.listdir(f"/proc/{worker}/fd")) < 20


def read(path):
    try:
        return path.read_text()
    except OSError:
        return ""


@pytest.mark.parametrize("whom", ["exec", "keeper", "skymond"])
def test_kill(skymond, tmp_path, whom):
    """SIGKILL for the worker, its keeper or the daemon, while programs run, detached ones too."""
    program = script(tmp_path, "setsid sleep 1000 & sleep 1000")
    config = one([program], timeout="60s")
    config["components"] |= {"good": {"plugin": "host", "interval": "1s"}, "y": exec_(["/bin/cat"], protocol="stream", timeout="60s")}
    sm = skymond(config)
    names = ["cat", "sleep", "sleep"]

    def family():
        found = below(sm.pid)
        return [name for name in sorted(found.values()) if name in ("cat", "sleep")] == names and found
    found = wait_until(family, 20, "the programs")
    programs = [pid for pid, name in found.items() if name in ("cat", "sleep")]
    victim = sm.pid if whom == "skymond" else next(pid for pid, name in found.items() if name == whom and (
        whom == "exec" or any(processes()[child][0] == pid and name == "exec" for child, name in found.items())))
    os.kill(victim, signal.SIGKILL)
    if whom == "skymond":
        sm.process.wait()
        sm.stop(expect=None)
    wait_until(lambda: not set(programs) & set(processes()), 20, "the end of all programs")
    if whom != "skymond":
        assert sm.component("good")["status"] == "healthy"


def test_floods_cost_their_own_component(skymond):
    sm = skymond({"components": {"flood": exec_(["/usr/bin/yes"]), "errors": exec_(["/bin/sh", "-c", "yes >&2"]), "fine": exec_(["/bin/echo", "fine"])}})
    assert "256 KiB" in sm.wait_component("flood", status="unknown", reason="protocol")["message"]
    assert "1 MiB on its standard error" in sm.wait_component("errors", status="unknown", reason="protocol")["message"]
    sm.wait_component("fine", status="healthy", message="fine")


# ---- Debian's monitoring-plugins ----

def test_monitoring_plugins(skymond, nginx, postgres, tmp_path):
    """15 of them, unchanged, against real servers and this machine: each finds its thing, and the servers' end turns those that ask
    them."""
    if not PLUGINS.is_dir():
        need("monitoring-plugins-basic: check_load")
    port = free_port()
    web = nginx(f"server {{ listen 127.0.0.1:{port}; location / {{ return 200 hello; }} }}", port)
    redis = Redis()
    (tmp_path / "log").write_text("all is well\n")
    (tmp_path / "mrtg").write_text(f"{int(time.time())} 100 200\n" + f"{int(time.time())} 10 20 30 40\n" * 2)
    commands = {
        "load": ["check_load", "-w", "9000,9000,9000", "-c", "9999,9999,9999"],
        "procs": ["check_procs", "-w", "1:100000"],
        "disk": ["check_disk", "-w", "0%", "-c", "0%", "-p", "/"],
        "users": ["check_users", "-w", "1000", "-c", "2000"],
        "age": ["check_file_age", "-w", "86400", "-c", "864000", "-f", tmp_path / "log"],
        "dummy": ["check_dummy", "0", "all fine"],
        "negate": ["negate", "-c", "OK", PLUGINS / "check_dummy", "2", "bad"],
        "cluster": ["check_cluster", "-s", "-d", "0,0,1", "-c", "2"],
        "tcp": ["check_tcp", "-H", "127.0.0.1", "-p", port],
        "http": ["check_http", "-H", "127.0.0.1", "-p", port, "-s", "hello"],
        "urlize": ["urlize", "http://example.net", PLUGINS / "check_dummy", "0", "fine"],
        "redis": ["check_tcp", "-H", "127.0.0.1", "-p", redis.port, "-s", "PING\r\n", "-E", "-e", "PONG"],
        "pgsql": ["check_pgsql", "-H", "127.0.0.1", "-P", postgres.port, "-l", "postgres", "-d", "postgres"],
        "ping": ["check_ping", "-4", "-H", "127.0.0.1", "-w", "1000,50%", "-c", "2000,60%", "-p", "2"],
        "mrtg": ["check_mrtg", "-F", tmp_path / "mrtg", "-a", "AVG", "-v", "1", "-w", "1000", "-c", "2000", "-l", "traffic", "-u", "B"],
        "log": ["check_log", "-F", tmp_path / "log", "-O", "/dev/null", "-q", "error"],
    }
    missing = [words[0] for words in commands.values() if not (PLUGINS / words[0]).exists()]
    assert not missing, missing
    components = {name: exec_(words, interval="2s", timeout="30s") for name, words in commands.items()}
    components["log"]["write"] = ["/tmp"]  # its mktemp knows no TMPDIR
    components["pgsql"]["secret_env"] = [{"name": "PGPASSWORD", "value": postgres.PASSWORD}]
    sm = skymond({"plugins": {"prometheus": {}}, "components": components})
    for name in commands:
        found = sm.wait_component(name, timeout=20, status="healthy")
        print(name, found["message"], found["numbers"])
        assert found["details"].get("perfdata_skipped", 0) == 0, found
    assert sm.component("load")["numbers"]["value_load1"] >= 0
    assert sm.component("http")["numbers"]["seconds_time"] > 0 and sm.component("http")["numbers"]["bytes_size"] > 0
    assert 0 < sm.component("disk")["numbers"]["bytes__"]
    truth.hides(sm, [postgres.PASSWORD], *(sm.component(name) for name in commands))
    web.close()
    redis.close()
    for name in ("tcp", "http", "redis"):
        assert sm.wait_component(name, timeout=60, status="unhealthy")["message"]

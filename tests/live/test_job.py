# SPDX-License-Identifier: Apache-2.0
"""The check `job`: as cron uses it, by curl and by `skymon job`; late, failed, too long, overlapping; and what survives which death."""
import os
import re
import signal
import subprocess

import time

import pytest

import truth
from harness import ROOT, free_port, need, run_skymond, wait_until

TOKEN = "0123456789abcdef0123"
OTHER = "another-token-0123456789"


def part(**options):
    return {"plugin": "job", "interval": "300ms", "every": "1h", "token": TOKEN, **options}


def watching(**components):
    return {"plugins": {"prometheus": {}}, "components": components}


def post(sm, name="backup", token=TOKEN, body=None, **query):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return sm.request("POST", f"/api/v1/jobs/{name}", params=query, headers=headers, data=body)


def cell(sm, fault, status, reason, *words, name="backup", **options):
    return truth.cell("job", fault, sm, name, status, reason, secrets=[TOKEN, OTHER], words=words, **options)


# ---- Events ----

def test_by_curl(skymond):
    sm = skymond(watching(backup=part(every="3s", grace="0s", max_runtime="2s")))
    cell(sm, "not run yet", "unknown", "missing", "has not run yet")
    cell(sm, "never ran", "unhealthy", "too_old", "no run succeeded", within=8)

    def curl(query="", *words):
        return subprocess.run([need("curl"), "-fsS", "-X", "POST", "-H", f"Authorization: Bearer {TOKEN}", *words, f"{sm.url}/api/v1/jobs/backup{query}"],
                              capture_output=True, text=True, timeout=20, check=False)
    assert curl().returncode == 0
    found = cell(sm, "a success", "healthy", "ok", "the last success was")
    assert found["numbers"]["running"] == 0 and found["numbers"]["age"] < 3 and "exit_code" not in found["numbers"]
    cell(sm, "late", "unhealthy", "too_old", "due each", within=8)
    assert curl("?event=start").returncode == 0
    cell(sm, "runs, and is within max_runtime", "healthy", "ok", "a run is going on")
    cell(sm, "a start without an end", "unhealthy", "too_old", "has not ended", within=8)
    assert curl("?event=fail&exit_code=3", "--data", "disk\nfull").returncode == 0
    found = cell(sm, "a failure", "unhealthy", "failed", "with exit code 3: disk full")
    assert found["numbers"]["exit_code"] == 3 and 1.5 < found["numbers"]["duration"] < 20
    assert curl("?exit_code=0&duration=12.5").returncode == 0
    found = cell(sm, "a success after it", "healthy", "ok")
    assert found["numbers"]["exit_code"] == 0 and found["numbers"]["duration"] == 12.5
    metrics = sm.metrics()
    assert re.search(r'^skymon_job_runs_total{component="backup",result="ok"} 2$', metrics, re.M)
    assert re.search(r'^skymon_job_runs_total{component="backup",result="fail"} 1$', metrics, re.M)
    assert abs(float(re.search(r"^skymon_job_last_success_timestamp_seconds{\S+} (\S+)$", metrics, re.M)[1]) - time.time()) < 10


REFUSED = {
    "no token": (401, {"token": None}, "Authorization"),
    "a wrong token": (401, {"token": OTHER}, "not that of this job"),
    "a beginning of the token": (401, {"token": TOKEN[:-1]}, "not that of this job"),
    "more than the token": (401, {"token": TOKEN + "x"}, "not that of this job"),
    "another job's token": (401, {"name": "import"}, "not that of this job"),
    "an unknown job": (404, {"name": "no-such-job"}, "no such component"),
    "a component of another plugin": (404, {"name": "machine"}, "no such component"),
    "an empty name": (404, {"name": ""}, ""),
    "an unknown event": (422, {"event": "begin"}, "start, ok or fail"),
    "a wrong exit code": (422, {"exit_code": "256"}, "exit_code"),
    "an exit code with a point": (422, {"exit_code": "1.5"}, "exit_code"),
    "ok with an exit code": (422, {"event": "ok", "exit_code": 1}, "exit_code"),
    "a negative duration": (422, {"duration": "-1"}, "duration"),
    "an endless duration": (422, {"duration": "inf"}, "duration"),
    "a run's id with a line end": (422, {"run": "a\nb"}, "run is"),
    "a long id": (422, {"run": "x" * 65}, "run is"),
    "a long message": (413, {"body": "x" * 4097}, "4096"),
}


def test_refused(skymond):
    sm = skymond(watching(backup=part(), machine={"plugin": "host"}, **{"import": part(token=OTHER)}))
    sm.wait_component("backup", status="unknown", reason="missing")
    for what, (code, words, text) in REFUSED.items():
        answer = post(sm, **words)
        assert answer.status_code == code and text in answer.json()["detail"], (what, answer.text)
        assert "import" not in answer.text and "backup" not in answer.text.replace("/jobs/backup", ""), f"{what}: names of jobs are shown"
    assert sm.get("/api/v1/jobs/backup").status_code == 405
    assert sm.component("backup")["reason"] == "missing", "nothing of it counted"
    assert post(sm, body="x" * 4096).status_code == 200
    assert "http_failed" not in sm.log_text() and TOKEN not in sm.log_text()


def test_rate(skymond):
    sm = skymond(watching(backup=part()))
    sm.wait_component("backup", status="unknown", reason="missing")
    codes = [post(sm).status_code for _ in range(40)]
    assert codes[0] == 200 and 429 in codes and codes.count(200) < 40, codes
    wait_until(lambda: post(sm).status_code == 200, 10, "another event to be allowed", every=0.3)


def test_with_access(skymond):
    """A token for the whole does not replace the job's own; the route has to be public then."""
    config = watching(backup=part())
    config["access"] = {"token": OTHER, "public": ["health", "ready", "alive", "jobs"]}
    sm = skymond(config)
    wait_until(lambda: post(sm).status_code == 200, 10, "the job's token to count")
    assert post(sm, token=OTHER).status_code == 401
    config["access"]["public"] = ["health"]
    sm.write_config(config)
    sm.hup()
    wait_until(lambda: post(sm).status_code == 401, 10, "the route to be closed")


def test_overlapping_runs(skymond):
    sm = skymond(watching(backup=part(max_runtime="30s")))
    sm.wait_component("backup", status="unknown", reason="missing")
    for run in ("a", "b"):
        assert post(sm, event="start", run=run).status_code == 200

    def numbers():
        return sm.component("backup")["numbers"]
    wait_until(lambda: numbers()["running"] == 2, 10, "two runs")
    assert post(sm, event="ok", run="b", duration=2).status_code == 200
    wait_until(lambda: numbers()["running"] == 1 and numbers()["duration"] == 2, 10, "one run")
    assert post(sm, event="fail", run="a", exit_code=1, body="late").status_code == 200
    cell(sm, "the slower of two runs failed", "unhealthy", "failed", "late")
    assert numbers()["running"] == 0
    assert post(sm, event="fail", run="a", exit_code=1, body="late").status_code == 200  # the client missed the answer
    assert 'skymon_job_runs_total{component="backup",result="fail"} 1' in sm.metrics()


# ---- Deaths ----

def test_restart_between_start_and_end(skymond, tmp_path):
    """kill -9 of the worker, then of the daemon, then a stop: the run that began before ends afterwards."""
    port = free_port()
    config = watching(backup=part(max_runtime="1h"))
    state = {"STATE_DIRECTORY": str(tmp_path)}
    sm = skymond(config, listen=f"127.0.0.1:{port}", env=state)
    sm.wait_component("backup", status="unknown", reason="missing")
    assert post(sm, event="start", run="one").status_code == 200
    for pid in sm.children():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: post(sm, event="start", run="two").status_code == 200, 20, "an event after the worker's death", every=0.2)
    wait_until(lambda: sm.component("backup")["numbers"].get("running") == 2, 15, "both runs")
    sm.stop(signal.SIGKILL, -signal.SIGKILL)
    again = skymond(config, listen=f"127.0.0.1:{port}", env=state)
    wait_until(lambda: again.component("backup")["numbers"].get("running") == 2, 15, "both runs after the daemon's death")
    assert post(again, event="ok", run="one", exit_code=0).status_code == 200
    found = cell(again, "a success after the daemon's death", "healthy", "ok", "a run is going on")
    assert found["numbers"]["duration"] > 0 and found["details"]["survives_restart"] is True
    again.stop()
    third = skymond(config, env=state)
    wait_until(lambda: third.component("backup")["numbers"].get("exit_code") == 0, 15, "what is known after a stop")
    assert third.component("backup")["numbers"]["age"] < 120


def test_a_damaged_file(skymond, tmp_path):
    state = {"STATE_DIRECTORY": str(tmp_path)}
    sm = skymond(watching(backup=part()), env=state)
    sm.wait_component("backup", status="unknown", reason="missing")
    assert post(sm).status_code == 200
    file = tmp_path / "job" / "backup" / "state"
    whole = file.read_text()
    sm.stop()
    file.write_text(whole[:-10])
    again = skymond(watching(backup=part()), env=state)
    again.wait_component("backup", status="unknown", reason="missing")
    assert (file.parent / "state.bad").read_text() == whole[:-10] and again.wait_log("is damaged")
    again.stop()
    file.write_text(whole)
    skymond(watching(backup=part()), env=state).wait_component("backup", status="healthy")


def test_a_reload_keeps_what_is_known(skymond):
    config = watching(backup=part())
    sm = skymond(config)
    sm.wait_component("backup", status="unknown", reason="missing")
    assert post(sm).status_code == 200
    sm.wait_component("backup", status="healthy")
    config["components"] |= {"backup": part(every="2h", token=OTHER), "second": part()}
    sm.write_config(config)
    sm.hup()
    wait_until(lambda: post(sm, token=OTHER, event="start").status_code == 200, 15, "the new token to count", every=0.2)
    assert post(sm).status_code == 401
    wait_until(lambda: post(sm, "second").status_code == 200, 15, "the new job", every=0.2)
    wait_until(lambda: sm.component("backup")["numbers"]["running"] == 1, 10, "the run")
    assert sm.component("backup")["status"] == "healthy", "the success of before counts"


def test_the_token_is_replaced(skymond, tmp_path):
    """In its file, and a reload: what is known stays."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    sm = skymond(watching(backup=part(token={"file": str(token)})))
    sm.wait_component("backup", status="unknown", reason="missing")
    assert post(sm).status_code == 200
    token.write_text(OTHER)
    sm.hup()
    wait_until(lambda: post(sm, token=OTHER, event="start").status_code == 200, 20, "the new token to count", every=0.3)
    assert post(sm).status_code == 401
    sm.wait_component("backup", status="healthy")


@pytest.mark.parametrize("options, word", [({"every": None}, "every"), ({"token": None}, "token"), ({"every": "0s"}, "every")])
def test_config_mistakes(options, word):
    done = run_skymond(watching(backup={key: value for key, value in part(**options).items() if value is not None}), "--check-config")
    assert done.returncode == 2 and word in done.stderr, done


def test_under_plugins():
    done = run_skymond({"plugins": {"job": {"every": "1h", "token": TOKEN}}}, "--check-config")
    assert done.returncode == 2 and "its checks go under `components`" in done.stderr, done


def test_a_short_token(skymond):
    sm = skymond(watching(backup=part(token="short-token")))
    found = sm.wait_component("backup", status="unknown")
    wait_until(lambda: "shorter than 16 bytes" in sm.component("backup")["message"], 10, "the reason")
    assert found["status"] == "unknown" and post(sm, token="short-token").status_code == 503


# ---- skymon job ----

@pytest.fixture
def wrapped(skymond, tmp_path):
    """(daemon, wrap): wrap(COMMAND…) starts `skymon job backup -- COMMAND…`."""
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    sm = skymond(watching(backup=part(max_runtime="1h")))
    sm.wait_component("backup", status="unknown", reason="missing")

    def wrap(*command, url=None, file=token, **options):
        return subprocess.Popen([ROOT / "bin/skymon", "job", "backup", "--token-file", str(file), "--url", url or sm.url, "--", *command],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    return sm, wrap


def test_a_wrapped_command(wrapped):
    sm, wrap = wrapped
    job = wrap("sh", "-c", "cat; echo problem >&2; exit 7")
    out, err = job.communicate("input", timeout=20)
    assert (job.returncode, out, err) == (7, "input", "problem\n")
    found = cell(sm, "the wrapped command failed", "unhealthy", "failed", "with exit code 7")
    assert found["numbers"]["exit_code"] == 7 and 0 <= found["numbers"]["duration"] < 10
    job = wrap("true")
    assert job.communicate(timeout=20) == ("", "") and job.returncode == 0
    cell(sm, "the wrapped command succeeded", "healthy", "ok")
    job = wrap("sh", "-c", "kill -9 $$")
    job.communicate(timeout=20)
    assert job.returncode == -signal.SIGKILL
    found = cell(sm, "the wrapped command was killed", "unhealthy", "failed", "ended by signal 9")
    assert found["numbers"]["exit_code"] == 137
    job = wrap("no-such-program-of-ours")
    assert "No such file" in job.communicate(timeout=20)[1] and job.returncode == 127
    cell(sm, "the wrapped command does not exist", "unhealthy", "failed", "cannot be started")
    assert sm.component("backup")["numbers"]["running"] == 0


def test_signals_are_passed_on(wrapped):
    sm, wrap = wrapped
    job = wrap("sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done")
    assert job.stdout.readline() == "ready\n"
    wait_until(lambda: sm.component("backup")["numbers"]["running"] == 1, 10, "the run")
    other = wrap("true")  # overlaps, and neither ends the other's run
    assert other.wait(timeout=20) == 0
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=20) == 5
    cell(sm, "the wrapped command was ended", "unhealthy", "failed", "with exit code 5")


def test_skymond_cannot_be_reached(wrapped, tmp_path):
    sm, wrap = wrapped
    wrong = tmp_path / "wrong"
    wrong.write_text(OTHER)
    for options, words in (({"url": f"http://127.0.0.1:{free_port()}"}, "onnect"), ({"file": wrong}, "HTTP 401"),
                           ({"file": tmp_path / "missing"}, "cannot be read"), ({"url": f"unix:{tmp_path}/none"}, "onnect")):
        job = wrap("sh", "-c", "echo out; exit 3", **options)
        out, err = job.communicate(timeout=30)
        assert job.returncode == 3 and out == "out\n" and len(err.splitlines()) == 1 and words in err, (options, err)
        assert TOKEN not in err and OTHER not in err


def test_the_wrapper_is_killed(skymond, wrapped, tmp_path):
    """Nothing reports the end: the limit of the run counts. What runs later shows that the job is well again."""
    sm, wrap = wrapped
    sm.write_config(watching(backup=part(max_runtime="2s")))
    sm.hup()
    job = wrap("sh", "-c", "echo $$; exec sleep 60")
    child = int(job.stdout.readline())
    wait_until(lambda: sm.component("backup")["numbers"]["running"] == 1, 15, "the run")
    job.kill()
    os.kill(child, signal.SIGKILL)
    cell(sm, "the wrapper was killed", "unhealthy", "too_old", "has not ended", within=15)
    assert wrap("true").wait(timeout=20) == 0
    cell(sm, "a later run succeeded", "healthy", "ok")
    wait_until(lambda: sm.component("backup")["numbers"]["running"] == 0, 10, "the dead run to be forgotten")


def test_skymond_restarts_meanwhile(skymond, tmp_path):
    port, token = free_port(), tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    (tmp_path / "state").mkdir()
    state = {"STATE_DIRECTORY": str(tmp_path / "state")}
    sm = skymond(watching(backup=part()), listen=f"127.0.0.1:{port}", env=state)
    sm.wait_component("backup", status="unknown", reason="missing")
    job = subprocess.Popen([ROOT / "bin/skymon", "job", "backup", "--", "sh", "-c", "echo ready; read line"], stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, text=True, env={**os.environ, "SKYMON_URL": sm.url, "SKYMON_JOB_TOKEN_FILE": str(token)})
    assert job.stdout.readline() == "ready\n"
    sm.stop(signal.SIGKILL, -signal.SIGKILL)
    again = skymond(watching(backup=part()), listen=f"127.0.0.1:{port}", env=state)
    wait_until(lambda: again.component("backup")["numbers"].get("running") == 1, 15, "the run of before")
    job.communicate("\n", timeout=20)
    assert job.returncode == 0
    found = cell(again, "skymond was killed during the run", "healthy", "ok")
    assert found["numbers"]["running"] == 0 and found["numbers"]["exit_code"] == 0


@pytest.mark.parametrize("words", [[], ["backup"], ["backup", "--"], ["backup", "true"], ["--", "true"], ["backup", "--nonsense", "--", "true"],
                                   ["backup", "--key", "k", "--", "true"]])
def test_usage(words):
    done = subprocess.run([ROOT / "bin/skymon", "job", *words], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 125 and done.stderr and not done.stdout


def test_a_file_that_another_state_has_written(skymond, tmp_path):
    """As after a reload, when a request ends in the state of before: the newest file counts, for the check and for the next event."""
    state = {"STATE_DIRECTORY": str(tmp_path)}
    sm = skymond(watching(backup=part()), env=state)
    sm.wait_component("backup", status="unknown", reason="missing")
    assert post(sm, event="start", run="one").status_code == 200
    file = tmp_path / "job" / "backup" / "state"
    changed = file.read_text().replace("end\n", f"run {time.time_ns() // 10**6} 1000 two\nend\n")
    draft = file.with_suffix(".draft")
    draft.write_text(changed)
    draft.rename(file)
    wait_until(lambda: sm.component("backup")["numbers"]["running"] == 2, 10, "both runs")
    assert post(sm, event="ok", run="two").status_code == 200
    assert " one\n" in file.read_text() and " two\nend" not in file.read_text()

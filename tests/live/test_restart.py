# SPDX-License-Identifier: Apache-2.0
"""A restart, orderly or by a crash, keeps status, since, last_success and counters of each component, and damage to the file costs only them."""
import datetime
import os
import signal
import subprocess

import pytest

from harness import family_values, run_skymond, wait_until
from test_workers import component


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def when(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def write_words(tmp_path, **words):
    for name, text in words.items():
        (tmp_path / name).write_text(text)


def files(tmp_path, *names, **options):
    """A component for each name, whose status is what the file of that name says."""
    return {"plugins": {"prometheus": {}},
            "components": {name: component("t_file", path=str(tmp_path / name), **{"impact": "unhealthy", "timeout": "60s", **options})
                           for name in names}}


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


def saved(state, at_least=2):
    """Waits until the board was written so many times from now on."""
    seen = set()

    def look():
        seen.add((state / "board.state").stat().st_mtime_ns)
        return len(seen) > at_least
    wait_until(look, 20, "the board to be written")


def totals(daemon, name):
    """Checks and failures so far."""
    return [family_values(daemon, f"skymon_component_{word}_total")[f'{{component="{name}"}}'] for word in ("checks", "check_failures")]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_restart_continues_the_board(skymond, tmp_path, state, how):
    env = {"STATE_DIRECTORY": str(state)}
    write_words(tmp_path, a="healthy fine", b="degraded slow", c="unhealthy down")
    config = files(tmp_path, "a", "b", "c")
    config["components"]["c"]["impact"] = "none"
    daemon = skymond(config, env=env)
    before = {"a": daemon.wait_component("a", status="healthy", starting=False), "b": daemon.wait_component("b", status="degraded"),
              "c": daemon.wait_component("c", status="unhealthy")}
    wait_until(lambda: daemon.component("c")["consecutive_failures"] >= 2, 20, "two failures")
    counted = {name: totals(daemon, name) for name in "abc"}
    if how == signal.SIGKILL:  # what came after the last write is lost
        saved(state)
    assert (state / "board.state").stat().st_mode & 0o777 == 0o600
    write_words(tmp_path, a="hang", b="hang", c="hang")  # no check after the restart has a result
    daemon.stop(how, expect=None)

    config["components"]["d"] = component("t_file", path=str(tmp_path / "a"), timeout="60s", impact="none")
    daemon = skymond(config, env=env)
    assert daemon.get("/api/v1/ready").status_code == 200
    assert daemon.get("/api/v1/health").json()["status"] == "degraded"
    for name, was in before.items():
        found = daemon.component(name)
        same = {key: was[key] for key in ("status", "reason", "message", "since", "stale", "details")}
        assert {key: found[key] for key in same} == same
        assert found["starting"] is True and found["last_check"] >= was["last_check"]
        assert found["numbers"] == {} and found["last_result"] is None
        assert (found["last_success"] is None) == (name == "c")
        # what ended with the kill was not counted as a check
        assert all(later >= earlier for later, earlier in zip(totals(daemon, name), counted[name], strict=True))
    assert daemon.component("c")["consecutive_failures"] >= 2
    assert daemon.component("d")["status"] == "unknown" and daemon.component("d")["since"] is None
    daemon.wait_log("3 components continue with counters and status of before the restart")

    # Other options: not the same thing that is measured. A changed interval or impact changes nothing.
    config["components"]["a"]["also"] = str(tmp_path / "a")
    config["components"]["b"] |= {"interval": "2s", "impact": "none"}
    daemon.stop(signal.SIGKILL, expect=None)
    daemon = skymond(config, env=env)
    found = daemon.component("a")
    assert found["status"] == "unknown" and found["reason"] == "starting" and found["since"] is None and found["last_success"] is None
    assert totals(daemon, "a") == [0, 0]
    assert daemon.component("b")["status"] == "degraded" and daemon.component("b")["since"] == before["b"]["since"]


def test_the_first_result_goes_on_from_the_old_status(skymond, tmp_path, state):
    """The same status keeps its since; another is a change, and is logged as one; `fall` counts from the old status."""
    env = {"STATE_DIRECTORY": str(state)}
    write_words(tmp_path, a="healthy", b="healthy", c="healthy")
    config = files(tmp_path, "a", "b", "c")
    config["components"]["c"] |= {"fall": 3, "impact": "none"}
    daemon = skymond(config, env=env)
    before = {name: daemon.wait_component(name, status="healthy") for name in "abc"}
    daemon.stop()
    write_words(tmp_path, b="unhealthy", c="unhealthy")
    daemon = skymond(config, env=env)
    found = daemon.wait_component("b", status="unhealthy", starting=False)
    assert found["since"] > before["b"]["since"]
    assert "from=healthy" in daemon.wait_log("component=b")
    wait_until(lambda: (daemon.component("c")["last_result"] or {}).get("status") == "unhealthy", 10, "a result that fall holds back")
    assert daemon.wait_component("a", starting=False)["since"] == before["a"]["since"]


def test_an_old_status_is_not_believed(skymond, tmp_path, state):
    env = {"STATE_DIRECTORY": str(state)}
    write_words(tmp_path, a="healthy")
    config = files(tmp_path, "a", timeout="1s")  # stale after 3 x 1 s + 1 s
    daemon = skymond(config, env=env)
    daemon.wait_component("a", status="healthy")
    daemon.stop()
    write_words(tmp_path, a="hang")
    counted = now()
    wait_until(lambda: now() - counted > datetime.timedelta(seconds=4), 10, "the status to be old")
    config["components"]["a"]["timeout"] = "900ms"
    daemon = skymond(config, env=env)
    found = daemon.component("a")
    assert found["status"] != "healthy" and found["last_success"] is not None and totals(daemon, "a")[0] >= 1
    assert daemon.get("/api/v1/ready").status_code == 503


def test_a_damaged_file_is_set_aside(skymond, tmp_path, state):
    env = {"STATE_DIRECTORY": str(state)}
    write_words(tmp_path, a="healthy")
    config = files(tmp_path, "a")
    daemon = skymond(config, env=env)
    daemon.wait_component("a", status="healthy")
    daemon.stop()
    whole = (state / "board.state").read_bytes()
    write_words(tmp_path, a="hang")
    for bad, why in ((whole[:-1], "it is damaged"), (whole.replace(b"board 1 ", b"board 9 "), "it has version 9, and this skymond reads 1"),
                     (b"", "it does not begin as a file of skymond")):
        (state / "board.state").write_bytes(bad)
        daemon = skymond(config, env=env)
        assert why in daemon.wait_log("board.state is not used, and was renamed to")
        assert (state / "board.state.bad").read_bytes() == bad
        found = daemon.component("a")
        assert found["status"] == "unknown" and found["since"] is None
        daemon.stop(signal.SIGKILL, expect=None)
    (state / "board.state").write_bytes(whole)
    refused = run_skymond("components: {a: {plugin: nothing, colour: red", env=env)  # a start that fails leaves the file alone
    assert refused.returncode == 2 and (state / "board.state").read_bytes() == whole


def test_kills_during_writes(skymond, tmp_path, state):
    env = {"STATE_DIRECTORY": str(state)}
    write_words(tmp_path, a="healthy")
    config = files(tmp_path, "a", interval="100ms")
    config["components"] |= {f"n{i}": component("t_ok", interval="100ms") for i in range(100)}
    for turn in range(6):
        daemon = skymond(config, env=env)
        daemon.wait_component("n99", status="healthy")
        saved(state, 1)
        daemon.stop(signal.SIGKILL, expect=None)
        assert "is not used" not in daemon.log_text()
        if turn > 0:
            daemon.wait_log("101 components continue")
    daemon = skymond(config, env=env)
    assert totals(daemon, "a")[0] > 6 and sorted(path.name for path in state.glob("board.*")) in (["board.state"], ["board.state", "board.state.new"])


def test_a_folder_that_cannot_be_written_costs_one_line(skymond, tmp_path, state):
    write_words(tmp_path, a="healthy")
    (state / "board.state.new").mkdir()
    daemon = skymond(files(tmp_path, "a", interval="100ms"), env={"STATE_DIRECTORY": str(state)})
    daemon.wait_log("board.state, so what it keeps would not survive a restart: Is a directory")
    before = totals(daemon, "a")[0]
    wait_until(lambda: totals(daemon, "a")[0] > before + 25, 30, "checks go on")
    assert daemon.log_text().count("would not survive") == 1
    (state / "board.state.new").rmdir()
    daemon.wait_log("board.state is written again")
    assert (state / "board.state").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system is mounted")
def test_a_full_disk_and_one_that_is_read_only(skymond, tmp_path, state):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", state], capture_output=True, check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        with open(state / "fill", "wb", buffering=0) as fill, pytest.raises(OSError):
            while True:
                fill.write(bytes(4096))
        write_words(tmp_path, a="healthy")
        config = {"state_dir": str(state), **files(tmp_path, "a", interval="100ms")}
        daemon = skymond(config)
        daemon.wait_component("a", status="healthy")
        daemon.wait_log("would not survive a restart: No space left on device")
        (state / "fill").unlink()
        daemon.wait_log("board.state is written again")
        daemon.stop()
        subprocess.run(["mount", "-o", "remount,ro", state], check=True)
        write_words(tmp_path, a="hang")
        daemon = skymond(config)
        daemon.wait_log("would not survive a restart: Read-only file system")
        assert daemon.component("a")["status"] == "healthy"
        daemon.stop()
    finally:
        subprocess.run(["umount", "-l", state], check=True)


def test_a_state_folder_has_one_skymond(skymond, tmp_path):
    """The second one names the folder and the process that has it; one that only looks is not refused, and after a SIGKILL the next one starts."""
    config, env = files(tmp_path, "a"), {"STATE_DIRECTORY": str(tmp_path)}
    write_words(tmp_path, a="healthy")
    daemon = skymond(config, env=env)
    second = run_skymond(config, env=env)
    assert second.returncode == 1 and f"another skymond (process {daemon.pid}) uses the state folder {tmp_path}" in second.stderr, second.stderr
    assert run_skymond(config, "--check-config", env=env).returncode == 0
    daemon.wait_component("a", status="healthy")
    daemon.stop(signal.SIGKILL, expect=None)
    skymond(config, env=env).wait_component("a", status="healthy")

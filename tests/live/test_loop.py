# SPDX-License-Identifier: Apache-2.0
"""Checks on the worker's loop (skymon/loop.h): how runs begin and end, and that one that misbehaves costs itself only."""
import time

import pytest

from harness import wait_until
from test_tool import run_check
from test_workers import checks, component, restarts


def loop(does, **options):
    return component("t_loop", does=does, **options)


ENDS = {  # does: status, reason, message
    "now": ("healthy", "ok", "done at once"),
    "later": ("healthy", "ok", "done later"),
    "pipe": ("healthy", "ok", "read a byte"),
    "hang_up": ("healthy", "ok", "hung up"),
    "regular": ("healthy", "ok", "refused both"),
    "twice": ("healthy", "ok", "done at once"),
    "never": ("unhealthy", "timeout", "not done in time"),
    "in_cancel": ("healthy", "ok", "done in cancel"),
    "shared": ("healthy", "ok", "done by the load's handle"),
}


@pytest.mark.sanitized
def test_each_end_of_a_run(skymond):
    daemon = skymond({"components": {does.replace("_", "-"): loop(does, interval="500ms", timeout="400ms") for does in ENDS}})
    for does, (status, reason, message) in ENDS.items():
        found = daemon.wait_component(does.replace("_", "-"), status=status, reason=reason)
        assert found["message"] == message, found
    began = daemon.component("pipe")["numbers"]["runs"]
    wait_until(lambda: daemon.component("pipe")["numbers"]["runs"] >= began + 3, 15, "more runs")
    for does, (status, _, message) in ENDS.items():
        daemon.wait_component(does.replace("_", "-"), status=status, message=message)
    assert len(daemon.children()) == 1
    daemon.wait_log("skymon_done was called outside a run")
    daemon.wait_log("cancelled never with 0 ms left")


@pytest.mark.sanitized
def test_names(skymond):
    daemon = skymond({"components": {
        "there": loop("resolve"), "number": loop("resolve", host="127.0.0.1"), "many": loop("resolve", host="localhost"),
        "none": loop("resolve", host="no-such-host.invalid"), "empty": loop("resolve", host="")}})
    assert "127.0.0.1" in daemon.wait_component("there", status="healthy")["message"]
    assert daemon.wait_component("number", status="healthy")["message"] == "127.0.0.1"
    assert daemon.wait_component("many", status="healthy")
    found = daemon.wait_component("none", status="unhealthy")
    assert found["reason"] in ("dns", "timeout") and "cannot resolve no-such-host.invalid" in found["message"], found
    assert "empty" in daemon.wait_component("empty", status="unhealthy", reason="dns")["message"]


def test_a_crash_names_component_and_step(skymond, tmp_path):
    switch = tmp_path / "crash"
    config = {"components": {f"c{i}": loop("pipe") for i in range(20)}}
    config["components"]["bad"] = loop("crash", file=str(switch))
    daemon = skymond(config)
    for name in config["components"]:
        daemon.wait_component(name, status="healthy")
    switch.touch()
    found = daemon.wait_component("bad", status="unknown", reason="crashed")
    assert "crashed with SIGABRT while crashing" in found["message"], found
    for i in range(20):
        daemon.wait_component(f"c{i}", status="healthy")
    switch.unlink()
    daemon.wait_component("bad", timeout=40, status="healthy")
    assert len(daemon.children()) == 2  # it alone has a worker of its own


def test_a_crash_in_a_shared_callback_names_the_component_that_was_used(skymond, tmp_path):
    switch = tmp_path / "crash"
    daemon = skymond({"components": {"good": loop("pipe"), "bad": loop("shared_crash", file=str(switch))}})
    daemon.wait_component("bad", status="healthy")
    switch.touch()
    found = daemon.wait_component("bad", status="unknown", reason="crashed")
    assert "while in the shared callback" in found["message"], found
    assert daemon.wait_component("good", status="healthy")


@pytest.mark.parametrize("does", ["block", "block_begin"])
def test_a_callback_that_waits_costs_itself_only(skymond, tmp_path, does):
    """It is named and moved to a worker of its own in a few seconds; its neighbours run on, all in one worker."""
    switch = tmp_path / "block"
    config = {"plugins": {"prometheus": {}}, "components": {f"c{i}": loop("pipe") for i in range(20)}}
    config["components"]["bad"] = loop(does, file=str(switch))
    daemon = skymond(config)
    for name in config["components"]:
        daemon.wait_component(name, status="healthy")
    switch.touch()
    found = daemon.wait_component("bad", timeout=20, status="unknown", reason="killed")
    assert "blocked the loop of its worker for 3 s while waiting for nothing" in found["message"] or does == "block_begin", found
    assert "blocked the loop of its worker" in found["message"], found
    for i in range(20):
        daemon.wait_component(f"c{i}", status="healthy")
    before, began = checks(daemon), time.monotonic()
    wait_until(lambda: restarts(daemon).get("t_loop", 0) >= 3, 60, "it to block again")
    after, seconds = checks(daemon), time.monotonic() - began
    for i in range(20):
        assert after[f"c{i}"] - before[f"c{i}"] >= seconds * 0.8 - 2, (i, before, after, seconds)
    assert len(daemon.children()) <= 2
    switch.unlink()
    daemon.wait_component("bad", timeout=60, status="healthy")


def test_secrets_are_masked(skymond):
    daemon = skymond({"components": {"c": loop("later", password="hunter2")}})
    assert daemon.wait_component("c", status="healthy")["message"] == "done later with ********"
    assert "hunter2" not in daemon.log_text()


def test_stop_takes_a_run_back(skymond):
    """A component that is removed, or changed, while a run is out is cancelled and stopped at once; so is all at the end."""
    config = {"components": {"gone": loop("never", timeout="1h", interval="2h"), "stays": loop("never", timeout="1h", interval="2h"),
                             "busy": loop("pipe")}}
    daemon = skymond(config)
    daemon.wait_component("busy", status="healthy")
    daemon.wait_log("begun gone")
    daemon.wait_log("begun stays")
    del config["components"]["gone"]
    daemon.write_config(config)
    daemon.hup()
    daemon.wait_log("stopped gone")
    assert "cancelled gone with 0 ms left" in daemon.log_text() and "cancelled stays" not in daemon.log_text()
    daemon.stop()
    assert "cancelled stays with 0 ms left" in daemon.log_text() and "stopped stays" in daemon.log_text()


def test_hundreds_run_at_once(skymond):
    """Runs on the loop take no threads: limits.checks_at_once does not hold them back."""
    config = {"limits": {"checks_at_once": 2},
              "components": {f"c{i}": loop("later", after="2s", timeout="10s", interval="10s") for i in range(300)}}
    daemon = skymond(config)
    began = time.monotonic()
    wait_until(lambda: all(c["status"] == "healthy" for c in daemon.get("/api/v1/status").json()["health"]["components"]), 20, "all")
    assert time.monotonic() - began < 150  # 300 seconds, two at a time
    assert len(daemon.children()) == 1


@pytest.mark.parametrize("words, status, reason, says", [
    (["does=later"], "healthy", "ok", "done later"),
    (["does=never", "--timeout", "300ms"], "unhealthy", "timeout", "not done in time"),
    (["does=resolve"], "healthy", "ok", "127.0.0.1"),
    (["does=crash"], "unknown", "crashed", "crashed with SIGABRT while crashing"),
    (["does=block", "--timeout", "20s"], "unknown", "killed", "blocked the loop of its worker for 3 s while waiting for nothing"),
])
def test_skymon_run(words, status, reason, says):
    found, _ = run_check("t_loop", *words, code={"healthy": 0, "unhealthy": 2, "unknown": 3}[status])
    assert (found["status"], found["reason"]) == (status, reason) and says in found["message"], found

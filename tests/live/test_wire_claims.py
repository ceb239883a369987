# SPDX-License-Identifier: Apache-2.0
"""What a worker may claim: each type of message, in its own name and in that of others, with numbers that a counter would give."""
import re

import pytest
from harness import wait_until
from test_secrets import FIRST, grep, store_config
from test_workers import component

HELLO, STARTED, RESULT, REFUSED, LOG, CRASH, STOPPED, ANSWER, REPLY, STEP, VALIDATED = range(32, 43)
FOREIGN = "sent a message of a component that is not its own"
KIND = "sent a message of a kind that no worker sends"

# (type, in its own name): what the log says of the worker that sent it; None: it may.
CLAIMS = {
    (HELLO, True): "sent a hello of a component",
    (HELLO, False): "sent a hello of a component",
    (STARTED, True): "told twice that a component was started",
    (STARTED, False): FOREIGN,
    (RESULT, True): "sent the result of a check that was not asked for",
    (RESULT, False): FOREIGN,
    (REFUSED, True): None,
    (REFUSED, False): FOREIGN,
    (LOG, True): None,
    (LOG, False): FOREIGN,
    (CRASH, True): "grew past the memory limit",
    (CRASH, False): FOREIGN,
    (STOPPED, True): "told that a component was stopped that it was not to stop",
    (STOPPED, False): FOREIGN,
    (ANSWER, True): "answered for a secret that it was not asked for",
    (ANSWER, False): FOREIGN,
    (REPLY, True): "sent a reply to a request that it was not given",
    (REPLY, False): FOREIGN,
    (STEP, True): None,  # of a run that there is not: dropped
    (STEP, False): FOREIGN,
    (VALIDATED, True): "validated options that it was not asked for",
    (VALIDATED, False): FOREIGN,
    **{(kind, True): KIND for kind in range(1, 8)},
    **{(kind, False): FOREIGN for kind in range(1, 8)},
    (99, True): "unknown type of message",
    (99, False): "unknown type of message",
}


def name_of(kind, own):
    return f"forge-{kind}-{'own' if own else 'foreign'}"


def test_each_message_in_every_name(skymond, tmp_path):
    """All of them at once; what they claim of each other, of a store and of its consumer has no effect."""
    config = store_config(tmp_path)
    config["components"] |= {name_of(kind, own): component("t_forge_wire", type=kind, own=own, isolation="own", timeout="5s")
                             for kind, own in CLAIMS}
    config["components"]["good"] = component("t_ok")
    daemon = skymond(config)
    for (kind, own), text in CLAIMS.items():
        if text is None:
            daemon.wait_component(name_of(kind, own), status="healthy")
            continue
        reason = "killed" if (kind, own) == (CRASH, True) else "crashed"
        found = daemon.wait_component(name_of(kind, own), timeout=30, status="unknown", reason=reason)
        assert text in found["message"], found
        line = daemon.wait_log(re.compile(f"component={name_of(kind, own)} .*{text}|plugin=t_forge_wire .*worker .*{text}"))
        assert "level=error" in line
    for name in ("good", "lock", "store"):
        daemon.wait_component(name, status="healthy")
    restarts = [line for line in daemon.metrics().splitlines() if line.startswith("skymon_plugin_restarts_total{")]
    assert any('"t_store"' in line and line.endswith(" 0") for line in restarts), restarts
    assert not [line for line in daemon.log_lines() if "forged" in line and "plugin=t_forge_wire" not in line]


def test_nobody_answers_for_a_store(skymond, tmp_path):
    """A store takes its time, and meanwhile every number that a counter would have reached is answered in every name."""
    config = store_config(tmp_path)
    config["components"]["store"]["delay"] = "2s"
    config["components"]["evil"] = component("t_forge_wire", type=ANSWER, isolation="own", timeout="5s")
    config["components"]["evil-own"] = component("t_forge_wire", type=ANSWER, own=True, isolation="own", timeout="5s")
    daemon = skymond(config)
    daemon.wait_component("evil", status="unknown", reason="crashed")
    daemon.wait_component("evil-own", status="unknown", reason="crashed")
    found = daemon.wait_component("lock", status="healthy")
    assert found["details"]["secret_size"] == len(FIRST), found
    assert not any("reason=auth_failed" in line for line in daemon.log_lines()), "it was given another one first"
    assert grep(daemon, "forged-geheim", FIRST) == []


def test_the_right_number_is_not_enough(skymond, tmp_path):
    """The number of an ask has leaked to a component of another worker, which answers with it in its own name."""
    (tmp_path / "right").write_text("honest")
    kept = str(tmp_path / "number")
    daemon = skymond({"components": {
        "lock": component("t_lock", file=str(tmp_path / "right"), secret={"store": "word#x"}),
        "store": component("t_forge_wire", kept=kept),
        "evil": component("t_forge_wire", kept=kept, own=True, isolation="own", interval="200ms", timeout="150ms")}})
    found = daemon.wait_component("evil", status="unknown", reason="crashed")
    assert "answered for a secret that it was not asked for" in found["message"], found
    assert not any("reason=auth_failed" in line for line in daemon.log_lines()), "the lock was given it"
    daemon.wait_component("lock", status="healthy")


@pytest.mark.parametrize("lease", ["0", "300"])
def test_a_slow_store_is_not_a_hostile_one(skymond, tmp_path, lease):
    """Its answer comes when the consumer has been taken out of the config, and it is not ended for that."""
    config = store_config(tmp_path, lease)
    config["components"]["store"]["delay"] = "1s"
    daemon = skymond(config)
    wait_until(lambda: (tmp_path / "keep" / "word.asked").exists(), 10, "the question")
    store = config["components"].pop("store")
    config["components"] = {"good": component("t_ok"), "store": store}
    mark = daemon.log_mark()
    daemon.write_config(config)
    daemon.hup()
    daemon.wait_log("config reloaded", after=mark)
    daemon.wait_component("store", status="healthy")
    wait_until(lambda: daemon.component("store")["last_check"] > daemon.component("good")["last_check"], 15, "one more check")
    assert "worker" not in "\n".join(daemon.log_lines()[mark:])

# SPDX-License-Identifier: Apache-2.0
"""The claims of a worker: each type of message, in its own name and in that of others, with numbers that a counter would give."""
import re

import pytest
from harness import SOURCE, wait_until
from test_secrets import FIRST, grep, store_config
from test_workers import component


def wire_types():
    """{name: number} of enum wire_type: what either end may send."""
    text = next(SOURCE.glob("core/**/wire.h")).read_text()
    text = re.sub(r"/\*.*?\*/", "", re.search(r"enum wire_type {(.*?)};", text, re.S).group(1), flags=re.S)
    found, number = {}, -1
    for name, value in re.findall(r"WIRE_(\w+)(?: = (\d+))?", text):
        number = int(value) if value else number + 1
        found[name] = number
    return found


TYPES = wire_types()
FOREIGN = "sent a message of a component that it does not have"
KIND = "sent a message that only the daemon sends"
NO_TYPE = "unknown type of message"
FROM_THE_DAEMON = ["START", "RUN", "STOP", "ASK", "REQUEST", "SANDBOX", "CANCEL", "VALIDATE"]
SOON = "asked to be started again as soon as it was up"

# The log's text about the worker that sent it in its own name, in that of another component, and in that of none. None: it may.
CLAIMS = {
    "HELLO": ("sent a hello of a component", "sent a hello of a component", "sent its hello twice"),
    "STARTED": ("reported twice that a component was started", FOREIGN, FOREIGN),
    "RESULT": ("sent the result of a check that was not asked for", FOREIGN, FOREIGN),
    "REFUSED": (None, FOREIGN, FOREIGN),
    "LOG": (None, FOREIGN, None),
    "CRASH": ("grew past the memory limit", FOREIGN, "grew past the memory limit"),
    "STOPPED": ("reported the stop of a component that it was not to stop", FOREIGN, FOREIGN),
    "ANSWER": ("sent a secret that it was not asked for", FOREIGN, FOREIGN),
    "REPLY": ("sent a reply to a request that it did not get", FOREIGN, FOREIGN),
    "STEP": (None, FOREIGN, FOREIGN),  # of a run that there is not: dropped
    "OBSERVED": (None, FOREIGN, FOREIGN),  # asked for by skymon run alone: dropped
    "VALIDATED": ("validated options that it was not asked for", FOREIGN, FOREIGN),
    "STALE": (SOON, FOREIGN, SOON),
    **{name: (KIND, FOREIGN, FOREIGN) for name in FROM_THE_DAEMON},
    "no type": (NO_TYPE, NO_TYPE, NO_TYPE),
}
WHOSE = ("own", "foreign", "none")


def test_each_type_is_a_row():
    """One that is added to wire.h needs a row here."""
    assert set(CLAIMS) == {*TYPES, "no type"}


def rows():
    return [(kind, whose, text) for kind, texts in CLAIMS.items() for whose, text in zip(WHOSE, texts)]


def name_of(kind, whose):
    return f"forge-{kind.lower().replace(' ', '-')}-{whose}"


def test_each_message_in_every_name(skymond, tmp_path):
    """All of them at once; what they claim of each other, of a store and of its consumer has no effect."""
    config = store_config(tmp_path)
    config["components"] |= {name_of(kind, whose): component(
        "t_forge_wire", type=TYPES.get(kind, 99), own=whose == "own", none=whose == "none", isolation="own", timeout="5s") for kind, whose, _ in rows()}
    config["components"]["good"] = component("t_ok")
    daemon = skymond(config)
    for kind, whose, text in rows():
        name = name_of(kind, whose)
        if text is None:
            daemon.wait_component(name, status="healthy")
            continue
        reason = "killed" if kind == "CRASH" and whose != "foreign" else "crashed"
        found = daemon.wait_component(name, timeout=30, status="unknown", reason=reason)
        assert text in found["message"], found
        line = daemon.wait_log(re.compile(f"component={name} .*{text}|plugin=t_forge_wire .*worker .*{text}"))
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
    config["components"]["evil"] = component("t_forge_wire", type=TYPES["ANSWER"], isolation="own", timeout="5s")
    config["components"]["evil-own"] = component("t_forge_wire", type=TYPES["ANSWER"], own=True, isolation="own", timeout="5s")
    daemon = skymond(config)
    daemon.wait_component("evil", status="unknown", reason="crashed")
    daemon.wait_component("evil-own", status="unknown", reason="crashed")
    found = daemon.wait_component("lock", status="healthy")
    assert found["details"]["secret_size"] == len(FIRST), found
    assert not any("reason=auth_failed" in line for line in daemon.log_lines()), "it was given another one first"
    assert grep(daemon, "forged-geheim", FIRST) == []


@pytest.mark.parametrize("isolation", ["own", "shared"])
def test_the_right_number_is_not_enough(skymond, tmp_path, isolation):
    """The number of an ask has leaked to a component of another worker, or of the store's own, which answers with it in its own name."""
    (tmp_path / "right").write_text("honest")
    kept = str(tmp_path / "number")
    daemon = skymond({"components": {
        "lock": component("t_lock", file=str(tmp_path / "right"), secret={"store": "word#x"}),
        "store": component("t_forge_wire", kept=kept),
        "evil": component("t_forge_wire", kept=kept, own=True, isolation=isolation, interval="200ms", timeout="150ms")}})
    line = daemon.wait_log(re.compile("sent a secret that it was not asked for|reason=auth_failed"))
    assert "sent a secret" in line, "the lock was given it"
    daemon.wait_component("lock", status="healthy")


def test_answers_in_another_order(skymond, tmp_path):
    """Each consumer is given what it asked for, whichever the store answers first: the number is looked at too."""
    keep = tmp_path / "keep"
    keep.mkdir()
    words = ("fast-1", "slow", "fast-2")
    for word in words:
        (keep / word).write_text(f"secret of {word}")
    daemon = skymond({"components": {
        **{word: component("t_lock", file=str(keep / word), secret={"store": f"{word}#0"}) for word in words},
        "store": component("t_store", folder=str(keep), delay="1s", delayed="slow")}})
    wait_until(lambda: all((keep / f"{word}.asked").exists() for word in words), 10, "all the questions")
    for word in words:
        wait_until(lambda: daemon.component(word)["last_check"], 10, "a result")  # pylint: disable=cell-var-from-loop
        assert daemon.component(word)["status"] == "healthy", daemon.component(word)


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

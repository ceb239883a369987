# SPDX-License-Identifier: Apache-2.0
"""Secrets from files and from a component that keeps them: handed over, read again when refused or when the lease ends, never shown."""
import json
import pathlib

from harness import run_skymond, wait_until
from test_workers import component

FIRST, SECOND = "first-geheim-77", "second-geheim-88"


def grep(daemon, *words):
    """Where one of the words is: log, answers, arguments, environments."""
    found = []
    texts = {"log": daemon.log_text(), "metrics": daemon.metrics(), "status": daemon.get("/api/v1/status").text}
    for pid in [daemon.pid, *daemon.children()]:
        for name in ("cmdline", "environ"):
            texts[f"{name} of {pid}"] = pathlib.Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
    for where, text in texts.items():
        found += [(where, word) for word in words if word in text]
    return found


def store_config(tmp_path, lease="0"):
    (tmp_path / "keep").mkdir(exist_ok=True)
    (tmp_path / "keep" / "word").write_text(FIRST)
    (tmp_path / "right").write_text(FIRST)
    return {"plugins": {"prometheus": {}}, "components": {
        "lock": component("t_lock", file=str(tmp_path / "right"), secret={"store": f"word#{lease}"}, interval="500ms"),
        "store": component("t_store", folder=str(tmp_path / "keep"))}}


def test_a_secret_of_a_store_and_its_rotation(skymond, tmp_path):
    daemon = skymond(store_config(tmp_path))
    daemon.wait_component("lock", status="healthy")
    assert not any("reason=auth_failed" in line for line in daemon.log_lines())  # a store that only starts is not logged
    (tmp_path / "right").write_text(SECOND)
    found = daemon.wait_component("lock", status="unhealthy", reason="auth_failed")
    assert FIRST not in json.dumps(found)
    (tmp_path / "keep" / "word").write_text(SECOND)
    daemon.wait_component("lock", timeout=12, status="healthy")
    assert grep(daemon, FIRST, SECOND) == []


def test_the_end_of_a_lease(skymond, tmp_path):
    daemon = skymond(store_config(tmp_path, lease="700"))
    daemon.wait_component("lock", status="healthy")
    (tmp_path / "keep" / "word").write_text(SECOND + "longer")
    wait_until(lambda: daemon.component("lock")["details"]["secret_size"] == len(SECOND + "longer"), 10, "the new value")


def test_a_lease_of_a_moment(skymond, tmp_path):
    """It does not make skymond ask without end."""
    daemon = skymond(store_config(tmp_path, lease="1"))
    daemon.wait_component("lock", status="healthy")
    asked = tmp_path / "keep" / "word.asked"
    wait_until(lambda: len(asked.read_text().splitlines()) >= 5, 20, "five questions")
    times = [int(line.split()[1]) for line in asked.read_text().splitlines()]
    assert all(later - earlier >= 450 for earlier, later in zip(times, times[1:])), times


def test_a_lease_that_ends_while_the_store_refuses(skymond, tmp_path):
    """The consumer goes on with what it has, and the store is asked until it answers."""
    daemon = skymond(store_config(tmp_path, lease="700"))
    daemon.wait_component("lock", status="healthy")
    (tmp_path / "keep" / "word").unlink()
    daemon.wait_log("no such secret")
    assert daemon.component("lock")["status"] == "healthy"
    (tmp_path / "keep" / "word").write_text(SECOND + "longer")
    wait_until(lambda: daemon.component("lock")["details"]["secret_size"] == len(SECOND + "longer"), 45, "the new value")


def test_a_store_that_has_it_not_yet(skymond, tmp_path):
    config = store_config(tmp_path)
    (tmp_path / "keep" / "word").unlink()
    daemon = skymond(config)
    found = daemon.wait_component("lock", status="unknown", reason="auth_failed")
    assert "no such secret" in found["message"] and "store" in found["message"]
    (tmp_path / "keep" / "word").write_text(FIRST)
    daemon.wait_component("lock", timeout=40, status="healthy")


def test_a_store_that_is_not_configured(skymond, tmp_path):
    config = store_config(tmp_path)
    config["components"]["store"]["folder"] = ""
    daemon = skymond(config)
    found = daemon.wait_component("lock", status="unknown", reason="auth_failed")
    assert "not configured" in found["message"]


def test_a_store_that_crashes_when_asked(skymond, tmp_path):
    """It is named, the consumer says at once why it cannot run, does not crash it again and again, and both come back."""
    config = store_config(tmp_path)
    (tmp_path / "keep" / "word").write_text("crash")
    daemon = skymond(config)
    daemon.wait_component("store", status="unknown", reason="crashed")
    found = daemon.wait_component("lock", status="unknown", reason="auth_failed", timeout=8)  # not after the deadline of the question
    assert "the worker of that component crashed with SIGABRT" in found["message"], found
    asked = tmp_path / "keep" / "word.asked"
    wait_until(lambda: len(asked.read_text().splitlines()) >= 3, 40, "three questions")
    first, second, third = (int(line.split()[1]) for line in asked.read_text().splitlines()[:3])
    assert second - first >= 950 and third - second >= 1950, (first, second, third)  # the consumer's back-off, not the store's restart
    (tmp_path / "keep" / "word").write_text(FIRST)
    daemon.wait_component("store", timeout=40, status="healthy")
    daemon.wait_component("lock", timeout=40, status="healthy")


def test_a_running_consumer_outlives_its_store(skymond, tmp_path):
    config = store_config(tmp_path)
    daemon = skymond(config)
    daemon.wait_component("lock", status="healthy")
    config["components"]["store"]["folder"] = ""
    daemon.write_config(config)
    daemon.hup()
    daemon.wait_log("config reloaded")
    before = daemon.component("lock")["last_check"]
    wait_until(lambda: daemon.component("lock")["last_check"] > before, 5, "one more check")
    assert daemon.component("lock")["status"] == "healthy"


def test_a_secret_file_that_is_replaced(skymond, tmp_path):
    (tmp_path / "right").write_text(FIRST)
    (tmp_path / "word").write_text(FIRST + "\n")
    daemon = skymond({"plugins": {"prometheus": {}}, "components": {
        "lock": component("t_lock", file=str(tmp_path / "right"), secret={"file": str(tmp_path / "word")}, interval="500ms")}})
    daemon.wait_component("lock", status="healthy")
    (tmp_path / "right").write_text(SECOND)
    daemon.wait_component("lock", status="unhealthy", reason="auth_failed")
    (tmp_path / "word").write_text(SECOND + "\n")
    daemon.wait_component("lock", timeout=12, status="healthy")
    assert grep(daemon, FIRST, SECOND) == []


def test_a_store_may_not_ask_a_store(tmp_path):
    text = f"plugin_path: [{__import__('harness').TEST_PLUGINS}]\ncomponents:\n  a: {{plugin: t_lock, file: x, secret: {{b: 'p#0'}}}}\n  b: {{plugin: t_ok}}\n"
    done = run_skymond(text, "--check-config", name="c.yaml")
    assert done.returncode == 2 and "keeps secrets" in done.stderr, done.stderr

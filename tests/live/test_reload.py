# SPDX-License-Identifier: Apache-2.0
"""HUP: what changed is changed, what did not keeps its worker, result and counters; a bad file changes nothing."""
import copy
import threading

import requests

from harness import wait_until
from test_workers import checks, component


def base(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text("healthy")
    return {"plugins": {"prometheus": {}}, "components": {
        "a": component("t_file", path=str(tmp_path / "a"), impact="unhealthy"),
        "b": component("t_file", path=str(tmp_path / "b"), impact="unhealthy"),
        "c": component("t_ok", impact="unhealthy")}}


def reload(daemon, config):
    mark = daemon.log_mark()
    daemon.write_config(config)
    daemon.hup()
    return daemon.wait_log("config reloaded", after=mark)


def test_a_hundred_reloads_under_probes(skymond, tmp_path):
    """Half of them broken: /ready is 200 at every moment, and nothing is restarted that did not change."""
    config = base(tmp_path)
    daemon = skymond(config)
    wait_until(lambda: daemon.get("/api/v1/ready").status_code == 200, 10, "ready")
    workers, pid = set(daemon.children()), daemon.pid
    before = checks(daemon)
    codes, stop = [], threading.Event()

    def probe():
        session = requests.Session()
        while not stop.is_set():
            codes.append(session.get(daemon.url + "/api/v1/ready", timeout=5).status_code)

    probes = [threading.Thread(target=probe) for _ in range(3)]
    for thread in probes:
        thread.start()
    try:
        for turn in range(100):
            changed = copy.deepcopy(config)
            mark = daemon.log_mark()
            if turn % 2:
                changed["components"]["d"] = component("t_ok", impact="none", interval=f"{1 + turn % 5}s")
                reload(daemon, changed)
            else:
                changed["components"]["c"]["intervall"] = "5s"
                daemon.write_config(changed)
                daemon.hup()
                daemon.wait_log("the old one stays in force", after=mark)
        wait_until(lambda: len(codes) > 300 and all(number > before[name] for name, number in checks(daemon).items() if name in "abc"), 10,
                   "answers and checks meanwhile")
    finally:
        stop.set()
        for thread in probes:
            thread.join()
    assert set(codes) == {200}, {code: codes.count(code) for code in set(codes)}
    assert set(daemon.children()) == workers and daemon.pid == pid
    assert "skymon_config_last_reload_successful 1" in daemon.metrics()


def test_a_bad_reload_changes_nothing_and_says_so(skymond, tmp_path):
    daemon = skymond(base(tmp_path))
    daemon.wait_component("a", status="healthy")
    daemon.write_config("listen: [\n")
    mark = daemon.log_mark()
    daemon.hup()
    daemon.wait_log("the old one stays in force", after=mark)
    assert daemon.component("a")["status"] == "healthy"
    assert "skymon_config_last_reload_successful 0" in daemon.metrics()
    reload(daemon, base(tmp_path))
    assert "skymon_config_last_reload_successful 1" in daemon.metrics()


def test_what_a_reload_changes(skymond, tmp_path):
    config = base(tmp_path)
    daemon = skymond(config)
    for name in "abc":
        daemon.wait_component(name, status="healthy")
    since = daemon.component("a")["since"]
    worker = set(daemon.children())
    # options of b change, c goes, e comes
    (tmp_path / "other").write_text("degraded")
    config["components"]["b"]["path"] = str(tmp_path / "other")
    del config["components"]["c"]
    config["components"]["e"] = component("t_slow", ms=10)
    reload(daemon, config)
    assert daemon.component("b")["status"] in ("healthy", "degraded")  # its last status stays until the first new result
    daemon.wait_component("b", status="degraded")
    daemon.wait_component("e", status="healthy")
    assert daemon.component("a")["since"] == since
    assert daemon.get("/api/v1/health/c").status_code == 404
    assert 'component="c"' not in daemon.metrics()
    names = [c["name"] for c in daemon.get("/api/v1/status").json()["health"]["components"]]
    assert names == ["a", "b", "e"]
    assert len(set(daemon.children()) & worker) == 1  # t_file's worker stays, t_ok's left
    # b names a file that t_file's worker may not open, so it has another one
    wait_until(lambda: sorted(daemon.children().values()) == ["t_file", "t_file", "t_slow"], 10, "the worker of t_ok to leave")


def test_thresholds_and_impact_need_no_restart(skymond, tmp_path):
    config = base(tmp_path)
    daemon = skymond(config)
    daemon.wait_component("c", status="healthy")
    workers = set(daemon.children())
    config["components"]["c"]["warn"] = {"response_time": "0ms"}
    reload(daemon, config)
    found = daemon.wait_component("c", status="degraded", reason="threshold_warn")
    assert "response_time" in found["message"]
    assert set(daemon.children()) == workers


def test_a_hanging_component_can_be_removed(skymond, tmp_path):
    (tmp_path / "stuck").touch()
    config = {"components": {"h": component("t_hang", file=str(tmp_path / "stuck")), "g": component("t_ok")}}
    daemon = skymond(config)
    daemon.wait_component("h", status="unhealthy", reason="timeout")
    del config["components"]["h"]
    reload(daemon, config)
    assert daemon.get("/api/v1/health/h").status_code == 404
    daemon.wait_component("g", status="healthy")
    wait_until(lambda: len(daemon.children()) == 1, 45, "the hung worker to be ended after its grace")


def test_a_stop_that_hangs_costs_no_neighbour_its_name(skymond):
    """A component whose stop never returns is removed: its worker is ended for it, and the neighbour only runs again."""
    config = {"plugins": {"prometheus": {}}, "components": {
        "bad": component("t_start_hangs", hang_stop=True), "good": component("t_start_hangs")}}
    daemon = skymond(config)
    daemon.wait_component("good", status="healthy")
    worker = set(daemon.children())
    del config["components"]["bad"]
    reload(daemon, config)
    wait_until(lambda: not set(daemon.children()) & worker, 20, "the worker with the hanging stop to be ended")
    daemon.wait_component("good", status="healthy", reason="ok")
    assert not any("component=good" in line and "killed" in line for line in daemon.log_lines())


def test_the_interval_and_the_folder_of_a_component(skymond):
    """Each component has a folder of its own, which only skymond's user may enter; a reload changes the interval that the check sees, and no worker."""
    config = {"components": {name: component("t_all_options", interval="300ms") for name in ("a", "b-1")}}
    daemon = skymond(config)
    for name in config["components"]:
        folder = daemon.state_dir / "t_all_options" / name
        found = daemon.wait_component(name, status="healthy")
        assert found["message"] == f"state_dir is {folder}" and found["details"]["interval_ms"] == 300
        assert folder.stat().st_mode & 0o7777 == 0o700
    workers = set(daemon.children())
    config["components"]["a"]["interval"] = "200ms"
    reload(daemon, config)
    wait_until(lambda: daemon.component("a")["details"]["interval_ms"] == 200, 10, "the new interval")
    assert daemon.component("b-1")["details"]["interval_ms"] == 300 and set(daemon.children()) == workers

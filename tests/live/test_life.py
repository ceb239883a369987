# SPDX-License-Identifier: Apache-2.0
"""load, start, check, stop, unload: the last two also when the daemon stops, within shutdown.timeout."""
import time

import pytest

from harness import wait_until
from test_workers import component


def stations(path):
    return path.read_text().split("\n")[:-1] if path.exists() else []


def start(skymond, path, count=3, shutdown=None, **options):
    components = {f"c{i}": component("t_life", file=str(path), **(options if i == 0 else {})) for i in range(count)}
    daemon = skymond({"components": components, **({"shutdown": shutdown} if shutdown else {})})
    wait_until(lambda: {f"check c{i}" for i in range(count)} <= set(stations(path)), 10, "the first checks")
    return daemon


@pytest.mark.sanitized
def test_stop_and_unload_when_the_daemon_stops(skymond, tmp_path):
    path = tmp_path / "life"
    daemon = start(skymond, path)
    daemon.wait_component("c0", status="healthy")
    daemon.stop()
    found = stations(path)
    assert found[-1] == "unload all", found
    for i in range(3):
        assert found.index(f"start c{i}") < found.index(f"check c{i}") < found.index(f"stop c{i}"), found
        assert found.count(f"stopped c{i}") == 1, found
    assert "stops after 0 ms" in daemon.log_text()  # what it logs is still read


def test_a_slow_stop_has_its_time(skymond, tmp_path):
    path = tmp_path / "life"
    start(skymond, path, stop="3s").stop()
    assert stations(path)[-1] == "unload all"


def test_a_stop_that_hangs_is_ended(skymond, tmp_path):
    """After shutdown.timeout, with a line that names the plugin; the daemon's exit is a good one."""
    path = tmp_path / "life"
    daemon = start(skymond, path, stop="1h", shutdown={"timeout": "1s"})
    daemon.stop()
    assert "stop c0" in stations(path) and "stopped c0" not in stations(path)
    assert any("plugin=t_life" in line and "did not exit" in line for line in daemon.log_lines()), daemon.log_text()


def test_a_check_that_is_out_keeps_to_its_time(skymond, tmp_path):
    """Its time is over when the daemon stops: it returns, and is stopped like the others."""
    path = tmp_path / "life"
    daemon = start(skymond, path, check="1h", timeout="1h", interval="2h")
    began = time.monotonic()
    daemon.stop()
    print(f"{time.monotonic() - began:.1f} s")
    found = stations(path)
    assert found[-1] == "unload all" and found.index("checked c0") < found.index("stop c0"), found


def test_a_check_that_hangs_costs_its_own_stop(skymond, tmp_path):
    path = tmp_path / "life"
    start(skymond, path, check="1h", timeout="1h", interval="2h", stubborn=True).stop()
    found = stations(path)
    assert "stopped c1" in found and "stopped c2" in found and "stop c0" not in found and "unload all" not in found, found


def test_a_crash_in_stop_is_reported(skymond, tmp_path):
    daemon = start(skymond, tmp_path / "life", crash=True)
    daemon.stop()
    assert any("plugin=t_life" in line and "SIGABRT while stopping" in line for line in daemon.log_lines()), daemon.log_text()


def test_a_plugin_that_no_component_needs_is_unloaded(skymond, tmp_path):
    path = tmp_path / "life"
    daemon = start(skymond, path)
    daemon.write_config({"components": {"other": component("t_ok")}})
    daemon.hup()
    wait_until(lambda: stations(path)[-1] == "unload all", 10, "the plugin to be unloaded")
    assert sorted(line for line in stations(path) if line.startswith("stopped")) == ["stopped c0", "stopped c1", "stopped c2"]
    daemon.wait_component("other", status="healthy")

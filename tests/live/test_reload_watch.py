# SPDX-License-Identifier: Apache-2.0
"""`reload: watch`: one reload after a quiet second, by the path of SIGHUP. tests/unit/test_reload_watch.c has the ways in which files change."""
import os

from harness import wait_until
from test_workers import component

RELOADED = "config reloaded"


def watches(daemon):
    """Whether the daemon has an inotify descriptor."""
    folder = f"/proc/{daemon.pid}/fd"
    return any(os.path.islink(f"{folder}/{fd}") and os.readlink(f"{folder}/{fd}") == "anon_inode:inotify" for fd in os.listdir(folder))


def test_a_watched_configuration(skymond):
    """Turned on by a reload; a ConfigMap's exchange; bad, then good; turned off by itself."""
    config = {"include": ["conf/*.yaml"], "plugins": {"prometheus": {}}, "components": {"a": component("t_ok")}}
    daemon = skymond(config)
    folder = daemon.config.parent / "conf"
    for version in "12":
        (folder / f"..{version}").mkdir(parents=True)
        (folder / f"..{version}" / "team.yaml").write_text(f"components: {{v{version}: {{plugin: t_ok}}}}\n")
    (folder / "..data").symlink_to("..1")
    (folder / "team.yaml").symlink_to("..data/team.yaml")
    daemon.write_config({"reload": "watch", **config})
    daemon.hup()
    daemon.wait_log(RELOADED)
    assert daemon.component("v1")["name"] == "v1"
    wait_until(lambda: watches(daemon), 15, "the watching")
    (folder / "..new").symlink_to("..2")
    os.replace(folder / "..new", folder / "..data")
    wait_until(lambda: daemon.get("/api/v1/health/v2").status_code != 404, 15, "v2")
    assert daemon.get("/api/v1/health/v1").status_code == 404
    assert daemon.get("/api/v1/status").json()["config"]["last_reload"]["ok"] is True
    mark = daemon.log_mark()
    (folder / "team2.yaml").write_text("components: {b: {plugin: t_ok, intervall: 1s}}\n")
    daemon.wait_log("the old one stays in force", after=mark)
    state = daemon.get("/api/v1/status").json()["config"]["last_reload"]
    assert state["ok"] is False and "team2.yaml:1:" in state["errors"][0] and "skymon_config_last_reload_successful 0" in daemon.metrics()
    assert daemon.component("v2")["name"] == "v2"
    (folder / "team2.yaml").write_text("components: {good: {plugin: t_ok}}\n")
    wait_until(lambda: daemon.get("/api/v1/health/good").status_code != 404, 15, "the mended file to count")
    daemon.write_config(config)
    wait_until(lambda: not watches(daemon), 15, "the end of the watching")
    (folder / "late.yaml").write_text("components: {late: {plugin: t_ok}}\n")
    assert "late" not in [found["name"] for found in daemon.get("/api/v1/status").json()["health"]["components"]]

# SPDX-License-Identifier: Apache-2.0
"""A plugin's code is taken from its file once: what happens to the file afterwards harms nothing, and SIGHUP takes a new one."""
import os
import shutil
import signal
import subprocess

import pytest
from harness import ROOT, need, run_skymond, wait_until
from test_workers import component, restarts

CODE = """
#include <skymon/plugin.h>
static enum skymon_status check(struct skymon *sm, void *state) {{ (void)state; return skymon_healthy(sm, "{says}"); }}
{more}
SKYMON_PLUGIN(t_made, "{version}", "for tests", .check = check);
"""


def build(folder, says, version="1.0", more=""):
    """Makes t_made.so aside; returns its bytes."""
    folder.mkdir(exist_ok=True)
    source, made = folder / "made.c", folder / "made.so"
    source.write_text(CODE.format(says=says, version=version, more=more))
    subprocess.run([need("cc"), "-shared", "-fPIC", "-I", ROOT / "include", "-o", made, source], check=True)
    return made.read_bytes()


def overwrite(path, content):
    """In place, as cp does: the inode stays."""
    with open(path, "r+b") as file:
        file.truncate(0)
        file.write(content)


def kill_worker(daemon):
    for pid in daemon.children():
        os.kill(pid, signal.SIGKILL)


def reloaded(daemon, text):
    mark = daemon.log_mark()
    daemon.hup()
    return daemon.wait_log(text, after=mark)


@pytest.fixture
def made(tmp_path):
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "t_made.so").write_bytes(build(tmp_path / "build", "first"))
    return folder


def config(folder):
    return {"plugin_path": [str(folder)], "plugins": {"prometheus": {}}, "components": {"a": component("t_made"), "b": component("t_made")}}


def test_an_overwritten_file_ends_nothing(skymond, made):
    daemon = skymond(config(made))
    daemon.wait_component("a", status="healthy", message="first")
    overwrite(made / "t_made.so", b"\0" * 4096)
    seen = daemon.component("a")["last_check"]
    wait_until(lambda: daemon.component("a")["last_check"] > seen, 10, "one more check")
    assert restarts(daemon)["t_made"] == 0
    kill_worker(daemon)  # the next one runs the code whose table is bound
    wait_until(lambda: restarts(daemon)["t_made"] == 1, 10, "a restart")
    daemon.wait_component("a", status="healthy", message="first")
    reloaded(daemon, "the old one stays in force")
    (made / "t_made.so").unlink()
    reloaded(daemon, "the old one stays in force")
    daemon.wait_component("b", status="healthy", message="first")


def test_a_reload_takes_the_new_code(skymond, made, tmp_path):
    daemon = skymond(config(made))
    daemon.wait_component("a", status="healthy", message="first")
    workers = set(daemon.children())
    reloaded(daemon, "config reloaded")
    assert set(daemon.children()) == workers  # nothing has changed
    overwrite(made / "t_made.so", build(tmp_path / "build", "second", "2.0"))
    kill_worker(daemon)
    wait_until(lambda: restarts(daemon)["t_made"] == 1, 10, "a restart")
    assert daemon.wait_component("a", status="healthy")["message"] == "first"
    reloaded(daemon, "config reloaded")
    for name in "ab":
        daemon.wait_component(name, status="healthy", message="second")
    wait_until(lambda: len(daemon.children()) == 1, 10, "the old worker to leave")
    assert any('plugin="t_made"' in line and 'version="2.0"' in line for line in daemon.metrics().splitlines())


@pytest.mark.parametrize("bad, says", [("constructor", "SIG"), ("text", "cannot open plugin"), ("open", "may be written by others")])
def test_new_code_that_cannot_be_used(skymond, made, tmp_path, bad, says):
    """The reload is refused, the old code stays, also for a worker that is started later."""
    daemon = skymond(config(made))
    daemon.wait_component("a", status="healthy", message="first")
    if bad == "constructor":
        crash = "__attribute__((constructor)) static void crash(void) { *(volatile int *)8 = 1; }"
        overwrite(made / "t_made.so", build(tmp_path / "build", "second", more=crash))
    elif bad == "text":
        overwrite(made / "t_made.so", b"no code")
    else:
        (made / "t_made.so").chmod(0o666)
    assert says in reloaded(daemon, "plugin t_made cannot be used")
    kill_worker(daemon)
    wait_until(lambda: restarts(daemon)["t_made"] >= 1, 10, "a restart")
    daemon.wait_component("a", status="healthy", message="first")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
@pytest.mark.parametrize("place", ["file", "folder", "ancestor", "link", "target"])
@pytest.mark.parametrize("how", ["mode", "owner"])
def test_who_may_write_the_code(made, tmp_path, place, how):
    """The file, its folder, every folder above, and both ends of a symbolic link."""
    deep, elsewhere = tmp_path / "deep", tmp_path / "elsewhere"
    (deep / "in").mkdir(parents=True)
    elsewhere.mkdir()
    if place in ("link", "target"):
        shutil.copy(made / "t_made.so", elsewhere / "real.so")
        (deep / "in" / "t_made.so").symlink_to(elsewhere / "real.so")
    else:
        shutil.copy(made / "t_made.so", deep / "in")
    assert run_skymond(config(deep / "in"), "--check-config").returncode == 0
    bad = {"file": deep / "in" / "t_made.so", "folder": deep / "in", "ancestor": deep, "link": deep / "in", "target": elsewhere}[place]
    if how == "mode":
        bad.chmod(0o777)
    else:
        os.chown(bad, 65534, 65534)
    found = run_skymond(config(deep / "in"), "--check-config")
    assert found.returncode == 2 and str(bad) in found.stderr, found.stderr

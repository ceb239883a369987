# SPDX-License-Identifier: Apache-2.0
"""A plugin that was taken over tries what it may not, as root and as the unit's user with no new privileges, and gets nothing."""
import ctypes
import os
import pathlib
import socket
import struct
import time

import pytest
from harness import SLOW, Folder, Skymond, family_values, run_tool, wait_until
from test_workers import component

ATTEMPTS = """constructor secret_file config decoy shadow others_state write_plugin_folder write_tmp core_pattern list_processes kernel_log device
    daemon_mem daemon_environ daemon_fd sibling_mem sibling_cmdline ptrace_daemon ptrace_sibling vm_read vm_write
    signal_daemon signal_sibling signal_group signal_all signal_thread signal_queue signal_pidfd take_descriptor signal_by_owner limit_daemon
    priority compare abstract_socket exec fork setns unshare clone_namespace clone3 mount chroot keyctl add_key request_key bpf perf
    userfaultfd io_uring module reboot shared_memory raw_packets outlive_daemon personality""".split()
NOBODY = 65534
DECOY = pathlib.Path("/tmp/skymon-decoy")
SECRET = "hvs.the-token-of-vault"


def no_new_privileges():
    ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)


def as_nobody():
    """As the unit runs it. The working folder is the daemon's own."""
    for path in [".", *(str(each) for each in pathlib.Path(".").rglob("*"))]:
        os.chown(path, NOBODY, NOBODY)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    no_new_privileges()


class Attack:
    """Secrets that t_hostile got of a daemon; each user is attacked once."""

    def __init__(self, user):
        self.folder = Folder("attack")  # one that every user reaches
        folder = self.folder.path
        token = folder / "token"
        folder.chmod(0o755)
        token.write_text(SECRET)
        token.chmod(0o600)
        if user == "nobody":
            os.chown(token, NOBODY, NOBODY)
        DECOY.write_text("bait")
        config = {"components": {"victim": component("t_lock", file=str(folder / "none"), secret={"file": str(token)})}}
        self.daemon = Skymond(config, preexec_fn=as_nobody if user == "nobody" else no_new_privileges)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"\0skymon-victim-{os.getpid()}")
            listener.listen()
            wait_until(self.daemon.children, 10, "the victim's worker")
            others = self.daemon.state_dir / "t_lock" / "kept"
            others.write_text("state")
            others.chmod(0o644)
            at = {"token": token, "config": self.daemon.config, "plugin_folder": folder, "others_state": others, "scratch": "/tmp"}
            config["components"]["evil"] = component(
                "t_hostile", daemon=self.daemon.pid, sibling=min(self.daemon.children()), victim_socket=f"skymon-victim-{os.getpid()}",
                **{name: f"@{path}" for name, path in at.items()})
            self.daemon.write_config(config)
            if user == "nobody":
                self.daemon.config.chmod(0o644)
            self.daemon.hup()
            self.got = self.daemon.wait_component("evil", status="healthy")["details"]
            self.victim = self.daemon.component("victim")

    def end(self):
        DECOY.unlink(missing_ok=True)
        self.daemon.stop()
        self.folder.remove()


@pytest.fixture(scope="module", params=["root", "nobody"])
def attack(request):
    if os.geteuid() != 0:
        pytest.skip("the test changes users")
    attacked = Attack(request.param)
    yield attacked
    attacked.end()


@pytest.mark.parametrize("name", ATTEMPTS)
def test_attempt(attack, name):
    assert attack.got[name].startswith("no: "), (name, attack.got[name])


def test_all_attempts_are_rows(attack):
    assert sorted(attack.got) == sorted(ATTEMPTS)
    assert attack.victim["last_check"], "the victim lives"


# ---- Files that are replaced, and kernels that lack a guard ----

def settle():
    """A worker that has just started does not ask to be started again."""
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 1.2, 5, "the worker to have run for a while")


def test_a_file_that_was_replaced_is_read_again(skymond, tmp_path):
    """As a certificate, a pid file or resolv.conf is: another inode, which the worker's rules do not know. No false result is seen."""
    path, found = tmp_path / "word", set()
    path.write_text("healthy first")
    daemon = skymond({"components": {"a": component("t_file", path=str(path), interval="200ms"),
                                     "b": component("t_file", path=str(tmp_path / "later"), interval="200ms")}})
    daemon.wait_component("a", status="healthy", message="first")
    daemon.wait_component("b", status="unknown")
    settle()
    for turn in ("second", "third"):
        (tmp_path / "draft").write_text(f"healthy {turn}")
        (tmp_path / "draft").rename(path)

        def look():
            found.add(daemon.component("a")["status"])
            return daemon.component("a")["message"] == turn
        wait_until(look, 10, turn)
        settle()
    assert found == {"healthy"}
    (tmp_path / "later").write_text("degraded now")  # one that was not there
    daemon.wait_component("b", status="degraded", message="now")


def test_a_worker_is_renewed_only_for_what_its_plugin_may_have_missed(skymond, tmp_path):
    """Its state goes with it."""
    path, folder, flagged = (tmp_path / name for name in ("word", "folder", "flagged"))
    folder.mkdir()
    for file in (path, folder / "word", flagged):
        file.write_text("healthy first")
    daemon = skymond({"components": {"a": component("t_file", path=str(folder / "word"), also=str(folder), interval="100ms"),
                                     "b": component("t_file", path=str(path), also=str(flagged), interval="100ms")}})
    for name in "ab":
        daemon.wait_component(name, status="healthy")

    def after(change, renewed):
        settle()
        before = min(daemon.children())
        change()
        daemon.wait_component("a", status="healthy")
        if renewed:
            wait_until(lambda: before not in daemon.children() and daemon.component("b")["status"] == "healthy", 10, "another worker")
        else:
            settle()
            assert list(daemon.children()) == [before]

    def replace(file, text):
        (tmp_path / "draft").write_text(text)
        (tmp_path / "draft").rename(file)

    after(lambda: replace(folder / "word", "healthy second"), renewed=False)
    daemon.wait_component("a", message="second")
    after(flagged.unlink, renewed=False)
    after(lambda: flagged.write_text("no check opens it, but the plugin says that it may"), renewed=True)
    after(path.unlink, renewed=False)
    daemon.wait_component("b", status="unknown")
    after(lambda: path.write_text("healthy again"), renewed=True)


def without(*calls):
    """A preexec_fn: these system calls are not there."""
    def prepare():
        lines = [(0x20, 0, 0, 0)]  # the number
        for number in calls:
            lines += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | 38)]  # ENOSYS
        lines.append((0x06, 0, 0, 0x7FFF0000))
        program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
        given = struct.pack("HxxxxxxQ", len(lines), ctypes.addressof(program))
        no_new_privileges()
        assert ctypes.CDLL(None).prctl(22, 2, given, 0, 0) == 0
    return prepare


LANDLOCK, RESTRICT, SECCOMP = 444, 446, 317 if os.uname().machine == "x86_64" else 277


@pytest.mark.parametrize("calls, says, guards", [
    ((LANDLOCK,), "has no Landlock, no Landlock's scopes", {"files": 0, "signals": 0, "system_calls": 1}),
    ((SECCOMP,), "has no seccomp filters", {"files": 1, "signals": 1, "system_calls": 0}),
    ((LANDLOCK, SECCOMP), "no seccomp filters", {"files": 0, "signals": 0, "system_calls": 0}),
])
def test_a_kernel_without(skymond, calls, says, guards):
    """One line in the log, a metric, and the checks run; strict makes it an error."""
    config = {"plugins": {"prometheus": {}}, "components": {"a": component("t_ok")}}
    daemon = skymond(config, preexec_fn=without(*calls))
    daemon.wait_component("a", status="healthy")
    daemon.wait_log(says)
    assert len([line for line in daemon.log_lines() if says in line]) == 1
    assert family_values(daemon, "skymon_isolation") == {f'{{guard="{name}"}}': value for name, value in guards.items()}
    strict = skymond({**config, "isolation": "strict"}, preexec_fn=without(*calls), wait=False)
    strict.process.wait(10 * SLOW)
    assert strict.stop(expect=None) == 2 and "isolation is strict" in strict.log_text()


def test_a_worker_that_cannot_be_confined(skymond):
    """The kernel says that it can, and then does not: the worker notices it. strict: it opens no plugin."""
    config = {"components": {"a": component("t_ok")}}
    daemon = skymond(config, preexec_fn=without(RESTRICT))
    daemon.wait_component("a", status="healthy")
    assert "level=warn" in daemon.wait_log("could not be confined, although the kernel can")
    strict = {**config, "isolation": "strict"}
    daemon.write_config(strict)
    daemon.hup()
    for each in (daemon, skymond(strict, preexec_fn=without(RESTRICT))):
        each.wait_log("isolation is strict, and this kernel cannot confine the worker's files signals", timeout=5)
        wait_until(lambda each=each: "isolation is strict" in each.wait_component("a", timeout=5, status="unknown")["message"], 5, "the reason")


def test_a_kernel_with_all(skymond):
    daemon = skymond({"isolation": "strict", "plugins": {"prometheus": {}}, "components": {"a": component("t_ok")}})
    daemon.wait_component("a", status="healthy")
    assert set(family_values(daemon, "skymon_isolation").values()) == {1}
    assert not any("this kernel has no" in line for line in daemon.log_lines())


@pytest.mark.parametrize("plugin, says", [("host", "needs: to read /proc and /sys"), ("process", "needs: to look into other processes"),
                                          ("vault", None)])
def test_needs_are_shown(plugin, says):
    shown = run_tool("plugins", plugin).stdout
    assert (says in shown) if says else ("needs:" not in shown), shown


def test_a_secret_lies_in_locked_memory(skymond, tmp_path):
    """VmLck of the worker that was given one; its siblings have none. No core dump has what is locked."""
    (tmp_path / "token").write_text(SECRET)
    daemon = skymond({"components": {"a": component("t_lock", file=str(tmp_path / "none"), secret={"file": str(tmp_path / "token")}),
                                     "b": component("t_ok")}})
    daemon.wait_component("b", status="healthy")
    wait_until(lambda: daemon.component("a")["last_check"], 10, "a result")
    workers = {name: pathlib.Path(f"/proc/{pid}") for pid, name in daemon.children().items()}
    locked = {name: int((folder / "status").read_text().split("VmLck:")[1].split()[0]) for name, folder in workers.items()}
    assert locked["t_lock"] >= 4 and locked["t_ok"] == 0, locked
    flags = [line.split()[1:] for line in (workers["t_lock"] / "smaps").read_text().splitlines() if line.startswith("VmFlags:")]
    assert [("dd" in each) for each in flags if "lo" in each] == [True], flags

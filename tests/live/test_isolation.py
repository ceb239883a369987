# SPDX-License-Identifier: Apache-2.0
"""A plugin that was taken over tries what it may not, as root and as the unit's user with no new privileges, and gets nothing."""
import ctypes
import os
import pathlib
import socket

import pytest
from harness import Folder, Skymond, wait_until
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
    """What t_hostile got of a daemon; each user is attacked once."""

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
        DECOY.unlink()
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

# SPDX-License-Identifier: Apache-2.0
"""A machine that runs a real systemd: PID 1 of PID, mount, network, UTS, IPC and cgroup namespaces of its own, over an overlay of
this system (machine_boot says how). Units run in it as shipped, DynamicUser and sandboxing included.

    machine.write("/etc/skymon/skymon.yaml", text)       # the machine's files; this system keeps its own
    machine.run("systemctl", "start", "skymon")          # a CompletedProcess; check=False takes a failure
    machine.show("skymon", "StatusText")                 # systemctl show -p … --value
    machine.journal("skymon")                            # the unit's log, from machine.since on

The fixture `machine` is one for all tests, each with the units as shipped.
"""
import os
import pathlib
import signal
import subprocess
import time

import pytest
import yaml

from harness import Output, ROOT, end_process, need, wait_until

WEB = {"plugin": "tcp", "interval": "1s", "address": "127.0.0.1:8080"}
REFUSED = {"plugin": "tcp", "interval": "1s", "address": "127.0.0.1:9"}


class Machine:
    def __init__(self):
        if os.geteuid() != 0:
            refuse("a machine with systemd needs root")
        if not pathlib.Path("/lib/systemd/systemd").exists():
            refuse("systemd is not installed")
        self.process = subprocess.Popen(
            [need("unshare"), "--mount", "--propagation", "private", pathlib.Path(__file__).with_name("machine_boot"), ROOT],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        self.output = Output(self.process.stdout)
        self.init = None
        self.since = 0
        try:
            wait_until(self._booted, 60, "the machine to boot")
        except BaseException:
            print("\n".join(self.output.lines))
            self.close()
            raise
        self.root = pathlib.Path(f"/proc/{self.init}/root")

    def _booted(self):
        if self.process.poll() is not None:
            refuse("no machine with systemd can be made here: " + "; ".join(self.output.lines[-2:]))
        starter = next((line.split()[1] for line in self.output.lines if line.startswith("unshare ")), None)
        children = pathlib.Path(f"/proc/{starter}/task/{starter}/children").read_text().split()
        if not children or os.readlink(f"/proc/{children[0]}/exe").split("/")[-1] != "systemd":
            return False
        self.init = int(children[0])
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")

    def command(self, *words):
        """The words as a command that runs in the machine."""
        return ["nsenter", f"--target={self.init}", "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--root", "--wd",
                *map(str, words)]

    def run(self, *words, check=True, timeout=120, **options):
        done = subprocess.run(self.command(*words), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout, **options)
        assert not check or done.returncode == 0, f"{words} exited with {done.returncode}: {done.stdout}{done.stderr}"
        return done

    def write(self, path, text, mode=0o644):
        """Replaces a file of the machine at once."""
        file = self.root / str(path).lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(file.name + ".new")
        draft.write_text(text)
        draft.chmod(mode)
        draft.rename(file)

    def show(self, unit, name):
        return self.run("systemctl", "show", unit, "-p", name, "--value").stdout.strip()

    def journal(self, unit):
        self.run("journalctl", "--sync")  # what was written is read
        return self.run("journalctl", "-u", unit, "-o", "cat", "--no-pager", f"--since=@{self.since:.6f}").stdout

    def close(self):
        if self.init is not None:
            os.kill(self.init, signal.SIGKILL)  # all its processes end with it
            self.process.wait(30)
        end_process(self.process)


def refuse(why):
    if os.environ.get("CI") == "true":
        pytest.fail(f"{why}, and under CI nothing is skipped")
    pytest.skip(why)


@pytest.fixture(scope="session")
def booted():
    machine = Machine()
    yield machine
    machine.close()


@pytest.fixture
def machine(booted):
    """The machine with the units as shipped, and nothing of an earlier test."""
    booted.run("bash", "-c", "systemctl stop skymon.socket skymon.service; systemctl reset-failed skymon.socket skymon.service;"
               "rm -rf /etc/systemd/system/skymon.* /etc/default/skymon /var/lib/private/skymon", check=False)
    for unit in (ROOT / "lib/systemd/system").glob("skymon.*"):
        booted.write(f"/etc/systemd/system/{unit.name}", unit.read_text())
    booted.run("systemctl", "daemon-reload")
    booted.since = time.time()
    booted.config = ROOT / "etc/skymon/skymon.yaml"
    return booted


def configure(machine, components=None, **keys):
    machine.write(machine.config, yaml.safe_dump({"components": components or {"web": WEB}, **keys}, sort_keys=False))


def start(machine, *args, **keys):
    configure(machine, *args, **keys)
    done = machine.run("systemctl", "start", "skymon", check=False)
    assert done.returncode == 0, done.stderr + machine.journal("skymon")


def drop_in(machine, text):
    machine.write("/etc/systemd/system/skymon.service.d/test.conf", text)
    machine.run("systemctl", "daemon-reload")


def sockets(machine, *lines):
    machine.write("/etc/systemd/system/skymon.socket.d/test.conf", "\n".join(["[Socket]", *lines, ""]))
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "skymon.socket")


def get(machine, path, *options, user="root"):
    """(code, body) of a request from inside the machine."""
    done = machine.run("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "curl", "-sS", "-m", "30", "-w", "\n%{http_code}", *options,
                       "http://127.0.0.1:8080" + path, check=False)
    body, _, code = done.stdout.rpartition("\n")
    return int(code or 0), body or done.stderr

# SPDX-License-Identifier: Apache-2.0
"""etc/container/Containerfile: its steps are run in systems of Debian 13, and its result as a container engine runs it, with user,
PID, mount and network namespaces of its own, without capabilities, read-only. With SKYMON_ENGINE=buildah that builds the image, which takes
minutes: only its base is a system of ours, under the name that the file asks for."""
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess

import pytest

from debian import BUILD, System, lacking, releases
from harness import SLOW, SOURCE, Folder, end_process, need, wait_until

INSTRUCTION = re.compile(r"^([A-Z]+) (.*)$", re.S)
# From outside of the image's root, as a process in a chroot may not make user namespaces: other users and processes, all mounts read-only but the state's, and skymond as PID 1.
RUN = r"""
mount -t proc none /proc
unshare --user sh -c 'kill -STOP $$; exec unshare --mount --pid --fork --kill-child --propagation private sh -ec "$0" - "$@"' '
mount --rbind "$ROOT" "$ROOT" && cd "$ROOT"
mount -t proc none proc && mount -t tmpfs -o ro none sys && mount --rbind /dev dev
mount -o remount,bind,ro .
[ -z "$STATE" ] || mount -t tmpfs -o uid=${USER%:*},gid=${USER#*:},mode=700 none var/lib/skymon
[ -z "$CONFIG" ] || mount --bind -o ro "$CONFIG" etc/skymon
exec chroot "$ROOT" setpriv --reuid=${USER%:*} --regid=${USER#*:} --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"' "$@" &
until grep -q '^State:.*T' /proc/$!/status; do sleep 0.02; done
echo 0 0 100000 >/proc/$!/uid_map && echo 0 0 100000 >/proc/$!/gid_map && kill -CONT $! && wait $!
"""


def instructions():
    text = re.sub(r"^#.*\n", "", (SOURCE / "etc/container/Containerfile").read_text(), flags=re.M).replace("\\\n", " ")
    return [INSTRUCTION.match(line).groups() for line in text.splitlines() if line.strip()]


class Engine:
    """buildah, with a store of its own."""

    def __init__(self, program):
        self.folder = Folder("engine")
        self.words = [need(program), "--storage-driver", "vfs", "--root", f"{self.folder.path}/store", "--runroot", f"{self.folder.path}/run"]

    def run(self, *words, timeout=120):
        done = subprocess.run([*self.words, *map(str, words)], capture_output=True, text=True, timeout=timeout * SLOW, stdin=subprocess.DEVNULL, cwd=SOURCE)
        assert done.returncode == 0, f"{words}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout.strip()

    def build(self):
        """The image's settings and its root."""
        base = self.run("from", "scratch")
        subprocess.run(["sh", "-c", 'tar -C "$1" -c --exclude=./work . | tar -x -C "$2"', "-", BUILD / "debian-13", self.run("mount", base)], check=True)
        self.run("commit", "--format", "docker", base, "docker.io/library/debian:13-slim")
        words = re.search(r"^podman build (.*)$", (SOURCE / "doc/production.md").read_text(), re.M)[1].split()
        self.run("build", "--isolation", "chroot", "--pull-never", *words, timeout=900)
        made = self.run("from", "--pull-never", "skymon")
        return json.loads(self.run("inspect", made))["Docker"]["config"], pathlib.Path(self.run("mount", made))

    def close(self):
        self.run("umount", "--all")
        self.folder.remove()


class Image:
    """The last stage's system, with the values of what an engine applies when it runs the image."""

    def __init__(self):
        self.stages, self.settings, self.system, self.engine = {}, {}, None, None
        try:
            if program := os.environ.get("SKYMON_ENGINE"):
                self.engine = Engine(program)
                settings, root = self.engine.build()
                self.stages[""] = self.system = System(root, "13")
            for word, rest in instructions():
                if self.engine is None or word not in ("FROM", "RUN", "COPY", "WORKDIR"):
                    getattr(self, f"do_{word.lower()}")(rest)
            if self.engine is not None:
                assert [settings["User"], settings["Healthcheck"]["Test"][1:], settings["Entrypoint"]] == [
                    self.settings[name] for name in ("user", "health", "entrypoint")]
                assert list(settings["Volumes"]) == [self.settings["volume"]] and list(settings["ExposedPorts"]) == [self.settings["port"] + "/tcp"]
        except BaseException:
            self.close()
            raise

    def do_from(self, rest):
        image, _, stage = rest.partition(" AS ")
        assert image == "docker.io/library/debian:13-slim"
        # The first has the compilers already, so that its apt-get has little to do.
        self.system = System(BUILD / ("trixie-system" if stage == "build" else "debian-13"), "13")
        self.stages[stage] = self.system
        self.folder = "/"

    def do_run(self, rest):
        if mounted := re.match(r"--mount=type=bind,from=(\w+),source=(\S+),target=(\S+)\s+", rest):
            assert mounted[1] in self.stages and mounted[2] == mounted[3] == "/debs"  # where System has the packages
            rest = rest[mounted.end():]
        self.system.run(f"cd {self.folder} && {rest}", timeout=500)

    def do_copy(self, rest):
        source, target = rest.split()
        place = pathlib.Path(f"{self.system.path}{target}")
        if source != ".":
            place.write_bytes((SOURCE / source).read_bytes())
            return
        place.mkdir()
        left_out = [f"--exclude=./{name}" for name in (SOURCE / ".dockerignore").read_text().split()]
        subprocess.run(["sh", "-c", 'to=$1; shift; tar -c "$@" . | tar -x -C "$to"', "-", place, *left_out], cwd=SOURCE, check=True, timeout=60 * SLOW)

    def do_workdir(self, rest):
        self.folder = rest

    def keep(self, name, rest):
        self.settings[name] = rest

    def do_user(self, rest):
        self.keep("user", rest)

    def do_volume(self, rest):
        self.keep("volume", rest)

    def do_expose(self, rest):
        self.keep("port", rest)

    def do_healthcheck(self, rest):
        self.keep("health", json.loads(rest.partition(" CMD ")[2]))

    def do_entrypoint(self, rest):
        self.keep("entrypoint", json.loads(rest))

    def close(self):
        for system in self.stages.values():
            system.close()
        if self.engine is not None:
            self.engine.close()


class Container:
    def __init__(self, image, config=None, state=True):
        values = {"USER": image.settings["user"], "ROOT": f"{image.system.folder.path}/root", "STATE": "1" if state else "", "CONFIG": ""}
        if config is not None:
            (image.system.path / "config").mkdir(exist_ok=True)
            (image.system.path / "config/skymon.yaml").write_text(config)
            values["CONFIG"] = "config"
        script = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items()) + RUN
        self.image = image
        self.starter = subprocess.Popen([*image.system.enter[:3], "--mount", "--pid", "--net", "sh", "-c", script, "-", *image.settings["entrypoint"]], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.log = []
        while "msg=listening" not in "".join(self.log):
            line = self.starter.stderr.readline()
            assert line, "".join(self.log)
            self.log.append(line)
        found = self.starter.pid
        while os.readlink(f"/proc/{found}/exe").rpartition("/")[2] != "skymond":  # nsenter, unshare, then the container's PID 1
            children = pathlib.Path(f"/proc/{found}/task/{found}/children").read_text().split()
            found = int(children[0])
        self.pid = found

    def status(self):
        return dict(re.findall(r"^(\w+):\t(.*)$", pathlib.Path(f"/proc/{self.pid}/status").read_text(), re.M))

    def run(self, *words):
        """As an engine runs a health check: with the container's user and in its namespaces."""
        user, _, group = self.image.settings["user"].partition(":")
        return subprocess.run(["nsenter", f"--target={self.pid}", "--user", "--mount", "--pid", "--net", "--root", "--wd", f"--setuid={user}",
                               f"--setgid={group}", *words], capture_output=True, text=True, timeout=60 * SLOW)

    def healthy(self):
        return self.run(*self.image.settings["health"]).returncode

    def processes(self):
        """State and command of each process of the container."""
        return self.run("sh", "-c", "cat /proc/[0-9]*/stat").stdout

    def stop(self):
        os.kill(self.pid, signal.SIGTERM)
        self.log += self.starter.communicate(timeout=30 * SLOW)[1].splitlines()
        return self.starter.returncode


@pytest.fixture(scope="module")
def image():
    if "13" not in releases():
        lacking("the packages of Debian 13 were not built")
    made = Image()
    yield made
    made.close()


@pytest.fixture
def container(image):
    started = []

    def start(*args, **options):
        started.append(Container(image, *args, **options))
        return started[-1]

    yield start
    for each in started:
        if each.starter.poll() is None:
            os.kill(each.pid, signal.SIGKILL)  # PID 1: the kernel ends all others
        end_process(each.starter, signal.SIGKILL)


def components(command):
    listed = json.dumps(command)
    return f"""listen: ":8080"
components:
  machine: {{plugin: host, impact: none}}
  probe: {{plugin: exec, interval: 1s, command: {listed}}}
"""


def test_the_image_as_it_is(container, image):
    running = container()
    status = running.status()
    assert status["NSpid"].split()[-1] == "1" and status["Uid"].split()[0] == image.settings["user"].partition(":")[0] != "0"
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0 and status["NoNewPrivs"] == "1"
    wait_until(lambda: running.healthy() == 0, 20, "a health check that passes")
    assert "healthy" in running.run("skymon", "status", "host").stdout
    for path in ("/", "/etc/skymon", "/tmp", "/var/lib", "/run"):
        assert running.run("sh", "-c", f"echo >{path}/new").returncode != 0, path
    assert running.stop() == 0
    assert not [line for line in running.log if "Read-only" in line or "level=error" in line], running.log


def test_orphans_are_reaped_and_a_bad_service_is_unhealthy(container, image):
    # The child leaves its session and is left by its parent: PID 1 gets it.
    running = container(components(["/bin/sh", "-c", "(setsid sleep 0.1 &) ; (setsid sleep 300 &) ; echo ok"]))
    wait_until(lambda: "healthy" in running.run("skymon", "status", "probe").stdout.split(), 20, "the check's result")
    for turn in range(3):
        running.run("sh", "-c", "(sleep 0.1 &) ; (setsid sleep 0.2 &)")  # orphans that no check has started
    wait_until(lambda: not re.search(r"\(sleep\)|\) Z ", running.processes()), 30, "no orphan, dead or alive")
    assert running.healthy() == 0
    (image.system.path / "config/skymon.yaml").write_text(components(["/bin/sh", "-c", "exit 2"]))
    os.kill(running.pid, signal.SIGHUP)
    wait_until(lambda: running.healthy() == 1, 20, "a health check that fails")
    assert running.stop() == 0


def test_without_any_writable_path(container):
    running = container(state=False)
    wait_until(lambda: running.healthy() == 0, 20, "a health check that passes")
    assert running.stop() == 0

# SPDX-License-Identifier: Apache-2.0
"""A Debian system to install into: an overlay of a folder that ./dev has made, which ends with its process and leaves the folder as it was.

    with System(SOURCE / "build/debian-13") as system:
        system.run("apt-get install -y /debs/*.deb")      # a shell; the built packages of that release are in /debs
        system.run("skymond --check-config", check=False).returncode
        (system.path / "etc/skymon/skymon.yaml").read_text()

Each system has mounts, processes and a network of its own: what listens on its loopback meets nothing else.
"""
import os
import pathlib
import shutil
import subprocess

import pytest

from harness import SLOW, SOURCE, Folder, need, wait_until

BUILD = SOURCE / "build"
# A shell that lives as long as the system, as PID 1 of its own processes.
HOLD = r"""
set -e
mount -t tmpfs -o mode=755 none "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" none "$2/root"
cd "$2/root"
mkdir -p debs
[ ! -d "$3" ] || mount --bind "$3" debs
mount -t proc none proc
mount -t sysfs -o ro none sys
mount --rbind /dev dev
"$4" link set lo up
echo ready
exec sleep infinity
"""


def releases():
    """The releases that ./dev deb has built packages for."""
    return sorted(path.parent.name for path in (BUILD / "deb").glob("*/complete"))


def lacking(why):
    if os.environ.get("CI") == "true":
        pytest.fail(f"{why}, and under CI nothing is skipped")
    pytest.skip(why)


def bring_packages(machine):
    """The built packages of this release in the machine's /debs, and nothing of skymon installed there yet."""
    release = next(line.split('"')[1] for line in pathlib.Path("/etc/os-release").read_text().splitlines() if line.startswith("VERSION_ID="))
    packages = sorted((BUILD / "deb" / release).glob("*.deb"))
    if not packages:
        lacking(f"the packages of Debian {release} were not built")
    (machine.root / "debs").mkdir(exist_ok=True)
    for package in packages:
        shutil.copy(package, machine.root / "debs")
    machine.run("bash", "-ec", "rm -f /usr/sbin/policy-rc.d /var/lib/man-db/auto-update /etc/systemd/system/skymon.*")


class System:
    def __init__(self, base, release):
        if os.geteuid() != 0:
            lacking("systems need root")
        base = pathlib.Path(base)
        if base != pathlib.Path("/") and not (base / "complete").exists():
            lacking(f"{base} was not made: ./dev test package does")
        self.folder = Folder("system")
        self.path = None
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private", "sh", "-c", HOLD, "-", base, self.folder.path,
             BUILD / "deb" / release, need("ip")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "ready\n":
            lacking(f"a system cannot be made of {base}: {self.holder.stderr.read()}")
        inside = pathlib.Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children").read_text().split()[0]
        self.path = pathlib.Path(f"/proc/{inside}/root{self.folder.path}/root")
        self.enter = ["nsenter", "--target", inside, "--mount", "--pid", f"--root={self.path}", f"--wd={self.path}"]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        self.holder.kill()  # unshare; the kernel ends its child, PID 1, and with it all others
        self.holder.communicate()
        wait_until(lambda: self.folder.remove() or True, 20, "the system's end")

    def command(self, script, net=False):
        """argv of a shell in the system. Its network is the system's own for `net`, otherwise the machine's, for apt."""
        return [*self.enter, *(["--net"] if net else []), "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
                "DEBIAN_FRONTEND=noninteractive", "sh", "-ec", script]

    def run(self, script, check=True, net=False, timeout=120):
        done = subprocess.run(self.command(script, net), capture_output=True, text=True, timeout=timeout * SLOW, stdin=subprocess.DEVNULL)
        assert not check or done.returncode == 0, f"{script}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def files(self):
        """Every path of the system, without what the kernel shows and what package managers write for themselves."""
        own = r"\( -path ./proc -o -path ./sys -o -path ./dev -o -path ./debs -o -path ./var/lib/dpkg -o -path ./var/lib/apt -o -path ./var/cache -o -path ./var/log \)"
        return set(self.run(rf"cd / && find . {own} -prune -o -print").stdout.split("\n"))

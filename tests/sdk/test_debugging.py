# SPDX-License-Identifier: Apache-2.0
"""GUIDE's way with gdb, on a worker of `skymon run`: attach, stop in the check past its usual time, look, go on."""
import subprocess

import pytest

from callers import only_as_root
from harness import ROOT, SLOW, need, wait_until
from test_outsider import C, SOURCE, build, only_installed  # noqa: F401 (a fixture)


@pytest.mark.parametrize("flags", ["0", "SKYMON_NEEDS_EXEC"])
def test_gdb(flags, tmp_path):
    """A worker that may start programs has a parent of the same name; the newest process is the worker."""
    only_as_root()
    (tmp_path / "disk.c").write_text((SOURCE / "sdk/examples/disk/disk.c").read_text().replace(".check = check", f".check = check, .flags = {flags}"))
    build("gcc", [*C, "-g", "-O0"], tmp_path / "disk.c", tmp_path / "disk.so")
    words = [ROOT / "bin/skymon", "run", "disk", "--plugin-path", ".", "--timeout", "1h", "--count", "1000", "--output", "text"]
    with open(tmp_path / "out", "w") as out, subprocess.Popen(words, cwd=tmp_path, stdout=out, stderr=out, stdin=subprocess.DEVNULL) as tool:
        try:
            def runs():
                return (tmp_path / "out").read_text().count("% free")
            wait_until(lambda: runs() > 0, what="a first run")
            worker = subprocess.run(["pgrep", "-n", "-f", "skymon-worker.*/disk.so"], capture_output=True, text=True, check=True).stdout.strip()
            done = subprocess.run(["timeout", "-s", "KILL", "60", need("gdb"), "-nx", "-batch", "-p", worker, "-ex", "break check", "-ex", "continue",
                                   "-ex", "next", "-ex", "next", "-ex", "print *d", "-ex", "detach"],
                                  cwd="/", capture_output=True, text=True, timeout=90 * SLOW, stdin=subprocess.DEVNULL)
            assert done.returncode == 0 and "hit Breakpoint 1, check (sm=" in done.stdout and 'path = ' in done.stdout, done.stdout + done.stderr
            before = runs()
            wait_until(lambda: runs() > before, what="the runs go on")
        finally:
            tool.kill()
    assert "error" not in (tmp_path / "out").read_text()

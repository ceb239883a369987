# SPDX-License-Identifier: Apache-2.0
"""A plugin author's view: only the installed files ($SKYMON_ROOT, found by pkg-config), a compiler and `skymon run`."""
import ctypes
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from harness import ROOT, SLOW, need, run_skymond, run_tool

SOURCE = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
C = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror", "-O2"]
# g++ calls a designated initializer that leaves members out "missing" (-Wextra); GUIDE.md says so.
CXX = ["-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Wno-missing-field-initializers", "-Werror", "-O2"]
SHARED = ["-fPIC", "-fvisibility=hidden", "-shared", "-Wl,-z,defs"]


@pytest.fixture(autouse=True)
def only_installed(monkeypatch):
    monkeypatch.setenv("PKG_CONFIG_PATH", str(ROOT / "lib" / "pkgconfig"))
    monkeypatch.setenv("PATH", f"{ROOT / 'bin'}:{os.environ['PATH']}")


def run(*command, cwd=None, env=None, expect=0):
    done = subprocess.run([str(word) for word in command], cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True,
                          timeout=120 * SLOW, stdin=subprocess.DEVNULL)
    assert done.returncode == expect, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def pkg_config(*words):
    return run(need("pkg-config"), *words, "skymon").split()


def build(compiler, flags, source, target):
    """Builds a plugin with the installed header alone: the tree's own is not on the path."""
    run(need(compiler), *flags, *SHARED, *pkg_config("--cflags"), "-o", target, source)
    return target


def skymon_run(folder, *words, code=0):
    done = run_tool("run", *words, "--plugin-path", folder)
    assert done.returncode == code, f"skymon run {words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def test_pkg_config_tells_places():
    assert pathlib.Path(pkg_config("--variable=plugindir")[0]).is_dir()
    assert pathlib.Path(pkg_config("--variable=confdir")[0]).is_dir()
    header = (ROOT / "include" / "skymon" / "plugin.h").read_text()
    major, minor = (re.search(rf"#define SKYMON_ABI_{part} (\d+)", header).group(1) for part in ("MAJOR", "MINOR"))
    assert pkg_config("--variable=abi") == [f"{major}.{minor}"]
    assert not pkg_config("--libs"), "a plugin links with nothing of ours"


def test_header_is_short():
    assert len((ROOT / "include" / "skymon" / "plugin.h").read_text().splitlines()) <= 400


def test_example_is_twenty_lines():
    lines = (SOURCE / "sdk/examples/disk/disk.c").read_text().splitlines()
    assert len([line for line in lines if "SPDX-License-Identifier" not in line]) <= 20


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_disk(compiler, tmp_path):
    build(compiler, C, SOURCE / "sdk/examples/disk/disk.c", tmp_path / "disk.so")
    assert "% free" in skymon_run(tmp_path, "disk", "path=/", "min_free=0")
    assert "% free" in skymon_run(tmp_path, "disk", "path=/", "min_free=1.1", code=2)
    assert "cannot size /no/such" in skymon_run(tmp_path, "disk", "path=/no/such", code=3)


def test_disk_by_its_makefile(tmp_path):
    folder = tmp_path / "disk"
    shutil.copytree(SOURCE / "sdk/examples/disk", folder)
    run("make", "-C", folder)
    run("make", "-C", folder, "install", f"DESTDIR={tmp_path / 'stage'}")
    plugindir = pkg_config("--variable=plugindir")[0]
    assert (tmp_path / "stage" / plugindir.lstrip("/") / "disk.so").is_file()
    run("make", "-C", folder, "try")


def test_plugin_needs_nothing_of_ours(tmp_path):
    """It exports one data symbol and opens alone: no symbol of the core is missing."""
    plugin = build("gcc", C, SOURCE / "sdk/examples/disk/disk.c", tmp_path / "disk.so")
    symbols = run(need("nm"), "-D", "--defined-only", plugin).split()
    assert symbols[1:] == ["D", "skymon_plugin"]
    descriptor = ctypes.CDLL(str(plugin), mode=os.RTLD_NOW)
    head = (ctypes.c_uint16 * 2).in_dll(descriptor, "skymon_plugin")
    assert f"{head[0]}.{head[1]}" == pkg_config("--variable=abi")[0]


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_cplusplus(compiler, tmp_path):
    build(compiler, CXX, HERE / "gauge.cc", tmp_path / "gauge.so")
    assert "hello from C++" in skymon_run(tmp_path, "gauge")
    assert "moin from C++" in skymon_run(tmp_path, "gauge", "word=moin", "colour=red")
    assert "moin from C++" in skymon_run(tmp_path, "gauge", "word=moin", "count=4", code=2)


def test_bad_options_are_named(tmp_path):
    """skymon checks what the plugin declared: unknown name with the nearest one, type, range, word."""
    build("g++", CXX, HERE / "gauge.cc", tmp_path / "gauge.so")
    for words, expected in {"wrod=x": "word", "count=10": "9", "count=many": "count", "colour=blue": "green",
                            "pause=3": "pause"}.items():
        done = run_tool("run", "gauge", words, "--plugin-path", tmp_path)
        assert done.returncode not in (0, 1) and expected in done.stdout + done.stderr, (words, done)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the layout is written down for x86_64")
def test_layout(compiler, tmp_path):
    run(need(compiler), *C, *pkg_config("--cflags"), HERE / "offsets.c", "-o", tmp_path / "offsets")
    run(tmp_path / "offsets")


@pytest.mark.parametrize("compiler", ["gcc", "clang", "g++", "clang++"])
@pytest.mark.parametrize("header", ["plugin.h", "routes.h", "secrets.h"])
def test_headers_stand_alone(compiler, header, tmp_path):
    source = tmp_path / ("alone.cc" if "+" in compiler else "alone.c")
    source.write_text(f"#include <skymon/{header}>\n#include <skymon/{header}>\nint main() {{ return 0; }}\n"
                      if "+" in compiler else f"#include <skymon/{header}>\n#include <skymon/{header}>\nint main(void) {{ return 0; }}\n")
    run(need(compiler), *(CXX if "+" in compiler else C), *pkg_config("--cflags"), source, "-o", tmp_path / "alone")


def test_in_the_daemon(skymond, tmp_path):
    """A new project in a real daemon: its target left empty, its threshold, its file away and back."""
    run("skymon", "new", "backup-age", cwd=tmp_path)
    run("make", "-C", tmp_path / "backup-age")
    backup = tmp_path / "backup"
    backup.write_text("x" * 100)
    daemon = skymond({"plugins": {"prometheus": {}}, "plugin_path": [str(tmp_path / "backup-age")], "components": {
        "backup": {"plugin": "backup-age", "interval": "1s", "file": str(backup), "crit": {"age": "1h"}},
        "none": {"plugin": "backup-age", "file": "${NO_SUCH_FILE:-}"}}})
    daemon.wait_component("backup", status="healthy")
    none = daemon.component("none")
    assert (none["status"], none["reason"]) == ("unknown", "not_configured") and "NO_SUCH_FILE" in none["message"]
    os.utime(backup, (1e9, 1e9))
    daemon.wait_component("backup", status="unhealthy", reason="threshold_crit")
    backup.unlink()
    daemon.wait_component("backup", status="unhealthy", reason="other")
    backup.write_text("new and whole")
    daemon.wait_component("backup", status="healthy")


def test_another_abi_is_refused(tmp_path):
    """A minor above the core's, and another major: refused, naming both."""
    source = (SOURCE / "sdk/examples/disk/disk.c").read_text()
    abi = pkg_config("--variable=abi")[0]
    for field, value in (("abi_minor", 200), ("abi_major", 77)):
        (tmp_path / "disk.c").write_text(source.replace(".check = check", f".check = check, .{field} = {value}"))
        run(need("gcc"), "-std=c11", "-Wno-override-init", *SHARED, *pkg_config("--cflags"), "-o", tmp_path / "disk.so",
            tmp_path / "disk.c")
        done = run_tool("run", "disk", "--plugin-path", tmp_path)
        text = done.stdout + done.stderr
        assert done.returncode not in (0, 1) and str(value) in text and abi in text, done
        done = run_skymond({"plugin_path": [str(tmp_path)], "components": {"d": {"plugin": "disk"}}}, "--check-config")
        assert done.returncode == 2 and str(value) in done.stderr and abi in done.stderr, done

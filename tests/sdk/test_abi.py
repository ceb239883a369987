# SPDX-License-Identifier: Apache-2.0
"""The ABI without today's header: plugins built against the kept headers (sdk/abi), a plugin in Rust that has only the layout, and one in Go."""
import json
import re
import subprocess

import pytest
from harness import need
from test_outsider import C, CXX, HERE, SHARED, SOURCE, run, skymon_run

HEADER = (SOURCE / "sdk/include/skymon/plugin.h").read_text()
MAJOR, MINOR = (int(re.search(rf"#define SKYMON_ABI_{part} (\d+)", HEADER)[1]) for part in ("MAJOR", "MINOR"))
KEPT = sorted(folder.name for folder in (SOURCE / "sdk/abi").glob("*.*") if folder.is_dir())
LOADED = [name for name in KEPT if name == f"{MAJOR}.{MINOR}" or (MAJOR > 0 and name.startswith(f"{MAJOR}."))]


def test_the_headers_of_today_are_kept():
    assert f"{MAJOR}.{MINOR}" in KEPT, "sdk/abi/README.md says what a change of the ABI takes"
    if MAJOR == 0:
        assert KEPT == LOADED


@pytest.mark.parametrize("version", LOADED)
def test_a_plugin_built_against_kept_headers_runs(version, tmp_path):
    include = f"-I{SOURCE / 'sdk/abi' / version}"
    run(need("gcc"), *C, *SHARED, include, "-o", tmp_path / "disk.so", SOURCE / "sdk/examples/disk/disk.c")
    assert json.loads(skymon_run(tmp_path, "disk", f"path={tmp_path}"))["status"] == "healthy"
    run(need("g++"), *CXX, *SHARED, include, "-o", tmp_path / "gauge.so", HERE / "gauge.cc")
    assert json.loads(skymon_run(tmp_path, "gauge"))["numbers"] == {"level": 0.8}


@pytest.mark.parametrize("version", LOADED)
def test_no_member_has_moved(version, tmp_path):
    """Members that are younger than the version are unknown to its headers; none that it has may be elsewhere."""
    lines = (HERE / "offsets.c").read_text().splitlines()
    program = tmp_path / "offsets.c"
    program.write_text("\n".join(line for line in lines if not line.startswith(("LAST(", "AT_LEAST(", "_Static_assert"))))
    command = [need("gcc"), "-std=c11", "-fsyntax-only", "-fmax-errors=0", f"-I{SOURCE / 'sdk/abi' / version}", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    moved = [line for line in done.stderr.splitlines() if "has moved" in line]
    others = [line for line in done.stderr.splitlines() if " error: " in line and "has no member named" not in line and line not in moved]
    assert not moved and not others, done.stderr


PROBE = """#include <skymon/routes.h>
#include <skymon/loop.h>
SKYMON_PLUGIN(probe, "1", "p", .state_size = 1);
const struct skymon_host *host;
const struct skymon_snapshot *snapshot;
const struct skymon_self *self;
const struct skymon_config *config;
const struct skymon_routes *routes;
const struct skymon_caller *caller;
"""


def abidiff(tmp_path, old, new):
    """Returns what abidiff says of members that are gone, elsewhere or of another type, not of those that were appended."""
    (tmp_path / "probe.c").write_text(PROBE)
    for name, include in (("old", old), ("new", new)):
        run(need("gcc"), "-g", *SHARED, f"-I{include}", "-o", tmp_path / f"{name}.so", tmp_path / "probe.c")
    done = subprocess.run([need("abidiff"), tmp_path / "old.so", tmp_path / "new.so"], capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 4, 12), done
    return re.findall(r"offset changed from .*|.*member deletion.*|type of '.*' changed|[1-9]\d* Removed", done.stdout)


@pytest.mark.parametrize("version", LOADED)
def test_abidiff(version, tmp_path):
    old = SOURCE / "sdk/abi" / version
    assert not abidiff(tmp_path, old, SOURCE / "sdk/include")
    (tmp_path / "skymon").mkdir()
    for header in (old / "skymon").iterdir():
        text = header.read_text().replace("double min, max;", "double max, min;").replace("bool stale, starting", "bool starting, stale")
        (tmp_path / "skymon" / header.name).write_text(text)
    assert abidiff(tmp_path, old, tmp_path)


def test_rust(tmp_path):
    """No line of C: a Rust compiler and the layout are enough."""
    run(need("rustc"), "--edition", "2021", "--crate-type", "cdylib", "-C", "opt-level=2", "-o", tmp_path / "lines.so", HERE / "lines.rs")
    file = tmp_path / "file"
    file.write_text("a\nb\n")
    found = json.loads(skymon_run(tmp_path, "lines", f"path={file}"))
    assert found["status"] == "healthy" and found["message"] == f"{file} has 2 lines" and found["details"] == {"path": str(file)}
    assert found["numbers"] == {"lines": 2} and found["metrics"]["file_lines"]["series"] == [{"labels": {"language": "rust"}, "value": 2}]
    assert json.loads(skymon_run(tmp_path, "lines", f"path={file}", "at_least=3", code=2))["reason"] == "other"
    assert "must be at least 1, not 0" in skymon_run(tmp_path, "lines", f"path={file}", "at_least=0", code=3)
    missing = json.loads(skymon_run(tmp_path, "lines", f"path={tmp_path / 'none'}", code=2))
    assert missing["reason"] == "missing" and missing["message"].startswith("cannot read"), missing


def test_go(tmp_path):
    """One shared object of Go files alone. Its runtime, with threads and handlers of its own, lives in the sandbox; a panic ends the worker."""
    env = {"CGO_ENABLED": "1", "CGO_CFLAGS": f"-O2 -I{SOURCE / 'sdk/include'}", "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local"}
    run(need("go"), "build", "-buildmode=c-shared", "-o", tmp_path / "lines.so", ".", cwd=HERE / "golang", env=env)
    file = tmp_path / "file"
    file.write_text("a\nb\n")
    shown, leaked = skymon_run(tmp_path, "lines", f"path={file}", "--repeat", "50").split("skymon: ")
    found = json.loads(shown)
    assert leaked.startswith("no memory") and found["status"] == "healthy" and found["message"] == f"{file} has 2 lines" and found["numbers"] == {"lines": 2}, found
    missing = json.loads(skymon_run(tmp_path, "lines", f"path={tmp_path / 'none'}", code=2))
    assert missing["reason"] == "missing" and missing["message"].startswith("cannot read"), missing
    panics = skymon_run(tmp_path, "lines", "path=/panic", code=3)
    assert '"reason": "crashed"' in panics and "panic: as asked" in panics, panics

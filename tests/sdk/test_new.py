# SPDX-License-Identifier: Apache-2.0
"""`skymon new`: projects that build, test and install themselves against the installed files alone."""
import os
import re
import shutil
import subprocess

import pytest
import yaml

from harness import ROOT, SLOW, need, run_skymond, run_tool

KINDS = ["c", "c++", "exec", pytest.param("rust", marks=pytest.mark.skipif(shutil.which("rustc") is None, reason="no rustc"))]
NAMES = ["c", "c++", "exec", "rust"]
WARNINGS = "-O2 -Wall -Wextra -Wshadow -Wpedantic -Werror"


@pytest.fixture(autouse=True)
def only_installed(monkeypatch):
    monkeypatch.setenv("PKG_CONFIG_PATH", str(ROOT / "lib" / "pkgconfig"))
    monkeypatch.setenv("PATH", f"{ROOT / 'bin'}:{os.environ['PATH']}")


def make(folder, *words, expect=0):
    done = subprocess.run(["make", "-C", str(folder), *words], capture_output=True, text=True, timeout=120 * SLOW, stdin=subprocess.DEVNULL)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout


def new(folder, *words, code=0):
    done = subprocess.run([ROOT / "bin/skymon", "new", *words], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["freshness", "my-check_2", "9"])
def test_at_once(kind, name, tmp_path):
    """make, make check and make install, of any name; the installed example of its configuration is valid."""
    assert f"cd {name}" in new(tmp_path, name, f"--{kind}")
    folder, stage = tmp_path / name, tmp_path / "stage"
    make(folder)
    assert "\nok\n" in make(folder, "check")
    make(folder, "install", f"DESTDIR={stage}")
    installed = next(stage.rglob(name if kind == "exec" else f"{name}.so"))
    example = next(stage.rglob(f"{name}.yaml.example"))
    assert example.parent.name == "conf.d" and (kind == "exec" or installed.parent.name == "plugins")
    done = run_skymond(f"plugin_path: [{installed.parent}]\n{example.read_text()}", "--check-config")
    assert done.returncode == 0, done.stderr
    assert kind != "exec" or str(installed)[len(str(stage)):] in example.read_text()
    make(folder, "clean")
    sources = {"c": ["check.c"], "c++": ["check.cc"], "exec": [name], "rust": ["check.rs", "skymon.rs"]}[kind]
    assert sorted(path.name for path in folder.iterdir()) == sorted(["Makefile", "README.md", "test", f"{name}.yaml", *sources])


@pytest.mark.parametrize("kind", KINDS)
def test_no_exports(kind, tmp_path, monkeypatch):
    """The project finds the skymon that made it, wherever that is; another one is named, or its absence is."""
    monkeypatch.delenv("PKG_CONFIG_PATH")
    monkeypatch.setenv("PATH", os.environ["PATH"].removeprefix(f"{ROOT / 'bin'}:"))
    new(tmp_path, "x", f"--{kind}")
    make(tmp_path / "x")
    assert "\nok\n" in make(tmp_path / "x", "check")
    make(tmp_path / "x", "install", f"DESTDIR={tmp_path / 'stage'}")
    assert list((tmp_path / "stage").rglob("x.yaml.example"))
    assert subprocess.run([tmp_path / "x" / "test"], capture_output=True, timeout=60 * SLOW).stdout == b"ok\n"
    for absent in ("/nowhere/skymon", "skymon-nowhere"):
        done = subprocess.run(["make", "-C", tmp_path / "x", "check", f"SKYMON={absent}"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and f"{absent} is not in PATH: make check SKYMON=/" in done.stderr and "FAILED" not in done.stdout


def test_a_folder_that_the_program_reads(tmp_path):
    """A folder among the arguments is opened by `read` alone, as the template's comment and its test have it."""
    new(tmp_path, "x", "--exec")
    program = tmp_path / "x" / "x"
    program.write_text(program.read_text().replace("file = os.stat(path)", "file = os.stat(path)\n        os.listdir(os.path.dirname(path))"))
    assert "\nok\n" in make(tmp_path / "x", "check")
    words = ("run", "exec", "protocol=json", f"command=[{program}, {tmp_path}/x/]")
    assert "cannot look at" in run_tool(*words).stdout
    assert run_tool(*words, f"read=[{tmp_path}/x]").returncode == 0


@pytest.mark.parametrize("variable", ["CC=gcc", "CC=clang", "CXX=g++", "CXX=clang++"])
def test_no_warnings(variable, tmp_path):
    need(variable.split("=")[1])
    plus = variable.startswith("CXX")
    new(tmp_path, "x", "--cxx" if plus else "--c")
    make(tmp_path / "x", variable, f"CXXFLAGS={WARNINGS} -Wno-shadow -Wno-missing-field-initializers" if plus else f"CFLAGS={WARNINGS}")


@pytest.mark.parametrize("kind", KINDS)
def test_twenty_lines(kind, tmp_path):
    """Of code: without blank lines, comments and includes. Nothing of the template is left to be renamed."""
    new(tmp_path, "short", f"--{kind}")
    source = (tmp_path / "short" / "short" if kind == "exec" else next((tmp_path / "short").glob("check.*"))).read_text()
    ignored = r'""".*?"""|#[^\n]*|import [^\n]*' if kind == "exec" else r"/\*.*?\*/|//[^\n]*|#include[^\n]*|using [^\n]*|namespace [^\n]*|mod [^\n]*|use [^\n]*"
    code = re.sub(ignored, "", source, flags=re.S)
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    for path in (tmp_path / "short").iterdir():
        assert not re.search(r"@\w+@|NAME\.|SPDX|freshness", path.read_text()), path


def test_its_test_can_fail(tmp_path):
    new(tmp_path, "broken")
    source = tmp_path / "broken" / "check.c"
    source.write_text(source.read_text().replace("st_size > 0", "st_size == 0"))
    assert 'exit 2, 0 was expected, with "written"' in make(tmp_path / "broken", "check", expect=2)


@pytest.mark.parametrize("kind", KINDS)
def test_seen_by_all_who_ask(kind, skymond, tmp_path):
    """As GUIDE has it: a new project, make, make install, its example renamed, a daemon: then in /status, /metrics and at /health/NAME."""
    new(tmp_path, "shop-age", f"--{kind}")
    stage = tmp_path / "stage"
    make(tmp_path / "shop-age", "all" if kind == "exec" else "shop-age.so")
    make(tmp_path / "shop-age", "install", f"DESTDIR={stage}")
    example = next(stage.rglob("shop-age.yaml.example")).read_text()
    folder = ROOT / "lib/skymon"
    tree = yaml.safe_load(example.replace(str(folder), f"{stage}{folder}"))
    tree["components"]["shop-age"]["interval"] = "1s"
    daemon = skymond({"plugins": {"prometheus": {}}, "plugin_path": [f"{stage}{folder}/plugins"], **tree})
    found = daemon.wait_component("shop-age", status="healthy")
    number = "seconds_age" if kind == "exec" else "age"
    assert "written" in found["message"] and found["numbers"][number] >= 0
    assert "shop-age" in [component["name"] for component in daemon.get("/api/v1/status").json()["health"]["components"]]
    metrics = daemon.metrics()
    assert re.search(r'^skymon_component_status\{component="shop-age".*\} 1$', metrics, re.M), metrics
    assert re.search(rf'^skymon_component_number\{{component="shop-age",.*number="{number}".*\}} [0-9.e+]+$', metrics, re.M), metrics


def test_rust_is_for_this_abi():
    """Its layout is written by hand, so it may not be forgotten when the header changes."""
    header = (ROOT / "include/skymon/plugin.h").read_text()
    abi = [re.search(rf"#define SKYMON_ABI_{part} (\d+)", header)[1] for part in ("MAJOR", "MINOR")]
    folder = ROOT / "share/skymon/template/rust"
    assert f"const ABI: (u16, u16) = ({', '.join(abi)});" in (folder / "skymon.rs").read_text()
    assert f"\nABI = {'.'.join(abi)}\n" in (folder / "Makefile").read_text()


@pytest.mark.skipif(shutil.which("rustc") is None, reason="no rustc")
def test_a_panic_costs_one_run(tmp_path):
    new(tmp_path, "panics", "--rust")
    source = tmp_path / "panics" / "check.rs"
    source.write_text(source.read_text().replace("let path = own.file.get();", "let path = own.file.get();\n    assert!(path != \"/panic\");"))
    make(tmp_path / "panics")
    done = run_tool("run", "panics", "file=/panic", "--plugin-path", tmp_path / "panics", "--repeat", "50")
    assert done.returncode == 3 and "the check panicked" in done.stdout and "no memory" in done.stderr, done


@pytest.mark.parametrize("words, text", [
    ([], "skymon new NAME"), (["Upper"], "not a valid name"), (["a b"], "not a valid name"), (["../x"], "not a valid name"),
    (["a/b"], "not a valid name"), (["_x"], "not a valid name"), (["x-"], "not a valid name"), (["a.b"], "not a valid name"), (["ü"], "not a valid name"),
    (["null"], "not a valid name"), (["a" * 64], "at most 63"), (["database"], "installed already"), (["x", "y"], "one name"),
    (["x", "--cobol"], "no such kind: --cobol; there are"), (["x", "--all"], "no such kind"), (["x", "--../c"], "no such kind"),
    (["x", "--"], "no such kind"), (["x", "--c", "--c++"], "two kinds")])
def test_mistakes(words, text, tmp_path):
    assert text in new(tmp_path, *words, code=3)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_never_overwritten(tmp_path):
    for name, make_it in {"folder": lambda path: path.mkdir(), "file": lambda path: path.write_text("mine"),
                          "link": lambda path: path.symlink_to("nowhere")}.items():
        make_it(tmp_path / name)
        assert f"cannot make the folder {name}" in new(tmp_path, name, code=3)
    assert (tmp_path / "file").read_text() == "mine" and not list((tmp_path / "folder").iterdir())


def test_help_names_the_kinds(tmp_path):
    text = new(tmp_path, "--help")
    assert all(f"--{kind}" in text for kind in NAMES)
    assert "skymon new" in run_tool("--help").stdout

# SPDX-License-Identifier: Apache-2.0
"""Every kind of mistake in a config, and every kind of file that is not a plugin: a clear error that names the culprit, exit 2, and nothing
half-started. All errors of a file come at once."""
import os
import time

import pytest

from harness import SLOW, TEST_PLUGINS, Folder, run_skymond

HEAD = f"plugin_path: [{TEST_PLUGINS}]\n"


def refused(text, *expected, env=None, args=("--check-config",)):
    done = run_skymond(HEAD + text, *args, env=env, name="c.yaml")
    assert done.returncode == 2, (done.returncode, done.stderr)
    for words in expected:
        assert words in done.stderr, done.stderr
    assert "listening" not in done.stderr
    return done.stderr


CASES = {
    "bad YAML": ("components: [\n", "c.yaml:"),
    "not a map": ("- a\n", "c.yaml:2:1: "),
    "unknown top-level key": ("compnents: {}\n", "c.yaml:2:1: ", "compnents", "components"),
    "unknown option": ("components:\n  a: {plugin: t_slow, mss: 5}\n", "c.yaml:3:23: ", "mss", "ms"),
    "unknown common option": ("components:\n  a: {plugin: t_ok, intervall: 5s}\n", "intervall", "interval"),
    "wrong type": ("components:\n  a: {plugin: t_slow, ms: many}\n", "c.yaml:3:27: ", "whole number"),
    "out of range": ("components:\n  a: {plugin: t_slow, ms: -1}\n", "c.yaml:3:27: ", "600000"),
    "no unit": ("components:\n  a: {plugin: t_ok, interval: 5}\n", "c.yaml:3:31: ", "unit"),
    "no plugin": ("components:\n  a: {interval: 5s}\n", "c.yaml:3:", "plugin"),
    "plugin that is not there": ("components:\n  a: {plugin: nowhere}\n", "c.yaml:3:", "nowhere", str(TEST_PLUGINS)),
    "bad name": ("components:\n  Database: {plugin: t_ok}\n", "c.yaml:3:3: ", "Database"),
    "duplicate key": ("service: {name: a}\nservice: {name: b}\n", "c.yaml:3:1: ", "2"),
    "duplicate component": ("components:\n  a: {plugin: t_ok}\n  a: {plugin: t_ok}\n", "c.yaml:4:3: ", "`a`"),
    "missing variable": ("components:\n  a: {plugin: t_file, path: '${NOT_THERE}'}\n", "c.yaml:3:", "NOT_THERE"),
    "missing variable with a message": ("components:\n  a: {plugin: t_file, path: '${NOT_THERE:?set it to a path}'}\n",
                                        "set it to a path"),
    "included file that is missing": ("include: [not-there.yaml]\n", "c.yaml:2:", "not-there.yaml"),
    "alias bomb": ("x-a: &a [1,1,1,1,1,1,1,1,1,1]\nx-b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                   "x-c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nx-d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                   "x-e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nservice: {name: *e}\n", "c.yaml"),
    "unreadable secret": ("components:\n  a: {plugin: t_all_options, secret: {file: /nonexistent/secret}}\n", "/nonexistent/secret"),
    "secret of nobody": ("components:\n  a: {plugin: t_all_options, secret: {vault: 'a/b#c'}}\n", "vault", "keeps secrets"),
    "threshold of no number": ("components:\n  a: {plugin: t_ok, warn: {respons_time: 1s}}\n", "respons_time", "response_time"),
    "threshold that is none": ("components:\n  a: {plugin: t_ok, warn: {response_time: soon}}\n", "c.yaml:3:", "soon"),
    "source of nobody": ("service: {metrics: {database_connections: db}}\n", "db"),
    "source without the number": ("service: {metrics: {database_connections: a}}\ncomponents: {a: {plugin: t_ok}}\n",
                                  "database_connections"),
    "unknown source": ("service: {metrics: {database_conections: self}}\n", "database_conections", "database_connections"),
    "two plugins on one route": ("plugins: {t_duplicate_route: {}}\n", "/api/v1/health", "t_duplicate_route", "api"),
    "a check under plugins": ("plugins: {t_ok: {}}\n", "t_ok", "components"),
    "missing certificate": ("listen: [{address: '127.0.0.1:0', tls: {cert_file: /nonexistent/c.pem, key_file: /nonexistent/k.pem}}]\n",
                            "/nonexistent/c.pem", "/nonexistent/k.pem"),
    "bad listen": ("listen: 0.0.0.0:99999\n", "c.yaml:2:", "99999"),
    # files that are no plugins
    "no symbol": ("components: {a: {plugin: t_no_symbol}}\n", "t_no_symbol", "skymon_plugin"),
    "other major": ("components: {a: {plugin: t_other_major}}\n", "t_other_major", "ABI"),
    "newer minor": ("components: {a: {plugin: t_newer_minor}}\n", "t_newer_minor", "ABI"),
    "default that does not bind": ("components: {a: {plugin: t_default_wrong}}\n", "plugin t_default_wrong: option `items`: its items: "
                                   "option `wait`: its default is wrong"),
    "short struct": ("components: {a: {plugin: t_short_struct}}\n", "t_short_struct"),
    "crashes when opened": ("components: {a: {plugin: t_constructor_crash}}\n", "t_constructor_crash", "SIG"),
    "exits when opened": ("components: {a: {plugin: t_constructor_exit}}\n", "t_constructor_exit", "exit"),
}


@pytest.mark.parametrize("name", CASES)
def test_mistake(name):
    text, *expected = CASES[name]
    refused(text, *expected)


def test_hangs_when_opened():
    began = time.monotonic()
    refused("components: {a: {plugin: t_constructor_hang}}\n", "t_constructor_hang", "did not answer")
    assert time.monotonic() - began < 15 * SLOW


def test_all_errors_at_once():
    text = refused("servce: {}\ncomponents:\n  a: {plugin: t_slow, mss: 1}\n  b: {plugin: nowhere}\n  c: {plugin: t_slow, ms: x}\n", "servce")
    text = refused("components:\n  a: {plugin: t_slow, mss: 1}\n  b: {plugin: nowhere}\n  c: {plugin: t_slow, ms: x}\n"
                   "plugins: {t_duplicate_route: {}}\n", "mss", "nowhere", "whole number", "/api/v1/health")
    assert text.count("c.yaml:") >= 4


def test_a_file_that_is_not_there():
    done = run_skymond(None, "-c", "/nonexistent/skymon.yaml", "--check-config")
    assert done.returncode == 2 and "/nonexistent/skymon.yaml" in done.stderr


def test_a_file_that_is_no_shared_object():
    folder = Folder("so")
    try:
        (folder.path / "fake.so").write_text("this is no shared object\n")
        (folder.path / "open.so").write_bytes((TEST_PLUGINS / "t_ok.so").read_bytes())
        os.chmod(folder.path / "open.so", 0o666)
        text = f"plugin_path: [{folder.path}]\ncomponents: {{a: {{plugin: fake}}, b: {{plugin: open}}}}\n"
        done = run_skymond(text, "--check-config", name="c.yaml")
        assert done.returncode == 2
        assert "fake.so" in done.stderr and "written by others" in done.stderr, done.stderr
    finally:
        folder.remove()


def test_the_same_name_in_two_files():
    folder = Folder("inc")
    try:
        (folder.path / "more.yaml").write_text("components:\n  a: {plugin: t_ok}\n")
        done = run_skymond(HEAD + f"include: ['{folder.path}/*.yaml']\ncomponents:\n  a: {{plugin: t_ok}}\n", "--check-config",
                           name="c.yaml")
        assert done.returncode == 2 and "more.yaml:2:3" in done.stderr and "c.yaml:4:3" in done.stderr, done.stderr
    finally:
        folder.remove()


def test_a_good_config_is_good():
    done = run_skymond(HEAD + "components: {a: {plugin: t_slow, ms: 5, warn: {response_time: 1s}}}\n", "--check-config")
    assert done.returncode == 0, done.stderr
    shown = run_skymond(HEAD + "components: {a: {plugin: t_all_options, secret: geheim-xyz}}\n", "--print-config")
    assert shown.returncode == 0 and "geheim-xyz" not in shown.stdout + shown.stderr, shown
    routes = run_skymond(HEAD + "plugins: {prometheus: {}}\n", "--list-routes")
    assert routes.returncode == 0 and "/api/v1/health/{component}" in routes.stdout and "/metrics" in routes.stdout


def test_bad_usage():
    assert run_skymond(None, "--what").returncode == 2
    assert run_skymond("{}", "word").returncode == 2
    assert run_skymond("{}", "--listen", "nonsense").returncode == 2
    assert run_skymond("{}", "--listen", "127.0.0.1:99999", "--check-config").returncode == 2
    assert run_skymond(None, "--version").returncode == 0
    assert "check-config" in run_skymond(None, "--help").stdout


def test_a_port_that_is_taken():
    import socket
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run_skymond("plugins: {prometheus: {}}\n", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
        assert done.returncode == 1 and str(taken.getsockname()[1]) in done.stderr

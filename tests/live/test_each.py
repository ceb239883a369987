# SPDX-License-Identifier: Apache-2.0
"""`each`: one section makes many components, from the section itself or from a file; reports, dumps and reloads treat them as any other."""
import os

import pytest

from harness import TEST_PLUGINS, Folder, run_skymond, run_tool, wait_until
from test_reload import reload
from test_workers import component

HEAD = f"plugin_path: [{TEST_PLUGINS}]\nlisten: '127.0.0.1:0'\n"


@pytest.fixture
def folder():
    made = Folder("each")
    yield made.path
    made.remove()


def run(config, *args):
    return run_skymond(None, "-c", str(config), *args)


def checked(folder, text, **files):
    (folder / "c.yaml").write_text(HEAD + text)
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(content)
    return run(folder / "c.yaml", "--check-config")


def test_a_section_of_many(skymond, tmp_path):
    for name in ("de", "fr", "it"):
        (tmp_path / name).write_text("healthy")
    section = component("t_file", path=str(tmp_path / "de"), impact="unhealthy")
    items = {"de": {}, "fr": {"path": str(tmp_path / "fr"), "interval": "7s"}, "it": {"path": str(tmp_path / "it")}}
    config = {"plugins": {"prometheus": {}}, "components": {"shop": {**section, "each": items}, "alone": component("t_ok")}}
    daemon = skymond(config)
    for name in ("shop-de", "shop-fr", "shop-it"):
        daemon.wait_component(name, status="healthy")
    assert [c["name"] for c in daemon.get("/api/v1/status").json()["health"]["components"]] == ["shop-de", "shop-fr", "shop-it", "alone"]
    assert daemon.component("shop-fr")["interval_seconds"] == 7
    assert daemon.get("/api/v1/health/shop").status_code == 404
    # a reload: one item changes, one leaves, one comes; the first keeps its result
    since, workers = daemon.component("shop-de")["since"], set(daemon.children())
    (tmp_path / "fr").write_text("degraded")
    config["components"]["shop"]["each"] = {"de": {}, "fr": {"path": str(tmp_path / "fr"), "fall": 2}, "es": {}}
    reload(daemon, config)
    daemon.wait_component("shop-es", status="healthy")
    daemon.wait_component("shop-fr", status="degraded")
    assert daemon.component("shop-de")["since"] == since and workers & set(daemon.children())
    assert daemon.get("/api/v1/health/shop-it").status_code == 404


def test_a_file_of_targets(skymond, tmp_path, folder):
    for name in ("de", "fr"):
        (tmp_path / name).write_text("healthy")
    targets = folder / "targets.yaml"
    targets.write_text(f"de: {{path: {tmp_path}/de}}\nfr: {{path: '${{FR_PATH}}'}}\n")
    config = {"components": {"shop": {**component("t_file", impact="unhealthy"), "each": {"file": str(targets)}}}}
    daemon = skymond(config, env={"FR_PATH": str(tmp_path / "fr")})
    daemon.wait_component("shop-fr", status="healthy")
    since = daemon.component("shop-de")["since"]
    # the file alone changes
    targets.write_text(f"de: {{path: {tmp_path}/de}}\nes: {{path: {tmp_path}/fr}}\n")
    reload(daemon, config)
    daemon.wait_component("shop-es", status="healthy")
    assert daemon.component("shop-de")["since"] == since and daemon.get("/api/v1/health/shop-fr").status_code == 404
    # one that others may write is refused, and so is one that is gone: the old config stays
    for spoil in (lambda: os.chmod(targets, 0o666), targets.unlink):
        spoil()
        mark = daemon.log_mark()
        daemon.hup()
        daemon.wait_log("the old one stays in force", after=mark)
        assert daemon.component("shop-es")["status"] == "healthy"


def test_mistakes(folder):
    """At the item, once for what the section shares, and in the file of the items."""
    done = checked(folder, "components:\n  s:\n    plugin: t_file\n    intervall: 5s\n    each:\n      x: {path: /x}\n      y: {pth: /y}\n      z: {path: [1]}\n")
    assert done.returncode == 2
    assert done.stderr.count("unknown option `intervall` of component s-x") == 1 and done.stderr.count("intervall") == 1
    assert "c.yaml:9:11: unknown option `pth` of component s-y (did you mean `path`?)" in done.stderr
    assert "c.yaml:10:17: option `path` of component s-z must be a text, not a list" in done.stderr
    done = checked(folder, "components:\n  s: {plugin: t_file, each: {file: t.yaml}}\n", t="ok: {path: /x}\nBad: {path: /y}\nno: {path: /z, impact: much}\n")
    assert done.returncode == 2
    assert "t.yaml:2:1: `s-Bad` is not a valid component name" in done.stderr
    assert "t.yaml:3:24: option `impact` of component s-no must be" in done.stderr
    long = "x" * 62
    done = checked(folder, f"components:\n  s: {{plugin: t_ok, each: {{{long}: }}}}\n")
    assert f"c.yaml:4:28: `s-{long}` is not a valid component name" in done.stderr
    # what a plugin's validate finds, and a plugin that is not there, at their places
    done = checked(folder, "components:\n  s: {plugin: cache, each: {file: t.yaml}}\n", t="a: {url: 'redis://h'}\nb: {url: 'http://h'}\n")
    assert "t.yaml:2:10: option `url` of component s-b must begin with redis://" in done.stderr, done.stderr
    done = checked(folder, "components:\n  s: {plugin: cahce, each: {a: , b: }}\n")
    assert done.stderr.count("c.yaml:4:15: component s-") == 1 and done.returncode == 2
    # a served plugin has none
    assert "c.yaml:3:24: unknown option `each` of plugin prometheus" in checked(folder, "plugins: {prometheus: {each: {a: }}}\n").stderr


def test_print_config_reads_back(folder):
    (folder / "c.yaml").write_text(HEAD + "components:\n  s:\n    plugin: t_file\n    labels: {a: 'x=\"1\",$$b', c: d}\n    each: {x: {path: /x}, y: {path: /y, labels: {}}}\n")
    done = run(folder / "c.yaml", "--print-config")
    assert done.returncode == 0 and "  s-x:\n" in done.stdout and 'labels: {a: "x=\\"1\\",$$b", c: "d"}' in done.stdout, done.stdout
    assert done.stdout.count("labels:") == 1 and "each" not in done.stdout
    (folder / "again.yaml").write_text(done.stdout)
    again = run(folder / "again.yaml", "--print-config")
    assert again.stdout == done.stdout


def test_the_tool_runs_one(folder):
    """`skymon run -c FILE NAME` takes an item by the name that it has."""
    (folder / "up").write_text("healthy")
    (folder / "c.yaml").write_text(HEAD + f"components:\n  s: {{plugin: t_file, each: {{x: {{path: {folder}/up}}, y: {{path: {folder}/none}}}}}}\n")
    done = run_tool("run", "-c", folder / "c.yaml", "s-x")
    assert done.returncode == 0 and '"healthy"' in done.stdout, done.stderr
    assert run_tool("run", "-c", folder / "c.yaml", "s").returncode != 0


def test_five_thousand(skymond, folder):
    """Read in well under a second of CPU, checked, served, and a reload finds that nothing changed."""
    (folder / "targets.yaml").write_text("".join(f"n{i}: {{labels: {{n: '{i}'}}, interval: {60 + i % 9}s}}\n" for i in range(5000)))
    (folder / "c.yaml").write_text(HEAD + "components: {s: {plugin: t_ok, impact: none, each: {file: targets.yaml}}}\n")
    before = os.times()
    done = run(folder / "c.yaml", "--check-config")
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    assert done.returncode == 0 and used < 1, (done.stderr, used)
    daemon = skymond({"components": {"s": {"plugin": "t_ok", "impact": "none", "each": {"file": str(folder / "targets.yaml")}}}})
    wait_until(lambda: daemon.component("s-n4999")["status"] == "healthy", 30, "the last of 5,000")
    mark = daemon.log_mark()
    daemon.hup()
    daemon.wait_log("no component changed", after=mark)


@pytest.mark.parametrize("plugin, options, words", [
    ("t_ok", {"nope": "x"}, "unknown option `nope` of component"),
    ("t_file", {"path": ["x"]}, "option `path` of component"),
    ("http", {"url": "http://127.0.0.1:1/", "tokn": "x"}, "unknown option `tokn`"),
    ("http", {"url": "http://127.0.0.1:1/", "json": ["x"]}, "json"),
    ("http", {"url": "http://127.0.0.1:1/", "json": [{"pointer": "/a", "equal": "b"}]}, "equal"),
    ("http", {"url": "http://127.0.0.1:1/", "tls": 3}, "tls"),
    ("http", {"url": "http://127.0.0.1:1/", "tls": {"ca_fil": "/x"}}, "ca_fil"),
    ("http", {"url": "http://127.0.0.1:1/", "token": {"fil": "/x"}}, "fil"),
    ("http", {"url": "http://127.0.0.1:1/", "warn": {"nope": 3}}, "nope"),
    ("tcp", {"address": "127.0.0.1:1", "reconnect": "x"}, "reconnect"),
])
def test_a_mistake_that_all_items_share(skymond, folder, plugin, options, words):
    """Reported once, at a start and a reload, which is refused: the daemon goes on with what it had."""
    good = {"components": {"alone": {"plugin": "t_ok", "interval": "60s"}}}
    bad = {"components": {**good["components"], "s": {"plugin": plugin, "impact": "none", **options, "each": {"a": {}, "b": {}, "c": {}}}}}
    done = run_skymond({"plugin_path": [str(TEST_PLUGINS)], **bad}, "--check-config")
    errors = [line for line in done.stderr.splitlines() if "level=error" in line]
    assert done.returncode == 2 and len(errors) == 1 and words in errors[0], done
    daemon = skymond(good)
    mark = daemon.log_mark()
    daemon.write_config(bad)
    daemon.hup()
    daemon.wait_log(words, after=mark)
    assert daemon.get("/api/v1/health/alone").status_code == 200 and daemon.get("/api/v1/health/s-a").status_code == 404

# SPDX-License-Identifier: Apache-2.0
"""A fault outside the config costs its own components only: a plugin that cannot be opened, a secret file that cannot be read. At a start
they are unknown with the sentence, everything else runs, and they are tried again; a reload and --check-config refuse them."""
import os
import re
import shutil
import time

import pytest

from harness import SLOW, TEST_PLUGINS, Folder, run_skymond, wait_until

GOOD = {"plugin": "t_ok", "interval": "1s"}


@pytest.fixture
def folder():
    made = Folder("blast")
    yield made.path
    made.remove()


BROKEN = {
    "not there": lambda folder: None,
    "no shared object": lambda folder: (folder / "bad.so").write_text("this is text\n"),
    "another ABI": lambda folder: shutil.copy(TEST_PLUGINS / "t_other_major.so", folder / "bad.so"),
    "no symbol": lambda folder: shutil.copy(TEST_PLUGINS / "t_no_symbol.so", folder / "bad.so"),
    "crashes when opened": lambda folder: shutil.copy(TEST_PLUGINS / "t_constructor_crash.so", folder / "bad.so"),
    "exits when opened": lambda folder: shutil.copy(TEST_PLUGINS / "t_constructor_exit.so", folder / "bad.so"),
    "hangs when opened": lambda folder: shutil.copy(TEST_PLUGINS / "t_constructor_hang.so", folder / "bad.so"),
    "writable by others": lambda folder: (shutil.copy(TEST_PLUGINS / "t_ok.so", folder / "bad.so"), os.chmod(folder / "bad.so", 0o666)),
    "another's": lambda folder: (shutil.copy(TEST_PLUGINS / "t_ok.so", folder / "bad.so"), os.chown(folder / "bad.so", 12345, -1)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_plugin_that_cannot_be_opened(name, folder, skymond):
    if name == "another's" and os.geteuid() != 0:
        pytest.skip("only root gives a file away")
    BROKEN[name](folder)
    config = {"plugin_path": [str(TEST_PLUGINS), str(folder)],
              "components": {"team": {"plugin": "bad", "interval": "1s"}, "ours": GOOD}}
    done = run_skymond(config, "--check-config")
    assert done.returncode == 2 and "plugin bad cannot be used" in done.stderr and "component team" in done.stderr, done.stderr
    sm = skymond(config)
    sm.wait_component("ours", status="healthy")
    team = sm.wait_component("team", status="unknown", reason="other")
    assert "plugin bad cannot be used: " in team["message"], team
    assert sm.get("/api/v1/health/team").status_code == 503
    assert sm.get("/api/v1/ready").status_code == 200  # its failure is known: it is not starting any more
    assert "plugin bad cannot be used" in sm.wait_log("area=config")


def test_it_is_tried_again(folder, skymond):
    config = {"plugin_path": [str(TEST_PLUGINS), str(folder)],
              "components": {"team": {"plugin": "t_late", "interval": "1s", "path": str(folder / "said")}, "ours": GOOD}}
    (folder / "said").write_text("healthy well")
    (folder / "t_late.so").write_text("half of an upload")
    sm = skymond(config)
    sm.wait_component("team", status="unknown", reason="other")
    before = sm.wait_component("ours", status="healthy")["since"]
    # by its name in the file, and so with the option `path` that it has
    data = (TEST_PLUGINS / "t_file.so").read_bytes().replace(b"t_file\0", b"t_late\0")
    (folder / "new").write_bytes(data)
    (folder / "new").rename(folder / "t_late.so")
    sm.wait_component("team", timeout=30, status="healthy")
    sm.wait_log("plugins that could not be used were opened: 1 changed (team)")
    assert sm.component("ours")["since"] == before


def test_a_reload_is_refused_for_it(folder, skymond):
    config = {"plugin_path": [str(TEST_PLUGINS), str(folder)], "components": {"ours": GOOD}}
    sm = skymond(config)
    sm.wait_component("ours", status="healthy")
    config["components"]["team"] = {"plugin": "bad"}
    sm.write_config(config)
    sm.hup()
    sm.wait_log("the new config has 1 error and is refused; the old one stays in force")
    assert sm.get("/api/v1/health/team").status_code == 404
    assert sm.component("ours")["status"] == "healthy"


def test_the_routes_of_a_plugin_that_cannot_be_opened(folder, skymond):
    config = {"plugin_path": [str(TEST_PLUGINS), str(folder)], "plugins": {"bad": {}, "prometheus": {}}, "components": {"ours": GOOD}}
    sm = skymond(config)
    answer = sm.get("/api/v1/bad/things")
    assert answer.status_code == 503 and "plugin bad cannot be used" in answer.json()["detail"], answer.text
    assert answer.headers["Retry-After"]
    assert sm.get("/metrics").status_code == 200
    sm.wait_component("ours", status="healthy")
    sm.wait_component("bad", status="unknown", reason="other")
    assert sm.get("/api/v1/ready").status_code == 200


def test_a_secret_file_that_cannot_be_read(folder, skymond):
    secret = folder / "secret"
    config = {"components": {"team": {"plugin": "t_all_options", "interval": "1s", "secret": {"file": str(secret)}}, "ours": GOOD}}
    done = run_skymond(config, "--check-config")
    assert done.returncode == 2 and f"cannot open the secret file {secret}" in done.stderr, done.stderr
    sm = skymond(config)
    sm.wait_component("ours", status="healthy")
    team = sm.wait_component("team", status="unknown", reason="auth_failed")
    assert str(secret) in team["message"], team
    secret.write_text("geheim\n")
    secret.chmod(0o600)
    sm.wait_component("team", status="healthy", timeout=40)
    secret.unlink()
    config["components"]["more"] = GOOD
    sm.write_config(config)
    sm.hup()
    sm.wait_log("the old one stays in force")
    assert sm.get("/api/v1/health/more").status_code == 404


def test_validate_names_each_option_and_its_place():
    text = ("plugin_path: [%s]\n" % TEST_PLUGINS + """components:
  a:
    plugin: t_validate
    url: http://x
    name: both
    key: given
    items: [{name: good}, {name: bad}]
  b: {plugin: t_validate, url: ""}
  c: {plugin: t_validate}
  d: {plugin: t_validate, url: "", name: n, key: k}
  e: {plugin: t_validate, url: "t://fine"}
  f: {plugin: nowhere}
  g: {plugin: t_validate, mss: 1}
""")
    done = run_skymond(text, "--check-config", name="c.yaml")
    said = done.stderr
    assert done.returncode == 2
    for line in ("c.yaml:5:10: option `url` of component a must begin with t://",
                 "c.yaml:6:11: option `name` of component a is given beside key",
                 "c.yaml:8:34: option `items[2].name` of component a must be a good one",
                 "c.yaml:11:42: option `name` of component d is given beside key",
                 "c.yaml:13:15: component f: plugin nowhere cannot be used",
                 "c.yaml:14:27: unknown option `mss`"):
        assert line in said, said
    assert "component b" not in said and "component c" not in said and "url` of component d" not in said, said
    places = [tuple(map(int, found)) for found in re.findall(r"c\.yaml:(\d+):(\d+): ", said)]
    assert places == sorted(places) and len(places) == 6, said


@pytest.mark.parametrize("mode,says", [("crash", "crashed with SIGABRT while validating its options"), ("hang", "within 5000 ms")])
def test_a_plugin_that_dies_of_its_options(mode, says, skymond):
    config = {"components": {"team": {"plugin": "t_validate", "url": "t://x", "mode": mode}, "ours": GOOD}}
    done = run_skymond(config, "--check-config")
    assert done.returncode == 2 and says in done.stderr, done.stderr
    sm = skymond({"components": {"ours": GOOD, "other": {"plugin": "t_validate", "url": "t://x", "interval": "1s"}}})
    sm.wait_component("other", status="healthy")
    config["components"]["other"] = {"plugin": "t_validate", "url": "t://x", "interval": "1s"}
    sm.write_config(config)
    sm.hup()
    sm.wait_log("the old one stays in force")
    sm.wait_log(says)
    if mode == "crash":  # the worker that was asked is up again
        sm.wait_component("other", status="healthy")
        last = sm.component("other")["last_check"]
        wait_until(lambda: sm.component("other")["last_check"] != last, 15, "the next run")


def test_validate_runs_before_a_start_and_outside_it_is_a_complaint(skymond):
    sm = skymond({"components": {"a": {"plugin": "t_validate", "url": "t://x", "interval": "1s"}}})
    sm.wait_component("a", status="healthy")
    sm.wait_log("calls skymon_invalid outside of validate")
    began = time.monotonic()
    assert run_skymond("components: {a: {plugin: t_validate, url: 'x://'}}\nplugin_path: [%s]\n" % TEST_PLUGINS).returncode == 2
    assert time.monotonic() - began < 20 * SLOW


def test_a_secret_that_ends_with_a_line_break_gets_a_hint(folder, skymond, fresh_postgres):
    """One trailing line break of a file is cut; what is left over is seldom meant."""
    pg = fresh_postgres()
    pg.psql("create role blank login password 'geheim-pw'")
    hba = pg.data / "pg_hba.conf"
    hba.write_text("host all blank 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
    pg.psql("select pg_reload_conf()")
    secret = folder / "secret"
    secret.write_text("geheim-pw \n")
    secret.chmod(0o600)
    sm = skymond({"components": {"db": {"plugin": "database", "interval": "1s", "url": pg.url(user="blank", password=None),
                                        "password": {"file": str(secret)}}}})
    found = sm.wait_component("db", status="unhealthy", reason="auth_failed", timeout=20)
    assert "the secret of `password` ends with a line break or a blank" in found["message"] and "geheim" not in found["message"], found

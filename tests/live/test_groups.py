# SPDX-License-Identifier: Apache-2.0
"""Groups of components: /health and /ready for one of them, the component's JSON, the metrics, a reload, mistakes."""
from harness import family_values, run_skymond
from test_each import HEAD, folder  # noqa: F401 (a fixture)
from test_reload import reload
from test_workers import component


def files(tmp_path, **states):
    for name, state in states.items():
        (tmp_path / name).write_text(state)
    return {name: component("t_file", path=str(tmp_path / name), impact="unhealthy", timeout="60s") for name in states}


def codes(daemon, group):
    """Of /health and /ready, by GET and by OPTIONS as HAProxy asks."""
    return {daemon.request(method, f"/api/v1/{route}?group={group}").status_code for route in ("health", "ready") for method in ("GET", "OPTIONS", "HEAD")}


def test_a_group_answers_for_itself(skymond, tmp_path):
    parts = files(tmp_path, card="unhealthy", ledger="healthy", search="degraded", lone="healthy")
    for name, group in (("card", "payments"), ("ledger", "payments"), ("search", "shop")):
        parts[name]["group"] = group
    config = {"plugins": {"prometheus": {}}, "components": parts}
    daemon = skymond(config)
    for name, status in (("card", "unhealthy"), ("ledger", "healthy"), ("search", "degraded"), ("lone", "healthy")):
        daemon.wait_component(name, status=status)
    assert codes(daemon, "payments") == {503} and codes(daemon, "shop") == {200}
    found = daemon.get("/api/v1/health?group=payments")
    assert (found.json()["status"], found.json()["group"], found.headers["X-Health-Status"]) == ("unhealthy", "payments", "unhealthy")
    assert int(found.headers["Retry-After"]) >= 1
    assert daemon.get("/api/v1/health?group=shop").json()["status"] == "degraded"
    assert daemon.get("/api/v1/health?group=shop&degraded=429").status_code == 429
    assert daemon.get("/api/v1/ready?group=payments").json()["reason"] == "unhealthy"
    assert "group" not in daemon.get("/api/v1/health").json() and "group" not in daemon.get("/api/v1/ready").json()
    for route in ("health", "ready"):
        missing = daemon.get(f"/api/v1/{route}?group=paymnts")
        assert missing.status_code == 404 and "payments, shop" in missing.json()["detail"]
    shown = {one["name"]: one["group"] for one in daemon.get("/api/v1/status").json()["health"]["components"]}
    assert shown == {"card": "payments", "ledger": "payments", "search": "shop", "lone": None}
    assert daemon.component("card")["group"] == "payments"
    info = family_values(daemon, "skymon_component_info")
    assert info == {f'{{component="{name}",group="{group}",plugin="t_file"}}': 1 for name, group in (
        ("card", "payments"), ("ledger", "payments"), ("search", "shop"), ("lone", ""))}
    # a reload moves a component without a new start; the group that it leaves empty is gone
    since, workers = daemon.component("search")["since"], daemon.children()
    parts["search"]["group"] = parts["lone"]["group"] = "payments"
    reload(daemon, config)
    assert daemon.get("/api/v1/health?group=shop").status_code == 404
    assert daemon.component("search")["since"] == since and daemon.children() == workers
    assert 'component="search",group="payments"' in daemon.metrics()
    (tmp_path / "card").write_text("healthy")
    daemon.wait_component("card", status="healthy")
    assert daemon.get("/api/v1/health?group=payments").json()["status"] == "degraded" and codes(daemon, "payments") == {200}


def test_defaults_each_and_the_daemon_itself(skymond, tmp_path):
    """The group of a plugin's defaults and of a section with `each`; /ready of a group depends on its components, with `follow: self` too."""
    section = files(tmp_path, x="unhealthy")["x"]
    config = {"ready": {"follow": "self"}, "defaults": {"t_file": {"group": "files"}},
              "components": {"shop": {**section, "each": {"de": {}, "fr": {"group": "france"}}}, "fine": component("t_ok")}}
    daemon = skymond(config)
    for name in ("shop-de", "shop-fr"):
        daemon.wait_component(name, status="unhealthy")
    assert (daemon.component("shop-de")["group"], daemon.component("shop-fr")["group"], daemon.component("fine")["group"]) == ("files", "france", None)
    assert daemon.get("/api/v1/ready").status_code == 200 and codes(daemon, "france") == {503}
    printed = run_skymond(config, "--print-config").stdout
    assert "group: \"france\"" in printed or "group: france" in printed


def test_mistakes(folder):  # noqa: F811
    for value, said in (("Payments", "`Payments` is not a valid group name"), ("a b", "`a b` is not a valid group name"),
                        ("[a]", "option `group` of component x"), ("-a", "not a valid group name"), ("a" * 64, "not a valid group name")):
        (folder / "c.yaml").write_text(HEAD + f"components:\n  x:\n    plugin: t_ok\n    group: {value}\n")
        done = run_skymond(None, "-c", str(folder / "c.yaml"), "--check-config")
        assert done.returncode == 2 and said in done.stderr and "c.yaml:6:" in done.stderr, done.stderr

# SPDX-License-Identifier: Apache-2.0
"""depends_on: a component that is not healthy names the unhealthy one that it depends on. Its status, and the whole, do not change by it."""
from harness import family_values, run_skymond, wait_until
from test_each import HEAD, folder  # noqa: F401 (a fixture)
from test_groups import files
from test_reload import reload


def causes(daemon):
    return {one["name"]: one["because_of"] for one in daemon.get("/api/v1/status").json()["health"]["components"] if one["because_of"]}


def wait_causes(daemon, **expected):
    wait_until(lambda: causes(daemon) == expected, 15, f"the causes {expected}")


def test_the_root_is_named(skymond, tmp_path):
    """vault <- pool <- orders; search depends on both; lone on none."""
    parts = files(tmp_path, orders="unhealthy", vault="unhealthy", pool="healthy", search="degraded", lone="unhealthy")
    parts["orders"]["depends_on"], parts["pool"]["depends_on"], parts["search"]["depends_on"] = "pool", ["vault"], ["pool", "vault"]
    config = {"plugins": {"prometheus": {}}, "components": parts}
    daemon = skymond(config)
    wait_causes(daemon, orders="vault", search="vault")  # through pool, which is healthy
    assert daemon.component("orders")["status"] == "unhealthy" and daemon.component("pool")["because_of"] is None
    assert daemon.get("/api/v1/health").json()["status"] == "unhealthy"
    assert family_values(daemon, "skymon_component_because_of") == {
        '{cause="vault",component="orders"}': 1, '{cause="vault",component="search"}': 1}
    # it is measured all the while
    checks = daemon.metrics().partition('skymon_component_checks_total{component="orders"} ')[2].split("\n")[0]
    wait_until(lambda: f'skymon_component_checks_total{{component="orders"}} {int(checks) + 2}' in daemon.metrics(), 15, "two more checks")
    mark = daemon.log_mark()
    (tmp_path / "pool").write_text("unhealthy down")
    wait_causes(daemon, orders="vault", search="vault", pool="vault")
    assert "because of vault" in daemon.wait_log("component=pool", after=mark)
    (tmp_path / "vault").write_text("healthy")
    wait_causes(daemon, orders="pool", search="pool")
    (tmp_path / "pool").write_text("healthy")
    wait_causes(daemon)
    assert daemon.component("orders")["status"] == "unhealthy"


def test_over_a_reload_and_with_each(skymond, tmp_path):
    parts = files(tmp_path, vault="unhealthy", shop="unhealthy")
    shop = {**parts["shop"], "depends_on": ["vault"], "each": {"de": {}, "fr": {}, "self-made": {"depends_on": []}}}
    config = {"components": {"vault": parts["vault"], "shop": shop}}
    daemon = skymond(config)
    wait_causes(daemon, **{"shop-de": "vault", "shop-fr": "vault"})
    since, workers = daemon.component("shop-de")["since"], daemon.children()
    # a parent that is removed is an error of the config, and the old one stays
    mark = daemon.log_mark()
    daemon.write_config({"components": {"shop": shop}})
    daemon.hup()
    assert "names `vault`, which is not a component" in daemon.wait_log("area=config", after=mark)
    daemon.wait_log("the old one stays in force", after=mark)
    assert causes(daemon) == {"shop-de": "vault", "shop-fr": "vault"}
    # another parent, without a new start
    config["components"] |= files(tmp_path, net="unhealthy")
    shop["depends_on"] = "net"
    reload(daemon, config)
    wait_causes(daemon, **{"shop-de": "net", "shop-fr": "net"})
    assert daemon.component("shop-de")["since"] == since and set(workers) <= set(daemon.children())
    printed = run_skymond(config, "--print-config").stdout
    assert "depends_on: [" in printed
    # between components of one `each`
    shop["each"] = {"de": {}, "fr": {"depends_on": ["shop-de"]}}
    reload(daemon, config)
    wait_causes(daemon, **{"shop-de": "net", "shop-fr": "net"})


def test_mistakes_have_their_places(folder):  # noqa: F811
    for text, said in (
            ("  a: {plugin: t_ok, depends_on: [b]}\n  b: {plugin: t_ok, depends_on: [a]}", "c.yaml:5:34: option `depends_on` of component b: a component cannot depend on itself (a, b, a)"),
            ("  a: {plugin: t_ok, depends_on: [valt]}\n  vault: {plugin: t_ok}", "c.yaml:4:34: option `depends_on` of component a names `valt`, which is not a component (did you mean `vault`?)"),
            ("  a: {plugin: t_ok, depends_on: prometheus}\nplugins: {prometheus: {}}", "names `prometheus`, which is not a component")):
        (folder / "c.yaml").write_text(HEAD + "components:\n" + text + "\n")
        done = run_skymond(None, "-c", str(folder / "c.yaml"), "--check-config")
        assert done.returncode == 2 and said in done.stderr, done.stderr


def test_a_chain_as_long_as_the_config(folder):  # noqa: F811
    """No recursion: 4,000 components, each of which depends on the next."""
    lines = [f"  c{i}: {{plugin: t_ok, depends_on: c{i + 1}}}" for i in range(4000)]
    (folder / "c.yaml").write_text(HEAD + "components:\n" + "\n".join(lines) + "\n  c4000: {plugin: t_ok}\n")
    assert run_skymond(None, "-c", str(folder / "c.yaml"), "--check-config").returncode == 0
    (folder / "c.yaml").write_text(HEAD + "components:\n" + "\n".join(lines) + "\n  c4000: {plugin: t_ok, depends_on: c0}\n")
    done = run_skymond(None, "-c", str(folder / "c.yaml"), "--check-config")
    assert done.returncode == 2 and "(c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, …, c0)" in done.stderr, done.stderr[-500:]

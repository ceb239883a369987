# SPDX-License-Identifier: Apache-2.0
"""Days to the end of certificates: every plugin with TLS reports `certificate_days` of the server's own and `chain_days` of the first of
its chain to end, from real servers under an authority that ends first; every example warns; the daemon watches its own listeners."""
import re

import pytest
import yaml

from conftest import factory
from grafana_server import GrafanaDouble
from harness import SOURCE, family_values, free_port, run_tool, wait_until
from oidc import OidcProvider
from openbao import OpenBao
from redis_server import Redis
from ws_server import WsServer

openbao, redis, oidc, websocket = (factory(kind) for kind in (OpenBao, Redis, OidcProvider, WsServer))
PLUGINS = sorted(path.name for path in (SOURCE / "plugins").iterdir() if path.is_dir())


def has_tls(plugin):
    return re.search(r"^  tls: tls block$", run_tool("plugins", plugin).stdout, re.M) is not None


def days(sm, name):
    numbers = sm.component(name)["numbers"]
    return numbers.get("certificate_days"), numbers.get("chain_days")


def is_chained(leaf, chain):
    return leaf is not None and 29 < leaf < 30 and chain is not None and 9 < chain < 10


def test_every_plugin(skymond, certs, openbao, redis, oidc, websocket, nginx, fresh_postgres):
    pair = pem, key = certs.pem("chained"), certs.key("chained")
    vault, op, ws, cache, web, pg = openbao(certificate=pair), oidc(certificate=pair), websocket(tls=pair), redis(tls=certs), free_port(), fresh_postgres()
    cache.stop()
    cache.present("chained")
    cache.start()
    certs.copy("chained", pg.data / "server.pem", pg.data / "server.key", user="postgres")
    pg.stop("fast")
    pg.start(ssl="on", ssl_cert_file="server.pem", ssl_key_file="server.key")
    nginx(f"server {{ listen 127.0.0.1:{web} ssl; ssl_certificate {pem}; ssl_certificate_key {key};\nlocation / {{ return 200 'up 1\\n'; }} }}", web)
    ping = {"address": f"127.0.0.1:{cache.tls_port}", "secure": True, "send": "PING\r\n", "expect": "PONG"}
    with GrafanaDouble(certificate=pair) as grafana:
        parts = {"vault": {"address": vault.url}, "cache": {"url": f"rediss://127.0.0.1:{cache.tls_port}"},
                 "authentication": {"issuer": op.issuer}, "websocket": {"url": ws.url}, "http": {"url": f"https://127.0.0.1:{web}/"},
                 "scrape": {"url": f"https://127.0.0.1:{web}/"}, "certificate": {"address": f"127.0.0.1:{web}"}, "tcp": ping,
                 "database": {"url": pg.url()}, "grafana": {"url": grafana.url, "api_key": grafana.add_key("admin")}}
        assert set(parts) == {plugin for plugin in PLUGINS if has_tls(plugin)}, "a plugin with TLS that this test does not know"

        def section(plugin, **tls):
            return {"interval": "1s", **({"timeout": "3s"} if plugin != "grafana" else {}), "tls": tls, **parts[plugin]}
        components = {plugin: {"plugin": plugin, **section(plugin, ca_file=certs.ca)} for plugin in parts if plugin != "grafana"}
        components |= {f"{plugin}-any": {"plugin": plugin, **section(plugin, insecure=True)} for plugin in parts if plugin != "grafana"}
        sm = skymond({"plugins": {"prometheus": {}, "grafana": section("grafana", ca_file=certs.ca)}, "components": components})
        for name in (*components, "grafana"):
            sm.wait_component(name, status="healthy")
            details = sm.component(name)["details"]
            assert is_chained(*days(sm, name)), (name, days(sm, name))
            assert is_chained(details["certificate_days"] + .01, details["chain_days"] + .01), (name, details)
        leaf, chain = (family_values(sm, f"skymon_component_{kind}_days") for kind in ("certificate", "chain"))
        for name in (*components, "grafana"):
            label = f'{{component="{name}"}}'
            assert is_chained(leaf[label], chain[label]), name


@pytest.mark.parametrize("plugin", PLUGINS)
def test_every_example_warns(plugin):
    path = SOURCE / "etc" / "conf.d" / f"{plugin}.yaml.example"
    if not path.exists() or not has_tls(plugin):
        return
    config = yaml.safe_load(path.read_text())
    parts = {**(config.get("components") or {}), **(config.get("plugins") or {})}
    warned = [name for name, part in parts.items() if (part.get("warn") or {}).get("certificate_days") == "<21"]
    assert warned or re.search(r'^  # .*warn: \{.*certificate_days: "<21"', path.read_text(), re.M), f"{path.name} has no certificate_days"


def test_listeners(skymond, certs, tmp_path):
    """With a chain, and after each way in which a renewed file is taken: a signal, and by itself."""
    pem, key = tmp_path / "pem", tmp_path / "key"
    certs.copy("good", pem, key)
    config = {"listen": [{"address": f"127.0.0.1:{free_port()}", "tls": {"cert_file": str(pem), "key_file": str(key)}}, f"127.0.0.1:{free_port()}"],
              "plugins": {"prometheus": {}}}
    sm = skymond(config, listen=None)
    label = f'{{listener="{config["listen"][0]["address"]}"}}'
    sm.url = f"http://{config['listen'][1]}"

    def listeners():
        leaf, chain = (family_values(sm, f"skymon_listener_{kind}_days") for kind in ("certificate", "chain"))
        assert set(leaf) == set(chain) == {label}, "one series, of the listener with TLS"
        return leaf[label], chain[label]
    leaf, chain = listeners()
    assert 29 < leaf < 30 and chain == pytest.approx(leaf, abs=1e-4)
    certs.copy("chained", pem, key)
    sm.hup()
    wait_until(lambda: is_chained(*listeners()), 10, "the days of the renewed certificate")
    pem.write_text("nonsense")
    sm.hup()
    sm.wait_log("stays")
    assert is_chained(*listeners()), "the certificate that is in use counts"
    certs.copy("expired", pem, key)
    wait_until(lambda: listeners()[0] < 0, 20, "the file to be taken by itself")


def test_listeners_with_port_0(skymond, certs):
    entry = {"address": "127.0.0.1:0", "tls": {"cert_file": certs.pem("good"), "key_file": certs.key("good")}}
    plain = f"127.0.0.1:{free_port()}"
    sm = skymond({"listen": [entry, entry, {**entry, "address": "[::1]:0"}, plain], "plugins": {"prometheus": {}}}, listen=None)
    sm.url = f"http://{plain}"
    labels = family_values(sm, "skymon_listener_certificate_days")
    assert sorted(re.sub(r"\d+\"}$", "", label) for label in labels) == ['{listener="127.0.0.1:'] * 2 + ['{listener="[::1]:'], labels
    assert '127.0.0.1:0"' not in str(labels)

# SPDX-License-Identifier: Apache-2.0
"""Shared by the tests of grafana's faults: a skymond with the plugin and the double of grafana_server.py, what is asked of it, what a
problem has.

    one = Broker(start, keeper, key, url, timeout="2s", …)   # see the fixtures `broker` of the tests
    one.ready(); one.ask("GET", "/dashboards"); one.lives()
    with one.asking(ALL) as asked: …                          # {name: future of (answer, seconds)}
    problem(answer, 502, upstream_status=401); seed(grafana); cell(one, "stopped", "unhealthy", "refused", "connection refused")
"""
import base64
import concurrent.futures
import contextlib
import pathlib
import re
import time

import requests

import truth
from harness import SLOW, family_values

BASE = "/api/v1/grafana"
TIMEOUT, CONNECT, INTERVAL = 2.0 * SLOW, 0.5 * SLOW, 0.3
SPARE = 1.5  # what a machine with much to do may add to an answer
SEEN = INTERVAL + TIMEOUT + 1  # the component shows it
PROMETHEUS = {"type": "prometheus", "url": "http://127.0.0.1:9090", "secureJsonData": {"httpHeaderValue1": "geheim-header"}}


def dashboard(title, **more):
    return {"dashboard": {"title": title, "panels": []}, **more}


def rule(title):
    return {"title": title, "condition": "A", "data": [
        {"ref_id": "A", "datasource_uid": "prometheus", "model": {"expr": "up == 0", "instant": True},
         "relative_time_range": {"from": 300, "to": 0}}]}


# Each is done once under each fault. d1, d2 and the data source `prometheus` are there.
READS = {"list": ("GET", "/dashboards", None), "get": ("GET", "/dashboards/d1", None), "diff": ("GET", "/diff", None)}
WRITES = {"post": ("POST", "/dashboards", dashboard("New")), "put": ("PUT", "/dashboards/d1", dashboard("One")),
          "delete": ("DELETE", "/dashboards/d2", None), "source": ("POST", "/datasources", {"name": "New", **PROMETHEUS}),
          "rule": ("POST", "/alerts", rule("New")), "apply": ("POST", "/apply", {})}
ALL = {**READS, **WRITES}


class Broker:
    """A skymond whose Grafana is the double at url; keeper: who has the key: an OpenBao, or a folder for a file."""

    def __init__(self, start, keeper, key, url, **options):
        self.key = key
        self.pids = None
        components = {}
        if isinstance(keeper, pathlib.Path):
            source = {"file": str(keeper / key[-12:])}
            (keeper / key[-12:]).write_text(key + "\n")
            (keeper / key[-12:]).chmod(0o600)
        else:
            source = {"vault": f"grafana/{key[-12:]}#key"}
            keeper.put(f"grafana/{key[-12:]}", key=key)
            components = {"vault": {"plugin": "vault", "address": keeper.url, "token": keeper.token}}
        self.sm = start({"components": components, "plugins": {"prometheus": {}, "grafana": {
            "url": url, "api_key": source, "interval": "300ms", "timeout": f"{TIMEOUT * 1000:.0f}ms",
            "connect_timeout": f"{CONNECT * 1000:.0f}ms", **options}}})

    def pid(self):
        return next(pid for pid, name in self.sm.children().items() if name == "grafana")

    def ready(self):
        self.sm.wait_component("grafana", status="healthy")
        self.pids = (self.sm.pid, self.pid())
        return self

    def lives(self):
        """Daemon and worker are those that were started."""
        assert self.pids == (self.sm.pid, self.pid()) and self.sm.process.poll() is None
        assert family_values(self.sm, "skymon_plugin_restarts_total")['{plugin="grafana"}'] == 0

    def ask(self, method, path, body=None, timeout=40 * SLOW, **options):
        """(the answer, how long it took); the key is nowhere in it."""
        began = time.monotonic()
        options = {"json": body, **options} if body is not None else options
        answer = self.sm.request(method, BASE + path, timeout=timeout, **options)
        took = time.monotonic() - began
        for text in [answer.text, *answer.headers.values()]:
            assert self.key not in text and base64.b64encode(self.key.encode()).decode() not in text
        return answer, took

    @contextlib.contextmanager
    def asking(self, routes):
        """Asks all of the routes at once, while the caller does something else; yields {name: future}."""
        with concurrent.futures.ThreadPoolExecutor(len(routes)) as pool:
            yield {name: pool.submit(self.ask, *route) for name, route in routes.items()}


def problem(answer, code, **members):
    """It is one, with all members that a problem has; returns it."""
    assert answer.status_code == code, (answer.status_code, answer.text)
    assert answer.headers["Content-Type"] == "application/problem+json" and answer.headers["Cache-Control"] == "no-store"
    found = answer.json()
    assert {"type", "title", "status", "detail", "error", "timestamp"} <= set(found), found
    assert found["status"] == code and found["error"] == found["detail"] and found["detail"] and "\n" not in found["detail"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["timestamp"])
    assert {key: found.get(key) for key in members} == members, found
    return found


def seed(grafana):
    """As before all faults."""
    with grafana.org.lock:
        for all_of in (grafana.dashboards, grafana.folders, grafana.datasources, grafana.rules):
            all_of.clear()
    admin = grafana.add_key("admin")
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {admin}"
        for path, body in (("/api/dashboards/db", {"dashboard": {"uid": "d1", "title": "One"}}),
                           ("/api/dashboards/db", {"dashboard": {"uid": "d2", "title": "Two"}}),
                           ("/api/datasources", {"uid": "prometheus", "name": "Prometheus", "access": "proxy", "isDefault": True,
                                                 "type": "prometheus", "url": "http://127.0.0.1:9090"})):
            assert session.post(grafana.url + path, json=body).status_code == 200
    grafana.revoke(admin)
    grafana.requests.clear()


def cell(one, fault, status, reason, *words, within=SEEN, since=None):
    return truth.cell("grafana", fault, one.sm, "grafana", status, reason, within=within, words=words, secrets=[one.key], since=since)

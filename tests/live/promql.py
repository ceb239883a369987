# SPDX-License-Identifier: Apache-2.0
"""Queries of shipped rules before a real Prometheus that scrapes a real skymond, with a target label `service` beside
the exposition's own, as the Prometheus Operator sets one.

    world = World(skymond, prometheus, tmp_path)      # from the fixtures of conftest.py: everything that can be measured is
    world.daemon, world.prometheus                    # harness.Skymond, harness.Prometheus
    world.rows(expression)                            # waits until it returns data; [(labels, value)]
    world.say("degraded")                             # the status of component `switch` from its next check on
    selectors('rate(a_total{b="c"}[5m]) / on (job) d') == ['a_total{b="c"}', "d"]
    comparison("a{b='c'} > 5") == ("a{b='c'}", ">", 5.0)   # None: no comparison with a number at the end of the whole
"""
import re

from harness import free_port

TARGET_SERVICE = "kube-service"  # what the target's own label `service` says; the exposition says "api"
STRING = r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\''
BRACES = rf"\{{(?:{STRING}|[^}}\"'])*\}}"
WORDS = {"and", "or", "unless", "offset", "bool", "inf", "nan"}
NUMBERS = {"active_connections": 12, "total_requests": 3400, "error_rate_percent": 1.5, "average_response_time_ms": 21,
           "memory_usage_mb": 180, "cpu_usage_percent": 7, "database_connections": 17, "cache_hit_rate_percent": 93.5}


def selectors(expression):
    """Every instant selector of a PromQL expression, without its range and offset."""
    text = re.sub(rf"({BRACES}|{STRING})|#[^\n]*", lambda found: found.group(1) or " ", expression)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", text)
    text = re.sub(r"\[[^]]*\]", " ", text)
    found = re.finditer(rf"{STRING}|(?<![\w.:])(?P<name>[a-zA-Z_:][\w:]*)?(?P<labels>\s*{BRACES})?(?P<call>\s*\()?", text)
    rows = []
    for match in found:
        name, labels = match.group("name") or "", (match.group("labels") or "").strip()
        if (name or labels) and not match.group("call") and name.lower() not in WORDS:
            rows.append(name + labels)
    return rows


def comparison(expression):
    """(what is compared, operator, number) when the whole is one comparison with a number, else None."""
    match = re.fullmatch(r"\s*(.+?)\s*(==|!=|<=|>=|<|>)\s*(-?[\d.]+)\s*", expression, re.DOTALL)
    if match is None:
        return None
    left = re.sub(rf"{STRING}", "", match.group(1))
    if re.search(r"\b(and|or|unless)\b|==|!=|[<>]", re.sub(BRACES, "", left)):
        return None
    return match.group(1), match.group(2), float(match.group(3))


class World:
    """A skymond that measures all that rules ask for (the eight metrics of the service from component `numbers`, the
    machine, a number that has a limit, a component whose status the test sets), and a Prometheus before it. job: more keys for the scrape; rules: the text of a
    rule file; components: more of them; listen: further listeners."""

    def __init__(self, skymond, prometheus, folder, job=None, rules=None, components=None, listen=()):
        self.folder = folder
        numbers = folder / "numbers"
        numbers.write_text("".join(f"{key} {value}\n" for key, value in NUMBERS.items()))
        self.switch = folder / "switch"
        self.say("healthy")
        port = free_port()
        self.daemon = skymond({
            "listen": [f"127.0.0.1:{port}", *listen],
            "service": {"name": "api", "version": "2.1", "metrics": {key: "numbers" for key in NUMBERS}},
            "plugins": {"prometheus": {}},
            "components": {
                "numbers": {"plugin": "t_numbers", "path": str(numbers), "interval": "1s", "warn": {"cache_hit_rate_percent": "<1"}},
                "switch": {"plugin": "t_file", "path": str(self.switch), "interval": "1s"},
                "host": {"plugin": "host", "interval": "1s"},
                **(components or {}),
            }}, listen=None)
        self.daemon.wait_component("switch", status="healthy")
        target = {"targets": [f"127.0.0.1:{self.daemon.port}"], "labels": {"service": TARGET_SERVICE}}
        self.prometheus = prometheus([], rules=rules, job={
            "metrics_path": "/api/v1/metrics/prometheus", "honor_labels": True, "static_configs": [target], **(job or {})})
        self.prometheus.wait_query('up{job="sky-genesis-api"} == 1')

    def say(self, status, message="as the test says"):
        draft = self.switch.with_suffix(".new")
        draft.write_text(f"{status} {message}\n")
        draft.rename(self.switch)

    def rows(self, expression):
        return self.prometheus.wait_query(expression)

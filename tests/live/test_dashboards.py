# SPDX-License-Identifier: Apache-2.0
"""The shipped dashboards: their structure, by which each imports through the UI of Grafana 9 to 12 as it is (none is started here), and
each of their queries, with Grafana's variables replaced as it does it, on a real Prometheus that scrapes a real skymond."""
import itertools
import json
import math
import re
import time

import pytest

from harness import SOURCE, Postgres, Prometheus, Skymond, free_port, wait_until
from redis_server import Redis

FOLDER = SOURCE / "etc" / "grafana"
FILES = {path.stem: path for path in sorted((FOLDER / "dashboards").glob("*.json"))}
BOARDS = {name: json.loads(path.read_text()) for name, path in FILES.items()}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{(\w+)(?::\w+)?\})")  # $1 is a group of label_replace


def queries_of(name):
    """[(where, how, expression)] of a dashboard; how: instant, range or label_values."""
    model = BOARDS[name]
    found = [(f"variable {one['name']}", "label_values", one["query"]["query"])
             for one in model["templating"]["list"] if one["type"] == "query"]
    found += [(f"annotation {one['name']}", "range", one["expr"]) for one in model["annotations"]["list"] if "expr" in one]
    for panel in model["panels"]:
        found += [(f"{panel['title']} {target['refId']}", "instant" if target["instant"] else "range", target["expr"])
                  for target in panel["targets"]]
    return found


QUERIES = [(name, *query) for name in BOARDS for query in queries_of(name)]


def panel_of(name, title):
    return next(panel for panel in BOARDS[name]["panels"] if panel["title"] == title)


def substituted(expression, values, span=600, step=1, scrape=1):
    """The query that Grafana sends: a list of values becomes a regular expression, $__rate_interval is never below four scrapes."""
    values = {"__range": f"{span}s", "__range_s": str(span), "__rate_interval": f"{max(step + scrape, 4 * scrape)}s", **values}

    def one(match):
        value = values[match.group(1) or match.group(2)]
        if isinstance(value, str):
            return value
        escaped = [re.sub(r"[$^*{}\[\]'+?.()|]", r"\\\\\g<0>", text) for text in value]
        return escaped[0] if len(escaped) == 1 else "(" + "|".join(escaped) + ")"
    return VARIABLE.sub(one, expression)


def label_values(prometheus, query):
    selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", query).groups()
    answer = prometheus.api(f"label/{label}/values", **{"match[]": selector})
    assert answer["status"] == "success", answer
    return answer["data"]


def rows_of(prometheus, how, expression):
    """[(labels or name, newest value that is a number)]"""
    if how == "label_values":
        return [(value, 1) for value in label_values(prometheus, expression)]
    if how == "instant":
        return [row for row in prometheus.query(expression) if not math.isnan(row[1])]
    now = time.time()
    answer = prometheus.api("query_range", query=expression, start=now - 600, end=now, step=1)
    assert answer["status"] == "success", answer
    found = [(row["metric"], [float(value) for _, value in row["values"]]) for row in answer["data"]["result"]]
    return [(labels, numbers[-1]) for labels, numbers in found if not all(math.isnan(number) for number in numbers)]


def scraped(daemon):
    """The scrape job as an operator may have it: a target label `service` that is not ours, and honor_labels."""
    return {"metrics_path": "/api/v1/metrics/prometheus", "honor_labels": True,
            "static_configs": [{"targets": [f"127.0.0.1:{daemon.port}"], "labels": {"service": "of-the-target"}}]}


# ---- Structure ----

def test_the_four_of_the_seed_are_there():
    assert list(BOARDS) == ["components", "performance", "resources", "system-overview"]
    assert len({model["title"] for model in BOARDS.values()}) == 4


@pytest.mark.parametrize("path", [*FILES.values(), FOLDER / "datasource.json"], ids=lambda path: path.stem)
def test_a_file_has_one_form(path):
    text = path.read_text()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("name", BOARDS)
def test_it_imports_as_it_is(name):
    model = BOARDS[name]
    assert model["uid"] == f"sky-genesis-{name}" and re.fullmatch(r"[A-Za-z0-9_-]{1,40}", model["uid"])
    assert model.get("id") is None and model.get("version", 0) == 0
    assert not any(key.startswith("__") for key in model)
    assert 36 <= model["schemaVersion"] <= 37  # what Grafana 9 writes; later ones migrate it
    assert (model["refresh"], model["time"]["to"], model["timezone"]) == ("30s", "now", "browser")
    assert "sky-genesis" in model["tags"]
    assert [(link["type"], link["tags"], link["keepTime"], link["includeVars"]) for link in model["links"]] == \
        [("dashboards", ["sky-genesis"], True, True)]


@pytest.mark.parametrize("name", BOARDS)
def test_panels_are_of_kinds_that_every_version_has(name):
    panels = BOARDS[name]["panels"]
    assert {panel["type"] for panel in panels} <= {"stat", "timeseries", "state-timeline"}
    assert not [panel["title"] for panel in panels if "transformations" in panel or "libraryPanel" in panel]
    assert sorted(panel["id"] for panel in panels) == list(range(1, len(panels) + 1))
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        # An instant query shows nothing when nothing is measured; the newest value of a range would stay.
        assert all(target["instant"] == (panel["type"] == "stat") == (not target["range"]) for target in panel["targets"])
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"] and defaults["thresholds"]["steps"][0]["value"] is None
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@pytest.mark.parametrize("name", BOARDS)
def test_panels_lie_beside_each_other(name):
    taken = {}
    for panel in BOARDS[name]["panels"]:
        at = panel["gridPos"]
        assert at["x"] >= 0 and at["w"] >= 3 and at["h"] >= 4 and at["x"] + at["w"] <= 24, panel["title"]
        for cell in itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])):
            assert cell not in taken, f"{panel['title']} lies on {taken[cell]}"
            taken[cell] = panel["title"]
    assert len(taken) == 24 * (1 + max(y for _, y in taken)), "a hole between the panels"


@pytest.mark.parametrize("name", BOARDS)
def test_the_data_source_is_a_variable_everywhere(name):
    model = BOARDS[name]
    variables = model["templating"]["list"]
    first = variables[0]
    assert (first["name"], first["type"], first["query"]) == ("datasource", "datasource", "prometheus")
    shipped = json.loads((FOLDER / "datasource.json").read_text())
    assert (first["current"]["text"], first["current"]["value"]) == (shipped["name"], shipped["uid"])
    askers = [one for one in variables if one["type"] == "query"] + \
        [one for one in model["annotations"]["list"] if not one.get("builtIn")] + \
        [one for panel in model["panels"] for one in (panel, *panel["targets"])]
    assert all(one["datasource"] == DATASOURCE for one in askers)
    assert FILES[name].read_text().count('"uid": ') == len(askers) + 2  # and the dashboard's own, and Grafana's annotations
    # Each variable is declared before it is used, and none is declared in vain.
    known, used = set(), {"datasource"}
    for one in variables:
        assert set(names_in(json.dumps(one))) <= known, one["name"]
        known.add(one["name"])
    for _, _, expression in queries_of(name):
        used |= set(names_in(expression))
    assert used - {"__range", "__range_s", "__rate_interval"} == known


def names_in(text):
    return [match.group(1) or match.group(2) for match in VARIABLE.finditer(text) if "$__all" not in match.group(0)]


UNITS = {"_ms": "ms", "_mb": "decmbytes", "_percent": "percent", "_seconds": "s", "_bytes": "bytes"}


@pytest.mark.parametrize("name", BOARDS)
def test_units_are_those_of_the_names(name):
    """Of the panels that show a family as it is; what is derived (rates, shares, ages) is left out."""
    seen = 0
    for panel in BOARDS[name]["panels"]:
        for target in panel["targets"]:
            plain = re.fullmatch(r"(?:(?:min|max|sum)(?: by \(\w+\) )?\()?(\w+)\{[^{]*(?:\{\w+\}[^{]*)*\}\)?", target["expr"])
            suffix = plain and next((one for one in UNITS if plain.group(1).endswith(one)), None)
            if suffix:
                assert panel["fieldConfig"]["defaults"]["unit"] == UNITS[suffix], panel["title"]
                seen += 1
    assert seen >= 2


def test_the_seeds_panels_are_among_them():
    health = panel_of("system-overview", "System Health")
    assert health["type"] == "stat" and health["targets"][0]["expr"] == 'up{job="sky-genesis-api"}'
    shown = {name for _, _, _, expression in QUERIES for name in re.findall(r"\bsky_genesis_\w+", expression)}
    assert {"sky_genesis_" + key for key in (
        "active_connections", "total_requests_total", "error_rate_percent", "average_response_time_ms", "memory_usage_mb",
        "cpu_usage_percent", "database_connections", "cache_hit_rate_percent")} <= shown


def test_the_data_source_is_the_one_that_rules_ask_for():
    assert json.loads((FOLDER / "datasource.json").read_text()) == {
        "uid": "prometheus", "name": "Sky Genesis Prometheus", "type": "prometheus", "access": "proxy",
        "url": "http://prometheus:9090", "jsonData": {"httpMethod": "POST", "timeInterval": "30s"}}


# ---- The queries ----

class World:
    """A service with parts of all kinds, one of them always down, one not configured; skymond, and Prometheus before it."""

    def __init__(self):
        self.parts = []
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self):
        self.postgres = self.add(Postgres())
        self.redis = self.add(Redis())
        self.skymond = self.add(Skymond({
            "service": {"name": "api", "version": "2.1",
                        "metrics": {"database_connections": "database", "cache_hit_rate_percent": "cache"}},
            "defaults": {"interval": "1s"},
            "plugins": {"prometheus": {}},
            "components": {
                "host": {"plugin": "host"},
                "cache-process": {"plugin": "process", "port": self.redis.port},
                "local-store": {"plugin": "database", "url": "sqlite:local-store.db"},
                "database": {"plugin": "database", "url": self.postgres.url()},
                "cache": {"plugin": "cache", "url": f"redis://127.0.0.1:{self.redis.port}"},
                "vault": {"plugin": "vault", "impact": "degraded", "address": f"http://127.0.0.1:{free_port()}"},
                "authentication": {"plugin": "authentication", "issuer": "${NO_ISSUER:-}"}}}))
        self.skymond.close = self.skymond.stop
        self.prometheus = self.add(Prometheus([], job=scraped(self.skymond)))
        self.prometheus.wait_query("skymon_component_status")
        self.postgres.stop()  # a change of a status, and failures, that Prometheus sees
        self.skymond.wait_component("database", status="unhealthy")
        self.prometheus.wait_query('skymon_component_up{component="database"} == 0')
        self.postgres.start()
        self.skymond.wait_component("database", status="healthy")
        self.values = self.variables()

    def add(self, part):
        self.parts.append(part)
        return part

    def variables(self):
        """Service and instance as they are at first, component with some of its values chosen."""
        def look():
            found = {"service": label_values(self.prometheus, 'label_values({__name__=~"sky_genesis_.+"}, service)')[0],
                     "component": label_values(self.prometheus, "label_values(skymon_component_configured, component)"),
                     "instance": label_values(self.prometheus, "label_values(skymon_up, instance)")}
            return found if len(found["component"]) == 7 else None
        return wait_until(look, 10, "the values of the variables")

    def use(self):
        """The load of a service: it gets requests, and looks things up."""
        for path in ("/api/v1/health", "/api/v1/health/vault", "/api/v1/ready", "/nowhere"):
            self.skymond.get(path)
        self.redis.command("GET", "nothing")

    def close(self):
        for part in reversed(self.parts):
            part.close()


@pytest.fixture(scope="module")
def world():
    found = World()
    yield found
    found.close()


@pytest.mark.parametrize("name, where, how, expression", QUERIES, ids=[f"{query[0]}: {query[1]}" for query in QUERIES])
def test_every_query_returns_data(world, name, where, how, expression):
    def look():
        world.use()
        return rows_of(world.prometheus, how, substituted(expression, world.values))
    rows = wait_until(look, 30, f"data for {where} of {name}", every=0.5)
    if where == "variable service":  # not the target label of the same name
        assert rows == [("api", 1)] and world.prometheus.query('skymon_up{service="of-the-target"}')
    if where == "variable instance":
        assert rows == [(f"127.0.0.1:{world.skymond.port}", 1)]


def test_all_values_of_a_variable_are_chosen_by_grafanas_expression(world):
    """Names with dots and two of them: the escaped expression selects these and nothing else."""
    expression = panel_of("components", "Status (now)")["targets"][0]["expr"]
    values = {**world.values, "component": ["vault", "local-store"]}
    rows = {labels["component"]: value for labels, value in world.prometheus.query(substituted(expression, values))}
    assert rows == {"vault": 4, "local-store": 1}
    values["instance"] = ["127.0.0.1:1", world.values["instance"][0].replace(".", "x")]
    assert world.prometheus.query(substituted(expression, values)) == []


# ---- The first row: is it up, what is wrong, since when ----

@pytest.mark.parametrize("name", BOARDS)
def test_every_dashboard_begins_with_the_same_row(name):
    titles = ["System Health", "Overall Status", "Not Healthy", "Since"]
    first = [panel for panel in BOARDS[name]["panels"] if panel["gridPos"]["y"] == 0]
    assert [panel["title"] for panel in sorted(first, key=lambda panel: panel["gridPos"]["x"])] == titles
    for title in titles:
        assert panel_of(name, title)["targets"] == panel_of("system-overview", title)["targets"]


def first_row(prometheus, daemon):
    """{panel: {component or "": value}}"""
    values = {"service": "api", "instance": [f"127.0.0.1:{daemon.port}"]}
    found = {}
    for title in ("System Health", "Overall Status", "Not Healthy", "Since"):
        rows = prometheus.query(substituted(panel_of("system-overview", title)["targets"][0]["expr"], values))
        found[title] = {labels.get("component", ""): value for labels, value in rows}
    return found


def test_the_first_row_tells_what_is_wrong_and_never_makes_up_a_green(skymond, prometheus):
    def config(broken):
        parts = {"store": {"plugin": "database", "url": "sqlite:store.db", "interval": "1s"}}
        if broken:
            parts["vault"] = {"plugin": "vault", "address": f"http://127.0.0.1:{free_port()}", "interval": "1s"}
        return {"service": {"name": "api"}, "plugins": {"prometheus": {}}, "components": parts}

    def shows(health, whole, wrong, since):
        def look():
            row = first_row(server, daemon)
            assert (row["System Health"], row["Overall Status"], row["Not Healthy"]) == ({"": health}, whole, wrong), row
            assert list(row["Since"]) == [since], row
            return row["Since"][since] / 1000
        return wait_until(look, 20, f"the first row to show {health} {whole} {wrong}", every=0.2)

    daemon = skymond(config(True))
    server = prometheus([], job=scraped(daemon))
    began = shows(1, {"": 4}, {"vault: refused": 4}, "vault")
    assert time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(began)) == daemon.component("vault")["since"][:19]
    daemon.write_config(config(False))
    daemon.hup()
    shows(1, {"": 1}, {"all components": 1}, "all components")
    daemon.stop()
    name = f"skymond at 127.0.0.1:{daemon.port}"
    seen = shows(0, {}, {name: 5}, name)
    assert 0 <= time.time() - seen < 60
    # A target that Prometheus does not scrape does not look green either.
    expression = panel_of("system-overview", "Not Healthy")["targets"][0]["expr"].replace("sky-genesis-api", "nobody")
    assert server.query(substituted(expression, {"instance": ["127.0.0.1:1"]})) == []

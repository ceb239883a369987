# SPDX-License-Identifier: Apache-2.0
"""The alert rules that are shipped, for Prometheus and for Grafana: tested by promtool, by each other, and on a real Prometheus that
scrapes a real skymond."""
import copy
import json
import re
import shutil
import subprocess

import pytest
import requests
import yaml

from grafana_server import GrafanaDouble
from harness import SOURCE, free_port, need, wait_until
from promql import NUMBERS, TARGET_SERVICE, World, comparison, selectors
from redis_server import Fake

ETC = SOURCE / "etc"
PROMETHEUS = ETC / "prometheus"
CASES = SOURCE / "tests" / "live" / "rules"
RUNBOOK = "https://github.com/skygenesisenterprise/skymon/blob/main/etc/prometheus/RUNBOOK.md"

# The service's own rules, as its documentation has them. They are given: neither this text nor the file may change.
GIVEN = """\
groups:
  - name: sky-genesis-api
    rules:
      - alert: HighErrorRate
        expr: sky_genesis_error_rate_percent{service="api"} > 5
        for: 5m
        labels:
          severity: warning
        annotations:
          summary: "High error rate on Sky Genesis API"
          description: "Error rate is {{ $value }}%"

      - alert: HighResponseTime
        expr: sky_genesis_average_response_time_ms{service="api"} > 1000
        for: 5m
        labels:
          severity: warning
        annotations:
          summary: "Slow response time on Sky Genesis API"
          description: "Average response time is {{ $value }}ms"

      - alert: APIDown
        expr: up{job="sky-genesis-api"} == 0
        for: 1m
        labels:
          severity: critical
        annotations:
          summary: "Sky Genesis API is down"
          description: "API service is not responding"
"""


def rules_of(name):
    groups = yaml.safe_load((PROMETHEUS / "rules" / name).read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


GIVEN_RULES, OUR_RULES = rules_of("sky-genesis-api.yml"), rules_of("skymon.yml")
RULES = {**GIVEN_RULES, **OUR_RULES}
GRAFANA = {path.name: json.loads(path.read_text()) for path in sorted((ETC / "grafana" / "rules").glob("*.json"))}


def promtool(*words):
    done = subprocess.run([need("promtool"), *map(str, words)], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout + done.stderr


# ---- As files ----

def test_the_given_rules_are_byte_for_byte_as_given():
    assert (PROMETHEUS / "rules" / "sky-genesis-api.yml").read_bytes() == GIVEN.encode()


def test_the_set():
    """The service's Alerting Strategy, and what skymon adds."""
    severities = {name: rule["labels"]["severity"] for name, rule in RULES.items()}
    assert severities == {
        "HighErrorRate": "warning", "HighResponseTime": "warning", "APIDown": "critical",
        "CriticalErrorRate": "critical", "ServiceUnhealthy": "critical", "ComponentUnhealthy": "warning", "ComponentDegraded": "warning",
        "ComponentStale": "warning", "LimitUnmeasured": "warning", "ComponentUnverified": "warning",
        "CertificateRenewal": "warning", "CertificateExpiry": "critical", "SkymonPluginRestarts": "warning", "SkymonReloadFailed": "warning",
        "ListenerCertificateRenewal": "warning", "ListenerCertificateExpiry": "critical",
        "ComponentStatusChanged": "info", "VersionChanged": "info", "SkymonVersionChanged": "info"}


def test_promtool_takes_config_and_rules():
    code, said = promtool("check", "config", "--lint=all", "--lint-fatal", PROMETHEUS / "prometheus.yml")
    assert code == 0 and f"{len(GIVEN_RULES)} rules found" in said and f"{len(OUR_RULES)} rules found" in said, said
    code, said = promtool("check", "rules", "--lint=all", "--lint-fatal", *sorted((PROMETHEUS / "rules").iterdir()))
    assert code == 0, said


def test_the_scrape_job_is_the_one_that_rules_ask_for():
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    job, = config["scrape_configs"]
    assert (job["job_name"], job["scrape_interval"], job["metrics_path"], job["honor_labels"]) == (
        "sky-genesis-api", "30s", "/api/v1/metrics/prometheus", True)


def test_rules_about_components_are_quiet_in_maintenance():
    for name, rule in OUR_RULES.items():
        if "skymon_component_" in rule["expr"]:
            assert "unless on (job, instance, component) max_over_time(skymon_component_maintenance[5m]) > 0" in rule["expr"], name


@pytest.mark.parametrize("name", OUR_RULES)
def test_what_an_alert_says(name):
    rule = OUR_RULES[name]
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert re.fullmatch(r"([A-Z]+[a-z]*)+", name)


def anchors(text):
    """Of a page's headings, as GitHub makes them."""
    return [re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]


def test_every_runbook_url_has_its_page_and_its_section():
    found = anchors((PROMETHEUS / "RUNBOOK.md").read_text())
    assert len(found) == len(set(found))
    for name, rule in OUR_RULES.items():
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert page == RUNBOOK and (SOURCE / page.partition("/blob/main/")[2]).is_file()
        assert anchor == name.lower() and anchor in found, f"RUNBOOK.md has no section {name}"
    assert {name.lower() for name in GIVEN_RULES} <= set(found)


def test_links_within_the_runbook_lead_somewhere():
    text = (PROMETHEUS / "RUNBOOK.md").read_text()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 5
    for link in links:
        page, _, anchor = link.partition("#")
        assert (PROMETHEUS / page).exists() and (not anchor or anchor in anchors(text)), link


def test_every_section_about_an_alert_says_what_to_do():
    text = (PROMETHEUS / "RUNBOOK.md").read_text()
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))
    assert set(sections) == set(RULES)
    for name, section in sections.items():
        parts = re.findall(r"^\*\*(.+?):\*\* \S", section, re.MULTILINE)
        assert parts in (["Means", "See", "Do"], ["Means", "See, do"]), name


# ---- promtool's unit tests of rules ----

def run_cases(folder, name=""):
    """Those of the files that speak of the name."""
    files = [path for path in sorted((folder / "tests/live/rules").glob("*.yml")) if name in path.read_text()]
    assert files, f"no case speaks of {name}"
    return promtool("test", "rules", *files)


def test_cases():
    code, said = run_cases(SOURCE)
    assert code == 0 and said.count("SUCCESS") == len(list(CASES.glob("*.yml"))) >= 4, said


def broken(folder, name, **change):
    """A copy of rules and cases, in which one rule is another."""
    shutil.copytree(PROMETHEUS, folder / "etc/prometheus")
    shutil.copytree(CASES, folder / "tests/live/rules")
    for path in (folder / "etc/prometheus/rules").iterdir():
        groups = yaml.safe_load(path.read_text())
        for rule in (rule for group in groups["groups"] for rule in group["rules"] if rule["alert"] == name):
            rule.update(change)
        path.write_text(yaml.safe_dump(groups))
    return folder


@pytest.mark.parametrize("name", RULES)
def test_each_rule_has_cases_that_fire_and_cases_that_do_not(name, tmp_path):
    """So that each fails when its rule is silent, and when it says yes to all that it sees."""
    silent, loud = tmp_path / "silent", tmp_path / "loud"
    what = comparison(RULES[name]["expr"])
    everything = what[0] if what else selectors(RULES[name]["expr"])[0]
    for folder, expr in ((silent, "vector(1) < 0"), (loud, everything)):
        code, said = run_cases(broken(folder, name, expr=expr), name)
        assert code == 1 and f"alertname: {name}," in said, said
    if "for" in RULES[name]:
        code, said = run_cases(broken(tmp_path / "hasty", name, **{"for": "0s"}), name)
        assert code == 1 and f"alertname: {name}," in said, said


# ---- Grafana's ----

def threshold_of(rule):
    """The comparison of Prometheus as Grafana's threshold: those of Grafana 9 are gt and lt. An expression that is not a comparison with
    a number gives its series only when there is something to tell."""
    found = comparison(rule["expr"])
    if found is None:
        return rule["expr"], ("gt", -36500 if "_days <" in rule["expr"] else 0)  # the days since a certificate's end are negative
    what, operator, number = found
    assert operator in (">", "<") or (operator, number) == ("==", 0), f"say how Grafana should evaluate {operator} {number:g}"
    return what, {">": ("gt", number), "<": ("lt", number), "==": ("lt", 1)}[operator]


def shown(text):
    """The text of an annotation for a series. A rule whose query is empty is a row without labels in Grafana: each text that needs labels or
    values has another one for that, which needs none."""
    found = re.fullmatch(r"\{\{ if (\$(?:labels|values)\.\w+) \}\}(.*)\{\{ else \}\}([^{}$]+)\{\{ end \}\}", text)
    return found[2] if found and found[1] in found[2] else text


def differences(prometheus, grafana):
    """Differences of a rule for Grafana from the rule for Prometheus: [] when they agree."""
    what, threshold = threshold_of(prometheus)
    queries = {query["refId"]: query for query in grafana["data"]}
    evaluator = queries["C"]["model"]["conditions"][0]["evaluator"]
    pairs = {
        "title": (prometheus["alert"], grafana["title"]),
        "expr": (what.split(), queries["A"]["model"]["expr"].split()),
        "threshold": ((threshold[0], [threshold[1]]), (evaluator["type"], evaluator["params"])),
        "for": (prometheus.get("for", "0s"), grafana["for"]),
        "labels": (prometheus["labels"], grafana["labels"]),
        "annotations": ({key: text.replace("$value", "$values.B.Value") for key, text in prometheus["annotations"].items()},
                        {key: shown(text) for key, text in grafana["annotations"].items()}),
    }
    return [name for name, (ours, theirs) in pairs.items() if ours != theirs]


def test_grafana_has_the_same_rules():
    assert len(GRAFANA) == len(RULES)
    for grafana in GRAFANA.values():
        assert differences(RULES[grafana["title"]], grafana) == [], grafana["title"]


@pytest.mark.parametrize("where, value", [
    ("title", "Other"), ("for", "6m"), ("labels severity", "info"), ("annotations summary", "Other"), ("annotations more", "Other"),
    ("data 0 model expr", "sky_genesis_error_rate_percent"), ("data 2 model conditions 0 evaluator params", [6]),
    ("data 2 model conditions 0 evaluator type", "lt"),
])
def test_a_rule_out_of_step_is_found(where, value):
    changed = copy.deepcopy(GRAFANA["high-error-rate.json"])
    *way, last = [int(word) if word.isdigit() else word for word in where.split()]
    place = changed
    for word in way:
        place = place[word]
    place[last] = value
    assert len(differences(RULES["HighErrorRate"], changed)) == 1


@pytest.mark.parametrize("file", GRAFANA)
def test_structure_of_a_rule_for_grafana(file):
    """Rules that Grafana would take, and then never evaluate."""
    rule = GRAFANA[file]
    kebab = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", rule["title"]).lower()
    assert file == f"{kebab}.json" and rule["uid"] == f"sky-genesis-{kebab}"
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", rule["uid"])
    assert set(rule) == {"uid", "title", "folderUID", "ruleGroup", "condition", "data", "noDataState", "execErrState", "for", "labels",
                         "annotations"}
    assert (rule["folderUID"], rule["ruleGroup"], rule["execErrState"]) == ("sky-genesis", "sky-genesis", "Error")
    # Only a target that is not scraped at all alerts by its absence; APIDown covers the rest.
    assert rule["noDataState"] == ("Alerting" if rule["title"] == "APIDown" else "OK")
    known = []
    for query in rule["data"]:
        span, model = query["relativeTimeRange"], query["model"]
        assert span["from"] > span["to"] >= 0 and model["refId"] == query["refId"] not in known
        if query["datasourceUid"] == "__expr__":
            assert model["expression"] in known and model["type"] in ("reduce", "threshold")
        else:
            assert query["datasourceUid"] == "prometheus" and model["instant"] is True and model["range"] is False and model["expr"]
        known.append(query["refId"])
    assert rule["condition"] in known and known == ["A", "B", "C"]
    for text in rule["annotations"].values():  # no "[no value]" when the query is empty
        assert "$" not in text or shown(text) != text, text
    reduce, threshold = rule["data"][1]["model"], rule["data"][2]["model"]
    assert (reduce["type"], reduce["expression"], reduce["reducer"]) == ("reduce", "A", "last")
    assert (threshold["type"], threshold["expression"]) == ("threshold", "B")
    evaluator = threshold["conditions"][0]["evaluator"]
    assert len(threshold["conditions"]) == 1 and evaluator["type"] in ("gt", "lt") and len(evaluator["params"]) == 1


def test_uids_and_titles_are_there_once():
    for key in ("uid", "title"):
        assert len({rule[key] for rule in GRAFANA.values()}) == len(GRAFANA)


def test_a_grafana_takes_them_as_they_are():
    """The double, which keeps what Grafana knows and drops the rest; nothing is wrong when a rule is evaluated."""
    with GrafanaDouble() as grafana, requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {grafana.add_key('admin')}"

        def post(path, body):
            answer = session.post(grafana.url + path, json=body, timeout=10)
            assert answer.status_code in (200, 201), answer.text
            return answer.json()
        post("/api/folders", {"uid": "sky-genesis", "title": "Sky Genesis"})
        post("/api/datasources", json.loads((ETC / "grafana" / "datasource.json").read_text()))
        for rule in GRAFANA.values():
            kept = post("/api/v1/provisioning/alert-rules", rule)
            assert {key: kept[key] for key in rule if key != "data"} == {key: rule[key] for key in rule if key != "data"}
            assert grafana.resolves(rule["uid"]) == [], rule["title"]


# ---- On a real Prometheus ----

def shipped_job():
    """The shipped scrape job, but for its target and its leisure."""
    job, = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    return {key: value for key, value in job.items() if key not in ("job_name", "static_configs")} | {"scrape_interval": "1s"}


def all_rules():
    return yaml.safe_dump({"groups": [group for path in sorted((PROMETHEUS / "rules").iterdir())
                                      for group in yaml.safe_load(path.read_text())["groups"]]})


@pytest.fixture
def world(skymond, prometheus, tmp_path, elsewhere, certs):
    """With a component whose connection leads to another machine, without TLS, and one that asks a listener with TLS of the daemon itself."""
    for name in ("parent", "child"):
        (tmp_path / name).write_text("healthy")
    far = Fake(b"+PONG\r\n", b"$42\r\nredis_version:7.0.0\r\nrole:master\r\nused:1\r\n\r\n", host=elsewhere)
    pem, key, own = tmp_path / "pem", tmp_path / "key", f"127.0.0.1:{free_port()}"
    certs.copy("good", pem, key)
    yield World(skymond, prometheus, tmp_path, job=shipped_job(), rules=all_rules(), components={
        "far": {"plugin": "cache", "interval": "1s", "url": f"redis://{elsewhere}:{far.port}", "reconnect": "0s"},
        "own": {"plugin": "certificate", "interval": "1s", "address": own, "tls": {"ca_file": certs.ca}},
        "parent": {"plugin": "t_file", "path": str(tmp_path / "parent"), "interval": "1s"},
        "child": {"plugin": "t_file", "path": str(tmp_path / "child"), "interval": "1s", "depends_on": ["parent"]},
    }, listen=[{"address": own, "tls": {"cert_file": str(pem), "key_file": str(key)}}])
    far.close()


def evaluated(server):
    """{name: health} of the rules that Prometheus has evaluated."""
    return {rule["name"]: rule["health"] for group in server.api("rules")["data"]["groups"] for rule in group["rules"]
            if rule["health"] != "unknown"}


def test_every_query_returns_data(world):
    queries = {text for rule in RULES.values() for text in selectors(rule["expr"])}
    queries |= {threshold_of(rule)[0] for rule in RULES.values() if comparison(rule["expr"])}
    queries |= {grafana["data"][0]["model"]["expr"] for grafana in GRAFANA.values() if comparison(RULES[grafana["title"]]["expr"])}
    queries |= set(re.findall(r"\b(?:skymon|sky_genesis)_\w+", (PROMETHEUS / "RUNBOOK.md").read_text()))
    assert len(queries) > len(RULES)
    for name in ("parent", "child"):
        (world.folder / name).write_text("unhealthy")
    for query in sorted(queries):
        assert world.rows(query), query
    wait_until(lambda: evaluated(world.prometheus) == dict.fromkeys(RULES, "ok"), 20, "all rules to be evaluated without an error")


def test_a_component_with_a_cause_is_quiet(world):
    for name in ("parent", "child"):
        (world.folder / name).write_text("unhealthy")
    world.prometheus.wait_query('skymon_component_because_of{cause="parent", component="child"}')
    rows = world.prometheus.wait_query(expression("ComponentUnhealthy"), lambda rows: [row[0]["component"] for row in rows] == ["parent"])
    assert world.daemon.component("child")["status"] == "unhealthy" and len(rows) == 1


def test_without_honor_labels_the_given_queries_find_nothing(skymond, prometheus, tmp_path):
    """Why prometheus.yml and the ServiceMonitor have it."""
    world = World(skymond, prometheus, tmp_path, job={"honor_labels": False})
    assert world.rows('sky_genesis_error_rate_percent{exported_service="api"}')
    assert world.prometheus.query('sky_genesis_error_rate_percent{service="api"}') == []


def expression(name):
    return OUR_RULES[name]["expr"] if name in OUR_RULES else GIVEN_RULES[name]["expr"]


def test_each_rule_finds_what_it_is_for(world, certs):
    """Seen on a real skymond that is brought into each state. How long it must last is promtool's matter."""
    component = {"component": "switch"}

    def finds(name, **labels):
        rows = world.prometheus.wait_query(expression(name), lambda rows: any(labels.items() <= row[0].items() for row in rows))
        assert all(labels.items() <= row[0].items() for row in rows), rows
    finds("ComponentUnverified", component="far", tls="none", peer="remote")
    for name in set(RULES) - {"VersionChanged", "SkymonVersionChanged", "ComponentUnverified"}:
        assert world.prometheus.query(expression(name)) == [], name
    for days, names in ((20, ["Renewal"]), (6, ["Renewal", "Expiry"])):
        certs.brief(days * 86400)
        certs.copy("brief", world.folder / "pem", world.folder / "key")
        world.daemon.hup()
        for name in names:
            finds(f"Certificate{name}", component="own")
            finds(f"ListenerCertificate{name}", job="sky-genesis-api")
    world.say("degraded")
    finds("ComponentDegraded", **component)
    finds("ComponentStatusChanged", status="degraded", **component)
    world.prometheus.wait_query('ALERTS{alertname="ComponentStatusChanged", alertstate="firing", component="switch", status="degraded"}')
    world.say("unknown")
    finds("ComponentStale", **component)
    world.say("unhealthy")
    finds("ComponentUnhealthy", **component)
    finds("ServiceUnhealthy", service=TARGET_SERVICE)
    world.say("crash")
    finds("SkymonPluginRestarts", plugin="t_file")
    world.say("healthy")
    (world.folder / "numbers").write_text("".join(f"{key} {value}\n" for key, value in {
        **NUMBERS, "error_rate_percent": 12, "average_response_time_ms": 1500}.items()))
    for name in ("HighErrorRate", "CriticalErrorRate", "HighResponseTime"):
        finds(name, service="api")
    (world.folder / "numbers").write_text("".join(f"{key} {value}\n" for key, value in NUMBERS.items() if key != "cache_hit_rate_percent"))
    finds("LimitUnmeasured", component="numbers", number="cache_hit_rate_percent")
    world.daemon.write_config("components: [")
    world.daemon.hup()
    finds("SkymonReloadFailed", job="sky-genesis-api")
    world.daemon.stop()
    finds("APIDown", job="sky-genesis-api")


def test_a_start_and_a_new_component_are_no_change(skymond, prometheus):
    """Of a check that takes its time Prometheus sees that it is starting: before the first start, at a restart, and when it is new."""
    port = free_port()
    server = prometheus([f"127.0.0.1:{port}"], rules=all_rules())
    config = {"plugins": {"prometheus": {}}, "components": {"slow": {"plugin": "t_slow", "ms": 4000, "interval": "1s"}}}

    server.wait_query("up == 0")

    def samples(name, status):
        rows = server.query(f'sum(count_over_time((skymon_component_status{{component="{name}", status="{status}"}} == 1)[5m:1s]))')
        return rows[0][1] if rows else 0

    def starts(name, daemon):
        """Until some scrapes have seen it start, and some more have seen it healthy."""
        starting, fine = samples(name, "unknown"), samples(name, "healthy")
        daemon.wait_component(name, status="healthy")
        wait_until(lambda: samples(name, "healthy") >= fine + 3, 20, "scrapes of its health", every=0.2)
        assert samples(name, "unknown") > starting, "no scrape fell into the start"
    daemon = skymond(config, listen=f"127.0.0.1:{port}")
    starts("slow", daemon)
    daemon.stop()
    server.wait_query("up == 0")
    daemon = skymond(config, listen=f"127.0.0.1:{port}")
    starts("slow", daemon)
    config["components"]["new"] = {"plugin": "t_slow", "ms": 4000, "interval": "1s"}
    daemon.write_config(config)
    daemon.hup()
    starts("new", daemon)
    told = server.query('last_over_time(ALERTS{alertname=~".*Changed"}[10m])')
    assert told == []


def test_a_reload_with_another_version_of_the_service_is_told(skymond, prometheus):
    """By the rule as it is, but that 10 minutes are 3 seconds here; and at any moment of the query."""
    config = {"service": {"name": "api", "version": "2.1"}, "plugins": {"prometheus": {}}}
    daemon = skymond(config)
    server = prometheus([f"127.0.0.1:{daemon.port}"])
    shortened = expression("VersionChanged").replace("offset 10m", "offset 3s")
    assert shortened.count("offset 3s") == 2
    told = f"last_over_time(({shortened})[5m:1s])"
    server.wait_query('skymon_service_info{version="2.1"} offset 3s')
    assert server.query(told) == []
    config["service"]["version"] = "2.2"
    daemon.write_config(config)
    daemon.hup()
    (labels, _), = server.wait_query(told)
    assert labels == {"job": "sky-genesis-api", "service": "api", "version": "2.2"}

# SPDX-License-Identifier: Apache-2.0
"""The exposition of a real daemon before its real readers: promtool, the strict parser of OpenMetrics, Prometheus itself."""
import re
import subprocess

import pytest
import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from harness import SOURCE, need, wait_until

OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}
SEED = ["active_connections", "total_requests_total", "error_rate_percent", "average_response_time_ms", "memory_usage_mb",
        "cpu_usage_percent", "database_connections", "cache_hit_rate_percent"]
OURS = """process_cpu_seconds_total process_resident_memory_bytes process_start_time_seconds skymon_build_info skymon_component_check_duration_seconds
    skymon_component_check_failures_total skymon_component_checks_total skymon_component_configured
    skymon_component_last_change_timestamp_seconds skymon_component_last_check_timestamp_seconds
    skymon_component_last_success_timestamp_seconds skymon_component_reason skymon_component_series_dropped_total skymon_component_status
    skymon_component_up skymon_config_last_reload_success_timestamp_seconds skymon_config_last_reload_successful
    skymon_http_request_duration_seconds skymon_http_requests_total skymon_metrics_dropped_total skymon_plugin_info
    skymon_plugin_restarts_total skymon_plugin_up skymon_scheduler_lag_seconds skymon_scrape_duration_seconds skymon_service_info
    skymon_status skymon_up""".split()
KNOWN = {"sky_genesis_average_response_time_ms metric names should not contain abbreviated units",
         "sky_genesis_memory_usage_mb metric names should not contain abbreviated units"}


@pytest.fixture
def daemon(skymond, tmp_path):
    """Something of everything: all eight of the seed, many series, labels of a component's own, a component without an address."""
    numbers = tmp_path / "numbers"
    numbers.write_text("database_connections 17\ncache_hit_rate_percent 93.5\n")
    found = skymond({
        "service": {"name": "api", "metrics": {"database_connections": "numbers", "cache_hit_rate_percent": "numbers"}},
        "plugins": {"prometheus": {}},
        "components": {
            "host": {"plugin": "host", "interval": "1s"},
            "numbers": {"plugin": "t_numbers", "path": str(numbers), "interval": "1s"},
            "series": {"plugin": "t_series", "count": 3000, "interval": "1s", "labels": {"team": 'a"b\\c'}},
            "absent": {"plugin": "database", "url": "${NO_SUCH_DATABASE:-}"},
        }})
    found.numbers = numbers
    for name in ("host", "numbers", "series"):
        found.wait_component(name, status="healthy")
    found.metrics()  # so that there is a scrape before, whose duration is shown
    return found


def names_of(text):
    return re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)


def samples_of(text):
    return [line for line in text.splitlines() if not line.startswith("#")]


def promtool(text):
    done = subprocess.run([need("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
    return done.returncode, set((done.stdout + done.stderr).strip().splitlines())


def test_promtool_complains_about_the_two_known_names_and_nothing_else(daemon):
    assert promtool(daemon.metrics()) == (3, KNOWN)


def test_families_and_their_order(daemon):
    names = names_of(daemon.metrics())
    assert names[:8] == ["sky_genesis_" + key for key in SEED]
    assert names[8:] == sorted(names[8:]) and len(names) == len(set(names))
    assert set(OURS) <= set(names) and "t_series_value" in names and "skymon_host_memory_size_bytes" in names


@pytest.mark.asan
def test_strict_openmetrics(daemon):
    answer = daemon.get("/api/v1/metrics/prometheus", headers=OPENMETRICS)
    assert answer.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.text.endswith("\n# EOF\n") and answer.text.count("# EOF") == 1 and "\n\n" not in answer.text
    families = {family.name: family for family in parse_openmetrics(answer.text)}
    assert families["sky_genesis_total_requests"].type == "counter"
    assert families["skymon_http_request_duration_seconds"].type == "histogram"
    assert len(families["t_series_value"].samples) == 3000


def test_both_formats_hold_the_same_samples(daemon):
    """Those of components: the daemon's own are read again for each answer."""
    def stable(text):
        return [line for line in samples_of(text) if "component=" in line]

    def same():
        text, other = daemon.metrics(), daemon.metrics(headers=OPENMETRICS)
        return stable(text) == stable(other)
    wait_until(same, 10, "two answers between two results")
    assert len(list(parse_text(daemon.metrics()))) == len(names_of(daemon.metrics()))


@pytest.mark.parametrize("accept, openmetrics", [
    (None, False), ("*/*", False), ("text/html", False), ("application/json", False), ("text/plain;version=0.0.4", False),
    ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
     "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
    ("application/openmetrics-text;q=0.2,text/plain;q=0.3", False),
])
def test_accept_never_refuses(daemon, accept, openmetrics):
    for path in ("/metrics", "/api/v1/metrics/prometheus"):
        answer = daemon.get(path, headers={"Accept": accept})
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text" if openmetrics else "text/plain; version=0.0.4")
        assert answer.text.endswith("# EOF\n") == openmetrics
        head = daemon.request("HEAD", path, headers={"Accept": accept})
        assert head.status_code == 200 and head.text == "" and head.headers["Content-Type"] == answer.headers["Content-Type"]


@pytest.mark.asan
def test_gzip_is_the_same_text(daemon):
    answer = daemon.get("/metrics", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(samples_of(answer.text)) > 3000 and promtool(answer.text) == (3, KNOWN)
    assert "Content-Encoding" not in daemon.get("/metrics", headers={"Accept-Encoding": "identity"}).headers


def test_labels_of_the_component_and_of_the_series(daemon):
    lines = [line for line in samples_of(daemon.metrics()) if line.startswith("t_series_value{")]
    assert len(lines) == 3000
    assert all(line.startswith('t_series_value{component="series",team="a\\"b\\\\c",node="node-') for line in lines)


def test_not_configured_has_no_status_series(daemon):
    lines = [line for line in samples_of(daemon.metrics()) if 'component="absent"' in line]
    assert lines == ['skymon_component_configured{component="absent"} 0', 'skymon_component_info{component="absent",group="",plugin="database"} 1']


def value(daemon, name):
    found = [line.split()[-1] for line in samples_of(daemon.metrics()) if line.startswith(name + "{") or line.startswith(name + " ")]
    return found[0] if found else None


@pytest.mark.sanitized
def test_a_number_lives_as_long_as_its_source(daemon):
    name = "sky_genesis_database_connections"
    assert value(daemon, name) == "17"
    daemon.numbers.write_text("database_connections 18\n")
    wait_until(lambda: value(daemon, name) == "18", 5, "the new value")
    assert value(daemon, "sky_genesis_cache_hit_rate_percent") is None  # not measured any more: absent, not 0
    daemon.numbers.unlink()
    daemon.wait_component("numbers", status="unhealthy")
    assert value(daemon, name) is None
    assert 'skymon_component_up{component="numbers"} 0\n' in daemon.metrics()
    assert 'skymon_component_status{component="numbers",status="unhealthy"} 1\n' in daemon.metrics()
    daemon.numbers.write_text("database_connections 19\n")
    wait_until(lambda: value(daemon, name) == "19", 5, "the value after it came back")


def test_requests_are_counted_as_they_are_answered(daemon):
    row = 'skymon_http_requests_total{code="200",method="GET",route="/api/v1/alive"}'
    for _ in range(3):
        daemon.get("/api/v1/alive")
    daemon.get("/nowhere")
    assert f"{row} 3\n" in daemon.metrics()
    assert 'skymon_http_requests_total{code="404",method="GET",route=""} 1\n' in daemon.metrics()
    assert 'skymon_http_request_duration_seconds_count{route="/api/v1/alive"} 3\n' in daemon.metrics()


@pytest.mark.sanitized
def test_series_go_with_their_component(skymond):
    def config(count):
        components = {"left": {"plugin": "t_series", "count": count, "interval": "1s"}}
        if count == 5:
            components["right"] = {"plugin": "t_series", "count": 1, "interval": "1s"}
        return {"plugins": {"prometheus": {}}, "components": components}

    def lines():
        return [line for line in samples_of(daemon.metrics()) if line.startswith("t_series_value{")]
    daemon = skymond(config(5))
    wait_until(lambda: len(lines()) == 6, 10, "six series")
    daemon.write_config(config(2))
    daemon.hup()
    wait_until(lambda: len(lines()) == 2, 10, "no ghost of the removed component and series")
    assert 'component="right"' not in daemon.metrics()


def test_a_real_prometheus_takes_every_byte(daemon, prometheus):
    server = prometheus([f"127.0.0.1:{daemon.port}"], job={"metrics_path": "/api/v1/metrics/prometheus"})
    server.wait_query('up{job="sky-genesis-api"}', lambda rows: rows and rows[0][1] == 1)
    server.wait_query("count_over_time(up[1m])", lambda rows: rows and rows[0][1] >= 4, timeout=30)
    assert [row[1] for row in server.query("min_over_time(up[1m])")] == [1]
    names = set(server.api("label/__name__/values")["data"])
    expected = {"sky_genesis_" + key for key in SEED} | set(OURS) - {"skymon_http_request_duration_seconds"}
    expected |= {"skymon_http_request_duration_seconds" + suffix for suffix in ("_bucket", "_count", "_sum")}
    assert expected | {"t_series_value"} <= names
    scraped = server.query("scrape_samples_scraped - scrape_samples_post_metric_relabeling")
    assert [row[1] for row in scraped] == [0]
    assert len(server.query('t_series_value{team="a\\"b\\\\c"}')) == 3000
    assert [row[1] for row in server.query('sky_genesis_database_connections{service="api"}')] == [17]
    own = requests.get(server.url + "/metrics", timeout=10).text
    rejected = re.findall(r"^(prometheus_target_scrapes_(?:sample_\S+|exceeded\S+|exemplar\S+)_total) (\S+)$", own, re.MULTILINE)
    assert len(rejected) >= 3 and all(float(count) == 0 for _, count in rejected), rejected
    types = server.api("metadata")["data"]
    assert types["sky_genesis_total_requests"][0]["type"] == "counter"
    assert types["skymon_http_request_duration_seconds"][0]["type"] == "histogram"


def test_the_frozen_bytes_of_the_unit_test_are_accepted_too():
    folder = SOURCE / "tests" / "unit"
    assert promtool((folder / "prometheus.txt").read_text()) == (3, KNOWN)
    assert len(list(parse_openmetrics((folder / "prometheus.openmetrics").read_text()))) > 25

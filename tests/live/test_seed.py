# SPDX-License-Identifier: Apache-2.0
"""The document that the project was asked for with: its commands as pasted, on port 8080, with the shipped configuration."""
import socket
import subprocess

import pytest
import yaml

from harness import ROOT, SOURCE, need, wait_until

SHIPPED = SOURCE / "etc" / "skymon.yaml"


@pytest.fixture
def shipped(skymond):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 8080))
        except OSError:
            pytest.fail("port 8080, which the pasted commands speak to, is taken by another program")
    daemon = skymond(SHIPPED.read_text(), listen="127.0.0.1:8080")
    wait_until(lambda: daemon.get("/api/v1/ready").status_code == 200, 10, "ready")
    return daemon


def paste(command):
    need("curl")
    need("jq")
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=20)
    return done.returncode, done.stdout


def test_debug_commands_as_pasted(shipped):
    code, text = paste("curl -s http://localhost:8080/api/v1/health | jq")
    health = yaml.safe_load(text)
    assert code == 0 and health["status"] == "healthy" and set(health) == {"status", "timestamp", "version", "uptime_seconds"}
    code, text = paste("curl -s http://localhost:8080/api/v1/metrics/prometheus | head -20")
    assert 'sky_genesis_active_connections{service="api"} ' in text
    code, text = paste("curl -s http://localhost:8080/api/v1/status | jq .health")
    found = yaml.safe_load(text)
    assert code == 0 and found["overall_status"] == "healthy"
    assert {"local-store", "host", "database"} <= {component["name"] for component in found["components"]}
    assert found["metrics"]["active_connections"] >= 1 and found["metrics"]["database_connections"] is None


def test_a_component_that_is_not_in_the_config(shipped):
    code, text = paste("curl -s http://localhost:8080/api/v1/health/nobody | jq")
    found = yaml.safe_load(text)
    assert code == 0 and found["status"] == 404
    assert "local-store" in found["detail"] and found["error"] == found["detail"]


def test_the_first_six_metrics_come_from_self(shipped):
    lines = [line for line in shipped.get("/api/v1/metrics/prometheus").text.splitlines() if not line.startswith("#")]
    names = [line.split("{")[0] for line in lines[:6]]
    assert names == ["sky_genesis_active_connections", "sky_genesis_total_requests_total", "sky_genesis_error_rate_percent",
                     "sky_genesis_average_response_time_ms", "sky_genesis_memory_usage_mb", "sky_genesis_cpu_usage_percent"]
    assert all('{service="api"}' in line for line in lines[:6])


def test_database_says_how_to_configure_it(shipped):
    answer = shipped.get("/api/v1/health/database")
    found = answer.json()
    assert answer.status_code == 503 and "Retry-After" not in answer.headers
    assert found["status"] == "unknown" and found["reason"] == "not_configured" and "DATABASE_URL" in found["message"]
    assert 'skymon_component_status{component="database"' not in shipped.metrics()
    assert 'skymon_component_configured{component="database"} 0' in shipped.metrics()


def test_kubernetes_probes_of_the_seed(shipped):
    """httpGet on /api/v1/ready and /api/v1/alive within kubelet's default time-out of one second."""
    for path in ("/api/v1/ready", "/api/v1/alive"):
        answer = shipped.get(path, timeout=1, headers={"User-Agent": "kube-probe/1.29", "Connection": "close"})
        assert answer.status_code == 200 and not answer.is_redirect


def test_the_shipped_config_is_the_installed_one():
    """But for the place of the schema in its first line."""
    shipped = SHIPPED.read_text().replace("$schema=/usr/share/", f"$schema={ROOT}/share/", 1)
    assert (ROOT / "etc" / "skymon" / "skymon.yaml").read_text() == shipped

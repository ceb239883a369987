# SPDX-License-Identifier: Apache-2.0
"""The demo as a person uses it: all parts healthy, each one-liner breaks and mends its part, Prometheus has the eight metrics, Ctrl-C leaves
nothing behind."""
import json
import os
import pathlib
import signal
import subprocess
import sys

import requests

from harness import end_process, need, processes, wait_until

SEED = ["active_connections", "total_requests_total", "error_rate_percent", "average_response_time_ms", "memory_usage_mb",
        "cpu_usage_percent", "database_connections", "cache_hit_rate_percent"]


def descendants(root):
    """Pids of all processes below root, with their start times."""
    alive, found, grown = processes(), {root}, True
    while grown:
        more = {pid for pid, (parent, _, _) in alive.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return {(pid, alive[pid][1]) for pid in found if pid in alive}


def test_the_demo(tmp_path):
    need("curl")
    report = tmp_path / "report.json"
    with open(tmp_path / "out", "w") as out:
        demo = subprocess.Popen([sys.executable, str(pathlib.Path(__file__).parent / "demo.py"), "--port", "0", "--json", str(report)],
                                stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until(lambda: report.exists() or demo.poll() is not None, 90, "the demo to be up")
        assert demo.poll() is None, (tmp_path / "out").read_text()
        report = json.loads(report.read_text())

        def component(name):
            found = requests.get(f"{report['url']}/api/v1/health/{name}", timeout=10).json()
            return f"{found['status']}/{found['reason']}"

        for name in ("vault", "database", "authentication", "websocket", "cache", "nginx", "requests"):
            assert component(name) == "healthy/ok"
        def details(name):  # upstream's keys
            shown = subprocess.run(["bash", "-c", f"curl -s {report['url']}/api/v1/health/{name} | jq .details"], capture_output=True,
                                   text=True, timeout=20, check=True).stdout
            return json.loads(shown)

        assert details("vault")["accessible"] is True and details("vault")["authentication_valid"] is True
        assert details("database")["active_connections"] >= 0 and details("database")["idle_connections"] >= 0
        assert details("authentication")["usable_keys"] >= 1 and details("websocket") and details("cache")
        def of_all():
            found = requests.get(report["url"] + "/api/v1/status", timeout=10).json()["health"]["metrics"]
            return all(value is not None for key, value in found.items() if key != "cache_hit_rate_percent")
        wait_until(of_all, 10, "two checks, for what is of an interval")
        def of_the_service():
            found = requests.get(report["url"] + "/api/v1/status", timeout=10).json()["health"]["metrics"]
            log = requests.get(f"{report['url']}/api/v1/health/requests", timeout=10).json()["numbers"]
            return found["total_requests"] == log["total_requests"] > 60 and 0 < found["error_rate_percent"] < 10 and found
        found = wait_until(of_the_service, 30, "what nginx has served, one of fifty with an error")
        assert found["active_connections"] >= 1 and 0 < found["memory_usage_mb"] < 100 and found["database_connections"] >= 1, found
        for name, _, breaks, shows, mends in report["one_liners"]:
            subprocess.run(["bash", "-c", breaks], check=True, timeout=20, capture_output=True)
            wait_until(lambda: component(name) == shows, 10, f"{name} to be {shows}")
            subprocess.run(["bash", "-c", mends], check=True, timeout=20, capture_output=True)
            wait_until(lambda: component(name) == "healthy/ok", 15, f"{name} to be healthy again")

        def in_prometheus(metric):
            query = f'sky_genesis_{metric}{{service="api",job="sky-genesis-api"}}'
            return requests.get(report["prometheus"] + "/api/v1/query", params={"query": query}, timeout=10).json()["data"]["result"]
        for metric in SEED:
            wait_until(lambda: in_prometheus(metric), 15, f"{metric} in Prometheus")
        family = descendants(demo.pid)
        assert len(family) > 8
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGINT)  # as a terminal's Ctrl-C
        code = end_process(demo, signal.SIGINT, timeout=30)
    said = (tmp_path / "out").read_text()
    assert code == 0 and "demo:" not in said, said
    alive = processes()
    assert [pid for pid, start in family if pid in alive and alive[pid][1] == start] == []

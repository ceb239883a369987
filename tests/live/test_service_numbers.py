# SPDX-License-Identifier: Apache-2.0
"""The service's own numbers: what another server answers, or takes, is not the service's error and not its time."""
import socket

import pytest

from harness import family_values, free_port

LIST = "/api/v1/grafana/dashboards"


@pytest.fixture
def silent():
    """The port of a server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


def broker(skymond, port, **options):
    return skymond({"plugins": {"prometheus": {}, "grafana": {
        "url": f"http://127.0.0.1:{port}", "api_key": "key-of-a-test", "timeout": "1s", "connect_timeout": "1s", **options}}})


def number(daemon, name):
    return family_values(daemon, f"sky_genesis_{name}")['{service="api"}']


def test_a_stopped_grafana_and_twenty_lists(skymond):
    daemon = broker(skymond, free_port())
    for _ in range(20):
        assert daemon.get(LIST).status_code == 503
    assert number(daemon, "error_rate_percent") == 0
    own = family_values(daemon, "skymon_http_requests_total")
    assert sum(value for labels, value in own.items() if 'code="503"' in labels and LIST in labels) == 20
    assert number(daemon, "total_requests_total") >= 20


def test_a_silent_grafana_s_time_is_not_ours(skymond, silent):
    daemon = broker(skymond, silent)
    for _ in range(3):
        assert daemon.get(LIST).status_code == 504
    assert number(daemon, "error_rate_percent") == 0
    assert number(daemon, "average_response_time_ms") < 500  # each of those three took a second


def test_help_says_so(skymond):
    text = broker(skymond, free_port()).metrics()
    for name in ("error_rate_percent", "average_response_time_ms"):
        line = next(line for line in text.splitlines() if line.startswith(f"# HELP sky_genesis_{name} "))
        assert "another server" in line

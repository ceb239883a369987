# SPDX-License-Identifier: Apache-2.0
"""Five hundred components on one PostgreSQL of a hundred connections: the monitor never makes it refuse a client."""
import pytest

from harness import Postgres, family_values, wait_until

COUNT = 500


@pytest.fixture
def small():
    server = Postgres({"max_connections": "100", "log_min_messages": "fatal"})
    yield server
    server.close()


def test_five_hundred_components_on_a_hundred_connections(skymond, small):
    components = {f"db{i}": {"plugin": "database", "url": small.url(), "interval": "20s", "timeout": "10s"}
                  for i in range(COUNT)}
    daemon = skymond({"plugins": {"prometheus": {}}, "components": components})

    def all_healthy():
        found = {each["name"]: each["status"] for each in daemon.get("/api/v1/status").json()["health"]["components"]}
        wrong = {name: status for name, status in found.items() if status != "healthy"}
        assert not wrong, (len(wrong), list(wrong.items())[:3])
        return True

    wait_until(all_healthy, 90, "all to be healthy", every=0.2)
    assert daemon.get("/api/v1/ready").status_code == 200

    def checks():
        return sum(family_values(daemon, "skymon_component_checks_total").values())

    wait_until(lambda: checks() >= 2.5 * COUNT, 90, "more rounds", every=0.2)
    assert sum(family_values(daemon, "skymon_component_check_failures_total").values()) == 0
    assert "too many clients" not in small.log.read_text()
    assert int(small.psql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")) < 80

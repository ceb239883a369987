# SPDX-License-Identifier: Apache-2.0
"""database on PostgreSQL 10, 13, 15 and 18: the standby's lag, a primary that is lost, and statistics that the server refuses."""
import pytest

from harness import family_values, wait_until
from postgres_versions import ColdStandby, postgres_of  # noqa: F401
from test_database import config, expect, part

MAJORS = [10, 13, 15, 18]
# Rights that may be refused; the numbers that each costs, and some that it must not cost.
REFUSED = {
    "execute on function pg_last_xact_replay_timestamp()": ("pg_last_xact_replay_timestamp", set(), {"connections_used", "cache_hit_rate"}),
    "execute on function pg_stat_get_wal_receiver()": ("pg_stat_wal_receiver", set(), {"connections_used", "active_connections"}),
    "select on pg_stat_activity": ("pg_stat_activity", {"database_connections", "connections_used", "active_connections"},
                                   {"cache_hit_rate"}),
    "select on pg_stat_replication": ("pg_stat_replication", set(), {"connections_used"}),
    "select on pg_stat_database": ("pg_stat_database", {"cache_hit_rate"}, {"connections_used", "active_connections"}),
    "execute on function pg_current_wal_lsn()": ("pg_current_wal_lsn", set(), {"connections_used", "cache_hit_rate"}),
    "execute on function pg_is_in_recovery()": ("pg_is_in_recovery", set(), {"connections_used", "cache_hit_rate"}),
    "execute on function current_setting(text)": ("max_connections", {"connections_used"}, {"active_connections", "cache_hit_rate"}),
}


@pytest.mark.parametrize("major", MAJORS)
def test_one_statistic_that_is_refused_costs_its_own_numbers(skymond, postgres_of, major):  # noqa: F811
    pg = postgres_of(major)
    pg.psql("create role low login password 'low-word'; grant pg_read_all_stats to low")
    url = pg.url(user="low", password="low-word")
    sm = skymond(config({"db": part(url, interval="100ms", reconnect="0s"), "kept": part(url, interval="100ms")}))
    found = expect(sm, "healthy", "ok", f"PostgreSQL {major}", "primary")
    assert "missing" not in found["details"]
    for what, (name, lost, stays) in REFUSED.items():
        pg.psql(f"revoke {what} from public")

        def look():
            found = sm.component("db")
            assert found["status"] == "healthy" and f"{name} (SQLSTATE 42501)" in found["details"].get("missing", ""), found
            assert not lost & set(found["numbers"]), (lost, found)
            # A check in whose interval no block was read has no cache_hit_rate: PostgreSQL 10 and 13 count twice a second.
            return stays <= set(found["numbers"])
        wait_until(look, 15, f"{what} to be missed, and nothing else")
        assert sm.wait_component("kept", status="healthy")["consecutive_failures"] == 0
        pg.psql(f"grant {what} to public")
        wait_until(lambda: "missing" not in sm.component("db")["details"], 15, f"{what} to be there again")
    # All at once: what is left is still measured.
    for what in REFUSED:
        pg.psql(f"revoke {what} from public")
    wait_until(lambda: "server_version" not in sm.component("db")["details"], 15, "all to be missed")
    found = sm.component("db")
    assert found["status"] == "healthy" and "role" not in found["details"] and "database_connections" not in found["details"], found


@pytest.mark.parametrize("major", MAJORS)
def test_standby_restarted_while_its_primary_is_idle(skymond, postgres_of, major):  # noqa: F811
    pg = postgres_of(major)
    pg.psql("create table t as select generate_series(1, 30000) as i")
    with ColdStandby(pg, major) as standby:
        standby.start()
        sm = skymond(config({"db": part(standby.url(), interval="100ms"), "main": part(pg.url())}))
        expect(sm, "healthy", "ok", "standby")
        pg.psql("insert into t select generate_series(1, 30000)")
        pg.psql("checkpoint")
        wait_until(lambda: standby.sql("select count(*) from t") == "60000", 20, "replication")
        standby.sql("checkpoint")
        # From here on the primary is idle. The standby streams again from the beginning of a segment.
        standby.stop()
        standby.start()
        wait_until(lambda: standby.sql("select count(*) from pg_stat_wal_receiver where status = 'streaming'") == "1", 20, "streaming")
        behind = int(standby.sql("select pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"))
        assert behind < 0, "this server does not show what the test is about"

        def look():
            found = sm.component("db")
            details = found["details"]
            assert details["receiving"] and (details["replication_lag_bytes"], details["replication_lag_seconds"]) == (0, 0), found
            return found["status"] == "healthy"
        wait_until(look, 15, "no lag")
        seen = family_values(sm, "skymon_component_checks_total")['{component="db"}']
        wait_until(lambda: look() and family_values(sm, "skymon_component_checks_total")['{component="db"}'] > seen + 10, 20, "more checks")
        pg.stop("fast")
        expect(sm, "degraded", "standby", "receives nothing from its primary", fault="a standby that lost its primary")
        pg.start()
        expect(sm, "healthy", "ok", "standby")

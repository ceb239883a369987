# SPDX-License-Identifier: Apache-2.0
"""database: several queries over one connection. Each has its own numbers; one that fails is named and costs its own."""
import sqlite3

from harness import family_values, run_skymond, wait_until
from test_database import config, expect, no_secret, part

QUERIES = [
    {"name": "open_orders", "sql": "select count(*) from orders where open"},
    {"name": "oldest", "sql": "select 12.5"},
    {"name": "no_rows", "sql": "select id from orders where false"},
    {"name": "words", "sql": "select 'geheim-data' union all select 'b'"},
]


def numbers(sm, name="db"):
    return {labels.split('query="')[1].rstrip('"}'): value for labels, value in family_values(sm, "skymon_db_query_value").items()
            if f'component="{name}"' in labels}


def test_postgres(skymond, fresh_postgres):
    pg = fresh_postgres()
    pg.psql("create table orders(id int, open bool); insert into orders values (1, true), (2, true), (3, false)")
    sm = skymond(config({
        "db": part(pg.url(), queries=QUERIES, query="select 7", crit={"query_value_open_orders": 5, "query_rows_words": 2,
                                                                     "query_value": 8, "query_time_oldest": "1s"}),
        "bad": part(pg.url(), queries=[*QUERIES, {"name": "gone", "sql": "select * from nothing"}, {"name": "w", "sql": "delete from orders"},
                                       {"name": "late", "sql": "select pg_sleep(60)"}, {"name": "last", "sql": "select 3"}]),
    }))
    found = expect(sm, "healthy", "ok")
    assert numbers(sm) == {"open_orders": 2, "oldest": 12.5}
    rows = {k: v for k, v in family_values(sm, "skymon_db_query_rows").items() if 'component="db"' in k}
    assert sorted(rows.values()) == [0, 1, 1, 2]
    no_secret(sm, found)
    assert "geheim-data" not in sm.get("/api/v1/status").text + sm.log_text()
    # Those that fail are named, and cost no other; the one that never ends leaves the last one its time.
    found = expect(sm, "unhealthy", "query_error", "query `gone` failed", 'relation "nothing" does not exist', "3 of 8 queries failed",
                   name="bad", fault="queries: one fails")
    assert "read-only" in found["details"]["query_error_w"] and "did not finish in time" in found["details"]["query_error_late"]
    assert numbers(sm, "bad") == {"open_orders": 2, "oldest": 12.5, "last": 3}
    assert found["details"]["database_connections"] >= 1
    assert family_values(sm, "skymon_db_connects_total")['{component="bad"}'] == 1, "the connection survives"
    pg.psql("insert into orders select i, true from generate_series(4, 9) i")
    expect(sm, "unhealthy", "threshold_crit", "query_value_open_orders", fault="queries: above a limit")
    pg.psql("create table nothing(x int)")
    wait_until(lambda: "query `w`" in sm.component("bad")["message"] and "2 of 8" in sm.component("bad")["message"], 15, "two")


def test_sqlite(skymond, tmp_path):
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as db:
        db.execute("create table orders(id int, open int)")
        db.execute("insert into orders values (1, 1), (2, 1), (3, 0)")
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    sm = skymond(config({
        "db": part(f"sqlite:{path}", queries=QUERIES, warn={"query_value_open_orders": 1}),
        "bad": part(f"sqlite:{path}", query="select 1", queries=[{"name": "endless", "sql": endless}, {"name": "w", "sql": "delete from orders"},
                                                                 *QUERIES])}))
    expect(sm, "degraded", "threshold_warn", "query_value_open_orders")
    assert numbers(sm) == {"open_orders": 2, "oldest": 12.5}
    found = expect(sm, "unhealthy", "timeout", "query `endless` did not finish in time", "2 of 7 queries failed", name="bad")
    assert "reads and returns rows" in found["details"]["query_error_w"] and numbers(sm, "bad") == {"open_orders": 2, "oldest": 12.5}
    assert found["details"]["quick_check"] == "ok"


def test_what_is_wrong_is_said(skymond):
    def one(name, **more):
        return {"name": name, "sql": "select 1", **more}
    wrong = [([one("a"), one("a")], {}, "queries[1].name", "`a`, which is used twice"), ([one("A-b")], {}, "queries[0].name", "a-z, 0-9 and _"),
             ([one(f"q{i}") for i in range(41)], {}, "queries", "at most 40 are allowed"), ([{"name": "a"}], {}, "sql", ""),
             ([one("a", limit=1)], {}, "limit", ""), ([], {"query_valu_a": 1}, "query_valu_a", "")]
    for queries, warn, *words in wrong:
        done = run_skymond(config({"db": part("sqlite:a.db", queries=queries, warn=warn)}), "--check-config")
        assert done.returncode == 2 and all(word in done.stderr for word in words), done

# SPDX-License-Identifier: Apache-2.0
"""database with sqlite: URLs: files that are locked, damaged, replaced, removed, or somebody else's."""
import sqlite3
import time

import pytest

from harness import family_values, wait_until
from test_database import expect, watching


@pytest.mark.asan
def test_sqlite(skymond):
    sm = skymond(watching("sqlite:a.db", quick_check_interval="1s", query="select 42",
                          crit={"query_value": "<42"}))
    found = expect(sm, "healthy", "ok", str(sm.state_dir / "a.db"))
    details = found["details"]
    assert details["quick_check"] == "ok" and details["written"] is True and details["write_seconds"] > 0
    assert details["size_bytes"] == (sm.state_dir / "a.db").stat().st_size
    # Locked by another process; and free again.
    other = sqlite3.connect(sm.state_dir / "a.db", isolation_level=None)
    other.execute("begin exclusive")
    expect(sm, "unhealthy", "timeout", "locked", since=time.monotonic())
    other.execute("commit")
    other.close()
    expect(sm, "healthy", "ok")
    # Not a database any more; removed: a new one is made.
    (sm.state_dir / "a.db").write_bytes(b"x" * 8192)
    expect(sm, "unhealthy", "query_error", "not a database")
    (sm.state_dir / "a.db").unlink()
    expect(sm, "healthy", "ok")
    # A folder in its place; and back.
    (sm.state_dir / "a.db").unlink(missing_ok=True)
    wait_until(lambda: make_folder(sm.state_dir / "a.db"), 10, "the folder to stand there")
    expect(sm, "unhealthy", "other", "not a regular file")
    (sm.state_dir / "a.db").rmdir()
    expect(sm, "healthy", "ok")


def make_folder(path):
    path.unlink(missing_ok=True)  # the check may be faster
    path.mkdir()
    return True


def test_sqlite_of_somebody_else_is_only_read(skymond, tmp_path):
    path = tmp_path / "theirs.db"
    theirs = sqlite3.connect(path)
    theirs.execute("create table t(x)")
    theirs.execute("insert into t values (1)")
    theirs.commit()
    before = path.read_bytes()
    sm = skymond(watching(f"sqlite:{path}", query="select count(*) from t"))
    found = expect(sm, "healthy", "ok", "can be read")
    assert found["details"]["written"] is False and "write_seconds" not in found["details"]
    wait_until(lambda: family_values(sm, "skymon_component_checks_total").get('{component="db"}', 0) >= 3, 10, "three checks")
    assert path.read_bytes() == before
    path.unlink()
    expect(sm, "unhealthy", "other", "No such file")
    assert not path.exists()


def test_sqlite_damage_is_found_by_quick_check(skymond):
    sm = skymond(watching("sqlite:a.db", quick_check_interval="500ms"))
    expect(sm, "healthy", "ok")
    path = sm.state_dir / "a.db"
    filler = sqlite3.connect(path, timeout=10)
    filler.execute("create table t(x)")
    filler.executemany("insert into t values (?)", [(f"row {i} " * 20,) for i in range(2000)])
    filler.commit()
    filler.close()
    with open(path, "r+b") as file:
        file.seek(20 * 4096)
        file.write(b"\x5a" * 4096)
    expect(sm, "unhealthy", "query_error", "quick_check")

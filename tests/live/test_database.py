# SPDX-License-Identifier: Apache-2.0
"""database: a real PostgreSQL that is stopped, frozen, filled, restarted, replaced by nonsense, replicated. Each time:
status, reason, a sentence without a secret, and that it was said within interval + timeout."""
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time

import pytest

import truth
from double import Double
from harness import Postgres, SLOW, end_process, family_values, free_port, need, processes, run_skymond, run_tool, wait_until

SECRET = Postgres.PASSWORD
INTERVAL, TIMEOUT = 0.3, 2.0


def part(url, **options):
    return {"plugin": "database", "interval": "300ms", "timeout": "2s", "url": url, **options}


def config(components):
    return {"plugins": {"prometheus": {}}, "components": components}


def watching(url, **options):
    return config({"db": part(url, **options)})


def expect(sm, status, reason, *words, since=None, name="db", fault=None):
    """Waits for the component to be so; checks its sentence, and how long it took since the deed. A `fault` is a row of the truth table."""
    began = since or time.monotonic()

    def look():
        found = sm.component(name)
        # On a busy machine the daemon's deadline may come first, with another sentence: a later check's own is waited for.
        assert (found["status"], found["reason"]) == (status, reason) and all(word in found["message"] for word in words), found
        assert found["response_time_ms"] <= TIMEOUT * 1000 * SLOW, found
        return found
    found = wait_until(look, 15, f"{name} to be {status}/{reason} by the check's own sentence")
    took = time.monotonic() - began if since or fault else 0
    # One check may be out while the deed is done, and the next one takes its timeout.
    assert took <= (INTERVAL + 2 * TIMEOUT + 1) * SLOW, f"{took:.1f} s until {reason}"
    no_secret(sm, found)
    if fault:
        truth.record({"check": "database", "fault": fault, "status": status, "reason": reason, "took": round(took, 2),
                      "within": round((INTERVAL + 2 * TIMEOUT + 1) * SLOW, 2), "message": found["message"]})
    return found


def no_secret(sm, *more):
    for text in (*map(json.dumps, more), sm.get("/api/v1/status").text, sm.metrics(), sm.log_text()):
        assert SECRET not in text, text


# ---- PostgreSQL as it should be ----

@pytest.mark.sanitized
def test_healthy(skymond, fresh_postgres):
    pg = fresh_postgres(max_connections=20)
    sm = skymond(watching(pg.url()))
    found = expect(sm, "healthy", "ok", f"127.0.0.1:{pg.port}/postgres", "primary", "1 of 20", fault="none")
    details = found["details"]
    assert details["role"] == "primary" and details["max_connections"] == 20 and details["server_version"] == pg.psql("SHOW server_version").split()[0]
    assert (details["database_connections"], details["active_connections"], details["idle_connections"]) == (1, 0, 1)
    assert details["tls"] == "none" and details["standbys"] == 0 and "replication_lag_seconds" not in details
    assert 0 < details["cache_hit_rate_in_all"] <= 1
    # One that works, one that sits in a transaction: they are counted, and the transaction's age grows.
    works = pg_session(pg, "select pg_sleep(60)")
    sits = pg_session(pg, "begin", "select 1")
    try:
        def counted():
            rows = family_values(sm, "skymon_db_connections")
            of = {state: sum(v for labels, v in rows.items() if f'state="{state}"' in labels)
                  for state in ("active", "idle", "idle_in_transaction")}
            assert of == {"active": 1, "idle": 1, "idle_in_transaction": 1}, rows
            return sm.component("db")["details"]["longest_transaction_seconds"] > 0.2
        wait_until(counted, 10, "the two sessions to be counted")
        assert sm.component("db")["details"]["database_connections"] == 3
    finally:
        end_process(works)
        end_process(sits)
    # The connection was kept all the while.
    assert list(family_values(sm, "skymon_db_connects_total").values()) == [1]


def pg_session(pg, *statements):
    """psql that runs the statements and stays."""
    session = subprocess.Popen([pg.bin / "psql", "-Xq", "-h", pg.folder.path, "-p", str(pg.port), "-U", "postgres"],
                               stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
    for statement in statements:
        session.stdin.write(statement + ";\n")
    session.stdin.flush()
    return session


def test_thresholds(skymond, fresh_postgres):
    pg = fresh_postgres(max_connections=20)
    sm = skymond(watching(pg.url(), query="select 7", warn={"connections_used": "9%"}, crit={"query_value": "<5"}))
    expect(sm, "healthy", "ok")
    other = pg_session(pg, "select 1")
    try:
        expect(sm, "degraded", "threshold_warn", "connections_used", fault="many connections (threshold)")
    finally:
        end_process(other)
    expect(sm, "healthy", "ok")


@pytest.mark.sanitized
def test_many_at_once(skymond, postgres):
    """One worker, twenty threads in libpq at the same time, and as many SQLite files."""
    parts = {f"pg{i}": {"plugin": "database", "interval": "200ms", "url": postgres.url()} for i in range(20)}
    parts |= {f"lite{i}": {"plugin": "database", "interval": "200ms", "url": f"sqlite:{i}.db"} for i in range(20)}
    sm = skymond(config(parts))
    for name in parts:
        sm.wait_component(name, status="healthy")
    wait_until(lambda: family_values(sm, "skymon_component_checks_total") and
               min(family_values(sm, "skymon_component_checks_total").values()) >= 5, 20, "five checks of each")
    assert all(sm.component(name)["consecutive_failures"] == 0 for name in parts)


def test_less_privileged_role_says_what_is_hidden(skymond, fresh_postgres):
    pg = fresh_postgres()
    role, grant = truth.rights("CREATE ROLE skymon")
    pg.psql(role.replace("…", "low-word"))
    pg.psql("create table stock (of int)")
    url = pg.url(user="skymon", password="low-word")
    sm = skymond(config({"db": part(url), "all": part(pg.url()), "query": part(url, query="select count(*) from stock")}))
    expect(sm, "unhealthy", "query_error", "permission denied for table stock", name="query")
    pg.psql("grant select on stock to skymon")
    expect(sm, "healthy", "ok", name="query")
    other = pg_session(pg, "select 1")
    try:
        found = wait_until(lambda: (c := sm.component("db"))["details"].get("hidden_connections") == 2 and c, 10, "a hidden one")
        assert found["details"]["database_connections"] == 4
        assert "active_connections" not in found["details"] and "longest_transaction_seconds" not in found["details"]
        assert "pg_read_all_stats" in found["details"]["hidden"]
        assert not [labels for labels in family_values(sm, "skymon_db_connections") if "all" not in labels]
        pg.psql(grant)
        wait_until(lambda: sm.component("db")["numbers"].keys() == sm.component("all")["numbers"].keys(), 10, "all to be seen")
        assert "hidden" not in sm.component("db")["details"]
    finally:
        end_process(other)


# ---- PostgreSQL in trouble ----

@pytest.mark.sanitized
def test_stopped_and_brought_back(skymond, fresh_postgres):
    pg = fresh_postgres()
    sm = skymond(watching(pg.url()))
    expect(sm, "healthy", "ok")
    for mode in ("immediate", "fast"):
        began = time.monotonic()
        pg.stop(mode)
        expect(sm, "unhealthy", "refused", f"127.0.0.1:{pg.port}/postgres: connection refused", since=began, fault="stopped")
        pg.start()
        expect(sm, "healthy", "ok", since=time.monotonic(), fault="started again")


def test_restart_under_a_kept_connection(skymond, fresh_postgres):
    """Between two checks: the next one finds the connection gone and a server there."""
    pg = fresh_postgres()
    sm = skymond(watching(pg.url(), interval="6s"))
    connects = 0

    def restart():
        nonlocal connects
        connects = sum(family_values(sm, "skymon_db_connects_total").values())
        pg.stop("immediate")
        pg.start()
    _, found = truth.restarted("database", sm, "db", restart)
    no_secret(sm, found)
    assert list(family_values(sm, "skymon_db_connects_total").values()) == [connects + 1]


def test_terminated_session_is_no_outage(skymond, fresh_postgres):
    pg = fresh_postgres()
    sm = skymond(watching(pg.url()))
    expect(sm, "healthy", "ok")
    since = sm.component("db")["since"]
    for connects in (2, 3, 4):
        pg.psql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'skymon'")
        wait_until(lambda: list(family_values(sm, "skymon_db_connects_total").values()) == [connects], 10, "a new connection")
    found = sm.component("db")
    assert (found["status"], found["since"], found["consecutive_failures"]) == ("healthy", since, 0)


def test_session_that_ends_under_a_question_is_no_outage(skymond, fresh_postgres):
    """The loss cannot be seen before the query is sent: the backend is frozen, its end already decided."""
    pg = fresh_postgres()
    sm = skymond(watching(pg.url(), timeout="20s"))
    first = expect(sm, "healthy", "ok")
    backend = int(pg.psql("select pid from pg_stat_activity where application_name = 'skymon'"))
    pg.pause()
    os.kill(backend, signal.SIGTERM)
    wait_until(lambda: unread_bytes(pg.port) > 0, 10, "a question to wait at the frozen backend")
    pg.resume()
    wait_until(lambda: list(family_values(sm, "skymon_db_connects_total").values()) == [2], 10, "a new connection")
    found = sm.component("db")
    assert (found["status"], found["since"], found["consecutive_failures"]) == ("healthy", first["since"], 0)


def unread_bytes(port):
    """Bytes that the server's ends of its connections have received and no process has read."""
    rows = [line.split() for line in open("/proc/net/tcp").read().splitlines()[1:]]
    return sum(int(row[4].split(":")[1], 16) for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01")


@pytest.mark.sanitized
def test_frozen(skymond, fresh_postgres):
    pg = fresh_postgres()
    sm = skymond(watching(pg.url()))
    expect(sm, "healthy", "ok")
    began = time.monotonic()
    pg.pause()
    # First under the kept connection, then no new one comes about; both are the check's own sentences.
    expect(sm, "unhealthy", "timeout", since=began, fault="frozen")
    wait_until(lambda: "did not begin TLS" in sm.component("db")["message"], 15, "a login without an answer")
    pg.resume()
    expect(sm, "healthy", "ok", since=time.monotonic(), fault="thawed")


def test_full(skymond, fresh_postgres):
    pg = fresh_postgres(max_connections=4, superuser_reserved_connections=0)
    sessions, refused = [], 0

    def filled():
        """A slot may be taken for a moment by somebody who leaves: only five refusals in a row count."""
        nonlocal refused
        refused = refused + 1 if pg.psql("select 1", check=False) != "1" else 0
        if refused == 0:
            sessions.append(pg_session(pg, "select 1"))
        return refused == 5

    try:
        wait_until(filled, 20, "no connection to be left")
        sm = skymond(watching(pg.url()))
        expect(sm, "unhealthy", "resource", "no free connection", "53300", fault="no connection left")
    finally:
        for session in sessions:
            end_process(session)
    expect(sm, "healthy", "ok")


@pytest.mark.asan
def test_wrong_password_then_right(skymond, fresh_postgres, tmp_path):
    pg = fresh_postgres()
    word = tmp_path / "word"
    word.write_text("not-the-word\n")
    word.chmod(0o600)
    sm = skymond(watching(pg.url(password=None), password={"file": str(word)}))
    found = expect(sm, "unhealthy", "auth_failed", "refused the password", fault="wrong password")
    assert "not-the-word" not in json.dumps(found) + sm.log_text()
    word.write_text(SECRET + "\n")  # read again, because the check said that it was refused
    expect(sm, "healthy", "ok", since=None)


def test_no_password_and_no_such_things(skymond, postgres):
    sm = skymond(config({
        "none": part(postgres.url(password=None)),
        "role": part(postgres.url(user="somebody")),
        "base": part(postgres.url(database="missing")),
        "name": part(postgres.url(host="no-such-host.invalid")),
        "over": part(postgres.url(password="wrong"), password=SECRET),
        "sock": part(f"postgresql://postgres@/postgres?host={postgres.folder.path}&port={postgres.port}"),
        "gone": part("postgresql://postgres@/postgres?host=/nowhere"),
        "attr": part(postgres.url() + "?target_session_attrs=standby"),
        "both": part(postgres.url(host="no-such-host.invalid,127.0.0.1").replace(f":{postgres.port}/",
                                                                                f":{postgres.port},{postgres.port}/")),
    }))
    expect(sm, "unhealthy", "auth_failed", "requires a password", name="none", fault="no password")
    assert "somebody" not in expect(sm, "unhealthy", "auth_failed", name="role")["message"]
    expect(sm, "unhealthy", "query_error", "no such database", name="base", fault="no such database")
    expect(sm, "unhealthy", "dns", name="name", fault="name does not resolve")
    expect(sm, "healthy", "ok", name="over")
    expect(sm, "healthy", "ok", name="sock")
    expect(sm, "unhealthy", "refused", name="gone")
    expect(sm, "unhealthy", "standby", "is a primary", name="attr", fault="a primary where a standby is asked for")
    expect(sm, "healthy", "ok", name="both")


def test_urls_that_cannot_be():
    urls = {"a": ("mysql://root:geheim-pw@db/x", "postgresql:, postgres: or sqlite:"),
            "b": ("postgresql://u:gehe@im-pw@db/x", "%40"),
            "c": ("postgresql://u:geheim-pw@db/x?nonsense=1", "`nonsense`"),
            "d": ("sqlite:../outside.db", "state")}
    done = run_skymond(config({name: part(url) for name, (url, _) in urls.items()}), "--check-config")
    assert done.returncode == 2 and "im-pw" not in done.stderr and SECRET not in done.stderr, done
    for name, (_, words) in urls.items():
        assert any(f"component {name} " in line and words in line for line in done.stderr.splitlines()), (name, done.stderr)


# ---- Something else than PostgreSQL ----

class Fake(Double):
    """Takes connections, says no to TLS, sends `answer` to what follows, then closes (or hangs)."""

    def __init__(self, answer, hang, tls=b"N"):
        self.answer, self.hang, self.tls = answer, hang, tls
        super().__init__()

    def serve(self, connection):
        connection.settimeout(20)
        if connection.recv(4096)[4:8] == b"\x04\xd2\x16\x2f" and self.tls:
            connection.sendall(self.tls)
        if self.answer is not None:
            connection.recv(4096)
            connection.sendall(self.answer)


def message(kind, body):
    return kind + (len(body) + 4).to_bytes(4, "big") + body


LOGIN = message(b"R", bytes(4)) + message(b"S", b"server_version\x0015.1\0") + message(b"K", bytes(8)) + message(b"Z", b"I")
ERROR = b"SFATAL\0VFATAL\0C%s\0M%s\0\0"
FAKES = {
    "closes at once": (None, False, b"", "protocol", "closed"),
    "takes and is silent": (None, True, b"", "timeout", "did not begin TLS"),
    "speaks HTTP": (None, False, b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol", "does not speak the PostgreSQL protocol"),
    "half a login and silent": (LOGIN[:5], True, b"N", "timeout", "login"),
    "half a login and closed": (LOGIN[:5], False, b"N", "protocol", "closed"),
    "noise for a login": (b"\xff" * 400, True, b"N", "protocol", "does not speak the PostgreSQL protocol"),
    "silent after the login": (LOGIN, True, b"N", "timeout", "statistics"),
    "closed after the login": (LOGIN, False, b"N", "protocol", "closed"),
    "noise after the login": (LOGIN + b"z" * 4000, True, b"N", "protocol", "violates the PostgreSQL protocol"),
    "promises two gigabytes": (LOGIN + b"D\x7f\xff\xff\xff" + bytes(100), True, b"N", "protocol", ""),
    "starts up": (message(b"E", ERROR % (b"57P03", b"the database system is starting up")), False, b"N", "other", "starting up"),
    "repeats the password": (message(b"E", ERROR % (b"XX000", SECRET.encode() + b" of bob")), False, b"N", "other", "*** of ***"),
    "sends no text": (message(b"E", ERROR % (b"XX000", b"\xff\x1b[31m")), False, b"N", "other", "XX000"),
}


@pytest.mark.asan
def test_not_postgres(skymond):
    fakes = {name: Fake(answer, hang, tls) for name, (answer, hang, tls, _, _) in FAKES.items()}
    try:
        sm = skymond(config({f"f{i}": part(f"postgresql://bob:{SECRET}@127.0.0.1:{fake.port}/x")
                             for i, fake in enumerate(fakes.values())}))
        for i, (name, (_, _, _, reason, words)) in enumerate(FAKES.items()):
            found = expect(sm, "unhealthy", reason, words, name=f"f{i}", fault=name)
            assert "bob" not in found["message"], (name, found)
    finally:
        for fake in fakes.values():
            fake.close()


def test_no_answer_to_the_connection(skymond, postgres):
    """A listener whose queue is full drops what comes: a black hole. The second address of the URL is tried in the same check."""
    hole = socket.socket()
    hole.bind(("127.0.0.1", 0))
    hole.listen(0)
    port, fill = hole.getsockname()[1], []
    for _ in range(8):
        fill.append(socket.socket())
        fill[-1].setblocking(False)
        fill[-1].connect_ex(("127.0.0.1", port))
    try:
        sm = skymond(config({
            "db": part(f"postgresql://postgres:{SECRET}@127.0.0.1:{port}/postgres"),
            "two": part(f"postgresql://postgres:{SECRET}@127.0.0.1:{port},127.0.0.1:{postgres.port}/postgres")}))
        expect(sm, "unhealthy", "timeout", "connection attempt", fault="no answer to the connection")
        expect(sm, "healthy", "ok", name="two")
    finally:
        for one in [hole, *fill]:
            one.close()


def test_environment_is_not_asked(postgres):
    """libpq would take the password and more from there."""
    url = postgres.url(password=None)
    env = {"PGPASSWORD": SECRET, "PGSSLMODE": "verify-full", "PGSERVICE": "nonsense", "PGHOSTADDR": "192.0.2.1"}
    done = run_tool("run", "database", f"url={url}", env=env)
    assert done.returncode == 2, done
    assert "requires a password" in done.stdout + done.stderr, done
    done = run_tool("run", "database", f"url={postgres.url()}", env=env)
    assert done.returncode == 0, done
    assert SECRET not in done.stdout + done.stderr


# ---- The user's query ----

def test_query(skymond, fresh_postgres):
    pg = fresh_postgres()
    pg.psql("create table orders(id int); insert into orders values (1), (2)")
    queries = {
        "good": ("select id from orders", "ok", ""),
        "none": ("select * from nothing", "query_error", 'relation "nothing" does not exist'),
        "write": ("insert into orders values (3)", "query_error", "read-only"),
        "escape": ("rollback", "query_error", "returns rows"),
        "two": ("select 1; drop table orders", "query_error", "42601"),
        "copy": ("copy orders to stdout", "query_error", "returns rows"),
        "data": ("select '4111 1111'::int", "query_error", "22P02"),
        "slow": ("select pg_sleep(600)", "timeout", "configured query did not finish in time"),
        "flood": ("select repeat('x', 100000) from generate_series(1, 100000000)", "timeout", "configured query"),
    }
    sm = skymond(config({name: part(pg.url(), query=query, crit={"query_rows": "<2"} if name == "good" else {})
                         for name, (query, _, _) in queries.items()}))
    for name, (_, reason, words) in queries.items():
        found = expect(sm, "healthy" if reason == "ok" else "unhealthy", reason, words, name=name, fault=f"query: {name}")
        assert "4111" not in json.dumps(found)
    assert pg.psql("select count(*) from orders") == "2"
    # A slow query is ended by the server, a little before the deadline: the connection survives it, and nothing is left running.
    connects = family_values(sm, "skymon_db_connects_total")
    assert connects['{component="slow"}'] == 1, connects
    # Somebody locks the table: the query waits, and its check says so.
    lock = pg_session(pg, "begin", "lock table orders")
    try:
        expect(sm, "unhealthy", "timeout", "configured query", name="good")
    finally:
        end_process(lock)
    expect(sm, "healthy", "ok", name="good")


# ---- Replication ----

class Standby:
    def __init__(self, pg):
        self.pg, self.port, self.data = pg, free_port(), pg.folder.path / "standby"
        with open(pg.data / "pg_hba.conf", "a") as file:
            file.write("local replication postgres trust\n")
        pg.psql("select pg_reload_conf()")
        wait_until(self._copied, 30, "a base backup")
        self.process = None

    def _copied(self):
        shutil.rmtree(self.data, ignore_errors=True)
        self.pg._run("pg_basebackup", "-h", self.pg.folder.path, "-p", self.pg.port, "-U", "postgres", "-D", self.data, "-R",
                     "-X", "stream", "-c", "fast")
        return True

    def start(self, **settings):
        words = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.data, **settings}
        command = [*self.pg.prefix, self.pg.bin / "postgres", "-D", self.data]
        for key, value in words.items():
            command += ["-c", f"{key}={value}"]
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True, cwd=self.pg.folder.path)

    def stop(self):
        if self.process is not None:
            end_process(self.process)

    def psql(self, sql):
        return subprocess.run([self.pg.bin / "psql", "-XqAt", "-h", self.data, "-p", str(self.port), "-U", "postgres", "-c", sql],
                              capture_output=True, text=True, timeout=30 * SLOW)

    def url(self):
        return self.pg.url().replace(f":{self.pg.port}/", f":{self.port}/")


def test_standby(skymond, fresh_postgres):
    pg = fresh_postgres()
    standby = Standby(pg)
    try:
        standby.start(hot_standby="off")
        sm = skymond(config({
            "db": part(standby.url()),
            "main": part(pg.url(), warn={"replication_lag_bytes": "1000"}),
            "pick": part(f"postgresql://postgres:{SECRET}@127.0.0.1:{pg.port},127.0.0.1:{standby.port}/postgres"
                         "?target_session_attrs=prefer-standby")}))
        expect(sm, "unhealthy", "other", "57P03")  # it takes no logins
        assert expect(sm, "healthy", "ok", name="pick")["details"]["role"] == "primary"
        standby.stop()
        standby.start()
        found = expect(sm, "healthy", "ok", "standby")
        assert found["details"]["role"] == "standby"
        wait_until(lambda: sm.component("db")["details"]["receiving"] and sm.component("db")["details"]["replication_lag_seconds"] == 0,
                   10, "the standby to stream and to have all")
        wait_until(lambda: sm.component("main")["details"]["standbys"] == 1 and
                   sm.component("main")["details"]["replication_lag_bytes"] == 0, 10, "the primary to see it")
        # Replay stops: the data grows old, and a threshold sees it.
        pg.psql("create table t as select 1")
        wait_until(lambda: standby.psql("select 1 from t").stdout.strip() == "1", 10, "replication")
        standby.psql("select pg_wal_replay_pause()")
        wait_until(lambda: standby.psql("select pg_get_wal_replay_pause_state()").stdout.strip() == "paused" or
                   pg.psql("insert into t values (1)") is None, 10, "replay to be paused")
        pg.psql("insert into t select generate_series(1, 1000)")
        wait_until(lambda: sm.component("db")["details"]["replication_lag_seconds"] > 0.5 and
                   sm.component("db")["details"]["replication_lag_bytes"] > 1000, 10, "lag")
        expect(sm, "degraded", "threshold_warn", "replication_lag_bytes", name="main")
        standby.psql("select pg_wal_replay_resume()")
        expect(sm, "healthy", "ok", name="main")
        wait_until(lambda: sm.component("db")["details"]["replication_lag_seconds"] == 0, 10, "no lag")
        # The primary goes: the standby answers, receives nothing, and its data grows old.
        pg.stop()
        wait_until(lambda: sm.component("db")["details"]["receiving"] is False and
                   sm.component("db")["details"]["replication_lag_seconds"] > 0.5, 10, "no receiver")
        expect(sm, "degraded", "standby", "receives nothing from its primary", fault="a standby that lost its primary")
    finally:
        standby.stop()


# ---- TLS ----

def openssl(*words, cwd):
    done = subprocess.run([need("openssl"), *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def authority(folder, name):
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", 30,
            "-subj", f"/CN={name}", cwd=folder)
    return str(folder / f"{name}.pem")


def certificate(folder, name, names, days=30):
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}",
            cwd=folder)
    (folder / "names").write_text(f"subjectAltName={names}\n")
    openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ours.pem", "-CAkey", "ours.key", "-CAcreateserial", "-out", f"{name}.pem",
            "-extfile", "names", "-days", days, cwd=folder)


def test_tls(skymond, fresh_postgres, tmp_path):
    ours, other = authority(tmp_path, "ours"), authority(tmp_path, "other")
    certificate(tmp_path, "good", "IP:127.0.0.1,DNS:db.test")
    certificate(tmp_path, "elsewhere", "DNS:else.test")
    certificate(tmp_path, "old", "IP:127.0.0.1,DNS:db.test", days=0)  # OpenSSL 3.5 makes none that ended before it began
    pg = fresh_postgres()

    def present(name):
        for kind in ("pem", "key"):
            to = pg.data / f"server.{kind}"
            shutil.copy(tmp_path / f"{name}.{kind}", to)
            if os.geteuid() == 0:
                os.chown(to, pwd.getpwnam("postgres").pw_uid, -1)
            to.chmod(0o600)

    present("good")
    pg.stop("fast")
    pg.start()
    sm = skymond(config({
        "ours": part(pg.url(), tls={"ca_file": ours}),
        "other": part(pg.url(), tls={"ca_file": other}),
        "named": part(pg.url(), tls={"ca_file": ours, "server_name": "db.test"}),
        "wrong": part(pg.url(), tls={"ca_file": ours, "server_name": "no.test"}),
        "insecure": part(pg.url(), tls={"insecure": True}),
        "strict": part(pg.url() + "?sslmode=verify-full")}))
    expect(sm, "unhealthy", "tls_other", "has no TLS", name="ours", fault="no TLS")
    pg.stop("fast")
    pg.start(ssl="on", ssl_cert_file="server.pem", ssl_key_file="server.key")
    for name in ("ours", "named", "insecure"):
        assert expect(sm, "healthy", "ok", name=name)["details"]["tls"] == ("unverified" if name == "insecure" else "verified")
    expect(sm, "unhealthy", "tls_untrusted", "issuer", name="other", fault="certificate of an unknown authority")
    expect(sm, "unhealthy", "tls_untrusted", "issuer", name="strict")
    expect(sm, "unhealthy", "tls_untrusted", "no.test", name="wrong", fault="certificate of another name")
    # A new certificate counts for new connections: those that are kept are ended first.
    for name, reason, words in (("old", "tls_expired", "expired"), ("elsewhere", "tls_untrusted", "else.test")):
        present(name)
        pg.stop("fast")
        pg.start()
        expect(sm, "unhealthy", reason, words, name="ours", fault=f"certificate: {words}")
        expect(sm, "healthy", "ok", name="insecure")
    present("good")
    pg.stop("fast")
    pg.start()
    expect(sm, "healthy", "ok", name="ours")


def test_worker_holds_nothing_when_the_daemon_ends(skymond, fresh_postgres):
    """The connection goes with the worker: the server's slot is free again."""
    pg = fresh_postgres()
    sm = skymond(watching(pg.url()))
    expect(sm, "healthy", "ok")
    assert pg.psql("select count(*) from pg_stat_activity where application_name = 'skymon'") == "1"
    sm.stop()
    wait_until(lambda: pg.psql("select count(*) from pg_stat_activity where application_name = 'skymon'") == "0", 10, "no session")
    assert sm.pid not in processes()

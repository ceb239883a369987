# SPDX-License-Identifier: Apache-2.0
"""database: a kept connection does not speak for newcomers. Each deed leaves the connection that stands as it is, and shuts newcomers
out; the check must see that, stay so, and see the end of it."""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from harness import SLOW, Folder, Postgres, Server, end_process, family_values, free_port, need, wait_until
from own import own_file
from test_database import config, expect, part, pg_session

QUICK = {"interval": "100ms", "reconnect": "200ms"}
WORD = "low-word"
HOST_RULE = "host all all 127.0.0.1/32 scram-sha-256"
# The deed and its remedy (SQL, or the name of a function of Deeds below), reason, words.
NEWCOMERS = {
    "password changed": ("alter role low password 'other'", f"alter role low password '{WORD}'", "auth_failed", "28P01"),
    "password expired": ("alter role low valid until '2001-01-01'", "alter role low valid until 'infinity'", "auth_failed", "28P01"),
    "role without login": ("alter role low nologin", "alter role low login", "auth_failed", "28000"),
    "role renamed": ("alter role low rename to gone", f"alter role gone rename to low; alter role low password '{WORD}'", "auth_failed", ""),
    "CONNECT revoked": ("revoke connect on database postgres from public", "grant connect on database postgres to public", "auth_failed",
                        "may not connect"),
    "role's limit": ("alter role low connection limit 0", "alter role low connection limit -1", "resource", "53300"),
    "database closed": ("alter database postgres allow_connections false", "alter database postgres allow_connections true", "other",
                        "not currently accepting"),
    "pg_hba.conf": ("hba_rejects", "hba_admits", "auth_failed", "pg_hba.conf"),
    "max_connections": ("fill", "empty", "resource", "53300"),
    "postmaster frozen": ("freeze", "thaw", "timeout", "did not"),
}


class Deeds:
    """Faults that SQL cannot make."""

    def __init__(self, pg):
        self.pg, self.sessions, self.refused = pg, [], 0

    def _hba(self, text):
        path = self.pg.data / "pg_hba.conf"
        path.write_text(f"local all all trust\n{text}\n")
        self.pg.psql("select pg_reload_conf()")

    def hba_rejects(self):
        self._hba("host all low 127.0.0.1/32 reject\n" + HOST_RULE)

    def hba_admits(self):
        self._hba(HOST_RULE)

    def fill(self):
        """Ordinary roles' slots; the superuser's reserve stays for psql."""
        self.pg.psql("create role filler login")

        def full():
            done = self.pg.psql("select 1", user="filler", check=False)
            if done == "1":
                self.refused = 0
                self.sessions.append(subprocess.Popen(
                    [self.pg.client / "psql", "-Xq", "-h", self.pg.folder.path, "-p", str(self.pg.port), "-U", "filler", "-d", "postgres"],
                    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
                return False
            self.refused += 1
            return self.refused == 3
        wait_until(full, 20, "no connection to be left")

    def empty(self):
        for session in self.sessions:
            end_process(session)
        self.sessions = []

    def freeze(self):
        """The postmaster alone: its backends answer on."""
        os.kill(self.pg.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.pg.process.pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def cluster():
    pg = Postgres({"max_connections": 8, "superuser_reserved_connections": 3})
    pg.psql(f"create role low login password '{WORD}'; grant pg_monitor to low")
    yield pg
    pg.close()


def sessions_of(pg, role="low"):
    return int(pg.psql(f"select count(*) from pg_stat_activity where usename = '{role}'"))


def checks(sm):
    return family_values(sm, "skymon_component_checks_total")['{component="db"}']


@pytest.mark.parametrize("what", NEWCOMERS)
def test_newcomers(skymond, cluster, what):
    deed, remedy, reason, words = NEWCOMERS[what]
    deeds, superuser = Deeds(cluster), "postgres" if what != "database closed" else "template1"

    def do(step):
        if hasattr(deeds, step):
            getattr(deeds, step)()
        else:
            cluster.psql(step, database=superuser)
    sm = skymond(config({"db": part(cluster.url(user="low", password=WORD), **QUICK),
                         "old": part(cluster.url(user="low", password=WORD), interval="100ms")}))
    first = expect(sm, "healthy", "ok")
    sm.wait_component("old", status="healthy")
    wait_until(lambda: family_values(sm, "skymon_db_connects_total")['{component="db"}'] >= 3, 20, "two changes of the connection")
    assert sm.component("db")["since"] == first["since"]
    wait_until(lambda: sessions_of(cluster) == 2, 10, "one session of each component")
    do(deed)
    try:
        expect(sm, "unhealthy", reason, words, fault=f"refused to newcomers: {what}")
        seen = checks(sm)
        wait_until(lambda: checks(sm) > seen + (1 if reason == "timeout" else 4), 20, "more checks")
        assert sm.component("db")["consecutive_failures"] >= 2, "it must stay so, and not alternate"
        assert sm.component("old")["status"] == "healthy", "the deed is about newcomers alone"
    finally:
        do(remedy)
    expect(sm, "healthy", "ok", fault="newcomers admitted again")


def test_a_smart_shutdown_ends(skymond, fresh_postgres):
    """It waits for all clients: the check learns it as a newcomer and leaves, so that the server can end."""
    pg = fresh_postgres()
    sm = skymond(config({"db": part(pg.url(), **QUICK)}))
    expect(sm, "healthy", "ok")
    pg.process.send_signal(signal.SIGTERM)
    wait_until(lambda: pg.process.poll() is not None, 15, "the server to end")
    expect(sm, "unhealthy", "refused", fault="refused to newcomers: shut down")
    pg.start()
    expect(sm, "healthy", "ok")


def test_name_moves(skymond, postgres, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 moving.test\n")
    sm = skymond(config({"db": part(postgres.url(host="moving.test"), **QUICK)}), preexec_fn=own_file(hosts, "/etc/hosts"))
    expect(sm, "healthy", "ok")
    hosts.write_text("127.9.9.9 moving.test\n")
    expect(sm, "unhealthy", "refused", "moving.test", fault="refused to newcomers: name moved")
    hosts.write_text("127.0.0.1 moving.test\n")
    expect(sm, "healthy", "ok")


def test_another_certificate(skymond, fresh_postgres, certs):
    pg = fresh_postgres()

    def present(name):
        certs.copy(name, pg.data / "server.pem", pg.data / "server.key", user="postgres")
    present("good")
    pg.stop("fast")
    pg.start(ssl="on", ssl_cert_file="server.pem", ssl_key_file="server.key")
    sm = skymond(config({"db": part(pg.url(), tls={"ca_file": certs.ca}, **QUICK)}))
    expect(sm, "healthy", "ok")
    for name, reason in (("untrusted", "tls_untrusted"), ("expired", "tls_expired"), ("wrong_name", "tls_untrusted")):
        present(name)
        pg.psql("select pg_reload_conf()")
        expect(sm, "unhealthy", reason, fault=f"refused to newcomers: certificate {name}")
    present("good")
    pg.psql("select pg_reload_conf()")
    expect(sm, "healthy", "ok")


# ---- A pool in front ----

class PgBouncer(Server):
    """Session pooling with one slot for each database and user."""

    name = "pgbouncer"

    def __init__(self, pg, **settings):
        super().__init__()
        self.port = free_port()
        (self.folder.path / "users").write_text(f'"postgres" "{pg.PASSWORD}"\n')
        words = {"listen_addr": "127.0.0.1", "listen_port": self.port, "auth_type": "scram-sha-256", "auth_file": self.folder.path / "users",
                 "pool_mode": "session", "default_pool_size": 1, "unix_socket_dir": "", **settings}
        path = self.folder.path / "ini"
        path.write_text(f"[databases]\npostgres = host=127.0.0.1 port={pg.port}\n[pgbouncer]\n" +
                        "".join(f"{key} = {value}\n" for key, value in words.items()))
        prefix = []
        if os.geteuid() == 0:  # it refuses to run as root
            for one in (self.folder.path, *self.folder.path.iterdir()):
                shutil.chown(one, "postgres")
            prefix = [need("setpriv"), "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
        self.launch([*prefix, need("pgbouncer"), path])
        self.wait_port(self.port)

    def url(self):
        return f"postgresql://postgres:{Postgres.PASSWORD}@127.0.0.1:{self.port}/postgres"


@contextlib.contextmanager
def pool(pg, **settings):
    bouncer = PgBouncer(pg, **settings)
    try:
        yield bouncer
    finally:
        bouncer.close()


def test_reconnect_0_leaves_the_slot_of_a_pool(skymond, fresh_postgres):
    pg = fresh_postgres()
    with pool(pg) as bouncer:
        sm = skymond(config({"db": part(bouncer.url(), interval="1s", reconnect="0s", queries=[{"name": "one", "sql": "select 1"}])}))
        expect(sm, "healthy", "ok")
        before = checks(sm)
        for _ in range(3):  # somebody else takes the only slot, again and again, while skymon watches
            done = subprocess.run([pg.client / "psql", "-XqAt", bouncer.url(), "-c", "select 1"], capture_output=True, text=True,
                                  timeout=10 * SLOW)
            assert done.stdout.strip() == "1", done.stderr
        wait_until(lambda: checks(sm) > before + 1, 10, "more checks")
        assert sm.component("db")["consecutive_failures"] == 0
        wait_until(lambda: family_values(sm, "skymon_db_connects_total")['{component="db"}'] == checks(sm), 10, "a connection for each check")


def test_a_pool_that_is_full(skymond, fresh_postgres):
    pg = fresh_postgres()
    with pool(pg, max_client_conn=1) as bouncer, socket.create_connection(("127.0.0.1", bouncer.port)):
        sm = skymond(config({"db": part(bouncer.url(), reconnect="0s")}))
        expect(sm, "unhealthy", "resource", "no free connection", fault="no connection left: a pool")

# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL of several majors: Debian's own, and those that `./dev test` fetches into build/postgres by the lock file in
tests/live/postgres. They have the server alone, without psql and pg_basebackup.

    bin_of(18)                    # the folder of its programs; without it the test is skipped, under CI it fails
    with ColdStandby(pg) as standby:  # a copy of pg's stopped cluster: .start(), .stop(), .url(), .sql(…)
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from harness import SLOW, SOURCE, Postgres, end_process, free_port, need, wait_until

FETCHED = SOURCE / "build" / "postgres" / "node_modules"


def bin_of(major):
    if (debian := pathlib.Path(f"/usr/lib/postgresql/{major}/bin/postgres")).exists():
        return debian.parent
    native = FETCHED / f"pg{major}" / "native"
    if not (native / "bin" / "postgres").exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"PostgreSQL {major} is missing, and under CI nothing is skipped")
        pytest.skip(f"PostgreSQL {major} is missing (./dev test plugin fetches it)")
    # npm packages cannot hold links: they come as a list.
    for link in json.loads((native / "pg-symlinks.json").read_text()):
        target = native.parent / link["target"]
        if not target.is_symlink():
            target.symlink_to(os.path.relpath(native.parent / link["source"], target.parent))
    return native / "bin"


class ColdStandby:
    """Streams from pg. Made by a copy while pg is stopped, which needs no program; pg runs again when it is made."""

    def __init__(self, pg, major):
        self.pg, self.port, self.data, self.process = pg, free_port(), pg.folder.path / "standby", None
        with open(pg.data / "pg_hba.conf", "a") as file:
            file.write("local replication postgres trust\n")
        pg.stop("fast")
        subprocess.run([*pg.prefix, "cp", "-a", pg.data, self.data], check=True, timeout=60)
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        conninfo = f"host={pg.folder.path} port={pg.port} user=postgres"
        if major >= 12:
            self._write("standby.signal", "")
            self._write("postgresql.auto.conf", f"primary_conninfo = '{conninfo}'\n")
        else:
            self._write("recovery.conf", f"standby_mode = on\nprimary_conninfo = '{conninfo}'\n")
        kept = {"wal_keep_size": "64MB"} if major >= 13 else {"wal_keep_segments": "4"}
        pg.start(wal_level="replica", max_wal_senders="4", hot_standby="on", **kept)

    def _write(self, name, text):
        path = self.data / name
        with open(path, "a") as file:
            file.write(text)
        if os.geteuid() == 0:
            shutil.chown(path, "postgres")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()

    def start(self):
        words = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.data, "fsync": "off",
                 "shared_buffers": "16MB", "hot_standby": "on", "wal_retrieve_retry_interval": "200ms"}
        command = [*self.pg.prefix, self.pg.bin / "postgres", "-D", self.data]
        for key, value in words.items():
            command += ["-c", f"{key}={value}"]
        with open(self.pg.folder.path / "standby.log", "ab") as log:
            self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, cwd=self.pg.folder.path)
        wait_until(lambda: self.sql("select 1") == "1", 30, "the standby to answer")

    def stop(self):
        if self.process is not None:
            end_process(self.process, signal.SIGINT, 30)  # "fast": it does not wait for skymon to leave
            self.process = None

    def sql(self, text):
        done = subprocess.run([self.pg.client / "psql", "-XqAt", "-h", self.data, "-p", str(self.port), "-U", "postgres", "-c", text],
                              capture_output=True, text=True, timeout=30 * SLOW, stdin=subprocess.DEVNULL)
        return done.stdout.strip()

    def url(self, **login):
        return self.pg.url(**login).replace(f":{self.pg.port}/", f":{self.port}/")


@pytest.fixture
def postgres_of():
    """postgres_of(13, max_connections=20) starts a cluster of that major for this test alone."""
    started = []

    def start(major, **settings):
        started.append(Postgres(settings, bin=bin_of(major)))
        return started[-1]

    yield start
    for server in reversed(started):
        server.close()

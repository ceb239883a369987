# SPDX-License-Identifier: Apache-2.0
"""Whom skymond becomes when it is started as root."""
import os
import pathlib
import re
import socket

import pytest
from harness import run_skymond, wait_until
from test_workers import component

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the test starts as root")
NOBODY, OTHER = 65534, 12345


def opened(owner=None):
    """A preexec_fn: the daemon's folder may be entered by all; its state belongs to the owner."""
    def prepare():
        os.chmod(".", 0o755)
        os.chmod("skymond.yaml", 0o644)
        if owner is not None:
            os.chown("state", owner, owner)
    return prepare


def ids(pid):
    """Its four user and group numbers, its groups, and its capabilities."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {key: re.search(rf"^{key}:\s*(.*)$", text, re.M).group(1).split() for key in ("Uid", "Gid", "Groups", "CapPrm", "CapEff", "CapInh")}


def is_user(pid, user):
    found = ids(pid)
    assert found["Uid"] == [str(user)] * 4 and found["Gid"] == [str(user)] * 4, found
    assert not {"0"} & set(found["Groups"]), found
    assert {found[key][0] for key in ("CapPrm", "CapEff", "CapInh")} == {"0" * 16}, found
    return True


def low_port():
    for port in range(1023, 600, -1):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    pytest.skip("no port under 1024 is free")


@pytest.mark.parametrize("options, owner, user", [({}, NOBODY, NOBODY), ({}, OTHER, OTHER), ({"user": "nobody"}, None, NOBODY),
                                                  ({"user": str(OTHER)}, NOBODY, OTHER)])
def test_daemon_and_workers_change_the_user(skymond, tmp_path, options, owner, user):
    """Ports under 1024 and a socket file in a folder of root's are opened all the same; a reload and a restart of a worker work."""
    place = tmp_path / "http.sock"
    config = {**options, "listen": [f"127.0.0.1:{low_port()}", f"unix:{place}"], "components": {"a": component("t_ok")}}
    daemon = skymond(config, listen=None, preexec_fn=opened(owner))
    daemon.wait_component("a", status="healthy")
    assert is_user(daemon.pid, user) and all(is_user(pid, user) for pid in daemon.children())
    assert place.is_socket()
    mark = daemon.log_mark()
    daemon.write_config(config)
    daemon.hup()
    daemon.wait_log("config reloaded", after=mark)
    os.kill(min(daemon.children()), 9)
    wait_until(lambda: all(is_user(pid, user) for pid in daemon.children()) and daemon.children(), 10, "a new worker")
    assert not any("runs as root" in line for line in daemon.log_lines())


def test_it_says_that_it_stays_root(skymond):
    daemon = skymond({"components": {"a": component("t_ok")}})
    assert "level=warn" in daemon.wait_log("skymond runs as root, and its plugins with it: name a `user`")


def test_a_config_that_only_root_reads(skymond):
    def prepare():
        opened(NOBODY)()
        os.chmod("skymond.yaml", 0o600)
    daemon = skymond({"components": {"a": component("t_ok")}}, preexec_fn=prepare)
    daemon.wait_log("this user cannot read it, so a reload will be refused")
    daemon.hup()
    daemon.wait_log("Permission denied")
    daemon.wait_component("a", status="healthy")


def test_a_secret_that_only_root_reads_is_refused_at_start_as_at_a_reload(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    config = {"user": "nobody", "components": {"a": component("t_lock", file="/nowhere", secret={"file": str(secret)})}}
    found = run_skymond(config, "--check-config")
    assert found.returncode == 2 and "Permission denied" in found.stderr, found.stderr


def test_an_unknown_user():
    found = run_skymond({"user": "no-such-user", "components": {"a": component("t_ok")}}, "--check-config")
    assert found.returncode == 2 and "no such user in /etc/passwd: `no-such-user`" in found.stderr, found.stderr

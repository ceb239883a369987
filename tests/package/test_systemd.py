# SPDX-License-Identifier: Apache-2.0
"""The shipped units under a real systemd: machine.py boots it."""
import json
import pathlib
import re
import subprocess

import pytest

from harness import ROOT, TEST_PLUGINS, wait_until
from machine import REFUSED, WEB, configure, drop_in, get, sockets, start
from proof import RELOAD, RESTART, Proof


def status_text(machine, pattern):
    return wait_until(lambda: re.fullmatch(pattern, machine.show("skymon", "StatusText")) or None, 15, f"the status {pattern}")


def test_the_unit_starts_ready_and_confined(machine):
    start(machine)
    main = machine.show("skymon", "MainPID")
    wait_until(lambda: get(machine, "/api/v1/ready")[0] == 200, 10, "ready")
    user = machine.run("stat", "-c", "%u", f"/proc/{main}/root/var/lib/private/skymon").stdout.strip()
    assert int(user) >= 61184, "the dynamic user owns the state"
    for line in ("Landlock", "seccomp", "level=error"):
        assert line not in machine.journal("skymon")


def test_workers_are_ended_by_the_daemon(machine):
    """SIGTERM is for the daemon alone: workers that it met too would be crashes in the log, and unknown components in a drain."""
    start(machine)
    wait_until(lambda: get(machine, "/api/v1/health/web")[0] == 200, 10, "a result")
    machine.run("systemctl", "stop", "skymon")
    assert "level=error" not in machine.journal("skymon") and machine.show("skymon", "Result") == "success"


@pytest.fixture
def memory(machine):
    """A group of the memory controller, where it is one of version 1 and ours to divide."""
    own = re.search(r"^\d+:memory:/(.*)$", pathlib.Path("/proc/self/cgroup").read_text(), re.M)
    group = pathlib.Path("/sys/fs/cgroup/memory", own[1] if own else "", f"skymon-machine-{machine.init}")
    try:
        group.mkdir()
    except OSError:
        yield None
        return
    yield group
    machine.run("systemctl", "stop", "skymon")

    def removed():
        group.rmdir()
        return True
    wait_until(removed, 15, "the group to be empty")


def test_the_kernel_ends_a_worker_before_the_daemon(machine, memory):
    """Out of memory it takes the process with the highest score; the service outlives that, and the worker comes back. Where no group of
    this machine can have a limit, a signal stands for the kernel's."""
    drop_in(machine, "[Service]\nOOMScoreAdjust=50\n")
    plugin = TEST_PLUGINS / "t_leak.so"
    (machine.root / str(ROOT / "lib/skymon/plugins" / plugin.name).lstrip("/")).write_bytes(plugin.read_bytes())
    start(machine, {"web": WEB, "leak": {"plugin": "t_leak", "interval": "200ms", "impact": "none"}}, limits={"worker_memory": 0})
    main = machine.show("skymon", "MainPID")

    def workers():
        return machine.run("pgrep", "-P", main, check=False).stdout.split()

    def leaking():
        return {pid for pid in workers() if "t_leak.so" in machine.run("cat", f"/proc/{pid}/maps", check=False).stdout}
    wait_until(lambda: get(machine, "/api/v1/health/web")[0] == get(machine, "/api/v1/health/leak")[0] == 200, 10, "results")
    old, = leaking()
    assert {machine.run("cat", f"/proc/{pid}/oom_score_adj").stdout.strip() for pid in workers()} == {"250"}
    assert machine.run("cat", f"/proc/{main}/oom_score_adj").stdout.strip() == "50" and machine.show("skymon", "OOMPolicy") == "continue"
    if memory is not None:
        (memory / "memory.limit_in_bytes").write_text("32M")
        subprocess.run(["nsenter", f"--target={machine.init}", "--pid", "sh", "-c", 'for pid; do echo $pid >"$0"; done', memory / "cgroup.procs",
                        main, *workers()], check=True, timeout=30)  # process ids of the machine, a file of this system
    else:
        machine.run("kill", "-KILL", old)
    wait_until(lambda: leaking() - {old}, 30, "another worker")
    assert memory is None or "oom_kill 0\n" not in (memory / "memory.oom_control").read_text()
    assert 'plugin=t_leak msg="worker was ended by SIGKILL"' in machine.journal("skymon")
    wait_until(lambda: get(machine, "/api/v1/health/leak")[0] == 200, 30, "a result of the new worker")
    assert get(machine, "/api/v1/health/web")[0] == get(machine, "/api/v1/ready")[0] == 200
    assert machine.show("skymon", "MainPID") == main and machine.show("skymon", "ActiveState") == "active"


def test_reload_fails_when_the_configuration_is_bad(machine):
    start(machine, {"web": WEB, "database": REFUSED})
    status_text(machine, r"1 of 2 healthy; database: refused")
    main = machine.show("skymon", "MainPID")
    machine.write(machine.config, "components: {web: {plugin: tcp, adress: '127.0.0.1:8080'}}\n")
    done = machine.run("systemctl", "reload", "skymon", check=False)
    assert done.returncode != 0, "a bad configuration was reloaded in silence"
    assert machine.show("skymon", "ActiveState") == "active" and machine.show("skymon", "MainPID") == main
    assert "adress" in machine.journal("skymon")
    assert get(machine, "/api/v1/health/database")[0] == 503, "the old configuration is in force"
    status_text(machine, r"1 of 2 healthy; database: refused; reload failed, the config of 20\d\d-\d\d-\d\d \d\d:\d\d is in force")
    configure(machine)
    machine.run("systemctl", "reload", "skymon")
    status_text(machine, r"1 of 1 healthy")
    assert get(machine, "/api/v1/health/database")[0] == 404 and machine.show("skymon", "MainPID") == main


def test_systemd_waits_for_a_reload(machine):
    """`systemctl reload` returns when the new configuration is in force."""
    version = int(re.search(r"\d+", machine.run("systemctl", "--version").stdout).group())
    assert machine.show("skymon", "Type") == ("notify" if version < 253 else "notify-reload")
    start(machine)
    for count in range(5):
        configure(machine, {f"c{count}": REFUSED})
        machine.run("systemctl", "reload", "skymon")
        names = json.loads(get(machine, "/api/v1/status")[1])["health"]["components"]
        assert [component["name"] for component in names] == [f"c{count}"]


def test_a_bad_configuration_is_not_tried_again(machine):
    machine.write(machine.config, "components: {web: {plugin: tcp, adress: x}}\n")
    assert machine.run("systemctl", "start", "skymon", check=False).returncode != 0
    assert machine.show("skymon", "ActiveState") == "failed" and machine.show("skymon", "ExecMainStatus") == "2"
    assert machine.show("skymon", "NRestarts") == "0"


def test_a_credential_is_a_secret(machine):
    """Only root may read the file; the daemon gets it as a credential, at a start: a rotated one needs a restart."""
    cache = {"plugin": "cache", "interval": "1s", "url": "redis://127.0.0.1:9", "password": {"file": "${CREDENTIALS_DIRECTORY}/orders"}}
    machine.write("/etc/skymon-secrets/orders", "hunter2-hunter2\n", mode=0o600)
    drop_in(machine, "[Service]\nLoadCredential=orders:/etc/skymon-secrets/orders\n")
    start(machine, {"cache": cache})
    wait_until(lambda: json.loads(get(machine, "/api/v1/health/cache")[1])["reason"] == "refused", 10, "the check that has its secret")
    machine.run("systemctl", "reload", "skymon")
    log = machine.journal("skymon")
    assert "area=config" not in log and "hunter2" not in log, log
    done = machine.run("env", "STATE_DIRECTORY=/var/lib/skymon", "CREDENTIALS_DIRECTORY=/etc/skymon-secrets", ROOT / "sbin/skymond", "-c", machine.config,
                       "--check-config", check=False)
    assert done.returncode == 0 and not done.stderr, f"root checks what the unit's user cannot read: {done.stderr}"
    configure(machine, {"cache": {**cache, "password": {"file": "${CREDENTIALS_DIRECTORY}/new"}}})
    assert machine.run("systemctl", "reload", "skymon", check=False).returncode != 0
    assert "/new: No such file or directory (a new LoadCredential= needs `systemctl daemon-reload` and a restart)" in machine.journal("skymon")


def test_a_renewed_key_of_a_group_needs_no_restart(machine, certs):
    drop_in(machine, "[Service]\nSupplementaryGroups=www-data\n")

    def renew(name):
        machine.write("/etc/skymon-tls/server.key", pathlib.Path(certs.key(name)).read_text(), mode=0o640)
        machine.run("chgrp", "www-data", "/etc/skymon-tls/server.key")
        machine.write("/etc/skymon-tls/server.pem", pathlib.Path(certs.pem(name)).read_text())

    def shown():
        done = machine.run("openssl", "s_client", "-connect", "127.0.0.1:8443", check=False)
        return "".join(re.findall("-----BEGIN CERT.*?END CERT[^\n]*\n", done.stdout, re.S))
    renew("good")
    start(machine, listen=[{"address": ":8443", "tls": {"cert_file": "/etc/skymon-tls/server.pem", "key_file": "/etc/skymon-tls/server.key"}}])
    main = machine.show("skymon", "MainPID")
    assert shown() and shown() in pathlib.Path(certs.pem("good")).read_text()
    renew("wrong_name")
    wait_until(lambda: shown() and shown() in pathlib.Path(certs.pem("wrong_name")).read_text(), 20, "the new certificate")
    assert machine.show("skymon", "MainPID") == main and "level=warn" not in machine.journal("skymon")


# ---- Unix sockets ----

def test_a_unix_socket_has_a_mode_and_a_group(machine):
    """The unit's umask lets no other user in; mode and group do, for those that they name."""
    drop_in(machine, "[Service]\nSupplementaryGroups=www-data\n")
    start(machine, listen=["127.0.0.1:8080", {"address": "unix:/run/skymon/closed.sock"},
                           {"address": "unix:/run/skymon/open.sock", "mode": "0660", "group": "www-data"},
                           {"address": "unix:/run/skymon/all.sock", "mode": "666"}])
    modes = machine.run("stat", "-c", "%a %G %n", *(f"/run/skymon/{name}.sock" for name in ("closed", "open", "all"))).stdout.splitlines()
    assert [line.split()[0] for line in modes] == ["700", "660", "666"] and modes[1].split()[1] == "www-data"
    for name, user, code in (("closed", "www-data", 0), ("open", "www-data", 200), ("open", "daemon", 0), ("all", "daemon", 200), ("closed", "root", 200)):
        assert get(machine, "/api/v1/alive", "--unix-socket", f"/run/skymon/{name}.sock", user=user)[0] == code, (name, user)


def test_a_group_that_cannot_be_given_is_an_error(machine):
    """The unit's user is in no group but its own: the socket is not left behind with another one."""
    configure(machine, listen=[{"address": "unix:/run/skymon/http.sock", "mode": "0660", "group": "www-data"}])
    assert machine.run("systemctl", "start", "skymon", check=False).returncode != 0
    assert "cannot listen on unix:/run/skymon/http.sock: owner and group: Operation not permitted" in machine.journal("skymon")


# ---- Socket activation ----

def test_a_connection_starts_the_service(machine):
    configure(machine)
    sockets(machine)
    assert machine.show("skymon", "ActiveState") == "inactive"
    assert get(machine, "/api/v1/alive")[0] == 200, "the connection waits for the start"
    assert machine.show("skymon", "ActiveState") == "active"
    assert "address=:: port=8080 msg=listening" in machine.journal("skymon") and "level=warn" not in machine.journal("skymon")


def test_sockets_are_found_by_address_and_by_name(machine):
    """A listener takes the socket of its address; systemd:NAME takes all of a name; the rest skymond opens itself."""
    sockets(machine, "ListenStream=/run/skymon.sock", "ListenStream=127.0.0.1:8081", "ListenStream=127.0.0.1:8082", "SocketMode=0666")
    start(machine, listen=[":8080", {"address": "unix:/run/skymon.sock", "routes": ["alive"]}, "127.0.0.1:8083", "systemd:skymon.socket"])
    main = machine.show("skymon", "MainPID")
    for port in (8080, 8081, 8082, 8083):
        assert get(machine, "/api/v1/status", "--connect-to", f"::127.0.0.1:{port}")[0] == 200, port
    on_unix = "--unix-socket", "/run/skymon.sock"
    assert [get(machine, path, *on_unix, user="daemon")[0] for path in ("/api/v1/alive", "/api/v1/status")] == [200, 404], "its entry's routes"
    machine.run("systemctl", "restart", "skymon")
    assert machine.show("skymon", "MainPID") != main
    assert get(machine, "/api/v1/alive", *on_unix)[0] == 200, "systemd's socket file outlives the daemon"
    machine.run("systemctl", "stop", "skymon", "skymon.socket")
    assert get(machine, "/api/v1/alive")[0] == 0


def test_sockets_that_do_not_fit_are_named(machine):
    sockets(machine, "ListenStream=127.0.0.1:8081", "FileDescriptorName=web")
    start(machine)
    assert "systemd passes the socket web, which no entry of `listen` names" in machine.journal("skymon")
    machine.run("systemctl", "stop", "skymon")
    configure(machine, listen=["systemd:other"])
    assert machine.run("systemctl", "start", "skymon", check=False).returncode != 0
    assert "cannot listen on systemd:other: systemd passes no such socket (it passes web, web)" in machine.journal("skymon")


# ---- Probes ----

@pytest.mark.parametrize("component, code", [(WEB, 200), (REFUSED, 503)])
def test_probes_notice_no_restart(machine, certs, component, code):
    """No answer differs while the new daemon does not know yet."""
    proof = Proof(machine, certs, component, code, 300)
    proof.act([RESTART, RELOAD, RESTART])
    assert len(proof.mains) == 3

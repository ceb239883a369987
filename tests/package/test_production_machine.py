# SPDX-License-Identifier: Apache-2.0
"""doc/production.md in the machine, whose names and addresses are the page's: each block is run there as it stands."""
import json
import pathlib
import re

import pytest

from debian import bring_packages
from harness import need, wait_until
from machine import get, start
from test_production import PAGE, block

PASSWORD = "a-long-random-password"
TOKEN = "/etc/skymon/secrets/access"


def shell(machine, text, folder="/root"):
    return machine.run("bash", "-euo", "pipefail", "-c", f"cd {folder}; {text}").stdout


def put(machine, text):
    """A block that begins with its file's path."""
    path = re.match(r"# (/\S+)\n", text)[1]
    shell(machine, f"mkdir -p {pathlib.Path(path).parent}")
    machine.write(path, text)


def component(machine, name):
    return json.loads(get(machine, f"/api/v1/health/{name}")[1])


def state(machine, name, status, reason):
    def reached():
        found = component(machine, name)
        return (found["status"], found["reason"]) == (status, reason)
    wait_until(reached, 25, f"{name} to be {status}/{reason}")


def begin_postgresql(machine, certs):
    """A PostgreSQL with TLS as db.example.com, and the page's line in its pg_hba.conf."""
    programs = pathlib.Path(need("postgres")).resolve().parent
    for name, text in ("server.crt", certs.pem("example")), ("server.key", certs.key("example")):
        machine.write(f"/tmp/pg/{name}", pathlib.Path(text).read_text(), mode=0o600)
    line = re.search(r"`(hostssl [^`]*)`", PAGE)[1]
    shell(machine, f"""
        chown -R postgres: /tmp/pg
        setpriv --reuid=postgres --regid=postgres --clear-groups {programs}/initdb -D /tmp/pg/data --no-sync --auth-local=trust --auth-host=reject >/tmp/pg/log
        echo '{line}' >/tmp/pg/data/pg_hba.conf; echo 'local all postgres trust' >>/tmp/pg/data/pg_hba.conf
        systemd-run -q --unit=postgresql-test -p User=postgres -p Type=notify {programs}/postgres -D /tmp/pg/data -c listen_addresses=10.0.0.1 \\
            -c unix_socket_directories=/tmp/pg -c ssl=on -c ssl_cert_file=/tmp/pg/server.crt -c ssl_key_file=/tmp/pg/server.key -c fsync=off""")


def psql(machine, text):
    machine.run("psql", "-h", "/tmp/pg", "-U", "postgres", "-qAt", "-v", "ON_ERROR_STOP=1", "-c", text)


def query(machine, text):
    """Waits until Prometheus has a series for it."""
    def found():
        done = machine.run("curl", "-fsS", "-m", "10", "-G", "--data-urlencode", f"query={text}", "http://127.0.0.1:9090/api/v1/query", check=False)
        return done.returncode == 0 and json.loads(done.stdout)["data"]["result"]
    return wait_until(found, 30, text)


@pytest.fixture
def fresh(machine, certs):
    """The machine as db.example.com and skymon.example.com, without skymon; the built packages are in /debs."""
    bring_packages(machine)
    shell(machine, "ip address add 10.0.0.1/32 dev lo; echo '10.0.0.1 db.example.com skymon.example.com' >>/etc/hosts")
    begin_postgresql(machine, certs)
    machine.write("/etc/ssl/certs/our-ca.pem", pathlib.Path(certs.ca).read_text())
    yield machine
    machine.run("systemctl", "stop", "prometheus", "postgresql-test", check=False)
    shell(machine, "dpkg --purge skymon-plugin-database skymon-plugin-grafana skymon; rm -rf /etc/skymon /tmp/pg")


def test_from_the_package_to_an_alert(fresh, certs):
    psql(fresh, block("CREATE ROLE skymon"))
    psql(fresh, "CREATE DATABASE orders")
    assert "host" in shell(fresh, block("apt install ./skymon_"), "/debs")
    shell(fresh, block("install -d"))
    for name, path in ("server.key", certs.key("example")), ("server.pem", certs.pem("example")):
        fresh.write(f"/root/{name}", pathlib.Path(path).read_text(), mode=0o600)
    shell(fresh, block("groupadd"))
    for beginning in "# /etc/systemd/system/skymon.service.d/override.conf", "# /etc/skymon/skymon.yaml", "# /etc/skymon/conf.d/orders.yaml":
        put(fresh, block(beginning))
    shell(fresh, block("CREDENTIALS_DIRECTORY="))
    shell(fresh, block("systemctl daemon-reload"))
    state(fresh, "orders", "healthy", "ok")
    state(fresh, "backup", "unknown", "missing")
    answer = shell(fresh, block("curl -fsS --retry"))
    assert re.search("^orders +healthy", answer, re.M) and '"ready":true' in answer.replace(" ", "") and PASSWORD not in answer
    assert get(fresh, "/api/v1/status")[0] == 401, "not public"

    assert re.fullmatch("(s1 .*new disks.*\n){2}", shell(fresh, block("skymon silence")))
    # Scraped from here on: the rules are quiet for 5 minutes about a component that a scrape has seen in maintenance.
    put(fresh, block("# /etc/prometheus/prometheus.yml") + "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 200ms}\n")
    shell(fresh, f"install -o root -g prometheus -m 0640 {TOKEN} /etc/prometheus/skymon-token; systemctl start prometheus")
    query(fresh, 'skymon_component_up{component="orders"} == 1')
    fresh.write("/usr/local/bin/backup", "#!/bin/sh\n", mode=0o755)
    shell(fresh, block("SKYMON_JOB_TOKEN_FILE="))

    # A credential is replaced: the old token counts until the restart.
    old = shell(fresh, f"cat {TOKEN}").strip()
    shell(fresh, f"openssl rand -hex 32 >{TOKEN}")
    assert get(fresh, "/api/v1/status", "-H", f"Authorization: Bearer {old}")[0] == 200
    shell(fresh, "systemctl stop postgresql-test; systemctl restart skymon")
    assert get(fresh, "/api/v1/status", "-H", f"Authorization: Bearer {old}")[0] == 401
    state(fresh, "orders", "unhealthy", "refused")
    state(fresh, "backup", "healthy", "ok")
    assert get(fresh, "/api/v1/ready")[0] == 503 and fresh.run("skymon", "status", "orders", "--token-file", TOKEN, check=False).returncode == 2
    query(fresh, "up == 0")
    shell(fresh, f"cat {TOKEN} >/etc/prometheus/skymon-token")
    query(fresh, 'ALERTS{alertname="ComponentUnhealthy",component="orders",alertstate="pending"}')

    fresh.write("/etc/skymon/conf.d/mistake.yaml", "components: {web: {plugin: tcp, adress: x}}\n")
    assert fresh.run("systemctl", "reload", "skymon", check=False).returncode != 0
    assert "reload failed" in fresh.run("systemctl", "status", "skymon").stdout
    command = re.search(r"`(skymon reload [^`]*)` prints", PAGE)[1]
    assert "mistake.yaml:1:" in fresh.run(*command.split(), check=False).stdout
    fresh.run("journalctl", "--sync")
    for command in re.findall(r"`(journalctl [^`]*)`", PAGE):
        assert shell(fresh, command.replace("\\|", "|").replace("NAME", "orders")), command


def test_the_unit_and_its_sockets(machine):
    start(machine)
    shell(machine, block("systemctl enable --now skymon\nsystemctl reload"))
    main = machine.show("skymon", "MainPID")
    shell(machine, block("systemctl stop skymon "))
    assert machine.show("skymon.socket", "ActiveState") == "active" and machine.show("skymon", "MainPID") != main
    assert get(machine, "/api/v1/alive")[0] == 200 and "skymon.socket" in machine.show("skymon", "TriggeredBy")


def test_a_unix_socket_for_a_proxy(machine):
    machine.write("/etc/systemd/system/skymon.service.d/override.conf", block("# systemctl edit skymon"))
    machine.write(machine.config, block("listen: [") + "components: {machine: {plugin: host}}\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "skymon")
    assert get(machine, "/api/v1/alive", "--unix-socket", "/run/skymon/http.sock", user="www-data")[0] == 200

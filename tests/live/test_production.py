# SPDX-License-Identifier: Apache-2.0
"""doc/production.md: each fenced block is run here as it stands, with the test's places in the place of the page's, or is declared below with
the reason why it cannot be."""
import os
import re
import subprocess


import yaml

from harness import ROOT, SOURCE, environment, free_port, need, run_skymond, wait_until

PAGE = (SOURCE / "doc" / "production.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.S | re.M)
PASSWORD = "a-long-random-password"
NOT_RUN = {  # the beginning of a block, and why
    "# /etc/systemd/system/skymon.service.d/override.conf": "needs a systemd as PID 1; what it gives is given by the environment here",
    "systemctl daemon-reload": "needs a systemd as PID 1: the tests of the unit boot one",
    "groupadd": "makes a group of the machine: test_systemd.py renews such a key",
    "apt install ./skymon_": "tests/package/test_deb.py installs the packages",
    "podman build": "tests/package/test_image.py makes the image",
    "autoreconf -fi": "./dev build does that for each test",
    "systemctl enable --now skymon\nsystemctl reload": "needs a systemd as PID 1: the tests of the unit boot one",
    "systemctl stop skymon ": "needs a systemd as PID 1: the tests of the unit boot one",
    "# systemctl edit skymon": "needs a systemd as PID 1: the tests of the unit boot one",
    "readinessProbe:": "a part of a manifest: test_kubernetes.py has the whole ones",
    "ts=": "a line of the log, no command",
}
RUN = {  # the beginning of a block, and the test that runs it
    "CREATE ROLE skymon": "test_a_monitored_postgresql", "install -d": "test_a_monitored_postgresql",
    "# /etc/skymon/skymon.yaml": "test_a_monitored_postgresql", "# /etc/skymon/conf.d/orders.yaml": "test_a_monitored_postgresql",
    "CREDENTIALS_DIRECTORY=": "test_a_monitored_postgresql", "curl -fsS --retry": "test_a_monitored_postgresql",
    "SKYMON_JOB_TOKEN_FILE=": "test_a_monitored_postgresql", "skymon silence": "test_a_monitored_postgresql",
    "# /etc/prometheus/prometheus.yml": "test_a_monitored_postgresql", "scrape_configs:": "test_pieces",
    "listen: [": "test_pieces", "listen:\n": "test_client_certificates", "server {": "test_behind_nginx", "backend api": "test_behind_haproxy",
}


def block(beginning):
    found = [text for _, text in BLOCKS if text.startswith(beginning)]
    assert len(found) == 1, f"{len(found)} blocks begin with {beginning!r}"
    return found[0]


def test_each_block_is_run_or_declared():
    for _, text in BLOCKS:
        assert sum(text.startswith(beginning) for beginning in (*NOT_RUN, *RUN)) == 1, f"neither run nor declared:\n{text}"
    for beginning in (*NOT_RUN, *RUN):
        block(beginning)
    assert all(name in globals() for name in RUN.values())


def shell(text, **variables):
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
                          env=environment({"PATH": f"{ROOT}/bin:{ROOT}/sbin:{os.environ['PATH']}", **variables}))
    assert done.returncode == 0, f"{text}\n{done}"
    return done.stdout


def test_a_monitored_postgresql(skymond, prometheus, fresh_postgres, certs, tmp_path):
    pg = fresh_postgres()
    certs.copy("good", pg.data / "server.pem", pg.data / "server.key", user="postgres")
    pg.stop("fast")
    pg.start(ssl="on", ssl_cert_file="server.pem", ssl_key_file="server.key")
    https, http = free_port(), free_port()
    etc = tmp_path / "skymon"
    (etc / "conf.d").mkdir(parents=True)
    places = {"/etc/prometheus/skymon-token": str(etc / "secrets/access"), "/etc/skymon": str(etc), "db.example.com:5432": f"127.0.0.1:{pg.port}",
              "/etc/ssl/certs/our-ca.pem": certs.ca, '":8443"': f"127.0.0.1:{https}", "127.0.0.1:8080": f"127.0.0.1:{http}",
              "skymon.example.com:8443": f"127.0.0.1:{https}", "/usr/share/skymon": str(ROOT / "share/skymon"),
              "/usr/local/bin/backup": "true",
              **{command: f"{command} --url http://127.0.0.1:{http}" for command in ("skymon status", "skymon silence", "skymon job")}}

    def here(beginning):
        text = block(beginning)
        for page, ours in places.items():
            text = text.replace(page, ours)
        return text
    pg.psql(here("CREATE ROLE skymon"))
    pg.psql("CREATE DATABASE orders")
    shell(here("install -d"))
    certs.copy("good", etc / "server.pem", etc / "server.key")
    assert (etc / "secrets/orders").read_text() == PASSWORD and (etc / "secrets").stat().st_mode & 0o77 == 0
    (etc / "skymon.yaml").write_text(here("# /etc/skymon/skymon.yaml"))
    (etc / "conf.d/orders.yaml").write_text(here("# /etc/skymon/conf.d/orders.yaml"))
    shell(here("CREDENTIALS_DIRECTORY="))
    sm = skymond("x-unused: 0", args=["-c", etc / "skymon.yaml"], listen=None, env={"CREDENTIALS_DIRECTORY": str(etc / "secrets")}, wait=False)
    sm.wait_log(f"port={http}")
    sm.url = f"http://127.0.0.1:{http}"
    sm.wait_component("orders", status="healthy", reason="ok")
    sm.wait_component("backup", status="unknown", reason="missing")
    answer = shell(here("curl -fsS --retry"))
    assert re.search("^orders +healthy", answer, re.M) and re.search("^backup +unknown +missing", answer, re.M) and '"ready":true' in answer.replace(" ", "") and PASSWORD not in answer
    assert sm.get("/api/v1/status").status_code == 401
    shell(here("SKYMON_JOB_TOKEN_FILE="))
    sm.wait_component("backup", timeout=25, status="healthy")
    assert re.fullmatch("(s1 .*new disks.*\n){2}", shell(here("skymon silence")))
    scrape = yaml.safe_load(here("# /etc/prometheus/prometheus.yml"))
    assert any((ROOT / "share/skymon/prometheus/rules").glob("*.yml")) and scrape["rule_files"] == [f"{ROOT}/share/skymon/prometheus/rules/*.yml"]
    job, = scrape["scrape_configs"]
    server = prometheus([], job={key: value for key, value in job.items() if key != "job_name"})
    server.wait_query('skymon_component_up{component="orders"} == 1')
    pg.stop("fast")
    sm.wait_component("orders", timeout=25, status="unhealthy", reason="refused")
    assert sm.get("/api/v1/ready").status_code == 503
    server.wait_query('skymon_component_status{component="orders",status="unhealthy"} == 1')


def test_pieces(tmp_path):
    path = tmp_path / "prometheus.yml"
    path.write_text(block("scrape_configs:"))
    done = subprocess.run([need("promtool"), "check", "config", path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done
    done = run_skymond(block("listen: [") + "components: {machine: {plugin: host}}\n", "--check-config")
    assert done.returncode == 0, done


def test_client_certificates(tmp_path, certs):
    text = block("listen:\n")
    certs.copy("good", tmp_path / "server.pem", tmp_path / "server.key")
    text = text.replace("/etc/skymon/clients.pem", certs.ca).replace("/etc/skymon", str(tmp_path))
    text = re.sub(r" +client_crl_file: .*\n", "", text)  # test_client_certs.py makes lists
    done = run_skymond(text + "components:\n  machine: {plugin: host}\n", "--check-config")
    assert done.returncode == 0, done


def test_behind_nginx(skymond, nginx, tmp_path):
    port, front = free_port(), free_port()
    socket = tmp_path / "http.sock"
    sm = skymond({"listen": [f"127.0.0.1:{port}", f"unix:{socket}"], "plugins": {"prometheus": {}}, "components": {"machine": {"plugin": "host"}}}, listen=None)
    text = block("server {").replace("listen 8090", f"listen 127.0.0.1:{front}").replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    nginx(text.replace("/run/skymon/http.sock", str(socket)), front)
    sm.wait_component("machine", status="healthy")
    sm.url = f"http://127.0.0.1:{front}"
    assert sm.get("/api/v1/health/machine").json()["status"] == "healthy"
    assert "skymon_up 1" in sm.get("/metrics").text and sm.get("/").status_code == 404


def test_behind_haproxy(skymond, haproxy, nginx):
    service, front = free_port(), free_port()
    nginx(f"server {{ listen 127.0.0.1:{service}; location / {{ return 200 'served'; }} }}", service)
    sm = skymond({"components": {"machine": {"plugin": "host"}}})
    text = block("backend api").replace("10.0.0.1:80 ", f"127.0.0.1:{service} ").replace("port 8080", f"port {sm.port}").replace("inter 2s", "inter 200ms")
    balancer = haproxy(f"frontend f\n    bind 127.0.0.1:{front}\n    default_backend api\n{text}")
    wait_until(lambda: balancer.server_state("api", "api1") == "UP", 15, "the server to be up")
    sm.stop()
    wait_until(lambda: balancer.server_state("api", "api1").startswith("DOWN"), 15, "the server to be down")

# SPDX-License-Identifier: Apache-2.0
"""doc/production.md: each fenced block is run here with the test's places in the place of the page's, or as it stands in a machine with systemd
(tests/package/test_production_machine.py), or is declared below with the reason why it cannot be."""
import json
import re
import subprocess

from harness import SOURCE, free_port, need, run_skymond, wait_until

PAGE = (SOURCE / "doc" / "production.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.S | re.M)
NOT_RUN = {  # the beginning of a block, and why
    "podman build": "tests/package/test_image.py makes the image",
    "autoreconf -fi": "./dev build does that for each test",
    "readinessProbe:": "a part of a manifest: test_kubernetes.py has the whole ones",
    "ts=": "a line of the log, no command",
}
RUN = {  # the beginning of a block, and the test that runs it
    "scrape_configs:": "test_pieces", "listen: [": "test_pieces", "listen:\n": "test_client_certificates", "server {": "test_behind_nginx",
    "backend api": "test_behind_haproxy",
}
MACHINE = SOURCE / "tests/package/test_production_machine.py"
ON_MACHINE = (  # the beginnings of those that it runs
    "CREATE ROLE skymon", "install -d", "groupadd", "# /etc/systemd/system/skymon.service.d/override.conf", "# /etc/skymon/skymon.yaml",
    "# /etc/skymon/conf.d/orders.yaml", "CREDENTIALS_DIRECTORY=", "systemctl daemon-reload", "curl -fsS --retry", "# /etc/prometheus/prometheus.yml",
    "SKYMON_JOB_TOKEN_FILE=", "skymon silence", "apt install ./skymon_", "systemctl enable --now skymon\nsystemctl reload", "systemctl stop skymon ",
    "# systemctl edit skymon",
)


def block(beginning):
    found = [text for _, text in BLOCKS if text.startswith(beginning)]
    assert len(found) == 1, f"{len(found)} blocks begin with {beginning!r}"
    return found[0]


def test_each_block_is_run_or_declared():
    for _, text in BLOCKS:
        assert sum(text.startswith(beginning) for beginning in (*NOT_RUN, *RUN, *ON_MACHINE)) == 1, f"neither run nor declared:\n{text}"
    for beginning in (*NOT_RUN, *RUN, *ON_MACHINE):
        block(beginning)
    assert all(name in globals() for name in RUN.values())
    text = MACHINE.read_text()
    assert all(json.dumps(beginning) in text for beginning in ON_MACHINE)


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

# SPDX-License-Identifier: Apache-2.0
"""The CPU that a new TLS connection costs a worker in CPU, beside openssl s_client, which reads the system's certificates each time."""
import os
import pathlib
import resource
import shutil
import ssl
import subprocess
import time

from parts import ROOT, Server, cpu_ns, folder, free_port, need, nginx, workers

COMPONENTS, CLIENTS = 10, 20
HEALTH = '{"initialized":true,"sealed":false,"standby":false,"server_time_utc":1,"version":"1"}'


def measure(seconds, row):
    """row(what, goal, measured, reached). By the system's certificates, with that of the server among them."""
    place = folder("tls")
    try:
        subprocess.run([need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                        "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", place / "key", "-out", place / "pem"],
                       check=True, capture_output=True)
        system = pathlib.Path(ssl.get_default_verify_paths().openssl_cafile)
        roots = system.read_text() if system.exists() else pathlib.Path("/etc/ssl/certs/ca-certificates.crt").read_text()
        (place / "roots").write_text(roots + (place / "pem").read_text())
        port = free_port()
        server = nginx("location / { default_type application/json; return 200 '%s'; } keepalive_timeout 0;\n} server { listen "
                       "127.0.0.1:%d ssl; ssl_session_tickets off; ssl_certificate %s/pem; ssl_certificate_key %s/key; keepalive_timeout 0;\n"
                       "location / { default_type application/json; return 200 '%s'; }" % (HEALTH, port, place, place, HEALTH))
        try:
            env = {"PATH": os.environ["PATH"], "SSL_CERT_FILE": str(place / "roots"), "SSL_CERT_DIR": str(place)}
            secure = _worker_ms(f"https://127.0.0.1:{port}", seconds, env)
            plain = _worker_ms(server.url, seconds, env)
            client = _client_ms(port, env)
        finally:
            server.stop()
    finally:
        shutil.rmtree(place, ignore_errors=True)
    count = roots.count("BEGIN CERTIFICATE")
    row(f"a new TLS connection: CPU of the worker ({count} certificates of the system)", "<= 0.2 x openssl s_client",
        f"{secure - plain:.2f} ms more than without TLS; {(secure - plain) / client:.2f} x the {client:.1f} ms of openssl s_client",
        secure - plain <= 0.2 * client)


def _worker_ms(address, seconds, env):
    """CPU of the worker for one check, each over a new connection."""
    place, port = folder("skymond"), free_port()
    parts = "".join(f"  v{i}: {{plugin: vault, address: '{address}', interval: 500ms, timeout: 400ms, reconnect: 0s}}\n" for i in range(COMPONENTS))
    (place / "skymon.yaml").write_text(f"plugins: {{prometheus: {{}}}}\ncomponents:\n{parts}")
    daemon = Server([ROOT / "sbin" / "skymond", "-c", place / "skymon.yaml", "--listen", f"127.0.0.1:{port}"], place, port,
                    env={**env, "STATE_DIRECTORY": str(place)})
    try:
        time.sleep(2)
        pids = workers(daemon.process.pid, ["vault"])
        checks, used = _checks(daemon), cpu_ns(pids)
        time.sleep(max(seconds, 3))
        checks, used = _checks(daemon) - checks, cpu_ns(pids) - used
    finally:
        daemon.stop()
    if checks < COMPONENTS:
        raise SystemExit("bench: the checks over TLS do not run")
    return used / 1e6 / checks


def _checks(daemon):
    from parts import get
    lines = get(daemon.url + "/metrics").decode().splitlines()
    if any(line.startswith("skymon_component_healthy{") and line.endswith(" 0") for line in lines):
        raise SystemExit("bench: a check over TLS is not healthy")
    return sum(float(line.split()[-1]) for line in lines if line.startswith("skymon_component_checks_total{"))


def _client_ms(port, env):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(CLIENTS):
        subprocess.run([need("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-verify_return_error"], input=b"", env=env, check=True,
                       capture_output=True, timeout=30)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000 / CLIENTS

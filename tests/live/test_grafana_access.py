# SPDX-License-Identifier: Apache-2.0
"""The broker: who may ask (loopback, tokens, anybody), what is written down of it, and where Grafana may be (a path, TLS with a private CA
and a client's certificate)."""
import pathlib
import socket
import subprocess

import pytest

from grafana_server import GrafanaDouble
from harness import Folder, run_skymond, wait_until
from test_grafana import BASE, DASHBOARD, broker, grafana  # noqa: F401
from test_secrets import grep
from worker_routes import audits

READ, WRITE = ("GET", "/dashboards", None), ("POST", "/dashboards", {"dashboard": {"title": "x"}, "overwrite": True})


def foreign_address():
    """An address of this machine that is not loopback; None: it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return probe.getsockname()[0]
        except OSError:
            return None


def test_loopback_alone(broker):
    one = broker()
    one.ask(*READ, 200)
    one.ask(*WRITE, 200)
    for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
        for row, option in ((READ, "read_access"), (WRITE, "write_access")):
            found = one.ask(*row, 403, headers={name: "127.0.0.1"}).json()
            assert f"`{option}: token`" in found["detail"] and f"`{option}: any`" in found["detail"]
    for headers in ({"Host": "evil.test"}, {"Origin": "http://evil.test"}, {"Origin": "null"}):
        for row in (READ, WRITE):
            assert one.ask(*row, headers=headers).status_code == 403
    one.ask(*WRITE, 200, headers={"Origin": f"http://127.0.0.1:{one.sm.port}"})
    assert "Access-Control-Allow-Origin" not in one.ask(*READ, 200).headers
    assert one.ask("GET", "/health", headers={"X-Forwarded-For": "1.2.3.4"}).status_code in (200, 503)  # it is public


def test_the_machines_own_address(skymond, grafana):
    address = foreign_address()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    sm = skymond({"plugins": {"grafana": {"url": grafana.url, "api_key": grafana.add_key("admin")}}}, listen="0.0.0.0:0")
    sm.url = f"http://{address}:{sm.port}"
    assert sm.get(BASE + "/dashboards").status_code == 200


def test_unix_socket(skymond, grafana):
    folder = Folder("sock")
    try:
        path = folder.path / "s"
        skymond({"listen": ["127.0.0.1:0", f"unix:{path}"], "plugins": {"grafana": {"url": grafana.url, "api_key": grafana.add_key("admin")}}},
                listen=None)
        wait_until(path.exists, 5, "the socket")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(b"GET /api/v1/grafana/dashboards HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    finally:
        folder.remove()


def test_tokens_and_anybody(broker, tmp_path):
    token = tmp_path / "token"
    token.write_text("t0ken-geheim-geheim\n")
    token.chmod(0o600)
    one = broker(write_access="token", read_access="any", access_token={"file": str(token)})
    far = {"X-Forwarded-For": "192.0.2.7"}
    one.ask(*READ, 200, headers=far)
    for headers in ({}, far, {"Authorization": "Basic dDprZW4="}):
        assert one.ask(*WRITE, 401, headers=headers).headers["WWW-Authenticate"].startswith("Bearer realm=")
    for wrong in ("x", "t0ken-geheim-gehei", "t0ken-geheim-geheimx"):
        answer = one.ask(*WRITE, 401, headers={"Authorization": f"Bearer {wrong}"})
        assert "invalid_token" in answer.headers["WWW-Authenticate"] and "t0ken" not in answer.text
    one.ask(*WRITE, 200, headers={"Authorization": "Bearer t0ken-geheim-geheim", **far})
    assert one.ask(*WRITE, headers={"Authorization": "Bearer t0ken-geheim-geheim", "Host": "evil.test"}).status_code == 403
    assert "t0ken-geheim" not in one.sm.log_text()


def test_access_that_cannot_be_is_told(grafana):
    done = run_skymond({"plugins": {"grafana": {"url": grafana.url, "api_key": "x", "write_access": "token"}}}, "--check-config")
    assert done.returncode == 2 and "option `access_token` of plugin grafana is missing" in done.stderr, done.stderr


# ---- What is written down ----

def test_each_request_leaves_a_line(broker):
    one = broker()
    uid = one.ask("POST", "/dashboards", {"dashboard": {"title": "a\nlevel=error é"}}, 200).json()["uid"]
    one.ask("POST", "/dashboards", {"dashboard": {"title": "a\nlevel=error é"}}, 409)
    one.ask(*READ, 200)
    one.ask("DELETE", f"/dashboards/{uid}", code=200)
    one.ask(*WRITE, 403, headers={"Via": "x"})
    lines = wait_until(lambda: len(found := audits(one.sm)) >= 5 and found, 5, "five lines")
    assert len(lines) == 5 and all("client=127.0.0.1" in line for line in lines)
    assert f"method=POST path={BASE}/dashboards code=200" in lines[0] and uid in lines[0] and "a level=error é" in lines[0]
    assert "code=409" in lines[1] and f"method=GET path={BASE}/dashboards code=200" in lines[2] and "read, allowed as" in lines[2]
    assert f"method=DELETE path={BASE}/dashboards/{uid} code=200" in lines[3] and "code=403" in lines[4]


def test_what_was_not_written_leaves_a_line_that_says_why(broker, grafana):
    one = broker()
    put = {"dashboard": {"title": "T"}}
    cases = [("DELETE", "/dashboards/no-such", None, 404, "dashboard no-such not deleted: Grafana has no dashboard with the uid no-such"),
             ("PUT", "/dashboards/no-such", put, 404, 'dashboard no-such "T" not replaced: Grafana has no dashboard with the uid no-such'),
             ("POST", "/dashboards", {"dashboard": {"a": 1}}, 422, "dashboard not saved: /dashboard/title is missing"),
             ("POST", "/datasources", {"name": "n"}, 422, "data source not created: /type is missing"),
             ("POST", "/alerts", {"title": "R"}, 422, "/data is missing")]
    for number, (method, path, body, code, words) in enumerate(cases, 1):
        one.ask(method, path, body, code)
        line = wait_until(lambda: len(found := [line for line in one.sm.log_lines() if "area=audit" in line]) >= number and found[-1], 5, "a line")
        assert words in line.replace('\\"', '"') and f"code={code}" in line
    one.ask(*WRITE, 403, headers={"Via": "x"})
    line = one.sm.wait_log("code=403")
    assert "nothing written: Grafana may be changed through skymon only by root" in line and "allowed as" not in line


def test_a_short_token_is_refused(skymond, grafana, tmp_path):
    """It could be guessed, and would be masked wherever it stands in an answer."""
    sm = skymond({"plugins": {"grafana": {"url": grafana.url, "api_key": grafana.add_key("admin"), "access_token": "admin"}}})
    found = wait_until(lambda: (c := sm.component("grafana"))["message"] not in ("", "not checked yet") and c, 10, "a sentence")
    assert found["status"] == "unknown" and "access_token is shorter than 16 bytes" in found["message"]


# ---- Where Grafana is ----

@pytest.mark.parametrize("slash", ["", "/"])
def test_a_path_under_tls_with_a_private_ca(skymond, certs, slash):
    with GrafanaDouble(prefix="/grafana", certificate=(certs.pem("good"), certs.key("good")), client_ca=certs.ca) as grafana:
        key = grafana.add_key("admin")
        tls = {"ca_file": str(certs.ca), "cert_file": str(certs.pem("client")), "key_file": str(certs.key("client"))}
        options = {"url": grafana.url + slash, "api_key": key, "interval": "300ms"}
        sm = skymond({"plugins": {"grafana": {**options, "tls": tls}}})
        sm.wait_component("grafana", status="healthy")
        assert sm.request("POST", BASE + "/dashboards", json={"dashboard": DASHBOARD}).status_code == 200
        assert sm.get(BASE + "/dashboards").json()[0]["url"].startswith("/grafana/d/")
        sent = len(grafana.requests)
        other = skymond({"plugins": {"grafana": options}})
        other.wait_component("grafana", status="unhealthy", reason="tls_untrusted")
        refused = other.get(BASE + "/dashboards")
        assert refused.status_code == 503 and "certificate" in refused.json()["detail"]
        assert all(request.headers["authorization"] == f"Bearer {key}" for request in grafana.requests[sent:])


def test_not_configured(skymond):
    sm = skymond({"plugins": {"grafana": {"url": "", "api_key": "x"}}})
    assert sm.get("/api/v1/health/grafana").json()["reason"] == "not_configured"
    assert sm.get(BASE + "/health").status_code == 503 and sm.get(BASE + "/dashboards").status_code == 503


def test_no_secret_in_a_dump(skymond, grafana, tmp_path):
    key = grafana.add_key("admin")
    sm = skymond({"plugins": {"prometheus": {}, "grafana": {"url": grafana.url, "api_key": key, "write_access": "token",
                                                            "access_token": "t0ken-geheim-geheim", "interval": "300ms"}}})
    sm.wait_component("grafana", status="healthy")
    config = pathlib.Path(sm.config)
    shown = subprocess.run([str(pathlib.Path(sm.process.args[0])), "-c", str(config), "--print-config"], capture_output=True, text=True,
                           timeout=20)
    assert shown.returncode == 0 and "grafana" in shown.stdout
    assert key not in shown.stdout + shown.stderr and "t0ken-geheim" not in shown.stdout + shown.stderr
    assert grep(sm, key, "t0ken-geheim") == []

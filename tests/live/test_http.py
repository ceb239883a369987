# SPDX-License-Identifier: Apache-2.0
"""HTTP as it is on the wire: what odd and hostile clients get, TLS, access, listeners. The tables of cases are in tests/unit/test_http.c; here the
real daemon answers real clients."""
import gzip
import http.client
import json
import re
import socket
import ssl
import threading
import time

import pytest
import requests

from harness import SLOW, wait_until
from test_workers import component

GETS = ["/", "/api/v1/health", "/api/v1/health/db", "/api/v1/health/nobody", "/api/v1/status", "/api/v1/ready", "/api/v1/alive",
        "/metrics", "/api/v1/metrics/prometheus", "/api/v1/metrics/prometheus/api/v1/query", "/nowhere"]


def watched(tmp_path, **more):
    (tmp_path / "status").write_text("healthy")
    return {"plugins": {"prometheus": {}}, "components": {"db": component("t_file", path=str(tmp_path / "status"), impact="unhealthy")}, **more}


def ports(daemon):
    daemon.wait_log("started: config")
    return [int(port) for port in re.findall(r"port=(\d+) msg=listening", daemon.log_text())]


# ---- Requests ----

@pytest.mark.asan
def test_every_get_answers_head_and_a_trailing_slash(skymond, tmp_path):
    daemon = skymond(watched(tmp_path))
    daemon.wait_component("db", status="healthy")
    for path in GETS:
        get = daemon.get(path)
        assert get.headers["Cache-Control"] == "no-store", path
        assert get.status_code not in range(300, 400), path
        head = daemon.request("HEAD", path)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        assert head.headers["Content-Type"] == get.headers["Content-Type"], path
        assert int(head.headers["Content-Length"]) > 0, path
        slash = daemon.get(path.rstrip("/") + "/")
        assert slash.status_code == get.status_code, path
        public = get.headers.get("Access-Control-Allow-Origin")
        assert public == ("*" if path != "/nowhere" else None), path


def test_problems(skymond, tmp_path):
    daemon = skymond(watched(tmp_path))
    for method, path, code, allow in [("GET", "/api/v1/nothing", 404, None), ("POST", "/api/v1/health", 405, "GET, HEAD, OPTIONS"),
                                      ("DELETE", "/metrics", 405, "GET, HEAD, OPTIONS"),
                                      ("GET", "/api/v1/health/nobody", 404, None), ("GET", "/api/v1/health?unhealthy=9", 400, None)]:
        answer = daemon.request(method, path)
        assert (answer.status_code, answer.headers.get("Allow")) == (code, allow), path
        assert answer.headers["Content-Type"] == "application/problem+json"
        problem = answer.json()
        assert list(problem) == ["type", "title", "status", "detail", "timestamp", "error"]
        assert problem["status"] == code and problem["type"] == "about:blank" and problem["error"] == problem["detail"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", problem["timestamp"])


def test_grafana_that_points_at_the_exporter_is_told(skymond, tmp_path):
    daemon = skymond(watched(tmp_path))
    base = "/api/v1/metrics/prometheus/api/v1/"
    for method, path, data in [("POST", "query", {"query": "1+1", "time": "1"}), ("GET", "query_range?query=up", None),
                               ("GET", "label/job/values", None), ("GET", "status/buildinfo", None)]:
        answer = daemon.request(method, base + path, data=data)
        assert answer.status_code == 404
        assert answer.json()["status"] == "error" and answer.json()["errorType"] == "not_found"
        assert "exporter" in answer.json()["error"] and "Prometheus server" in answer.json()["error"]


@pytest.mark.asan
def test_requests_that_can_be_read_in_two_ways_end_the_connection(skymond, tmp_path):
    daemon = skymond(watched(tmp_path))
    behind = b"GET /api/v1/alive HTTP/1.1\r\nHost: x\r\n\r\n"
    for head in [b"Content-Length: 0\r\nContent-Length: 41\r\n", b"Content-Length: 41\r\nTransfer-Encoding: chunked\r\n",
                 b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", b"Content-Length : 41\r\n",
                 b"Content-Length: +41\r\n", b"Content-Length: 41, 41\r\n"]:
        got = daemon.raw(b"POST /api/v1/health HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n" + b"0\r\n\r\n" + behind)
        assert got.startswith(b"HTTP/1.1 400 "), (head, got)
        assert b"Connection: close" in got and b"alive" not in got, (head, got)  # what stands behind is not believed


RUBBISH = [  # bytes, the one answer's code
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), 400), (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505), (b"\r\n" * 9, 400),
    (b"GET\r\n\r\n", 400), (b"GET /api/v1/health\r\n\r\n", 400), (b"GET  HTTP/1.1\r\n\r\n", 400), (b"G" * 100000, 501), (b"GET /" + b"a/" * 50000, 414),
    (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20000 + b"\r\n", 431), (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 3000000 + b"\r\n\r\n", 431),
    (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 505), (b"GET /\x00 HTTP/1.0\r\n\r\n", 400), (b"GET /api/v1/alive HTTP/1.1\nHost: x\n\n", 400),
    (b"GET /api/v1/alive HTTP/1.1\r\nHost: x\r\n:\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n", 400),
    (b"POST /api/v1/health HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST /api/v1/health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400),
    (b"POST /api/v1/health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 100, 413),
    (b"POST /api/v1/health HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n" + b"x" * 20000000, 413),
]


@pytest.mark.parametrize("tls", [False, True])
def test_rubbish_gets_one_answer_and_it_is_ours(skymond, certs, tmp_path, tls):
    """Large ones too: the client has sent all of it before it reads."""
    daemon = skymond(tls_config(tmp_path, certs.pem("good"), certs.key("good")), listen=None)
    behind = b"GET /api/v1/alive HTTP/1.1\r\nHost: x\r\n\r\n"
    context = ssl.create_default_context(cafile=str(certs.ca))
    for data, code in RUBBISH:
        with socket.create_connection(("127.0.0.1", ports(daemon)[tls]), timeout=20 * SLOW) as connection:
            if tls:
                connection = context.wrap_socket(connection, server_hostname="127.0.0.1")
            connection.sendall(data + behind)
            got = b"".join(iter(lambda: connection.recv(65536), b""))
        assert got.startswith(b"HTTP/1.1 %d " % code), (data[:60], got[:200])
        head, body = got.split(b"\r\n\r\n", 1)
        assert b"\r\nContent-Type: application/problem+json" in head and b"\r\nConnection: close" in head, (data[:60], head)
        assert json.loads(body)["status"] == code, (data[:60], body)  # and nothing behind it
    assert daemon.get("/api/v1/alive").status_code == 200
    counted = daemon.get("/metrics").text
    assert re.search(r'^skymon_http_requests_total\{code="431",method="GET",route=""\} 2$', counted, re.M), counted


def test_old_clients(skymond, tmp_path):
    """HTTP/1.0 without Host, as HAProxy's httpchk sends it, and any Host at all."""
    daemon = skymond(watched(tmp_path))
    daemon.wait_component("db", status="healthy")
    got = daemon.raw(b"GET /api/v1/health HTTP/1.0\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200 ") and b'"status":"healthy"' in got
    got = daemon.raw(b"OPTIONS /api/v1/ready HTTP/1.0\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200 ") and b"\r\nAllow: GET, HEAD, OPTIONS\r\n" in got and got.endswith(b"\r\n\r\n")
    (tmp_path / "status").write_text("unhealthy")
    daemon.wait_component("db", status="unhealthy")
    for path in ("ready", "health", "health/db"):
        assert daemon.raw(b"OPTIONS /api/v1/%s HTTP/1.0\r\n\r\n" % path.encode()).startswith(b"HTTP/1.1 503 ")
    assert daemon.raw(b"OPTIONS /api/v1/alive HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert daemon.request("OPTIONS", "/api/v1/status").status_code == 204
    assert daemon.get("/api/v1/health?unhealthy=200").json()["status"] == "unhealthy"
    assert daemon.get("/api/v1/health", headers={"Host": "any.example"}).status_code == 503


def test_slow_clients_are_ended_and_harm_nobody(skymond, tmp_path):
    daemon = skymond(watched(tmp_path, limits={"header_timeout": "1s", "connections": 200, "connections_per_address": 200}))
    slow = [socket.create_connection(("127.0.0.1", daemon.port)) for _ in range(100)]
    for connection in slow:
        connection.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\nX: ")

    def drip():
        for connection in slow:
            try:
                connection.sendall(b"a")
            except OSError:
                pass
        return all(is_ended(connection) for connection in slow)

    heard = {connection: b"" for connection in slow}

    def is_ended(connection):
        connection.setblocking(False)
        try:
            while got := connection.recv(1000):
                heard[connection] += got
            return True
        except BlockingIOError:
            return False
        except OSError:
            return True

    assert daemon.get("/api/v1/alive").status_code == 200
    wait_until(drip, 15, "all slow connections to be ended", every=0.1)
    assert all(got.startswith(b"HTTP/1.1 408 ") and b"header_timeout" in got for got in heard.values())
    for connection in slow:
        connection.close()


def test_status_is_compressed_on_request(skymond, tmp_path):
    daemon = skymond(watched(tmp_path))
    plain = daemon.get("/api/v1/status", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers and "Accept-Encoding" in plain.headers["Vary"]
    packed = daemon.raw(b"GET /api/v1/status HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n")
    head, body = packed.split(b"\r\n\r\n", 1)
    assert b"Content-Encoding: gzip" in head
    assert list(json.loads(gzip.decompress(body))) == list(plain.json())


# ---- Listeners ----

def test_ipv6_and_unix(skymond, tmp_path):
    path = tmp_path / "http.sock"
    daemon = skymond(watched(tmp_path, listen=["[::1]:0", {"address": f"unix:{path}", "routes": ["alive", "prometheus"]}]),
                     listen=None)
    assert requests.get(f"http://[::1]:{daemon.port}/api/v1/alive", timeout=5).status_code == 200

    def ask(target):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(f"GET {target} HTTP/1.0\r\n\r\n".encode())
            return int(connection.makefile("rb").readline().split()[1])

    assert [ask(target) for target in ("/api/v1/alive", "/metrics", "/api/v1/metrics/prometheus", "/api/v1/health", "/", "/x")] == [
        200, 200, 200, 404, 404, 404]
    assert daemon.stop() == 0
    assert not path.exists()


def test_a_socket_file_that_was_left_behind_is_replaced(skymond, tmp_path):
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    daemon = skymond(watched(tmp_path, listen=["127.0.0.1:0", f"unix:{path}"]), listen=None)
    assert daemon.get("/api/v1/alive").status_code == 200
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))


# ---- Access ----

@pytest.mark.asan
def test_access(skymond, tmp_path):
    token = tmp_path / "token"
    token.write_text("the-first-token-\n")
    token.chmod(0o600)
    access = {"token": {"file": str(token)}, "public": ["health", "ready", "alive"]}
    daemon = skymond(watched(tmp_path, access=access))
    wait_until(lambda: daemon.get("/api/v1/ready").status_code == 200, 10, "ready")
    bearer = {"Authorization": "Bearer the-first-token-"}
    for path in ("/metrics", "/api/v1/status", "/"):
        refused = daemon.get(path)
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer"), path
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert daemon.get(path, headers=bearer).status_code == 200, path
        assert daemon.get(path, headers={"Authorization": "Bearer the-first-token+"}).status_code == 401, path
    anonymous, trusted = daemon.get("/api/v1/health/db").json(), daemon.get("/api/v1/health/db", headers=bearer).json()
    assert (anonymous["status"], anonymous["message"], anonymous["details"]) == ("healthy", "", {})
    assert trusted["message"] != ""
    assert "the-first-token-" not in daemon.log_text()
    token.write_text("the-second-token")
    daemon.hup()
    daemon.wait_log("config reloaded")
    assert daemon.get("/metrics", headers=bearer).status_code == 401
    assert daemon.get("/metrics", headers={"Authorization": "Bearer the-second-token"}).status_code == 200


AS_GET = ("/api/v1/health", "/api/v1/health/db", "/api/v1/ready", "/api/v1/alive")  # OPTIONS has their code, for probes of HAProxy


def spelled(path):
    """All ways to write the path that reach the same route."""
    encoded = [path[:-1] + form.format(ord(path[-1])) for form in ("%{:02x}", "%{:02X}")] if path != "/" else []
    slash = [path + "/", path + "/?a=b"] if path != "/" else []
    return [path, path + "?a=b", *slash, *encoded, *(f"{word}://localhost{path}" for word in ("http", "https", "HTTP"))]


def test_access_in_every_spelling(skymond, tmp_path):
    daemon = skymond(watched(tmp_path, access={"token": "the-first-token-"}))
    bearer = {"Authorization": "Bearer the-first-token-"}
    wait_until(lambda: daemon.get("/api/v1/health/db", headers=bearer).json().get("status") == "healthy", 10, "its check")

    def code(method, target, headers):
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=10 * SLOW)
        connection.request(method, target, headers=headers)  # as it is spelled: requests would mend it
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    for path in (path for path in GETS if "no" not in path):
        for target in spelled(path):
            for method in ("GET", "HEAD", "OPTIONS"):
                if method == "OPTIONS" and path not in AS_GET:
                    assert code(method, target, {}) == (204, b""), target
                    continue
                for headers in ({}, {"Authorization": "Bearer the-first-token+"}):
                    refused, body = code(method, target, headers)
                    assert refused == 401 and (method == "GET") == (b"Authorization" in body), (method, target, refused, body)
                assert code(method, target, bearer)[0] != 401, (method, target)


# ---- TLS ----

def tls_config(tmp_path, pem, key, **more):
    tls = {"cert_file": str(pem), "key_file": str(key), **more}
    return watched(tmp_path, listen=["127.0.0.1:0", {"address": "127.0.0.1:0", "tls": tls}])


def serial(port):
    with socket.create_connection(("127.0.0.1", port), timeout=5 * SLOW) as raw:
        context = ssl._create_unverified_context()
        with context.wrap_socket(raw) as connection:
            return connection.getpeercert(binary_form=True)


def put(certs, name, pem, key):
    for source, place in ((certs.pem(name), pem), (certs.key(name), key)):
        draft = place.with_suffix(".draft")
        draft.write_bytes(open(source, "rb").read())
        draft.rename(place)


def test_tls_and_certificates_that_change(skymond, certs, tmp_path):
    pem, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    put(certs, "good", pem, key)
    daemon = skymond(tls_config(tmp_path, pem, key), listen=None)
    port = ports(daemon)[1]
    assert requests.get(f"https://127.0.0.1:{port}/api/v1/alive", verify=str(certs.ca), timeout=5 * SLOW).status_code == 200
    old = serial(port)
    context = ssl.create_default_context(cafile=str(certs.ca))
    kept = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=5 * SLOW)
    kept.request("GET", "/api/v1/alive")
    assert kept.getresponse().read().startswith(b'{"status":"alive"')
    put(certs, "wrong_name", pem, key)
    daemon.hup()
    daemon.wait_log("new certificate")
    assert serial(port) != old
    kept.request("GET", "/api/v1/alive")  # an open connection stays
    assert kept.getresponse().read().startswith(b'{"status":"alive"')
    kept.close()
    # one that is not a certificate changes nothing, and is logged
    now = serial(port)
    mark = daemon.log_mark()
    pem.write_text("no certificate")
    daemon.hup()
    assert "cert.pem does not hold a certificate in PEM form" in daemon.wait_log("old certificate", after=mark)
    assert serial(port) == now
    # and a file that changes is noticed without a signal
    mark = daemon.log_mark()
    put(certs, "good", pem, key)
    daemon.wait_log("new certificate", timeout=20, after=mark)
    assert serial(port) == old
    with pytest.raises(ssl.SSLError):  # what is older than TLS 1.2 is refused
        context = ssl._create_unverified_context()
        with pytest.warns(DeprecationWarning):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("127.0.0.1", port)) as raw, context.wrap_socket(raw):
            pass


def test_client_certificates(skymond, certs, tmp_path):
    daemon = skymond(tls_config(tmp_path, certs.pem("good"), certs.key("good"), client_ca_file=str(certs.ca)), listen=None)
    url = f"https://127.0.0.1:{ports(daemon)[1]}/api/v1/alive"

    def ask(name=None):
        pair = (str(certs.pem(name)), str(certs.key(name))) if name else None
        return requests.get(url, verify=str(certs.ca), cert=pair, timeout=5 * SLOW).status_code

    assert ask("client") == 200
    assert ask() == 403
    assert ask("client_untrusted") == 403


def test_tls_speaks_to_many_at_once(skymond, certs, tmp_path):
    daemon = skymond(tls_config(tmp_path, certs.pem("good"), certs.key("good")), listen=None)
    url, codes = f"https://127.0.0.1:{ports(daemon)[1]}/metrics", []

    def ask():
        with requests.Session() as session:
            for _ in range(10):
                codes.append(session.get(url, verify=str(certs.ca), timeout=20 * SLOW).status_code)

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * 160


def test_a_certificate_that_cannot_be_used_is_no_start(skymond, certs, tmp_path):
    config = tls_config(tmp_path, certs.pem("good"), certs.key("expired"))  # the key of another
    daemon = skymond(config, listen=None, wait=False)
    wait_until(lambda: daemon.process.poll() is not None, 10, "the end")
    daemon.output.join()
    assert daemon.process.returncode == 2
    assert "does not belong to the certificate" in daemon.log_text()
    daemon.stop(expect=None)


@pytest.mark.sanitized
def test_clients_that_leave_in_the_middle(skymond, tmp_path):
    daemon = skymond(watched(tmp_path))
    for i in range(200):
        with socket.create_connection(("127.0.0.1", daemon.port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            connection.sendall((b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n" * 5)[:20 + i * 2])
    deadline = time.monotonic() + 10 * SLOW
    while daemon.get("/api/v1/status").json()["health"]["metrics"]["active_connections"] > 1:
        assert time.monotonic() < deadline

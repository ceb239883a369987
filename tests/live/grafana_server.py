# SPDX-License-Identifier: Apache-2.0
"""A small Grafana for the tests: HTTP/1.1 with kept connections, keys and roles, state, and faults on demand. It answers as a real one did
when the exchanges of grafana_exchanges.json and grafana_exchanges_2.json were recorded (grafana_state.py, grafana_dashboards.py,
grafana_rules.py; test_grafana_double.py replays them), and 500 "not recorded" to the rest.

    with GrafanaDouble() as grafana:                 # prefix="/grafana"; certificate=(pem, key): https; client_ca=pem: asks for one
        key = grafana.add_key("admin")               # or editor, viewer; grafana.revoke(key, "deleted" | "disabled" | "expired" | "unlinked")
        grafana.quotas                               # {"dashboard": 1, "data_source": 1, "alert_rule": 1}
        grafana.url                                  # http://127.0.0.1:PORT/grafana
        grafana.dashboards, .datasources, .folders, .rules       # the state, by uid: see Dashboards, Sources and Rules
        grafana.requests                             # [Request]: method, path (without prefix), headers (small names), body, status
        grafana.resolves(uid or rule)                # what is wrong with a rule when it is evaluated: [] when nothing
        grafana.panel_sources(uid or model)          # [(panel's title, uid of its data source or None, what is wrong or None)]
        fault = grafana.fail("POST", "^/api/folders", "status", code=500, body={"message": "no"}, times=1)
        fault.hits; fault.end(); grafana.heal()      # how often it struck; no more of it; no more of any
        grafana.busy                                 # requests that are being answered right now
        grafana.drop_idle(); grafana.stop(); grafana.start()     # closes kept connections; refuses; listens again at the same port

Kinds of fault, with their options:
    status    code=500, body={"message": …} (dict, list or text), content_type="application/json"; the request is not done
    slow      seconds=10: answers later, as usual; when the fault or the double ends, the connection is closed without an answer
    half      does the request, announces the whole answer, sends half of it and closes
    garbage   200 and application/json, but the body is none
    html      code=502: the page of a proxy; code=200: a login page
    reset     reads the request and resets the connection (RST); done=True: does the request first: the answer is lost
    close     reads the request and closes without an answer; kept=True: only on a connection that has served a request before; done=True
    redirect  code=302, location="http://…"
    big       streams size=50 MiB of good JSON, in chunks; fault.sent is how much of it was taken
The first fault that fits strikes; path is a pattern (re.search) for path and query without the prefix; method "*" is any.
"""
import dataclasses
import http.server
import json
import os
import re
import secrets
import socket
import ssl
import struct
import sys
import threading
import time

from grafana_dashboards import Dashboards
from grafana_rules import Rules
from grafana_state import JSON, Call, Org

PROXY_PAGE = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<h1>502 Bad Gateway</h1>\r\n</body>\r\n</html>\r\n"
LOGIN_PAGE = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><form action='/login' method='post'></form></body></html>\n"
CHUNK = 64 << 10


class Lost(Exception):
    """The connection is closed without an answer."""


@dataclasses.dataclass
class Request:
    method: str
    path: str
    headers: dict
    body: bytes
    status: int = None  # None: it got no answer, or not yet
    at: float = dataclasses.field(default_factory=time.monotonic)

    @property
    def json(self):
        return json.loads(self.body)


class Fault:
    KINDS = ("status", "slow", "half", "garbage", "html", "reset", "close", "redirect", "big")

    def __init__(self, method, path, kind, times, options):
        assert kind in self.KINDS, kind
        self.method, self.path, self.kind, self.left, self.options = method, re.compile(path), kind, times, options
        self.hits = self.sent = 0
        self.ended = threading.Event()

    def fits(self, request, kept):
        return (not self.ended.is_set() and self.left != 0 and self.method in ("*", request.method) and self.path.search(request.path)
                and (kept or not self.options.get("kept")))

    def strike(self):
        self.hits += 1
        if self.left is not None:
            self.left -= 1

    def end(self):
        self.ended.set()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_version, sys_version = "double", ""
    timeout = 300
    served = 0

    def setup(self):
        super().setup()
        self.double = self.server.double
        self.double.connections.add(self.connection)
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.do_handshake()

    def finish(self):
        self.double.connections.discard(self.connection)
        super().finish()

    def log_message(self, *_):
        pass

    def _serve(self):
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        double = self.double
        request = Request(self.command, self.path.removeprefix(double.prefix), headers, body)
        with double.counting:
            double.requests.append(request)
            double.busy += 1
            fault = next((one for one in double.faults if one.fits(request, self.served > 0)), None)
            if fault:
                fault.strike()
        self.served += 1
        try:
            self._answer(request, fault)
        except Lost:
            self.close_connection = True
        finally:
            with double.counting:
                double.busy -= 1

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve

    def _answer(self, request, fault):
        if fault is not None:
            getattr(self, "_" + fault.kind)(request, fault, **fault.options)
        elif not self.path.startswith(self.double.prefix + "/"):
            self._send(request, 404, "text/plain; charset=utf-8", b"404 page not found\n")
        else:
            self._send(request, *self._do(request))

    def _do(self, request):
        return self.double.org.answer(Call(request.method, request.path, request.headers, request.body))

    def _send(self, request, status, kind, body, limit=None, **headers):
        """limit: so many bytes of the body are sent, though all are announced."""
        request.status = status
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self._headers_buffer.append(b"\r\n" + (b"" if self.command == "HEAD" else body[:limit]))
        self.flush_headers()

    # ---- Faults ----

    def _status(self, request, _, code=500, body=None, content_type=JSON):
        body = {"message": "made to fail"} if body is None else body
        self._send(request, code, content_type, (body if isinstance(body, str) else json.dumps(body)).encode())

    def _slow(self, request, fault, seconds=10):
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if fault.ended.wait(left):
                raise Lost
        self._send(request, *self._do(request))

    def _half(self, request, _):
        status, kind, body = self._do(request)
        self._send(request, status, kind, body, limit=len(body) // 2)
        raise Lost

    def _garbage(self, request, _):
        self._send(request, 200, JSON, b'{"uid": \xff\xfe nonsense')

    def _html(self, request, _, code=502):
        self._send(request, code, "text/html; charset=UTF-8", (LOGIN_PAGE if code == 200 else PROXY_PAGE).encode())

    def _reset(self, request, _, done=False):
        if done:
            self._do(request)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        raise Lost

    def _close(self, request, _, done=False, kept=False):
        if done:
            self._do(request)
        raise Lost

    def _redirect(self, request, _, location, code=302):
        self._send(request, code, "text/html; charset=utf-8", b"", Location=location)

    def _big(self, request, fault, size=50 << 20):
        request.status = 200
        self.send_response(200)
        self.send_header("Content-Type", JSON)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in (b"[", *[b" " * CHUNK] * (size // CHUNK), b"]", b""):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            fault.sent += len(part)


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    context = None

    def get_request(self):
        connection, peer = super().get_request()
        if self.context:  # the handshake is its own thread's
            connection = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, peer

    def handle_error(self, request, client_address):
        """A client that leaves is none; anything else is an error of the double, which the test must see."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            self.double.errors.append(error)


class GrafanaDouble:
    def __init__(self, prefix="", certificate=None, client_ca=None):
        self.prefix = prefix.rstrip("/")
        self.org = Org(self.prefix)
        self.org.dashboards, self.org.rules = Dashboards(self.org), Rules(self.org)
        self.org.add(self.org.dashboards)
        self.org.add(self.org.rules)
        self.quotas = self.org.quotas
        self.datasources, self.rules = self.org.sources.all, self.org.rules.all
        self.dashboards, self.folders = self.org.dashboards.all, self.org.dashboards.folders
        self.requests, self.faults, self.errors = [], [], []
        self.counting, self.busy = threading.Lock(), 0
        self.connections = set()
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)
        if client_ca:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(client_ca)
        self.port, self.listener = 0, None
        self.start()
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}{self.prefix}"

    def start(self):
        self.listener = Listener(("127.0.0.1", self.port), Handler)
        self.listener.double, self.listener.context = self, self.context
        self.port = self.listener.server_address[1]
        threading.Thread(target=self.listener.serve_forever, args=[0.05], daemon=True).start()

    def stop(self):
        self.listener.shutdown()
        self.listener.server_close()
        self.drop_idle()

    def drop_idle(self):
        """Closes all connections; what is being answered on them is lost too."""
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.heal()
        self.stop()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close()
        assert kind or not self.errors, self.errors

    def add_key(self, role):
        assert role in ("admin", "editor", "viewer"), role
        key = "glsa_" + secrets.token_hex(16)
        with self.org.lock:
            self.org.keys[key] = role
        return key

    def revoke(self, key, how="deleted"):
        with self.org.lock:
            del self.org.keys[key]
            self.org.refused[key] = how

    def fail(self, method, path, kind, times=None, **options):
        fault = Fault(method, path, kind, times, options)
        with self.counting:
            self.faults.append(fault)
        return fault

    def heal(self):
        with self.counting:
            for fault in self.faults:
                fault.end()
            self.faults.clear()

    def resolves(self, rule):
        with self.org.lock:
            return self.org.rules.wrong(self.rules[rule] if isinstance(rule, str) else rule)

    def panel_sources(self, dashboard):
        with self.org.lock:
            model = self.dashboards[dashboard]["model"] if isinstance(dashboard, str) else dashboard
            found = []
            for panel in model.get("panels", []):
                for one in panel.get("panels", []) if panel.get("type") == "row" else [panel]:
                    if one.get("targets"):
                        found.append((one.get("title", ""), *self.org.dashboards.panel_source(model, one)))
            return found

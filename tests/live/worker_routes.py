# SPDX-License-Identifier: Apache-2.0
"""Shared by the tests of routes in a worker: a config with the plugin t_routes, and requests whose answer is read later."""
import fcntl
import http.client
import json
import re
import socket
import struct

from harness import SLOW, wait_until
from test_workers import component

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST


def config(tmp_path, routes=None, **more):
    """t_routes under `plugins` and a component of another plugin."""
    options = {"interval": "500ms", "timeout": "20s", "accepted": str(tmp_path / "accepted"), "word": str(tmp_path / "word"),
               "busy": str(tmp_path / "busy"), **(routes or {})}
    more.setdefault("components", {"other": component("t_ok")})
    return {"plugins": {"prometheus": {}, "t_routes": options}, **more}


def start(skymond, tmp_path, routes=None, **more):
    """A daemon whose t_routes runs."""
    daemon = skymond(config(tmp_path, routes, **more))
    daemon.wait_component("t_routes", status="healthy")
    return daemon


class Answer:
    def __init__(self, response):
        self.code, self.headers, self.body = response.status, response.headers, response.read()

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.code} {dict(self.headers)} {self.body[:300]}"


class Asked:
    """A request that was sent on a connection of its own; the answer is read later."""

    def __init__(self, daemon, path, method="GET", headers=None, body=b"", version="1.1", connection=None):
        words = {"Host": f"127.0.0.1:{daemon.port}", **(headers or {})}
        if body:
            words = {"Content-Type": "application/json", "Content-Length": len(body), **words}
        head = f"{method} {path} HTTP/{version}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in words.items() if value is not None)
        self.method = method
        self.connection = connection or socket.create_connection(("127.0.0.1", daemon.port))
        self.connection.sendall(head.encode() + b"\r\n" + body)

    def answer(self, timeout=10):
        self.connection.settimeout(timeout * SLOW)
        response = http.client.HTTPResponse(self.connection, method=self.method)
        response.begin()
        return Answer(response)

    def close(self):
        self.connection.close()

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.connection.close()


def ask(daemon, path, *args, timeout=10, **options):
    """The answer to one request on a connection of its own."""
    asked = Asked(daemon, path, *args, **options)
    try:
        return asked.answer(timeout)
    finally:
        asked.close()


class Held:
    """Requests to the slow route, which are out until release()."""

    def __init__(self, daemon, tmp_path, count, name="held", **options):
        self.gate, self.began = tmp_path / f"{name}.go", tmp_path / f"{name}.began"
        path = f"/t/slow?until={self.gate}&began={self.began}" + options.pop("query", "")
        self.asked = [Asked(daemon, path, **options) for _ in range(count)]
        wait_until(lambda: self.count() == count, 20, f"{count} requests to be out")

    def count(self):
        return self.began.read_text().count("\n") if self.began.exists() else 0

    def release(self):
        self.gate.touch()

    def answers(self, timeout=10):
        return [asked.answer(timeout) for asked in self.asked]

    def close(self):
        for asked in self.asked:
            asked.close()


def echoed(answer):
    """The request as the route echo saw it: its lines, and the body."""
    head, _, body = answer.body.partition(b"\n\n")
    return {**dict(line.split("=", 1) for line in head.decode().splitlines()), "body": body}


def own_address():
    """An IPv4 address of this machine that is not loopback; None: it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                found = fcntl.ioctl(probe, 0x8915, struct.pack("256s", name.encode()))  # SIOCGIFADDR
            except OSError:
                continue
            address = socket.inet_ntoa(found[20:24])
            if not address.startswith("127."):
                return address
    return None


def audits(daemon, after=0):
    """The text after `area=audit ts=… level=info ` in the lines that doc/grafana.md's grep finds."""
    return [line.split(" level=info ", 1)[1] for line in daemon.log_lines()[after:] if re.match("area=audit ", line)]

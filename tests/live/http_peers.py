# SPDX-License-Identifier: Apache-2.0
"""Servers for the tests of the plugin http: nginx with a site of many answers, and one that sends what a test sets, byte by byte.

    web = site(nginx, certs)          # web.url, web.tls_url (HTTP/1.1 and HTTP/2), web.other_url: the same on another host
    raw = RawHttp({"/half": (b"HTTP/1.1 200 OK\\r\\n", "hang")})     # what it sends, and what it does then: hang, close, reset, keep
    raw.requests                      # what it was sent, in order: bytes
"""
import pathlib
import re
import socket
import struct

from double import Double
from harness import free_port

SITE = """
gzip on; gzip_types *; gzip_min_length 1; gzip_http_version 1.0;
server {{
	listen 127.0.0.1:{port}; listen 127.0.0.1:{other}; listen [::1]:{port};
	listen 127.0.0.1:{tls} ssl http2; ssl_certificate {folder}/pem; ssl_certificate_key {folder}/key;
	keepalive_requests 100000; root {folder}/www; auth_basic_user_file {folder}/users;
	location = / {{ return 200 'ready'; }}
	location = /json {{ return 200 '{{"status": "ok", "queue": 42, "parts": [{{"name": "db", "up": true}}]}}'; }}
	location = /404 {{ return 404; }}
	location = /500 {{ return 500 'geheim'; }}
	location = /503 {{ return 503; }}
	location = /same {{ return 301 /json; }}
	location = /other {{ return 302 http://localhost:{other}/headers; }}
	location = /port {{ return 302 http://127.0.0.1:{other}/headers; }}
	location = /up {{ return 301 https://127.0.0.1:{tls}/headers; }}
	location = /down {{ return 301 http://127.0.0.1:{port}/headers; }}
	location = /user {{ return 302 http://geheim:geheim@localhost:{other}/headers; }}
	location = /loop {{ return 302 /loop; }}
	location = /file {{ return 302 file:///etc/passwd; }}
	location = /nowhere {{ return 302 http://localhost:1/; }}
	location = /kept {{ return 307 http://localhost:{other}/headers; }}
	location = /headers {{ default_type text/plain;
		return 200 'method=$request_method auth=$http_authorization cookie=$http_cookie key=$http_x_key host=$host agent=$http_user_agent '; }}
	location = /basic {{ auth_basic geheim; try_files /page =404; }}
	location = /forbidden {{ return 403; }}
	location = /large {{ try_files /large =404; }}
}}
"""


class Site:
    def __init__(self, nginx, certs, certificate="good", user="monitor", password="geheim-pw"):
        self.certs = certs
        self.port, self.tls, self.other = free_port(), free_port(), free_port()
        self.folder = pathlib.Path(certs.ca).parent / f"site-{self.port}"
        (self.folder / "www").mkdir(parents=True)
        (self.folder / "www" / "page").write_text("the page\n")
        (self.folder / "www" / "large").write_bytes(b"large " * 400000)
        (self.folder / "users").write_text(f"{user}:{{PLAIN}}{password}\n")
        self.certificate(certificate)
        for path in (self.folder, *self.folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        self.start = lambda: nginx(SITE.format(port=self.port, tls=self.tls, other=self.other, folder=self.folder), self.port)
        self.server = self.start()
        self.url, self.place = f"http://127.0.0.1:{self.port}", f"127.0.0.1:{self.port}"
        self.tls_url, self.tls_place = f"https://127.0.0.1:{self.tls}", f"127.0.0.1:{self.tls}"

    def certificate(self, name):
        self.certs.copy(name, self.folder / "pem", self.folder / "key")


class RawHttp(Double):
    """Takes connections and answers the requests on them as `answers` has it, by path; "*" is for all others."""

    name = "raw_http"

    OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    def __init__(self, answers=None, address="127.0.0.1", port=0, family=socket.AF_INET):
        self.answers = {"*": (self.OK, "keep"), **(answers or {})}
        self.requests, self.connections = [], 0
        super().__init__(address=address, port=port, family=family)
        self.place = self.address
        self.url = f"http://{self.place}"

    def serve(self, connection):
        self.connections += 1
        rest = b""
        while True:
            while b"\r\n\r\n" not in rest:
                more = connection.recv(65536)
                if not more:
                    return
                rest += more
            head, rest = rest.split(b"\r\n\r\n", 1)
            self.requests.append(head)
            rest = rest[int((re.search(rb"(?i)^content-length: (\d+)", head, re.M) or [0, 0])[1]):]
            path = head.split(b" ")[1].decode()
            answer, then = self.answers.get(path.split("?")[0], self.answers["*"])
            connection.sendall(answer)
            if then == "keep":
                continue
            if then == "hang":
                while connection.recv(65536):
                    pass
            if then == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return


class Silent:
    """Its kernel takes connections; nothing ever reads them."""

    name = "silent"

    def __init__(self, backlog=1024):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def close(self):
        self.listener.close()

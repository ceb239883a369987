# SPDX-License-Identifier: Apache-2.0
"""A real Redis for the live tests.

    server = Redis(requirepass="word", maxmemory="3mb")      # settings as in redis.conf; "_" in a name stands for "-"
    server.command("set", "a", "1") -> "OK"                  # over its Unix socket, as the first user; an error raises RedisError
    server.url(password="word", user="", scheme="redis", database=None)
    server.stop(); server.start(port again); server.pause(); server.resume(); server.close()
    Redis(tls=certs)                                          # TLS too, on .tls_port, with the certificate `good`; .present("expired")

Fake(answers) is something else at a port: what it says to each thing that it reads is a table. Relay(port) is a line to a real server
that can be slow, or be cut. For the tests of the check: fixtures redis and fake (any number of each), part, config, cell, value.
"""
import contextlib
import socket
import threading
import time

import pytest

import truth
from harness import SLOW, Server, end_process, free_port, need, wait_until

SECRET = "geheim-pw"
TIMEOUT = 1.0


class RedisError(Exception):
    pass


class Redis(Server):
    name = "redis"

    def __init__(self, tls=None, program=None, **settings):
        """program: another server than Debian's, or a list of words behind it: a config file and more."""
        super().__init__()
        self.program = program if isinstance(program, list) else []
        self.binary = program if program is not None and not self.program else need("redis-server")
        self.port = free_port()
        self.tls, self.tls_port = tls, free_port() if tls else 0
        self.socket = self.folder.path / "redis.sock"
        self.settings = settings
        if tls:
            self.present("good")
        self.start()

    def present(self, name):
        """The certificate that counts from the next start on."""
        self.tls.copy(name, self.folder.path / "server.pem", self.folder.path / "server.key")

    def start(self, **settings):
        """Starts it (again) at the same port; settings are kept for later starts."""
        self.settings.update(settings)
        words = {"port": self.port, "bind": "127.0.0.1", "unixsocket": self.socket, "save": "", "dir": self.folder.path,
                 "repl_diskless_sync_delay": 0}
        if self.tls:
            words |= {"tls_port": self.tls_port, "tls_cert_file": self.folder.path / "server.pem",
                      "tls_key_file": self.folder.path / "server.key", "tls_ca_cert_file": self.tls.ca, "tls_auth_clients": "no"}
        command = [self.binary, *self.program]
        for key, value in {**words, **self.settings}.items():
            command += [f"--{key.replace('_', '-')}", *(value if isinstance(value, list) else [value])]
        self.launch(command)
        wait_until(self._answers, 20, "Redis to answer")

    def _answers(self):
        if self.process.poll() is not None:
            pytest.fail(self.log.read_text()[-2000:])
        try:
            return self.command("ping") == "PONG"
        except RedisError as error:
            return str(error).startswith("LOADING")

    def stop(self):
        """At once, without saving; returns when the process is gone."""
        self.process.kill()
        self.process.wait()
        self.socket.unlink(missing_ok=True)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.resume()
            end_process(self.process)
        self.folder.remove()

    def url(self, user="", password="", scheme="redis", database=None):
        info = f"{user}:{password}@" if user or password else ""
        port = self.tls_port if scheme in ("rediss", "valkeys") else self.port
        return f"{scheme}://{info}127.0.0.1:{port}" + (f"/{database}" if database is not None else "")

    def command(self, *words, timeout=10):
        """One command and its answer, over the Unix socket; with `requirepass` or a `user default` line it logs in first."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(timeout)
            link.connect(str(self.socket))
            stream = link.makefile("rb")
            if "requirepass" in self.settings:
                self._ask(link, stream, ["auth", self.settings["requirepass"]])
            return self._ask(link, stream, words)

    @contextlib.contextmanager
    def staying(self):
        """A connection that stays: a function as `command`, for when no other would be let in."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(10)
            link.connect(str(self.socket))
            stream = link.makefile("rb")
            yield lambda *words: self._ask(link, stream, words)

    def _ask(self, link, stream, words):
        parts = [str(word).encode() for word in words]
        link.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        return self._read(stream)

    def _read(self, stream):
        line = stream.readline().decode().rstrip("\r\n")
        if not line:
            raise OSError("Redis closed the connection")
        kind, rest = line[0], line[1:]
        if kind == "-":
            raise RedisError(rest)
        if kind == ":":
            return int(rest)
        if kind == "$":
            return None if rest == "-1" else stream.read(int(rest) + 2)[:-2].decode(errors="replace")
        if kind == "*":
            return [self._read(stream) for _ in range(int(rest))]
        return rest

    def clients(self):
        """Connections over TCP, by the server's own list."""
        return [line for line in self.command("client", "list").splitlines() if f"laddr=127.0.0.1:" in line]


class Fake:
    """Not Redis: for each connection, each chunk that is read is answered by the next of `answers` (bytes; the last one again and
    again); None closes. It listens at `host`. hang: after the last answer it says nothing more. greet: said before anything is read."""

    def __init__(self, *answers, hang=False, greet=None, host="127.0.0.1"):
        self.answers, self.hang, self.greet = answers, hang, greet
        self.listener = socket.create_server((host, 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.kept, self.got = [], []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            self.kept.append(link)
            threading.Thread(target=self._serve, args=[link], daemon=True).start()

    def _serve(self, link):
        try:
            link.settimeout(30)
            if self.greet is not None:
                link.sendall(self.greet)
            for number in range(1 << 30):
                chunk = link.recv(65536)
                if not chunk:
                    break
                self.got.append(chunk)
                if self.hang and number >= len(self.answers):
                    continue
                answer = self.answers[min(number, len(self.answers) - 1)] if self.answers else None
                if answer is None:
                    break
                if callable(answer):
                    answer(link)
                else:
                    link.sendall(answer)
        except OSError:
            pass
        link.close()

    def url(self, info="", scheme="redis"):
        return f"{scheme}://{info}127.0.0.1:{self.port}"

    def close(self):
        self.listener.close()
        for link in self.kept:
            link.close()


class Relay:
    """A line between skymon and the real server: it can be slow, or be cut when a question comes."""

    def __init__(self, port):
        self.target, self.delay, self.cut = port, 0.0, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            threading.Thread(target=self._pump, args=[near, far, True], daemon=True).start()
            threading.Thread(target=self._pump, args=[far, near, False], daemon=True).start()

    def _pump(self, source, to, questions):
        try:
            while chunk := source.recv(65536):
                if questions and self.cut:
                    self.cut = False
                    break
                if questions:
                    time.sleep(self.delay)
                to.sendall(chunk)
        except OSError:
            pass
        for end in (source, to):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()


# ---- For the tests of the check ----

@pytest.fixture
def redis():
    """redis(**settings) starts a server for this test alone."""
    started = []

    def start(**settings):
        started.append(Redis(**settings))
        return started[-1]

    yield start
    for server in reversed(started):
        server.close()


@pytest.fixture
def fake():
    started = []

    def start(*answers, **options):
        started.append(Fake(*answers, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


def part(url, **options):
    return {"plugin": "cache", "interval": "300ms", "timeout": f"{TIMEOUT * SLOW:g}s", "url": url, **options}


def config(**components):
    return {"plugins": {"prometheus": {}}, "components": components}


def cell(fault, sm, status, reason, *words, name="c", since=None, secrets=()):
    """One cell of the truth table; and the sentence was the check's own, not the daemon's at the deadline."""
    return truth.cell("cache", fault, sm, name, status=status, reason=reason, words=words, since=since, secrets=[SECRET, *secrets],
                      longest=truth.given(sm, name, "timeout", "5s") * 1000)  # as it was when the config was written


def value(sm, series):
    """The one value of a family (or of one series of it) in the exposition, or None."""
    found = [line.rsplit(" ", 1)[1] for line in sm.metrics().splitlines() if line.startswith((series + "{", series + " "))]
    assert len(found) <= 1, found
    return float(found[0]) if found else None


def connects(sm, name="c"):
    """How often the check has connected."""
    return value(sm, f'skymon_cache_connects_total{{component="{name}"}}')

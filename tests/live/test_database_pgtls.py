# SPDX-License-Identifier: Apache-2.0
"""database: the way to another machine. TLS is verified unless the configuration says otherwise, a password in clear is refused, and
each connection says how it is protected. The other machine is an address of this one that is not loopback."""
import socket
import threading

import pytest

from harness import family_values, wait_until
from test_database import SECRET, config, expect, message, part

REQUEST_TLS = b"\x04\xd2\x16\x2f"


def request(kind, rest=b""):
    return message(b"R", kind.to_bytes(4, "big") + rest)


SASL, CLEARTEXT, MD5 = request(10, b"SCRAM-SHA-256\0\0"), request(3), request(5, b"salt")


class Liar:
    """Says no to TLS, then sends `asks` piece by piece, and keeps all that comes back. With `context` it says yes, and speaks TLS."""

    def __init__(self, host, *asks, context=None):
        self.asks, self.context, self.got, self.links = asks, context, [], []
        self.listener = socket.create_server((host, 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            self.links.append(link)
            threading.Thread(target=self._serve, args=[link], daemon=True).start()

    def _serve(self, link):
        try:
            link.settimeout(20)
            start = link.recv(4096)
            if start[4:8] == REQUEST_TLS:
                link.sendall(b"S" if self.context else b"N")
                if self.context:
                    link = self.context.wrap_socket(link, server_side=True)
                    self.links.append(link)
                link.recv(4096)
            for piece in self.asks:
                link.sendall(piece)
                self.got.append(link.recv(4096))
            link.close()
        except OSError:
            pass

    def close(self):
        for one in [self.listener, *self.links]:
            one.close()


@pytest.fixture
def liar():
    started = []

    def start(*words, **options):
        started.append(Liar(*words, **options))
        return started[-1]
    yield start
    for one in started:
        one.close()


def test_a_password_in_clear(skymond, liar, elsewhere, certs):
    """By default nothing is sent to a server without TLS. sslmode in the URL is obeyed, and the password is kept back all the same when it
    is asked for in clear; on this machine, to a verified server, and with insecure it is sent."""
    import ssl
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.pem("good"), certs.key("good"))
    tls = {"ca_file": certs.ca, "server_name": "good.test"}
    cases = {  # mode, tls block, host, TLS, what is asked: reason, words, whether the password is sent
        "plain": ("", {}, elsewhere, False, [CLEARTEXT], "tls_other", "has no TLS; to another machine TLS is verified by default", False),
        "untrusted": ("", {}, elsewhere, True, [CLEARTEXT], "tls_untrusted", "by default", False),
        "prefer": ("?sslmode=prefer", {}, elsewhere, False, [CLEARTEXT], "auth_failed", "in clear", False),
        "disable": ("?sslmode=disable", {}, elsewhere, False, [CLEARTEXT], "auth_failed", "in clear", False),
        "require": ("?sslmode=require", {}, elsewhere, True, [CLEARTEXT], "auth_failed", "in clear", False),
        "block": ("", {"ca_file": certs.ca}, elsewhere, False, [CLEARTEXT], "tls_other", "has no TLS", False),
        "together": ("?sslmode=prefer", {}, elsewhere, False, [SASL + CLEARTEXT], "auth_failed", "in clear", False),
        "after": ("?sslmode=prefer", {}, elsewhere, False, [SASL, CLEARTEXT], "auth_failed", "in clear", False),
        "pieces": ("?sslmode=prefer", {}, elsewhere, False, [CLEARTEXT[:1]], "timeout", "", False),
        "allowed": ("?sslmode=prefer", {"insecure": True}, elsewhere, False, [CLEARTEXT], "protocol", "closed", True),
        "any": ("", {"insecure": True}, elsewhere, True, [CLEARTEXT], "protocol", "closed", True),
        "verified": ("", tls, elsewhere, True, [CLEARTEXT], "protocol", "closed", True),
        "local": ("", {}, "127.0.0.1", False, [CLEARTEXT], "protocol", "closed", True),
    }
    liars, parts = {}, {}
    for name, (mode, block, host, secure, asks, *_) in cases.items():
        liars[name] = liar(host, *asks, context=context if secure else None)
        parts[name] = part(f"postgresql://bob:{SECRET}@{host}:{liars[name].port}/x{mode}", tls=block)
    sm = skymond(config(parts))
    for name, (_, _, _, _, _, reason, words, sent) in cases.items():
        expect(sm, "unhealthy", reason, words, name=name, fault=f"password in clear: {name}")
        assert any(SECRET.encode() in got for got in liars[name].got) == sent, (name, liars[name].got)


def test_what_is_said_of_each_connection(skymond, fresh_postgres, elsewhere, certs):
    pg = fresh_postgres(listen_addresses=f"127.0.0.1,{elsewhere}")
    with open(pg.data / "pg_hba.conf", "a") as file:
        file.write(f"host all all {elsewhere}/32 scram-sha-256\n")
    certs.copy("good", pg.data / "server.pem", pg.data / "server.key", user="postgres")
    pg.stop("fast")
    pg.start(ssl="on", ssl_cert_file="server.pem", ssl_key_file="server.key")
    far, near = pg.url(host=elsewhere), pg.url()
    named = {"ca_file": certs.ca, "server_name": "good.test"}
    cases = {
        "default": (far, {}, None, "remote"),  # the system does not know the authority
        "named": (far, named, "verified", "remote"),
        "full": (far + f"?sslmode=verify-full&sslrootcert={certs.ca}", {"server_name": "good.test"}, "verified", "remote"),
        "ca": (far + f"?sslmode=verify-ca&sslrootcert={certs.ca}", {}, "unverified", "remote"),
        "require": (far + "?sslmode=require", {}, "unverified", "remote"),
        "prefer": (far + "?sslmode=prefer", {}, "unverified", "remote"),
        "insecure": (far, {"insecure": True}, "unverified", "remote"),
        "disable": (far + "?sslmode=disable", {}, "none", "remote"),
        "near": (near, {}, "unverified", "local"),
        "near-named": (near, {"ca_file": certs.ca}, "verified", "local"),
        "socket": (f"postgresql://postgres@/postgres?host={pg.folder.path}&port={pg.port}", {}, "none", "local"),
    }
    sm = skymond(config({name: part(url, tls=block) for name, (url, block, _, _) in cases.items()}))
    for name, (_, _, tls, peer) in cases.items():
        if tls is None:
            expect(sm, "unhealthy", "tls_untrusted", "by default", "sslmode", name=name, fault="certificate unknown to the system")
            continue
        details = expect(sm, "healthy", "ok", name=name)["details"]
        assert details["tls"] == tls and (28 < details.get("certificate_days", 0) < 31) == (tls != "none"), (name, details)
        wait_until(lambda: family_values(sm, "skymon_component_tls").get(f'{{component="{name}",peer="{peer}",tls="{tls}"}}') == 1, 5, name)

# SPDX-License-Identifier: Apache-2.0
"""The check `certificate` against real TLS servers (openssl s_server, nginx with a staple, PostgreSQL) and files: each certificate that a
client would refuse is refused for its own reason, and its dates are shown all the same."""
import datetime
import os
import shutil
import socket
import ssl
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

import truth
from conftest import factory
from double import Double
from harness import Folder, Server, free_port, need, wait_until

BASE = {"plugin": "certificate", "interval": "300ms", "timeout": "2s"}


class TlsServer(Server):
    """openssl s_server. certificate: a file, or a list of the leaf's and its chain's; key; more: further words."""

    name = "tls_server"

    def __init__(self, certificate, key, *more, host="127.0.0.1"):
        super().__init__()
        self.port, self.host = free_port(), host
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.start(certificate, key, *more)

    def start(self, certificate, key, *more):
        leaf, *chain = certificate if isinstance(certificate, list) else [certificate]
        if chain:
            more += ("-cert_chain", chain[0])
        self.launch([need("openssl"), "s_server", "-accept", self.address, "-cert", leaf, "-key", key, "-quiet", "-naccept", "100000", *more])
        self.wait_port_of(self.host)

    def wait_port_of(self, host):
        def look():
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            with socket.create_connection((host, self.port), timeout=1):
                return True
        wait_until(look, 20, "s_server")

    def stop(self):
        self.resume()
        self.process.kill()
        self.process.wait()

    def restart(self, certificate, key, *more):
        self.stop()
        self.start(certificate, key, *more)


tls_server = factory(TlsServer)
double = factory(Double)


def component(certs, address, **more):
    return {**BASE, "address": address, "tls": {"ca_file": certs.ca}, **more}


def test_each_certificate(skymond, certs, tls_server):
    """One port, and behind it a certificate of each kind in turn; then stopped, frozen, and back."""
    server = tls_server(certs.pem("good"), certs.key("good"))
    sm = skymond({"components": {"web": component(certs, server.address, warn={"certificate_days": "<21"}),
                                 "blind": component(certs, server.address, tls={"insecure": True})}})
    found = sm.wait_component("web", status="healthy")
    assert found["details"]["tls"] == "verified" and found["details"]["subject"] == "CN=good" and "good.test" in found["details"]["names"]
    assert 29 < found["details"]["certificate_days"] <= 30 and found["details"]["chain_length"] == 2
    assert 29 < found["numbers"]["certificate_days"] <= 30 and 29 < found["numbers"]["chain_days"] <= 30
    assert f"{server.address}: CN=good is valid for " in found["message"]

    def cell(kind, reason, words, status="unhealthy"):
        server.restart(certs.pem(kind), certs.key(kind))
        return truth.cell("certificate", f"certificate: {kind}", sm, "web", status=status, reason=reason, words=words)
    found = cell("expired", "tls_expired", "expired at 20")
    assert -1.2 < found["details"]["certificate_days"] <= -1 and found["details"]["tls"] == "verified"  # its chain and name are good
    sm.wait_component("blind", status="unhealthy", reason="tls_expired")  # it may have met the restart
    found = cell("early", "tls_expired", "is not valid before 20")
    found = cell("wrong_name", "tls_untrusted", ["not for the name 127.0.0.1", "else.test"])
    assert found["details"]["tls"] == "unverified"
    sm.wait_component("blind", status="healthy")
    found = cell("untrusted", "tls_untrusted", ["CN=skymon test other_ca", "neither trusted nor in the chain"])
    certs.brief(20 * 86400)
    found = cell("brief", "threshold_warn", "below the limit", status="degraded")
    assert 19.9 < found["numbers"]["certificate_days"] <= 20
    server.stop()
    truth.cell("certificate", "stopped", sm, "web", status="unhealthy", reason="refused")
    server.start(certs.pem("good"), certs.key("good"))
    truth.cell("certificate", "back to normal", sm, "web", status="healthy", reason="ok")
    server.pause()
    truth.cell("certificate", "frozen", sm, "web", status="unhealthy", reason="timeout")
    server.resume()
    truth.cell("certificate", "back to normal", sm, "web", status="healthy", reason="ok")


# ---- Chains and staples, made here: openssl's command has no past ----

def now(days=0.0):
    return datetime.datetime.utcnow() + datetime.timedelta(days=days)


class Maker:
    """Signs what a test needs with the authority `ca` of certs."""

    def __init__(self, certs, folder):
        self.folder = folder
        self.ca = x509.load_pem_x509_certificate(open(certs.ca, "rb").read())
        self.ca_key = serialization.load_pem_private_key(open(certs.key("ca"), "rb").read(), None)
        self.key = serialization.load_pem_private_key(open(certs.key("good"), "rb").read(), None)
        self.key_file = certs.key("good")

    def make(self, name, issuer=None, issuer_key=None, ends=30.0, authority=False, extension=None):
        issuer, subject = issuer or self.ca, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(issuer.subject, subject, self.key.public_key(), x509.random_serial_number(), now(-60), now(ends))
        builder = builder.add_extension(x509.BasicConstraints(authority, None), True)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        if extension is not None:
            builder = builder.add_extension(extension, False)
        return builder.sign(issuer_key or self.ca_key, hashes.SHA256())

    def write(self, name, *certificates):
        path = self.folder / name
        path.write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates))
        return str(path)

    def staple(self, name, of, status=ocsp.OCSPCertStatus.GOOD, made=-0.1, ends=5.0, digest=None, signer=None):
        """signer: another than the authority, with maker's key."""
        revoked = status == ocsp.OCSPCertStatus.REVOKED
        builder = ocsp.OCSPResponseBuilder().add_response(
            of, self.ca, digest or hashes.SHA1(), status, now(made), now(ends), now(-1) if revoked else None,
            x509.ReasonFlags.key_compromise if revoked else None).responder_id(ocsp.OCSPResponderEncoding.HASH, signer or self.ca)
        path = self.folder / name
        path.write_bytes(builder.sign(self.ca_key if signer is None else self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER))
        return str(path)


def test_chains(skymond, certs, tls_server, tmp_path):
    maker = Maker(certs, tmp_path)
    middle = maker.make("middle", authority=True, ends=10)
    old = maker.make("middle", authority=True, ends=-2)
    leaf = maker.make("localhost", issuer=middle, issuer_key=maker.key)
    leaf_file, middle_file, old_file = (maker.write(f"{name}.pem", one) for name, one in (("leaf", leaf), ("middle", middle), ("old", old)))
    own = maker.write("own.pem", maker.make("localhost", issuer=maker.make("localhost"), issuer_key=maker.key))
    server = tls_server([leaf_file, middle_file], maker.key_file)
    sm = skymond({"components": {"web": component(certs, f"localhost:{server.port}", crit={"chain_days": "<0"}),
                                 "named": component(certs, server.address, tls={"ca_file": certs.ca, "server_name": "localhost"})}})
    found = sm.wait_component("web", status="healthy")
    assert 29 < found["numbers"]["certificate_days"] and 9.9 < found["numbers"]["chain_days"] <= 10
    assert "of its chain CN=middle for " in found["message"] and found["details"]["first_to_end"] == "CN=middle"
    sm.wait_component("named", status="healthy")
    server.restart(leaf_file, maker.key_file)
    truth.cell("certificate", "missing intermediate", sm, "web", status="unhealthy", reason="tls_untrusted", words="missing intermediate")
    server.restart([leaf_file, old_file], maker.key_file)
    truth.cell("certificate", "expired intermediate", sm, "web", status="unhealthy", reason="tls_expired", words="a certificate of the chain, CN=middle")
    server.restart(own, maker.key_file)
    truth.cell("certificate", "self-signed", sm, "web", status="unhealthy", reason="tls_untrusted", words="self-signed")
    # a chain file with what clients need not have does not count
    extra = maker.write("extra.pem", middle, maker.make("unused", authority=True, ends=-5))
    server.restart([leaf_file, extra], maker.key_file)
    sm.wait_component("web", status="healthy")


STAPLES = {  # name: (arguments of Maker.staple, the detail, status, reason, words)
    "good": ({}, "good", "healthy", "ok", "valid for"),
    "named by SHA-256": ({"digest": hashes.SHA256()}, "good", "healthy", "ok", "valid for"),
    "revoked": ({"status": ocsp.OCSPCertStatus.REVOKED}, "revoked", "unhealthy", "tls_untrusted", "was revoked at 20"),
    "unknown": ({"status": ocsp.OCSPCertStatus.UNKNOWN}, "unknown", "unhealthy", "tls_other", "does not know the certificate"),
    "expired": ({"made": -9, "ends": -2}, "expired", "unhealthy", "tls_expired", "it expired at"),
    "of the future": ({"made": 1, "ends": 2}, "expired", "unhealthy", "tls_expired", "it was made at"),
}


@pytest.mark.asan
def test_staples(skymond, certs, tls_server, nginx, tmp_path):
    maker = Maker(certs, tmp_path)
    leaf, other = maker.make("localhost"), maker.make("localhost")
    leaf_file, good = maker.write("leaf.pem", leaf), maker.staple("first.der", leaf)
    server = tls_server(leaf_file, maker.key_file, "-status_file", good)
    address = f"localhost:{server.port}"
    sm = skymond({"components": {"web": component(certs, address), "required": component(certs, address, staple="require"),
                                 "ignored": component(certs, address, staple="ignore")}})
    for name, (arguments, word, status, reason, words) in STAPLES.items():
        server.restart(leaf_file, maker.key_file, "-status_file", maker.staple(f"{name}.der", leaf, **arguments))
        truth.cell("certificate", f"staple: {name}", sm, "web", status=status, reason=reason, words=words)
        wait_until(lambda: sm.component("web")["details"]["staple"] == word, 10, f"the staple to be {word}")
    wrong = {"another's": maker.staple("other.der", other), "signed by another": maker.staple("key.der", leaf, signer=other)}
    for name, path in wrong.items():
        server.restart(leaf_file, maker.key_file, "-status_file", path)
        found = truth.cell("certificate", f"staple: {name}", sm, "web", status="unhealthy", reason="tls_other", words="the OCSP staple")
        assert found["details"]["staple"] == "invalid"
    sm.wait_component("ignored", status="healthy")
    assert "staple" not in sm.component("ignored")["details"]
    server.restart(leaf_file, maker.key_file)
    sm.wait_component("web", status="healthy")
    assert sm.component("web")["details"]["staple"] == "none"
    truth.cell("certificate", "no staple", sm, "required", status="unhealthy", reason="tls_other", words="sends no OCSP staple")
    # a certificate that demands one
    must = maker.make("localhost", extension=x509.TLSFeature([x509.TLSFeatureType.status_request]))
    server.restart(maker.write("must.pem", must), maker.key_file)
    truth.cell("certificate", "no staple, which the certificate demands", sm, "web", status="unhealthy", reason="tls_other",
               words="which the certificate demands")
    # as nginx sends it
    port = free_port()
    nginx(f"server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {leaf_file}; ssl_certificate_key {maker.key_file};"
          f" ssl_stapling on; ssl_stapling_file {good}; }}", port)
    sm = skymond({"components": {"web": component(certs, f"localhost:{port}", staple="require")}})
    found = sm.wait_component("web", status="healthy")
    assert 8000 < found["numbers"]["staple_age"] < 9500 and 4.9 * 86400 < found["numbers"]["staple_left"] < 5 * 86400


def test_versions_clients_and_addresses(skymond, certs, tls_server):
    """TLS 1.2, IPv6, a server that asks for a certificate, and one without a port."""
    good = certs.pem("good"), certs.key("good")
    old, six = tls_server(*good, "-tls1_2"), tls_server(*good, host="::1")
    asks = tls_server(*good, "-Verify", "2", "-verify_return_error", "-CAfile", certs.ca, "-tls1_2")
    client = {"ca_file": certs.ca, "cert_file": certs.pem("client"), "key_file": certs.key("client")}
    sm = skymond({"components": {"old": component(certs, old.address), "six": component(certs, six.address),
                                 "asks": component(certs, asks.address), "shows": component(certs, asks.address, tls=client)}})
    assert sm.wait_component("old", status="healthy")["details"]["version"] == "TLSv1.2"
    assert sm.wait_component("six", status="healthy")["details"]["peer"] == "::1"
    sm.wait_component("shows", status="healthy")
    assert sm.wait_component("asks", status="unhealthy")["reason"] == "tls_other"


def test_what_answers_is_not_tls(skymond, certs, double):
    held = []
    kinds = {"garbage": (lambda c: c.sendall(b"\x00garbage" * 100), "tls_other", "not TLS"),
             "plain HTTP": (lambda c: c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "tls_other", "not TLS"),
             "closes at once": (lambda c: c.close(), "protocol", "closed the connection"),
             "half a handshake, closed": (lambda c: (c.recv(9000), c.sendall(b"\x16\x03\x03\x00\x7a\x02\x00")), "protocol", "closed the connection"),
             "silence": (lambda c: (held.append(c), time.sleep(30)), "timeout", "in time")}
    servers = {name: double(serve) for name, (serve, _, _) in kinds.items()}
    sm = skymond({"components": {name.lower().replace(" ", "-").replace(",", ""): component(certs, server.address, timeout="500ms")
                                 for name, server in servers.items()}})
    for name, (_, reason, words) in kinds.items():
        truth.cell("certificate", name, sm, name.lower().replace(" ", "-").replace(",", ""), status="unhealthy", reason=reason, words=words, within=4)


def test_through_a_proxy(skymond, certs, tls_server, double):
    """The proxy is asked to CONNECT by name; one that refuses, and one that is not there."""
    server = tls_server(certs.pem("good"), certs.key("good"))
    asked = []

    def relay(connection):
        asked.append(connection.recv(4096).split(b"\r\n")[0])
        with socket.create_connection(("127.0.0.1", server.port)) as onward:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            pump = threading.Thread(target=copy, args=(connection, onward), daemon=True)
            pump.start()
            copy(onward, connection)

    def copy(source, to):
        try:
            while data := source.recv(65536):
                to.sendall(data)
        except OSError:
            pass

    proxies = {"through": double(relay).port, "refuses": double(lambda c: (c.recv(4096), c.sendall(b"HTTP/1.1 403 No\r\n\r\n"))).port,
               "gone": free_port()}
    sm = skymond({"components": {name: component(certs, "good.test:443", proxy=f"http://127.0.0.1:{port}") for name, port in proxies.items()}})
    assert sm.wait_component("through", status="healthy")["details"]["subject"] == "CN=good"
    assert asked[0] == b"CONNECT good.test:443 HTTP/1.1"
    assert sm.wait_component("refuses", status="unhealthy")["reason"] == "unreachable"
    truth.cell("certificate", "proxy stopped", sm, "gone", status="unhealthy", reason="refused", words="proxy")


# ---- STARTTLS ----

def lines(connection):
    file = connection.makefile("rb", buffering=0)
    return lambda: file.readline()


def smtp(connection):
    line = lines(connection)
    connection.sendall(b"220-mail\r\n220 mail ESMTP\r\n")
    assert line().startswith(b"EHLO ")
    connection.sendall(b"250-mail\r\n250-SIZE 1000\r\n250-STARTTLS\r\n250 HELP\r\n")
    assert line() == b"STARTTLS\r\n"
    connection.sendall(b"220 go ahead\r\n")


def imap(connection):
    line = lines(connection)
    connection.sendall(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n")
    assert line() == b"a STARTTLS\r\n"
    connection.sendall(b"a OK begin\r\n")


def pop3(connection):
    line = lines(connection)
    connection.sendall(b"+OK ready\r\n")
    assert line() == b"STLS\r\n"
    connection.sendall(b"+OK begin\r\n")


def ldap(connection):
    assert connection.recv(100) == b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
    connection.sendall(b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00")


def without(connection):
    line = lines(connection)
    connection.sendall(b"220 mail\r\n")
    line()
    connection.sendall(b"250 mail\r\n")
    line()


def test_starttls(skymond, certs, double, fresh_postgres):
    """The dialogs of four protocols, then real TLS; and a real PostgreSQL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.pem("good"), certs.key("good"))

    def after(dialog):
        def serve(connection):
            dialog(connection)
            with context.wrap_socket(connection, server_side=True) as tls:
                tls.recv(1)
        return serve
    dialogs = {"smtp": smtp, "imap": imap, "pop3": pop3, "ldap": ldap}
    parts = {name: component(certs, double(after(dialog)).address, starttls=name) for name, dialog in dialogs.items()}
    parts["without"] = component(certs, double(without).address, starttls="smtp")
    parts["wrong"] = component(certs, double(smtp).address, starttls="imap")
    server = fresh_postgres()
    certs.copy("good", server.data / "server.crt", server.data / "server.key", user="postgres")
    server.stop()
    server.start(ssl="on")
    parts["postgresql"] = component(certs, f"127.0.0.1:{server.port}", starttls="postgresql")
    sm = skymond({"components": parts})
    for name in [*dialogs, "postgresql"]:
        assert sm.wait_component(name, status="healthy")["details"]["subject"] == "CN=good"
    truth.cell("certificate", "STARTTLS not offered", sm, "without", status="unhealthy", reason="protocol", words="does not offer STARTTLS")
    truth.cell("certificate", "another protocol than `starttls`", sm, "wrong", status="unhealthy", reason="protocol", words="not IMAP")
    server.stop()
    server.start(ssl="off")
    truth.cell("certificate", "TLS switched off", sm, "postgresql", status="unhealthy", reason="protocol", words="refuses TLS")


# ---- Files ----

@pytest.mark.asan
def test_files(skymond, certs, tmp_path):
    maker = Maker(certs, tmp_path)
    middle = maker.make("middle", authority=True, ends=10)
    leaf = maker.make("localhost", issuer=middle, issuer_key=maker.key)
    one, two = tmp_path / "one.pem", tmp_path / "two.pem"

    def put(path, *certificates):
        """As certbot does: a new file in place of the old one."""
        os.rename(maker.write("new.pem", *certificates), path)
    put(one, leaf, middle)
    put(two, maker.make("localhost", ends=20))
    both = {**BASE, "files": [str(one), str(two)], "warn": {"chain_days": "<5"}}
    sm = skymond({"plugins": {"prometheus": {}}, "components": {
        "files": both, "chain": {**BASE, "files": str(one), "tls": {"ca_file": certs.ca, "server_name": "localhost"}},
        "name": {**BASE, "files": str(one), "tls": {"server_name": "else.test"}}}})
    found = sm.wait_component("files", status="healthy")
    assert f"{one}: CN=middle is valid for " in found["message"] and 19.9 < found["numbers"]["certificate_days"] <= 20
    assert 9.9 < found["numbers"]["chain_days"] <= 10 and found["details"]["files"] == 2
    assert f'skymon_certificate_file_days{{component="files",file="{two}"}} 19.9' in sm.metrics() or f'file="{two}"}} 20' in sm.metrics()
    assert sm.wait_component("chain", status="healthy")["details"]["subject"] == "CN=localhost"
    assert sm.wait_component("name", status="unhealthy")["reason"] == "tls_untrusted"
    put(one, leaf)
    truth.cell("certificate", "file: missing intermediate", sm, "chain", status="unhealthy", reason="tls_untrusted", words="missing intermediate",
               within=5)
    put(two, maker.make("localhost", ends=3))
    truth.cell("certificate", "file: replaced by one that ends soon", sm, "files", status="degraded", reason="threshold_warn", within=5)
    put(two, maker.make("localhost", ends=-3))
    truth.cell("certificate", "file: expired", sm, "files", status="unhealthy", reason="tls_expired", words=f"{two}: the certificate", within=5)
    two.unlink()
    truth.cell("certificate", "file: missing", sm, "files", status="unhealthy", reason="missing", words="no such file", within=5)
    two.write_text("no certificate\n")
    truth.cell("certificate", "file: not PEM", sm, "files", status="unhealthy", reason="wrong_value", words="holds no certificate", within=5)
    put(two, maker.make("localhost", ends=20))
    truth.cell("certificate", "file: back to normal", sm, "files", status="healthy", reason="ok", within=5)


@pytest.mark.skipif(os.geteuid() != 0, reason="the test starts as root")
def test_a_file_of_root(skymond, certs):
    """skymond's user may not read it, which says nothing about the certificate: unknown, and well once it may."""
    made = Folder("certificate")
    made.path.chmod(0o755)
    file = made.path / "one.pem"
    shutil.copy(certs.pem("good"), file)
    file.chmod(0o600)

    def opened():
        os.chmod(".", 0o755)
        os.chmod("skymond.yaml", 0o644)
    try:
        sm = skymond({"user": "nobody", "components": {"a": {**BASE, "files": str(file)}}}, preexec_fn=opened)
        truth.cell("certificate", "file: unreadable", sm, "a", status="unknown", reason="denied", words="Permission denied")
        file.chmod(0o644)
        sm.wait_component("a", status="healthy")
    finally:
        made.remove()


def test_what_is_not_a_file_of_certificates(skymond, certs, tmp_path):
    """The private key beside it is not shown, and a folder is not a file."""
    folder = tmp_path / "folder"
    folder.mkdir()
    sm = skymond({"components": {"folder": {**BASE, "files": str(folder)}, "key": {**BASE, "files": certs.key("good")}}})
    assert "not a regular file" in sm.wait_component("folder", status="unhealthy")["message"]
    assert "holds no certificate" in sm.wait_component("key", status="unhealthy")["message"]
    truth.hides(sm, [open(certs.key("good")).read().split("\n")[1]])

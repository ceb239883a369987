# SPDX-License-Identifier: Apache-2.0
"""Client certificates: which ones a listener takes, by chain, purpose, names, time and revocation; and what TLS it speaks. Certificates are made by
openssl, and openssl s_client asks."""
import datetime
import os
import re
import subprocess

import pytest

from harness import SLOW, need, run_skymond, wait_until
from test_http import ports, watched

CONFIG = """[req]
distinguished_name = nobody
[nobody]
[only]
database = {folder}/index
serial = {folder}/serial
crlnumber = {folder}/crlnumber
new_certs_dir = {folder}
default_md = sha256
policy = any
unique_subject = no
default_crl_days = 30
[any]
commonName = optional
organizationName = optional
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
[leaf]
basicConstraints = critical,CA:FALSE
"""
PURPOSE = "extendedKeyUsage = "


class Authority:
    """A CA in a folder, with a database that knows what it has revoked."""

    def __init__(self, folder, name, signed_by=None):
        self.folder, self.name = folder / name, name
        self.folder.mkdir()
        (self.folder / "index").touch()
        (self.folder / "serial").write_text("1000\n")
        (self.folder / "crlnumber").write_text("01\n")
        self.config = self.folder / "config"
        self.config.write_text(CONFIG.format(folder=self.folder))
        self.key = self.new_key("ca")
        self.pem = self.folder / "ca.pem"
        if signed_by is None:
            self.openssl("req", "-x509", "-new", "-config", self.config, "-extensions", "authority", "-key", self.key, "-subj", f"/CN={name}", "-days", "60",
                         "-out", self.pem)
        else:
            signed_by.leaf(name, section="authority", key=self.key, pem=self.pem)

    def openssl(self, *words):
        done = subprocess.run([need("openssl"), *map(str, words)], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def new_key(self, name):
        path = self.folder / f"{name}.key"
        self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
        return path

    def leaf(self, name, extensions="", begins=-1, ends=30, subject=None, section="leaf", key=None, pem=None):
        """(certificate, key) of these extensions, valid from and to these days."""
        key, pem = key or self.new_key(name), pem or self.folder / f"{name}.pem"
        request, config = self.folder / "request", self.folder / "leaf.config"
        config.write_text(self.config.read_text() + (extensions + "\n" if section == "leaf" else ""))
        self.openssl("req", "-new", "-config", self.config, "-key", key, "-subj", subject or f"/CN={name}", "-out", request)

        def day(offset):
            return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=offset)).strftime("%Y%m%d%H%M%SZ")
        if section == "authority":
            config.write_text(self.config.read_text())
        self.openssl("ca", "-batch", "-notext", "-config", config, "-name", "only", "-extensions", section, "-in", request, "-out", pem, "-keyfile", self.key,
                     "-cert", self.pem, "-startdate", day(begins), "-enddate", day(ends))
        return pem, key

    def revoke(self, pem):
        self.openssl("ca", "-config", self.config, "-name", "only", "-keyfile", self.key, "-cert", self.pem, "-revoke", pem)

    def crl(self, path, *more):
        draft = path.with_suffix(".draft")
        self.openssl("ca", "-config", self.config, "-name", "only", "-keyfile", self.key, "-cert", self.pem, "-gencrl", "-out", draft, *more)
        draft.rename(path)


class Clients:
    def __init__(self, folder):
        self.folder = folder
        self.ca, other = Authority(folder, "ca"), Authority(folder, "other")
        middle, gone = (Authority(folder, name, signed_by=self.ca) for name in ("middle", "gone"))
        leaf = self.ca.leaf
        self.server = leaf("server", "subjectAltName = IP:127.0.0.1\n" + PURPOSE + "serverAuth")
        names = "subjectAltName = DNS:prometheus.example, email:ops@example.org, URI:spiffe://example.org/prometheus, IP:192.0.2.9\n"
        self.made = {
            "clientAuth": leaf("client", PURPOSE + "clientAuth"), "no purpose": leaf("plain"), "any purpose": leaf("any", PURPOSE + "anyExtendedKeyUsage"),
            "both": leaf("both", PURPOSE + "serverAuth,clientAuth"), "serverAuth only": leaf("serveronly", PURPOSE + "serverAuth"),
            "serverAuth only, critical": leaf("servercrit", PURPOSE + "critical,serverAuth"), "another purpose": leaf("mail", PURPOSE + "emailProtection"),
            "expired": leaf("expired", PURPOSE + "clientAuth", -30, -1), "early": leaf("early", PURPOSE + "clientAuth", 1, 30),
            "revoked": leaf("revoked", PURPOSE + "clientAuth"), "another authority's": other.leaf("client", PURPOSE + "clientAuth"),
            "with names": leaf("cn.example", names + PURPOSE + "clientAuth"), "another name": leaf("eve", PURPOSE + "clientAuth"),
            "another SAN": leaf("san", "subjectAltName = DNS:evil.example\n" + PURPOSE + "clientAuth", subject="/CN=client"),
            "a wildcard": leaf("wild", "subjectAltName = DNS:*.example\n" + PURPOSE + "clientAuth"),
            "two common names": leaf("two", PURPOSE + "clientAuth", subject="/CN=eve/CN=client"),
            "by an intermediate": self.chained(middle, "leaf", PURPOSE + "clientAuth"),
            "serverAuth by an intermediate": self.chained(middle, "server", PURPOSE + "serverAuth"),
            "by a revoked intermediate": self.chained(gone, "leaf", PURPOSE + "clientAuth"), "self-signed": self.self_signed(),
        }
        for pem in (self.made["revoked"][0], gone.pem):
            self.ca.revoke(pem)
        self.crl = folder / "crl.pem"
        self.ca.crl(self.crl)
        self.other_crl = folder / "other-crl.pem"
        other.crl(self.other_crl)

    def chained(self, middle, name, extensions):
        pem, key = middle.leaf(name, extensions)
        whole = middle.folder / f"{name}-chain.pem"
        whole.write_text(pem.read_text() + middle.pem.read_text())
        return whole, key

    def self_signed(self):
        key, pem = self.ca.new_key("self"), self.folder / "self.pem"
        self.ca.openssl("req", "-x509", "-new", "-key", key, "-subj", "/CN=client", "-days", "30", "-addext", "extendedKeyUsage=clientAuth", "-out", pem)
        return pem, key


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    return Clients(tmp_path_factory.mktemp("clients"))


def config(clients, tmp_path, **tls):
    pem, key = clients.server
    tls = {"cert_file": str(pem), "key_file": str(key), "client_ca_file": str(clients.ca.pem), **tls}
    return watched(tmp_path, listen=["127.0.0.1:0", {"address": "127.0.0.1:0", "tls": tls}])


def start(skymond, clients, tmp_path, **tls):
    daemon = skymond(config(clients, tmp_path, **tls), listen=None)
    return daemon, tls_port(daemon)


def tls_port(daemon):
    return wait_until(lambda: len(found := ports(daemon)) == 2 and found[1], 5, "the second listener")


def s_client(port, *more, request=b"GET /api/v1/alive HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):
    """The output of openssl s_client, with the answer in it."""
    return subprocess.run([need("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof", *map(str, more)], input=request, capture_output=True,
                          timeout=30 * SLOW).stdout.decode(errors="replace")


def answer(port, pair):
    """(code, detail) that this client gets."""
    words = ["-cert", pair[0], "-cert_chain", pair[0], "-key", pair[1]] if pair else []
    text = s_client(port, *words, "-quiet")
    found = re.search(r"HTTP/1\.1 (\d+)", text)
    detail = re.search(r'"detail":"([^"]*)"', text)
    return int(found.group(1)) if found else 0, detail.group(1) if detail else ""


CHAIN = {"clientAuth": None, "no purpose": None, "any purpose": None, "both": None, "with names": None, "another name": None, "another SAN": None,
         "a wildcard": None, "two common names": None, "by an intermediate": None,
         "serverAuth only": "not for clients", "serverAuth only, critical": "not for clients", "another purpose": "not for clients",
         "serverAuth by an intermediate": "not for clients", "expired": "has expired", "early": "not valid yet", "another authority's": "no authority",
         "self-signed": "no authority"}


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_which_certificates_are_taken(skymond, clients, tmp_path, version):
    daemon, port = start(skymond, clients, tmp_path)
    for name, why in {**CHAIN, "revoked": None}.items():
        pem, key = clients.made[name]
        text = s_client(port, version, "-cert", pem, "-cert_chain", pem, "-key", key, "-quiet")
        assert ("HTTP/1.1 200 " if why is None else "HTTP/1.1 403 ") in text, (name, text)
        assert why is None or (why in text and "alive" not in text), (name, text)
    assert answer(port, None) == (403, "this listener needs a client certificate, and yours is refused: none was sent")
    line = daemon.wait_log("a client certificate was refused")
    assert re.match(r"area=access ts=\S+ level=warn client=127\.0\.0\.1 msg=", line), line
    # what is before the refused request on the connection is not answered, nor what is behind it
    pair = clients.made["serverAuth only"]
    twice = s_client(port, "-cert", pair[0], "-key", pair[1], "-quiet", request=b"GET /api/v1/alive HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    assert twice.count("HTTP/1.1 ") == 1 and "alive" not in twice


def test_revoked_ones(skymond, clients, tmp_path):
    """By a list that changes while it runs: a connection that is open is looked at again; a list that is too old refuses all."""
    crl = tmp_path / "crl.pem"
    crl.write_text(clients.crl.read_text())
    daemon, port = start(skymond, clients, tmp_path, client_crl_file=str(crl))
    for name, why in {**CHAIN, "revoked": "it is revoked", "by a revoked intermediate": "it is revoked"}.items():
        code, detail = answer(port, clients.made[name])
        assert code == (200 if why is None else 403) and (why or "") in detail, (name, code, detail)
    late = clients.ca.leaf("late", PURPOSE + "clientAuth")
    assert answer(port, late)[0] == 200
    pem, key = late
    kept = subprocess.Popen([need("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof", "-quiet", "-cert", str(pem), "-key", str(key)],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        kept.stdin.write(b"GET /api/v1/alive HTTP/1.1\r\nHost: x\r\n\r\n")
        kept.stdin.flush()
        assert kept.stdout.readline().startswith(b"HTTP/1.1 200 ")
        clients.ca.revoke(pem)
        clients.ca.crl(crl)
        daemon.wait_log("has a new certificate", timeout=20)
        kept.stdin.write(b"GET /api/v1/alive HTTP/1.1\r\nHost: x\r\n\r\n")
        kept.stdin.flush()
        rest = kept.stdout.read()
        assert b"HTTP/1.1 403 " in rest and b"it is revoked" in rest
    finally:
        kept.kill()
        kept.wait()
    assert answer(port, late) == (403, "this listener needs a client certificate, and yours is refused: it is revoked")
    mark = daemon.log_mark()
    clients.ca.crl(crl, "-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200201000000Z")
    daemon.hup()
    daemon.wait_log("has a new certificate", after=mark)
    code, detail = answer(port, clients.made["clientAuth"])
    assert code == 403 and "client_crl_file) has expired" in detail
    assert answer(port, clients.made["by an intermediate"])[0] == 403
    mark = daemon.log_mark()
    crl.write_text(clients.other_crl.read_text())  # of an authority that has no say here: the old list stays
    daemon.hup()
    assert "no authority of client_ca_file has signed" in daemon.wait_log("old certificate", after=mark)
    assert answer(port, clients.made["clientAuth"])[0] == 403


@pytest.mark.parametrize("names, taken", [
    (["client"], {"clientAuth"}), (["CLIENT"], set()), (["prometheus.example"], {"with names"}), (["Prometheus.EXAMPLE"], {"with names"}),
    (["ops@example.org"], {"with names"}), (["spiffe://example.org/prometheus"], {"with names"}), (["192.0.2.9"], {"with names"}), (["cn.example"], set()),
    (["plain", "eve"], {"no purpose", "another name"}), (["a.example"], set()), (["*.example"], {"a wildcard"}), (["prometheus"], set()),
    (["client", "prometheus.example"], {"clientAuth", "with names"}), (["serveronly", "expired"], set())])
def test_names(skymond, clients, tmp_path, names, taken):
    """A name of the certificate's SAN, or its common name if it has no SAN."""
    _, port = start(skymond, clients, tmp_path, client_names=names)
    for name in ("clientAuth", "no purpose", "with names", "another name", "another SAN", "a wildcard", "two common names", "serverAuth only", "expired",
                 "self-signed", "another authority's"):
        code, detail = answer(port, clients.made[name])
        assert code == (200 if name in taken else 403), (name, detail)
        assert name in taken or CHAIN[name] or "client_names" in detail, (name, detail)


@pytest.mark.parametrize("tls, says", [
    ({"client_crl_file": "nowhere.pem"}, "nowhere.pem"), ({"client_crl_file": "config"}, "a revocation list"), ({"client_ca_file": "config"}, "client_ca_file"),
    ({"client_crl_file": "other"}, "no authority of client_ca_file has signed")])
def test_files_that_cannot_be_used_are_no_start(skymond, clients, tmp_path, tls, says):
    places = {"nowhere.pem": tmp_path / "nowhere.pem", "config": clients.ca.config, "other": clients.other_crl}
    daemon = skymond(config(clients, tmp_path, **{key: str(places[value]) for key, value in tls.items()}), listen=None, wait=False)
    wait_until(lambda: daemon.process.poll() is not None, 10, "the end")
    daemon.output.join()
    assert daemon.process.returncode != 0 and says in daemon.log_text()
    daemon.stop(expect=None)


@pytest.mark.parametrize("more", [{"client_names": ["x"]}, {"client_crl_file": "/x"}])
def test_rules_without_an_authority_are_a_mistake(more):
    done = run_skymond({"listen": [{"address": ":0", "tls": {"cert_file": "/x", "key_file": "/x", **more}}]}, "--check-config")
    assert done.returncode == 2 and "need client_ca_file" in done.stderr


def test_what_is_printed_reads_back(clients, tmp_path):
    tls = {"client_names": ["a", "b"], "client_crl_file": str(clients.crl)}
    done = run_skymond({**config(clients, tmp_path, **tls)}, "--print-config")
    assert done.returncode == 0 and "client_names: [a, b]" in done.stdout and f"client_crl_file: {clients.crl}" in done.stdout


# ---- What TLS ----

@pytest.fixture(scope="module")
def rsa(tmp_path_factory):
    """A certificate with an RSA key, with which RSA key transport could be."""
    folder = tmp_path_factory.mktemp("rsa")
    subprocess.run([need("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "key", "-out", folder / "pem", "-days", "30", "-subj",
                    "/CN=localhost"], check=True, capture_output=True, timeout=60)
    return folder / "pem", folder / "key"


SPOKEN = [("-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"), ("-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"),
          ("-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"), ("-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"),
          ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"), ("-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"), ("-tls1_2",), ()]
REFUSED = [("-tls1", "-cipher", "ALL@SECLEVEL=0"), ("-tls1_1", "-cipher", "ALL@SECLEVEL=0"),
           *(("-tls1_2", "-cipher", f"{name}@SECLEVEL=0") for name in
             ("AES256-GCM-SHA384", "AES128-GCM-SHA256", "AES128-CCM", "AES256-SHA256", "AES128-SHA", "kRSA", "ECDHE-RSA-AES256-SHA384",
              "ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA", "ECDHE-RSA-AES128-SHA", "DHE-RSA-AES256-SHA256", "DHE-RSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256",
              "CAMELLIA256-SHA", "aNULL", "eNULL", "PSK", "ECDHE-RSA-NULL-SHA")),
           ("-tls1_2", "-sigalgs", "RSA+SHA1", "-cipher", "ALL@SECLEVEL=0")]


@pytest.mark.parametrize("words", SPOKEN + REFUSED, ids=" ".join)
def test_what_tls_is_spoken(skymond, rsa, tmp_path, words):
    tls = {"cert_file": str(rsa[0]), "key_file": str(rsa[1])}
    daemon = skymond(watched(tmp_path, listen=["127.0.0.1:0", {"address": "127.0.0.1:0", "tls": tls}]), listen=None)
    text = s_client(tls_port(daemon), *words)
    assert ("HTTP/1.1 200 " in text) == (words in SPOKEN), text
    assert daemon.get("/api/v1/alive").status_code == 200


@pytest.mark.skipif(os.environ.get("SKYMON_SANITIZED", "") != "", reason="s_client alone decides the time")
def test_no_renegotiation(skymond, rsa, tmp_path):
    """A client may not make the server do handshake after handshake on one connection."""
    tls = {"cert_file": str(rsa[0]), "key_file": str(rsa[1])}
    daemon = skymond(watched(tmp_path, listen=["127.0.0.1:0", {"address": "127.0.0.1:0", "tls": tls}]), listen=None)
    text = subprocess.run([need("openssl"), "s_client", "-connect", f"127.0.0.1:{tls_port(daemon)}", "-tls1_2"], input=b"R\nR\nR\n", capture_output=True,
                          timeout=30 * SLOW)
    assert b"RENEGOTIATING" in text.stdout + text.stderr
    assert daemon.get("/api/v1/alive").status_code == 200

# SPDX-License-Identifier: Apache-2.0
"""Certificates for the tests, made by openssl in a folder of their own.

    certs = Certs(tmp_path)          # or the fixture `certs`, made once for the session
    certs.ca                         # path of the authority that the configs of the tests trust (tls.ca_file)
    certs.other_ca                   # an authority that signed nothing of ours
    certs.pem("good"), certs.key("good")

    good        127.0.0.1, ::1, localhost and good.test; 30 days
    expired     the same names; ended yesterday
    brief       the same names; made again by certs.brief(seconds), and ends after them
    early       the same names; begins tomorrow
    wrong_name  else.test only
    example     db.example.com and skymon.example.com
    untrusted   the names of good, signed by other_ca
    client      for a client that has to show one (CN skymon), signed by ca
    client_untrusted, signed by other_ca
    chained     the same names; 30 days, under an authority of 10 days that the file holds too
certs.copy(name, pem_path, key_path) puts one where a server reads it (owner: as in `user`).
"""
import datetime
import os
import pathlib
import pwd
import shutil
import subprocess

from harness import need

NAMES = "IP:127.0.0.1,IP:::1,DNS:localhost,DNS:good.test"
LEAVES = {  # name: (authority, names, days from now: begins, ends)
    "good": ("ca", NAMES, -1, 30),
    "expired": ("ca", NAMES, -30, -1),
    "early": ("ca", NAMES, 1, 30),
    "wrong_name": ("ca", "DNS:else.test", -1, 30),
    "example": ("ca", "DNS:db.example.com,DNS:skymon.example.com", -1, 30),
    "untrusted": ("other_ca", NAMES, -1, 30),
    "client": ("ca", None, -1, 30),
    "client_untrusted": ("other_ca", None, -1, 30),
}
CONFIG = """[req]
distinguished_name = nobody
[nobody]
[leaf]
basicConstraints = critical,CA:FALSE
[authority]
default_ca = only
[only]
database = {folder}/index
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
unique_subject = no
copy_extensions = none
email_in_dn = no
[any]
commonName = supplied
"""


class Certs:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        for authority in ("ca", "other_ca"):
            self._new_key(authority)
            self._openssl("req", "-x509", "-key", self.key(authority), "-out", self.pem(authority), "-days", "60", "-subj",
                          f"/CN=skymon test {authority}", "-addext", "basicConstraints=critical,CA:TRUE", "-addext",
                          "keyUsage=critical,keyCertSign,cRLSign")
        for name, of in LEAVES.items():
            self._leaf(name, *of)
        self._leaf("middle", "ca", None, -1, 10, "basicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign\n")
        self._leaf("chained", "middle", NAMES, -1, 30)
        with open(self.pem("chained"), "a") as file:
            file.write(pathlib.Path(self.pem("middle")).read_text())
        self.ca, self.other_ca = self.pem("ca"), self.pem("other_ca")

    def brief(self, seconds):
        for path in (self.pem("brief"), self.key("brief")):
            pathlib.Path(path).unlink(missing_ok=True)
        self._leaf("brief", "ca", NAMES, -1, seconds / 86400)

    def pem(self, name):
        return str(self.folder / f"{name}.pem")

    def key(self, name):
        return str(self.folder / f"{name}.key")

    def copy(self, name, pem, key, user=None):
        for source, to in ((self.pem(name), pem), (self.key(name), key)):
            shutil.copy(source, to)
            if user is not None and os.geteuid() == 0:
                os.chown(to, pwd.getpwnam(user).pw_uid, -1)
            os.chmod(to, 0o600)

    def _openssl(self, *words):
        done = subprocess.run([need("openssl"), *map(str, words)], cwd=self.folder, capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr

    def _new_key(self, name):
        self._openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.key(name))
        os.chmod(self.key(name), 0o600)

    def _leaf(self, name, authority, names, begins, ends, extensions=None):
        work = self.folder / f"{name}.ca"  # openssl ca alone takes a beginning and an end; it wants a database
        work.mkdir()
        (work / "index").touch()
        (work / "serial").write_text(f"{10 + [*LEAVES, 'brief', 'middle', 'chained'].index(name):02x}\n")
        extensions = extensions or (f"subjectAltName = {names}\nextendedKeyUsage = serverAuth\n" if names else "extendedKeyUsage = clientAuth\n")
        config = work / "config"
        text = CONFIG if "basicConstraints" not in extensions else CONFIG.replace("basicConstraints = critical,CA:FALSE\n", "")
        config.write_text(text.format(folder=work).replace("[authority]", extensions + "[authority]"))
        self._new_key(name)
        request = work / "request"
        self._openssl("req", "-new", "-config", config, "-key", self.key(name), "-subj",
                      f"/CN={'skymon' if name.startswith('client') else name}", "-out", request)

        def day(offset):
            return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=offset)).strftime("%Y%m%d%H%M%SZ")
        self._openssl("ca", "-batch", "-notext", "-config", config, "-name", "only", "-extensions", "leaf", "-in", request, "-out",
                      self.pem(name), "-keyfile", self.key(authority), "-cert", self.pem(authority), "-startdate", day(begins),
                      "-enddate", day(ends))
        shutil.rmtree(work)

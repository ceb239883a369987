# SPDX-License-Identifier: Apache-2.0
"""OpenID providers. Light: node-oidc-provider, a real one that starts in half a second; ./dev fetches its packages into build/oidc, pinned by
tests/live/oidc/package-lock.json. Heavy: Keycloak, into build/keycloak; its tests are tests/live/test_keycloak.py.

    op = OidcProvider()                       # RS256 and ES256 keys, one client, JWT access tokens
    op = OidcProvider(alg=None, ttl=60)       # settings as in tests/live/oidc/provider.mjs: here opaque tokens
    op = OidcProvider(certificate=(pem, key)) # https
    op.issuer, op.client_id, op.client_secret, op.port
    op.token(resource="urn:alg:ES256")        # the token endpoint's JSON
    op.stop(); op.start(client_secret="new")  # the same port, new keys; settings are kept for later starts
    op.pause(); op.resume(); op.close()

    kc = Keycloak()                           # 10 to 60 s; one for the session
    kc.issuer(realm), kc.realm("main"), kc.client("main", "id", "secret"); kc.admin("PUT", "/realms/main", {…})
"""
import json
import os
import pathlib
import shutil

import pytest
import requests

from harness import SLOW, SOURCE, Server, end_process, free_port, need, wait_until

HERE = pathlib.Path(__file__).resolve().parent / "oidc"
MODULES = pathlib.Path(os.environ.get("OIDC_MODULES", SOURCE / "build" / "oidc"))
KEYCLOAK = pathlib.Path(os.environ.get("KEYCLOAK_HOME", SOURCE / "build" / "keycloak" / "home"))


def need_part(path, what):
    """Without it the test is skipped, under CI it fails."""
    if not path.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{what} is missing, and under CI nothing is skipped")
        pytest.skip(f"{what} is missing (./dev test fetches it)")


def without_proxy():
    session = requests.Session()
    session.trust_env = False
    return session


class OidcProvider(Server):
    name = "oidc"

    def __init__(self, certificate=None, **settings):
        need_part(MODULES / "node_modules" / "oidc-provider", "the OpenID provider (npm package oidc-provider)")
        super().__init__()
        self.port = free_port()
        self.client_id, self.client_secret = "skymon-client", "geheim-oidc:+%/ ~x"
        self.certificate = certificate
        self.issuer = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}"
        self.settings = {"alg": "RS256", "keys": [{"alg": "RS256", "kid": "rsa"}, {"alg": "ES256", "kid": "ec"}], "auth": "client_secret_basic"}
        self.start(**settings)

    def start(self, client_secret=None, **settings):
        """Starts it (again), on the same port."""
        self.settings.update(settings)
        self.client_secret = client_secret or self.client_secret
        self.issuer = self.settings.get("issuer", self.issuer)
        words = {"port": self.port, "issuer": self.issuer,
                 "client": {"id": self.client_id, "secret": self.client_secret, "auth": self.settings["auth"]}, **self.settings}
        if self.certificate:
            words["tls"] = {"cert": str(self.certificate[0]), "key": str(self.certificate[1])}
        self.launch([need("node"), HERE / "provider.mjs"], cwd=self.folder.path,
                    env={"PATH": os.environ["PATH"], "OIDC_MODULES": str(MODULES), "OIDC_SETTINGS": json.dumps(words)})
        self.wait_port(self.port)

    def stop(self):
        end_process(self.process)

    def jwks(self):
        with without_proxy() as session:
            return session.get(f"http://127.0.0.1:{self.port}/jwks", timeout=10 * SLOW).json()

    def token(self, **parameters):
        with without_proxy() as session:
            form = {"grant_type": "client_credentials", "client_id": self.client_id, "client_secret": self.client_secret, **parameters}
            if self.settings["auth"] == "client_secret_basic":
                from urllib.parse import quote
                session.auth = (quote(form.pop("client_id"), safe=""), quote(form.pop("client_secret"), safe=""))
            answer = session.post(f"http://127.0.0.1:{self.port}/token", data=form, timeout=10 * SLOW)
            assert answer.status_code == 200, answer.text
            return answer.json()


class Keycloak(Server):
    """A real Keycloak. Its folder is a copy: it writes there as it starts, and has its database there."""

    name = "keycloak"
    PASSWORD = "geheim-admin"

    def __init__(self):
        need_part(KEYCLOAK / "bin" / "kc.sh", "Keycloak (Maven package org.keycloak:keycloak-quarkus-dist)")
        need("java")
        super().__init__()
        self.home = self.folder.path / "home"
        shutil.copytree(KEYCLOAK, self.home)
        self.port, self.management = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        """Starts it (again). Realms and clients live in a file database, so that they outlive a stop."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder.path), "LANG": "C.UTF-8", "KC_BOOTSTRAP_ADMIN_USERNAME": "admin",
               "KC_BOOTSTRAP_ADMIN_PASSWORD": self.PASSWORD, "JAVA_OPTS_APPEND": "-Xmx512m"}
        self.launch(["bash", self.home / "bin" / "kc.sh", "start-dev", "--http-host=127.0.0.1", f"--http-port={self.port}",
                     "--health-enabled=true", f"--http-management-port={self.management}", "--log-level=warn"], env=env, cwd=self.home)
        wait_until(self._ready, 180, "Keycloak to be ready", every=0.25)

    def _ready(self):
        assert self.process.poll() is None, f"Keycloak ended: {self.log.read_text()[-3000:]}"
        with without_proxy() as session:
            return session.get(f"http://127.0.0.1:{self.management}/health/ready", timeout=5).status_code == 200

    def stop(self):
        end_process(self.process, timeout=60)

    def issuer(self, realm):
        return f"{self.url}/realms/{realm}"

    def admin(self, method, path, body=None, code=(200, 201, 204)):
        """The admin's REST API; path after /admin."""
        with without_proxy() as session:
            login = session.post(self.issuer("master") + "/protocol/openid-connect/token", timeout=30 * SLOW,
                                 data={"grant_type": "password", "client_id": "admin-cli", "username": "admin", "password": self.PASSWORD})
            assert login.status_code == 200, login.text
            answer = session.request(method, self.url + "/admin" + path, json=body, timeout=30 * SLOW,
                                     headers={"Authorization": "Bearer " + login.json()["access_token"]})
            assert answer.status_code in code, (answer.status_code, answer.text)
            return answer.json() if answer.content else None

    def realm(self, name, **more):
        self.admin("POST", "/realms", {"realm": name, "enabled": True, **more})

    def client(self, realm, client_id, secret):
        """A confidential client that may use the client-credentials grant; returns its id in Keycloak."""
        self.admin("POST", f"/realms/{realm}/clients", {
            "clientId": client_id, "secret": secret, "enabled": True, "publicClient": False, "serviceAccountsEnabled": True,
            "standardFlowEnabled": False, "protocol": "openid-connect"})
        return self.admin("GET", f"/realms/{realm}/clients?clientId={client_id}")[0]["id"]

    def drop_roles(self, realm, client_id):
        """Takes all roles from the client's service account; one has those that the realm gives to each user."""
        (client,) = self.admin("GET", f"/realms/{realm}/clients?clientId={client_id}")
        user = self.admin("GET", f"/realms/{realm}/clients/{client['id']}/service-account-user")
        path = f"/realms/{realm}/users/{user['id']}/role-mappings/realm"
        roles = self.admin("GET", path)
        assert roles
        self.admin("DELETE", path, roles)
        assert self.admin("GET", path) == []

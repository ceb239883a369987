# SPDX-License-Identifier: Apache-2.0
"""authentication: a real Keycloak: a realm and a client made by its admin API, then refused, disabled, stopped, started. It starts once, in
10 to 60 s, and once more; so this is one session, in the order of this file."""
import time

import pytest

import truth
from harness import SLOW, wait_until
from oidc import Keycloak

SECRET = "geheim-keycloak"


@pytest.fixture(scope="module")
def keycloak():
    server = Keycloak()
    server.realm("main")
    server.client("main", "skymon", SECRET)
    server.drop_roles("main", "skymon")  # as doc/production.md has it
    yield server
    server.close()


def watching(keycloak, **options):
    return {"plugins": {"prometheus": {}}, "components": {
        "sso": {"plugin": "authentication", "interval": "500ms", "timeout": "3s", "issuer": keycloak.issuer("main"), "client_id": "skymon",
                "client_secret": SECRET, **options}}}


def cell(fault, sm, status, reason, *words, since=None):
    return truth.cell("authentication (Keycloak)", fault, sm, "sso", status, reason, words=words, since=since, secrets=[SECRET, "eyJ"])


def test_healthy(skymond, keycloak):
    sm = skymond(watching(keycloak, scope="email"))
    # The first answers of a new Java process are slow.
    sm.wait_component("sso", status="healthy", timeout=30)
    found = cell("healthy", sm, "healthy", "ok", "token issued and verified (RS256)")
    details = found["details"]
    assert details["realm"] == "main" and details["issuer"] == keycloak.issuer("main")
    # Its keys: one for signatures, one for encryption.
    assert (details["keys"], details["usable_keys"]) == (2, 1)
    assert details["token_verified"] is True and details["token_type"] == "Bearer" and details["expires_in"] == 300
    # The master realm, without a client; and a realm that is not there.
    sm.write_config({"plugins": {"prometheus": {}}, "components": {
        "master": {"plugin": "authentication", "interval": "500ms", "issuer": keycloak.issuer("master")},
        "none": {"plugin": "authentication", "interval": "500ms", "issuer": keycloak.issuer("none")},
        "slash": {"plugin": "authentication", "interval": "500ms", "issuer": keycloak.issuer("main") + "/"},
        "name": {"plugin": "authentication", "interval": "500ms", "issuer": keycloak.issuer("main").replace("127.0.0.1", "localhost")}}})
    sm.hup()
    wait_until(lambda: sm.component("master")["details"]["realm"] == "master", 15, "the new config")
    assert "no client is configured" in sm.wait_component("master", status="healthy")["message"]
    assert "HTTP 404" in sm.wait_component("none", status="unhealthy", reason="http_status")["message"]
    assert "trailing slash" in sm.wait_component("slash", status="unhealthy", reason="body_mismatch")["message"]
    # In its development mode Keycloak takes the name that it is asked by for its own: then that is its issuer, truly.
    sm.wait_component("name", status="healthy")


def test_refusals(skymond, keycloak):
    sm = skymond(watching(keycloak))
    sm.wait_component("sso", status="healthy", timeout=30)
    (client,) = keycloak.admin("GET", "/realms/main/clients?clientId=skymon")
    path = f"/realms/main/clients/{client['id']}"
    keycloak.admin("PUT", path, {**client, "secret": "another"})
    cell("wrong client secret", sm, "unhealthy", "auth_failed", "refuses the client's id or secret (HTTP 401, unauthorized_client)")
    keycloak.admin("PUT", path, {**client, "secret": SECRET})
    cell("back after wrong client secret", sm, "healthy", "ok")
    keycloak.admin("PUT", path, {**client, "secret": SECRET, "serviceAccountsEnabled": False})
    cell("grant not allowed", sm, "unhealthy", "auth_failed", "(HTTP 401, unauthorized_client)")
    keycloak.admin("PUT", path, {**client, "secret": SECRET})
    sm.wait_component("sso", status="healthy")
    keycloak.admin("PUT", path, {**client, "secret": SECRET, "enabled": False})
    cell("client disabled", sm, "unhealthy", "auth_failed", "(HTTP 401, invalid_client)")
    keycloak.admin("PUT", path, {**client, "secret": SECRET})
    sm.wait_component("sso", status="healthy")
    # Discovery and keys are still there: only a token shows it.
    keycloak.admin("PUT", "/realms/main", {"enabled": False})
    cell("realm disabled", sm, "unhealthy", "http_status", "token: ", "HTTP 403, access_denied")
    keycloak.admin("PUT", "/realms/main", {"enabled": True})
    cell("back after realm disabled", sm, "healthy", "ok")


def test_keys_rotate(skymond, keycloak):
    """A new key of a higher priority signs from now on: the check stays healthy."""
    sm = skymond(watching(keycloak))
    sm.wait_component("sso", status="healthy", timeout=30)
    realm = keycloak.admin("GET", "/realms/main")
    keycloak.admin("POST", "/realms/main/components", {
        "name": "newer", "providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider", "parentId": realm["id"],
        "config": {"priority": ["200"], "enabled": ["true"], "active": ["true"], "algorithm": ["PS256"], "keySize": ["2048"]}})
    keycloak.admin("PUT", "/realms/main", {"defaultSignatureAlgorithm": "PS256"})
    wait_until(lambda: "verified (PS256)" in sm.component("sso")["message"], 20, "the new key")
    assert sm.component("sso")["details"]["usable_keys"] == 2
    assert sm.component("sso")["status"] == "healthy"


def test_stopped_frozen_and_back(skymond, keycloak):
    sm = skymond(watching(keycloak))
    sm.wait_component("sso", status="healthy", timeout=30)
    keycloak.pause()
    cell("frozen", sm, "unhealthy", "timeout")
    keycloak.resume()
    cell("back after frozen", sm, "healthy", "ok")
    began = time.monotonic()
    keycloak.stop()
    cell("stopped", sm, "unhealthy", "refused")
    keycloak.start()
    assert time.monotonic() - began < 200 * SLOW
    # Again a new Java process: its first answers may be late.
    sm.wait_component("sso", status="healthy", timeout=60)
    cell("back after stopped", sm, "healthy", "ok")

# SPDX-License-Identifier: Apache-2.0
"""authentication: a real OpenID provider that is stopped, frozen, slowed, given another secret and other certificates; and a fake one for
what a real one never does. Each time: status, reason, a sentence without secret or token, and that it was said in time."""
import base64
import http.server
import json
import pathlib
import re
import subprocess
import threading
import time

import pytest

import truth
from harness import SLOW, family_values, free_port, need, run_tool, wait_until
from oidc import OidcProvider

ALGS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


@pytest.fixture
def provider():
    started = []

    def start(**settings):
        started.append(OidcProvider(**settings))
        return started[-1]

    yield start
    for one in started:
        one.close()


def part(issuer, op=None, **options):
    client = {"client_id": op.client_id, "client_secret": op.client_secret} if op is not None else {}
    return {"plugin": "authentication", "interval": "300ms", "timeout": "2s", "issuer": issuer, **client, **options}


def config(components):
    return {"plugins": {"prometheus": {}}, "components": components}


def watching(op, **options):
    return config({"sso": part(op.issuer, op, **options)})


# ---- The provider as it should be ----

@pytest.mark.sanitized
def test_healthy(skymond, provider):
    op = provider()
    sm = skymond(watching(op, audience="skymon-test", scope="read"))
    found = sm.wait_component("sso", status="healthy", reason="ok")
    assert found["message"] == f"127.0.0.1:{op.port}: 2 signing keys; token issued and verified (RS256)"
    details = found["details"]
    assert details["issuer"] == op.issuer and "realm" not in details
    assert (details["keys"], details["usable_keys"], details["token_type"], details["expires_in"]) == (2, 2, "Bearer", 600)
    assert details["token_verified"] is True and details["clock_skew_seconds"] == 0
    assert family_values(sm, "skymon_oidc_usable_keys") == {'{component="sso"}': 2}
    assert family_values(sm, "skymon_oidc_token_lifetime_seconds") == {'{component="sso"}': 600}
    times = family_values(sm, "skymon_oidc_request_duration_seconds")
    assert sorted(times) == [f'{{component="sso",request="{what}"}}' for what in ("discovery", "jwks", "token")]
    assert all(0 < seconds < 2 * SLOW for seconds in times.values())
    # One connection for all requests of all checks.
    wait_until(lambda: list(family_values(sm, "skymon_component_checks_total").values())[0] > 5, 10, "some checks")
    assert family_values(sm, "skymon_oidc_connects_total") == {'{component="sso"}': 1}
    truth.hides(sm, [op.client_secret, "eyJ"], found)


def test_metrics_pass_promtool(skymond, provider):
    sm = skymond(watching(provider()))
    sm.wait_component("sso", status="healthy")
    done = subprocess.run([need("promtool"), "check", "metrics"], input=sm.metrics(), capture_output=True, text=True, timeout=30)
    assert "oidc" not in done.stdout + done.stderr, done


def test_every_algorithm(skymond, provider):
    """Tokens signed by the provider's own JOSE library are verified here."""
    op = provider(keys=[{"alg": alg, "kid": alg.lower()} for alg in ALGS])
    sm = skymond(config({alg.lower(): part(op.issuer, op, interval="1s", parameters={"resource": f"urn:alg:{alg}"}) for alg in ALGS}))
    for alg in ALGS:
        found = sm.wait_component(alg.lower(), status="healthy")
        assert f"verified ({alg})" in found["message"] and found["details"]["usable_keys"] == len(ALGS), found


def test_ways_to_ask(skymond, provider):
    post, opaque = provider(auth="client_secret_post"), provider(alg=None, ttl=90)
    sm = skymond(config({
        "post": part(post.issuer, post),
        "opaque": part(opaque.issuer, opaque),
        "short": part(opaque.issuer, opaque, crit={"token_ttl": "<2m"}),
        "off": part(post.issuer, post, verify_token=False),
        "public": part(post.issuer),
        "scope": part(post.issuer, post, scope="read everything"),
        "for": part(post.issuer, post, audience="somebody-else")}))
    assert "verified (RS256)" in sm.wait_component("post", status="healthy")["message"]
    found = sm.wait_component("opaque", status="healthy")
    assert "signature not checked: it is opaque" in found["message"] and found["details"]["token_verified"] is False
    assert found["details"]["expires_in"] == 90
    sm.wait_component("short", status="unhealthy", reason="threshold_crit")
    assert "verify_token is off" in sm.wait_component("off", status="healthy")["message"]
    found = sm.wait_component("public", status="healthy")
    assert "no client is configured" in found["message"] and "token_type" not in found["details"]
    assert "not grant all requested scopes" in sm.wait_component("scope", status="unhealthy", reason="body_mismatch")["message"]
    assert "not for the audience somebody-else (aud)" in sm.wait_component("for", status="unhealthy", reason="body_mismatch")["message"]


# ---- The truth table ----

def cell(fault, sm, op, status, reason, *words, since=None, name="sso", secrets=()):
    return truth.cell("authentication", fault, sm, name, status, reason, words=words, since=since,
                      secrets=[op.client_secret, "eyJ", *secrets])


def test_stopped_frozen_slow_and_back(skymond, provider):
    op = provider()
    sm = skymond(watching(op, warn={"discovery_time": "300ms"}, timeout="3s"))
    cell("healthy", sm, op, "healthy", "ok")
    op.stop()
    cell("stopped", sm, op, "unhealthy", "refused", f"discovery: 127.0.0.1:{op.port}: connection refused")
    op.start()
    cell("back after stopped", sm, op, "healthy", "ok")
    op.pause()
    cell("frozen", sm, op, "unhealthy", "timeout", "in time")
    op.resume()
    cell("back after frozen", sm, op, "healthy", "ok")
    # The connection that is kept is lost, and the keys are others.
    connects = family_values(sm, "skymon_oidc_connects_total")['{component="sso"}']
    op.stop()
    op.start(delay_ms=400)
    cell("slow", sm, op, "degraded", "threshold_warn", "discovery_time")
    assert family_values(sm, "skymon_oidc_connects_total")['{component="sso"}'] == connects + 1
    op.stop()
    op.start(delay_ms=0)
    cell("restarted, with new keys", sm, op, "healthy", "ok")


def test_restart_between_two_checks(skymond, provider):
    """A kept connection that the server ended does not count as a failure."""
    op = provider()
    sm = skymond(watching(op, interval="8s"))
    sm.wait_component("sso", status="healthy")
    op.stop()
    op.start()
    wait_until(lambda: family_values(sm, "skymon_oidc_connects_total") == {'{component="sso"}': 2}, 20, "the next check")
    found = sm.component("sso")
    assert found["status"] == "healthy" and found["consecutive_failures"] == 0 and found["last_result"] is None


def test_name_does_not_resolve(skymond, provider):
    op = provider()
    sm = skymond(config({"sso": part("https://no-such-name.invalid/realms/main", op)}))
    cell("name does not resolve", sm, op, "unhealthy", "dns", "no-such-name.invalid")
    assert sm.component("sso")["details"]["realm"] == "main"


def test_secret(skymond, provider, tmp_path):
    """A wrong one; and one that is read again from its file because it was refused."""
    op = provider()
    old, new, kept = op.client_secret, "geheim-oidc-two", tmp_path / "secret"
    kept.write_text(old)
    kept.chmod(0o600)
    parts = watching(op)
    parts["components"]["file"] = {**part(op.issuer, op), "client_secret": {"file": str(kept)}}
    parts["components"]["who"] = {**part(op.issuer, op), "client_id": "nobody"}
    sm = skymond(parts)
    sm.wait_component("file", status="healthy")
    cell("unknown client", sm, op, "unhealthy", "auth_failed", "refuses the client's id or secret (HTTP 401, invalid_client)", name="who")
    cell("healthy with a secret", sm, op, "healthy", "ok")
    op.stop()
    op.start(client_secret=new)
    cell("wrong client secret", sm, op, "unhealthy", "auth_failed", "HTTP 401, invalid_client", secrets=[old])
    sm.wait_component("file", status="unhealthy", reason="auth_failed")
    kept.write_text(new)
    cell("secret rotated in its file", sm, op, "healthy", "ok", name="file", since=time.monotonic() + 5 * SLOW)  # read at most every 5 s
    op.stop()
    op.start(client_secret=old)
    cell("back after wrong client secret", sm, op, "healthy", "ok")


def test_certificates(skymond, provider, certs):
    def use(name):
        op.certificate = (certs.pem(name), certs.key(name))

    op = provider(certificate=(certs.pem("good"), certs.key("good")))
    sm = skymond(config({
        "sso": part(op.issuer, op, tls={"ca_file": certs.ca}),
        "other": part(op.issuer, op, tls={"ca_file": certs.other_ca}),
        "system": part(op.issuer, op),
        "blind": part(op.issuer, op, tls={"insecure": True}),
        "named": part(op.issuer, op, tls={"ca_file": certs.ca, "server_name": "good.test"})}))
    cell("TLS", sm, op, "healthy", "ok")
    for name in ("other", "system"):
        cell("authority not trusted", sm, op, "unhealthy", "tls_untrusted", name=name)
    for name in ("blind", "named"):
        sm.wait_component(name, status="healthy")
    for kind, fault, reason in (("expired", "certificate expired", "tls_expired"), ("early", "certificate not yet valid", "tls_expired"),
                                ("wrong_name", "certificate for another name", "tls_untrusted"),
                                ("untrusted", "certificate by another authority", "tls_untrusted")):
        op.stop()
        use(kind)
        op.start()
        cell(fault, sm, op, "unhealthy", reason)
        sm.wait_component("blind", status="healthy")
    op.stop()
    op.certificate = None
    op.start()
    cell("no TLS", sm, op, "unhealthy", "tls_other", "not TLS")
    op.stop()
    use("good")
    op.start()
    cell("back after certificates", sm, op, "healthy", "ok")


# ---- A cache in front: how old the keys are ----

def test_age_of_the_keys(skymond, provider, haproxy):
    port = free_port()
    op = provider(issuer=f"http://127.0.0.1:{port}", cache="public, max-age=60")
    haproxy(f"""
cache keys
  total-max-size 4
  max-age 60
frontend front
  bind 127.0.0.1:{port}
  http-request cache-use keys if {{ path /jwks }}
  http-response cache-store keys
  default_backend provider
backend provider
  http-response del-header Vary
  server one 127.0.0.1:{op.port}
""")
    sm = skymond(config({"sso": part(op.issuer, op, crit={"jwks_age": "4s"})}))
    details = wait_until(lambda: (c := sm.component("sso"))["details"].get("jwks_age_seconds", 0) >= 1 and c["details"], 15, "an age")
    assert details["jwks_max_age_seconds"] == 60 and details["clock_skew_seconds"] == 0
    assert sm.component("sso")["status"] == "healthy"
    # The provider gets other keys, and the cache still has the old ones: what its clients see, too.
    op.stop()
    op.start(keys=[{"alg": "RS256", "kid": "changed"}])
    cell("cached keys are not those that sign", sm, op, "unhealthy", "body_mismatch", "signed by a key that is not in the JWKS", "kid changed")
    assert sm.component("sso")["details"]["jwks_age_seconds"] >= 1


# ---- What a real provider never does ----

def b64(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).rstrip(b"=").decode()


class Signer:
    """An RSA key; signs tokens by openssl."""

    def __init__(self, folder, kid="k1"):
        self.path, self.kid = folder / f"{kid}-{id(self)}.key", kid
        self._openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.path)
        words = self._openssl("rsa", "-in", self.path, "-noout", "-modulus").decode()
        self.n = bytes.fromhex(words.split("=")[1].strip())

    def _openssl(self, *words, data=b""):
        done = subprocess.run([need("openssl"), *map(str, words)], input=data, capture_output=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def jwk(self, **more):
        return {"kty": "RSA", "n": b64(self.n), "e": "AQAB", "kid": self.kid, **more}

    def token(self, header=None, **claims):
        text = b64({"alg": "RS256", "kid": self.kid, **(header or {})}) + "." + b64(claims)
        return text + "." + b64(self._openssl("dgst", "-sha256", "-sign", self.path, data=text.encode()))


class Fake:
    """Any number of issuers, each under a path of its own: /NAME/… . answers: {NAME: {"discovery": …, "jwks": …, "token": …}}; each a JSON
    value, (code, headers, bytes), or a function that is given the handler and writes what it likes."""

    def __init__(self):
        self.answers, self.requests = {}, []
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                fake.answer(self)

            do_POST = do_GET

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_):
                pass

        self.server = Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=[0.05], daemon=True).start()

    def issuer(self, name):
        return f"{self.url}/{name}"

    def answer(self, handler):
        form = handler.rfile.read(int(handler.headers.get("Content-Length") or 0)).decode()
        name = handler.path.split("/")[1]
        what = {"openid-configuration": "discovery"}.get(handler.path.rsplit("/", 1)[1], handler.path.rsplit("/", 1)[1])
        self.requests.append((name, what, handler.headers.get("Authorization"), form))
        wanted = self.answers[name].get(what, (404, {}, b""))
        if callable(wanted):
            wanted = wanted(handler)
            if wanted is None:
                handler.close_connection = True
                return
        code, headers, body = wanted if isinstance(wanted, tuple) else (200, {}, json.dumps(wanted).encode())
        handler.send_response_only(code)
        for key, value in {"Date": handler.date_time_string(), "Content-Length": len(body), **headers}.items():
            if value is not None:
                handler.send_header(key, value)
        handler.end_headers()
        handler.wfile.write(body)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def fake():
    server = Fake()
    yield server
    server.close()


def raw(data, hang=False):
    def write(handler):
        handler.wfile.write(data)
        handler.wfile.flush()
        if hang:
            time.sleep(20)
    return write


def flood(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 30))
    handler.end_headers()
    for _ in range(1024):
        handler.wfile.write(b" " * (1 << 20))


class Faults:
    """The table: add() takes what the fake answers other than a good provider would."""

    def __init__(self, fake, tmp_path):
        self.fake, self.rows, self.parts, self.secrets = fake, [], {}, ["geheim-fake"]
        self.key, self.other = Signer(tmp_path), Signer(tmp_path, "k2")
        self.twin = Signer(tmp_path)  # another key of the same name

    def claims(self, name, **more):
        now = int(time.time())
        return {"iss": self.fake.issuer(name), "iat": now, "exp": now + 300, "aud": "skymon", **more}

    def given(self, token):
        self.secrets.append(token)
        return {"access_token": token, "token_type": "Bearer", "expires_in": 300}

    def add(self, fault, status, reason, words, discovery=None, jwks=None, token=None, key=None, header=None, claims=None, table=False, **options):
        name = f"f{len(self.rows)}"
        issuer = self.fake.issuer(name)
        document = {"issuer": issuer, "jwks_uri": issuer + "/jwks", "token_endpoint": issuer + "/token"}
        if isinstance(discovery, dict):
            document = {name: value for name, value in {**document, **discovery}.items() if value is not None}
            discovery = None
        good = self.given((key or self.key).token(header, **self.claims(name, **(claims or {}))))
        self.fake.answers[name] = {"discovery": discovery if discovery is not None else document,
                                   "jwks": jwks if jwks is not None else {"keys": [self.key.jwk(use="sig", alg="RS256")]},
                                   "token": token if token is not None else good}
        self.parts[name] = {**part(issuer), "client_id": "me", "client_secret": "geheim-fake", **options}
        self.rows.append((name, fault, status, reason, words, table))


def fill_documents(f):
    bad = lambda *row, **more: f.add(row[0], "unhealthy", *row[1:], **more)  # noqa: E731
    bad("issuer mismatch", "body_mismatch", "another issuer: https://else.test/", discovery={"issuer": "https://else.test/"}, table=True)
    bad("issuer hides a password", "body_mismatch", "another issuer", discovery={"issuer": "https://u:geheim-fake@else.test/"})
    bad("issuer with a slash", "body_mismatch", "trailing slash", discovery={"issuer": f.fake.issuer(f"f{len(f.rows)}") + "/"})
    bad("no issuer", "protocol", "names no issuer", discovery={"issuer": None})
    bad("no jwks_uri", "protocol", "no jwks_uri", discovery={"jwks_uri": None})
    bad("jwks_uri is a file", "body_mismatch", "jwks_uri is not a valid http", discovery={"jwks_uri": "file:///etc/passwd"})
    bad("no token endpoint", "protocol", "no token_endpoint", discovery={"token_endpoint": None})
    bad("a token endpoint without TLS", "tls_other", "http:// to another machine", discovery={"token_endpoint": "http://192.0.2.1/token"})
    bad("HTTP 404", "http_status", "HTTP 404", discovery=(404, {}, b"{}"), table=True)
    bad("HTTP 503", "http_status", "HTTP 503", discovery=(503, {}, b"busy"))
    bad("a redirect", "http_status", "HTTP 302", discovery=(302, {"Location": "/elsewhere"}, b""))
    bad("not JSON", "protocol", "is HTML or XML, not JSON", discovery=(200, {}, b"<html>hello</html>"), table=True)
    bad("a list", "protocol", "is JSON, and not an object", discovery=(200, {}, b"[]"))
    bad("an empty answer", "protocol", "is empty", discovery=(200, {}, b""))
    bad("nested deeply", "protocol", "is JSON that breaks off", discovery=(200, {}, b"[" * 900000))
    bad("half an answer", "protocol", "broke off", discovery=raw(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"iss"), table=True)
    bad("half an answer, then silence", "timeout", "in time", table=True,
        discovery=raw(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"iss", hang=True))
    bad("silence", "timeout", "in time", table=True, discovery=raw(b"", hang=True))
    bad("garbage", "protocol", "not HTTP", discovery=raw(b"\xff\x00\x17garbage\n" * 50), table=True)
    bad("a huge answer", "protocol", "larger than", discovery=flood, table=True)


def fill_keys(f):
    bad = lambda *row, **more: f.add(row[0], "unhealthy", *row[1:], **more)  # noqa: E731
    bad("no usable key", "body_mismatch", "none of its 1 keys can verify a signature; the first: its use is not sig", table=True,
        jwks={"keys": [f.key.jwk(use="enc")]})
    bad("no key", "body_mismatch", "none of its 0 keys", jwks={"keys": []})
    bad("a weak key", "body_mismatch", "1024 bits are too few", jwks={"keys": [{**f.key.jwk(), "n": b64(f.key.n[:128])}]})
    bad("keys are no list", "protocol", "no list of keys", jwks={"keys": 7})
    bad("keys' HTTP 500", "http_status", "jwks: ", jwks=(500, {}, b""))
    bad("huge keys", "protocol", "jwks: ", jwks=flood)
    f.add("private keys are published", "degraded", "body_mismatch", "1 of its 2 keys", table=True,
          jwks={"keys": [f.key.jwk(), f.other.jwk(d="AAAA")]})
    f.add("one good key of many", "healthy", "ok", "1 signing key;", jwks={"keys": [{"kty": "oct"}, 7, f.other.jwk(use="enc"), f.key.jwk()]})
    seen = []

    def rotate(_):
        seen.append(1)
        return 200, {"Content-Length": None, "Connection": "close"}, json.dumps({"keys": [(f.other if len(seen) % 2 else f.key).jwk()]}).encode()
    f.add("keys change between the two requests", "healthy", "ok", "verified", jwks=rotate)
    f.add("clock of yesterday", "degraded", "threshold_warn", "clock_skew", warn={"clock_skew": "1m"}, table=True,
          token=lambda _: (200, {"Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() - 86400))},
                           json.dumps(f.given("opaque-token")).encode()))


def fill_tokens(f):
    bad = lambda *row, **more: f.add(row[0], "unhealthy", *row[1:], **more)  # noqa: E731
    now = int(time.time())
    f.add("a good fake", "healthy", "ok", "verified (RS256)", audience="skymon")
    bad("token signed by another key", "body_mismatch", "signed by a key that is not in the JWKS (alg RS256, kid k2)", key=f.other, table=True)
    bad("token signed by a key of the same name", "body_mismatch", "does not match the published key", key=f.twin, table=True)
    bad("unsigned token", "body_mismatch", "not signed (alg none)", header={"alg": "none"}, table=True)
    bad("strange algorithm", "body_mismatch", "critical header (alg RS1)", header={"alg": "RS1"})
    bad("another issuer's token", "body_mismatch", "iss is https://else.test", claims={"iss": "https://else.test"}, table=True)
    bad("expired token", "body_mismatch", "that expired", claims={"iat": now - 900, "exp": now - 600}, table=True)
    bad("token of the future", "body_mismatch", "in the future", claims={"iat": now + 7200, "exp": now + 9000})
    bad("token for another", "body_mismatch", "not for the audience else (aud)", audience="else")
    bad("token that ends at once", "body_mismatch", "expires at once", token={"access_token": "abc", "token_type": "Bearer", "expires_in": 0})
    bad("no token", "protocol", "no access_token", token={"token_type": "Bearer"})
    bad("token is not JSON", "protocol", "is not JSON (line 1", token=(200, {}, b"eyJhbGciOiJSUzI1NiJ9"))
    bad("token's HTTP 500", "http_status", "HTTP 500", token=(500, {}, b"geheim-fake"))
    bad("refused in another way", "auth_failed", "HTTP 400, invalid_client", token=(400, {}, b'{"error":"invalid_client"}'))
    bad("grant not allowed", "auth_failed", "client-credentials grant", token=(400, {}, b'{"error":"unauthorized_client"}'))
    bad("error with a secret", "http_status", "HTTP 400", token=(400, {}, b'{"error":"Geheim geheim-fake!"}'))
    bad("scope refused", "http_status", "HTTP 400, invalid_scope", token=(400, {}, b'{"error":"invalid_scope"}'))
    bad("huge token", "protocol", "larger than", token=flood)
    f.add("token by a shared secret", "healthy", "ok", "signature not checked: it is signed by a shared secret", header={"alg": "HS256"})
    f.add("DPoP and a life as text", "healthy", "ok", "opaque", token={"access_token": "abc", "token_type": "DPoP", "expires_in": "3600"})


@pytest.mark.asan
def test_fakes(skymond, fake, tmp_path):
    faults = Faults(fake, tmp_path)
    fill_documents(faults)
    fill_keys(faults)
    fill_tokens(faults)
    sm = skymond(config(faults.parts))
    for name, fault, status, reason, words, table in faults.rows:
        if table:
            truth.cell("authentication", fault, sm, name, status, reason, words=words)

        def look():
            found = sm.component(name)
            assert (found["status"], found["reason"]) == (status, reason) and words in found["message"], found
            assert found["response_time_ms"] <= 2000 * SLOW, found
            return True
        wait_until(look, 15, f"{fault}: {status}/{reason} by the check's own sentence")
    truth.hides(sm, faults.secrets)
    # Deep and huge answers cost neither the worker nor memory.
    assert family_values(sm, "skymon_plugin_restarts_total")['{plugin="authentication"}'] == 0, sm.log_text()
    (pid,) = sm.children()
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    assert int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) < 100_000 * (10 if SLOW > 1 else 1), status


def test_how_the_secret_is_sent(skymond, fake, tmp_path):
    """RFC 6749, 2.3.1 and appendix B."""
    faults = Faults(fake, tmp_path)
    supported = {"basic": ["client_secret_post", "client_secret_basic"], "post": ["private_key_jwt", "client_secret_post"], "neither": ["tls_client_auth"]}
    for methods in supported.values():
        faults.add("", "healthy", "ok", "", discovery={"token_endpoint_auth_methods_supported": methods})
    for way in ("auto", "basic", "post"):
        faults.add("", "healthy", "ok", "", client_auth=way, client_id="a b", client_secret="p:w+d\u00e9", scope="x y", parameters={"a": "&="})
    sm = skymond(config(faults.parts))
    for name, *_ in faults.rows:
        sm.wait_component(name, status="healthy")
    asked = {name: (header, form) for name, what, header, form in fake.requests if what == "token"}

    def basic(text):
        return "Basic " + base64.b64encode(text.encode()).decode()
    plain = "grant_type=client_credentials"
    assert [asked[f"f{i}"] for i in range(3)] == [
        (basic("me:geheim-fake"), plain), (None, plain + "&client_id=me&client_secret=geheim-fake"), (basic("me:geheim-fake"), plain)]
    plain += "&scope=x%20y&a=%26%3D"
    assert [asked[f"f{i}"] for i in (3, 4)] == [(basic("a%20b:p%3Aw%2Bd%C3%A9"), plain)] * 2
    assert asked["f5"] == (None, plain + "&client_id=a%20b&client_secret=p%3Aw%2Bd%C3%A9")


# ---- Options ----

def test_not_configured(skymond):
    sm = skymond({"components": {"sso": {"plugin": "authentication", "issuer": "${OIDC_ISSUER:-}", "client_id": "x",
                                         "client_secret": {"file": "/none"}}}})
    found = sm.wait_component("sso", status="unknown", reason="not_configured")
    assert "OIDC_ISSUER" in found["message"]


BAD_OPTIONS = {
    "no scheme": (["issuer=id.example.com"], "http:// or https://"),
    "user info": (["issuer=https://u:geheim-x@id.example.com"], "must not contain a user name"),
    "query": (["issuer=https://id.example.com/?a=b"], "query"),
    "whole path": (["issuer=https://id.example.com/.well-known/openid-configuration"], "must end before"),
    "id alone": (["issuer=https://id.example.com", "client_id=a"], "needs client_secret"),
    "secret alone": (["issuer=https://id.example.com", "client_secret=geheim-x"], "needs client_id"),
    "parameter": (["issuer=https://id.example.com", "parameters={grant_type: password}"], "must not contain grant_type"),
    "proxy": (["issuer=https://id.example.com", "proxy=ftp://x"], "`proxy` must be"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options(case):
    words, sentence = BAD_OPTIONS[case]
    done = run_tool("run", "authentication", *words)
    assert done.returncode == 3 and sentence in done.stdout + done.stderr, done
    assert "geheim-x" not in done.stdout + done.stderr


def test_proxy(skymond, provider):
    op = provider()
    sm = skymond(watching(op, proxy=f"http://127.0.0.1:{free_port()}"))
    cell("proxy stopped", sm, op, "unhealthy", "refused", "proxy 127.0.0.1:")

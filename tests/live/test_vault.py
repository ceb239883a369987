# SPDX-License-Identifier: Apache-2.0
"""vault: a real OpenBao that is sealed, stopped, frozen, restarted, replaced by nonsense; tokens that are wrong, end, are renewed;
AppRole logins; paths that may and may not be read. Codes that OpenBao does not send come from a stand-in of a few lines."""
import http.server
import json
import threading
import time

import pytest
import requests

import truth
from double import Raw
from harness import SLOW, family_values, wait_until
from openbao import OpenBao

SECRET = "geheim-pw"


@pytest.fixture(scope="module")
def shared_bao():
    """For tests that leave it as it was: unsealed."""
    bao = OpenBao()
    bao.put("grafana/api_key", key=SECRET, number=5, nested={"a": 1})
    bao.put("plain", mount="kv1", key=SECRET)
    yield bao
    bao.close()


@pytest.fixture
def bao():
    """For a test alone: fresh_bao(init=…, certificate=…)."""
    started = []

    def start(**options):
        started.append(OpenBao(**options))
        return started[-1]

    yield start
    for one in started:
        one.close()


def part(url, **options):
    return {"plugin": "vault", "interval": "1s", "timeout": "1s", "address": url, **options}


def config(components):
    return {"plugins": {"prometheus": {}}, "components": components}


def watching(url, **options):
    return config({"vault": part(url, **options)})


def cell(sm, fault, status, reason, *words, secrets=(), name="vault", **options):
    return truth.cell("vault", fault, sm, name, status=status, reason=reason, words=words, secrets=[SECRET, *secrets], **options)


# ---- OpenBao's states ----

@pytest.mark.asan
def test_states(skymond, bao):
    one = bao()
    sm = skymond(watching(one.url, token=one.token))
    found = cell(sm, "none", "healthy", "ok", "unsealed and active", "version 2.", secrets=[one.token])
    details = found["details"]
    assert details["accessible"] is True and details["authentication_valid"] is True, details
    assert details["sealed"] is False and details["standby"] is False and details["initialized"] is True
    assert details["version"].startswith("2.") and details["cluster_name"] and abs(details["clock_skew_seconds"]) < 2
    assert "token_ttl_seconds" not in details  # a root token holds for ever
    one.seal()
    found = cell(sm, "sealed", "unhealthy", "sealed", secrets=[one.token, one.unseal_key])
    assert found["details"]["sealed"] is True and "authentication_valid" not in found["details"]
    assert list(family_values(sm, "skymon_vault_sealed").values()) == [1]
    one.unseal()
    cell(sm, "unsealed again", "healthy", "ok")
    one.pause()
    found = cell(sm, "frozen", "unhealthy", "timeout", within=4)
    one.resume()
    cell(sm, "thawed", "healthy", "ok")
    one.stop()
    found = cell(sm, "stopped", "unhealthy", "refused", f"127.0.0.1:{one.port}: connection refused")
    assert found["details"]["accessible"] is False
    one.start()
    cell(sm, "started again", "healthy", "ok", secrets=[one.token])


def test_restart_under_a_kept_connection(skymond, bao):
    """Between two checks: the next one finds the connection gone and a server there."""
    one = bao()
    sm = skymond(watching(one.url, token=one.token, interval="6s"))

    def restart():
        one.stop()
        one.start()
    truth.restarted("vault", sm, "vault", restart)


def test_connection_is_kept(skymond, shared_bao):
    """One connection, however many checks: seen in the kernel's table."""
    sm = skymond(watching(shared_bao.url, token=shared_bao.token, interval="200ms"))
    sm.wait_component("vault", status="healthy")

    def ports():
        lines = open("/proc/net/tcp").read().splitlines()[1:]
        return {line.split()[1] for line in lines if line.split()[2].endswith(f":{shared_bao.port:04X}") and line.split()[3] == "01"}
    first = ports()
    wait_until(lambda: min(family_values(sm, "skymon_component_checks_total").values()) >= 8, 10, "eight checks")
    assert len(first) == 1 and ports() == first


def test_not_initialized(skymond, bao):
    one = bao(init=False)
    sm = skymond(watching(one.url))
    found = cell(sm, "not initialized", "unhealthy", "other", "not initialized")
    assert found["details"]["initialized"] is False and found["details"]["accessible"] is True
    one._initialize()
    cell(sm, "initialized", "healthy", "ok")


def test_not_configured_and_by_its_variable(skymond, shared_bao):
    sm = skymond(config({"vault": {"plugin": "vault", "impact": "degraded"}}))
    found = sm.wait_component("vault", status="unknown", reason="not_configured")
    assert "VAULT_ADDR" in found["message"], found
    sm = skymond(config({"vault": {"plugin": "vault"}}), env={"VAULT_ADDR": shared_bao.url, "VAULT_TOKEN": "not-ours"})
    found = sm.wait_component("vault", status="healthy")
    assert "authentication_valid" not in found["details"]  # it has no token


def test_names_and_places(skymond, shared_bao):
    sm = skymond(config({
        "name": part(f"http://no-such-host.invalid:{shared_bao.port}"),
        "local": part(f"http://localhost:{shared_bao.port}/", token=shared_bao.token, read="grafana/api_key#key"),
        "proxy": part(shared_bao.url, proxy="http://user:geheim-pw@127.0.0.1:1"),
        "user": part(shared_bao.url.replace("//", f"//user:{SECRET}@"))}))
    cell(sm, "name does not resolve", "unhealthy", "dns", "no-such-host.invalid", name="name")
    sm.wait_component("local", status="healthy")
    cell(sm, "proxy stopped", "unhealthy", "refused", "proxy 127.0.0.1:1: connection refused", name="proxy")
    sm.wait_component("user", status="healthy")
    truth.hides(sm, [SECRET])


# ---- Tokens ----

@pytest.mark.asan
def test_wrong_token_then_right(skymond, bao, tmp_path):
    one = bao()
    file = tmp_path / "token"
    file.write_text("s.wrong-geheim\n")
    file.chmod(0o600)
    sm = skymond(watching(one.url, token={"file": str(file)}))
    found = cell(sm, "wrong token", "unhealthy", "auth_failed", "refuses the token", secrets=["wrong-geheim"])
    assert found["details"]["authentication_valid"] is False and found["details"]["accessible"] is True
    token = one.new_token(["default"], ttl="1h")
    file.write_text(token + "\n")  # read again, because the check said that it was refused
    found = cell(sm, "right token", "healthy", "ok", within=8, secrets=[token])
    assert 3500 < found["details"]["token_ttl_seconds"] <= 3600
    one.do("POST", "auth/token/revoke", {"token": token})
    cell(sm, "token revoked", "unhealthy", "auth_failed", secrets=[token])


def test_token_near_its_end(skymond, shared_bao):
    short = shared_bao.new_token(["default"], ttl="6s", renewable=False)
    sm = skymond(watching(shared_bao.url, token=short, warn={"token_ttl": "<5s"}, crit={"token_ttl": "<3s"}))
    cell(sm, "token ends soon", "degraded", "threshold_warn", "token_ttl", within=8, secrets=[short])
    cell(sm, "token ends now", "unhealthy", "threshold_crit", within=8)
    cell(sm, "token has ended", "unhealthy", "auth_failed", within=10)


def test_renewal(skymond, shared_bao):
    """A token of 3 s lives on; one that must not be renewed does not."""
    kept, left = (shared_bao.new_token(["default"], ttl="3s") for _ in range(2))
    sm = skymond(config({"kept": part(shared_bao.url, token=kept, interval="300ms"),
                         "left": part(shared_bao.url, token=left, interval="300ms", renew=False)}))
    sm.wait_component("kept", status="healthy")
    sm.wait_component("left", status="unhealthy", reason="auth_failed")
    before = sm.component("kept")["since"]
    wait_until(lambda: min(family_values(sm, "skymon_component_checks_total").values()) >= 20, 20, "twenty checks")
    found = sm.component("kept")
    assert (found["status"], found["since"]) == ("healthy", before), found


def test_token_without_the_right_to_look(skymond, shared_bao):
    """A valid token that may not look itself up: reported as unknown, without a number."""
    token = shared_bao.new_token(["none"], no_default_policy=True, ttl="1h")
    sm = skymond(watching(shared_bao.url, token=token, crit={"token_ttl": "<10s"}))
    found = sm.wait_component("vault", status="healthy")
    assert found["details"]["authentication_valid"] is True and "may not look" in found["details"]["token_ttl"]
    assert family_values(sm, "skymon_vault_token_ttl_seconds") == {}


def test_the_documented_policy(skymond, shared_bao, tmp_path):
    """The block of doc/checks.md, with the policy `default` beside it, is enough for a component's secret; each alone is not."""
    shared_bao.do("PUT", "sys/policies/acl/orders", {"policy": "\n".join(truth.rights('path "secret/data'))})
    shared_bao.put("database/orders", password=SECRET)
    (tmp_path / "right").write_text(SECRET)
    parts = {}
    for name, policies in {"both": ["orders", "default"], "default": ["default"], "orders": ["orders"]}.items():
        token = shared_bao.new_token(policies, no_default_policy="default" not in policies, ttl="1h")
        parts |= {name: part(shared_bao.url, token=token, read="database/orders#password"), f"{name}-lock": {
            "plugin": "t_lock", "interval": "500ms", "file": str(tmp_path / "right"), "secret": {name: "database/orders#password"}}}
    sm = skymond(config(parts))
    found = cell(sm, "the documented policy", "healthy", "ok", name="both")
    assert found["details"]["readable"] is True and 3500 < found["numbers"]["token_ttl"] <= 3600
    cell(sm, "no policy but `default`", "unhealthy", "auth_failed", "denies the token access", name="default")
    assert "token_ttl" not in cell(sm, "not the policy `default`", "healthy", "ok", name="orders")["numbers"]
    for name, status, reason in ("both", "healthy", "ok"), ("orders", "healthy", "ok"), ("default", "unknown", "auth_failed"):
        sm.wait_component(f"{name}-lock", status=status, reason=reason)


@pytest.mark.asan
def test_approle(skymond, shared_bao):
    policy = shared_bao.policy("reader", {"secret/data/grafana/*": ["read"]})
    role, word = shared_bao.approle("skymon", [policy], token_ttl="4s", token_max_ttl="6s")
    other_role, other_word = shared_bao.approle("elsewhere", [policy], mount="machines", token_ttl="1h")
    locked_role, _ = shared_bao.approle("locked", [policy])
    sm = skymond(config({
        "vault": part(shared_bao.url, role_id=role, secret_id=word, read="grafana/api_key#key"),
        "other": part(shared_bao.url, role_id=other_role, secret_id=other_word, login="machines"),
        "wrong": part(shared_bao.url, role_id=locked_role, secret_id="wrong-geheim", interval="200ms"),
        "mount": part(shared_bao.url, role_id=role, secret_id=word, login="nowhere")}))
    found = cell(sm, "AppRole login", "healthy", "ok", "the token is valid for", secrets=[word])
    assert found["details"]["authentication_valid"] is True and found["details"]["readable"] is True
    assert 0 < found["details"]["token_ttl_seconds"] <= 4
    sm.wait_component("other", status="healthy")
    found = cell(sm, "wrong secret_id", "unhealthy", "auth_failed", "refuses the login", secrets=["wrong-geheim"], name="wrong")
    assert found["details"]["authentication_valid"] is False
    sm.wait_component("mount", status="unhealthy", reason="auth_failed")
    # Past its longest life, and after all its tokens were revoked, it logs in again, and stays healthy.
    since = sm.component("vault")["since"]
    wait_until(lambda: min(family_values(sm, "skymon_component_checks_total").values()) >= 9, 20, "nine checks")
    shared_bao.do("POST", "sys/leases/revoke-prefix/auth/approle/login")
    before = min(family_values(sm, "skymon_component_checks_total").values())
    wait_until(lambda: min(family_values(sm, "skymon_component_checks_total").values()) >= before + 3, 20, "three checks more")
    found = sm.component("vault")
    assert (found["status"], found["since"], found["last_result"]) == ("healthy", since, None), found
    # One that is refused does not go on until Vault locks the role (at the fifth time) for all.
    assert family_values(sm, "skymon_component_checks_total")['{component="wrong"}'] > 10
    word = shared_bao.do("POST", "auth/approle/role/locked/secret-id", {})["data"]["secret_id"]
    shared_bao.do("POST", "auth/approle/login", {"role_id": locked_role, "secret_id": word})


def test_paths(skymond, shared_bao):
    policy = shared_bao.policy("paths", {"secret/data/grafana/*": ["read"], "kv1/plain": ["read"]})
    token = shared_bao.new_token([policy], ttl="1h")
    rows = {  # name: (path, status, reason, words)
        "second": ("grafana/api_key#key", "healthy", "ok", ""),
        "mount": ("secret/grafana/api_key#number", "healthy", "ok", ""),
        "first": ("/kv1/plain#key", "healthy", "ok", ""),
        "nothing": ("grafana/none#key", "unhealthy", "body_mismatch", "no such path"),
        "field": ("grafana/api_key#other", "unhealthy", "body_mismatch", "field other"),
        "object": ("grafana/api_key#nested", "unhealthy", "body_mismatch", "field nested"),
        "forbidden": ("database/orders#password", "unhealthy", "auth_failed", "denies the token access"),
        "foreign": ("/sys/auth#x", "unhealthy", "auth_failed", "denies the token access"),
        "dots": ("../sys/auth#x", "unknown", "other", "path"),
    }
    sm = skymond(config({name: part(shared_bao.url, token=token, read=row[0]) for name, row in rows.items()}))
    for name, (path, status, reason, words) in rows.items():
        what = "path can be read" if status == "healthy" else f"path: {words or path}"
        found = cell(sm, what, status, reason, words, name=name, secrets=[token])
        assert found["details"].get("readable") is (None if status == "unknown" else status == "healthy"), found


def test_mount_that_may_not_be_looked_at(skymond, shared_bao):
    """A token of a proxy that forbids sys/internal: both versions are tried."""
    behind = Stand(forward=shared_bao.url, forbid="/v1/sys/internal/")
    try:
        sm = skymond(config({
            "second": part(behind.url, token=shared_bao.token, read="grafana/api_key#key"),
            "first": part(behind.url, token=shared_bao.token, mount="kv1", read="plain#key"),
            "nothing": part(behind.url, token=shared_bao.token, read="none#key")}))
        sm.wait_component("second", status="healthy")
        sm.wait_component("first", status="healthy")
        sm.wait_component("nothing", status="unhealthy", reason="body_mismatch")
    finally:
        behind.close()


def test_namespaces(skymond, shared_bao):
    shared_bao.do("POST", "sys/namespaces/team1", {})
    shared_bao.do("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}, namespace="team1")
    wait_until(lambda: shared_bao.api("POST", "secret/data/only/here", {"data": {"key": SECRET}}, namespace="team1").status_code == 200,
               20, "KV in the namespace")
    sm = skymond(config({
        "there": part(shared_bao.url, token=shared_bao.token, namespace="team1", read="only/here#key"),
        "root": part(shared_bao.url, token=shared_bao.token, read="only/here#key"),
        "none": part(shared_bao.url, token=shared_bao.token, namespace="team2")}))
    sm.wait_component("there", status="healthy")
    sm.wait_component("root", status="unhealthy", reason="body_mismatch")
    found = sm.wait_component("none", status="unhealthy", reason="body_mismatch")
    assert "no such namespace" in found["message"], found


# ---- TLS ----

def test_tls(skymond, bao, certs, tmp_path):
    pem, key = tmp_path / "server.pem", tmp_path / "server.key"
    certs.copy("good", pem, key)
    one = bao(certificate=(pem, key))
    sm = skymond(config({
        "ours": part(one.url, token=one.token, tls={"ca_file": certs.ca}),
        "other": part(one.url, tls={"ca_file": certs.other_ca}),
        "system": part(one.url),
        "named": part(one.url, tls={"ca_file": certs.ca, "server_name": "good.test"}),
        "wrong": part(one.url, tls={"ca_file": certs.ca, "server_name": "no.test"}),
        "insecure": part(one.url, tls={"insecure": True}),
        "plain": part(one.url.replace("https", "http"))}))
    cell(sm, "good certificate", "healthy", "ok", name="ours", secrets=[one.token])
    sm.wait_component("named", status="healthy")
    sm.wait_component("insecure", status="healthy")
    cell(sm, "certificate of another authority", "unhealthy", "tls_untrusted", "issuer", name="other")
    sm.wait_component("system", status="unhealthy", reason="tls_untrusted")
    cell(sm, "certificate for another name", "unhealthy", "tls_untrusted", "no.test", name="wrong")
    cell(sm, "http asked of https", "unhealthy", "http_status", "HTTP 400", name="plain")
    # A new certificate counts for new connections.
    for name, reason, words in (("expired", "tls_expired", "expired"), ("early", "tls_expired", "not yet valid"),
                                ("wrong_name", "tls_untrusted", "for the name 127.0.0.1"), ("untrusted", "tls_untrusted", "issuer")):
        one.stop()
        certs.copy(name, pem, key)
        one.start()
        cell(sm, f"certificate: {name}", "unhealthy", reason, words, name="ours")
        assert sm.component("insecure")["status"] in ("healthy", "unhealthy")
    one.stop()
    certs.copy("good", pem, key)
    one.start()
    cell(sm, "good certificate again", "healthy", "ok", name="ours", secrets=[one.token])


def test_authorities_are_replaced(skymond, bao, certs, tmp_path):
    """The file that `tls.ca_file` names counts as it is now."""
    one, file = bao(certificate=(certs.pem("good"), certs.key("good"))), tmp_path / "ca.pem"
    file.write_text(open(certs.other_ca, encoding="ascii").read())
    sm = skymond(watching(one.url, tls={"ca_file": str(file)}))
    cell(sm, "authority that is not the server's", "unhealthy", "tls_untrusted", "issuer")
    file.write_text(open(certs.ca, encoding="ascii").read())
    cell(sm, "authority replaced in its file", "healthy", "ok")


# ---- What is not OpenBao ----

class Stand:
    """Answers /v1/sys/health as it is set; forward: passes everything on, but for paths that begin with `forbid`; delay: s."""

    def __init__(self, code=200, body=None, forward=None, forbid=None, delay=0.0):
        self.code, self.body, self.forward, self.forbid, self.delay, self.count = code, body, forward, forbid, delay, 0
        self.limit = self.health = None
        stand = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                stand.count += 1
                length = int(self.headers.get("Content-Length") or 0)
                sent = self.rfile.read(length)
                time.sleep(stand.delay)
                code, body = stand.code, stand.body
                if stand.limit and self.path.startswith(stand.limit):
                    code, body = 429, '{"errors":["request path \\"x\\": rate limit quota exceeded"]}'
                elif stand.health and self.path == "/v1/sys/health":
                    body = stand.health
                elif stand.health and self.path == "/v1/auth/token/lookup-self":
                    body = '{"data":{"ttl":3600,"creation_ttl":3600,"renewable":false,"expire_time":"x"}}'
                elif stand.health and "/sys/internal/" in self.path:
                    code, body = 403, '{"errors":["1 error occurred:\\n\\t* permission denied\\n\\n"]}'
                elif stand.forbid and self.path.startswith(stand.forbid):
                    code, body = 403, '{"errors":["1 error occurred:\\n\\t* permission denied\\n\\n"]}'
                elif stand.forward:
                    headers = {name: self.headers[name] for name in ("X-Vault-Token", "X-Vault-Namespace") if self.headers[name]}
                    back = requests.request(self.command, stand.forward + self.path, headers=headers, data=sent or None, timeout=10)
                    code, body = back.status_code, back.text
                data = body.encode()
                self.wfile.write((f"HTTP/1.1 {code} Code\r\nContent-Type: application/json\r\n"
                                  f"Content-Length: {len(data)}\r\n\r\n").encode() + data)

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def health(**more):
    return json.dumps({"initialized": True, "sealed": False, "standby": False, "server_time_utc": int(time.time()), "version": "1.15.0",
                       **more})


CODES = {  # of Vault Enterprise and of clusters: (status, reason)
    429: ("healthy", "standby"), 472: ("healthy", "standby"), 473: ("healthy", "standby"), 474: ("degraded", "standby"),
    530: ("unhealthy", "http_status"), 299: ("unhealthy", "http_status")}


def test_codes(skymond):
    stands = {code: Stand(code, health(standby=True)) for code in CODES}
    # The same codes from something in between, which has no health to tell.
    stands |= {f"{code}-bare": Stand(code, "<html>no</html>") for code in (200, 429, 503, 501, 404, 500)}
    try:
        sm = skymond(config({f"c{name}": part(stand.url) for name, stand in stands.items()}))
        for code, (status, reason) in CODES.items():
            found = cell(sm, f"answers {code}", status, reason, name=f"c{code}")
            assert found["details"]["accessible"] is (code != 299), found
        for name in stands:
            if str(name).endswith("bare"):
                status = "unknown" if name == "429-bare" else "unhealthy"  # a rate limit: it is we who do not see
                reason = {"200-bare": "protocol", "429-bare": "resource"}.get(name, "http_status")
                cell(sm, f"answers {name[:3]}, but is not Vault", status, reason, name=f"c{name}")
    finally:
        for stand in stands.values():
            stand.close()


def test_our_own_requests_are_limited(skymond, shared_bao):
    """A 429 for a look-up is our limit: Vault is well as far as it was seen."""
    token = shared_bao.new_token(["default"], ttl="1h")
    stand = Stand(forward=shared_bao.url)
    try:
        sm = skymond(watching(stand.url, token=token))
        sm.wait_component("vault", status="healthy")
        stand.limit = "/v1/auth/token/lookup-self"
        found = cell(sm, "limits our look-up (HTTP 429)", "degraded", "resource", "limits our requests", "were not checked")
        assert found["details"]["accessible"] is True and "authentication_valid" not in found["details"]
        stand.limit = None
        sm.wait_component("vault", status="healthy")
    finally:
        stand.close()


@pytest.mark.parametrize("sibling", [r'"odd":"a\u0000b"', r'"odd":"\ud800"', '"odd":1,"odd":2', '"odd":' + "9" * 400, '"odd":' + "[" * 500 + "]" * 500,
                                     '"odd":NaN', '"":"x"'])
def test_odd_siblings(skymond, sibling):
    """The field that is asked for is read, with anything beside it."""
    body = '{"request_id":"x","lease_duration":0,"data":{"data":{%s,"key":"%s"},"metadata":{"version":1}}}' % (sibling, SECRET)
    stand = Stand(200, body)
    stand.health = health()
    try:
        sm = skymond(config({"vault": part(stand.url, token="t" * 20, read="a/b#key"), "odd": part(stand.url, token="t" * 20, read="a/b#odd")}))
        found = sm.wait_component("vault", status="healthy")
        assert found["details"]["readable"] is True
        truth.hides(sm, [SECRET], found)
        if "NaN" in sibling or "ud800" in sibling or "1," in sibling or "[[" in sibling:
            found = sm.wait_component("odd", status="unhealthy", reason="body_mismatch")
            assert "field odd is " in found["message"], found
    finally:
        stand.close()


def test_a_login_is_revoked_at_stop(skymond, shared_bao):
    policy = shared_bao.policy("reader", {"secret/data/grafana/*": ["read"]})
    role, word = shared_bao.approle("stops", [policy], token_ttl="1h")

    def tokens():
        return set(shared_bao.do("LIST", "auth/token/accessors")["data"]["keys"])
    before = tokens()
    sm = skymond(watching(shared_bao.url, role_id=role, secret_id=word))
    sm.wait_component("vault", status="healthy", reason="ok")
    mine = tokens() - before
    assert len(mine) == 1
    text = sm.config.read_text()
    sm.config.write_text(text.replace("plugin: vault", "plugin: vault\n    renew: false"))
    sm.hup()
    wait_until(lambda: not mine & tokens(), 10, "the token of the changed component to be revoked")
    mine = wait_until(lambda: tokens() - before, 10, "another login")
    sm.stop()
    wait_until(lambda: not mine & tokens(), 10, "the token to be revoked at the daemon's end")


def test_clock(skymond):
    stand = Stand(200, health(server_time_utc=int(time.time()) - 3600))
    try:
        sm = skymond(watching(stand.url, warn={"clock_skew": "10s"}))
        found = cell(sm, "clock an hour behind", "degraded", "threshold_warn", "clock_skew")
        assert -3610 < found["details"]["clock_skew_seconds"] < -3590
    finally:
        stand.close()


def test_slow(skymond, shared_bao):
    behind = Stand(forward=shared_bao.url)
    try:
        sm = skymond(watching(behind.url, warn={"response_time": "150ms"}, crit={"response_time": "450ms"}))
        sm.wait_component("vault", status="healthy")
        behind.delay = 0.2
        cell(sm, "slow", "degraded", "threshold_warn", "response_time")
        behind.delay = 0.5
        cell(sm, "very slow", "unhealthy", "threshold_crit", "response_time")
        behind.delay = 0.0
        cell(sm, "fast again", "healthy", "ok")
    finally:
        behind.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
RAWS = {  # fault: (bytes, hang, flood, reason, words)
    "closes without an answer": (b"", False, False, "protocol", "before it answered"),
    "accepts and is silent": (b"", True, False, "timeout", "did not answer in time"),
    "half an answer": (HEAD + b"Content-Length: 99\r\n\r\n{\"initialized\":true,", False, False, "protocol", "in the middle"),
    "half an answer and silent": (HEAD + b"Content-Length: 99\r\n\r\n{\"initialized\":true,", True, False, "timeout", "did not end it"),
    "garbage": (b"\x00\xff\x13garbage\r\n\r\n" * 9, False, False, "protocol", "not HTTP"),
    "another protocol": (b"220 mail.example.com ESMTP\r\n", True, False, "protocol", "not HTTP"),
    "JSON that is none of Vault's": (HEAD + b"Content-Length: 15\r\n\r\n{\"status\":\"up\"}", False, False, "protocol", "has no `initialized`"),
    "JSON nested without end": (HEAD + b"\r\n" + b"[" * 60000, False, False, "protocol", "is JSON that breaks off"),
    "huge answer": (HEAD + b"\r\n" + b"x" * 60000, False, True, "protocol", "larger than"),
    "huge header": (HEAD + b"X: " + b"x" * 60000 + b"\r\n", False, True, "protocol", ""),
    "headers without end": (HEAD, False, b"X: y\r\n" * 4096, "protocol", "larger than"),
    "trailers without end": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", False, b"X: y\r\n" * 4096, "protocol", "larger than"),
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", False, False, "http_status", "302"),
}


@pytest.mark.asan
def test_not_vault(skymond):
    raws = {name: Raw(*row[:3]) for name, row in RAWS.items()}
    try:
        sm = skymond(config({f"r{i}": part(raw.url) for i, raw in enumerate(raws.values())}))
        for i, (name, (_, _, _, reason, words)) in enumerate(RAWS.items()):
            cell(sm, name, "unhealthy", reason, words, name=f"r{i}")
        assert len(set(sm.children())) == len(sm.children()) and "crashed" not in sm.get("/api/v1/status").text
        for pid in sm.children():  # a flood that lasted for as long as all of this
            size = int(open(f"/proc/{pid}/status").read().split("VmRSS:")[1].split()[0])
            assert size < (400 if SLOW > 1 else 64) * 1024, f"{size} KiB"
    finally:
        for raw in raws.values():
            raw.close()


def test_metrics_pass_promtool(skymond, shared_bao):
    import subprocess
    from harness import need
    token = shared_bao.new_token(["default"], ttl="1h")
    sm = skymond(watching(shared_bao.url, token=token))
    sm.wait_component("vault", status="healthy")
    text = "\n".join(line for line in sm.metrics().splitlines() if "sky_genesis" not in line) + "\n"
    assert {"skymon_vault_sealed", "skymon_vault_token_ttl_seconds", "skymon_vault_secrets_total"} <= {
        line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    done = subprocess.run([need("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and not done.stderr, done.stderr

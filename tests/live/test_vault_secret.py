# SPDX-License-Identifier: Apache-2.0
"""Secrets of components that come from a real OpenBao: rotated there, read again before a lease ends, remembered while it is down, and
never shown anywhere."""
import json
import os
import pathlib
import signal
import time

import pytest

import truth
from harness import SLOW, Postgres, family_values, wait_until
from openbao import OpenBao
from test_secrets import grep
from test_vault import Stand, config, part

FIRST, SECOND, THIRD = "first-geheim-11", "second-geheim-22", "third-geheim-33"


@pytest.fixture
def bao():
    one = OpenBao()
    yield one
    one.close()


def reader(bao, **options):
    """A token that may read what the consumers want."""
    policy = bao.policy("consumers", {"secret/data/*": ["read"], "kv1/*": ["read"], "postgres/creds/*": ["read"]})
    return bao.new_token([policy], **{"ttl": "1h", **options})


def orders(pg, password):
    pg.psql(f"create role orders login password '{password}'")
    return {"plugin": "database", "interval": "1s", "timeout": "2s", "url": pg.url(user="orders", password=None),
            "password": {"vault": "database/orders#password"}}


def rotate(pg, password):
    pg.psql(f"alter role orders password '{password}'")
    pg.psql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'orders'")


def lock(path, tmp_path, name="right", **options):
    """t_lock: healthy while the secret is what the file says."""
    return {"plugin": "t_lock", "interval": "500ms", "file": str(tmp_path / name), "secret": {"vault": path}, **options}


def shown(sm, *more):
    """Nowhere: log, answers, arguments and environments of all our processes."""
    assert grep(sm, FIRST, SECOND, THIRD, *more) == []
    for path in ("/", "/api/v1/health/db", "/api/v1/health/vault"):
        text = sm.get(path).text
        assert not [word for word in (FIRST, SECOND, THIRD, *more) if word in text]


def cell(sm, fault, status, reason, *words, **options):
    return truth.cell("secret from vault", fault, sm, "db", status=status, reason=reason, words=words,
                      secrets=[FIRST, SECOND, THIRD], **options)


@pytest.mark.sanitized
def test_rotation(skymond, bao, fresh_postgres):
    """The database's password comes from OpenBao, and is rotated there: the component recovers by itself."""
    pg = fresh_postgres()
    token = reader(bao)
    bao.put("database/orders", password=FIRST)
    sm = skymond(config({"db": orders(pg, FIRST), "vault": part(bao.url, token=token)}))
    cell(sm, "none", "healthy", "ok")
    assert not any("auth_failed" in line for line in sm.log_lines())  # that Vault's component only started was no news
    for word in (SECOND, THIRD):
        # PostgreSQL first: until Vault has the new one the old one is refused, which is said.
        rotate(pg, word)
        found = cell(sm, "rotated in the server only", "unhealthy", "auth_failed", within=4)
        assert "refused the password" in found["message"]
        bao.put("database/orders", password=word)
        cell(sm, "rotated in Vault too", "healthy", "ok", within=8)
    shown(sm, token, bao.token, bao.unseal_key)


def test_vault_is_down_at_the_start(skymond, bao, fresh_postgres):
    pg = fresh_postgres()
    token = reader(bao)
    bao.put("database/orders", password=FIRST)
    bao.stop()
    sm = skymond(config({"db": orders(pg, FIRST), "vault": part(bao.url, token=token)}))
    found = cell(sm, "Vault is down at the start", "unknown", "auth_failed", "vault", "connection refused", within=6)
    assert "database/orders#password" in found["message"] and f"127.0.0.1:{bao.port}" in found["message"], found
    bao.start(unseal=False)
    cell(sm, "Vault is sealed at the start", "unknown", "auth_failed", "sealed", within=40)
    bao.unseal()
    cell(sm, "Vault has come up", "healthy", "ok", within=40)
    shown(sm, token)


@pytest.mark.sanitized
def test_vault_goes_later(skymond, bao, fresh_postgres):
    """A running consumer goes on; one that starts again gets the last value; one that is refused waits for Vault."""
    pg = fresh_postgres()
    token = reader(bao)
    bao.put("database/orders", password=FIRST)
    sm = skymond(config({"db": orders(pg, FIRST), "vault": part(bao.url, token=token)}))
    cell(sm, "none", "healthy", "ok")
    since = sm.component("db")["since"]
    bao.stop()
    sm.wait_component("vault", status="unhealthy", reason="refused")
    before = family_values(sm, "skymon_component_checks_total")['{component="db"}']
    wait_until(lambda: family_values(sm, "skymon_component_checks_total")['{component="db"}'] >= before + 3, 10, "three checks more")
    found = cell(sm, "Vault goes down later", "healthy", "ok")
    assert found["since"] == since

    # Its worker dies: the new one asks for the password, and Vault's component remembers it.
    worker = worker_of(sm, "database")
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: worker_of(sm, "database") not in (None, worker), 20, "a new worker")
    cell(sm, "started anew while Vault is down", "healthy", "ok", within=20)
    wait_until(lambda: family_values(sm, "skymon_vault_secrets_total")['{component="vault",result="remembered"}'] >= 1, 5, "it to be counted")

    # A value that was refused is not answered from memory.
    rotate(pg, SECOND)
    cell(sm, "rotated while Vault is down", "unhealthy", "auth_failed", within=4)
    bao.start()
    bao.put("database/orders", password=SECOND)
    cell(sm, "Vault is back", "healthy", "ok", within=40)
    shown(sm, token)


def worker_of(sm, plugin):
    for pid in sm.children():
        if plugin.encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return None


# ---- What is kept, and where ----

def test_kinds_of_values(skymond, bao, tmp_path):
    bao.put("app/one", text=FIRST, number=42, real=0.5, flag=True, nested={"a": "b"}, empty="", lines="a\nb\n")
    bao.put("app/old", mount="kv1", text=SECOND)
    files = {"text": FIRST, "number": "42", "real": "0.5", "flag": "true", "lines": "a\nb\n", "old": SECOND}
    for name, text in files.items():
        (tmp_path / name).write_bytes(text.encode())
    good = {"text": "app/one#text", "number": "secret/app/one#number", "real": "/secret/app/one#real", "flag": "app/one#flag",
            "lines": "app/one#lines", "old": "/kv1/app/old#text"}
    bad = {"object": ("app/one#nested", "is not a string"), "field": ("app/one#nothing", "no field"), "path": ("app/none#x", "no such path"),
           "foreign": ("/sys/auth#x", "denies the token access"), "dots": ("app/../../sys/auth#x", "path")}
    sm = skymond(config({
        "vault": part(bao.url, token=reader(bao)),
        **{f"good-{name}": lock(path, tmp_path, name) for name, path in good.items()},
        **{f"bad-{name}": lock(path, tmp_path) for name, (path, _) in bad.items()}}))
    for name in good:
        sm.wait_component(f"good-{name}", status="healthy")
    for name, (path, words) in bad.items():
        found = sm.wait_component(f"bad-{name}", status="unknown", reason="auth_failed")
        assert words in found["message"] and path in found["message"], found
    assert grep(sm, FIRST, SECOND) == []


def test_the_end_of_a_lease(skymond, bao, tmp_path):
    """KV version 1 says how long a value holds: it is read again before that, without a refusal."""
    bao.put("app/brief", mount="kv1", text=FIRST, ttl="3s")
    (tmp_path / "right").write_text(FIRST)
    sm = skymond(config({"vault": part(bao.url, token=reader(bao)), "lock": lock("/kv1/app/brief#text", tmp_path)}))
    sm.wait_component("lock", status="healthy")
    (tmp_path / "right").unlink()  # so that nothing is refused
    bao.put("app/brief", mount="kv1", text=SECOND, ttl="3s")
    (tmp_path / "next").write_text(SECOND)
    began = time.monotonic()
    wait_until(lambda: family_values(sm, "skymon_vault_secrets_total")['{component="vault",result="read"}'] >= 3, 15, "reads without a refusal")
    assert time.monotonic() - began <= 9 * SLOW
    os.rename(tmp_path / "next", tmp_path / "right")
    sm.wait_component("lock", status="healthy", timeout=3)
    assert grep(sm, FIRST, SECOND) == []


def test_dynamic_secrets(skymond, bao, fresh_postgres, tmp_path):
    """A role of PostgreSQL that Vault makes for us: all who ask within a moment share one lease, and it is renewed before its end."""
    pg = fresh_postgres()
    bao.do("POST", "sys/mounts/postgres", {"type": "database"})
    bao.do("POST", "postgres/config/pg", {
        "plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "username": "postgres", "password": Postgres.PASSWORD,
        "connection_url": f"postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{pg.port}/postgres?sslmode=disable"})
    bao.do("POST", "postgres/roles/app", {
        "db_name": "pg", "default_ttl": "6s", "max_ttl": "6s",
        "creation_statements": ["create role \"{{name}}\" login password '{{password}}' valid until '{{expiration}}'"]})
    (tmp_path / "right").write_text("never")
    # Nothing is refused here: with no file to compare with, the consumer cannot check its secret.
    sm = skymond(config({"vault": part(bao.url, token=reader(bao)),
                         "user": lock("/postgres/creds/app#username", tmp_path, "gone"),
                         "word": lock("/postgres/creds/app#password", tmp_path, "gone")}))

    def roles():
        return set(pg.psql("select rolname from pg_roles where rolname like 'v-%'").split())
    first = wait_until(roles, 10, "a role")
    wait_until(lambda: family_values(sm, "skymon_vault_secrets_total")['{component="vault",result="read"}'] >= 2, 10, "two answers")
    assert len(first) == 1 and roles() == first, roles()  # one for both
    wait_until(lambda: roles() - first, 10, "a new role before the first one ends")
    wait_until(lambda: not first & roles(), 15, "the end of the first lease")


def test_a_login_that_was_revoked(skymond, bao, tmp_path):
    """The token of the AppRole login is gone: who asks for a secret does not notice."""
    policy = bao.policy("consumers", {"secret/data/*": ["read"]})
    role, word = bao.approle("skymon", [policy], token_ttl="1h")
    bao.put("app/one", text=FIRST)
    (tmp_path / "right").write_text(FIRST)
    sm = skymond(config({"vault": part(bao.url, role_id=role, secret_id=word, interval="1h"), "lock": lock("app/one#text", tmp_path)}))
    sm.wait_component("lock", status="healthy")
    bao.do("POST", "sys/leases/revoke-prefix/auth/approle/login")
    bao.put("app/one", text=SECOND)
    (tmp_path / "right").write_text(SECOND)
    sm.wait_component("lock", status="unhealthy", reason="auth_failed")
    sm.wait_component("lock", status="healthy", timeout=12)
    assert grep(sm, FIRST, SECOND, word) == []


def test_a_token_that_may_not(skymond, bao, tmp_path):
    bao.put("app/one", text=FIRST)
    token = bao.new_token(["default"], ttl="1h")
    (tmp_path / "right").write_text(FIRST)
    sm = skymond(config({"vault": part(bao.url, token=token), "none": part(bao.url), "lock": lock("app/one#text", tmp_path),
                         "bare": {**lock("x", tmp_path), "secret": {"none": "app/one#text"}}}))
    found = sm.wait_component("lock", status="unknown", reason="auth_failed")
    assert "denies the token access" in found["message"], found
    found = sm.wait_component("bare", status="unknown", reason="auth_failed")
    assert "neither `token` nor `role_id`" in found["message"], found
    bao.policy("default", {"secret/data/app/one": ["read"], "auth/token/lookup-self": ["read"]})
    sm.wait_component("lock", status="healthy", timeout=40)


def test_nobody_is_hammered(skymond, tmp_path):
    """Many consumers, and a Vault that is out of order: it is asked seldom, and less and less."""
    stand = Stand(500, '{"errors":["internal error"]}')
    (tmp_path / "right").write_text(FIRST)
    try:
        sm = skymond(config({"vault": part(stand.url, token="geheim", interval="1h", timeout="1s"),
                             **{f"lock{i}": lock(f"app/{i}#text", tmp_path) for i in range(12)}}))
        for i in range(12):
            found = sm.wait_component(f"lock{i}", status="unknown", reason="auth_failed")
            assert "HTTP 500" in found["message"], found
        time.sleep(6)  # the time itself is tested: three rounds of twelve who ask again
        assert stand.count <= 8, stand.count
    finally:
        stand.close()


def test_seed_command(skymond, bao, tmp_path):
    """`vault kv put secret/grafana/api_key key=…`, as the program itself does it."""
    import subprocess
    from openbao import program
    subprocess.run([program(), "kv", "put", "secret/grafana/api_key", f"key={FIRST}"], check=True, capture_output=True, timeout=30,
                   env={"PATH": os.environ["PATH"], "BAO_ADDR": bao.url, "BAO_TOKEN": bao.token, "HOME": str(tmp_path)})
    (tmp_path / "right").write_text(FIRST)
    sm = skymond(config({"vault": part(bao.url, token=reader(bao)), "lock": lock("grafana/api_key#key", tmp_path)}))
    found = sm.wait_component("lock", status="healthy")
    assert found["details"]["secret_size"] == len(FIRST) and FIRST not in json.dumps(found)

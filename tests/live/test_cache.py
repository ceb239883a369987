# SPDX-License-Identifier: Apache-2.0
"""cache: a real Redis that is stopped, frozen, paused, slowed, filled, restarted, replicated, locked. Each fault is a cell of the truth
table: status, reason, sentence, time, no secret shown. TLS, proxy, names, and servers other than Redis: test_cache_link.py."""
import json
import os
import socket
import subprocess
import threading
import time

import pytest

import truth
from harness import SLOW, SOURCE, need, run_skymond, run_tool, wait_until
from redis_server import SECRET, Relay, RedisError, cell, config, connects, fake, part, redis, value  # noqa: F401


# ---- Redis as it should be ----

@pytest.mark.sanitized
def test_healthy(skymond, redis):
    server = redis(maxmemory="100mb", maxmemory_policy="allkeys-lru")
    server.command("set", "a", "1")
    sm = skymond(config(c=part(server.url())))
    found = cell("none", sm, "healthy", "ok", f"127.0.0.1:{server.port}: Redis ", "primary")
    details = found["details"]
    assert details["server"] == "Redis" and details["role"] == "primary" and details["keys"] == 1 and details["tls"] == "none"
    assert details["max_memory_bytes"] == 100 << 20 and details["max_memory_policy"] == "allkeys-lru"
    assert 0 < details["memory_used_percent"] < 10 and details["max_clients"] > 0 and details["replicas"] == 0
    assert 0.000005 < details["ping_seconds"] < 1
    # The truth of the server's own words.
    info = dict(line.split(":", 1) for line in server.command("info").splitlines() if ":" in line)
    assert details["server_version"] == info["redis_version"]
    assert abs(details["used_memory_bytes"] - int(info["used_memory"])) < 1 << 20
    wait_until(lambda: sm.component("c")["details"]["connected_clients"] == 1, 10, "one client: ours")
    # One connection, kept.
    checks = value(sm, "skymon_component_checks_total")
    wait_until(lambda: value(sm, "skymon_component_checks_total") > checks + 3, 10, "more checks")
    assert connects(sm) == 1 and len(server.clients()) == 1


def test_hit_rate(skymond, redis):
    server = redis()
    sm = skymond({**config(c=part(server.url(), interval="700ms", warn={"hit_rate": "<50%"})),
                  "service": {"name": "api", "metrics": {"cache_hit_rate_percent": "c"}}})
    found = sm.wait_component("c", status="healthy")
    assert "not known" in found["details"]["cache_hit_rate"] and "cache_hit_rate_percent" not in found["details"]
    assert value(sm, "sky_genesis_cache_hit_rate_percent") is None  # no look-up: no number

    def rates(hits, misses, of_interval, in_all):
        """hits and misses come between two checks, in one transaction."""
        server.command("eval", f"for i=1,{hits} do redis.call('get','a') end for i=1,{misses} do redis.call('get','no') end", "0")

        def look():
            details = sm.component("c")["details"]
            assert "the last" in details.get("cache_hit_rate_over", ""), details
            return (round(details["cache_hit_rate_percent"], 6), round(details["cache_hit_rate_percent_in_all"], 6)) == (of_interval,
                                                                                                                        in_all)
        wait_until(look, 10, f"{of_interval} of 100 in the interval, {in_all} in all")
        assert value(sm, "sky_genesis_cache_hit_rate_percent") in (of_interval, in_all)  # the interval may be over already

    server.command("set", "a", "1")
    rates(3, 1, 75, 75)
    rates(0, 4, 0, 37.5)
    sm.wait_component("c", status="degraded", reason="threshold_warn")  # 37.5 of 100 of all time, or 0 of the last interval
    rates(72, 0, 100, 93.75)
    # Quiet again: what is said is of all time, and says so.
    found = wait_until(lambda: (c := sm.component("c"))["details"]["cache_hit_rate_over"].startswith("all time") and c, 10, "quiet")
    assert found["details"]["cache_hit_rate_percent"] == 93.75 and found["status"] == "healthy"
    assert value(sm, "sky_genesis_cache_hit_rate_percent") == 93.75
    assert (value(sm, "skymon_cache_hits_total"), value(sm, "skymon_cache_requests_total")) == (75, 80)
    # Counters that begin again do not give a negative rate.
    server.command("config", "resetstat")
    rates(1, 3, 25, 25)


def test_unix_socket_database_and_other_words(skymond, redis):
    server = redis(databases=4)
    sm = skymond(config(
        unix=part(f"unix:{server.socket}"), unix3=part(f"unix://{server.socket}?db=3"), two=part(server.url(database=2)),
        valkey=part(server.url(scheme="valkey")), nine=part(server.url(database=9)), gone=part("unix:/nowhere/redis.sock"),
        name=part(f"redis://localhost:{server.port}")))
    for name in ("unix", "unix3", "two", "valkey", "name"):
        sm.wait_component(name, status="healthy")
    assert str(server.socket) in sm.component("unix")["message"]
    cell("no such database", sm, "unhealthy", "query_error", "DB index is out of range", name="nine")
    cell("no such socket", sm, "unhealthy", "refused", "no such socket", name="gone")

    def databases():  # of connections that have asked for INFO last
        lines = server.command("client", "list").splitlines()
        return sorted(line.split(" db=")[1].split()[0] for line in lines if "cmd=info" in line)

    wait_until(lambda: databases()[-2:] == ["2", "3"], 10, "connections to the databases 2 and 3")


def test_urls_that_cannot_be():
    urls = {"a": (f"http://x:{SECRET}@h", "redis://"), "b": (f"redis://x:{SECRET}/@h", "%2F"), "c": ("redis://h/x", "not the number"),
            "d": (f"redis://h?password={SECRET}", "options of their own"), "e": ("unix:relative", "whole path"),
            "f": (SECRET, "no ://"), "g": ("unix:/x?db=y", "?db=NUMBER")}
    parts = {name: part(url) for name, (url, _) in urls.items()}
    parts["p"] = part("redis://h", proxy=f"https://u:{SECRET}@p")
    parts["q"] = part("unix:/x", proxy="http://p:1")
    done = run_skymond(config(**parts, none=part("")), "--check-config")
    assert done.returncode == 2 and SECRET not in done.stderr, done
    assert not any("level=error" in line and "component none " in line for line in done.stderr.splitlines()), done.stderr
    for name, (_, words) in {**urls, "p": ("", "proxy"), "q": ("", "neither")}.items():
        assert any(f"component {name} " in line and words in line for line in done.stderr.splitlines()), (name, done.stderr)


def test_not_configured_names_the_variable(skymond, redis):
    server = redis()
    sm = skymond(config(c={"plugin": "cache", "interval": "300ms"}))
    assert "REDIS_URL" in sm.wait_component("c", status="unknown", reason="not_configured")["message"]
    other = skymond(config(c={"plugin": "cache", "interval": "300ms"}), env={"REDIS_URL": server.url()})
    other.wait_component("c", status="healthy")


@pytest.mark.sanitized
def test_many_at_once(skymond, redis, certs):
    server = redis(tls=certs)
    parts = {f"p{i}": part(server.url(), interval="200ms", timeout="5s") for i in range(15)}
    parts |= {f"t{i}": part(server.url(scheme="rediss"), interval="200ms", timeout="5s", tls={"ca_file": certs.ca}) for i in range(15)}
    sm = skymond(config(**parts))
    for name in parts:
        sm.wait_component(name, status="healthy")
    before = int(server.command("info", "stats").split("total_commands_processed:")[1].split()[0])
    wait_until(lambda: int(server.command("info", "stats").split("total_commands_processed:")[1].split()[0]) > before + 300, 30,
               "five checks of each")
    assert all(sm.component(name)["consecutive_failures"] == 0 for name in parts)
    sm.stop()
    wait_until(lambda: server.clients() == [], 10, "no connection to be left")


def test_promtool_finds_nothing(skymond, redis):
    primary = redis(maxmemory="50mb")
    replica = redis(replicaof=["127.0.0.1", primary.port])
    primary.command("get", "x")
    sm = skymond(config(c=part(primary.url()), r=part(replica.url())))
    wait_until(lambda: 'skymon_cache_replication_lag_bytes{component="c"}' in sm.metrics() and
               'skymon_cache_replication_lag_seconds{component="r"}' in sm.metrics(), 20, "all families")
    done = subprocess.run([need("promtool"), "check", "metrics"], input=sm.metrics(), capture_output=True, text=True, timeout=30)
    assert [line for line in done.stderr.splitlines() if "skymon_cache" in line] == []
    assert "error while linting" not in done.stderr
    assert sum(line.startswith("# TYPE skymon_cache_") for line in sm.metrics().splitlines()) >= 21


# ---- Redis in trouble ----

@pytest.mark.sanitized
def test_stopped_and_brought_back(skymond, redis):
    server = redis()
    sm = skymond(config(c=part(server.url())))
    sm.wait_component("c", status="healthy")
    server.stop()
    cell("stopped", sm, "unhealthy", "refused", f"127.0.0.1:{server.port}: connection refused")
    server.start()
    cell("started again", sm, "healthy", "ok")


@pytest.mark.sanitized
def test_frozen_and_paused(skymond, redis):
    server = redis()
    sm = skymond(config(c=part(server.url())))
    sm.wait_component("c", status="healthy")
    server.pause()
    cell("frozen (SIGSTOP)", sm, "unhealthy", "timeout", "did not answer PING in time")
    server.resume()
    cell("thawed", sm, "healthy", "ok")
    over = time.monotonic() + 3 * SLOW
    server.command("client", "pause", int(3000 * SLOW), "all")  # it cannot be ended early: CLIENT UNPAUSE waits too
    cell("CLIENT PAUSE", sm, "unhealthy", "timeout", "did not answer PING in time")
    wait_until(lambda: time.monotonic() > over, 5, "the end of the pause")
    cell("pause over", sm, "healthy", "ok")


def test_slow(skymond, redis):
    server = redis()
    relay = Relay(server.port)
    try:
        sm = skymond(config(c=part(f"redis://127.0.0.1:{relay.port}", warn={"ping_time": "150ms"}, crit={"ping_time": "300ms"})))
        sm.wait_component("c", status="healthy")
        relay.delay = 0.2
        found = cell("slow (threshold)", sm, "degraded", "threshold_warn", "ping_time")
        assert found["details"]["ping_seconds"] >= 0.2
        relay.delay = 0.35  # twice in a check, which has 1 s
        assert cell("slower (threshold)", sm, "unhealthy", "threshold_crit", "ping_time")["details"]["ping_seconds"] >= 0.35
        relay.delay = 0
        cell("quick again", sm, "healthy", "ok")
    finally:
        relay.close()


def test_connection_lost_under_a_question_is_no_outage(skymond, redis):
    server = redis()
    relay = Relay(server.port)
    try:
        sm = skymond(config(c=part(f"redis://127.0.0.1:{relay.port}")))
        first = sm.wait_component("c", status="healthy")
        for count in (2, 3):
            relay.cut = True
            wait_until(lambda: connects(sm) == count, 10, "a new connection")
        found = sm.component("c")
        assert (found["status"], found["since"], found["consecutive_failures"]) == ("healthy", first["since"], 0)
    finally:
        relay.close()


def test_restart_under_a_kept_connection(skymond, redis):
    """Between two checks: the next one finds the connection gone and a server there; so does it when it is only thrown out."""
    server = redis()
    sm = skymond(config(c=part(server.url(), interval="4s")))
    before = 0

    def restart():
        nonlocal before
        before = connects(sm)
        server.stop()
        server.start()

    def throw_out():
        nonlocal before
        before = connects(sm)
        server.command("client", "kill", "type", "normal", "skipme", "yes")
    for deed in (throw_out, restart):
        truth.restarted("cache", sm, "c", deed)
        assert connects(sm) == before + 1
    truth.hides(sm, [SECRET])


def test_full_of_clients(skymond, redis):
    server = redis(maxclients=4)
    sm = skymond(config(c=part(server.url(), warn={"clients_used": "60%"})))
    sm.wait_component("c", status="healthy")
    clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
    cell("many clients (threshold)", sm, "degraded", "threshold_warn", "clients_used")
    clients.append(socket.create_connection(("127.0.0.1", server.port)))
    other = skymond(config(c=part(server.url())))
    cell("no connection left", other, "unhealthy", "resource", "no connection left")
    for client in clients:
        client.close()
    cell("connections again", other, "healthy", "ok")
    cell("fewer clients", sm, "healthy", "ok")


def test_memory(skymond, redis):
    server = redis(maxmemory="100mb", maxmemory_policy="noeviction")
    sm = skymond(config(c=part(server.url(), warn={"memory_used": "70%"}), e=part(server.url(), warn={"evicted_keys": 0})))
    sm.wait_component("c", status="healthy")
    server.command("set", "a", "x" * 5_000_000)

    def limit_to(share):
        """maxmemory such that what is used now is this share of it."""
        used = int(server.command("info", "memory").split("used_memory:")[1].split()[0])
        server.command("config", "set", "maxmemory", int(used / share))
    limit_to(0.8)
    found = cell("much memory used (threshold)", sm, "degraded", "threshold_warn", "memory_used")
    assert 75 < found["details"]["memory_used_percent"] < 85
    limit_to(1.2)
    with pytest.raises(RedisError, match="OOM"):
        server.command("set", "b", "1")
    cell("memory full, noeviction", sm, "degraded", "resource", "noeviction", "refuses writes")
    server.command("config", "set", "maxmemory-policy", "allkeys-lru")
    server.command("set", "b", "1")
    assert "evicted_keys" in cell("evictions (threshold)", sm, "degraded", "threshold_warn", "evicted_keys", name="e")["message"]
    wait_until(lambda: sm.component("e")["details"]["evicted_keys"] == 1, 10, "one evicted key")
    cell("memory again", sm, "healthy", "ok")
    cell("no more evictions", sm, "healthy", "ok", name="e")


# ---- Login ----

@pytest.mark.asan
def test_wrong_password_then_right(skymond, redis, tmp_path):
    server = redis(requirepass=SECRET)
    word = tmp_path / "word"
    word.write_text("not-the-word\n")
    word.chmod(0o600)
    sm = skymond(config(c=part(server.url(), password={"file": str(word)}), none=part(server.url()),
                        url=part(server.url(password="in-the-url")), over=part(server.url(password="wrong"), password=SECRET)))
    cell("wrong password", sm, "unhealthy", "auth_failed", "refused the password", secrets=["not-the-word"])
    cell("no password", sm, "unhealthy", "auth_failed", "none is configured", name="none")
    cell("wrong password in the URL", sm, "unhealthy", "auth_failed", name="url", secrets=["in-the-url"])
    sm.wait_component("over", status="healthy")
    word.write_text(SECRET + "\n")  # read again, because the check said that it was refused
    began = time.monotonic()
    found = sm.wait_component("c", status="healthy")
    assert time.monotonic() - began < 12 * SLOW, found
    truth.hides(sm, [SECRET], found)


def test_acl_user(skymond, redis):
    server = redis(maxmemory="100mb")
    acl, = truth.rights("ACL SETUSER")
    assert f"`{acl}`" in (SOURCE / "doc/production.md").read_text()
    server.command(*acl.replace("PASSWORD", SECRET).split())
    server.command("get", "a")
    sm = skymond(config(
        c=part(server.url(), username="skymon", password=SECRET), url=part(server.url(user="skymon", password=SECRET)), all=part(server.url()),
        wrong=part(server.url(), username="checker", password="nonsense"), nobody=part(server.url(), username="nobody", password=SECRET),
        needless=part(server.url(), password=SECRET), select=part(server.url(database=1), username="skymon", password=SECRET)))
    sm.wait_component("c", status="healthy")
    numbers = wait_until(lambda: {"hit_rate", "evicted_keys"} <= (all := sm.component("all")["numbers"].keys()) and all, 10, "the owner's numbers")
    wait_until(lambda: sm.component("c")["numbers"].keys() == numbers, 10, "all of them")
    sm.wait_component("url", status="healthy")
    cell("wrong password of an ACL user", sm, "unhealthy", "auth_failed", name="wrong", secrets=["nonsense"])
    cell("no such ACL user", sm, "unhealthy", "auth_failed", name="nobody")
    cell("password where none is needed", sm, "unhealthy", "auth_failed", "the server has none", name="needless")
    cell("no right to SELECT", sm, "unhealthy", "auth_failed", "+select", name="select")
    for right in "info", "ping":
        server.command("acl", "setuser", "skymon", f"-{right}")
        found = cell(f"no right to {right.upper()}", sm, "unhealthy", "auth_failed", f"+{right}")
        assert "user skymon" not in found["message"]
        server.command("acl", "setuser", "skymon", f"+{right}")
        cell("right given", sm, "healthy", "ok")
    server.command("acl", "setuser", "skymon", "+select")
    sm.wait_component("select", status="healthy")
    server.command("acl", "deluser", "skymon")
    cell("ACL user removed", sm, "unhealthy", "auth_failed")


# ---- Busy with other things ----

def test_loading(skymond, redis):
    server = redis(enable_debug_command="yes")
    server.command("debug", "populate", "3000")
    server.command("save")
    sm = skymond(config(c=part(server.url())))
    sm.wait_component("c", status="healthy")
    server.stop()
    server.start(key_load_delay=2000, loading_process_events_interval_bytes=1024)
    found = cell("loading its data", sm, "unhealthy", "other", "loading its data")
    assert found["details"]["loading"] is True and 0 <= found["details"]["loaded_percent"] < 100
    assert sm.wait_component("c", timeout=30, status="healthy")["details"]["keys"] == 3000


def test_busy_with_a_script(skymond, redis):
    server = redis(busy_reply_threshold=50)
    sm = skymond(config(c=part(server.url())))
    sm.wait_component("c", status="healthy")
    script = threading.Thread(target=lambda: pytest.raises(RedisError, server.command, "eval", "while true do end", "0", timeout=60))
    script.start()
    try:
        cell("busy with a script", sm, "unhealthy", "other", "busy with a script")
    finally:
        server.command("script", "kill")
        script.join()
    cell("script ended", sm, "healthy", "ok")


def test_cannot_save(skymond, redis):
    server = redis(enable_protected_configs="yes")
    place = server.folder.path / "place"
    place.mkdir()
    server.command("config", "set", "dir", place)
    server.command("config", "set", "save", "3600 1")
    sm = skymond(config(c=part(server.url())))
    sm.wait_component("c", status="healthy")
    place.rmdir()
    server.command("bgsave")
    cell("cannot save, takes no writes", sm, "unhealthy", "other", "cannot save")
    server.command("config", "set", "stop-writes-on-bgsave-error", "no")
    cell("cannot save, takes writes", sm, "degraded", "other", "rdb_last_bgsave_status")
    server.command("config", "set", "dir", server.folder.path)
    server.command("bgsave")
    cell("saved", sm, "healthy", "ok")


# ---- Replication ----

def test_replica(skymond, redis):
    primary = redis()
    replica = redis(replicaof=["127.0.0.1", primary.port])
    sm = skymond(config(c=part(replica.url()), main=part(primary.url())))
    found = cell("replica", sm, "healthy", "ok", "replica")
    assert found["details"]["role"] == "replica" and found["details"]["primary"] == f"127.0.0.1:{primary.port}"
    wait_until(lambda: "replication_lag_seconds" in sm.component("c")["details"] and
               sm.component("main")["details"].get("replicas_online") == 1 and
               sm.component("main")["details"].get("replication_lag_bytes") == 0, 15, "replication in step")
    primary.stop()
    found = cell("replica, link down", sm, "degraded", "standby", f"primary 127.0.0.1:{primary.port} is down")
    assert found["details"]["replication_link_up"] is False
    replica.command("config", "set", "replica-serve-stale-data", "no")
    cell("replica, link down, serves nothing", sm, "unhealthy", "standby", "lost its primary")
    primary.start()
    cell("replica, link up again", sm, "healthy", "ok", since=None)
    assert value(sm, 'skymon_cache_replication_link_up') == 1
    # A replica that does not read falls behind: its primary sees the bytes.
    replica.pause()
    primary.command("set", "big", "x" * 1_000_000)
    wait_until(lambda: sm.component("main")["details"].get("replication_lag_bytes", 0) > 900_000, 15, "lag")
    replica.resume()
    wait_until(lambda: sm.component("main")["details"].get("replication_lag_bytes") == 0, 15, "no lag")


def test_the_tool(redis):
    """skymon run: the same check by hand; no signal of a closed connection ends it."""
    server = redis(requirepass=SECRET)
    done = run_tool("run", "cache", f"url={server.url(password=SECRET)}")
    assert done.returncode == 0 and SECRET not in done.stdout + done.stderr, done
    found = json.loads(done.stdout)
    assert found["status"] == "healthy" and found["numbers"]["ping_time"] > 0.000005
    assert run_tool("run", "cache", f"url={server.url()}").returncode == 2
    assert run_tool("run", "cache", env={"REDIS_URL": server.url(password=SECRET)}).returncode == 0
    assert os.path.exists(server.socket)

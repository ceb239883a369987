# SPDX-License-Identifier: Apache-2.0
"""Callers that count as local at the guarded routes: users that the kernel names, by every way; not proxies, strangers, other namespaces, nor
what the kernel does not name. And what the audit lines say of them."""
import json
import os
import pwd
import re
import socket
import subprocess
import sys

import pytest

from callers import (LISTED, OWN, ROUTES, STRANGERS, Broker, Namespace, curl, guarded_routes, is_allowed, is_refused,
                     in_a_user_namespace, no_new_privileges, proc_that_hides, without_netlink)
from harness import SLOW, Haproxy, Nginx, free_port, need, run_skymond, wait_until
from test_grafana import DASHBOARD, RULE, SOURCE, grafana  # noqa: F401
from worker_routes import audits

FEW = [("GET", "dashboards"), ("POST", "apply")]


@pytest.fixture
def broker(skymond, grafana):
    made = []

    def make(*args, **more):
        made.append(Broker(skymond, grafana, *args, **more))
        return made[-1]
    yield make
    for one in made:
        one.close()


def test_each_guarded_route_for_each_user_by_each_way(broker):
    one = broker()
    assert set(ROUTES) == guarded_routes(one.sm)
    for way, (base, unix) in one.ways().items():
        for user in ("root", OWN, LISTED):
            assert is_allowed(curl(base, user, unix=unix)), (way, user)
        for user in STRANGERS:
            answers = curl(base, user, unix=unix)
            assert is_refused(answers), (way, user, answers)
            uid = pwd.getpwnam(user).pw_uid
            why = f"user {uid} ({user}) is neither root"
            for _, body in answers.values():
                detail = json.loads(body)["detail"]
                assert why in detail and "`local_users`" in detail and "access: token" in detail, (way, detail)


def test_the_examples_as_pasted_by_root_and_by_the_daemons_user(broker, grafana):
    one = broker()
    for user in ("root", OWN):
        for route, body, code in (("datasources", SOURCE, 200), ("dashboards", {"dashboard": DASHBOARD, "overwrite": False}, 200),
                                  ("alerts", RULE, 201)):
            command = (f"curl -s -w '\\n%{{http_code}}' --connect-to your-api-server:8080:127.0.0.1:{one.four} -X POST "
                       f"http://your-api-server:8080/api/v1/grafana/{route} \\\n  -H \"Content-Type: application/json\" \\\n"
                       f"  -d '{json.dumps(body, indent=2)}'")
            done = subprocess.run([need("setpriv"), f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups", "bash", "-c", command], capture_output=True,
                                  text=True, timeout=20 * SLOW, cwd="/")
            got = int(done.stdout.rpartition("\n")[2])
            assert got == code if user == "root" else got in (code, 409), (user, route, done.stdout)


# ---- The daemon's own workers ----

ALONE = {"itself", "visible", "closed", "in_flight"}
WITH_PROCESSES = ALONE | {"child", "visible_child", "detached", "passed_on", "left_behind", "program", "other_user"}


@pytest.mark.parametrize("user", ["root", OWN])
@pytest.mark.parametrize("plugin, ways", [("t_caller", WITH_PROCESSES), ("t_caller_alone", ALONE)])
def test_a_worker_is_never_local(broker, grafana, user, plugin, ways):
    """It runs as the daemon's user and asks for each guarded route on each listener, itself and by processes that it starts. The user's own
    curl gets what the worker does not."""
    one = broker(user, preexec=no_new_privileges)
    targets = [f"127.0.0.1 {one.four}", f"::1 {one.six}", f"127.0.0.1 {one.both}", f"@{one.unix} 0"]
    before, mark = len(grafana.requests), one.sm.log_mark()
    one.add_component("evil", plugin, timeout="120s", interval="1h", targets=targets, requests=[" ".join(route) for route in ROUTES],
                      user=str(pwd.getpwnam(LISTED).pw_uid))
    got = one.sm.wait_component("evil", timeout=120, status="healthy")["details"]
    assert set(got) == {f"{way}_{index}" for way in ways for index in range(len(targets))}
    for name, codes in got.items():
        expected = "0" if name.startswith("closed") else "403"
        assert codes.split() == [expected] * len(ROUTES), (name, codes)
    answered = (len(got) - len(targets)) * len(ROUTES)
    lines = wait_until(lambda: len(found := audits(one.sm, mark)) >= answered and found, 10, "the audit lines")
    assert not [line for line in lines if not re.search(r" code=(403|none) |^plugin=grafana msg=\"403 ", line)], lines
    assert [request.path for request in grafana.requests[before:] if request.method != "GET"] == []
    wait_until(lambda: is_allowed(curl(f"http://127.0.0.1:{one.four}", user, routes=FEW)), 10, "the quota of the worker's searches to be over")
    for way, (base, unix) in one.ways().items():
        for caller in ("root", user, LISTED):
            assert is_allowed(curl(base, caller, unix=unix, routes=FEW)), (way, caller)


def test_a_daemon_that_hides_processes(broker):
    """As with ProtectProc=invisible: what the daemon cannot see is not local, and it sees its user's own programs."""
    one = broker(first=proc_that_hides, preexec=no_new_privileges)
    one.add_component("evil", "t_caller", timeout="120s", interval="1h", targets=[f"127.0.0.1 {one.four}", f"@{one.unix} 0"],
                      requests=[" ".join(route) for route in FEW])
    got = one.sm.wait_component("evil", timeout=120, status="healthy")["details"]
    assert {code for name, codes in got.items() for code in codes.split() if not name.startswith("closed")} == {"403"}, got
    wait_until(lambda: is_allowed(curl(f"http://127.0.0.1:{one.four}", OWN, routes=FEW)), 10, "the quota of the worker's searches to be over")
    for way, (base, unix) in one.ways().items():
        for user in ("root", OWN, LISTED):
            assert is_allowed(curl(base, user, unix=unix, routes=FEW)), (way, user)


# ---- Proxies ----

PROXIES = {
    "nginx": lambda one, port: Nginx(f"server {{ listen 0.0.0.0:{port}; location / {{ proxy_pass http://127.0.0.1:{one.four}; }} }}", port,
                                     user="www-data"),
    "nginx, 1.1 and the client's Host": lambda one, port: Nginx(
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://[::1]:{one.six}; proxy_http_version 1.1; "
        f"proxy_set_header Host $host; }} }}", port, user="www-data"),
    "nginx over the Unix socket": lambda one, port: Nginx(
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://unix:{one.unix}:; proxy_set_header Host localhost; }} }}", port,
        user="www-data"),
    "nginx as root that names its client": lambda one, port: Nginx(
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{one.four}; proxy_set_header X-Real-IP "
        f"$remote_addr; }} }}", port),
    "HAProxy": lambda one, port: haproxy(port, f"server s 127.0.0.1:{one.four}"),
    "HAProxy, TCP": lambda one, port: haproxy(port, f"server s 127.0.0.1:{one.both}", "mode tcp"),
    "HAProxy over the Unix socket": lambda one, port: haproxy(port, f"server s unix@{one.unix}"),
    "HAProxy as root with forwardfor": lambda one, port: haproxy(port, f"server s 127.0.0.1:{one.four}", "option forwardfor", user=None),
}


def haproxy(port, server, mode="mode http", user="haproxy"):
    proxy = Haproxy(f"listen l\n  bind 127.0.0.1:{port}\n  {mode}\n  {server}\n", user=user)
    proxy.wait_port(port)
    return proxy


@pytest.mark.parametrize("name", PROXIES)
def test_each_guarded_route_behind_a_proxy(broker, grafana, name):
    """The default of each, run as its packages run it; the client is root on this machine, which gives nothing."""
    one = broker()
    port = free_port()
    proxy = PROXIES[name](one, port)
    try:
        before = len(grafana.requests)
        answers = curl(f"http://127.0.0.1:{port}", headers=["Host: localhost"])
        assert is_refused(answers), answers
        assert [request.path for request in grafana.requests[before:] if request.method != "GET"] == []
        assert one.sm.get("/api/v1/alive").status_code == 200
        public, = curl(f"http://127.0.0.1:{port}", routes=[("GET", "health")]).values()
        assert public[0] == 200  # what is public stays so
    finally:
        proxy.close()


@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2"])
def test_the_proxy_protocol_is_not_spoken(broker, version):
    one = broker()
    port = free_port()
    proxy = haproxy(port, f"server s 127.0.0.1:{one.four} {version}", "mode tcp", user=None)
    try:
        codes = [code for code, _ in curl(f"http://127.0.0.1:{port}", more=["--http0.9", "-o", "/dev/null"], routes=FEW).values()]
        assert not [code for code in codes if 200 <= code < 300], codes
        assert "path=/api/v1/grafana" not in one.sm.log_text()
    finally:
        proxy.close()


NAMES = ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server", "X-Forwarded-Prefix",
         "X-Forward-For", "Forwarded-For", "X-Real-IP", "X-Real-Port", "Via", "X-Client-IP", "Client-IP", "CF-Connecting-IP", "CF-Ray",
         "CF-Visitor", "True-Client-IP", "X-Original-URL", "X-Original-Host", "X-Original-Forwarded-For", "X-Originating-IP",
         "X-Cluster-Client-Ip", "Fastly-Client-IP", "X-Envoy-External-Address", "X-Envoy-Original-Path", "X-Request-Id", "X-ProxyUser-Ip",
         "WL-Proxy-Client-IP", "Proxy-Client-IP", "Proxy-Connection", "X-Remote-IP", "X-Remote-Addr", "Remote-Addr", "X-Remote-User",
         "X-Host", "X-Scheme", "X-Url-Scheme", "X-SSL", "Front-End-Https", "X-ARR-LOG-ID", "X-Azure-ClientIP", "X-Azure-SocketIP",
         "X-Appengine-User-IP", "X-Amzn-Trace-Id", "X-Amz-Cf-Id", "CDN-Loop", "Surrogate-Capability", "X-Varnish", "Max-Forwards", "X-Peer-Cert",
         "X-SSL-Client-Cert", "X-Auth-Request-User", "X-Webauth-User", "x_forwarded_for", "X_REAL_IP", "x-Forwarded-FOR", "X-BlueCoat-Via"]
WITH_ADDRESS = {"X-Whoever": "192.0.2.7", "Knock": "from 192.0.2.7:1234, then 10.0.0.1", "X-Six": "2001:db8::1", "X-Bracket": '"[2001:db8::1]:80"',
                "X-For": "for=192.0.2.60;by=203.0.113.43", "X-Mapped": "::ffff:192.0.2.1", "X-Loop": "127.0.0.1"}
HARMLESS = {"Accept": "*/*", "Accept-Language": "de", "User-Agent": "Mozilla/5.0 (192.0.2.1)", "Referer": "http://127.0.0.1:1/", "Cookie": "a=1.2.3.4",
            "Cache-Control": "no-cache", "Pragma": "no-cache", "If-Modified-Since": "Sat, 29 Oct 1994 19:43:31 GMT", "DNT": "1",
            "Upgrade-Insecure-Requests": "1", "Sec-Fetch-Site": "none", "Sec-Fetch-User": "?1", "Sec-CH-UA-Full-Version": "120.0.6099.71",
            "Priority": "u=1", "Range": "bytes=0-", "TE": "trailers", "X-Grafana-Org-Id": "1", "X-Disable-Provenance": "true",
            "X-Requested-With": "XMLHttpRequest", "Authorization": "Basic dXNlcjp3b3Jk", "X-Test": "value of it", "X-Time": "12:30:45",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Idempotency-Key": "7", "Save-Data": "on"}


def test_headers_that_proxies_add_take_away_and_none_gives(broker):
    one = broker()
    base = f"http://127.0.0.1:{one.four}"
    for name, value in [*((name, "x") for name in NAMES), *((name, "127.0.0.1") for name in NAMES), *WITH_ADDRESS.items()]:
        answers = curl(base, routes=FEW, headers=[f"{name}: {value}"])
        assert is_refused(answers) and name in answers[FEW[0]][1], (name, answers)
    assert is_refused(curl("http://localhost", unix=one.unix, routes=FEW, headers=["Via: 1.1 p"]))
    for name, value in HARMLESS.items():
        assert is_allowed(curl(base, routes=FEW, headers=[f"{name}: {value}"])), name
    for name in NAMES:
        assert is_refused(curl(base, "www-data", routes=FEW[:1], headers=[f"{name}: 127.0.0.1"])), name


# ---- What the kernel does not name ----

def test_another_network_namespace(broker):
    one = broker()
    space = Namespace()
    try:
        answers = curl(f"http://{space.here}:{one.both}", prefix=space.enter)
        assert is_refused(answers) and "another machine" in answers[ROUTES[0]][1], answers
        # its port is one that root listens on here: the kernel's lookup falls back to such a socket
        with socket.create_server(("0.0.0.0", 0)) as listening:
            port = listening.getsockname()[1]
            answers = curl(f"http://{space.here}:{one.both}", prefix=space.enter, routes=FEW[:1], more=["--local-port", str(port)])
            assert is_refused(answers), answers
        # the Unix socket is the same file there, and the kernel names its callers
        assert is_allowed(curl("http://localhost", unix=one.unix, prefix=space.enter, routes=FEW))
        assert is_refused(curl("http://localhost", "www-data", unix=one.unix, prefix=space.enter, routes=FEW))
    finally:
        space.close()


def test_a_kernel_without_netlink(broker):
    one = broker(preexec=without_netlink)
    for way, (base, unix) in one.ways().items():
        for user in ("root", OWN, LISTED):
            answers = curl(base, user, unix=unix, routes=FEW)
            if unix:
                assert is_allowed(answers), (way, user)
            else:
                assert is_refused(answers) and "does not name the user" in answers[FEW[0]][1], (way, user, answers)


LEAVER = """
import os, socket, sys
os.setgid(33); os.setuid(33)
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    connection.sendall(b"POST /api/v1/grafana/apply HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: application/json\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
"""


def test_a_stranger_that_closes_at_once_is_not_root(broker, grafana):
    """The kernel gives a socket without a process to root."""
    one = broker()
    before = len(grafana.requests)
    for _ in range(50):
        subprocess.run([sys.executable, "-I", "-c", LEAVER, str(one.four)], check=True, timeout=20 * SLOW)
    lines = wait_until(lambda: len(found := audits(one.sm)) >= 50 and found, 10, "the audit lines")
    assert not [line for line in lines if "uid=0" in line or "code=200" in line], lines
    assert [request.path for request in grafana.requests[before:] if request.method != "GET"] == []


def test_a_daemon_that_is_root(broker):
    one = broker("root")
    base = f"http://127.0.0.1:{one.four}"
    assert is_allowed(curl(base, "root", routes=FEW)) and is_allowed(curl(base, LISTED, routes=FEW))
    assert is_refused(curl(base, OWN, routes=FEW)) and is_refused(curl(base, "nobody", routes=FEW))


def test_a_user_namespace(broker):
    """In one that maps root alone, the kernel shows every other as 65534: that names no user there, listed or not."""
    one = broker("root", preexec=in_a_user_namespace, local_users=["65534", LISTED])
    enter = [need("nsenter"), "--user", "--preserve-credentials", "--target", str(one.sm.pid)]
    for way, (base, unix) in one.ways().items():
        assert is_allowed(curl(base, unix=unix, routes=FEW, prefix=enter)), way
        answers = curl(base, unix=unix, routes=FEW)  # it may not look into a process that is outside
        assert is_allowed(answers) if unix else is_refused(answers) and "sees no process" in answers[FEW[0]][1], (way, answers)
        for user in (OWN, LISTED, *STRANGERS):
            answers = curl(base, user, unix=unix, routes=FEW)
            assert is_refused(answers) and "does not name the user" in answers[FEW[0]][1], (way, user, answers)
    whole = broker(local_users=["nobody"])
    assert is_allowed(curl(f"http://127.0.0.1:{whole.four}", "nobody", routes=FEW))


def test_a_reload_changes_local_users(broker):
    one = broker()
    base = f"http://127.0.0.1:{one.four}"
    one.sm.write_config(one.sm.config.read_text().replace(f"- {LISTED}", "- '33'"))
    os.chmod(one.sm.config, 0o644)
    one.sm.hup()
    one.sm.wait_log("config reloaded")
    assert is_refused(curl(base, LISTED, routes=FEW)) and is_allowed(curl(base, "www-data", routes=FEW))


@pytest.mark.parametrize("text, says", [
    ("[no-such-user]", "no such user in /etc/passwd: `no-such-user`"), ("['4294967295']", "not a valid user number"),
    ("['99999999999']", "not a valid user number"), ("['-1']", "no such user"),
    ("['']", "no such user"), ("{a: b}", "local_users")])
def test_wrong_local_users(text, says):
    done = run_skymond(f"local_users: {text}\n", "--check-config", name="c.yaml")
    assert done.returncode == 2 and says in done.stderr and "c.yaml:1" in done.stderr, done.stderr


# ---- The audit lines ----

def test_each_request_is_one_line_that_names_the_user(broker):
    one = broker()
    base = f"http://127.0.0.1:{one.four}"
    for user, code in (("root", 200), (LISTED, 200), ("www-data", 403)):
        mark = one.sm.log_mark()
        curl(base, user, routes=FEW)
        lines = wait_until(lambda: len(found := audits(one.sm, mark)) == 2 and found, 10, "two lines")
        uid = pwd.getpwnam(user).pw_uid
        for (method, route), line in zip(FEW, lines):
            assert f"client=127.0.0.1 uid={uid} user={user} method={method} path=/api/v1/grafana/{route} code={code} msg=" in line
        assert "read, allowed as a local caller" in lines[0] if code == 200 else "nothing read: " in lines[0]
    mark = one.sm.log_mark()
    curl(base, "nobody", routes=FEW[:1], headers=["X-Real-IP: 1.2.3.4"])
    line, = wait_until(lambda: audits(one.sm, mark), 5, "the line")
    assert re.search(r"client=127\.0\.0\.1 uid=65534 user=nobody method=GET ", line)
    for line in one.sm.log_lines():
        assert line.startswith("area=audit ts=") == ("area=audit" in line), line

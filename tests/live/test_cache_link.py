# SPDX-License-Identifier: Apache-2.0
"""cache: the connection to the server: certificates, proxy, names, and things at the other end that are no Redis. Each fault is a cell
of the truth table, as in test_cache.py."""
import socket
import threading
import time

import pytest

from harness import SLOW, free_port, wait_until
from own import own_file
from redis_server import SECRET, cell, config, connects, fake, part, redis, value  # noqa: F401


# ---- TLS, proxy, names ----

@pytest.mark.asan
def test_tls(skymond, redis, certs):
    server = redis(tls=certs)
    url = server.url(scheme="rediss")

    def with_tls(**block):
        return part(url, tls=block)
    sm = skymond(config(
        c=with_tls(ca_file=certs.ca), scheme=part(url.replace("rediss", "redis"), tls={"ca_file": certs.ca}),
        other=with_tls(ca_file=certs.other_ca), system=part(url), named=with_tls(ca_file=certs.ca, server_name="good.test"),
        wrong=with_tls(ca_file=certs.ca, server_name="no.test"), insecure=with_tls(insecure=True),
        plain=part(url.replace("rediss", "redis"))))
    for name in ("c", "scheme", "named", "insecure"):
        details = sm.wait_component(name, status="healthy")["details"]
        assert details["tls"] == ("unverified" if name == "insecure" else "verified") and 28 < details["certificate_days"] < 31
    first = sm.component("c")["last_check"]
    wait_until(lambda: sm.component("c")["last_check"] != first and connects(sm) == 1, 10, "another check on the same connection")
    cell("certificate of an unknown authority", sm, "unhealthy", "tls_untrusted", "not accepted", name="other")
    cell("certificate unknown to the system", sm, "unhealthy", "tls_untrusted", "not accepted", name="system")
    cell("certificate of another name", sm, "unhealthy", "tls_untrusted", "not for the name no.test", name="wrong")
    found = sm.wait_component("plain", status="unhealthy")
    assert found["reason"] in ("protocol", "tls_other"), found  # by what its OpenSSL says before it closes
    for name, reason, words in (("expired", "tls_expired", "expired"), ("wrong_name", "tls_untrusted", "not for the name 127.0.0.1"),
                                ("early", "tls_expired", "not yet valid"), ("untrusted", "tls_untrusted", "not accepted")):
        server.present(name)
        server.stop()
        server.start()
        cell(f"certificate {name}", sm, "unhealthy", reason, words)
        sm.wait_component("insecure", status="healthy")
    server.present("good")
    server.stop()
    server.start()
    cell("certificate good again", sm, "healthy", "ok")
    server.pause()
    cell("frozen, TLS", sm, "unhealthy", "timeout", "in time")
    server.resume()
    cell("thawed, TLS", sm, "healthy", "ok")


def test_certificate_ends_under_a_kept_connection(skymond, redis, certs):
    server = redis(tls=certs)
    sm = skymond(config(c=part(server.url(scheme="rediss"), reconnect="1h", tls={"ca_file": certs.ca})))
    sm.wait_component("c", status="healthy")
    for seconds in (4, 16, 64):  # the next is tried if a busy machine comes to connect only after the end
        certs.brief(seconds * SLOW)
        ends = time.monotonic() + seconds * SLOW
        server.present("brief")
        server.stop()
        server.start()

        def connected():
            found = sm.component("c")
            return found["status"] == "healthy" and found["details"]["certificate_days"] < 1
        wait_until(lambda: connected() or time.monotonic() > ends, 70, "a connection with the brief certificate")
        if time.monotonic() < ends:
            break
    before = connects(sm)
    cell("certificate ends under a kept connection", sm, "unhealthy", "tls_expired", "expired", since=ends)
    assert connects(sm) == before
    server.present("good")
    server.stop()
    server.start()
    cell("certificate renewed", sm, "healthy", "ok")


# ---- A kept connection does not speak for newcomers ----

QUICK = {"interval": "100ms", "reconnect": "200ms"}
NEWCOMERS = {  # what happens to newcomers while the kept connection stays, how it is mended, reason, words
    "password set": (["config", "set", "requirepass", "other-word"], ["config", "set", "requirepass", ""], "auth_failed", "password"),
    "ACL user off": (["acl", "setuser", "checker", "off"], ["acl", "setuser", "checker", "on"], "auth_failed", "refused the password"),
    "password of the ACL user changed": (["acl", "setuser", "checker", "resetpass", ">other-word"],
                                         ["acl", "setuser", "checker", "resetpass", f">{SECRET}"], "auth_failed", "refused"),
    "full": (["config", "set", "maxclients", "2"], ["config", "set", "maxclients", "100"], "resource", "no connection left"),
    "port closed": (["config", "set", "port", "0"], None, "refused", "connection refused"),
}


@pytest.mark.parametrize("what", NEWCOMERS)
def test_newcomers(skymond, redis, what):
    deed, remedy, reason, words = NEWCOMERS[what]
    server = redis(user=["checker", "on", f">{SECRET}", "+ping", "+info"], maxclients="100")
    login = {} if what == "password set" else {"username": "checker", "password": SECRET}
    sm = skymond(config(c=part(server.url(), **QUICK, **login)))
    first = cell("none", sm, "healthy", "ok")
    others = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2 if what == "full" else 0)]
    wait_until(lambda: connects(sm) >= 3, 20, "two changes of the connection")
    assert len(server.clients()) == 1 + len(others) and sm.component("c")["since"] == first["since"]
    with server.staying() as command:
        command(*deed)
        cell(f"refused to newcomers: {what}", sm, "unhealthy", reason, words)
        checks = value(sm, "skymon_component_checks_total")
        wait_until(lambda: value(sm, "skymon_component_checks_total") > checks + 4, 20, "more checks")
        assert sm.component("c")["consecutive_failures"] >= 4, "it must stay so, and not alternate"
        command(*(remedy or ["config", "set", "port", server.port]))
    for other in others:
        other.close()
    cell("newcomers admitted again", sm, "healthy", "ok")


def test_newcomers_meet_another_certificate(skymond, redis, certs):
    server = redis(tls=certs)
    sm = skymond(config(c=part(server.url(scheme="rediss"), **QUICK, tls={"ca_file": certs.ca})))
    sm.wait_component("c", status="healthy")
    for name, reason in (("untrusted", "tls_untrusted"), ("expired", "tls_expired"), ("good", "ok")):
        server.present(name)
        server.command("config", "set", "tls-cert-file", server.folder.path / "server.pem")  # the same name: read again
        cell(f"refused to newcomers: certificate {name}" if name != "good" else "certificate good again", sm,
             "healthy" if name == "good" else "unhealthy", reason)


def test_name_moves(skymond, redis, tmp_path):
    """The kept connection leads to the old address, where all is well; the name leads to one without a listener, and back."""
    server = redis(bind="127.0.0.1")
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 moving.test\n")
    sm = skymond(config(c=part(f"redis://moving.test:{server.port}", **QUICK)), preexec_fn=own_file(hosts, "/etc/hosts"))
    sm.wait_component("c", status="healthy")
    hosts.write_text("127.9.9.9 moving.test\n")
    cell("refused to newcomers: name moved", sm, "unhealthy", "refused", "moving.test")
    hosts.write_text("127.0.0.1 moving.test\n")
    cell("name moved back", sm, "healthy", "ok")


def test_reconnect_0_keeps_nothing(skymond, redis):
    server = redis()
    sm = skymond(config(c=part(server.url(), interval="1s", reconnect="0s")))
    sm.wait_component("c", status="healthy")
    wait_until(lambda: connects(sm) >= 3 and server.clients() == [], 20, "no connection between two checks")
    assert value(sm, "skymon_component_checks_total") == connects(sm)


# ---- A password stays on this machine without TLS ----

def test_password_to_another_machine(skymond, redis, fake, elsewhere, certs):
    listener = fake(b"+OK\r\n", host=elsewhere)
    server = redis(requirepass=SECRET, bind=[elsewhere, "127.0.0.1"], tls=certs)
    url = f"redis://:{SECRET}@{elsewhere}:{server.port}"
    tls = f"rediss://:{SECRET}@{elsewhere}:{server.tls_port}"
    there = f"redis://bob:{SECRET}@{elsewhere}:{listener.port}"
    sm = skymond(config(c=part(there), allowed=part(url, tls={"insecure": True}), local=part(server.url(password=SECRET)),
                        option=part(f"redis://{elsewhere}:{listener.port}", password=SECRET),
                        tls=part(tls, tls={"ca_file": certs.ca, "server_name": "good.test"}), any=part(tls, tls={"insecure": True}),
                        unix=part(f"unix:{server.socket}", password=SECRET)))
    for name in ("c", "option"):
        cell("password without TLS to another machine", sm, "unknown", "tls_other", "rediss://", "insecure", name=name)
    assert listener.got == [], "a login came after all"
    for name, tls, peer in (("allowed", "none", "remote"), ("local", "none", "local"), ("tls", "verified", "remote"),
                            ("any", "unverified", "remote"), ("unix", "none", "local")):
        assert sm.wait_component(name, status="healthy")["details"]["tls"] == tls
        assert value(sm, f'skymon_component_tls{{component="{name}",peer="{peer}",tls="{tls}"}}') == 1


def test_client_certificate(skymond, redis, certs):
    server = redis(tls=certs, tls_auth_clients="yes")
    url = server.url(scheme="rediss")

    def showing(name):
        return part(url, tls={"ca_file": certs.ca, "cert_file": certs.pem(name), "key_file": certs.key(name)})
    sm = skymond(config(c=part(url, tls={"ca_file": certs.ca}), good=showing("client"), bad=showing("client_untrusted")))
    sm.wait_component("good", status="healthy")
    cell("no client certificate", sm, "unhealthy", "tls_other", "asks for a certificate")
    cell("client certificate not trusted", sm, "unhealthy", "tls_other", "does not", name="bad")


def test_names_and_black_hole(skymond, redis):
    """A listener whose queue is full drops what comes."""
    hole = socket.create_server(("127.0.0.1", 0), backlog=0)
    fill = []
    for _ in range(8):
        fill.append(socket.socket())
        fill[-1].setblocking(False)
        fill[-1].connect_ex(hole.getsockname())
    try:
        sm = skymond(config(c=part("redis://no-such-host.invalid"), hole=part(f"redis://127.0.0.1:{hole.getsockname()[1]}")))
        cell("name does not resolve", sm, "unhealthy", "dns", "no-such-host.invalid")
        cell("no answer to the connection", sm, "unhealthy", "timeout", "connection attempt", name="hole")
    finally:
        for one in [hole, *fill]:
            one.close()


def test_proxy(skymond, redis, fake):
    server = redis(requirepass=SECRET)

    def connect(link):
        """A proxy's work after its 200: bytes both ways."""
        far = socket.create_connection(("127.0.0.1", server.port))
        link.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")

        def back():
            try:
                while chunk := far.recv(65536):
                    link.sendall(chunk)
            except OSError:
                pass
        threading.Thread(target=back, daemon=True).start()
        while chunk := link.recv(65536):
            far.sendall(chunk)
    good, login, refuses = fake(connect), fake(b"HTTP/1.1 407 Login\r\n\r\n", None), fake(b"HTTP/1.1 403 No\r\n\r\n", None)
    url = f"redis://:{SECRET}@cache.invalid:6379"
    sm = skymond(config(c=part(url, proxy=good.url(scheme="http", info=f"bob:{SECRET}@"), tls={"insecure": True}),
                        login=part(url, proxy=login.url(scheme="http")),
                        refuses=part(url, proxy=refuses.url(scheme="http")), gone=part(url, proxy=f"http://127.0.0.1:{free_port()}"),
                        none=part(server.url(password=SECRET), proxy="none")))
    cell("through a proxy", sm, "healthy", "ok", "cache.invalid:6379")
    assert good.got[0].startswith(b"CONNECT cache.invalid:6379 HTTP/1.1\r\n") and SECRET.encode() not in good.got[0]
    assert connects(sm) == 1
    cell("proxy asks for a login", sm, "unhealthy", "auth_failed", "proxy 127.0.0.1", "407", name="login")
    cell("proxy refuses", sm, "unhealthy", "unreachable", "proxy 127.0.0.1", "403", name="refuses")
    cell("proxy stopped", sm, "unhealthy", "refused", "proxy 127.0.0.1", name="gone")
    sm.wait_component("none", status="healthy")


# ---- Something else than Redis ----

def endless(start, piece):
    def send(link):
        link.sendall(start)
        while True:
            link.sendall(piece)
    return send


INFO = b"redis_version:7.0.0\r\nrole:master\r\nused_memory:1\r\n"


def bulk(text):
    return b"$%d\r\n%s\r\n" % (len(text), text)


PONG = b"+PONG\r\n"
FAKES = {  # what it says to each question, hang, reason, words
    "closes at once": ([None], False, "protocol", "closed the connection before it answered"),
    "takes and is silent": ([], True, "timeout", "did not answer PING"),
    "speaks HTTP": ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], True, "protocol", "does not speak the Redis protocol"),
    "speaks SSH first": (b"SSH-2.0-x\r\n", True, "protocol", "does not speak"),
    "half an answer and silent": ([PONG, b"$5000\r\nredis_version:"], True, "timeout", "did not end it in time"),
    "half an answer and closed": ([PONG, lambda link: (link.sendall(b"$5000\r\nredis_"), link.close())], False, "protocol", "middle"),
    "noise": ([b"\xff\x00\xfe" * 1000], True, "protocol", "does not speak"),
    "huge answer": ([PONG, endless(b"$2000000000\r\n", b"x" * 65536)], False, "protocol", "larger than the 1 MiB"),
    "huge line": ([endless(b"+", b"x" * 65536)], False, "protocol", "larger than the 1 MiB"),
    "promises an array": ([b"*1000000000\r\n"], True, "protocol", "does not speak"),
    "nested arrays": ([b"*1\r\n" * 100 + b"+PONG\r\n"], True, "protocol", "does not speak"),
    "a number for PONG": ([b":1\r\n"], True, "protocol", "does not speak"),
    "nothing for INFO": ([PONG, b"$-1\r\n"], True, "protocol", "not what a Redis server gives"),
    "another INFO": ([PONG, bulk(b"hello:world\r\n")], True, "protocol", "not what a Redis server gives"),
    "more than was asked": ([PONG, bulk(INFO) + b"+more\r\n"], True, "protocol", "does not speak"),
    "has no INFO": ([PONG, b"-ERR unknown command 'INFO'\r\n"], True, "query_error", "unknown command"),
    "takes no clients": (b"-DENIED Redis is running in protected mode\r\n", True, "refused", "protected mode"),
    "is full": (b"-ERR max number of clients reached\r\n", True, "resource", "no connection left"),
    "an alert of TLS": ([b"\x15\x03\x03\x00\x02\x02\x28"], True, "tls_other", "rediss://"),
    "an error that is no text": ([b"-ERR \xff\x1b[31m\r\n"], True, "query_error", "ERR ??[31m"),
}


@pytest.mark.asan
def test_not_redis(skymond, fake):
    fakes = {}
    for name, (answers, hang, _, _) in FAKES.items():
        fakes[name] = fake(greet=answers, hang=True) if isinstance(answers, bytes) else fake(*answers, hang=hang)
    sm = skymond(config(**{f"f{i}": part(one.url()) for i, one in enumerate(fakes.values())}))
    for i, (name, (_, _, reason, words)) in enumerate(FAKES.items()):
        cell(name, sm, "unhealthy", reason, words, name=f"f{i}")


def test_a_huge_answer_costs_no_memory(skymond, redis, fake):
    """One worker serves both; it neither grows nor dies."""
    server, flood = redis(), fake(PONG, endless(b"$2000000000\r\n", b"x" * 65536))
    sm = skymond({**config(c=part(server.url()), f=part(flood.url(), interval="100ms")), "limits": {"worker_memory": "64MiB"}})
    sm.wait_component("c", status="healthy")
    sm.wait_component("f", status="unhealthy", reason="protocol")
    [pid] = [pid for pid, name in sm.children().items() if "worker" in name and b"cache" in open(f"/proc/{pid}/cmdline", "rb").read()] or \
        list(sm.children())[:1]
    wait_until(lambda: sm.component("f")["consecutive_failures"] > 20, 30, "twenty floods")
    peak = int(open(f"/proc/{pid}/status").read().split("VmHWM:")[1].split()[0])
    assert peak < 32 << 10, f"{peak} kB"
    assert sm.component("c")["consecutive_failures"] == 0 and connects(sm) == 1


def test_secrets_that_a_server_repeats(skymond, fake):
    """A server that does not know AUTH repeats its words; others may say them later."""
    repeat = b"-ERR unknown command 'AUTH', with args beginning with: '" + SECRET.encode() + b"'\r\n"
    later = b"-ERR what about " + SECRET.encode() + b" of bob\r\n"
    sm = skymond(config(c=part(fake(repeat).url(info=f":{SECRET}@")), later=part(fake(b"+OK\r\n", later).url(info=f"bob:{SECRET}@"))))
    cell("repeats the password", sm, "unhealthy", "auth_failed", "not shown")
    found = cell("repeats the password later", sm, "unhealthy", "query_error", "*** of ***", name="later")
    assert "bob" not in found["message"]

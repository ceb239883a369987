# SPDX-License-Identifier: Apache-2.0
"""A kept connection does not stand for newcomers: `reconnect` of vault, authentication and websocket, with real servers behind a door that
counts and refuses, behind nginx whose certificate is replaced, and under a name that moves. (database and cache: in their own tests.)"""
import pathlib
import re
import signal
import socket

import pytest

import truth
from conftest import factory
from door import doors  # noqa: F401
from harness import free_port, wait_until
from oidc import OidcProvider
from openbao import OpenBao
from own import own_file
from ws_server import TOKEN, WsServer

websocket = factory(WsServer)
KINDS = ("vault", "authentication", "websocket")


@pytest.fixture(scope="module")
def bao():
    server = OpenBao()
    yield server
    server.close()


def part(plugin, **options):
    return {"plugin": plugin, "interval": "300ms", "timeout": "2s", "reconnect": "1s", **options}


def watching(**components):
    return {"plugins": {"prometheus": {}}, "components": components}


@pytest.fixture
def behind_door(bao, websocket, doors):
    """behind_door(kind): a door before the real server, and the component that goes through it."""
    servers = []

    def make(kind, **options):
        if kind == "vault":
            door = doors(bao.port)
            return door, part("vault", address=f"http://127.0.0.1:{door.port}", token=bao.new_token(["default"], ttl="1h"), **options)
        if kind == "websocket":
            door = doors(websocket().port)
            return door, part("websocket", url=f"ws://127.0.0.1:{door.port}/", **options)
        port = free_port()  # the issuer that the provider announces is the door's
        servers.append(OidcProvider(issuer=f"http://127.0.0.1:{port}"))
        op = servers[-1]
        return doors(op.port, port=port), part("authentication", issuer=op.issuer, client_id=op.client_id, client_secret=op.client_secret,
                                               **options)

    yield make
    for server in servers:
        server.close()


@pytest.mark.parametrize("kind", KINDS)
def test_newcomers_are_refused(skymond, behind_door, kind):
    door, component = behind_door(kind)
    sm = skymond(watching(it=component))
    sm.wait_component("it", status="healthy", reason="ok")
    total = door.total
    door.reset()
    wait_until(lambda: door.total >= total + 3, 15, "three new connections")  # one a second, though nothing ended them
    assert door.most <= 2 and sm.component("it")["consecutive_failures"] == 0
    wait_until(lambda: door.now == 1, 5, "the old connection to be closed")
    door.shut()
    truth.cell(kind, "refused to newcomers: no new connection", sm, "it", "unhealthy", "refused", within=5)
    assert door.now == 1  # the old one is not given up for a new one that does not stand
    door.open()
    sm.wait_component("it", status="healthy", reason="ok")
    wait_until(lambda: door.now == 1, 5, "the old connection to be closed")


@pytest.mark.parametrize("kind", KINDS)
def test_no_slot_is_held(skymond, behind_door, kind):
    """reconnect: 0: a new connection in each check, and none in between."""
    door, component = behind_door(kind, reconnect="0s", interval="1s")
    sm = skymond(watching(it=component))
    sm.wait_component("it", status="healthy", reason="ok")
    door.reset()
    total = door.total
    wait_until(lambda: door.now == 0, 10, "no connection to be held")
    wait_until(lambda: door.total >= total + 3, 15, "a new connection in each check")
    assert door.most <= 1 and sm.component("it")["consecutive_failures"] == 0


# ---- WebSocket: the handshake is refused, the old connection lives ----

@pytest.mark.parametrize("mode, reason, words", [("http-401", "auth_failed", ["HTTP 401"]), ("http-403", "http_status", ["HTTP 403"]),
                                                 ("http-503", "http_status", ["HTTP 503"]), ("close-1013", "resource", ["1013"]),
                                                 ("hang", "timeout", ["did not answer the handshake in time"])])
def test_handshakes_are_refused(skymond, websocket, mode, reason, words):
    server = websocket()
    sm = skymond(watching(it=part("websocket", url=server.url, authorization=f"Bearer {TOKEN}" if mode == "http-401" else None)
                          if mode == "http-401" else part("websocket", url=server.url)))
    sm.wait_component("it", status="healthy")
    server.mode(mode)
    truth.cell("websocket", f"refused to newcomers: {mode}", sm, "it", "unhealthy", reason, within=8, words=words, secrets=[TOKEN])
    server.mode("")
    sm.wait_component("it", status="healthy")


# ---- Certificates ----

FRONT = """server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {{folder}}/pem; ssl_certificate_key {{folder}}/key; {more}
location / {{ proxy_pass http://127.0.0.1:{behind}; proxy_http_version 1.1; proxy_set_header Host $http_host;
proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection; }} }}"""


@pytest.fixture
def front(nginx, certs):
    """nginx with TLS before a server; change(…) replaces certificate or config and reloads it: old connections live on."""
    def make(behind):
        port = free_port()
        folder = pathlib.Path(certs.ca).parent / f"front-{port}"
        folder.mkdir()
        certs.copy("good", folder / "pem", folder / "key")
        server = nginx(FRONT.format(port=port, behind=behind, more="").replace("{folder}", str(folder)), port)

        def change(certificate="good", more=""):
            certs.copy(certificate, folder / "pem", folder / "key")
            path = server.folder.path / "nginx.conf"
            text = path.read_text()
            path.write_text(re.sub(r"(ssl_certificate_key \S+;)[^\n]*", rf"\1 {more}", text))
            server.process.send_signal(signal.SIGHUP)
        return port, change
    return make


@pytest.mark.parametrize("kind", ["vault", "websocket"])
def test_certificates_are_replaced(skymond, bao, websocket, front, certs, kind):
    port, change = front(bao.port if kind == "vault" else websocket().port)
    tls = {"ca_file": certs.ca}
    component = (part("vault", address=f"https://127.0.0.1:{port}", tls=tls) if kind == "vault"
                 else part("websocket", url=f"wss://127.0.0.1:{port}/", tls=tls))
    sm = skymond(watching(it=component))
    found = sm.wait_component("it", status="healthy")
    assert found["details"]["tls"] == "verified" and 29 < found["details"]["certificate_days"] < 31
    change("untrusted")
    truth.cell(kind, "refused to newcomers: untrusted certificate", sm, "it", "unhealthy", "tls_untrusted", within=6)
    change("expired")
    truth.cell(kind, "refused to newcomers: expired certificate", sm, "it", "unhealthy", "tls_expired", within=6)
    change("good")
    sm.wait_component("it", status="healthy")
    change("good", f"ssl_client_certificate {certs.ca}; ssl_verify_client on;")
    found = truth.cell(kind, "refused to newcomers: client certificate required", sm, "it", "unhealthy", "http_status", within=6)
    assert "HTTP 400" in found["message"], found
    change("good")
    sm.wait_component("it", status="healthy")


# ---- A name that moves ----

def test_the_name_moves(skymond, bao, websocket, doors, tmp_path):
    """The old places live on; at the new ones nothing listens, and then something does."""
    here, there = "127.0.0.2", "127.0.0.3"

    def both_places(behind):
        """A door here, and its port there, where nothing listens yet."""
        for _ in range(50):
            door, place = doors(behind, here), socket.socket()
            try:
                place.bind((there, door.port))
                return door, place
            except OSError:  # another program has that port there
                place.close()
        pytest.fail("no port is free on two addresses")
    (vault, new_vault), (ws, new_ws) = both_places(bao.port), both_places(websocket().port)
    hosts = tmp_path / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{here} moves.test\n")
    sm = skymond(watching(vault=part("vault", address=f"http://moves.test:{vault.port}"),
                          websocket=part("websocket", url=f"ws://moves.test:{ws.port}/")), preexec_fn=own_file(hosts, "/etc/hosts"))
    for name in ("vault", "websocket"):
        sm.wait_component(name, status="healthy")
    hosts.write_text(f"127.0.0.1 localhost\n{there} moves.test\n")
    for name in ("vault", "websocket"):
        truth.cell(name, "refused to newcomers: the name moved", sm, name, "unhealthy", "refused", within=6)
    doors(bao.port, there, vault.port, bound=new_vault)
    doors(ws.behind, there, ws.port, bound=new_ws)
    for name in ("vault", "websocket"):
        sm.wait_component(name, status="healthy")
    wait_until(lambda: vault.now == ws.now == 0, 10, "the old places to be left")


def test_a_token_is_revoked(skymond, bao):
    token = bao.new_token(["default"], ttl="1h")
    sm = skymond(watching(it=part("vault", address=bao.url, token=token)))
    sm.wait_component("it", status="healthy")
    bao.do("POST", "auth/token/revoke", {"token": token})
    truth.cell("vault", "refused to newcomers: token revoked", sm, "it", "unhealthy", "auth_failed", within=5, secrets=[token])

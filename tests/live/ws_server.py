# SPDX-License-Identifier: Apache-2.0
"""A real WebSocket server (Debian's python3-websockets) that can be set to misbehave, and raw ones for what no real server does.

    server = WsServer()                      # or the fixture ws_server(…) of test_websocket.py
    server.url                               # ws://127.0.0.1:PORT; with tls=(pem, key): wss://
    server.mode("deaf")                      # from now on, on connections that stand too; mode("") ends it
    server.stop(); server.start()            # on the same port

What a connection gets is said by the mode, and without one by the path:
    echo (also /)    answers each message with itself
    deaf             no pong, and no answer to messages; but it takes the connection
    mute             pongs, and no answer to messages
    slow-N           pongs, and answers, after N ms
    greet            says "welcome aboard" by itself, then echo
    wrong            answers each message with "sorry"
    huge             answers each message with 8 MiB
    flood            sends messages without end; pongs in between
    close-CODE       closes with this code, at once
    bye-CODE         closes the connection that stands, once: then the mode is gone
    hang             takes the request for the handshake and does not answer it
    http-CODE        answers the handshake with this code
    bearer           HTTP 401 without "Authorization: Bearer " + TOKEN, else echo
Sub-protocols: chat, v2.chat.
"""
import asyncio
import base64
import hashlib
import http
import importlib.util
import os
import pathlib
import socket
import ssl
import sys

TOKEN = "geheim-token"
MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


# ---- The server's own process ----

class Behaviour:
    def __init__(self, folder):
        self.file = pathlib.Path(folder) / "mode"

    def of(self, path):
        return self.file.read_text().strip() or path.strip("/").split("?")[0] or "echo"

    async def shake(self, path, headers):
        """An HTTP answer instead of a WebSocket, or None."""
        mode = self.of(path)
        while mode == "hang":
            await asyncio.sleep(0.05)
            mode = self.of(path)
        if mode.startswith("http-"):
            code = http.HTTPStatus(int(mode[5:]))
            return code, [("Location", "http://127.0.0.1/else")] if 300 <= code < 400 else [], b"no\n"
        if mode == "bearer" and headers.get("Authorization") != f"Bearer {TOKEN}":
            return http.HTTPStatus.UNAUTHORIZED, [("WWW-Authenticate", "Bearer")], b"no\n"
        return None

    async def serve(self, connection, path):
        pong = connection.pong

        async def own_pong(data=b""):
            mode = self.of(path)
            if mode == "deaf":
                return
            if mode.startswith("slow-"):
                await asyncio.sleep(int(mode[5:]) / 1000)
            await pong(data)
        connection.pong = own_pong
        watch = asyncio.create_task(self.watch(connection, path))
        try:
            if self.of(path) == "greet":
                await connection.send("welcome aboard")
            while self.of(path) == "flood":
                await connection.send("x" * 65536)
            async for message in connection:
                await self.answer(connection, self.of(path), message)
        finally:
            watch.cancel()

    async def watch(self, connection, path):
        while True:
            mode = self.of(path)
            if mode.startswith("bye-"):
                self.file.write_text("")
            if mode.startswith(("close-", "bye-")):
                await connection.close(int(mode.split("-")[1]), "geheim-words")
                return
            await asyncio.sleep(0.02)

    async def answer(self, connection, mode, message):
        if mode in ("deaf", "mute"):
            return
        if mode.startswith("slow-"):
            await asyncio.sleep(int(mode[5:]) / 1000)
        await connection.send({"wrong": "sorry", "huge": "x" * (8 << 20)}.get(mode, message))


async def main(port, folder, pem, key, client_ca, ping_interval, ping_timeout):
    from websockets.legacy.server import serve  # of Debian 12 and 13 alike
    behaviour = Behaviour(folder)
    context = None
    if pem:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem, key)
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
    async with serve(behaviour.serve, "127.0.0.1", int(port), ssl=context, subprotocols=["chat", "v2.chat"],
                     process_request=behaviour.shake, compression=None, close_timeout=1,
                     ping_interval=float(ping_interval) or None, ping_timeout=float(ping_timeout) or None):
        await asyncio.Future()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
    sys.exit(0)


# ---- For the tests ----

import pytest  # noqa: E402
from double import Double, read_head  # noqa: E402
from harness import Server, end_process, free_port  # noqa: E402


class WsServer(Server):
    """tls: (pem, key); client_ca: asks for a certificate; ping_interval, ping_timeout: the server's own pings, in s (0: none)."""

    name = "websocket"

    def __init__(self, tls=("", ""), client_ca="", ping_interval=20, ping_timeout=20):
        if importlib.util.find_spec("websockets") is None:
            if os.environ.get("CI") == "true":
                pytest.fail("python3-websockets is missing, and under CI nothing is skipped")
            pytest.skip("python3-websockets is missing")
        super().__init__()
        self.port = free_port()
        self.place = f"127.0.0.1:{self.port}"
        self.url = f"{'wss' if tls[0] else 'ws'}://{self.place}"
        self.words = [*tls, client_ca, ping_interval, ping_timeout]
        self.mode("")
        self.start()

    def mode(self, mode):
        draft = self.folder.path / "draft"
        draft.write_text(mode)
        draft.rename(self.folder.path / "mode")

    def start(self):
        self.launch([sys.executable, __file__, self.port, self.folder.path, *self.words], cwd=self.folder.path)
        self.wait_port(self.port)

    def stop(self, how=None):
        """At once, as when it crashes: without a close frame."""
        self.process.kill()
        end_process(self.process)

    def set_certificate(self, pem, key):
        """From the next start on."""
        self.words[0:2] = [pem, key]


def accept_of(request):
    """Sec-WebSocket-Accept for the bytes of a handshake."""
    key = next(line.split(b":", 1)[1].strip() for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
    return base64.b64encode(hashlib.sha1(key + MAGIC.encode()).digest())


class RawWs(Double):
    """Takes connections, reads the handshake, sends `answer` (in which ACCEPT is replaced), then `frames`; then it closes, or hangs."""

    name = "raw"

    AGREE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n"

    def __init__(self, answer=AGREE, frames=b"", hang=True):
        self.answer, self.frames, self.hang = answer, frames, hang
        self.requests = []
        super().__init__()
        self.url = f"ws://{self.address}"

    def serve(self, connection):
        connection.settimeout(60)
        request = read_head(connection)
        if request is None:
            return
        self.requests.append(request)
        connection.sendall(self.answer.replace(b"ACCEPT", accept_of(request)))
        self._talk(connection)

    def _talk(self, connection):
        connection.sendall(self.frames)
        while self.hang and connection.recv(4096):
            pass


class Pongs(RawWs):
    """Answers pings; pings: so many on its first connection, from which then nothing is read any more."""

    name = "pongs"

    def __init__(self, pings=None):
        self.pings = pings
        super().__init__()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def _talk(self, connection):
        limit = self.pings if len(self.requests) == 1 else None
        stream = connection.makefile("rb", buffering=0)
        while limit is None or limit > 0:
            opcode, payload = read_frame(stream)
            if opcode == 9:
                connection.sendall(b"\x8a" + bytes([len(payload)]) + payload)
                limit = limit - 1 if limit is not None else None


def read_frame(stream):
    def take(size):
        data = b""
        while len(data) < size:
            more = stream.read(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data
    first, second = take(2)
    assert second & 0x80, "a client masks"
    size = second & 0x7F
    if size > 125:
        size = int.from_bytes(take(2 if size == 126 else 8), "big")
    mask = take(4)
    payload = take(size)
    return first & 0x0F, payload if size > 125 else bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))

# SPDX-License-Identifier: Apache-2.0
"""Servers that misbehave on purpose: a Double takes connections, and hands each to `serve(connection)` on a thread of its own.

    double = Double(lambda connection: connection.sendall(b"220 hello\\r\\n"))
    raw = Raw(b"HTTP/1.1 200 OK\\r\\n", hang=True)
"""
import contextlib
import socket
import threading


class Double:
    """serve: a function, or a method of the class. The connection is closed behind it, unless `hang`; then it stays open until close()."""

    name = "double"
    hang = False

    def __init__(self, serve=None, address="127.0.0.1", port=0, family=socket.AF_INET):
        if serve is not None:
            self.serve = serve
        self.kept = []
        self.listener = socket.create_server((address, port), backlog=1024, family=family)
        self.port = self.listener.getsockname()[1]
        self.address = f"{address}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.kept.append(connection)
            threading.Thread(target=self._guard, args=[connection], daemon=True).start()

    def _guard(self, connection):
        with contextlib.suppress(OSError, EOFError, AssertionError):  # the check has left, or speaks another protocol
            self.serve(connection)
        if not self.hang:
            connection.close()

    def drop(self):
        """Closes all connections; it goes on listening."""
        for connection in self.kept:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self.kept.clear()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.drop()


class Raw(Double):
    """Reads once, sends `answer` (again and again when `flood`; or flood's bytes), then closes or hangs."""

    name = "raw"

    def __init__(self, answer, hang=False, flood=False):
        self.answer, self.hang, self.flood = answer, hang, flood
        super().__init__()
        self.url = f"http://{self.address}"

    def serve(self, connection):
        connection.settimeout(20)
        connection.recv(4096)
        connection.sendall(self.answer)
        while self.flood:
            connection.sendall(self.flood if isinstance(self.flood, bytes) else self.answer)


def read_head(connection):
    """Returns the bytes to the empty line; None if the peer closes first."""
    head = b""
    while b"\r\n\r\n" not in head:
        more = connection.recv(4096)
        if not more:
            return None
        head += more
    return head

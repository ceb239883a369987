# SPDX-License-Identifier: Apache-2.0
"""A door before a server: it passes bytes on, counts connections, and can refuse newcomers while those that are in stay in.

    door = Door(server.port)          # or Door(port, "127.0.0.2")
    door.port; door.shut(); door.open()
    door.now, door.most, door.total   # connections: open now, at most at a time since reset(), in all
"""
import socket
import threading

import pytest


class Door:
    def __init__(self, behind, address="127.0.0.1", port=0, bound=None):
        """bound: a socket that has the address already, and does not listen."""
        self.behind, self.address, self.port, self.bound = behind, address, port, bound
        self.lock = threading.Lock()
        self.now = self.most = self.total = 0
        self.connections = []
        self.open()

    def open(self):
        self.listener, self.bound = self.bound or socket.create_server((self.address, self.port)), None
        self.listener.listen()
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=[self.listener], daemon=True).start()

    def shut(self):
        """Newcomers are refused by the kernel."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def reset(self):
        with self.lock:
            self.most = self.now

    def close(self):
        self.shut()
        for connection in self.connections:
            connection.close()

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self.behind))
            except OSError:
                return
            with self.lock:
                self.now += 1
                self.total += 1
                self.most = max(self.most, self.now)
                self.connections += [client, server]
            ended = threading.Semaphore(0)
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=[one, other, ended], daemon=True).start()
            threading.Thread(target=self._end, args=[client, server, ended], daemon=True).start()

    @staticmethod
    def _pass(one, other, ended):
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        ended.release()

    def _end(self, client, server, ended):
        """When one side has ended, the other one does."""
        ended.acquire()
        with self.lock:
            self.now -= 1
        for connection in (client, server):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        ended.acquire()
        client.close()
        server.close()


@pytest.fixture(name="doors")
def doors():
    """doors(port, …) makes a door; all are closed at the end."""
    made = []

    def make(*args, **options):
        made.append(Door(*args, **options))
        return made[-1]

    yield make
    for door in made:
        door.close()

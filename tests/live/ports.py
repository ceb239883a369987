# SPDX-License-Identifier: Apache-2.0
"""Loopback ports that are free until this process binds them, and between two lives of its server too. Each process of the tests takes a block of
ports for itself, by an abstract socket that goes with the process: another row cannot be given the same port. They lie below the ports from
which the kernel takes those of outgoing connections (32768 and up); 10000 above each is free of these too: a Redis cluster's bus. Used by
harness.py and by the bench."""
import contextlib
import itertools
import secrets
import socket

FIRST, BLOCK, BLOCKS = 10240, 125, 80
_block = None  # the socket that holds the block
_ports = None


def _take_block():
    global _block, _ports
    _block = socket.socket(socket.AF_UNIX)
    while True:
        number = secrets.randbelow(BLOCKS)
        with contextlib.suppress(OSError):
            _block.bind(f"\0skymon-test-ports-{number}")
            break
    _ports = itertools.cycle(range(FIRST + number * BLOCK, FIRST + (number + 1) * BLOCK))


def free_port():
    """A port that neither TCP nor UDP has at 127.0.0.1, not that of an earlier call as long as there are others."""
    if _block is None:
        _take_block()
    while True:
        with contextlib.suppress(OSError), socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            port = next(_ports)
            stream.bind(("127.0.0.1", port))
            datagrams.bind(("127.0.0.1", port))
            return port

# SPDX-License-Identifier: Apache-2.0
"""A file of authorities is read once for all components of a worker and all their connections, and again when it is another: whichever way it
was replaced, the next connection is verified by what it holds then. (Its cost: ./dev bench tls.)"""
import ctypes
import os
import pathlib
import shutil
import struct
import time

import pytest

import truth
from conftest import factory
from harness import wait_until
from openbao import OpenBao
from ws_server import WsServer

websocket = factory(WsServer)
IN_ACCESS, IN_NONBLOCK = 1, 0o4000
EACH = 4


class Reads:
    """How often a file was read, by inotify."""

    def __init__(self, path):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(IN_NONBLOCK)
        assert self.fd >= 0 and libc.inotify_add_watch(self.fd, os.fsencode(path), IN_ACCESS) >= 0

    def count(self):
        """Since the last call."""
        events = 0
        try:
            data = os.read(self.fd, 65536)
            while data:
                (size,) = struct.unpack_from("I", data, 12)
                events, data = events + 1, data[16 + size:]
        except BlockingIOError:
            pass
        return events

    def close(self):
        os.close(self.fd)


@pytest.fixture(scope="module")
def bao(certs):
    server = OpenBao(certificate=(certs.pem("good"), certs.key("good")))
    yield server
    server.close()


def parts(bao, ws, ca):
    own = {"interval": "300ms", "timeout": "2s", "reconnect": "0s", "tls": {"ca_file": str(ca)}}
    return {**{f"vault{i}": {"plugin": "vault", "address": bao.url, **own} for i in range(EACH)},
            **{f"websocket{i}": {"plugin": "websocket", "url": ws.url, **own} for i in range(EACH)}}


def checks(sm):
    return min(float(line.split()[-1]) for line in sm.metrics().splitlines() if line.startswith("skymon_component_checks_total{"))


def test_read_once(skymond, bao, websocket, certs, tmp_path):
    ca = tmp_path / "ca.pem"
    shutil.copy(certs.ca, ca)
    ws = websocket(tls=(certs.pem("good"), certs.key("good")))
    sm = skymond({"plugins": {"prometheus": {}}, "components": parts(bao, ws, ca)})
    for name in parts(bao, ws, ca):
        sm.wait_component(name, status="healthy")
    reads, before = Reads(ca), checks(sm)
    try:
        wait_until(lambda: checks(sm) >= before + 5, 20, "five checks, each over a new connection")
        assert reads.count() == 0
        os.utime(ca)
        before = checks(sm)
        wait_until(lambda: checks(sm) >= before + 5, 20, "five checks more")
        assert 1 <= reads.count() <= 4  # two workers; one reading may be one event or two
    finally:
        reads.close()


def rename(source, to):
    draft = to.with_suffix(".draft")
    shutil.copy(source, draft)
    draft.rename(to)


def in_place(source, to):
    to.write_bytes(pathlib.Path(source).read_bytes())


def link(source, to):
    draft = to.with_suffix(".link")
    draft.symlink_to(source)
    draft.rename(to)


@pytest.mark.parametrize("way", [rename, in_place, link])
def test_replaced_by_another_authority(skymond, bao, websocket, certs, tmp_path, way):
    ca = tmp_path / "ca.pem"
    shutil.copy(certs.ca, ca)
    ws = websocket(tls=(certs.pem("good"), certs.key("good")))
    sm = skymond({"plugins": {"prometheus": {}}, "components": parts(bao, ws, ca)})
    names = list(parts(bao, ws, ca))
    for name in names:
        sm.wait_component(name, status="healthy")
    since = time.monotonic()
    way(certs.other_ca, ca)
    for name in names:
        sm.wait_component(name, status="unhealthy", reason="tls_untrusted")
    for name in ("vault", "websocket"):
        truth.cell(name, "ca_file replaced by another authority", sm, f"{name}0", "unhealthy", "tls_untrusted", within=20, since=since)
    rename(certs.ca, ca)
    for name in names:
        sm.wait_component(name, status="healthy")
    ca.unlink()
    for name in names:
        found = sm.wait_component(name, status="unknown", reason="tls_other")
        assert "ca_file" in found["message"]
    rename(certs.ca, ca)
    for name in names:
        sm.wait_component(name, status="healthy")

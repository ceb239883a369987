# SPDX-License-Identifier: Apache-2.0
"""Where the daemon listens: address families, ports, what it says of them."""
import ctypes
import os
import platform
import re
import struct
import subprocess

import pytest
import requests

from harness import ROOT, free_port
from test_http import ports, watched

ALIVE = "/api/v1/alive"


def codes(port):
    """The answers over IPv4 and IPv6; None: refused."""
    found = []
    for host in ("127.0.0.1", "[::1]"):
        try:
            found.append(requests.get(f"http://{host}:{port}{ALIVE}", timeout=10).status_code)
        except requests.ConnectionError:
            found.append(None)
    return found


def without_ipv6():
    """In the child: socket(AF_INET6) fails, as in a kernel without it."""
    number = {"x86_64": 41, "aarch64": 198}[platform.machine()]
    steps = [(0x20, 0, 0, 0), (0x15, 0, 3, number), (0x20, 0, 0, 16), (0x15, 0, 1, 10), (0x06, 0, 0, 0x00050000 | 97), (0x06, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, program, 0, 0) != 0:
        os._exit(77)


@pytest.mark.parametrize("listen", [":0", "*:0"])
def test_no_address_means_both_families_on_one_port(skymond, tmp_path, listen):
    for config, argument in (({"listen": listen}, None), ({}, listen)):
        daemon = skymond(watched(tmp_path, **config), listen=argument)
        assert len(ports(daemon)) == 1
        assert codes(daemon.port) == [200, 200]
        assert daemon.stop() == 0


def test_both_families_listed_on_one_port(skymond, tmp_path):
    port = free_port()
    daemon = skymond(watched(tmp_path, listen=[f"0.0.0.0:{port}", f"[::]:{port}"]), listen=None)
    assert codes(port) == [200, 200]
    assert ports(daemon) == [port, port]


def test_one_family_alone(skymond, tmp_path):
    assert codes(skymond(watched(tmp_path, listen="0.0.0.0:0"), listen=None).port) == [200, None]
    assert codes(skymond(watched(tmp_path, listen="[::]:0"), listen=None).port) == [None, 200]


def test_without_ipv6_it_is_ipv4(skymond, tmp_path):
    daemon = skymond(watched(tmp_path, listen=":0"), listen=None, preexec_fn=without_ipv6)
    daemon.wait_log("address=0.0.0.0")
    assert codes(daemon.port) == [200, None]


def test_a_taken_port_is_one_sentence(skymond, tmp_path):
    taken = skymond(watched(tmp_path))
    config = tmp_path / "second.yaml"
    config.write_text(f"listen: ':{taken.port}'\nplugins: {{prometheus: {{}}}}\n")
    done = subprocess.run([ROOT / "sbin" / "skymond", "-c", config], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "STATE_DIRECTORY": str(tmp_path)})
    assert done.returncode == 1
    errors = re.findall(r"level=error.*", done.stderr)
    assert len(errors) == 1 and f":{taken.port}" in errors[0] and "another program listens there" in errors[0]

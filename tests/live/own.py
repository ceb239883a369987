# SPDX-License-Identifier: Apache-2.0
"""Needed of this machine by some tests: an address that is not loopback, a file that one process alone sees at another's place."""
import ctypes
import os
import socket

import pytest


def own_address():
    """An IPv4 address of this machine that is not loopback; without one the test is skipped, under CI it fails."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # sends nothing: only the route is looked up
            address = probe.getsockname()[0]
        except OSError:
            address = "127.0.0.1"
    if not address.startswith("127."):
        return address
    if os.environ.get("CI") == "true":
        pytest.fail("this machine has no address but loopback, and under CI nothing is skipped")
    pytest.skip("this machine has no address but loopback")


CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 4096, 16384, 1 << 18


def own_file(path, target):
    """For Popen's preexec_fn: this process and its children alone see the file `path` at `target`."""
    if os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("this test needs root, and under CI nothing is skipped")
        pytest.skip("only root may mount")
    libc = ctypes.CDLL(None, use_errno=True)

    def enter():
        for done in (libc.unshare(CLONE_NEWNS),
                     libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None),
                     libc.mount(str(path).encode(), os.path.realpath(target).encode(), None, MS_BIND, None)):
            if done != 0:
                raise OSError(ctypes.get_errno(), f"cannot mount over {target}")
    return enter

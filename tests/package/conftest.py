# SPDX-License-Identifier: Apache-2.0
"""The live tests' tools serve here too: harness.py, and the fixtures of their conftest.py."""
import importlib.util
import pathlib
import sys

LIVE = pathlib.Path(__file__).resolve().parents[1] / "live"
sys.path.insert(0, str(LIVE))
spec = importlib.util.spec_from_file_location("live_conftest", LIVE / "conftest.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
skymond = module.skymond
certs = module.certs
factory = module.factory  # a run of both folders (the row trixie) has this file as `conftest`

from machine import booted, machine  # noqa: E402,F401 (fixtures, which need the path above)

# SPDX-License-Identifier: Apache-2.0
"""The Debian packages of etc/debian."""
from harness import ROOT, SOURCE

DEBIAN = SOURCE / "etc" / "debian"


def test_each_plugin_is_in_one_package():
    lists = [line.split()[0].rpartition("/")[2] for file in DEBIAN.glob("*.install") for line in file.read_text().splitlines()]
    assert sorted(name for name in lists if name.endswith(".so")) == sorted(path.name for path in (ROOT / "lib/skymon/plugins").glob("*.so"))

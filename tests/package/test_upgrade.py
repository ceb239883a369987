# SPDX-License-Identifier: Apache-2.0
"""The installed package skymon under a real systemd and under probes: reloads, restarts and an upgrade. SKYMON_PROBES=60000 is the whole
proof, with 100 reloads and 20 restarts."""
import os

import pytest

from debian import bring_packages
from machine import WEB
from proof import RELOAD, RESTART, Proof

PROBES = int(os.environ.get("SKYMON_PROBES") or 0)
UPGRADE = "sh", "-c", "dpkg -i --force-confold /debs/skymon_*.deb"


@pytest.fixture
def installed(machine):
    """The machine with the package, as an older version."""
    bring_packages(machine)
    machine.run("bash", "-ec", "dpkg-deb -R /debs/skymon_*.deb /opt/old; sed -i 's/^Version: .*/Version: 0.0.1-1/' /opt/old/DEBIAN/control;"
                "dpkg-deb -Znone -b /opt/old /opt/old.deb; dpkg -i /opt/old.deb")
    machine.config = "/etc/skymon/skymon.yaml"
    yield machine
    machine.run("dpkg", "--purge", "skymon")


def test_probes_notice_neither_reloads_nor_restarts_nor_an_upgrade(installed, certs):
    assert installed.show("skymon.service", "ActiveState") == "active" and installed.show("skymon.socket", "ActiveState") == "inactive"
    installed.run("systemctl", "stop", "skymon")
    installed.run("systemctl", "enable", "skymon.socket")
    proof = Proof(installed, certs, WEB, 200, PROBES or 1200)
    turns, reloads = (20, 5) if PROBES else (2, 2)
    actions = turns * [*reloads * [RELOAD], RESTART]
    actions.insert(len(actions) // 2, UPGRADE)
    answered = proof.act(actions)
    assert answered >= proof.probes and len(proof.mains) == turns + 2, "an upgrade restarts the daemon"
    assert installed.run("dpkg-query", "-W", "-f", "${Version}", "skymon").stdout != "0.0.1-1"
    print(f"{answered} probes answered during {turns * reloads} reloads, {turns} restarts and an upgrade")
    installed.run("dpkg", "--purge", "skymon")
    assert installed.show("skymon.socket", "ActiveState") == "inactive"

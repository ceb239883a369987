# SPDX-License-Identifier: Apache-2.0
"""An upgrade of the installed package skymon, under a real systemd and under probes."""
import pathlib

from debian import BUILD, lacking
from test_systemd import RELOAD, WEB, Proof, booted, machine  # noqa: F401 (fixtures)


def test_probes_notice_no_upgrade(machine, certs):  # noqa: F811
    release = next(line.split('"')[1] for line in pathlib.Path("/etc/os-release").read_text().splitlines() if line.startswith("VERSION_ID="))
    packages = sorted((BUILD / "deb" / release).glob("skymon_*.deb"))
    if not packages:
        lacking(f"the packages of Debian {release} were not built")
    (machine.root / "opt/skymon.deb").write_bytes(packages[0].read_bytes())
    machine.run("bash", "-ec", "rm -f /usr/sbin/policy-rc.d /var/lib/man-db/auto-update; rm /etc/systemd/system/skymon.*; dpkg-deb -R /opt/skymon.deb /opt/old;"
                "sed -i 's/^Version: .*/Version: 0.0.1-1/' /opt/old/DEBIAN/control; dpkg-deb -Znone -b /opt/old /opt/old.deb; dpkg -i /opt/old.deb")
    assert machine.show("skymon.service", "ActiveState") == "active" and machine.show("skymon.socket", "ActiveState") == "inactive"
    machine.run("systemctl", "stop", "skymon")
    machine.run("systemctl", "enable", "skymon.socket")
    machine.config = "/etc/skymon/skymon.yaml"
    proof = Proof(machine, certs, WEB, 200, 400)
    proof.act([RELOAD, ("dpkg", "-i", "--force-confold", "/opt/skymon.deb"), RELOAD])
    assert len(proof.mains) == 2, "an upgrade restarts the daemon"
    assert machine.run("dpkg-query", "-W", "-f", "${Version}", "skymon").stdout != "0.0.1-1"
    machine.run("dpkg", "--purge", "skymon")
    assert machine.show("skymon.socket", "ActiveState") == "inactive"

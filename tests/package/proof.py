# SPDX-License-Identifier: Apache-2.0
"""Probes of a service in the machine that must notice nothing of what is done to it."""
import json
import pathlib
import re
import subprocess

from harness import Output, SLOW, wait_until
from machine import WEB, configure, drop_in, get, sockets, start


class Prober:
    """probe.py, run in the machine."""

    def __init__(self, machine, total, ready):
        machine.write("/opt/probe.py", pathlib.Path(__file__).with_name("probe.py").read_text())
        self.process = subprocess.Popen(machine.command("python3", "/opt/probe.py", total, "/etc/skymon-tls/ca.pem", ready),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.output = Output(self.process.stdout)

    def wrong(self):
        return [line for line in self.output.lines if not re.match(r"(count|end) \d+$", line)]

    def wait_count(self, count):
        """Waits until so many have been answered; returns how many."""
        def counted():
            assert self.process.poll() is None, self.output.lines[-5:]
            numbers = [int(line.split()[1]) for line in list(self.output.lines)[-50:] if line.startswith("count ")]
            return numbers and numbers[-1] >= count and numbers[-1]
        return wait_until(counted, 120, f"{count} probes")

    def end(self):
        self.process.stdin.close()
        self.process.wait(300 * SLOW)
        self.output.join()
        assert self.wrong() == [] and self.output.lines[-1].startswith("end "), self.output.lines[-20:]
        return int(self.output.lines[-1].split()[1])


class Proof:
    """The service with sockets of three kinds, a component, and probes; the key of TLS is a credential."""

    def __init__(self, machine, certs, component, ready, probes):
        self.machine, self.probes = machine, probes
        machine.write("/etc/skymon-tls/ca.pem", pathlib.Path(certs.ca).read_text())
        machine.write("/etc/skymon-tls/cert.pem", pathlib.Path(certs.pem("good")).read_text())
        machine.write("/etc/skymon-tls/key.pem", pathlib.Path(certs.key("good")).read_text(), mode=0o600)
        drop_in(machine, "[Unit]\nStartLimitIntervalSec=0\n[Service]\nLoadCredential=key:/etc/skymon-tls/key.pem\n")
        self.component = component
        self.keys = {"listen": [":8080", {"address": ":8443", "tls": {"cert_file": "/etc/skymon-tls/cert.pem", "key_file": "${CREDENTIALS_DIRECTORY}/key"}},
                                "unix:/run/skymon.sock"], "plugins": {"prometheus": {}}}
        sockets(machine, "ListenStream=", "ListenStream=8080", "ListenStream=8443", "ListenStream=/run/skymon.sock")
        start(machine, {"web": component}, **self.keys)
        wait_until(lambda: json.loads(get(machine, "/api/v1/health/web")[1])["reason"] in ("ok", "refused"), 10, "a result")
        self.prober = Prober(machine, probes, ready)
        self.mains = {machine.show("skymon", "MainPID")}

    def act(self, action):
        """Spreads the actions over the probes."""
        for number, command in enumerate(action):
            self.prober.wait_count((number + 1) * self.probes // (len(action) + 1))
            more = {"more": {**WEB, "interval": "2s", "impact": "none"}} if number % 2 else {}
            configure(self.machine, {"web": self.component, **more}, **self.keys)
            done = self.machine.run(*command, check=False)
            assert done.returncode == 0, (number, command, done.stdout, done.stderr, self.machine.journal("skymon")[-3000:])
            self.mains.add(self.machine.show("skymon", "MainPID"))
        return self.prober.end()


RELOAD, RESTART = ("systemctl", "reload", "skymon"), ("systemctl", "restart", "skymon")

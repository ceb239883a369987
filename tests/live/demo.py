#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""./dev demo: real servers on loopback, skymond with etc/demo.yaml on port 8080, Prometheus that scrapes it, and one-liners that break and mend
each part. Ctrl-C stops and removes all of it. (The live test of the demo starts it with --port 0 and runs its one-liners.)"""
import argparse
import http.client
import itertools
import json
import os
import signal
import socket
import sys
import threading
import time

from harness import ROOT, SOURCE, Nginx, Postgres, Prometheus, Skymond, free_port, wait_until
from oidc import OidcProvider
from openbao import OpenBao
from redis_server import Redis
from ws_server import WsServer


FRONT = """log_format timed '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_time';
server { listen 127.0.0.1:PORT; access_log {folder}/access.log timed; keepalive_requests 100000; default_type text/plain;
location /orders { return 200 "12 orders\\n"; } location /broken { return 500 "broken\\n"; } }"""


class Demo:
    def __init__(self, port):
        self.parts = []
        self.port = port

    def add(self, part):
        self.parts.append(part)
        return part

    def start(self):
        say = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731
        say("starting nginx, PostgreSQL, Redis, OpenBao, a WebSocket server and an OpenID provider …")
        self.front = self.add(Nginx(FRONT.replace("PORT", str(port := free_port())), port))
        self.database = self.add(Postgres())
        self.cache = self.add(Redis(requirepass="demo-cache-1"))
        self.vault = self.add(OpenBao())
        self.websocket = self.add(WsServer())
        self.oidc = self.add(OidcProvider())
        self.database.psql("CREATE ROLE orders LOGIN PASSWORD 'demo-orders-1'")
        self.vault.put("database/orders", password="demo-orders-1")
        self.vault.put("cache/demo", password="demo-cache-1")
        self.vault.put("websocket/demo", bearer="Bearer demo-websocket-1")
        self.vault.put("authentication/demo", secret=self.oidc.client_secret)
        for load in (self.use_the_cache, self.use_the_front):
            threading.Thread(target=load, daemon=True).start()
        say("starting skymond and Prometheus …")
        self.skymond = self.add(Skymond(
            (SOURCE / "etc" / "demo.yaml").read_text(), listen=f"127.0.0.1:{self.port}",
            preexec_fn=os.setpgrp,  # a terminal's Ctrl-C is for the demo, which stops it in its turn
            env={"DEMO_VAULT": self.vault.url, "DEMO_VAULT_TOKEN": self.vault.token,
                 "DEMO_DATABASE": f"postgresql://orders@127.0.0.1:{self.database.port}/postgres",
                 "DEMO_ISSUER": self.oidc.issuer, "DEMO_CLIENT": self.oidc.client_id,
                 "DEMO_PORT": str(self.front.port), "DEMO_LOG": str(self.front.folder.path / "access.log"),
                 "DEMO_WEBSOCKET": self.websocket.url, "DEMO_CACHE": f"redis://127.0.0.1:{self.cache.port}"}))
        self.skymond.close = self.skymond.stop
        self.prometheus = self.add(Prometheus([f"127.0.0.1:{self.skymond.port}"],
                                              job={"metrics_path": "/api/v1/metrics/prometheus"}))
        wait_until(lambda: self.skymond.get("/api/v1/health").json()["status"] == "healthy", 30, "everything to be healthy")

    def use_the_cache(self):
        """A service that uses its cache, so that there is a hit rate to measure: nine of ten questions are answered."""
        for turn in itertools.count():
            try:
                self.cache.command("SET", "known", "1")
                self.cache.command("GET", "known" if turn % 10 else "unknown")
            except Exception:  # it is frozen or gone: the service goes on as soon as it can
                pass
            time.sleep(0.2)

    def use_the_front(self):
        """Ten requests a second over one connection; one of fifty is answered with an error."""
        connection = http.client.HTTPConnection("127.0.0.1", self.front.port, timeout=5)
        for turn in itertools.count():
            try:
                connection.request("GET", "/orders" if turn % 50 else "/broken")
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):  # it is frozen or gone: the clients come back
                connection.close()
            time.sleep(0.1)

    def one_liners(self):
        """[(component, what breaks it, the command, what it shows, the command that mends it)]"""
        seal = f"curl -s -X POST -H 'X-Vault-Token: {self.vault.token}' {self.vault.url}/v1/sys/seal"
        unseal = f"curl -s -X POST -d '{{\"key\":\"{self.vault.unseal_key}\"}}' {self.vault.url}/v1/sys/unseal"
        found = [("vault", "seal it", seal, "unhealthy/sealed", unseal)]
        for name, part in (("database", self.database), ("cache", self.cache), ("websocket", self.websocket),
                           ("authentication", self.oidc)):
            family = f"{part.process.pid} $(pgrep -P {part.process.pid})"
            found.append((name, "freeze it", f"kill -STOP {family}", "unhealthy/timeout", f"kill -CONT {family}"))
        return found

    def print(self):
        url = f"http://localhost:{self.skymond.port}"
        print(f"""
Everything is up and healthy. Look:
  curl -s {url}/api/v1/health | jq
  curl -s {url}/api/v1/health/vault | jq              # database, authentication, websocket, cache
  curl -s {url}/api/v1/status | jq .health
  curl -s {url}/api/v1/metrics/prometheus | head -24  # the service's eight: of nginx, its log, PostgreSQL and Redis
  SKYMON={ROOT}/bin/skymon; $SKYMON status --url {url}
  Prometheus: {self.prometheus.url}/graph?g0.expr=sky_genesis_database_connections&g0.tab=1   (job sky-genesis-api)

Break it, and mend it; each shows within four seconds:""")
        for name, what, breaks, shows, mends in self.one_liners():
            print(f"  {name}: {what} -> {shows}\n    {breaks}\n    {mends}")
        print(f"""
Rotate the database's password: PostgreSQL first, then Vault; skymond reads it again when it is refused:
  psql -h {self.database.folder.path} -p {self.database.port} -U postgres -c "ALTER ROLE orders PASSWORD 'demo-orders-2'; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'orders'"
  curl -s -X POST -H 'X-Vault-Token: {self.vault.token}' -d '{{"data":{{"password":"demo-orders-2"}}}}' {self.vault.url}/v1/secret/data/database/orders

Ctrl-C stops and removes all of it.""", flush=True)

    def close(self):
        for part in reversed(self.parts):
            try:
                part.close()
            except BaseException as error:  # the others must go too
                print(f"demo: {error}", file=sys.stderr)


def interrupt(number, frame):
    """The first one ends it; what follows, as an impatient Ctrl-C, must not keep it from cleaning up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=8080)
    arguments.add_argument("--json", help="also write the one-liners and addresses to this file")
    options = arguments.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", options.port))
        except OSError as error:
            print(f"demo: cannot listen on 127.0.0.1:{options.port}: {error.strerror}; try --port 0 (any free one)", file=sys.stderr)
            return 1
    demo = Demo(options.port)
    try:
        demo.start()
        demo.print()
        if options.json:
            with open(options.json + ".new", "w") as file:
                json.dump({"url": demo.skymond.url, "prometheus": demo.prometheus.url, "one_liners": demo.one_liners()}, file)
            os.rename(options.json + ".new", options.json)
        while demo.skymond.process.poll() is None:
            signal.sigtimedwait({signal.SIGCHLD}, 1)
        print("skymond has ended:\n" + demo.skymond.log_text()[-3000:], file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopping all of it …", file=sys.stderr)
        return 0
    finally:
        demo.close()


if __name__ == "__main__":
    sys.exit(main())

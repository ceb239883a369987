#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""probe.py TOTAL CA READY: runs inside the machine, for proof.py. Asks /ready, /health and /metrics over plain HTTP, TLS and a Unix
socket, a connection for each request, from a few threads, until TOTAL were answered and standard input has ended. READY is the code that
/ready and /health must have. Prints the number of answers now and then, and a line for each probe that went wrong."""
import http.client
import itertools
import json
import socket
import ssl
import sys
import threading

TOTAL, CA, READY = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
CONTEXT = ssl.create_default_context(cafile=CA)
PATHS = "/api/v1/ready", "/api/v1/health", "/metrics"
KINDS = "plain", "tls", "unix"
ended, answered, lock = threading.Event(), itertools.count(1), threading.Lock()


class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect("/run/skymon.sock")


def connection(kind):
    if kind == "plain":
        return http.client.HTTPConnection("127.0.0.1", 8080, timeout=30)
    if kind == "tls":
        return http.client.HTTPSConnection("localhost", 8443, timeout=30, context=CONTEXT)
    return Unix("localhost", timeout=30)


def fault(path, code, body):
    """Returns the fault of an answer, or None."""
    if path == "/metrics":
        return None if code == 200 and b"skymon_component_status" in body else f"{code}, {len(body)} bytes"
    answer = json.loads(body)
    if code != READY or answer.get("ready", code == 200) != (READY == 200):
        return f"{code} {body.decode()}"
    return None


def ask(kind, path):
    try:
        to = connection(kind)
        try:
            to.request("GET", path)
            reply = to.getresponse()
            return fault(path, reply.status, reply.read())
        finally:
            to.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        return repr(error)


def probe(number):
    for turn in itertools.count(number):
        kind, path = KINDS[turn % 3], PATHS[turn // 3 % 3]
        wrong = ask(kind, path)
        with lock:
            count = next(answered)
            if wrong:
                print("wrong", kind, path, wrong, flush=True)
            elif count % 20 == 0:
                print("count", count, flush=True)
        if ended.is_set() and count >= TOTAL:
            return


threads = [threading.Thread(target=probe, args=(number,), daemon=True) for number in range(4)]
for thread in threads:
    thread.start()
sys.stdin.read()
ended.set()
for thread in threads:
    thread.join()
print("end", next(answered) - 1, flush=True)

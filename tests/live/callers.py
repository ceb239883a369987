# SPDX-License-Identifier: Apache-2.0
"""Shared by the tests of local callers: a broker that runs as a user of its own and listens on every kind of socket, its guarded routes,
and curl as any user. They change users and network namespaces: only root can run them."""
import ctypes
import os
import pwd
import re
import struct
import subprocess

import pytest

from harness import SLOW, Folder, need, wait_until
from test_workers import component
from worker_routes import own_address

OWN, LISTED, STRANGERS = "games", "backup", ("nobody", "www-data")
ROUTES = [("GET", "dashboards"), ("POST", "dashboards"), ("GET", "dashboards/x"), ("PUT", "dashboards/x"), ("DELETE", "dashboards/x"),
          ("POST", "datasources"), ("POST", "alerts"), ("POST", "apply"), ("GET", "diff"), ("GET", "check")]


def only_as_root():
    if os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("this needs root, and under CI nothing is skipped")
        pytest.skip("only root can become other users")


def become(user):
    """A preexec_fn: the program runs as that user, in its folder, which it owns."""
    entry = pwd.getpwnam(user)

    def change():
        for path in (".", *os.listdir(".")):
            os.chown(path, entry.pw_uid, entry.pw_gid)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    return change


def without_netlink():
    """A preexec_fn: socket(AF_NETLINK, …) fails, as where the kernel or a sandbox has none."""
    def op(code, true, false, value):
        return struct.pack("HBBI", code, true, false, value)
    rows = (op(0x20, 0, 0, 0) + op(0x15, 0, 3, 41) + op(0x20, 0, 0, 16) + op(0x15, 0, 1, 16) + op(0x06, 0, 0, 0x00050000 | 97) +
            op(0x06, 0, 0, 0x7FFF0000))
    code = ctypes.create_string_buffer(rows)
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rows) // 8, ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.c_void_p(ctypes.addressof(program)), 0, 0) == 0


def no_new_privileges():
    ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)


def proc_that_hides():
    """To be run before the user is changed: the daemon's /proc shows what its user may trace, as with ProtectProc=invisible."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(0x20000) == 0 and libc.mount(None, b"/", None, 0x44000, None) == 0
    assert libc.mount(b"proc", b"/proc", b"proc", 0xE, b"hidepid=2") == 0


def in_a_user_namespace():
    """A preexec_fn: in a user namespace that maps our own user and no other."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.geteuid(), os.getegid()
    libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: /proc/self is ours again
    assert libc.unshare(0x10000000) == 0
    libc.prctl(4, 1, 0, 0, 0)
    for name, text in (("uid_map", f"{uid} {uid} 1"), ("setgroups", "deny"), ("gid_map", f"{gid} {gid} 1")):
        fd = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(fd, text.encode())
        os.close(fd)


def curl(base, user="root", routes=ROUTES, headers=(), unix=None, more=(), prefix=()):
    """{(method, route): (code, body)} as that user gets them, each over a connection of its own."""
    words = [*prefix, need("setpriv"), f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--keep-groups" if user == "root" else "--clear-groups", need("curl"), "-gsS"]
    for index, (method, route) in enumerate(routes):
        words += ["--next"] if index else []
        words += ["-m", str(int(20 * SLOW)), "-w", "\n%{http_code}\x1e", "-X", method, "-H", "Connection: close", *more]
        words += ["--unix-socket", str(unix)] if unix else []
        for header in headers:
            words += ["-H", header]
        if method in ("POST", "PUT"):
            words += ["-H", "Content-Type: application/json", "-d", "{}"]
        words += [f"{base}/api/v1/grafana/{route}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300 * SLOW, cwd="/", stdin=subprocess.DEVNULL)
    answers = [text.strip("\n").rpartition("\n") for text in done.stdout.split("\x1e")[:-1]]
    assert len(answers) == len(routes), (done.stdout, done.stderr)
    return {row: (int(code), body) for row, (body, _, code) in zip(routes, answers)}


def is_allowed(answers):
    return all(code not in (0, 401, 403) and code < 500 for code, _ in answers.values())


def is_refused(answers):
    return all(code == 403 for code, _ in answers.values())


class Broker:
    """skymond as OWN, before a Grafana, on IPv4, IPv6, both, every address and a Unix socket that all may write to."""

    def __init__(self, skymond, grafana, user=OWN, preexec=None, first=None, **more):
        only_as_root()
        self.folder = Folder("callers")
        self.folder.path.chmod(0o755)
        os.chown(self.folder.path, pwd.getpwnam(user).pw_uid, -1)
        self.unix = self.folder.path / "http.sock"
        start = become(user)

        def begin():
            if first:
                first()
            start()
            if preexec:
                preexec()
        self.config = {"listen": ["127.0.0.1:0", "[::1]:0", ":0", f"unix:{self.unix}"], "local_users": [LISTED],
                       "server_names": ["your-api-server"], "limits": {"connections_per_address": 500},
                       "plugins": {"prometheus": {}, "grafana": {"url": grafana.url, "api_key": grafana.add_key("admin")}}, **more}
        self.sm = skymond(self.config, listen=None, preexec_fn=begin)
        wait_until(self.unix.exists, 5, "the Unix socket")
        self.unix.chmod(0o666)
        self.sm.wait_component("grafana", status="healthy")
        self.four, self.six, self.both = [int(port) for port in re.findall(r"port=(\d+) msg=listening", self.sm.log_text())]

    def add_component(self, name, plugin, **options):
        """By a reload: the listeners' ports are known by now."""
        self.config["components"] = {name: component(plugin, **options)}
        self.sm.write_config(self.config)
        self.sm.config.chmod(0o644)
        self.sm.hup()

    def ways(self):
        """{name: (base URL, Unix socket)} of every way to it."""
        found = {"IPv4": (f"http://127.0.0.1:{self.four}", None), "another loopback": (f"http://127.0.0.7:{self.both}", None),
                 "IPv6": (f"http://[::1]:{self.six}", None), "mapped": (f"http://127.0.0.1:{self.both}", None),
                 "mapped by the client": (f"http://[::ffff:127.0.0.1]:{self.both}", None), "unix": ("http://localhost", self.unix)}
        address = own_address()
        if address is not None:
            found["own address"] = (f"http://{address}:{self.both}", None)
        return found

    def close(self):
        self.folder.remove()


def guarded_routes(sm):
    """The broker's routes as the daemon itself lists them."""
    lines = sm.get("/", headers={"Accept": "application/json"}).json()["routes"]
    return {(line["method"], line["path"].removeprefix("/api/v1/grafana/").replace("{uid}", "x")) for line in lines
            if line["path"].startswith("/api/v1/grafana/") and not line["path"].endswith("/health")}


class Namespace:
    """A network namespace with one end of a veth pair; `here` and `there` are the addresses of its ends."""

    def __init__(self):
        number = os.getpid() % 200 + 20
        self.here, self.there, self.link = f"10.99.{number}.1", f"10.99.{number}.2", f"sk{os.getpid() % 100000}"
        self.holder = subprocess.Popen([need("unshare"), "--net", "sleep", "600"], stdin=subprocess.DEVNULL)
        own = os.readlink("/proc/self/ns/net")
        wait_until(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != own, 5, "the namespace")
        self.enter = [need("nsenter"), "--net", "--target", str(self.holder.pid)]
        ip = need("ip")
        for words in ([ip, "link", "add", self.link, "type", "veth", "peer", "name", "far", "netns", str(self.holder.pid)],
                      [ip, "addr", "add", f"{self.here}/24", "dev", self.link], [ip, "link", "set", self.link, "up"],
                      [*self.enter, ip, "addr", "add", f"{self.there}/24", "dev", "far"], [*self.enter, ip, "link", "set", "far", "up"],
                      [*self.enter, ip, "link", "set", "lo", "up"]):
            done = subprocess.run(words, capture_output=True, text=True, timeout=10)
            if done.returncode != 0:
                self.close()
                pytest.skip(f"no veth here: {done.stderr}")

    def close(self):
        self.holder.kill()
        self.holder.wait()
        subprocess.run([need("ip"), "link", "del", self.link], capture_output=True, timeout=10)

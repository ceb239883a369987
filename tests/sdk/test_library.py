# SPDX-License-Identifier: Apache-2.0
"""The helper library and the test server, as an author has them: the installed files, pkg-config, a compiler, `skymon`."""
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import time

import pytest

from harness import ROOT, SLOW, need, wait_until

SOURCE = pathlib.Path(__file__).resolve().parents[2]
ORDERS = ROOT / "share/doc/skymon/sdk/examples/orders"
SHARED = ["-fPIC", "-fvisibility=hidden", "-shared", "-Wl,-z,defs", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]


@pytest.fixture(autouse=True)
def only_installed(monkeypatch, tmp_path):
    monkeypatch.setenv("PKG_CONFIG_PATH", str(ROOT / "lib/pkgconfig"))
    monkeypatch.setenv("PATH", f"{ROOT / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))  # of the server's authority
    yield
    assert not [*(tmp_path / "tmp").glob("skymon-test-*")], "the server has left files"


def run(*command, cwd=None, code=0):
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=120 * SLOW, stdin=subprocess.DEVNULL)
    assert done.returncode == code, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


# ---- The library ----

def test_the_example_is_short():
    assert len((ORDERS / "orders.c").read_text().splitlines()) <= 60


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_example(compiler, tmp_path):
    """./test runs it against a server of each kind."""
    folder = shutil.copytree(ORDERS, tmp_path / "orders")
    run("make", "-C", folder, "check", f"CC={need(compiler)}", "CFLAGS=-O2 -Wall -Wextra -Wpedantic -Wshadow -Werror")
    names = run("nm", "-D", "--defined-only", folder / "orders.so").split()
    assert names[2:] == ["skymon_plugin"], names


def test_the_example_s_test_can_fail(tmp_path):
    folder = shutil.copytree(ORDERS, tmp_path / "orders")
    code = (folder / "orders.c").read_text()
    broken = code.replace('status = skymon_json_expect(sm, json, "/queue/state", orders->state);', "")
    assert broken != code
    (folder / "orders.c").write_text(broken)
    out = run("make", "-C", folder, "check", code=2)
    assert "is shut, not open" in out and "tls_expired" not in out


USES = {  # a call that needs the whole library
    "skymon-http": ("http", "skymon_http_free(skymon_http_new());"),
    "skymon-net": ("net", "struct skymon_net_target to = {0}; struct skymon_fault fault; skymon_net_close(skymon_net_open(sm, &to, &fault));"),
    "skymon-json": ("json", "skymon_json_expect(sm, NULL, \"\", \"\");"),
    "skymon-lib": ("timed_lock", "struct skymon_timed_lock lock; skymon_timed_lock_init(&lock); skymon_timed_lock_end(&lock);"),
}


@pytest.mark.parametrize("names", ["skymon-http", "skymon-net", "skymon-json", "skymon-lib", "skymon-http skymon-json skymon-lib",
                                   "skymon-json skymon-http", "skymon-net skymon-http", "skymon-lib skymon-json skymon-net"])
@pytest.mark.parametrize("compiler", ["gcc", "g++"])
def test_each_library_by_its_pc_file(compiler, names, tmp_path):
    """In any order: -lskymon-… must come before the libraries that it needs."""
    words = names.split()
    source = tmp_path / ("x.c" if compiler == "gcc" else "x.cc")
    source.write_text("".join(f"#include <skymon/{USES[name][0]}.h>\n" for name in words) +
                      "static enum skymon_status check(struct skymon *sm, void *state)\n{\n\t(void)state;\n" +
                      "".join(f"\t{{ {USES[name][1]} }}\n" for name in words) +
                      '\treturn skymon_healthy(sm, "fine");\n}\nSKYMON_PLUGIN(x, "1", "Links", .check = check);\n')
    language = ["-std=c11", "-Wshadow"] if compiler == "gcc" else ["-std=c++20", "-Wno-missing-field-initializers"]
    flags = run("pkg-config", "--cflags", *words).split(), run("pkg-config", "--libs", *words).split()
    run(need(compiler), *language, *SHARED, *flags[0], "-o", tmp_path / "x.so", source, *flags[1])
    names = [line.split()[-1] for line in run("nm", "-D", "--defined-only", tmp_path / "x.so").splitlines()]
    assert names == ["skymon_plugin"], names


def test_the_code_in_the_guide(tmp_path):
    """Each piece is the body of a check, in one plugin; those of one HTTP request are one check."""
    section = re.search(r"^## The helper library\n(.*?)^## ", (SOURCE / "sdk/GUIDE.md").read_text(), re.S | re.M)[1]
    request, json, *others = re.findall(r"^```c\n(.*?)^```", section, re.S | re.M)
    head = request.split("status = skymon_verdict")[0]
    pieces = [request, head + json + "skymon_http_answer_free(&answer);\nreturn status;\n", *others]
    assert len(pieces) == 4
    source = "".join(f"#include <skymon/{name}.h>\n" for name in ("http", "json", "net", "spawn")) + """#include <string.h>
struct it { const char *url, *address; struct skymon_secret token; struct skymon_tls tls; struct skymon_http *http; bool has_tls; };
"""
    for number, piece in enumerate(pieces):
        source += f"static enum skymon_status check_{number}(struct skymon *sm, void *state)\n{{\nstruct it *it = state;\n(void)it;\n{piece}}}\n"
    source += """static enum skymon_status check(struct skymon *sm, void *state)
{
	enum skymon_status (*const all[])(struct skymon *, void *) = {check_0, check_1, check_2, check_3};
	return all[skymon_ms_left(sm) % 4](sm, state);
}
SKYMON_PLUGIN(x, "1", "Compiles", .state_size = sizeof(struct it), .check = check);
"""
    (tmp_path / "x.c").write_text(source)
    make = re.search(r"^```make\n(.*?)^```", section, re.S | re.M)[1].replace("skymon-http skymon-json", "skymon-http skymon-json skymon-lib")
    (tmp_path / "Makefile").write_text(make)
    run("make", "-C", tmp_path, f"CC=gcc {' '.join(flag for flag in SHARED if flag.startswith('-W'))}")


# ---- The test server ----

class Server:
    """A server without a command, as a test of a long life starts it."""

    def __init__(self, *words):
        self.process = subprocess.Popen(["skymon", "test-server", *words], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
        said = dict(self.process.stdout.readline().strip().split("=", 1) for _ in range(3))
        self.url, self.ca = said["url"], said["ca"]
        host, port = said["address"].split(":")
        self.address = (host, int(port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(10 * SLOW) == 0
        self.process.stdout.close()

    def client(self):
        return socket.create_connection(self.address, timeout=30 * SLOW)

    def answer(self, request):
        """All that comes until the server closes the connection."""
        with self.client() as client:
            return exchange(client, request)


def exchange(client, request, size=1 << 20):
    """Returns that many bytes of what comes back, or all until the server closes the connection."""
    client.sendall(request)
    out = b""
    while len(out) < size and (got := client.recv(65536)):
        out += got
    return out


def silent(client):
    client.settimeout(0.2)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return True


GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 28\r\n\r\nAuthorization: Bearer geheim"
AUTHORIZED = b"GET / HTTP/1.1\r\nHost: x\r\nauthorization: bearer geheim\r\n\r\n"


def test_http_answers():
    with Server("http", "--status", "203", "--header", "X-One: 1", "--body", "hello") as server, server.client() as client:
        head = b"HTTP/1.1 203 Test\r\nX-One: 1\r\nContent-Length: 5\r\n\r\n"
        whole = head + b"hello"
        for _ in range(2):  # the connection is kept
            assert exchange(client, GET, len(whole)) == whole
        assert exchange(client, b"HEAD / HTTP/1.1\r\n\r\n", len(head)) == head and silent(client)
        assert server.answer(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n" + GET) == whole
    with Server("http", "--token", "geheim") as server:
        refusal = b"HTTP/1.1 401 Test\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n"
        for request in POST, AUTHORIZED.replace(b"geheim", b"geheimer"), AUTHORIZED.replace(b"geheim", b"gehei"):
            with server.client() as client:
                assert exchange(client, request, len(refusal)) == refusal and silent(client), request
        with server.client() as client:
            good = b"HTTP/1.1 200 Test\r\nContent-Length: 2\r\n\r\nok"
            assert exchange(client, AUTHORIZED, len(good)) == good
    with Server("http", "--status", "204") as server, server.client() as client:
        assert exchange(client, GET, 21) == b"HTTP/1.1 204 Test\r\n\r\n"


def test_kinds_that_are_wrong():
    with Server("half", "--body", "12345678") as server:
        assert server.answer(GET).endswith(b"\r\n\r\n1234")
    with Server("half", "--body", "") as server:
        assert server.answer(GET) == b"HTTP/1.1 200 Test\r\nC"
    with Server("garbage") as server:
        assert len(server.answer(b"?")) == 512
    with Server("tcp", "--body", "220 hello\r\n") as server, server.client() as client:
        assert exchange(client, b"", 11) == b"220 hello\r\n" and exchange(client, b"QUIT\r\n", 0) == b"" and silent(client)
    with Server("silent") as server, server.client() as client:
        client.sendall(GET)
        assert silent(client)
    with Server("close") as server, server.client() as client:
        assert client.recv(1) == b""
    with Server("reset") as server, pytest.raises(ConnectionResetError):
        server.answer(GET)
    with Server("slow", "--delay", "700") as server, server.client() as client:
        began = time.monotonic()
        assert exchange(client, GET, 1).startswith(b"HTTP/1.1 200 ") and time.monotonic() >= began + 0.7
    with Server("refuse") as server, pytest.raises(ConnectionRefusedError):
        server.client()
    with Server("garbage,half", "--body", "xyz.") as server:
        assert len(server.answer(b"?")) == 512
        assert server.answer(GET).endswith(b"xy") and server.answer(GET).endswith(b"xy")


@pytest.mark.parametrize("kind, fault", [("good", None), ("expired", "expired"), ("future", "not yet valid"), ("self-signed", "self-signed"),
                                         ("untrusted", "unable to get local issuer"), ("wrong-name", "IP address mismatch")])
def test_certificates(kind, fault):
    with Server("http", "--tls", kind) as server:
        context = ssl.create_default_context(cafile=server.ca)
        with socket.create_connection(server.address) as client:
            if fault is None:
                with context.wrap_socket(client, server_hostname="127.0.0.1") as inside:
                    inside.sendall(GET)
                    assert inside.recv(100).startswith(b"HTTP/1.1 200 ")
            else:
                with pytest.raises(ssl.SSLCertVerificationError, match=fault):
                    context.wrap_socket(client, server_hostname="127.0.0.1")


def test_it_ends_with_its_command():
    assert run("skymon", "test-server", "http", "--", "echo", "{url} {address}", "{ca}.").startswith("http://127.0.0.1:")
    out = run("skymon", "test-server", "http", "--tls", "good", "--", "sh", "-c", "echo {url}; test -s {ca} && exit 7", code=7)
    assert out.startswith("https://127.0.0.1:")
    run("skymon", "test-server", "http", "--", "sh", "-c", "kill -KILL $$", code=137)
    assert "cannot start /no/such" in run("skymon", "test-server", "http", "--", "/no/such", code=127)


def test_it_ends_with_the_process_that_started_it(tmp_path):
    """A script that is killed leaves no server behind."""
    shell = subprocess.Popen(["sh", "-c", f"skymon test-server http --tls good >{tmp_path}/said & wait"])
    wait_until(lambda: (tmp_path / "said").exists() and "ca=" in (tmp_path / "said").read_text())
    address = [line.split("=")[1] for line in (tmp_path / "said").read_text().splitlines() if line.startswith("address=")][0]
    shell.kill()
    shell.wait()

    def gone():
        try:
            socket.create_connection(("127.0.0.1", int(address.split(":")[1])), timeout=5).close()
        except ConnectionRefusedError:
            return True
        return False
    wait_until(gone)
    wait_until(lambda: not [*(tmp_path / "tmp").glob("*")])


@pytest.mark.parametrize("words, says", [
    ([], "the kind is missing"), (["nothing"], "no such kind: nothing"), (["http,"], "no such kind"),
    (["http,refuse"], "refuse cannot be one of several"), (["http", "--tls", "bad"], "no such certificate: bad"),
    (["http", "--status", "99"], "--status takes a number"), (["http", "--port", "x"], "--port takes a number"),
    (["http", "--port", "1", "--nothing"], "--help"), ([",".join(["http"] * 17)], "too many kinds")])
def test_wrong_words(words, says):
    assert says in run("skymon", "test-server", *words, code=3)

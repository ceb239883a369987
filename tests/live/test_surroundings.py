# SPDX-License-Identifier: Apache-2.0
"""The machine that the daemon runs on: the journal, a machine that lacks something, `./dev run`."""
import ctypes
import os
import re
import subprocess
import sys

import pytest
import requests

from harness import ROOT, SOURCE, Folder, end_process, wait_until
from test_http import watched

NEW_MOUNTS = 0x00020000


def hide(path):
    """For preexec_fn: nothing at a folder or in a file of /proc, for this process and its children alone."""
    kind, source, flags = (b"tmpfs", b"tmpfs", 0) if os.path.isdir(path) else (None, b"/dev/null", 1 << 12)

    def hidden():
        libc = ctypes.CDLL(None, use_errno=True)
        for call in (lambda: libc.unshare(NEW_MOUNTS), lambda: libc.mount(None, b"/", None, 1 << 18 | 1 << 14, None),
                     lambda: libc.mount(source, path.encode(), kind, flags, None)):
            if call() != 0:
                os._exit(77)
    return hidden


@pytest.fixture
def mounts():
    probe = [sys.executable, "-c", f"import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare({NEW_MOUNTS}) != 0)"]
    if subprocess.run(probe, timeout=20).returncode != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("mount namespaces are not allowed, and under CI nothing is skipped")
        pytest.skip("mount namespaces are not allowed")


def samples(daemon):
    return dict(re.findall(r"^(process_\w+) (\S+)$", daemon.get("/metrics").text, re.M))


# ---- The journal ----

@pytest.mark.parametrize("log, info", [({}, r"<6>ts=\S+ level=info "), ({"format": "json"}, r'<6>\{"ts":')])
def test_lines_for_the_journal_begin_with_their_priority(tmp_path, log, info):
    config = tmp_path / "c.yaml"
    for other, mine in ((0, True), (1, False)):
        config.write_text(f"listen: 127.0.0.1:0\nplugins: {{prometheus: {{}}}}\nlog: {log}\n".replace("'", ""))
        read, write = os.pipe()
        stream = f"{os.fstat(write).st_dev}:{os.fstat(write).st_ino + other}"
        daemon = subprocess.Popen([ROOT / "sbin" / "skymond", "-c", config], stderr=write, stdin=subprocess.DEVNULL,
                                  env={**os.environ, "JOURNAL_STREAM": stream, "STATE_DIRECTORY": str(tmp_path)})
        os.close(write)
        said = b""
        try:
            while b"listening" not in said:
                said += os.read(read, 65536)
            config.write_text("listen: [\n")
            daemon.send_signal(1)  # a reload that fails: an error
            while b"error" not in said.split(b"listening", 1)[1] or not said.endswith(b"\n"):
                said += os.read(read, 65536)
        finally:
            end_process(daemon)
            os.close(read)
        lines = said.decode().splitlines()
        assert any(re.match(info, line) for line in lines) == mine, lines
        assert any(re.match(r"<3>.*error", line) for line in lines) == mine, lines
        assert all(re.match(r"<[3467]>", line) for line in lines) == mine, lines


# ---- A machine that lacks something ----

def test_a_missing_dev_null_is_named(skymond, tmp_path, mounts):
    daemon = skymond(watched(tmp_path), wait=False, preexec_fn=hide("/dev"))
    line = daemon.wait_log("/dev/null")
    assert "skymon-worker" not in line and "No such file" in line, line
    daemon.stop(expect=None)


def test_memory_that_is_not_known_is_absent(skymond, tmp_path, mounts):
    daemon = skymond({"plugins": {"prometheus": {}}}, preexec_fn=hide("/proc/self/statm"))
    found = samples(daemon)
    assert "process_resident_memory_bytes" not in found
    assert float(found["process_cpu_seconds_total"]) >= 0 and int(found["process_max_fds"]) > 0
    assert "sky_genesis_memory_usage_mb" not in daemon.get("/metrics").text


def test_descriptors_are_counted(skymond, tmp_path):
    daemon = skymond(watched(tmp_path))
    daemon.wait_component("db", status="healthy")
    def differs():
        return int(samples(daemon)["process_open_fds"]) - len(os.listdir(f"/proc/{daemon.pid}/fd"))
    wait_until(lambda: abs(differs()) <= 2, 10, "the same number that /proc has")
    limit = re.search(r"^Max open files +(\d+)", open(f"/proc/{daemon.pid}/limits").read(), re.M).group(1)
    assert samples(daemon)["process_max_fds"] == limit
    assert int(samples(daemon)["process_resident_memory_bytes"]) > 1000000


# ---- ./dev run ----

def dev_run(tmp_path, *arguments):
    """Its last line, without the build."""
    config = tmp_path / "c.yaml"
    config.write_text("plugins: {prometheus: {}}\n")
    script = 'cd "$1" && source ./dev && shift && exec "$@" 2> >(follow_log)'
    return subprocess.Popen(["bash", "-c", script, "-", SOURCE, ROOT / "sbin" / "skymond", "-c", config, *arguments], text=True,
                            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "STATE_DIRECTORY": str(tmp_path)})


@pytest.mark.parametrize("listen, host", [(":0", "localhost"), ("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "[::1]")])
def test_dev_run_prints_urls_of_where_it_listens(tmp_path, listen, host):
    run = dev_run(tmp_path, "--listen", listen)
    try:
        said = ""
        while "Ctrl-C ends it" not in said:
            line = run.stderr.readline()
            assert line, said
            said += line
        port = re.search(r"port=(\d+)", said).group(1)
        url = re.search(r"curl -s (\S+)/api/v1/alive", said).group(1)
        assert url == f"http://{host}:{port}"
        assert requests.get(url + "/api/v1/alive", timeout=10).status_code == 200
    finally:
        end_process(run)


def test_dev_run_prints_none_where_it_does_not_listen(skymond, tmp_path):
    taken = skymond({"plugins": {"prometheus": {}}})
    run = dev_run(tmp_path, "--listen", f"127.0.0.1:{taken.port}")
    said = run.communicate(timeout=60)[1]
    assert run.returncode == 1 and "curl" not in said
    assert len(re.findall("level=error", said)) == 1 and "another program listens there" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="the test gives a tree to another user")
def test_dev_run_as_root_in_the_tree_of_a_user(tmp_path):
    """As `sudo ./dev run`: root would refuse that user's config."""
    folder = Folder("tree")
    tree = folder.path
    (tree / "etc").mkdir()
    (tree / "etc" / "skymon.yaml").write_text("plugins: {prometheus: {}}\n")
    for path in (tree, tree / "etc", tree / "etc" / "skymon.yaml"):
        os.chown(path, 65534, 65534)
    script = 'source "$1/dev" && cd "$2" && build=$2/build root=$3 && start --listen 127.0.0.1:0'
    run = subprocess.Popen(["bash", "-c", script, "-", SOURCE, tree, ROOT], text=True, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        said = ""
        while "Ctrl-C ends it" not in said:
            line = run.stderr.readline()
            assert line, said
            said += line
        assert f"{tree}/etc/skymon.yaml belongs to user nobody: skymond and its plugins run as that user" in said
        assert re.search(r"^Uid:\t65534\t65534\t65534", open(f"/proc/{run.pid}/status").read(), re.M)
        assert (tree / "build" / "state").stat().st_uid == 65534
    finally:
        end_process(run)
        folder.remove()


def test_the_demo_says_in_one_sentence_that_its_port_is_taken(skymond):
    taken = skymond({"plugins": {"prometheus": {}}})
    done = subprocess.run([sys.executable, SOURCE / "tests" / "live" / "demo.py", "--port", str(taken.port)], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 1 and done.stdout == ""
    assert re.fullmatch(rf"demo: cannot listen on 127.0.0.1:{taken.port}: .*\n", done.stderr), done.stderr

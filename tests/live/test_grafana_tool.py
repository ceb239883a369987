# SPDX-License-Identifier: Apache-2.0
"""skymon WORD starts the program of a plugin; skymon grafana: its arguments, exit codes, and its messages when no server answers well. What it does
with a Grafana is in test_grafana_apply.py."""
import http.server
import os
import threading

import pytest

from harness import ROOT, free_port, run_tool

LIBEXEC = ROOT / "libexec" / "skymon"


@pytest.fixture
def program():
    """program(name, text) puts a script beside the plugins' own programs, for the time of the test."""
    made = []

    def make(name, text, folder=LIBEXEC):
        path = folder / f"skymon-{name}"
        assert not path.exists()
        path.write_text(text)
        path.chmod(0o755)
        made.append(path)
        return path

    yield make
    for path in made:
        path.unlink()


@pytest.fixture
def answers():
    """answers(code, body, type) starts a server that gives this one answer; .url, and .seen: [(method, path, headers, body)]."""
    started = []

    def start(code, body, kind="application/json"):
        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                size = int(self.headers.get("Content-Length", 0))
                server.seen.append((self.command, self.path, dict(self.headers), self.rfile.read(size)))
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        server.seen, server.url = [], f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


# ---- skymon WORD ----

def test_a_word_starts_the_program_of_its_name(program):
    program("t-probe2", '#!/bin/sh\necho "$#:$1:$2"; exit 7\n')
    done = run_tool("t-probe2", "a b", "--url")
    assert (done.returncode, done.stdout) == (7, "2:a b:--url\n"), done
    assert "skymon t-probe2" in run_tool("--help").stdout


def test_a_program_is_looked_for_in_one_folder(program, tmp_path):
    program("t-elsewhere", "#!/bin/sh\necho wrong\n", tmp_path)
    for word in ("t-elsewhere", f"../../../../../../{tmp_path}/skymon-t-elsewhere", "t_elsewhere", "", "worker"):
        done = run_tool(word, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, cwd=tmp_path)
        assert done.returncode == 3 and done.stdout == "" and f"no such command: {word}" in done.stderr, (word, done)


def test_a_program_that_cannot_be_started_is_said(program):
    program("t-broken", "").chmod(0o644)
    done = run_tool("t-broken")
    assert done.returncode == 3 and "cannot start" in done.stderr and "Permission denied" in done.stderr
    assert "t-broken" not in run_tool("--help").stdout


@pytest.mark.parametrize("word, nearest", [("grafan", "grafana"), ("stats", "status"), ("rnu", "run"), ("banana", None), ("plugin", "plugins")])
def test_the_nearest_word_is_named(word, nearest):
    done = run_tool(word)
    assert done.returncode == 3 and (f"did you mean {nearest}?" if nearest else "try skymon --help") in done.stderr


# ---- skymon grafana ----

def test_usage():
    done = run_tool("grafana", "--help")
    assert done.returncode == 0 and "skymon grafana export UID" in done.stdout and done.stderr == ""
    assert run_tool("grafana", "help").stdout == done.stdout
    for words in ([], ["frobnicate"], ["check", "more"], ["export"], ["export", "a", "b"], ["export", ""], ["check", "--nope"],
                  ["check", "--url"]):
        done = run_tool("grafana", *words)
        assert done.returncode == 2 and done.stderr and done.stdout == "", (words, done)


TROUBLE = [("check", 1), ("apply", 1), ("diff", 2), ("export x", 1)]


@pytest.mark.parametrize("words, code", TROUBLE)
def test_nobody_there(words, code):
    done = run_tool("grafana", *words.split(), "--url", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == code and "cannot ask skymond at http://127.0.0.1:" in done.stderr and not done.stdout


@pytest.mark.parametrize("words, code", TROUBLE)
def test_a_skymond_without_the_plugin(skymond, words, code):
    sm = skymond({"components": {"one": {"plugin": "t_ok", "interval": "1s"}}})
    done = run_tool("grafana", *words.split(), "--url", sm.url)
    assert done.returncode == code and "plugins:" in done.stderr and not done.stdout, done


@pytest.mark.parametrize("words, code", TROUBLE)
def test_what_is_no_skymond_at_all(answers, words, code):
    for body, kind in ((b"<html>", "text/html"), (b"[1]", "application/json"), (b"", "text/plain")):
        server = answers(200, body, kind)
        done = run_tool("grafana", *words.split(), "--url", server.url)
        assert done.returncode == code and "not with skymond's JSON" in done.stderr and not done.stdout, done
    done = run_tool("grafana", *words.split(), "--url", answers(200, b"{}").url)
    assert done.returncode == code and done.stderr and not done.stdout, done


def test_a_problem_is_one_line_that_steers_no_terminal(answers):
    server = answers(502, b'{"detail": "Grafana\\u001b[31m says\\nno", "status": 502}')
    done = run_tool("grafana", "check", "--url", server.url)
    assert (done.returncode, done.stderr) == (1, "skymon grafana: Grafana [31m says no\n"), done
    server = answers(200, b'{"changed": 0, "items": [{"kind": "rule", "uid": "u", "title": "a\\u0007b", "result": "unchanged"}]}')
    done = run_tool("grafana", "apply", "--url", server.url)
    assert done.returncode == 0 and "(a b)" in done.stdout


def test_the_token_comes_from_a_file(answers, tmp_path):
    server = answers(200, b'{"ok": true, "checks": []}')
    (tmp_path / "token").write_text("hunter2\nsecond line\n")
    done = run_tool("grafana", "check", "--url", server.url + "/", "--token-file", tmp_path / "token")
    assert done.returncode == 0, done
    assert server.seen[0][:2] == ("GET", "/api/v1/grafana/check") and server.seen[0][2]["Authorization"] == "Bearer hunter2"
    for path in (tmp_path / "none", tmp_path):
        done = run_tool("grafana", "check", "--url", server.url, "--token-file", path)
        assert done.returncode == 1 and f"cannot read a token from {path}" in done.stderr and len(server.seen) == 1


def test_no_proxy_of_the_environment_stands_between(answers):
    server = answers(200, b'{"ok": true, "checks": []}')
    nowhere = f"http://127.0.0.1:{free_port()}"
    done = run_tool("grafana", "check", "--url", server.url, env={"http_proxy": nowhere, "ALL_PROXY": nowhere})
    assert done.returncode == 0 and len(server.seen) == 1, done


def test_a_uid_is_one_segment(answers):
    server = answers(404, b'{"detail": "there is none", "upstream_status": 404}')
    done = run_tool("grafana", "export", "a/../b c", "--url", server.url)
    assert done.returncode == 1 and done.stderr == "skymon grafana: there is none\n"
    assert server.seen[0][1] == "/api/v1/grafana/dashboards/a%2F..%2Fb%20c"

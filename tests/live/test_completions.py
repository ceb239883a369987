# SPDX-License-Identifier: Apache-2.0
"""The completions that `make install` leaves, in the real shells, which find them in their standard folders: a line is typed, and Tab."""
import os
import pty
import re
import select
import subprocess
import time

import pytest

from harness import ROOT, SLOW, need, run_tool

CONFIG = {"components": {"warehouse": {"plugin": "host"}, "wharf": {"plugin": "t_ok"}}}
# A line that is typed, and the one that Tab makes of it. {config}, {url}: of a daemon with CONFIG; {t}: the folder of the tests' plugins.
LINES = [
    ("skymond --check", "skymond --check-config"),
    ("skymond --config-s", "skymond --config-schema"),
    ("skymond -c {folder}/skymond.ya", "skymond -c {folder}/skymond.yaml"),
    ("skymon plu", "skymon plugins"),
    ("skymon graf", "skymon grafana"),
    ("skymon test-s", "skymon test-server"),
    ("skymon --vers", "skymon --version"),
    ("skymon run --outp", "skymon run --output"),
    ("skymon run --output nag", "skymon run --output nagios"),
    ("skymon run webs", "skymon run websocket"),
    ("skymon run websocket subp", "skymon run websocket subprotocol="),
    ("skymon run --timeout 5s tcp start", "skymon run --timeout 5s tcp starttls="),
    ("skymon run -c {config} war", "skymon run -c {config} warehouse"),
    ("skymon plugins authen", "skymon plugins authentication"),
    ("skymon plugins --plugin-path {t} t_all_o", "skymon plugins --plugin-path {t} t_all_options"),
    ("skymon status --url {url} ware", "skymon status --url {url} warehouse"),
    ("skymon status --token-f", "skymon status --token-file"),
    ("skymon grafana exp", "skymon grafana export"),
    ("skymon grafana --for", "skymon grafana --force"),
    ("skymon test-server silen", "skymon test-server silent"),
    ("skymon test-server --stat", "skymon test-server --status"),
    ("skymon new shop --ru", "skymon new shop --rust"),
]


@pytest.fixture(scope="module")
def values():
    from harness import TEST_PLUGINS, Skymond
    sm = Skymond(CONFIG)
    yield {"config": sm.config, "folder": sm.folder.path, "url": sm.url, "t": TEST_PLUGINS}
    sm.stop()


def environment(folder):
    return {"PATH": f"{ROOT}/bin:{ROOT}/sbin:/usr/bin:/bin", "HOME": str(folder), "TERM": "dumb", "LANG": "C.UTF-8", "COLUMNS": "500",
            "XDG_DATA_DIRS": f"{ROOT}/share:/usr/share", "XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder)}


class Typed:
    """A shell on a terminal. Control-X shows the line, whole and between marks, and clears it."""

    def __init__(self, command, setup, folder):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execve(command[0], command, environment(folder))
        self.seen = ""
        self.send(setup + "\n")
        self.ask("")

    def send(self, text):
        os.write(self.terminal, text.encode())

    def ask(self, line):
        """Types the line and Tab; returns the line that is there then."""
        mark = len(self.seen)
        self.send(line + "\t\x18" if line else "\x18")
        deadline = time.monotonic() + 30 * SLOW
        while not (found := re.search(r"LINE<(.*?)>EOL", self.seen[mark:].replace("\r\n", ""), re.S)):
            assert time.monotonic() < deadline, self.seen[mark:]
            if select.select([self.terminal], [], [], 1)[0]:
                self.seen += os.read(self.terminal, 65536).decode(errors="replace")
        return found[1].strip()

    def close(self):
        os.close(self.terminal)  # hangs it up
        os.waitpid(self.pid, 0)


BASH = r"""PS1=; bind 'set enable-bracketed-paste off'; bind 'set completion-query-items 0'; bind 'set page-completions off'
. /usr/share/bash-completion/bash_completion
show() { printf 'LINE%s%s>EOL\n' '<' "$READLINE_LINE"; READLINE_LINE=; READLINE_POINT=0; }; bind -x '"\C-x": show'"""
ZSH = r"""PROMPT=; unsetopt zle_bracketed_paste prompt_cr prompt_sp; fpath=({share}/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -D
show() {{ print -r -- "LINE${{:-<}}$BUFFER>EOL"; BUFFER=; }}; zle -N show; bindkey '^X' show; LISTMAX=100000"""


@pytest.fixture(params=["bash", "zsh", "fish"])
def complete(request, values, tmp_path):
    """complete(line) -> the line after Tab"""
    shell = need(request.param)
    if request.param == "fish":
        def ask(line):
            done = subprocess.run([shell, "-c", "complete -C $argv[1]", line], env=environment(tmp_path), capture_output=True, text=True,
                                  timeout=60 * SLOW, stdin=subprocess.DEVNULL)
            found = [each.split("\t")[0] for each in done.stdout.splitlines()]
            assert len(found) == 1, (line, done.stdout, done.stderr)
            return line[:line.rindex(" ") + 1] + found[0]
        yield ask
        return
    if request.param == "bash":
        assert os.path.exists("/usr/share/bash-completion/bash_completion"), "the package bash-completion is missing"
    command = [shell, "--norc", "--noprofile", "-i"] if request.param == "bash" else [shell, "-f", "-i"]
    typed = Typed(command, BASH if request.param == "bash" else ZSH.format(share=ROOT / "share"), tmp_path)
    yield typed.ask
    typed.close()


def test_each_shell_completes(complete, values):
    wrong = []
    for typed, expected in LINES:
        got = complete(typed.format(**values))
        if got != expected.format(**values):
            wrong.append((typed, got))
    assert wrong == []


def test_each_command_of_the_help_is_known():
    table = (ROOT / "share/bash-completion/completions/skymon").read_text()
    commands = set(re.findall(r"^word\t-\t([a-z-]+)\t", table, re.M))
    assert commands == set(re.findall(r"^(?:Usage:|      ) skymon ([a-z][a-z-]+)", run_tool("--help").stdout, re.M)) >= {"run", "status", "plugins"}


def test_each_option_of_the_daemon_is_known():
    table = (ROOT / "share/bash-completion/completions/skymond").read_text()
    known = set(re.findall(r"^option\tskymond\t(--[a-z-]+)\t", table, re.M))
    done = subprocess.run([ROOT / "sbin/skymond", "--help"], capture_output=True, text=True, timeout=60)
    assert known == set(re.findall(r"--[a-z-]+", done.stdout)) and len(known) >= 7

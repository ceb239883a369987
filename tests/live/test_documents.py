# SPDX-License-Identifier: Apache-2.0
"""README.md, doc/ and man/ against the programs: options, routes, metric families, reasons, exit codes, faults, and the tour as it is pasted."""
import os
import re
import signal
import subprocess

import pytest
import yaml

import doc_tables
import truth
from harness import ROOT, SOURCE, free_port, run_skymond, run_tool, wait_until

README = (SOURCE / "README.md").read_text()
DOC = {path.stem: path.read_text() for path in (SOURCE / "doc").glob("*.md")}
HEADER = (SOURCE / "sdk" / "include" / "skymon" / "plugin.h").read_text()
MANUALS = {path.name: path.read_text() for path in (SOURCE / "man").glob("*.[1-9]")}


def rows_of(text, head):
    """The cells of the Markdown table that begins with this line: one list for each row."""
    table = text[text.index(head):].split("\n\n")[0]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()[2:] if line.startswith("|")]


def test_the_abi():
    major, minor = (re.search(rf"#define SKYMON_ABI_{part} (\d+)", HEADER)[1] for part in ("MAJOR", "MINOR"))
    assert re.findall(r"ABI is (\d+\.\d+)", README) == [f"{major}.{minor}"]
    assert f"(plugin ABI {major}.{minor})" in run_tool("--version").stdout
    assert f"Plugin ABI: {major}.{minor}" in (SOURCE / "NEWS.md").read_text().split("\n## ")[1], "NEWS names the ABI of its newest version"


def test_the_plugins():
    named = set(re.findall(r"`([a-z]+)`", " ".join(row[0] for row in rows_of(README, "| plugin | checks |"))))
    chapters = set(re.findall(r"^## ([a-z]+)$", DOC["checks"], re.M))
    assert named == chapters == set(doc_tables.PLUGINS)


@pytest.mark.parametrize("file", doc_tables.FILES, ids=lambda file: file.name)
def test_options_and_numbers(file):
    """After a change of a table: tests/live/doc_tables.py --write"""
    assert doc_tables.filled(file) == file.read_text()


def test_each_plugin_has_its_tables():
    for name in doc_tables.PLUGINS:
        options, numbers = doc_tables.plugin_tables(name)
        assert not options or f"<!-- made: options of {name} -->" in DOC["checks"], name
        assert not numbers or f"<!-- made: numbers of {name} -->" in DOC["checks"], name


def test_the_keys_of_the_config():
    tables = doc_tables.core_tables()
    keys = {row[0] for row in tables["top level"]} | (set(tables) - {"top level", "listen tls", "component"}) | {
        "defaults", "include", "plugins", "components"}
    for key in keys:
        assert re.search(rf"^\.It Cm .*\b{key}\b", MANUALS["skymon.yaml.5"], re.M), key
        assert f"`{key}`" in DOC["configuration"], key
        reload = rows_of(DOC["configuration"], "| key | after a reload |")
        assert any(re.search(rf"`{key}\b|the other `{key}", row[0]) for row in reload), f"{key}: what does a reload change?"


def test_what_a_reload_changes():
    """The summary in configuration.md says what the option tables say: the row that names the key itself, else the one that names its part."""
    summary = rows_of(DOC["configuration"], "| key | after a reload |")
    words = {"applies at once": "at once", "applies to new workers": "from now on", "needs a restart": "restart"}
    for where, rows in doc_tables.core_tables().items():
        for key, *_, reload in rows:
            names = [key] if where == "top level" else [f"{where.split()[0]}.{key}", where.split()[0]]
            found = [row for name in names for row in summary if f"`{name}`" in row[0]]
            assert not reload or words[reload] in found[0][1], (names, reload)


def test_the_routes():
    done = run_skymond("plugins: {prometheus: {}, grafana: {url: 'https://g', api_key: abcdefgh}}\n", "--list-routes")
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        method, path = line.split()[:2]
        page = DOC["grafana" if path.startswith("/api/v1/grafana/") else "http-api"]
        shown = [row[0] for row in rows_of(page, "| route |") if f"{path}`" in row[0]]
        assert any(method in row for row in shown), (method, path)


def test_the_reasons():
    reasons = set(re.findall(r'X\(SKYMON_\w+, "(\w+)", [01]\)', HEADER))
    named = re.findall(r"`(\w+)`", " ".join(row[0] for row in rows_of(DOC["http-api"], "| reason | meaning |")))
    assert sorted(named) == sorted(reasons)


def test_the_exit_codes():
    codes = re.search(r"Exit codes: (.*?)\.\n", run_skymond("", "--help").stdout)[1]
    numbers = re.findall(r"\b\d\b", codes)
    assert [row[0] for row in rows_of(DOC["production"], "| code | meaning |")] == numbers
    for manual, expected in {"skymond.8": numbers, "skymon.1": list("0123"), "skymon-grafana.1": list("012")}.items():
        section = re.search(r"^\.Sh EXIT STATUS\n(.*?)^\.Sh", MANUALS[manual], re.S | re.M)[1]
        assert sorted(set(re.findall(r"\b\d\b", section))) == expected, manual
    assert re.search(r"0 healthy, 1 degraded, 2 unhealthy,? (and )?3 unknown", DOC["checks"])


@pytest.mark.parametrize("program, manual", [("skymond", "skymond.8"), ("skymon", "skymon.1"), ("skymon grafana", "skymon-grafana.1"), ("skymon job", "skymon-job.1"),
                                             ("skymon test-server", "skymon-test-server.1")])
def test_the_arguments(program, manual):
    """Each option of --help is in the manual, and each of the manual in --help."""
    done = run_skymond("", "--help") if program == "skymond" else run_tool(*program.split()[1:], "--help")
    offered = set(re.findall(r"--([a-z][a-z-]+)", done.stdout))
    named = set(re.findall(r"\bFl (?:\w , )?-([a-z][a-z-]+)", MANUALS[manual])) | set(re.findall(r" , -([a-z][a-z-]+)", MANUALS[manual]))
    assert offered - {"help"} == named - {"help"}


def test_the_manuals():
    for name, text in MANUALS.items():
        assert ".Os skymon\n" in text and ".Sh FILES\n" in text, name


def examples():
    """The documents' YAML that is a configuration: all keys are of the top level. TLS files of a listener would have to be there."""
    tables = doc_tables.core_tables()
    keys = {row[0] for row in tables["top level"]} | set(tables) | {"defaults", "include", "plugins", "components"}
    for name, text in {"README": README, **DOC}.items():
        for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", text, re.S)):
            loaded = yaml.safe_load(block)
            if isinstance(loaded, dict) and set(loaded) <= keys and "cert_file" not in block and "CREDENTIALS" not in block:
                yield pytest.param(block, id=f"{name}-{number}")


@pytest.mark.parametrize("block", examples())
def test_the_examples_are_good(tmp_path, block):
    for file in set(re.findall(r"file: (/\S+?)[,}]", block)):
        secret = tmp_path / file.strip("/").replace("/", "_")
        secret.write_text("$2b$10$" + "a" * 53 if f"users: {{ops: {{file: {file}}}" in block else "a-word-of-16-bytes\n")
        secret.chmod(0o600)
        block = block.replace(file, str(secret))
    if "components" not in block and "plugins" not in block:
        block += "\nplugins: {prometheus: {}}\n"
    done = run_skymond(block, "--check-config")
    assert done.returncode == 0, done.stderr


# ---- Metrics ----

FAMILIES = {row[0].strip("`"): (row[1], set(re.findall(r"`(\w+)`", row[3])))
            for part in DOC["metrics"].split("| family | type | unit | labels | meaning |")[1:]
            for row in rows_of("| family" + part, "| family")}


def test_the_families_of_the_sources():
    text = "".join(path.read_text() for path in sorted((SOURCE / "plugins").rglob("*.c")))
    named = set(re.findall(r'"((?:skymon|sky_genesis|process)_[a-z0-9_]+)"', text))
    assert named and named <= set(FAMILIES), named - set(FAMILIES)
    for kind, name in re.findall(r'skymon_(gauge|counter)\(\s*[\w>.-]+,\s*"(\w+)"', text):
        assert FAMILIES[name][0] == kind, name
    for kind, name in re.findall(r'skymon_metric\(\s*[\w>.-]+,\s*SKYMON_(GAUGE|COUNTER),\s*"(\w+)"', text):
        assert FAMILIES[name][0] == kind.lower(), name


def test_the_families_of_a_scrape(skymond, tmp_path):
    pid_file = tmp_path / "pid"
    pid_file.write_text(str(os.getpid()))
    sm = skymond(f"""
defaults: {{interval: 300ms}}
service: {{metrics: {{cpu_usage_percent: host}}}}
plugins: {{prometheus: {{}}}}
components:
  host: {{plugin: host, warn: {{disk_free: "<1%"}}}}
  store: {{plugin: database, url: "sqlite:store.db"}}
  tests: {{plugin: process, pid_file: {pid_file}}}
""")
    for name in ("host", "store", "tests"):
        sm.wait_component(name, status="healthy")
    text = sm.metrics()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    assert {"skymon_db_size_bytes", "skymon_host_cpus", "skymon_process_threads", "skymon_up"} <= set(kinds) <= set(FAMILIES), set(kinds) - set(FAMILIES)
    for name, kind in kinds.items():
        labels = set()
        for line in re.findall(rf"^{name}(?:_bucket|_sum|_count)?\{{(.*)\}} ", text, re.M):
            labels |= set(re.findall(r'(\w+)="', line))
        assert FAMILIES[name] == (kind, labels - {"le"}), name


# ---- Faults ----

def test_the_faults():
    """The rows that tests/live/truth.py prints; truth.record compares each cell that a test sees with its cell here."""
    for columns in truth.TABLES:
        rows = [row[0] for row in rows_of(DOC["faults"], truth.head(columns).removesuffix(" |"))]
        assert rows == [title for title in truth.SHARED if title in rows], f"the rows of {columns[0]} and its neighbours"
    assert rows_of(DOC["faults"], truth.head(truth.TABLES[0]).removesuffix(" |"))[-1][0] == list(truth.SHARED)[-1]
    own = dict(re.findall(r"^- \*\*(\w+)\*\* (.*)$", DOC["faults"], re.M))
    assert {check: [cell.split(" → ")[0] for cell in line.split(" · ")] for check, line in own.items()} == truth.OWN


def test_a_cell_that_differs_is_found():
    row = {"check": "vault", "fault": "sealed", "status": "unhealthy", "reason": "sealed"}
    truth.compare(row)
    truth.compare({**row, "fault": "a fault that the document does not have"})
    with pytest.raises(AssertionError):
        truth.compare({**row, "reason": "other"})
    with pytest.raises(AssertionError):
        truth.compare({**row, "fault": "frozen", "reason": "refused"})


# ---- Inside ----

def test_the_rooms():
    text = (SOURCE / "tests" / "lint" / "layers").read_text()
    needs = eval(re.search(r"^MAY_NEED = (\{.*?^\})", text, re.S | re.M)[1], {"BELOW_DAEMON": "all of these but worker"})  # noqa: S307
    named = {row[0].strip("`").removeprefix("core/"): row[2] for row in rows_of(DOC["internals"], "| room | job | needs |")}
    assert set(named) == set(needs) == {path.name for path in (SOURCE / "core").iterdir() if path.is_dir()}
    for room, needed in needs.items():
        shown = needed if isinstance(needed, str) else set() if named[room] == "nothing" else set(named[room].split(", "))
        assert (named[room] if isinstance(needed, str) else shown) == needed, room


# ---- The tour ----

def steps(text):
    """[(command, the lines that the README shows for it)] of its console blocks"""
    found = []
    for block in re.findall(r"```console\n(.*?)```", text, re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def plain(line):
    """Without what differs from run to run: numbers and the spaces around them."""
    return re.sub(r"[\d.,]+|\s+", lambda found: " " if found[0].isspace() else "0", line).strip()


class Tour:
    """The README's tour in one shell, each command as it is pasted but for its ports."""

    def __init__(self, folder):
        self.ports = {"8080": str(free_port()), "8081": str(free_port())}
        part = README[README.index("## A configuration"):README.index("## The demo")]
        (folder / "tour.yaml").write_text(self.here(re.search(r"```yaml\n(.*?)```", part, re.S)[1]))
        (folder / "state").mkdir()
        self.steps = steps(part)
        self.shell = subprocess.Popen(
            ["timeout", "300", "bash"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**os.environ, "PATH": f"{ROOT / 'bin'}:{ROOT / 'sbin'}:{os.environ['PATH']}", "DATABASE_URL": "", "STATE_DIRECTORY": str(folder / "state")})

    def here(self, text):
        text = text.replace("skymon status", f"skymon status --url http://127.0.0.1:{self.ports['8080']}")
        return re.sub("|".join(self.ports), lambda found: self.ports[found[0]], text)

    def run(self, command):
        """The lines that it prints."""
        self.shell.stdin.write(self.here(command) + "\necho; echo '#end'\n")
        self.shell.stdin.flush()
        lines = ""
        while (line := self.shell.stdout.readline()) != "#end\n":
            assert line != "", f"the shell has ended: {lines}"
            lines += line
        for port, own in self.ports.items():
            lines = lines.replace(own, port)
        return lines.strip("\n").splitlines()

    def close(self):
        os.killpg(self.shell.pid, signal.SIGKILL)
        self.shell.wait()


def test_the_tour(tmp_path):
    tour = Tour(tmp_path)
    try:
        for command, shown in tour.steps:
            wanted = [plain(line) for line in shown]
            if not wanted:
                assert tour.run(command) == []
                continue

            def look(command=command, wanted=wanted):
                assert [plain(line) for line in tour.run(command)] == wanted
                return True
            wait_until(look, 15, f"{command} to print what the README shows")
    finally:
        tour.close()

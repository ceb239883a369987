# SPDX-License-Identifier: Apache-2.0
"""skymond --config-schema: what --check-config takes, the schema takes; what can be seen to be wrong in the text alone, both refuse. The
harness holds the first for every config of the live tests; the second is held here for each mistake in the tests' tables: a mistake is of
shape or it is not, and a new one must be put into one of the two sets."""
import json
import re

import pytest
import yaml

import schema
import test_bad_config
import test_config_table
from harness import ROOT, SOURCE, TEST_PLUGINS, run_skymond
from schema import SCHEMA

# Mistakes of the tables that the text alone shows.
SHAPE = {
    "exec of nothing", "another protocol", "dns type", "unclosed quote", "unclosed list", "unknown plugin", "Gatus", "Prometheus", "scrape_interval",
    "periodSeconds", "defaults of others", "a negative time", "a unit where there is none", "each, misspelt", "each of a plugin",
    "a negative number of s",
    "bad YAML", "not a map", "unknown top-level key", "unknown option", "unknown common option", "wrong type", "out of range", "no unit", "no plugin",
    "plugin that is not there", "bad name", "alias bomb", "threshold of no number", "threshold that is none", "unknown source", "a check under plugins",
    "bad listen", "a socket without name", "no symbol", "other major", "newer minor", "default that does not bind",
    "short struct", "crashes when opened", "exits when opened",
}
# Mistakes that only a plugin, the machine, another file or another option shows.
NOT_SHAPE = {
    "a public route", "a listener's route",
    # the forms of texts that a plugin parses
    "postgre", "another database", "SQLAlchemy", "JDBC", "Prisma's schema", "pgbouncer", "node-postgres", "two @", "SQLite with a host",
    "SQLite outside", "ws without a host", "http for ws", "cache's scheme", "cache's database", "vault without a scheme", "issuer with a query",
    "issuer's document", "grafana with a fragment", "a port that is none", "process' unit", "read without a field", "nonsense proxy",
    "proxy that cannot be asked", "disk that is no path", "http without a scheme", "ftp for http", "http's method", "http's CONNECT",
    "http's status", "no status", "a range that is upside down", "http's pattern", "an empty text", "a pointer of jq", "a limit with a unit",
    "a header's name", "two lines in a header", "a secret header's name", "certificate of a URL", "certificate without a port",
    "certificate of a bad v6", "certificate in a folder", "exec by a relative path", "exec of one text", "exec's variable",
    "certificate's proxy", "dns of no name", "dns of an IDN", "dns server", "dns answer", "dns mail", "tcp without a port", "tcp of a URL",
    "tcp's escape", "tcp's escape in a step", "tcp's empty step", "tcp's proxy", "parameters of ours", "a header of ours", "http's length",
    "a mode in letters", "a mode of four bits more", "a mode with an 8", "an unknown owner", "an unknown group", "a group's number",
    # options that do not go together
    "process without target", "process with two", "token beside role_id", "secret_id alone", "also when not configured", "client_id alone",
    "socket with a proxy", "grafana's token", "equal and above", "a body of HEAD", "token and password", "password of none",
    "two Authorizations", "HTTP/2 through a proxy", "certificate of nothing", "certificate of both", "a file's protocol", "a file's staple",
    "dns primary", "dns empty", "dns rcode", "dns flags", "tcp's steps and send", "tcp's two kinds of TLS", "tcp's tls in clear",
    "http's token in clear", "http's header in clear", "http's user info in clear", "vault's token in clear", "vault's login in clear",
    "client_secret in clear", "websocket's login in clear", "grafana's key in clear", "a mode of TCP", "a group of systemd's",
    # files, variables, other parts of the config; duplicate keys, which a YAML parser reports
    "ca_file missing", "ca_file is text", "cert_file is a key", "key_file is a certificate", "another's key", "no key", "from defaults",
    "listener's key", "listener's locked key", "listener's CA", "nested default", "includes itself", "duplicate key", "duplicate component",
    "missing variable", "missing variable with a message", "included file that is missing", "unreadable secret", "secret of nobody",
    "source of nobody", "source without the number", "two plugins on one route", "missing certificate",
    # a file that others include may hold nothing
    "nothing", "comments only", "a listener alone",
    # a number that is possible, and makes no sense
    "worker_memory", "10 is 1000 %",
}

# One mistake or one good value a row, of each type and place: (key of t_all_options, value).
REFUSED = [
    ("text", "[a]"), ("text", "{a: b}"), ("boolean", "yes"), ("boolean", "'true'"), ("boolean", "1"), ("integer", "1.5"), ("integer", "101"),
    ("integer", "-101"), ("integer", "many"), ("integer", "[1]"), ("real", "x"), ("real", "1s"), ("duration", "5"), ("duration", "5 s"),
    ("duration", "5s1m"), ("duration", "-5s"), ("duration", "s"), ("duration", "5S"), ("bytes", "1.5"), ("bytes", "5 mib"), ("bytes", "-1"),
    ("ratio", "80 percent"), ("ratio", "80%%"), ("choice", "yellow"), ("choice", "[red]"), ("secret", "[a]"), ("secret", "{}"),
    ("secret", "{env: A, file: /a}"), ("secret", "{env: 'A B'}"), ("secret", "{Vault: 'a#b'}"), ("secret", "{vault: a}"), ("secret", "{file: ''}"),
    ("texts", "{a: b}"), ("texts", "[[a]]"), ("texts", "[a, null]"), ("map", "[a]"), ("map", "a"), ("map", "{a: [b]}"), ("list", "{name: a}"),
    ("list", "[a]"), ("list", "[{every: 5s}]"), ("list", "[{name: ''}]"), ("list", "[{name: a, evry: 5s}]"), ("list", "[{name: a, every: 5}]"),
    ("tls", "yes"), ("tls", "{ca: /a}"), ("tls", "{insecure: maybe}"), ("warn", "{response_time: '>5s'}"), ("warn", "{response_time: [5s]}"),
    ("warn", "{response_time: }"), ("crit", "{nothing: 5}"), ("crit", "5s"), ("labels", "{component: a}"), ("labels", "{__a: b}"), ("labels", "{a-b: c}"),
    ("labels", "{le: c}"), ("impact", "high"), ("rise", "0"), ("interval", "5"), ("plugin2", "a"), ("each", "[{a: b}]"), ("each", "{}"),
    ("each", "{b: {each: {c: {}}}}"), ("each", "{b: {integr: 5}}"), ("each", "{b: 5}"), ("each", "{file: a.yaml, b: {}}"),
]
TAKEN = [
    ("text", "5"), ("text", "2.10"), ("text", "true"), ("text", "''"), ("text", "2026-11-28"), ("text", "~"), ("boolean", "false"), ("boolean", "'${A:-true}'"),
    ("boolean", "''"), ("integer", "'7'"), ("integer", "+7"), ("integer", "'${A:-7}'"), ("integer", "-100"), ("integer", "~"), ("real", "1e3"), ("real", "'.5'"),
    ("real", "-1"), ("duration", "1ms"), ("duration", "1h"), ("duration", "1m30s"), ("duration", "1.5s"), ("duration", ".5s"), ("duration", "'${A:-5s}'"),
    ("duration", "1m5ms"), ("bytes", "512"), ("bytes", "1.5MiB"), ("bytes", "10 kB"), ("bytes", "5B"), ("ratio", "80%"), ("ratio", "0.8"),
    ("ratio", "80 %"), ("ratio", "'.8'"), ("choice", "red"), ("choice", "'${A:-red}'"), ("secret", "word"), ("secret", "5"), ("secret", "{env: HOME}"), ("secret", "''"),
    ("secret", "{env: '${A:-HOME}'}"), ("texts", "a"), ("texts", "[]"), ("texts", "[a, 5, true]"), ("map", "{a: 5, b: }"), ("map", "{}"), ("list", "[]"),
    ("list", "[{name: a, every: 5s}, {name: 5}]"), ("tls", "{}"), ("tls", "{insecure: true}"), ("tls", "{server_name: '${A:-h}'}"),
    ("warn", "{response_time: 200ms}"), ("warn", "{response_time: '<5s'}"), ("warn", "{response_time: 1s..5s}"), ("warn", "{response_time: 0.5}"),
    ("crit", "{response_time: '< 1.5'}"), ("crit", "{}"), ("labels", "{team: a, _x1: 5}"), ("impact", "none"), ("unknown_is", "unhealthy"), ("rise", "1000"),
    ("interval", "100ms"), ("timeout", "'${A:-1s}'"), ("isolation", "own"), ("each", "{b: {integer: 5, interval: 1s}, c: }"),
    ("each", "{b: {plugin: host}}"),
]
# The same for the top level: the whole text beside a component.
TOP_REFUSED = [
    "listen: 8080", "listen: '0.0.0.0'", "listen: {tls: {}}", "listen: [{address: ':1', tls: {cert_file: /a}}]", "listen: [{address: ':1', rutes: [health]}]",
    "listen: ':70000'", "listen: '[::1:8080'", "service: {nam: a}", "service: [a]", "service: {name: ''}", "service: {metrics: {memory: self}}",
    "service: {metrics: {database_connections: self}}", "limits: {series: 0}", "limits: {connections: 10GiB}", "log: {level: loud}", "log: {format: xml}",
    "ready: {follow: all}", "shutdown: {drain: 5}", "access: {}", "access: {token: }", "access: {public: [health]}", "user: [a]", "isolation: off",
    "defaults: {interval: 5}", "defaults: {plugin: host}", "defaults: {host: {intervall: 5s}}", "defaults: [a]", "plugins: {prometheus: {interval: 5s}}",
    "plugins: {prometheus: 5}", "plugins: [prometheus]", "plugins: {nowhere: {}}", "include: {a: b}", "y-a: {}", "plugin_path: {a: b}",
]
TOP_TAKEN = [
    "listen: ':0'", "listen: 'localhost:0'", "listen: ['127.0.0.1:0', '[::1]:0', {address: 'unix:/tmp/x', routes: [health]}]", "listen: '${A:-:0}'", "listen:", "listen: 'systemd:skymon.socket'",
    "service: {name: api, version: 2.1, metrics: {memory_usage_mb: self}}", "limits: {series: 5, idle_timeout: 1m, worker_memory: 0}", "log: {level: debug}",
    "access: {token: 0123456789abcdef, public: [health]}", "access:", "server_names: a", "x-anything: [{a: b}]", "defaults: {interval: 5s, host: {warn: {uptime: 5s}}}",
    "defaults: {nowhere: {a: b}}", "plugins: {prometheus: {}}", "plugins:", "shutdown: {drain: 0, timeout: 1h}",
]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The schema with the tests' plugins, of which some are broken: those are left out, and reported."""
    if schema.jsonschema is None:
        pytest.fail("python3-jsonschema is missing")
    done = run_skymond({}, "--config-schema", timeout=60)
    assert done.returncode == 0 and "t_constructor_crash cannot be used, and is not in the schema" in done.stderr, done.stderr
    made = tmp_path_factory.mktemp("schema") / "skymon.schema.json"
    made.write_text(done.stdout)
    return made


def refuses(path, text):
    try:
        return schema.complaints(path, text, all_of_it=True)
    except yaml.YAMLError as error:
        return [str(error)]


def test_it_is_a_schema(path):
    schema.jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))
    text = path.read_text()
    defined = {f"#/$defs/{name}" for name in json.loads(text)["$defs"]} | {
        f"#/$defs/common/properties/{name}" for name in json.loads(text)["$defs"]["common"]["properties"]}
    assert set(re.findall(r'"\$ref": "([^"]+)"', text)) <= defined


def test_the_installed_one_is_the_same():
    """Two ways to the same tables: in workers, and in the program of the build. A broken config does not matter."""
    done = run_skymond("components: [\n", "--config-schema")
    assert done.returncode == 0 and done.stderr == "" and done.stdout == SCHEMA.read_text()


@pytest.mark.parametrize("file", ["etc/skymon.yaml", "etc/demo.yaml", *sorted(str(path.relative_to(SOURCE)) for path in (SOURCE / "etc/conf.d").iterdir())])
def test_what_ships_is_good(file):
    assert schema.complaints(SCHEMA, (SOURCE / file).read_text(), all_of_it=True) == []


def test_each_mistake_is_sorted():
    known = set(test_config_table.ROWS) | set(test_bad_config.CASES)
    assert SHAPE | NOT_SHAPE == known, ("put these into SHAPE (the schema refuses them) or NOT_SHAPE", known - SHAPE - NOT_SHAPE, (SHAPE | NOT_SHAPE) - known)
    assert SHAPE & NOT_SHAPE == set()


def test_mistakes_of_shape_are_refused(path):
    texts = {name: row[0] for name, row in [*test_config_table.ROWS.items(), *test_bad_config.CASES.items()]}
    wrong = {name: refuses(path, text) for name, text in texts.items()}
    assert {name for name, said in wrong.items() if not said} == NOT_SHAPE, {name: wrong[name][:2] for name in wrong if wrong[name] and name in NOT_SHAPE}


def of_rows(rows):
    """A config with a component for each row, and the line of each."""
    lines = [f"plugin_path: [{TEST_PLUGINS}]", "components:"]
    for number, (key, value) in enumerate(rows):
        lines.append(f"  c{number}: {{plugin: t_all_options, {key}: {value}}}")
    return "\n".join(lines) + "\n"


def test_each_type_is_refused_by_both(path):
    text = of_rows(REFUSED)
    done = run_skymond(text, "--check-config", name="c.yaml")
    said = schema.complaints(path, text, all_of_it=True)
    for number, row in enumerate(REFUSED):
        assert f"c.yaml:{number + 3}:" in done.stderr, row
        assert any(line.startswith((f"components.c{number}.", f"components.c{number}:")) for line in said), row


def test_each_type_is_taken_by_both(path):
    text = of_rows(TAKEN)
    done = run_skymond(text, "--check-config", name="c.yaml")
    assert done.returncode == 0, done.stderr
    assert schema.complaints(path, text, all_of_it=True) == []


def test_the_top_level(path):
    rest = "\ncomponents: {a: {plugin: host}}\n"
    for text in TOP_REFUSED:
        assert refuses(path, text + rest), text
        assert run_skymond(text + rest, "--check-config").returncode == 2, text
    for text in TOP_TAKEN:
        assert schema.complaints(path, text + rest, all_of_it=True) == [], text
        done = run_skymond(text + rest, "--check-config")
        assert done.returncode == 0, (text, done.stderr)


def test_the_shipped_config_names_it():
    """The modeline of yaml-language-server, which editors share: the schema lies where the installed file says."""
    line = (ROOT / "etc/skymon/skymon.yaml").read_text().splitlines()[0]
    assert line == f"# yaml-language-server: $schema={SCHEMA}"

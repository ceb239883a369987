# SPDX-License-Identifier: Apache-2.0
"""Mistakes in a config that need no world to be seen: --check-config reports each with its place and what to do, and exits 2. The same
file is refused at a start and on a reload (one check stands behind all three)."""
import os
import re
import subprocess

import pytest

from harness import ROOT, TEST_PLUGINS, Folder, environment, run_skymond

# name: (config, place, sentence); {folder} holds good.pem, good.key, other.key, locked.key, text.pem
ROWS = {
    # URLs
    "postgre": ("components:\n  a: {plugin: database, url: 'postgre://u:geheim@db/x'}\n", "2:30", "must begin with postgresql:"),
    "another database": ("components:\n  a: {plugin: database, url: 'mysql://u:geheim@db/x'}\n", "2:30", "must begin with postgresql:"),
    "SQLAlchemy": ("components:\n  a: {plugin: database, url: 'postgresql+psycopg://u:geheim@db/x'}\n", "2:30", "SQLAlchemy's"),
    "JDBC": ("components:\n  a: {plugin: database, url: 'jdbc:postgresql://db/x?password=geheim'}\n", "2:30", "leave out `jdbc:`"),
    "Prisma's schema": ("components:\n  a: {plugin: database, url: 'postgresql://u:geheim@db/x?schema=public'}\n", "2:30",
                        "`schema`, which is Prisma's: leave it out"),
    "pgbouncer": ("components:\n  a: {plugin: database, url: 'postgresql://db/x?pgbouncer=true'}\n", "2:30", "Prisma's"),
    "node-postgres": ("components:\n  a: {plugin: database, url: 'postgresql://db/x?sslmode=no-verify'}\n", "2:30", "sslmode=require"),
    "two @": ("components:\n  a: {plugin: database, url: 'postgresql://u:ge@heim@db/x'}\n", "2:30", "%40"),
    "SQLite with a host": ("components:\n  a: {plugin: database, url: 'sqlite://host/a.db'}\n", "2:30", "has a host"),
    "SQLite outside": ("components:\n  a: {plugin: database, url: 'sqlite:../a.db'}\n", "2:30", "leads out of state_dir"),
    "ws without a host": ("components:\n  a: {plugin: websocket, url: 'ws://'}\n", "2:31", "no host"),
    "http for ws": ("components:\n  a: {plugin: websocket, url: 'http://h/'}\n", "2:31", "must begin with ws:// or wss://"),
    "cache's scheme": ("components:\n  a: {plugin: cache, url: 'http://h'}\n", "2:27", "must begin with redis://"),
    "cache's database": ("components:\n  a: {plugin: cache, url: 'redis://h/mine'}\n", "2:27", "path"),
    "vault without a scheme": ("components:\n  a: {plugin: vault, address: 'vault:8200'}\n", "2:31", "must be a URL that begins with http://"),
    "issuer with a query": ("components:\n  a: {plugin: authentication, issuer: 'https://h/?a=b'}\n", "2:39", "must not have a query"),
    "issuer's document": ("components:\n  a: {plugin: authentication, issuer: 'https://h/.well-known/openid-configuration'}\n", "2:39",
                          "must end before"),
    "grafana with a fragment": ("plugins:\n  grafana: {url: 'http://g/#a', api_key: abcdefgh}\n", "2:18", "must end with its path"),
    "a port that is none": ("components:\n  a: {plugin: websocket, url: 'ws://h:99999'}\n", "2:31", "port"),
    # listen
    "a mode in letters": ("listen: {address: 'unix:/tmp/x', mode: rw}\n", "1:40", "write three octal digits, such as 0660"),
    "a mode of four bits more": ("listen: [{address: 'unix:/tmp/x', mode: '4755'}]\n", "1:41", "is not a valid mode"),
    "a mode with an 8": ("listen: {address: 'unix:/tmp/x', mode: 0680}\n", "1:40", "is not a valid mode"),
    "a mode of TCP": ("listen: {address: ':0', mode: 0660}\n", "1:31", "`mode` is of a Unix socket"),
    "a group of systemd's": ("listen: {address: 'systemd:web', group: root}\n", "1:41", "SocketMode=, SocketUser= and SocketGroup="),
    "an unknown owner": ("listen: {address: 'unix:/tmp/x', owner: not-here}\n", "1:41", "no such user in /etc/passwd: `not-here`"),
    "an unknown group": ("listen: {address: 'unix:/tmp/x', group: not-here}\n", "1:41", "no such group in /etc/group: `not-here`"),
    "a group's number": ("listen: {address: 'unix:/tmp/x', group: 4294967295}\n", "1:41", "is not a valid group number"),
    "a socket without name": ("listen: 'systemd:'\n", "1:9", "needs the name of a socket"),
    # options that do not go together
    "process without target": ("components:\n  a: {plugin: process}\n", "2:3", "one of pid_file, unit and port must be given"),
    "process with two": ("components:\n  a: {plugin: process, unit: x, port: 1}\n", "2:39", "excludes unit"),
    "process' unit": ("components:\n  a: {plugin: process, unit: a/b}\n", "2:30", "must be the name of a systemd unit"),
    "token beside role_id": ("components:\n  a: {plugin: vault, address: 'https://v', token: geheim, role_id: r}\n", "2:51",
                             "must not be given together with role_id"),
    "secret_id alone": ("components:\n  a: {plugin: vault, address: 'https://v', secret_id: geheim}\n", "2:55", "needs role_id"),
    "read without a field": ("components:\n  a: {plugin: vault, address: 'https://v', token: t, read: a/b}\n", "2:60", "path#field"),
    "also when not configured": ("components:\n  a: {plugin: vault, address: '${NOT_SET:-}', token: geheim, role_id: r}\n", "2:54",
                                 "must not be given together with role_id"),
    "client_id alone": ("components:\n  a: {plugin: authentication, issuer: 'https://h', client_id: c}\n", "2:63", "needs client_secret"),
    "parameters of ours": ("components:\n  a: {plugin: authentication, issuer: 'https://h', parameters: {scope: s}}\n", "2:64", "scope"),
    "a header of ours": ("components:\n  a: {plugin: websocket, url: 'ws://h', headers: {Upgrade: x}}\n", "2:50", "belongs to the handshake"),
    "socket with a proxy": ("components:\n  a: {plugin: cache, url: 'unix:/x', proxy: 'http://p:1'}\n", "2:27", "neither tls nor proxy"),
    "nonsense proxy": ("components:\n  a: {plugin: cache, url: 'redis://h', proxy: nonsense}\n", "2:47", "no ://"),
    "proxy that cannot be asked": ("components:\n  a: {plugin: vault, address: 'https://v', proxy: 'ftp://p'}\n", "2:51", "must be none, or a URL"),
    "grafana's token": ("plugins:\n  grafana: {url: 'http://g', api_key: abcdefgh, write_access: token}\n", "2:3", "is missing"),
    "disk that is no path": ("components:\n  a: {plugin: host, disks: [/, data]}\n", "2:32", "absolute path"),
    # http
    "http without a scheme": ("components:\n  a: {plugin: http, url: 'example.com/x'}\n", "2:26", "must be a URL that begins with http://"),
    "ftp for http": ("components:\n  a: {plugin: http, url: 'ftp://h/'}\n", "2:26", "must be a URL that begins with http://"),
    "http's method": ("components:\n  a: {plugin: http, url: 'http://h', method: get}\n", "2:46", "capital letters, such as GET"),
    "http's CONNECT": ("components:\n  a: {plugin: http, url: 'http://h', method: CONNECT}\n", "2:46", "not CONNECT"),
    "http's status": ("components:\n  a: {plugin: http, url: 'http://h', status: 2xx}\n", "2:46", "codes from 100 to 599"),
    "no status": ("components:\n  a: {plugin: http, url: 'http://h', status: []}\n", "2:46", "at least one code"),
    "a range that is upside down": ("components:\n  a: {plugin: http, url: 'http://h', status: [200, 299-201]}\n", "2:46", "codes from 100 to 599"),
    "http's pattern": ("components:\n  a: {plugin: http, url: 'http://h', matches: [ok, '(']}\n", "2:47", "entry 2, character 2"),
    "an empty text": ("components:\n  a: {plugin: http, url: 'http://h', not_contains: [a, '']}\n", "2:52", "must not hold an empty text"),
    "a pointer of jq": ("components:\n  a: {plugin: http, url: 'http://h', json: [{pointer: .status}]}\n", "2:55", "json[1].pointer"),
    "a limit with a unit": ("components:\n  a: {plugin: http, url: 'http://h', json: [{pointer: /a}, {pointer: /b, below: 5s}]}\n", "2:81", "must be a number"),
    "equal and above": ("components:\n  a: {plugin: http, url: 'http://h', json: [{pointer: /b, equals: 1, above: 5}]}\n", "2:67", "cannot be combined with above"),
    "a body of HEAD": ("components:\n  a: {plugin: http, url: 'http://h', method: HEAD, contains: x}\n", "2:46", "no body to compare"),
    "http's length": ("components:\n  a: {plugin: http, url: 'http://h', headers: {content-length: 5}}\n", "2:47", "is set by the request"),
    "a header's name": ("components:\n  a: {plugin: http, url: 'http://h', headers: {'a b': c}}\n", "2:47", "not a valid name"),
    "two lines in a header": ("components:\n  a: {plugin: http, url: 'http://h', headers: {X-A: \"b\\r\\nX-B: c\"}}\n", "2:47", "control character"),
    "a secret header's name": ("components:\n  a: {plugin: http, url: 'https://h', secret_headers: [{name: 'X:', value: geheim}]}\n", "2:63", "secret_headers[1].name"),
    "token and password": ("components:\n  a: {plugin: http, url: 'https://h', token: geheim, username: u, password: p}\n", "2:46", "cannot be combined"),
    "password of none": ("components:\n  a: {plugin: http, url: 'https://h', password: geheim}\n", "2:49", "needs username"),
    "two Authorizations": ("components:\n  a: {plugin: http, url: 'https://h', token: geheim, headers: {authorization: x}}\n", "2:46", "with a header Authorization"),
    "HTTP/2 through a proxy": ("components:\n  a: {plugin: http, url: 'http://h', http_version: '2', proxy: 'http://p:1'}\n", "2:52", "cannot be 2"),
    "http's token in clear": ("components:\n  a: {plugin: http, url: 'http://h', token: geheim}\n", "2:26", "without TLS a secret is not sent"),
    "http's header in clear": ("components:\n  a: {plugin: http, url: 'http://h', secret_headers: [{name: X, value: geheim}]}\n", "2:26", "without TLS"),
    "http's user info in clear": ("components:\n  a: {plugin: http, url: 'http://u:geheim@h'}\n", "2:26", "without TLS"),
    "certificate of nothing": ("components:\n  a: {plugin: certificate}\n", "2:3", "one of address and files must be given"),
    "certificate of both": ("components:\n  a: {plugin: certificate, address: h, files: /x}\n", "2:47", "excludes address"),
    "certificate of a URL": ("components:\n  a: {plugin: certificate, address: 'https://h'}\n", "2:37", "without a scheme"),
    "certificate without a port": ("components:\n  a: {plugin: certificate, address: 'h:0'}\n", "2:37", "a port from 1 to 65535"),
    "certificate of a bad v6": ("components:\n  a: {plugin: certificate, address: '[h]:1'}\n", "2:37", "IPv6 address within"),
    "certificate in a folder": ("components:\n  a: {plugin: certificate, files: [a.pem]}\n", None, "absolute paths"),
    "a file's protocol": ("components:\n  a: {plugin: certificate, files: /x, starttls: smtp}\n", "2:49", "needs address"),
    "a file's staple": ("components:\n  a: {plugin: certificate, files: /x, staple: require}\n", "2:47", "needs address"),
    "exec of nothing": ("components:\n  a: {plugin: exec, command: []}\n", "2:30", "command"),
    "exec by a relative path": ("components:\n  a: {plugin: exec, command: [bin/x]}\n", "2:30", "absolute path, or a name without /"),
    "exec of one text": ("components:\n  a: {plugin: exec, command: ['check_load -w 5']}\n", "2:30", "is a list"),
    "exec's variable": ("components:\n  a: {plugin: exec, command: [/x], secret_env: [{name: 'A B', value: x}]}\n", None, "name of a variable"),
    "another protocol": ("components:\n  a: {plugin: certificate, address: h, starttls: ftp}\n", "2:50", "must be none, smtp, imap"),
    "certificate's proxy": ("components:\n  a: {plugin: certificate, address: h, proxy: nonsense}\n", "2:47", "no ://"),
    "dns of no name": ("components:\n  a: {plugin: dns, name: 'a..b'}\n", "2:26", "must be a domain name"),
    "dns of an IDN": ("components:\n  a: {plugin: dns, name: 'café.example'}\n", "2:26", "xn--"),
    "dns server": ("components:\n  a: {plugin: dns, name: h, server: 'h:0'}\n", "2:37", "a port from 1 to 65535"),
    "dns primary": ("components:\n  a: {plugin: dns, name: h, primary: ns1}\n", "2:38", "needs type SOA"),
    "dns answer": ("components:\n  a: {plugin: dns, name: h, expect: example.com}\n", "2:37", "must be IPv4 addresses"),
    "dns mail": ("components:\n  a: {plugin: dns, name: h, type: MX, contains: mail}\n", "2:49", "a preference and a name"),
    "dns type": ("components:\n  a: {plugin: dns, name: h, type: AX}\n", "2:35", "must be A, AAAA, CNAME"),
    "dns empty": ("components:\n  a: {plugin: dns, name: h, expect: 192.0.2.1, empty: true}\n", "2:55", "excludes expect"),
    "dns rcode": ("components:\n  a: {plugin: dns, name: h, expect: 192.0.2.1, rcode: NXDOMAIN}\n", "2:55", "excludes expect"),
    "dns flags": ("components:\n  a: {plugin: dns, name: h, authoritative: true, dnssec: true}\n", "2:58", "does not verify its own zone"),
    "tcp without a port": ("components:\n  a: {plugin: tcp, address: h}\n", "2:29", "must have a port: host:port"),
    "tcp of a URL": ("components:\n  a: {plugin: tcp, address: 'tcp://h:1'}\n", "2:29", "without a scheme"),
    "tcp's escape": ("components:\n  a: {plugin: tcp, address: 'h:1', send: 'a\\q'}\n", "2:42", "escape that is not one of"),
    "tcp's escape in a step": ("components:\n  a: {plugin: tcp, address: 'h:1', steps: [{expect: '\\x1'}]}\n", "2:43", "escape that is not one of"),
    "tcp's empty step": ("components:\n  a: {plugin: tcp, address: 'h:1', steps: [{send: ''}]}\n", "2:43", "needs send, expect or both"),
    "tcp's steps and send": ("components:\n  a: {plugin: tcp, address: 'h:1', send: a, steps: [{send: b}]}\n", "2:52", "excludes send and expect"),
    "tcp's two kinds of TLS": ("components:\n  a: {plugin: tcp, address: h, starttls: smtp, secure: true}\n", "2:42", "excludes secure"),
    "tcp's tls in clear": ("components:\n  a: {plugin: tcp, address: 'h:1', tls: {server_name: h}}\n", "2:41", "needs `secure: true` or starttls"),
    "tcp's proxy": ("components:\n  a: {plugin: tcp, address: 'h:1', proxy: nonsense}\n", "2:43", "no ://"),
    # secrets without TLS
    "vault's token in clear": ("components:\n  a: {plugin: vault, address: 'http://v', token: t}\n", "2:31", "without TLS a secret is not sent"),
    "vault's login in clear": ("components:\n  a: {plugin: vault, address: 'http://v', role_id: r, secret_id: s}\n", "2:31", "without TLS"),
    "client_secret in clear": ("components:\n  a: {plugin: authentication, issuer: 'http://h', client_id: c, client_secret: s}\n", "2:39",
                               "without TLS"),
    "websocket's login in clear": ("components:\n  a: {plugin: websocket, url: 'ws://h', authorization: 'Bearer t'}\n", "2:31", "without TLS"),
    "grafana's key in clear": ("plugins:\n  grafana: {url: 'http://g', api_key: abcdefgh}\n", "2:18", "without TLS"),
    # files of tls
    "ca_file missing": ("components:\n  a: {plugin: cache, url: 'rediss://h', tls: {ca_file: /nonexistent/ca.pem}}\n", "2:56",
                        "cannot open /nonexistent/ca.pem: No such file"),
    "ca_file is text": ("components:\n  a: {plugin: cache, url: 'rediss://h', tls: {ca_file: '{folder}/text.pem'}}\n", "2:56",
                        "does not hold a certificate of an authority"),
    "cert_file is a key": ("components:\n  a: {plugin: cache, url: 'rediss://h', tls: {cert_file: '{folder}/good.key', "
                           "key_file: '{folder}/good.key'}}\n", "2:58", "does not hold a certificate"),
    "key_file is a certificate": ("components:\n  a: {plugin: cache, url: 'rediss://h', tls: {cert_file: '{folder}/good.pem', "
                                  "key_file: '{folder}/good.pem'}}\n", None, "does not hold a private key"),
    "another's key": ("components:\n  a:\n    plugin: cache\n    url: 'rediss://h'\n    tls:\n      cert_file: '{folder}/good.pem'\n"
                      "      key_file: '{folder}/other.key'\n", "7:17", "does not belong to the certificate"),
    "no key": ("components:\n  a: {plugin: cache, url: 'rediss://h', tls: {cert_file: '{folder}/good.pem'}}\n", "2:58", "private key"),
    "from defaults": ("components:\n  a: {plugin: cache, url: 'rediss://h'}\ndefaults: {cache: {tls: {ca_file: /nonexistent/ca.pem}}}\n", "3:35",
                      "cannot open"),
    "listener's key": ("components: {a: {plugin: host}}\nlisten:\n- address: ':0'\n  tls: {cert_file: '{folder}/good.pem', "
                       "key_file: '{folder}/other.key'}\n", None, "does not belong to the certificate"),
    "listener's locked key": ("components: {a: {plugin: host}}\nlisten:\n- address: ':0'\n  tls:\n    cert_file: '{folder}/good.pem'\n"
                              "    key_file: '{folder}/locked.key'\n", "6:15", "is encrypted"),
    "listener's CA": ("components: {a: {plugin: host}}\nlisten:\n- address: ':0'\n  tls:\n    cert_file: '{folder}/good.pem'\n"
                      "    key_file: '{folder}/good.key'\n    client_ca_file: '{folder}/text.pem'\n", "7:21", "authority"),
    # the whole
    "nothing": ("", "1:1", "names no component and no plugin"),
    "comments only": ("# later\n", "1:1", "names no component and no plugin"),
    "a listener alone": ("listen: ':0'\n", "1:1", "names no component and no plugin"),
    "includes itself": ("include: [c.yaml]\ncomponents: {a: {plugin: host}}\n", "1:11", "includes itself"),
    "worker_memory": ("limits: {worker_memory: 64}\ncomponents: {a: {plugin: host}}\n", "1:25", "at least 16MiB"),
    "unclosed quote": ("service:\n  name: \"api\n  title: x\ncomponents: {}\n", "5:1", "a quoted scalar that begins at 2:9"),
    "unclosed list": ("include: [a,\n  b\ncomponents: {}\n", "3:11", "a flow sequence that begins at 1:10"),
    "a public route": ("access: {token: 0123456789abcdef, public: [healht]}\ncomponents: {a: {plugin: host}}\n", "1:43", "no such route or plugin: `healht`"),
    "a listener's route": ("listen: [{address: ':8080', routes: [healht]}]\ncomponents: {a: {plugin: host}}\n", "1:37", "no such route or plugin: `healht`"),
    "nested default": ("components:\n  a: {plugin: t_file, path: '${A:-${B}}'}\n", "2:29", "the variable B is not set"),
    # plugins and other programs' words
    "unknown plugin": ("components:\n  a: {plugin: databse}\n", "2:15", "did you mean `database`?; there are: accesslog, authentication, cache, certificate, database"),
    "Gatus": ("endpoints: [{name: a, url: 'https://h'}]\n", "1:1", "Gatus's: write `components`"),
    "Prometheus": ("scrape_configs: [{job_name: x}]\n", "1:1", "Prometheus's: write `components`"),
    "scrape_interval": ("components:\n  a: {plugin: host, scrape_interval: 5s}\n", "2:21", "write `interval`"),
    "periodSeconds": ("components:\n  a: {plugin: host, periodSeconds: 5}\n", "2:21", "Kubernetes's: write `interval`"),
    "defaults of others": ("defaults: {scrape_timeout: 5s}\ncomponents: {a: {plugin: host}}\n", "1:12", "write `timeout`"),
    # limits that watch nothing
    "10 is 1000 %": ("components:\n  a: {plugin: host, crit: {disk_free: '<10'}}\n", "2:39", "never above 100 % (write 10%"),
    "a negative time": ("components:\n  a: {plugin: host, warn: {response_time: -5s}}\n", "2:43", "-5s"),
    "a unit where there is none": ("components:\n  a: {plugin: certificate, address: h, warn: {certificate_days: '<21d'}}\n", "2:65", "`21d` is not a number: write it without a unit"),
    "each, misspelt": ("components:\n  a: {plugin: host, eech: {b: {}}}\n", "2:21", "unknown option `eech` of component a (did you mean `each`?)"),
    "each of a plugin": ("components: {a: {plugin: host}}\nplugins:\n  prometheus: {each: {b: {}}}\n", "3:16", "unknown option `each` of plugin prometheus"),
    "a negative number of s": ("components:\n  a: {plugin: host, warn: {uptime: '<-5'}}\n", "2:36", "never negative"),
}


@pytest.fixture(scope="module")
def folder():
    made = Folder("table")
    path = made.path

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=path, check=True, capture_output=True, timeout=60)
    for name in ("good", "other"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.pem")
    openssl("pkcs8", "-topk8", "-in", "good.key", "-out", "locked.key", "-passout", "pass:geheim")
    (path / "text.pem").write_text("this is no certificate\n")
    for file in path.iterdir():
        file.chmod(0o600)
    yield path
    made.remove()


@pytest.mark.parametrize("name", ROWS)
def test_mistake(name, folder):
    text, place, sentence = ROWS[name]
    done = run_skymond(text.replace("{folder}", str(folder)) + (f"plugin_path: [{TEST_PLUGINS}]\n" if "t_file" in text else ""),
                       "--check-config", name="c.yaml")
    assert done.returncode == 2, (done.returncode, done.stderr)
    lines = [line for line in done.stderr.splitlines() if sentence in line]
    assert lines, done.stderr
    assert place is None or f"c.yaml:{place}: " in lines[0], lines[0]
    assert "geheim" not in done.stderr, done.stderr


def test_good_files_are_good(folder):
    done = run_skymond(f"""
listen: [{{address: '127.0.0.1:0', tls: {{cert_file: {folder}/good.pem, key_file: {folder}/good.key, client_ca_file: {folder}/other.pem}}}}]
components:
  a: {{plugin: cache, url: 'rediss://h', tls: {{ca_file: {folder}/good.pem, cert_file: {folder}/other.pem, key_file: {folder}/other.key}}}}
  b: {{plugin: database, url: 'postgresql://u@h/x?application_name=a@b', tls: {{ca_file: ''}}}}
""", "--check-config")
    assert done.returncode == 0 and done.stderr == "", done.stderr


def test_the_same_at_a_start(folder):
    for name in ("token beside role_id", "ca_file missing", "nothing", "10 is 1000 %"):
        text, _, sentence = ROWS[name]
        done = run_skymond(text, "--listen", "127.0.0.1:0", name="c.yaml")
        assert done.returncode == 2 and sentence in done.stderr and "listening" not in done.stderr, done.stderr


def test_a_reload_that_would_drop_all(skymond):
    sm = skymond({"plugins": {"prometheus": {}}, "components": {"a": {"plugin": "t_ok", "interval": "1s"}}})
    sm.wait_component("a", status="healthy")
    for text, sentence in (("plugins: {prometheus: {}}\n", "would drop all 1 components"), ("# nothing\n", "names no component and no plugin")):
        mark = sm.log_mark()
        sm.write_config(text)
        sm.hup()
        sm.wait_log("the old one stays in force", after=mark)
        sm.wait_log(sentence)
        assert sm.component("a")["status"] == "healthy"


def test_a_timeout_above_its_interval_is_a_warning():
    done = run_skymond("components:\n  a: {plugin: host, interval: 2s, timeout: 5s}\n", "--check-config", name="c.yaml")
    assert done.returncode == 0
    assert "level=warn" in done.stderr and "c.yaml:2:44: option `timeout` (5s) of component a is above its interval (2s)" in done.stderr


# ---- Who may write what skymond reads ----

def check_in(path, text):
    (path / "c.yaml").write_text(text)
    return subprocess.run([ROOT / "sbin" / "skymond", "-c", path / "c.yaml", "--check-config"], capture_output=True, text=True, timeout=60,
                          env=environment({"STATE_DIRECTORY": str(path)}))


DOORS = {
    "config": lambda path: (path / "c.yaml"),
    "include": lambda path: (path / "more.yaml"),
    "secret": lambda path: (path / "secret"),
    "key": lambda path: (path / "good.key"),
    "authorities": lambda path: (path / "good.pem"),
}
HARM = {
    "others write it": lambda file: file.chmod(0o646),
    "a group writes it": lambda file: (os.chown(file, -1, 54321), file.chmod(0o660)),
    "another's": lambda file: os.chown(file, 54321, -1),
    "its folder": lambda file: file.parent.chmod(0o777),
    "a folder above": lambda file: file.parent.parent.chmod(0o777),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("harm", HARM)
def test_one_rule_at_every_door(door, harm, folder):
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    made = Folder("doors")
    try:
        path = made.path / "etc"
        path.mkdir(mode=0o755)
        for name in ("good.pem", "good.key"):
            (path / name).write_bytes((folder / name).read_bytes())
        (path / "more.yaml").write_text("components: {b: {plugin: host}}\n")
        (path / "secret").write_text("geheim\n")
        for name in ("good.pem", "good.key", "secret", "more.yaml"):
            (path / name).chmod(0o600)
        text = (f"include: [more.yaml]\ncomponents:\n  a: {{plugin: cache, url: 'rediss://h', password: {{file: {path}/secret}}, "
                f"tls: {{ca_file: {path}/good.pem, cert_file: {path}/good.pem, key_file: {path}/good.key}}}}\n")
        done = check_in(path, text)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        HARM[harm](DOORS[door](path))
        done = subprocess.run(done.args, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2, done.stderr
        assert "may be written by others" in done.stderr or "belongs to user 54321" in done.stderr, done.stderr
        assert "geheim" not in done.stderr
    finally:
        made.path.chmod(0o700)
        made.remove()


UNSET = """
listen: ["${V1}", {address: "${V2}"}, {address: ":18443", tls: {cert_file: "${V3}", key_file: "${V4}"}}]
access: {token: {file: "${V5}"}, users: {ops: {file: "${V6}"}}, public: ["${V7}"]}
service: {name: "${V8}", metrics: {database_connections: "${V9}"}}
defaults: {interval: "${V10}"}
plugin_path: ["${V11}"]
maintenance: [{components: ["${V12}"], every: "${V13}", for: "${V14}", zone: "${V15}"}]
log: {level: "${V16}"}
local_users: ["${V17}"]
components:
  a: {plugin: "${V18}"}
  b: {plugin: tcp, address: "${V19}", interval: "${V20}", labels: {x: "${V21}"}, warn: {response_time: "${V22}"}}
  c: {plugin: cache, url: "redis://127.0.0.1", password: "${V23}"}
  d: {plugin: cache, url: "redis://127.0.0.1", password: {file: "${V24}"}}
  e: {plugin: cache, url: "redis://127.0.0.1", password: {env: "${V25}"}}
  f: {plugin: exec, command: ["${V26}"]}
  g: {plugin: exec, command: [/bin/true, "${V27}"]}
  h: {plugin: certificate, files: ["${V28}"], group: "${V29}", depends_on: ["${V30}"]}
  i: {plugin: job, every: "${V31}", token: {file: "${V32}"}}
  j: {plugin: http, url: "http://x/", headers: {a: "${V33}"}, json: [{pointer: "${V34}", equals: "${V35}"}]}
  k: {plugin: tcp, each: {file: "${V36}"}}
  l: {plugin: cache, url: "redis://127.0.0.1", password: {vault: "${V37}"}}
  m: {plugin: tcp, each: {de: {address: "${V38}"}}}
  n: {plugin: http, url: "https://x/", tls: {cert_file: "${V39}", key_file: "${V40}"}}
"""


def test_an_unset_variable_is_one_mistake():
    """Wherever it is: nothing else is said of an option whose text is not known."""
    done = run_skymond(UNSET, "--check-config", name="c.yaml")
    said = re.findall(r'msg="(.*)"', done.stderr)
    assert done.returncode == 2 and len(said) == 40 and all("is not set: set it" in line for line in said), done.stderr


def test_readable_keys_and_secrets_are_a_warning(folder):
    (folder / "open.key").write_bytes((folder / "good.key").read_bytes())
    (folder / "open.key").chmod(0o644)
    (folder / "secret").write_text("geheim\n")
    (folder / "secret").chmod(0o644)
    done = run_skymond(f"components:\n  a: {{plugin: cache, url: 'rediss://h', password: {{file: {folder}/secret}}, "
                       f"tls: {{cert_file: {folder}/good.pem, key_file: {folder}/open.key}}}}\n", "--check-config", name="c.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("level=warn") == 2 and "option `password` of component a: others may read" in done.stderr, done.stderr
    assert "option `tls.key_file` of component a: others may read" in done.stderr


def test_permission_denied_names_the_user(folder):
    if os.geteuid() != 0:
        pytest.skip("root runs it as another")
    made = Folder("denied")
    try:
        made.path.chmod(0o755)
        config = made.path / "c.yaml"
        config.write_text("components: {a: {plugin: host}}\n")
        config.chmod(0o600)
        done = subprocess.run([ROOT / "sbin" / "skymond", "-c", config, "-t"], capture_output=True, text=True, timeout=60, user="nobody",
                              env=environment())
        assert done.returncode == 2 and "Permission denied (skymond runs as user nobody)" in done.stderr, done.stderr
    finally:
        made.remove()

# SPDX-License-Identifier: Apache-2.0
"""The truth table: what a check says of each fault, seen on the real server.

    import truth

    server.stop()
    truth.cell("cache", "stopped", sm, "cache", status="unhealthy", reason="refused", secrets=[PASSWORD])

A cell waits until the component says so, then asserts status, reason, `words` in the message, that it came in time and that no secret
is in any answer or in the log; then it records a row. The rows of a run are printed at its end (conftest.py) and appended to the
file SKYMON_TRUTH (default build/log/truth.jsonl); `tests/live/truth.py` prints that file's newest rows in Markdown as in doc/faults.md
(`--all`: every cell; other files may be named). A cell that differs from the document's fails its test.

In time: within `within` seconds, by default the component's interval + timeout + 1 s, counted from `since` (time.monotonic() of the
deed), by default from the call; so call it right after the deed.
"""
import json
import os
import pathlib
import re
import sys
import time
from itertools import dropwhile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
FILE = pathlib.Path(os.environ.get("SKYMON_TRUTH", SOURCE / "build" / "log" / "truth.jsonl"))
DOCUMENT = SOURCE / "doc" / "faults.md"
SMALL = 1.0
ROWS = []  # of this run


def seconds(text):
    """'1m30s' -> 90.0"""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhd])", str(text))
    assert parts, f"{text!r} is not a duration"
    return sum(float(number) * units[unit] for number, unit in parts)


def given(daemon, component, key, core):
    """The seconds of a component's option, as the daemon's config file has it; core: the default."""
    import yaml
    config = yaml.safe_load(daemon.config.read_text())
    own = config["components"][component]
    common = config.get("defaults", {})
    of_plugin = common.get(own["plugin"]) or {}
    return seconds(own.get(key, of_plugin.get(key, common.get(key, core))))


def limit_of(daemon, component):
    """interval + timeout + a little."""
    return given(daemon, component, "interval", "30s") + given(daemon, component, "timeout", "5s") + SMALL


def hides(daemon, secrets, *more):
    """Asserts that no secret is in the given values, in the daemon's answers or in its log."""
    texts = [json.dumps(value, ensure_ascii=False) for value in more]
    texts += [daemon.get("/api/v1/status").text, daemon.metrics(), daemon.log_text()]
    for secret in secrets:
        for text in texts:
            assert secret not in text, f"a secret is shown: {text[:3000]}"


def rights(beginning):
    """The lines of the block of doc/checks.md that begins so: the rights that a reader gives."""
    from harness import SOURCE
    found, = re.findall(rf"^```\w*\n({re.escape(beginning)}.*?)^```$", (SOURCE / "doc/checks.md").read_text(), re.S | re.M)
    return found.splitlines()


def cell(check, fault, daemon, component, status, reason, within=None, secrets=(), words=(), since=None, longest=None):
    """Waits for the component to be so, checks the rest and records the row; returns the component's JSON. longest: the most
    milliseconds that the check took, so that the sentence is its own and not the daemon's at the deadline."""
    from harness import SLOW, wait_until
    began = since if since is not None else time.monotonic()
    within = within if within is not None else limit_of(daemon, component)
    words = [words] if isinstance(words, str) else list(words)

    def look():
        found = daemon.component(component)
        assert (found["status"], found["reason"]) == (status, reason), found
        assert all(word in found["message"] for word in words), f"not all of {words} are in {found['message']!r}"
        assert longest is None or (found["response_time_ms"] or 0) <= longest, found
        return found
    # Waiting longer than allowed distinguishes "late" from "wrong".
    found = wait_until(look, within + 10, f"{check}, {fault}: {component} to be {status}/{reason}")
    took, within = time.monotonic() - began, within * SLOW
    assert took <= within, f"{check}, {fault}: {status}/{reason} after {took:.2f} s, later than {within:.2f} s: {found}"
    assert found["message"] and "\n" not in found["message"], found
    hides(daemon, secrets, found)
    record({"check": check, "fault": fault, "status": status, "reason": reason, "took": round(took, 2),
            "within": round(within, 2), "message": found["message"]})
    return found


def restarted(check, daemon, component, restart):
    """Calls restart() between two checks: right after one, and again if that took so long that the next one may have begun meanwhile.
    The check after it must find all well, as if nothing had happened; returns the component's JSON before and after. The first two checks
    may be close to each other, as the second has the component's place in the interval: so not right after the first."""
    from harness import wait_until
    interval = daemon.component(component)["interval_seconds"]

    def healthy_after(seen):
        return wait_until(lambda: (found := daemon.component(component))["last_check"] != seen and found["status"] == "healthy" and found,
                          2 * interval + 10, "the next healthy check")
    took, seen = interval, healthy_after(daemon.component(component)["last_check"])["last_check"]
    for _ in range(5):
        before = healthy_after(seen)
        began = time.monotonic()
        restart()
        took = time.monotonic() - began
        if took < 0.8 * interval:
            break
        seen = daemon.component(component)["last_check"]
    assert took < 0.8 * interval, f"{took:.1f} s for what must happen between two checks: a longer interval is needed"
    found = wait_until(lambda: (found := daemon.component(component))["last_check"] != before["last_check"] and found, 2 * interval + 10,
                       "the next check")
    assert (found["status"], found["consecutive_failures"], found["last_result"]) == ("healthy", 0, None), found
    assert found["since"] == before["since"], (before, found)
    record({"check": check, "fault": "restarted under a kept connection", "status": found["status"], "reason": found["reason"], "took": 0.0,
            "within": float(interval), "message": found["message"]})
    return before, found


def documented(check, fault):
    """The cell of doc/faults.md: "unhealthy/refused"; None if it has no such cell."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    columns = next((columns for columns in TABLES if check in columns), [])
    rows = dropwhile(lambda line: line != head(columns), lines)
    for title, faults in SHARED.items():
        if fault in faults and columns:
            row = next((line for line in rows if line.startswith(f"| {title} |")), None)
            return row and row.split("|")[2 + columns.index(check)].strip()
    if fault in OWN.get(check, []):
        row = next(line for line in lines if line.startswith(f"- **{check}** "))
        return dict(cell.split(" → ") for cell in row.split("** ", 1)[1].split(" · "))[fault]
    return None


def compare(row):
    """Fails when doc/faults.md has something else."""
    says = documented(row["check"], row["fault"])
    seen = f"{row['status']}/{row['reason']}"
    assert says is None or seen in says.split(" or "), f"{row['check']}, {row['fault']}: {seen}, and doc/faults.md says {says}"


def record(row):
    compare(row)
    ROWS.append(row)
    if FILE.parent.is_dir():
        with open(FILE, "a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def newest(rows):
    """One row for each check and fault, in the order in which they came up first."""
    found = {}
    for row in rows:
        found[row["check"], row["fault"]] = row
    return list(found.values())


def table(rows):
    """Lines for people, columns in step."""
    lines = [["check", "fault", "status/reason", "took", "within"]]
    for row in newest(rows):
        lines.append([row["check"], row["fault"], f"{row['status']}/{row['reason']}", f"{row['took']:.2f} s", f"{row['within']:.2f} s"])
    widths = [max(len(line[i]) for line in lines) for i in range(5)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]


def said(rows, check, faults):
    """The status and reason for faults that are one row: `unhealthy/refused`; of two kinds, both."""
    found = [f"{row['status']}/{row['reason']}" for row in rows if row["check"] == check and row["fault"] in faults]
    return " or ".join(dict.fromkeys(found))


# The document's tables, and their rows: a fault that many have, and what the tests of each check call it.
TABLES = [["vault", "authentication", "websocket", "cache", "database", "grafana"], ["scrape", "http"], ["tcp"]]
SHARED = {
    "stopped": ["stopped"],
    "frozen": ["frozen", "frozen (SIGSTOP)"],
    "takes the connection, says nothing": ["accepts and is silent", "no answer to the handshake", "takes and is silent", "silence"],
    "above a limit of `warn`": ["slow", "slow (threshold)", "many connections (threshold)"],
    "name does not resolve": ["name does not resolve"],
    "name server never answers": ["name server never answers"],
    "wrong password, token or secret": ["wrong password", "wrong token", "wrong client secret", "key revoked"],
    "certificate not trusted": ["certificate: untrusted", "authority not trusted", "certificate of an unknown issuer",
                                "certificate of an unknown authority"],
    "certificate expired": ["certificate: expired", "certificate expired"],
    "certificate for another name": ["certificate: wrong_name", "certificate for another name", "certificate of another name"],
    "half an answer, then silence": ["half an answer and silent", "half an answer, then silence", "half a handshake",
                                     "half a login and silent"],
    "half an answer, then closed": ["half an answer", "half a handshake, closed", "half an answer and closed", "half a login and closed"],
    "garbage": ["garbage", "noise", "noise for a login"],
    "huge answer": ["huge answer", "a huge answer", "promises two gigabytes"],
    "no connection left": ["closes with 1013", "is full", "no connection left"],
    "proxy stopped": ["proxy stopped", "proxy refused"],
    "restarted under a kept connection": ["restarted under a kept connection", "restarted, with new keys"],
    "refused to newcomers": ["refused to newcomers: password set", "refused to newcomers: password changed", "refused to newcomers: http-401",
                             "refused to newcomers: no new connection"],
    "back to normal": ["started again", "back after stopped", "back"],
}
OWN = {
    "vault": ["sealed", "not initialized", "answers 429", "answers 474", "token revoked", "token ends soon", "path: no such path",
              "answers 200, but is not Vault"],
    "authentication": ["issuer mismatch", "no usable key", "token signed by another key", "expired token", "private keys are published",
                       "clock of yesterday", "HTTP 404"],
    "websocket": ["no WebSocket there", "no pong", "wrong answer", "sub-protocol not agreed", "closes with 1011", "closes with 3000"],
    "http": ["HTTP 404", "HTTP 500", "HTTP 200 where 404 is asked for", "no password", "token without the right", "text is missing", "text is there",
             "pattern does not match", "not JSON", "JSON without the value", "another value in JSON", "a number above its limit",
             "a pattern that never ends", "an answer that unpacks to more than is read", "a redirect", "redirect /other, same_host",
             "redirect /loop, follow", "redirects a body to another host", "HTTP/1 where HTTP/2 is asked for", "no TLS there",
             "TLS asked for without TLS", "client certificate required", "the proxy asks for a login", "resets", "endless headers",
             "refused to newcomers: the name moved", "certificate ends soon"],
    "cache": ["no right to INFO", "loading its data", "memory full, noeviction", "cannot save, takes no writes", "replica, link down",
              "CLIENT PAUSE", "cluster without slots", "too few replicas for writes", "a replica where a primary is asked for"],
    "certificate": ["stopped", "frozen", "silence", "garbage", "plain HTTP", "closes at once", "half a handshake, closed", "proxy stopped", "certificate: expired",
                    "certificate: early", "certificate: wrong_name", "certificate: untrusted", "certificate: brief", "self-signed",
                    "missing intermediate", "expired intermediate", "staple: good", "staple: revoked", "staple: unknown", "staple: expired",
                    "staple: of the future", "staple: another's", "staple: signed by another", "no staple",
                    "no staple, which the certificate demands", "STARTTLS not offered", "another protocol than `starttls`",
                    "TLS switched off", "file: missing", "file: unreadable", "file: not PEM", "file: expired", "file: missing intermediate",
                    "file: replaced by one that ends soon", "file: back to normal", "back to normal"],
    "dns": ["stopped", "stopped, over TCP", "frozen", "frozen, over TCP", "silence", "garbage", "half a record", "wrong id", "wrong question", "another address",
            "forged, then good", "SERVFAIL", "REFUSED", "no such name", "no record of the type", "a record where none is expected",
            "a name that must not exist", "another answer", "another's zone", "not signed, with dnssec", "signatures that are not valid",
            "behind its primary", "primary: REFUSED", "primary: frozen", "primary: stopped",
            "first is lost", "no EDNS", "cut, then TCP", "TCP: silence", "TCP: half an answer", "TCP: garbage", "TCP: closes at once",
            "back to normal"],
    "accesslog": ["a log without requests", "no log", "the log is there", "another format"],
    "exec": ["exit code 0", "exit code 1", "exit code 2", "exit code 3", "exit code 7", "a signal", "no end", "a flood", "no such program",
             "no interpreter", "not executable", "its file is gone", "others may change the program", "binary output", "prints nothing",
             "stream: the program crashes", "stream: garbage", "stream: late answers"],
    "grafana": ["no key there", "HTTP 500", "HTTP 503", "HTTP 429", "no permission (HTTP 403)", "its database is locked (HTTP 403)",
                "a proxy's 429", "an HTTPS port asked with HTTP", "a login page (HTTP 200)", "a proxy's page of HTML (HTTP 502)",
                "a redirect", "JSON that is too deep in itself"],
    "database": ["no such database", "query: none", "query: slow", "starts up", "a primary where a standby is asked for",
                 "a standby that lost its primary"],
    "tcp": ["wrong answer", "closes at once", "queue full", "no TLS there", "frozen under TLS", "STARTTLS not offered",
            "another protocol than `starttls`", "proxy wants a login", "refused behind the proxy", "no proxy there"],
    "scrape": ["a series is gone", "malformed lines", "an empty answer", "a page of HTML", "HTTP 404"],
    "job": ["not run yet", "never ran", "late", "a start without an end", "a failure", "a success after it", "the wrapped command was killed",
            "the wrapper was killed", "skymond was killed during the run"],
    "statsd": ["above a limit", "more series than allowed", "no packet", "its address is in use", "back"],
}


def head(columns):
    return "| fault | " + " | ".join(columns) + " |"


def document(rows):
    """As in doc/faults.md: faults that checks share as a table, those of one check alone as a list."""
    rows = newest(rows)
    lines = []
    for columns in TABLES:
        lines += [head(columns), "|---" * (len(columns) + 1) + "|"]
        for title, faults in SHARED.items():
            cells = [said(rows, check, faults) for check in columns]
            if any(cells):
                lines.append(f"| {title} | " + " | ".join(cell or "–" for cell in cells) + " |")
        lines.append("")
    for check, faults in OWN.items():
        cells = [(fault, said(rows, check, [fault])) for fault in faults]
        missing = [fault for fault, cell in cells if not cell]
        assert not missing, f"{check}: nothing has been recorded for {missing}"
        lines.append(f"- **{check}** " + " · ".join(f"{fault} → {cell}" for fault, cell in cells))
    return lines


def every(rows):
    """Every cell, a line each."""
    lines = ["| check | fault | status/reason |", "|---|---|---|"]
    return lines + [f"| {row['check']} | {row['fault']} | {row['status']}/{row['reason']} |" for row in newest(rows)]


def main(arguments):
    show = every if "--all" in arguments else document
    files = [pathlib.Path(name) for name in arguments if name != "--all"] or [FILE]
    print("\n".join(show([json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()])))


if __name__ == "__main__":
    main(sys.argv[1:])

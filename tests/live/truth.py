"""The truth table: what a check says of each fault, seen on the real server.

    import truth

    server.stop()
    truth.cell("cache", "stopped", sm, "cache", status="unhealthy", reason="refused", secrets=[PASSWORD])

A cell waits until the component says so, then asserts status, reason, `words` in the message, that it came in time and that no secret
is in any answer or in the log; then it records a row. The rows of a run are printed at its end (conftest.py) and appended to the
file SKYMON_TRUTH (default build/log/truth.jsonl); `tests/live/truth.py` prints that file's newest rows as a Markdown table.

In time: within `within` seconds, by default the component's interval + timeout + 1 s, counted from `since` (time.monotonic() of the
deed), by default from the call; so call it right after the deed.
"""
import json
import os
import pathlib
import re
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
FILE = pathlib.Path(os.environ.get("SKYMON_TRUTH", SOURCE / "build" / "log" / "truth.jsonl"))
SMALL = 1.0
ROWS = []  # of this run


def seconds(text):
    """'1m30s' -> 90.0"""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhd])", str(text))
    assert parts, f"{text!r} is no duration"
    return sum(float(number) * units[unit] for number, unit in parts)


def limit_of(daemon, component):
    """interval + timeout + a little, as the daemon's config file has it."""
    import yaml
    config = yaml.safe_load(daemon.config.read_text())
    own = config["components"][component]
    common = config.get("defaults", {})

    def given(key, core):
        of_plugin = common.get(own["plugin"]) or {}
        return seconds(own.get(key, of_plugin.get(key, common.get(key, core))))
    return given("interval", "30s") + given("timeout", "5s") + SMALL


def hides(daemon, secrets, *more):
    """Asserts that no secret is in the given values, in the daemon's answers or in its log."""
    texts = [json.dumps(value, ensure_ascii=False) for value in more]
    texts += [daemon.get("/api/v1/status").text, daemon.metrics(), daemon.log_text()]
    for secret in secrets:
        for text in texts:
            assert secret not in text, f"a secret is shown: {text[:3000]}"


def cell(check, fault, daemon, component, status, reason, within=None, secrets=(), words=(), since=None):
    """Waits for the component to be so, judges it and records the row; returns the component's JSON."""
    from harness import SLOW, wait_until
    began = since if since is not None else time.monotonic()
    within = (within if within is not None else limit_of(daemon, component)) * SLOW
    words = [words] if isinstance(words, str) else list(words)

    def look():
        found = daemon.component(component)
        assert (found["status"], found["reason"]) == (status, reason), found
        assert all(word in found["message"] for word in words), f"not all of {words} are in {found['message']!r}"
        return found
    # Waiting longer than allowed tells "late" from "wrong".
    found = wait_until(look, within / SLOW + 10, f"{check}, {fault}: {component} to be {status}/{reason}")
    took = time.monotonic() - began
    assert took <= within, f"{check}, {fault}: {status}/{reason} after {took:.2f} s, later than {within:.2f} s: {found}"
    assert found["message"] and "\n" not in found["message"], found
    hides(daemon, secrets, found)
    record({"check": check, "fault": fault, "status": status, "reason": reason, "took": round(took, 2),
            "within": round(within, 2), "message": found["message"]})
    return found


def record(row):
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


def markdown(rows):
    """As it stands in the README."""
    lines = ["| check | fault | status/reason |", "|---|---|---|"]
    for row in newest(rows):
        lines.append(f"| {row['check']} | {row['fault']} | {row['status']}/{row['reason']} |")
    return lines


if __name__ == "__main__":
    print("\n".join(markdown(map(json.loads, FILE.read_text(encoding="utf-8").splitlines()))))

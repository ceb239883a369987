#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the parts of the documents that are made from the option tables: `tests/live/doc_tables.py --write` after a table has changed.
The daemon's own tables are read from core/config, those of plugins from `skymon plugins NAME`. test_documents.py compares."""
import re
import sys

from harness import ROOT, SOURCE, run_tool

PLUGINS = sorted(path.stem for path in (ROOT / "lib" / "skymon" / "plugins").glob("*.so"))
# How the documents call a table of core/config, and what is before its keys in the manual page.
CORE = {"places_table": ("top level", ""), "service_table": ("service", "service."), "limits_table": ("limits", "limits."),
        "log_table": ("log", "log."), "ready_table": ("ready", "ready."), "shutdown_table": ("shutdown", "shutdown."),
        "access_table": ("access", "access."), "entry_table": ("listen", "listen[]."), "tls_table": ("listen tls", "listen[].tls."),
        "common_table": ("component", "components.NAME.")}
TYPES = {"const char *": "text", "bool": "true or false", "int64_t": "whole number", "double": "number", "skymon_duration": "duration",
         "skymon_bytes": "size", "skymon_ratio": "ratio", "skymon_choice": "choice", "skymon_secret": "secret",
         "skymon_texts": "list of texts", "skymon_map": "map of texts"}
RELOAD = {"SETTINGS_NOW": "applies at once", "SETTINGS_NEW_WORKERS": "applies to new workers", "SETTINGS_RESTART": "needs a restart"}
# Defaults that are not in the table because a plugin may have its own.
LATER = {("component", "interval"): "30s, or the plugin's", ("component", "timeout"): "5s, or the plugin's"}


def numbers_of(text):
    """The numeric macros of a file."""
    return {name: eval(value, {}) for name, value in re.findall(r"#define (\w+) +([\d.*() ]+)$", text, re.M)}  # noqa: S307


def quantity(kind, number):
    """As skymon prints it: 1h, 256MiB, 65535."""
    units = {"duration": [(86400000, "d"), (3600000, "h"), (60000, "m"), (1000, "s"), (1, "ms")],
             "size": [(2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "")]}.get(kind, [(1, "")])
    number = int(number)
    for size, unit in units:
        if number and number % size == 0:
            return f"{number // size}{unit}"
    return "0s" if kind == "duration" else "0"


def members_of(text, struct):
    """{member: type word} of a struct"""
    body = re.search(rf"struct {struct} \{{(.*?)\n\}};", text, re.S)[1]
    found = {}
    for kind, names in re.findall(r"^\s*(?:struct )?(const char \*|\w+)\s*([^;]+);", body, re.M):
        for name in names.split(","):
            found[name.strip().lstrip("*")] = TYPES[kind]
    return found


def option_row(where, arguments, text):
    """(key, type with range, default, help, what a reload does) of one SKYMON_OPT"""
    struct, key, rest = re.match(r"\s*struct (\w+),\s*(\w+),\s*(.*)", arguments, re.S).groups()
    default, rest = re.match(r"(NULL|\"[^\"]*\"),\s*(.*)", rest, re.S).groups()
    said = re.match(r"(?:\"(?:[^\"\\]|\\.)*\"\s*)+", rest)[0]
    extra = dict(re.findall(r"\.(\w+) = ([^,]+)", rest[len(said):]))
    flags = extra.get("flags", "")
    kind = shown = members_of(text, struct)[key]
    if "words" in extra:
        words = re.search(rf"\b{extra['words'].strip()}\[[^\]]*\] = \{{(.*?)\}}", text, re.S)[1]
        shown = " | ".join(re.findall(r'"([^"]+)"', words))
    if "max" in extra:
        low, high = (eval(extra.get(end, "0"), {}, numbers_of(text)) for end in ("min", "max"))  # noqa: S307
        shown += f", {quantity(kind, low)} to {quantity(kind, high)}"
    if "SKYMON_REQUIRED" in flags:
        shown += ", required"
    default = LATER.get((where, key), "" if default == "NULL" else default.strip('"') or "empty")
    reload = next((words for flag, words in RELOAD.items() if flag in flags), "")
    return key, shown, default, "".join(re.findall(r"\"((?:[^\"\\]|\\.)*)\"", said)), reload


def core_tables():
    """{table as documents call it: rows as of option_row}"""
    texts = [re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S) for path in sorted((SOURCE / "core").rglob("*.[ch]"))]
    tables = {}
    for name, (where, _) in CORE.items():
        start = f"struct skymon_option {name}[] = {{"
        own = next(text for text in texts if start in text)  # its own words and structs first
        body = own[own.index(start):].split("{0}};")[0]
        found = re.findall(r"SKYMON_OPT\(((?:[^()\"]|\"(?:[^\"\\]|\\.)*\"|\([^()]*\))*)\)", body)
        tables[where] = [option_row(where, arguments, own + "".join(texts)) for arguments in found]
    return tables


def plugin_tables(name):
    """(options as (name, type, default, help), numbers as (name, unit, help)) as `skymon plugins NAME` prints them"""
    parts = dict(re.findall(r"^(options|numbers|routes)[^\n]*:\n((?:  [^\n]*\n)*)", run_tool("plugins", name).stdout, re.M))
    options, parent = [], ""
    for indent, key, shown, meaning in re.findall(r"^( +)([\w.]+): ([^\n]*)\n +([^\n]*)$", parts.get("options", ""), re.M):
        if len(indent) == 2:
            parent = key
        else:  # of a list's items
            key = f"{parent}[].{key}"
        shown, _, default = shown.partition(", default ")
        options.append((key, shown, default.replace(str(ROOT), "PREFIX"), meaning))
    numbers = [(key, unit, meaning) for key, unit, meaning in
               re.findall(r"^ +(\w+)(?:, (\S+))?\n +([^\n]*)$", parts.get("numbers", ""), re.M)]
    return options, numbers


def cell(text):
    return text.replace("|", "\\|")


def markdown(name):
    """The lines between the markers of this name."""
    kind, _, plugin = name.partition(" of ")
    if kind == "numbers":
        return ["| number | unit | meaning |", "|---|---|---|"] + [
            f"| `{key}{'NAME' if key.endswith('_') else ''}` | {unit} | {cell(meaning)} |" for key, unit, meaning in plugin_tables(plugin)[1]]
    rows = plugin_tables(plugin)[0] if kind == "options" else core_tables()[name]
    reloads = any(row[4:] and row[4] for row in rows)  # of the daemon's own options only
    lines = ["| key | type | default | meaning |" + " after a reload |" * reloads, "|---|---|---|---|" + "---|" * reloads]
    for key, shown, default, meaning, *reload in rows:
        lines.append(f"| `{key}` | {cell(shown)} | {f'`{default}`' if default else ''} | {cell(meaning)} |" + f" {''.join(reload)} |" * reloads)
    return lines


def manual(name):
    """The same of all the daemon's tables, for skymon.yaml(5)."""
    lines = [".Bl -tag -width Ds"]
    before = {where: prefix for where, prefix in CORE.values()}
    for where, rows in core_tables().items():
        for key, shown, default, meaning, reload in rows:
            lines += [f".It Cm {before[where]}{key}", shown.replace(" | ", ", ") + (f"; default {default}." if default else "."),
                      (meaning if re.match(r"\w+:", meaning) else meaning[0].upper() + meaning[1:]) + "."]
            lines += [f"A new value {reload}."] if reload else []
    return lines + [".El"]


def filled(path):
    """The text of a document with its marked parts as the tables are now."""
    text = path.read_text()
    if path.suffix == ".md":
        pattern, make = r"(<!-- made: ([\w ]+) -->\n).*?(<!-- end -->)", markdown
    else:
        pattern, make = r'(\.\\" made: (\w+)\n).*?(\.\\" end)', manual
    return re.sub(pattern, lambda found: found[1] + "".join(line + "\n" for line in make(found[2])) + found[3], text, flags=re.S)


FILES = [SOURCE / "doc" / "configuration.md", SOURCE / "doc" / "checks.md", SOURCE / "man" / "skymon.yaml.5"]

if __name__ == "__main__":
    for file in FILES:
        now = filled(file)
        if now != file.read_text():
            print(f"{file.relative_to(SOURCE)} is not as the option tables are" + (": written" if "--write" in sys.argv else "; see --help"))
            if "--write" in sys.argv:
                file.write_text(now)

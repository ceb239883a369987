# SPDX-License-Identifier: Apache-2.0
"""Every test that GUIDE.md leans on is there, and its page is short."""
import pathlib
import re

SOURCE = pathlib.Path(__file__).resolve().parents[2]
GUIDE = (SOURCE / "sdk" / "GUIDE.md").read_text()
MANUAL = (SOURCE / "man" / "skymon-plugin.7").read_text()


def test_named_tests_exist():
    named = re.findall(r"`(tests/[\w/.]+)(?:::(\w+))?`", GUIDE)
    assert len(named) > 20
    missing = [f"{path}::{name}" for path, name in named
               if not (SOURCE / path).is_file() or (name and not re.search(rf"(def |static void ){name}\(", (SOURCE / path).read_text()))]
    assert not missing


def test_named_files_exist():
    for path in re.findall(r"`(examples/[\w/.]+|plugins/\w+\.c)`", GUIDE):
        assert (SOURCE / path).exists() or (SOURCE / "sdk" / path).exists(), path


def test_every_wrapper_is_in_a_header():
    """A function that the guide names is one that an author can call."""
    headers = "".join(path.read_text() for path in (SOURCE / "sdk/include/skymon").glob("*.h"))
    for word in set(re.findall(r"\b(skymon_[a-z_]+|SKYMON_[A-Z_]+)\b", GUIDE + MANUAL)):
        assert re.search(rf"\b{word}\b", headers), word


def test_tests_are_named_at_the_end():
    """One table: the rules can be read without them."""
    assert "`tests/" not in re.sub(r"`tests/sdk/offsets.c`", "", GUIDE.split("\n## Tests\n")[0])


def test_the_twenty_lines():
    code = (SOURCE / "sdk/examples/disk/disk.c").read_text().split("\n", 1)[1]
    assert f"```c\n{code}```" in GUIDE


def number_of(text):
    """Of `4,096`, `256 KiB`, `(256u << 10)`."""
    text = re.sub(r"(?<=\d)[uUL,]+", "", text.strip("() "))
    if shift := re.fullmatch(r"(\d+) << (\d+)", text):
        return int(shift[1]) << int(shift[2])
    count, _, unit = text.partition(" ")
    return int(count) * {"KiB": 1024, "MiB": 1 << 20}.get(unit, 1)


def test_the_limits_are_those_of_the_code():
    defined = {}
    for path in (*(SOURCE / "core").rglob("*.[ch]"), *(SOURCE / "sdk/include").rglob("*.h")):
        for name, value in re.findall(r"^#define (\w+) (\d+u?|\(\d+u? << \d+\))(?= |$)", path.read_text(), re.M):
            defined.setdefault(name, set()).add(number_of(value))
    section = re.search(r"^## Limits\n(.*?)^## ", GUIDE, re.S | re.M)[1]
    rows = re.findall(r"^\| .* \| (\d[^|]*) \| (`[^|]*) \|$", section, re.M)
    assert len(rows) > 25
    for text, names in rows:
        names = re.findall(r"`(\w+)`", names)
        values = [number_of(value) for value in text.split(", ")]
        assert len(values) in (1, len(names))
        for name, value in zip(names, values * (len(names) if len(values) == 1 else 1)):
            assert value in defined.get(name, ()), f"{name} is {defined.get(name)}, not {value}"


def test_the_manual_has_the_same_limits():
    found = re.search(r"^\.Ss Limits\n(.*?)GUIDE", MANUAL, re.S | re.M)[1]
    section = re.search(r"^## Limits\n(.*?)^## ", GUIDE, re.S | re.M)[1].replace(",", "")
    for number in re.findall(r"\d+", found):
        assert re.search(rf"\| {number}\b", section), number


def test_length():
    assert len(GUIDE.splitlines()) <= 420

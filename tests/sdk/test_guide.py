# SPDX-License-Identifier: Apache-2.0
"""Every test that GUIDE.md leans on is there, and its page is short."""
import pathlib
import re

SOURCE = pathlib.Path(__file__).resolve().parents[2]
GUIDE = (SOURCE / "sdk" / "GUIDE.md").read_text()


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
    for word in set(re.findall(r"\b(skymon_[a-z_]+|SKYMON_[A-Z_]+)\b", GUIDE)):
        assert re.search(rf"\b{word}\b", headers), word


def test_length():
    assert len(GUIDE.splitlines()) <= 360

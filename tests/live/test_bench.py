# SPDX-License-Identifier: Apache-2.0
"""Every row of the bench runs and yields numbers (--smoke: a second each), so that it works when it is needed. Goals are not asserted: other tests
run beside."""
import subprocess
import sys

import pytest

from harness import SOURCE, need

ROWS = ["health", "connections", "scrape", "gzip", "large", "encoder", "start", "tls", "exec", "tcp", "http", "https", "many", "hung", "statsd", "lines"]  # all but `five`


@pytest.mark.parametrize("row", ROWS)
def test_row(row):
    for program in ("wrk", "nginx"):
        need(program)
    done = subprocess.run([sys.executable, SOURCE / "tests" / "bench" / "run", "--smoke", row], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\n| ") >= 2, done.stdout

# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the live tests; harness.py says what they give."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import truth  # noqa: E402
from certs import Certs  # noqa: E402
from harness import Haproxy, Nginx, Postgres, Prometheus, Skymond  # noqa: E402
from own import own_address  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "sanitized: runs under AddressSanitizer and ThreadSanitizer too")
    config.addinivalue_line("markers", "asan: runs under AddressSanitizer too")


@pytest.fixture
def skymond():
    """skymond(config, …) starts a daemon; all of them are stopped and checked at the end of the test."""
    started = []

    def start(config, **options):
        daemon = Skymond(config, wait=False, **{key: value for key, value in options.items() if key != "wait"})
        started.append(daemon)
        if options.get("wait", True):
            daemon.wait_listening()
        return daemon

    yield start
    errors = []
    for daemon in reversed(started):
        try:
            daemon.stop()
        except BaseException as error:  # the others must end too
            errors.append(error)
    if errors:
        raise errors[0]


def factory(kind):
    """A fixture that starts any number of a server and closes all."""
    def fixture():
        started = []

        def start(*args, **options):
            started.append(kind(*args, **options))
            return started[-1]

        yield start
        for server in reversed(started):
            server.close()
    return pytest.fixture(fixture, name=kind.name)


prometheus = factory(Prometheus)
haproxy = factory(Haproxy)
nginx = factory(Nginx)


@pytest.fixture(scope="session")
def postgres():
    """One cluster for the session: for tests that leave it as it was."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def fresh_postgres():
    """A cluster for this test alone, to be stopped, frozen and filled. Settings: fresh_postgres(max_connections=5)."""
    started = []

    def start(**settings):
        started.append(Postgres(settings))
        return started[-1]

    yield start
    for server in reversed(started):
        server.close()


@pytest.fixture(scope="session")
def elsewhere():
    """An address of this machine that is not loopback: skymond takes what listens there for another machine."""
    return own_address()


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    """Certificates of all kinds: certs.py."""
    return Certs(tmp_path_factory.mktemp("certs"))


def pytest_terminal_summary(terminalreporter):
    if truth.ROWS:
        terminalreporter.section("truth table")
        for line in truth.table(truth.ROWS):
            terminalreporter.write_line(line)

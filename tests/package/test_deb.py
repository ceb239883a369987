# SPDX-License-Identifier: Apache-2.0
"""The Debian packages of etc/debian: built, checked, installed, upgraded, removed and purged on each release."""
import re
import subprocess

import pytest

from debian import BUILD, System, lacking, releases
from harness import ROOT, SLOW, SOURCE

DEBIAN = SOURCE / "etc" / "debian"
EDITED = "# edited by the administrator\n"
SHIPPED = (DEBIAN / "skymon.yaml").read_text()


@pytest.fixture(params=["12", "13"])
def release(request):
    if request.param not in releases():
        lacking(f"the packages of Debian {request.param} were not built")
    return request.param


def builder(release):
    """A system with the compilers and libraries that the packages were built with: this machine's own, or that of the row trixie."""
    here = any(line.strip() == f'VERSION_ID="{release}"' for line in open("/etc/os-release"))
    return System("/" if here else BUILD / "trixie-system", release)


def test_the_shipped_configuration_is_good(tmp_path):
    done = subprocess.run([ROOT / "sbin/skymond", "-c", DEBIAN / "skymon.yaml", "--check-config"], capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == 0, done.stderr


def make_older(system, version):
    """A package /VERSION.deb: skymon with that version, and a default configuration that differs in a line."""
    system.run(f"dpkg-deb -R /debs/skymon_*.deb /tmp/old && sed -i 's/^Version: .*/Version: {version}/' /tmp/old/DEBIAN/control &&"
               f" echo '# default of {version}' >>/tmp/old/etc/skymon/skymon.yaml && dpkg-deb -b /tmp/old /tmp/{version}.deb && rm -r /tmp/old")


def test_install_upgrade_remove_purge(release):
    with System(BUILD / f"debian-{release}", release) as system:
        config, etc = system.path / "etc/skymon/skymon.yaml", system.path / "etc/skymon"
        make_older(system, "0.0.1-1")
        make_older(system, "0.0.2-1")
        before = system.files()
        system.run("apt-get install -y --no-install-recommends /tmp/0.0.1-1.deb", timeout=300)
        assert config.read_text() == SHIPPED + "# default of 0.0.1-1\n"
        assert (system.path / "etc/systemd/system/multi-user.target.wants/skymon.service").is_symlink()
        assert not (system.path / "etc/systemd/system/sockets.target.wants").exists(), "skymon.socket is for those who enable it"
        unit = next(system.path.glob("usr/lib/systemd/system/skymon.service")).read_text()
        assert ("Type=notify-reload" in unit) == (release != "12"), "what this release's systemd knows"

        # An upgrade: a file that was not edited is replaced; then it is edited, and kept where the default stays.
        system.run("dpkg -i /tmp/0.0.2-1.deb")
        assert config.read_text() == SHIPPED + "# default of 0.0.2-1\n"
        edited = SHIPPED + EDITED
        config.write_text(edited)
        system.run("dpkg -i /tmp/0.0.2-1.deb")
        assert config.read_text() == edited and sorted(path.name for path in etc.iterdir()) == ["conf.d", "skymon.yaml"]
        system.run("mkdir -p /var/lib/private/skymon && ln -s private/skymon /var/lib/skymon && echo state >/var/lib/private/skymon/kept")
        (etc / "conf.d/orders.yaml").write_text("components: {}\n")

        # Both have changed: dpkg asks, and fails without an answer; an administrator's standing answer keeps the file.
        asked = system.run("dpkg -i /debs/skymon_*.deb", check=False)
        assert asked.returncode != 0 and "conffile prompt" in asked.stderr, asked.stderr
        assert config.read_text() == edited
        system.run("dpkg --force-confold -i /debs/skymon_*.deb")
        assert config.read_text() == edited and (etc / "skymon.yaml.dpkg-dist").read_text() == SHIPPED
        system.run("apt-get -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold install -y --no-install-recommends /debs/skymon*[!m]_*.deb",
                   timeout=300)
        assert config.read_text() == edited
        assert_works(system, release)

        system.run("apt-get remove -y 'skymon*'")
        assert config.read_text() == edited and (etc / "conf.d/orders.yaml").exists()
        assert (system.path / "var/lib/private/skymon/kept").exists() and not (system.path / "usr/sbin/skymond").exists()
        system.run("apt-get purge -y 'skymon*' && apt-get autoremove -y --purge")
        owned = {f".{line}" for line in system.run("cat /var/lib/dpkg/info/*.list").stdout.splitlines()}  # a library that another package recommends
        assert system.files() - before - owned == {"./etc/skymon", "./etc/skymon/conf.d", "./etc/skymon/conf.d/orders.yaml", "./var/lib/private"}


def assert_works(system, release):
    """Every plugin loads, and the configuration that the package brings starts on a machine that has nothing else."""
    known = system.run("skymon plugins").stdout
    for plugin in sorted(path.stem for path in (ROOT / "lib/skymon/plugins").glob("*.so")):
        assert f"{plugin} " in known, known
        assert plugin in system.run(f"skymon plugins {plugin}").stdout
    assert not {"libpq5", "libsqlite3-0"} & set(re.findall(r"[\w.+-]+", system.run("dpkg-query -W -f '${Depends}' skymon").stdout))
    provided = system.run("dpkg-query -W -f '${Provides}' skymon-dev").stdout
    abi = system.run("sed -n 's/^abi=//p' /usr/lib/*/pkgconfig/skymon.pc").stdout.strip()
    assert provided == f"skymon-abi-{abi}"
    system.run("mkdir /tmp/state && STATE_DIRECTORY=/tmp/state skymond & daemon=$!;"
               " for turn in $(seq 100); do skymon status --url http://127.0.0.1:8080 && break; sleep 0.1; done;"
               " skymon status --url http://127.0.0.1:8080 host && kill $daemon && wait $daemon && rm -r /tmp/state", net=True)


def test_an_author_needs_skymon_dev_alone(release):
    with builder(release) as system:
        system.run("dpkg -i /debs/skymon_*.deb /debs/skymon-dev_*.deb")
        system.run("mkdir /tmp/author && cd /tmp/author && skymon new demo && cd demo && make && make check", net=True)
        system.run("cp -R /usr/share/doc/skymon-dev/examples/orders /tmp/author/orders && cd /tmp/author/orders && make && make check", net=True)


def test_lintian_is_content(release):
    with builder(release) as system:
        done = system.run("lintian --allow-root --fail-on error,warning /debs/*.changes", check=False, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr

# SPDX-License-Identifier: Apache-2.0
"""The files that `make install` leaves, and the answers of the shipped configuration on a machine with no server at all."""
import os
import re
import subprocess

import pytest

from harness import ROOT, SOURCE, need, run_skymond, run_tool, wait_until

SHIPPED = (SOURCE / "etc" / "skymon.yaml").read_text()


def test_installed_files():
    found = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()}
    plugins = [path.stem for path in (SOURCE / "plugins").glob("*/*.c") if re.search(r"^SKYMON_PLUGIN\(", path.read_text(), re.M)]
    assert {"host", "process", "prometheus", "database"} <= set(plugins)
    expected = {
        "sbin/skymond", "bin/skymon", "libexec/skymon/skymon-worker", "libexec/skymon/skymon-grafana", "libexec/skymon/skymon-job", "libexec/skymon/skymon-new", "libexec/skymon/skymon-test-server",
        "lib/pkgconfig/skymon.pc", *(f"lib/{file}" for name in ("http", "json", "lib", "net") for file in (f"libskymon-{name}.a", f"pkgconfig/skymon-{name}.pc")),
        "lib/systemd/system/skymon.service", "lib/systemd/system/skymon.socket", "etc/skymon/skymon.yaml", "share/skymon/skymon.schema.json",
        "share/bash-completion/completions/skymon", "share/bash-completion/completions/skymond", "share/zsh/site-functions/_skymon",
        "share/fish/vendor_completions.d/skymon.fish", "share/fish/vendor_completions.d/skymond.fish",
        "share/man/man1/skymon.1", "share/man/man1/skymon-grafana.1", "share/man/man1/skymon-job.1", "share/man/man1/skymon-test-server.1",
        "share/man/man7/skymon-exec.7", "share/man/man7/skymon-plugin.7", "share/man/man8/skymond.8", "share/man/man5/skymon.yaml.5",
    } | {f"lib/skymon/plugins/{name}.so" for name in plugins} | {
        f"include/skymon/{path.name}" for path in (SOURCE / "sdk" / "include" / "skymon").glob("*.h")} | {
        f"etc/skymon/conf.d/{path.name}" for path in (SOURCE / "etc" / "conf.d").glob("*.yaml.example")} | {
        f"share/doc/skymon/{path.relative_to(SOURCE)}" for path in (
            *(SOURCE / name for name in ("README.md", "LICENSE", "NEWS.md", "sdk/GUIDE.md")), *(SOURCE / "doc").glob("*.md"),
            *(SOURCE / "sdk/examples").glob("*/*"))} | {
        f"share/skymon/{path.relative_to(SOURCE / 'sdk')}" for path in (SOURCE / "sdk/template").glob("*/*")} | {
        f"share/skymon/{path.relative_to(SOURCE / 'etc')}" for folder in ("grafana", "prometheus", "kubernetes", "helm")
        for path in (SOURCE / "etc" / folder).rglob("*.*") if path.is_file()}
    assert found == expected


def test_the_worker_links_no_yaml_parser():
    """A hole in the parser must not be one in the process that holds secrets and talks to servers."""
    libraries = {name: subprocess.run([need("readelf"), "-d", ROOT / name], capture_output=True, text=True, check=True).stdout
                 for name in ("sbin/skymond", "libexec/skymon/skymon-worker")}
    assert "libyaml" in libraries["sbin/skymond"] and "libyaml" not in libraries["libexec/skymon/skymon-worker"], libraries


def test_pkg_config_names_the_places():
    def variable(name):
        return subprocess.run(["pkg-config", f"--variable={name}", "skymon"], capture_output=True, text=True, check=True,
                              env={**os.environ, "PKG_CONFIG_PATH": str(ROOT / "lib/pkgconfig")}).stdout.strip()
    assert variable("plugindir") == str(ROOT / "lib/skymon/plugins")
    assert variable("confdir") == str(ROOT / "etc/skymon")
    header = (ROOT / "include/skymon/plugin.h").read_text()
    numbers = [re.search(rf"#define SKYMON_ABI_{part} (\d+)", header).group(1) for part in ("MAJOR", "MINOR")]
    assert variable("abi") == ".".join(numbers)


def test_unit_file_names_the_installed_daemon():
    unit = (ROOT / "lib/systemd/system/skymon.service").read_text()
    assert f"ExecStart={ROOT}/sbin/skymond -c {ROOT}/etc/skymon/skymon.yaml" in unit
    assert "@" not in re.sub(r"@system-service", "", unit)


def test_unit_lets_workers_confine_themselves():
    """systemd 252 has neither Landlock nor seccomp in @system-service: workers that may not call them would run unconfined."""
    unit = (ROOT / "lib/systemd/system/skymon.service").read_text()
    allowed = {word for line in re.findall(r"^SystemCallFilter=(.*)$", unit, re.M) for word in line.split()}
    assert allowed >= {"@system-service", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp"}


def test_version_stands_in_one_place():
    version = re.search(r"AC_INIT\(\[skymon\], \[([^]]+)\]", (SOURCE / "configure.ac").read_text()).group(1)
    done = subprocess.run([ROOT / "sbin/skymond", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and version in done.stdout
    assert version in run_tool("--version").stdout


def test_shipped_config_and_examples_are_good(tmp_path):
    for text in (SHIPPED, *[path.read_text() for path in sorted((SOURCE / "etc/conf.d").glob("*.example"))]):
        for line in re.findall(r"(?<!ca_)file: (\S+?)\}", text):  # secrets of the examples
            secret = tmp_path / line.strip("/").replace("/", "_")
            secret.write_text("word\n")
            secret.chmod(0o600)
            text = text.replace(line, str(secret))
        done = run_skymond(text, "--check-config")
        assert done.returncode == 0, done.stderr


def test_default_config_is_the_installed_one(tmp_path):
    done = subprocess.run([ROOT / "sbin/skymond", "--check-config"], capture_output=True, text=True, cwd=tmp_path,
                          env={"PATH": os.environ["PATH"], "STATE_DIRECTORY": str(tmp_path)})
    assert done.returncode == 0, done.stderr


@pytest.mark.asan
def test_shipped_config_answers(skymond):
    sm = skymond(SHIPPED)
    store = sm.wait_component("local-store", status="healthy", reason="ok")
    assert store["last_check"] and store["details"]
    host = wait_until(lambda: (c := sm.component("host"))["last_check"] and c, 10, "the host's first result")
    assert host["status"] in ("healthy", "degraded", "unhealthy") and host["details"]
    for name, variable in {"vault": "VAULT_ADDR", "database": "DATABASE_URL", "authentication": "OIDC_ISSUER",
                           "websocket": "WEBSOCKET_URL", "cache": "REDIS_URL"}.items():
        answer = sm.get(f"/api/v1/health/{name}")
        assert answer.status_code == 503 and "Retry-After" not in answer.headers, name
        assert answer.json()["reason"] == "not_configured" and variable in answer.json()["message"], answer.text
    assert sm.get("/api/v1/alive").json()["status"] == "alive"
    status = sm.get("/api/v1/status").json()
    assert status["version"] == "2.1" and status["configuration"]["environment"] == "production"
    metrics = sm.metrics()
    for name in ("active_connections", "total_requests_total", "error_rate_percent", "average_response_time_ms",
                 "memory_usage_mb", "cpu_usage_percent"):
        assert re.search(rf'^sky_genesis_{name}{{service="api"}} [0-9.e+-]+$', metrics, re.M), name
    assert "sky_genesis_database_connections{" not in metrics
    missing = sm.get("/api/v1/health/nothing")
    assert missing.status_code == 404 and "local-store" in missing.json()["detail"]

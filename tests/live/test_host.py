# SPDX-License-Identifier: Apache-2.0
"""The check `host` in a real daemon: the machine's own numbers, thresholds, a disk that is not there."""
import json
import os
import re
import subprocess

import pytest

from harness import need, run_skymond, run_tool, wait_until


def host(**options):
    return {"plugins": {"prometheus": {}}, "components": {"host": {"plugin": "host", "interval": "1s", **options}}}


def series(sm):
    """{name{labels}: value} of the exposition."""
    answer = sm.get("/metrics")
    assert answer.status_code == 200, answer.text
    text = answer.text
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line and line[0] != "#"}


def test_without_options(skymond):
    """No option, no privilege, no server: it reports the root's disk, memory and load, and agrees with the kernel."""
    sm = skymond(host())
    found = sm.wait_component("host", status="healthy")
    details = found["details"]
    root = next(disk for disk in details["disks"] if disk["path"] == "/")
    fs = os.statvfs("/")
    assert root["size_bytes"] == fs.f_blocks * fs.f_frsize
    assert abs(root["free_bytes"] - fs.f_bavail * fs.f_frsize) < 0.05 * root["size_bytes"]
    with open("/proc/meminfo") as text:
        total = int(re.search(r"MemTotal:\s+(\d+)", text.read()).group(1)) * 1024
    assert details["memory_size_bytes"] == total
    assert 0 < details["memory_available_bytes"] < total
    assert details["cpus"] == os.cpu_count()
    assert "disk " in found["message"] and "memory " in found["message"] and "load " in found["message"]


def test_metrics(skymond):
    sm = skymond(host(disks=["/"]))
    sm.wait_component("host", status="healthy")
    found = series(sm)
    fs = os.statvfs("/")
    assert found['skymon_host_disk_size_bytes{component="host",path="/"}'] == fs.f_blocks * fs.f_frsize
    assert found['skymon_host_memory_size_bytes{component="host"}'] > found['skymon_host_memory_available_bytes{component="host"}']
    for mode in ("user", "system", "idle", "iowait"):
        assert f'skymon_host_cpu_seconds_total{{component="host",mode="{mode}"}}' in found
    assert found['skymon_host_boot_time_seconds{component="host"}'] > 1e9


def test_promtool_finds_nothing(skymond):
    """Names, HELP and types of this check are as they should be."""
    sm = skymond(host())
    sm.wait_component("host", status="healthy")
    done = subprocess.run([need("promtool"), "check", "metrics"], input=sm.metrics(), capture_output=True, text=True, timeout=30)
    assert [line for line in done.stderr.splitlines() if "skymon_host" in line] == []
    assert "error while linting" not in done.stderr


def test_missing_disk_and_back(skymond, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    sm = skymond(host(disks=[str(folder), "/"]))
    sm.wait_component("host", status="healthy")
    folder.rmdir()
    found = sm.wait_component("host", status="unhealthy", reason="other")
    assert found["message"] == f"disk {folder} cannot be read: No such file or directory"
    assert any(disk["path"] == "/" and "size_bytes" in disk for disk in found["details"]["disks"])
    folder.mkdir()
    sm.wait_component("host", status="healthy")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_a_disk_fills_up(skymond, tmp_path):
    """A real file system (tmpfs of 4 MB) crosses both limits as it fills, and comes back."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", folder], capture_output=True).returncode != 0:
        pytest.skip("this container may not mount")
    try:
        sm = skymond(host(disks=[str(folder)], warn={"disk_free": "<50%"}, crit={"disk_free": "<10%"}))
        sm.wait_component("host", status="healthy")
        (folder / "a").write_bytes(bytes(2500 * 1024))
        assert "disk_free" in sm.wait_component("host", status="degraded", reason="threshold_warn")["message"]
        (folder / "b").write_bytes(bytes(1400 * 1024))
        sm.wait_component("host", status="unhealthy", reason="threshold_crit")
        (folder / "a").unlink()
        (folder / "b").unlink()
        sm.wait_component("host", status="healthy")
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_source_of_the_service_metrics(skymond):
    """memory_usage_mb and cpu_usage_percent of the seed may be the machine's."""
    config = host()
    config["service"] = {"name": "api", "metrics": {"memory_usage_mb": "host", "cpu_usage_percent": "host"}}
    sm = skymond(config)
    sm.wait_component("host", status="healthy")
    used = wait_until(lambda: series(sm).get('sky_genesis_memory_usage_mb{service="api"}'), what="the metric")
    details = sm.component("host")["details"]
    expected = (details["memory_size_bytes"] - details["memory_available_bytes"]) / 1e6
    assert abs(used - expected) < 0.1 * details["memory_size_bytes"] / 1e6
    # CPU is a difference: the second check has it.
    wait_until(lambda: 'sky_genesis_cpu_usage_percent{service="api"}' in series(sm), what="the CPU metric")


def test_skymon_run():
    done = run_tool("run", "host")
    assert done.returncode == 0, done
    assert "memory " in done.stdout
    done = run_tool("run", "host", "disks=[/no/such]")
    assert done.returncode == 2 and "/no/such" in done.stdout, done


def test_wrong_option_and_number():
    done = run_skymond(host(disk=["/"]), "--check-config")
    assert done.returncode == 2 and "disks" in done.stderr, done
    done = run_skymond(host(warn={"disk_fre": "<10%"}), "--check-config")
    assert done.returncode == 2 and "disk_free" in done.stderr, done


def test_details_are_json(skymond, tmp_path):
    """Odd names of folders do not break the answer."""
    folder = tmp_path / 'ä "quoted" \\ name'
    folder.mkdir()
    sm = skymond(host(disks=[str(folder)]))
    sm.wait_component("host", status="healthy")
    body = json.loads(sm.get("/api/v1/health/host").content)
    assert body["details"]["disks"][0]["path"] == str(folder)
    assert "skymon_host_disk_size_bytes" in sm.metrics()

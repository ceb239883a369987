# SPDX-License-Identifier: Apache-2.0
"""Nothing of a worker survives it, however it ends; what is not a worker's is reaped and left alone."""
import os
import pathlib
import signal
import socket
import subprocess

import pytest
from harness import SLOW, need, processes, wait_until
from test_workers import component


def alive(pid):
    return pid in processes()


def detached(daemon):
    """The process id of the program that t_forks has left behind: a session of its own, and no parent of ours."""
    pid = int(daemon.wait_component("forks", status="healthy")["details"]["detached"])
    wait_until(lambda: processes()[pid][2] == "sleep", 10, "the program")
    assert os.getsid(pid) not in (pid, os.getsid(daemon.pid))
    return pid


def of_it(daemon):
    """The daemon's children and theirs."""
    found = processes()
    return {pid: row for pid, row in found.items() if row[0] == daemon.pid or found.get(row[0], (0,))[0] == daemon.pid}


def config(**options):
    return {"components": {"forks": component("t_forks", **options), "good": component("t_ok")}}


def ends(pid):
    wait_until(lambda: not alive(pid), 10, f"the end of {pid}")


def test_the_worker_crashes(skymond):
    daemon = skymond(config(end=True))
    ends(detached(daemon))
    daemon.wait_component("forks", status="unknown", reason="crashed")


@pytest.mark.parametrize("whom", ["keeper", "t_forks"])
def test_one_of_its_processes_is_killed(skymond, whom):
    daemon = skymond(config())
    pid = detached(daemon)
    all_of_it = [number for number, (_, _, name) in of_it(daemon).items() if name == whom]
    assert len(all_of_it) == 1, all_of_it
    os.kill(all_of_it[0], signal.SIGKILL)
    ends(pid)
    daemon.wait_component("forks", status="healthy")


@pytest.mark.parametrize("whom", ["keeper", "t_forks"])
def test_processes_that_move_on_all_the_time(skymond, whom):
    """Each goes on in a child with a session of its own, thousands of times in a second, so that no list of them is right for long. All hold
    one connection, which ends with the last of them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10 * SLOW)
        daemon = skymond(config(movers=10, port=server.getsockname()[1]))
        held, _ = server.accept()
        with held:
            detached(daemon)
            held.settimeout(0.5)
            with pytest.raises(TimeoutError):
                held.recv(1)
            os.kill(next(pid for pid, (_, _, name) in of_it(daemon).items() if name == whom), signal.SIGKILL)
            held.settimeout(20)  # less than the 30 s after which they end by themselves
            assert held.recv(1) == b""


def test_a_reload_takes_the_component_away(skymond):
    daemon = skymond(config())
    pid = detached(daemon)
    daemon.write_config({"components": {"good": component("t_ok")}})
    daemon.hup()
    ends(pid)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_daemon_ends(skymond, how):
    daemon = skymond(config())
    pid = detached(daemon)
    workers = list(daemon.children())
    if how == signal.SIGKILL:
        os.kill(daemon.pid, how)
        daemon.process.wait()
        daemon.stop(expect=None)
    else:
        daemon.stop()
    for each in [pid, *workers]:
        ends(each)


def test_the_daemon_is_killed_while_starts_hang(skymond):
    """Nothing in those workers reads the wire, so its end ends none of them."""
    daemon = skymond({"components": {"forks": component("t_forks", hang=True), "hangs": component("t_start_hangs", hang=True)}})

    def family():
        found, alive = {daemon.pid}, processes()
        for _ in range(3):
            found |= {pid for pid, (parent, _, _) in alive.items() if parent in found}
        names = sorted(alive[pid][2] for pid in found - {daemon.pid})
        return names == ["keeper", "sleep", "t_forks", "t_start_hangs"] and sorted(found - {daemon.pid})
    pids = wait_until(family, 5, "all of them")
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.process.wait()
    daemon.stop(expect=None)
    try:
        for each in pids:
            ends(each)
    finally:
        for each in pids:
            if alive(each):
                os.kill(each, signal.SIGKILL)


def test_a_plugin_that_needs_no_program_starts_none(skymond):
    """fork is refused to it (test_isolation.py); so is what hides a worker from the signal that ends its group."""
    daemon = skymond({"components": {"good": component("t_ok")}})
    daemon.wait_component("good", status="healthy")
    assert all(name == "t_ok" for name in daemon.children().values())


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a PID namespace")
def test_foreign_orphans_are_reaped_and_not_ended(skymond, tmp_path):
    """skymond is PID 1 of a container, and somebody's command in it leaves a process behind."""
    daemon = skymond({"components": {"good": component("t_ok")}})
    outer = subprocess.Popen([need("unshare"), "--pid", "--fork", "--mount-proc", "--kill-child", *daemon.process.args[:3], "--listen", "127.0.0.1:0"],
                             env={"STATE_DIRECTORY": str(tmp_path), "PATH": os.environ["PATH"]}, stderr=subprocess.DEVNULL)
    try:
        first = wait_until(lambda: [pid for pid, (parent, _, name) in processes().items() if parent == outer.pid and name == "skymond"], 10, "PID 1")[0]
        worker = wait_until(lambda: [pid for pid, (parent, _, name) in processes().items() if parent == first and name == "t_ok"], 10, "its worker")[0]
        subprocess.run([need("nsenter"), "-t", str(first), "-p", "-m", "sh", "-c", "sleep 1000 & exit 0"], check=True)
        orphan = wait_until(lambda: [pid for pid, (parent, _, name) in processes().items() if parent == first and name == "sleep"], 5, "the orphan")[0]
        os.kill(worker, signal.SIGKILL)  # it tends its children now
        wait_until(lambda: worker not in processes() and any(name == "t_ok" and parent == first for parent, _, name in processes().values()),
                   10, "the next worker")
        assert alive(orphan)
        os.kill(orphan, signal.SIGKILL)
        wait_until(lambda: not pathlib.Path(f"/proc/{orphan}").exists(), 10, "the orphan to be reaped")
    finally:
        outer.kill()
        outer.wait()

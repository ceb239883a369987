# SPDX-License-Identifier: Apache-2.0
"""The row exec: a run of /bin/true by skymon_spawn beside posix_spawn and waitpid alone, in turn, on one CPU; and that 1,000 runs by a
daemon leave no process and no descriptor."""
import os
import pathlib
import subprocess
import time

from parts import HERE, SERVER_CPU, SOURCE, folder, get, in_turn, median, need, skymond

RUNS = 1000


def descendants(pid):
    """All processes below one, zombies too."""
    parents = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(text[text.rindex(")") + 2:].split()[1])
    found, last = {pid}, 0
    while len(found) != last:
        last = len(found)
        found |= {each for each, parent in parents.items() if parent in found}
    return found - {pid}


def checks_of(server):
    prefix = b"skymon_component_checks_total{"
    return sum(float(line.rsplit(b" ", 1)[1]) for line in get(server.url + "/metrics").splitlines() if line.startswith(prefix))


def left_behind():
    """Processes besides the worker and its keeper, and descriptors of the worker, after RUNS runs by 50 components."""
    text = ", ".join(f"t{i}: {{plugin: exec, command: [/bin/true], interval: 1s}}" for i in range(50))
    server = skymond(text)
    try:
        deadline = time.monotonic() + 60
        while checks_of(server) < RUNS and time.monotonic() < deadline:
            time.sleep(0.2)
        below = None
        for _ in range(50):  # between two runs
            below = descendants(server.process.pid)
            if len(below) == 2:
                break
            time.sleep(0.02)
        worker = max(below)
        return len(below) - 2, len(os.listdir(f"/proc/{worker}/fd")), checks_of(server)
    finally:
        server.stop()


def measure(rounds, row):
    place = folder("exec")
    program = place / "spawn"
    subprocess.run([os.environ.get("CC", "cc"), "-D_GNU_SOURCE", "-std=c11", "-O2", "-pthread", f"-I{SOURCE}/sdk/include", str(HERE / "spawn.c"),
                    str(SOURCE / "sdk/lib/spawn.c"), str(SOURCE / "sdk/lib/fault.c"), "-o", str(program)], check=True)

    def once(which):
        done = subprocess.run([need("taskset"), "-c", str(SERVER_CPU), str(program), which, "300"], check=True, capture_output=True, text=True)
        return [float(word) for word in done.stdout.split()]
    ours, theirs = in_turn(rounds, lambda: once("spawn"), lambda: once("posix"))
    cpu, own = median([each[1] for each in ours]), median([each[1] for each in theirs])
    row("exec of /bin/true: CPU, the program's own included", "<= 1.3 x posix_spawn", f"{cpu:.0f} us, {cpu / own:.2f} x", cpu <= 1.3 * own)
    subprocess.run(["rm", "-r", str(place)], check=True)
    processes, files, runs = left_behind()
    row(f"{runs:,.0f} runs of /bin/true leave", "nothing", f"{processes} processes, {files} descriptors of the worker", processes == 0 and files < 20)

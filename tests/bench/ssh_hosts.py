"""128 real sshd hosts, watched from one login host: `python tests/bench/ssh_hosts.py [--quick]`.

Beside it what people do today: `ps` and `nvidia-smi` on every host by clush, once a second.
Hosts are namespaces of this machine (root, openssh-server), so their probes and sshds share its
cores with the login side; what is given is the login side's alone.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nodes"))

from harness import wait_until
from lab_hosts import LOGIN, USER, Hosts, missing
from login_side import Figures, job_on, measured, watched
from tables import NOTHING, markdown, options, progress, save

from hpcwatch.cluster.transport import process
from hpcwatch.cluster.transport.ssh import SshTransport
from hpcwatch.cluster.transport.ways import Ways

COUNT = 128
DEAD = 10
SECONDS = 30.0
BY_HAND = "ps -eo pid,user,pcpu,rss,vsz,nlwp,stat,time,args; nvidia-smi || true"
COLUMNS = ["", "first full picture, s", "CPU, % of a core", "memory (RSS), MB", "rounds a second"]


def hpcwatch(hosts: Hosts, names: list[str], seconds: float, dead_count: int) -> Figures:
    """The login side of `hpcwatch job`, at one sample a second."""

    def opener() -> Ways:
        ssh = SshTransport(config_path=str(hosts.ssh_config))
        return Ways([ssh], process.local(), frozenset())

    with hosts.inside(LOGIN):
        return measured(lambda: watched(job_on(names, USER), 1.0, seconds, opener, dead_count))


def clush(hosts: Hosts, names: list[str], seconds: float) -> tuple[Figures, float]:
    """The same figures for clush, once a second or as often as it manages; rounds a second."""
    options_of_ssh = f"-F {hosts.ssh_config} -o ConnectTimeout=10"
    command = ["clush", "-w", ",".join(names), "-f", str(len(names)), "-o", options_of_ssh, BY_HAND]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began_s = time.monotonic()
    first_s, rounds, peak_bytes = 0.0, 0, 0
    with hosts.inside(LOGIN):
        while time.monotonic() - began_s < seconds:
            due_s = began_s + rounds
            time.sleep(max(due_s - time.monotonic(), 0.0))
            with subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            ) as running:
                while running.poll() is None:
                    peak_bytes = max(peak_bytes, family_bytes(running.pid))
                    time.sleep(0.02)
            rounds += 1
            first_s = first_s or time.monotonic() - began_s
    passed_s = time.monotonic() - began_s
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Figures(first_s, 100 * cpu_s / passed_s, float(peak_bytes)), rounds / passed_s


def family_bytes(pid: int) -> int:
    """The resident memory of a process and its children."""
    total = 0
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for one in (pid, *map(int, children)):
            pages = Path(f"/proc/{one}/statm").read_text().split()[1]
            total += int(pages) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        pass
    return total


def row(name: str, figures: Figures, rounds: str) -> list[str]:
    memory = f"{figures.peak_bytes / 1e6:.0f}"
    return [name, f"{figures.first_s:.1f}", f"{figures.cpu_pct:.0f}", memory, rounds]


def main() -> None:
    asked = options(__doc__)
    count, seconds = (8, 5.0) if asked.quick else (COUNT, SECONDS)
    dead_count = min(DEAD, count // 4)
    lacking = missing()
    if lacking:
        sys.exit(f"needs {lacking}")
    names = [f"qb{number:03}" for number in range(1, count + 1)]
    rows, raw = [], {}
    progress(f"starting {count} hosts")
    with Hosts(names, jump=False) as hosts:
        hosts.write_ssh_config("Host *", f"  User {USER}")  # root's start-up files may do anything
        for name in names:  # what the probes are to find
            hosts.start(
                name, ["setpriv", "--reuid", USER, "env", "SLURM_JOB_ID=305669", "sleep", "3600"]
            )
        wait_until(lambda: all(hosts.processes(name, "sleep 3600") for name in names), "programs")
        progress("hpcwatch")
        figures = hpcwatch(hosts, names, seconds, 0)
        rows.append(row(f"**hpcwatch**, {count} hosts", figures, "1"))
        raw["hpcwatch"] = figures._asdict()
        if shutil.which("clush"):
            progress("clush")
            figures, rounds = clush(hosts, names, seconds)
            rows.append(row(f"clush of ps and nvidia-smi, {count} hosts", figures, f"{rounds:.2f}"))
            raw["clush"] = {**figures._asdict(), "rounds_per_s": rounds}
        for name in names[:dead_count]:
            hosts.cut(name)
        progress(f"hpcwatch, {dead_count} dead")
        figures = hpcwatch(hosts, names, seconds, dead_count)
        rows.append(row(f"**hpcwatch**, {dead_count} of them dead", figures, "1"))
        raw["hpcwatch_dead"] = figures._asdict()
    rows.append(["wanted (128 hosts)", "5", "25", "150", NOTHING])
    print(markdown(COLUMNS, rows))
    save(asked.json, {"ssh_hosts": raw})


if __name__ == "__main__":
    main()

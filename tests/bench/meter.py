"""Takes a monitor's own CPU time and memory apart from those of the program it watches."""

from __future__ import annotations

import contextlib
import os
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from harness import SUBJECTS, tree, wait_until

TICKS = os.sysconf("SC_CLK_TCK")
MOVE = str(SUBJECTS / "in_cgroup.sh")


class Meter(ABC):
    """Measures one monitor. `how` says by what means."""

    how: str

    @abstractmethod
    def monitor(self, command: Sequence[str]) -> list[str]:
        """The command line that runs the monitor so that it can be measured."""

    @abstractmethod
    def workload(self, command: Sequence[str]) -> list[str]:
        """The command line of the watched program, to be run by the monitor."""

    @abstractmethod
    def pids(self, monitor: int, workload: int) -> set[int]:
        """The monitor's processes, all of them, its helpers too."""

    @abstractmethod
    def cpu_s(self, monitor: int, workload: int) -> float:
        """CPU seconds the monitor and its helpers have used so far."""

    def close(self) -> None:
        """Remove what was set up."""
        return


class CgroupMeter(Meter):
    """Monitor and program in a cgroup each: the kernel's own account, to the nanosecond.

    The program moves itself before it begins, so nothing of it stays on the monitor's account but
    the few instructions until then, which the difference of two readings leaves out.
    """

    how = "cgroups of their own"

    def __init__(self, base: Path) -> None:
        name = f"hpcwatch-bench-{uuid.uuid4().hex[:8]}"
        self._monitor, self._workload = base / f"{name}-monitor", base / f"{name}-workload"
        self._monitor.mkdir()
        self._workload.mkdir()

    def monitor(self, command: Sequence[str]) -> list[str]:
        return [MOVE, str(self._monitor / "cgroup.procs"), *command]

    def workload(self, command: Sequence[str]) -> list[str]:
        return [MOVE, str(self._workload / "cgroup.procs"), *command]

    def pids(self, monitor: int, workload: int) -> set[int]:
        return set(map(int, (self._monitor / "cgroup.procs").read_text().split()))

    def cpu_s(self, monitor: int, workload: int) -> float:
        with contextlib.suppress(FileNotFoundError):
            return int((self._monitor / "cpuacct.usage").read_text()) / 1e9
        words = (self._monitor / "cpu.stat").read_text().split()
        return int(words[words.index("usage_usec") + 1]) / 1e6

    def close(self) -> None:
        wait_until(lambda: removed(self._monitor), "the monitor's processes to be gone")
        wait_until(lambda: removed(self._workload), "the program's processes to be gone")


class ProcMeter(Meter):
    """Without cgroups: the monitor's processes are its tree without the program's.

    Helpers that have ended are in their parents' account of children; the program has not ended
    while this is read, so it is not. In steps of a clock tick, 10 ms.
    """

    how = "/proc/PID/stat, in steps of 10 ms"

    def monitor(self, command: Sequence[str]) -> list[str]:
        return list(command)

    def workload(self, command: Sequence[str]) -> list[str]:
        return list(command)

    def pids(self, monitor: int, workload: int) -> set[int]:
        return tree(monitor) - tree(workload)

    def cpu_s(self, monitor: int, workload: int) -> float:
        ticks = 0
        for pid in self.pids(monitor, workload):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                stat = Path(f"/proc/{pid}/stat").read_bytes()
                ticks += sum(map(int, stat[stat.rindex(b")") + 2 :].split()[11:15]))
        return ticks / TICKS


def removed(group: Path) -> bool:
    """Remove a cgroup, which its last process must have left."""
    try:
        group.rmdir()
    except OSError:
        return False
    return True


def make() -> Meter:
    """The best meter this machine allows."""
    own = {
        controllers: path.lstrip("/")
        for _, controllers, path in (
            line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()
        )
    }
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, kind, flags, *_ = line.split()
        if kind == "cgroup" and "cpuacct" in flags.split(","):
            controllers = next((names for names in own if "cpuacct" in names.split(",")), None)
        elif kind == "cgroup2":
            controllers = ""
        else:
            continue
        if controllers in own:
            with contextlib.suppress(OSError):
                return CgroupMeter(Path(mount) / own[controllers])
    return ProcMeter()


def pss_bytes(pids: set[int]) -> int:
    """The memory of these processes, shared pages divided among all who map them."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += next(
                int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")
            )
    return total * 1024

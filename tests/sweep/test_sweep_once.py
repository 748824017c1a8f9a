"""No task runs twice unasked, none is lost: drivers, monitors, keepers and GNU parallel killed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest
from harness import lines, wait_until
from sweep_parts import LONG_S, Sweeps, finish, needs_parallel

from hpcwatch.sweep.attempts import Attempts

pytestmark = needs_parallel


class Counted(Sweeps):
    """Sweeps whose tasks note each execution, and whether the one before still lives."""

    def counting(self, seconds: str) -> list[str]:
        """A task that notes ``start N:K PID``, ``overlap`` if an earlier one lives, ``end N:K``."""
        script = (
            f'me=$HPCWATCH_SWEEP_TASK; sed -n "s/^start $1:[0-9]* //p" {self.notes} 2>&- |'
            f' while read pid; do kill -0 $pid 2>&- && echo "overlap $me" >> {self.notes}; done; '
            f'echo "start $me $$" >> {self.notes}; sleep {seconds}; echo "end $me" >> {self.notes}'
        )
        return ["sh", "-c", script, "task", "{n}"]

    def executions(self) -> list[str]:
        """The attempts (``N:K``) whose program ran, once for each time it did."""
        return [line.split()[1] for line in lines(self.notes) if line.startswith("start ")]

    def has_come(self, count: int, process: subprocess.Popen[str]) -> bool:
        return len(self.executions()) >= count or process.poll() is not None

    def overlaps(self) -> list[str]:
        return [line for line in lines(self.notes) if line.startswith("overlap ")]

    def monitors(self) -> list[tuple[int, int]]:
        """The monitors of the latest sweep's tasks and their keepers."""
        mark = os.fsencode(self.latest / "task.py")
        found = {}
        for name in os.listdir("/proc"):
            with contextlib.suppress(OSError, ValueError):
                words = Path(f"/proc/{int(name)}/cmdline").read_bytes().split(b"\0")
                stat = Path(f"/proc/{name}/stat").read_bytes().rpartition(b")")[2].split()
                is_task = mark in words[1:3] and words[-2].isdigit()
                if is_task and stat[0] != b"Z":
                    found[int(name)] = int(stat[1])
        return [(pid, parent) for pid, parent in found.items() if parent in found]

    def check(self) -> None:
        """No program ran twice in one attempt; what was run again, we had ended before."""
        executions = self.executions()
        assert len(executions) == len(set(executions)), sorted(executions)
        assert self.overlaps() == []
        for some in Attempts(str(self.latest)).all().values():
            for one in some[:-1]:
                assert one.ended is not None, f"run again with its end unknown: {some}"
                assert one.ended.is_stopped, f"run again after its own end: {some}"


@pytest.fixture
def sweeps(tmp_path: Path) -> Counted:
    return Counted(tmp_path)


def test_chaos(sweeps: Counted) -> None:
    seed = os.environ.get("HPCWATCH_TEST_SEED", "7")
    print("HPCWATCH_TEST_SEED", seed)
    rng = random.Random(seed)
    count = 40
    arguments = ("-p", f"n=1..{count}", "--slots", 3, "--name", "chaos")
    subject = sweeps.counting("0.15")
    process = sweeps.start(*arguments, "--", *subject)
    killed = []
    for _ in range(14):
        wanted = len(sweeps.executions()) + rng.randrange(1, 4)

        wait_until(partial(sweeps.has_come, wanted, process), "more starts", LONG_S)
        time.sleep(rng.random() * 0.2)  # any moment: what is awaited is chance itself
        what = rng.choice(("driver", "driver", "monitor", "monitor", "keeper", "both"))
        killed.append(what)
        if what == "driver":
            process.kill()
        for pid, keeper in rng.sample(found := sweeps.monitors(), min(len(found), 1)):
            for victim in {"monitor": [pid], "keeper": [keeper], "both": [keeper, pid]}.get(
                what, ()
            ):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
        if what == "driver" or process.poll() is not None:
            process.wait()
            process = sweeps.start("--resume", *arguments, "--", *subject)
    finish(process)
    sweeps("--resume")
    sweeps.check()
    attempts = Attempts(str(sweeps.latest))
    unknown = {number for number, some in attempts.all().items() if some[-1].ended is None}
    assert len(unknown) <= killed.count("both"), killed
    before = len(sweeps.executions())
    ended = sweeps("--resume")
    assert len(sweeps.executions()) == before, "what is not known was run again unasked"
    if unknown:
        assert "is unknown" in ended.err
    sweeps("--rerun-unknown")
    again = {int(one.partition(":")[0]) for one in sweeps.executions()[before:]}
    assert again == unknown
    assert sweeps.overlaps() == []
    all_of = attempts.all()
    assert set(all_of) == set(range(1, count + 1)), "lost"
    for some in all_of.values():
        assert some[-1].ended is not None
        assert not some[-1].ended.is_stopped
    twice = [line for line in lines(sweeps.notes) if line.startswith("end ")]
    print(f"{len(killed)} kills, {len(unknown)} unknown, {len(twice) - count} ran past their cut")

"""Runs of the whole program above made-up devices, for as long as a test looks at them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import driver
from program import Hpcwatch

from hpcwatch.probe.schema import Gpu, Sample, from_line

DEADLINE_S = 120.0
HOLD = """
import mmap, os, sys, time
with open(sys.argv[1] + ".pid", "w") as stream:
    stream.write(str(os.getpid()))
maps = [mmap.mmap(os.open(path, os.O_RDONLY), 0, prot=mmap.PROT_READ) for path in sys.argv[2:]]
while not os.path.exists(sys.argv[1]):
    time.sleep(0.02)
"""


class GpuRun:
    """One `hpcwatch run`; its program ends when it is told to."""

    def __init__(
        self,
        hpcwatch: Hpcwatch,
        text: str,
        *options: str,
        variables: Mapping[str, str] | None = None,
        stopped: bool = False,
        mapped: str | None = None,
    ) -> None:
        """In an environment with these variables; the program has a library ``mapped``.

        With ``stopped`` the time of the scenario is 0 until ``at`` says another.
        """
        folder = hpcwatch.folder
        self._clock = folder / "clock"
        self._end = folder / "end"
        self.output = folder / "run"
        text += f"\nclock {self._clock}\n" if stopped else ""
        # What asks a scheduler is a descendant too, and on a slow machine it is there for long.
        text = text.replace("process descendants", f"process file:{self._end}.pid")
        self.environment = {**gpu_environment(hpcwatch, text), **(variables or {})}
        options = ("--interval", "0.25", "--output", str(self.output), *options)
        self.words = hpcwatch.command("run", *options, "--", sys.executable, "-c", HOLD)
        self.words.append(str(self._end))
        if mapped is not None:
            (folder / mapped).write_bytes(b"ELF")
            self.words.append(str(folder / mapped))
        self._folder = folder

    def start(self) -> None:
        """Start it in the background."""
        self.child = subprocess.Popen(
            self.words,
            env=self.environment,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def at(self, second: float) -> None:
        """Let the time of the scenario be so many seconds."""
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(f"{second}\n")
        fresh.replace(self._clock)

    def samples(self) -> list[Sample]:
        """All that was recorded so far."""
        try:
            lines = (self.output / "samples.jsonl").read_text().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        return [from_line(line) for line in lines if line.endswith("\n")]

    def until(self, holds: Callable[[Sample], object], what: str) -> Sample:
        """The first sample from now on for which something holds."""
        end_s = time.monotonic() + DEADLINE_S
        seen = max(len(self.samples()) - 1, 0)
        while True:
            for sample in self.samples()[seen:]:
                if holds(sample):
                    return sample
            assert time.monotonic() < end_s, f"waited in vain for {what}: {self.samples()[-1:]}"
            time.sleep(0.05)

    def finish(self) -> float:
        """End the program; how long hpcwatch took to end after it, in seconds."""
        self._end.touch()
        before_s = time.monotonic()
        self.out, self.err = self.child.communicate(timeout=DEADLINE_S)
        assert self.child.returncode == 0, self.err
        assert "Traceback" not in self.err
        return time.monotonic() - before_s

    def kill(self) -> None:
        """End it, however the test went."""
        self._end.touch()
        if self.child.poll() is None:
            self.child.kill()
            self.child.communicate()

    @property
    def report(self) -> dict[str, Any]:
        """Its report as JSON."""
        made: dict[str, Any] = json.loads((self.output / "report.json").read_text())
        return made


@contextlib.contextmanager
def gpu_run(
    hpcwatch: Hpcwatch,
    text: str,
    *options: str,
    variables: Mapping[str, str] | None = None,
    stopped: bool = False,
    mapped: str | None = None,
) -> Iterator[GpuRun]:
    """A run that goes on until the test has seen enough."""
    run = GpuRun(hpcwatch, text, *options, variables=variables, stopped=stopped, mapped=mapped)
    run.start()
    try:
        yield run
    finally:
        run.kill()


def gpu_environment(hpcwatch: Hpcwatch, text: str) -> dict[str, str]:
    """The program's environment, with the driver of a scenario."""
    folder = driver.install(text, hpcwatch.folder / "driver")
    return {**hpcwatch.environment, "LD_LIBRARY_PATH": str(folder)}


def known(count: int) -> Callable[[Sample], bool]:
    """Whether a sample knows all of so many devices' memory."""
    return lambda sample: len([gpu for gpu in sample.gpus or [] if gpu.memory_used_bytes]) == count


def devices(sample: Sample) -> dict[str, Gpu]:
    """The devices by their labels."""
    return {gpu.label: gpu for gpu in sample.gpus or []}


def in_torque(hpcwatch: Hpcwatch, gpus: tuple[int, ...] = (0, 1)) -> dict[str, str]:
    """The variables of a Torque job on all of this host's cores and some of its devices."""
    host, cores = os.uname().nodename, len(os.sched_getaffinity(0))
    nodes, held = hpcwatch.folder / "nodes", hpcwatch.folder / "gpus"
    nodes.write_text(f"{host}\n" * cores)
    held.write_text("".join(f"{host}-gpu{index}\n" for index in gpus))
    return {
        "PBS_JOBID": "305669.qb3",
        "PBS_JOBNAME": "cnn.tf.gpu",
        "PBS_QUEUE": "k40",
        "PBS_NUM_NODES": "1",
        "PBS_NUM_PPN": str(cores),
        "PBS_NODEFILE": str(nodes),
        "PBS_GPUFILE": str(held),
        "PBS_WALLTIME": "259200",
        "PBS_ENVIRONMENT": "PBS_BATCH",
    }

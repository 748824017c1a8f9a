"""Watches made-up devices: the reader in a process of its own above the driver for tests.

The loader looks for libraries where the environment said when a process began, so the reader runs
in a child. As a program: ``gpu_watch.py [NAME=VALUE]...`` sets the reader's times (``_POLL_S=0.1``)
and prints a line of JSON every tenth of a second: the devices or null, the errors, and how long the
reading took.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import driver

from hpcwatch.probe import gpu
from hpcwatch.probe.schema import Sample, from_line, to_line

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 40.0
FAST = ("_POLL_S=0.1", "_DEADLINE_S=0.6", "_RETRY_S=0.3")
"""Times of the reader that make a test short."""


class Reading(NamedTuple):
    """What one call of the reader gave."""

    sample: Sample
    took_s: float

    @property
    def gpus(self) -> list[Any]:
        """The devices; fails if they are unknown."""
        assert self.sample.gpus is not None, self.errors
        return self.sample.gpus

    @property
    def errors(self) -> dict[str, str]:
        """What the reader complained of."""
        return self.sample.errors or {}


class Watch:
    """The readings of one child, one after the other."""

    def __init__(self, stream: IO[str], clock: Path) -> None:
        self._stream = stream
        self._clock = clock
        self.readings: list[Reading] = []

    def at(self, second: float) -> None:
        """Let the time of the scenario be so many seconds, if it was ``stopped``."""
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(f"{second}\n")
        fresh.replace(self._clock)

    def next(self) -> Reading:
        """The next reading."""
        line = self._stream.readline()
        assert line, "the reader's process ended"
        took_s, text = json.loads(line)
        self.readings.append(Reading(from_line(text), took_s))
        return self.readings[-1]

    def until(self, holds: Callable[[Reading], object], what: str) -> Reading:
        """The first reading for which something holds."""
        end = time.monotonic() + DEADLINE_S
        while True:
            reading = self.next()
            if holds(reading):
                return reading
            assert time.monotonic() < end, f"waited in vain for {what}: {reading}"

    def first(self) -> Reading:
        """The first reading that says anything."""
        return self.until(lambda one: one.sample.gpus is not None or one.errors, "any answer")


@contextlib.contextmanager
def watch(text: str, folder: Path, *times: str, stopped: bool = False) -> Iterator[Watch]:
    """Watch the devices of a scenario; its library and the child's complaints go to a folder.

    With ``stopped`` its time is 0 until ``at`` says another.
    """
    clock = folder / "clock"
    text += f"\nclock {clock}\n" if stopped else ""
    environment = driver.environment(driver.install(text, folder)) | {"PYTHONPATH": paths()}
    command = [sys.executable, __file__, *(times or FAST)]
    complaints = folder / "stderr"
    with complaints.open("w", encoding="utf-8") as stderr:
        child = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    try:
        assert child.stdout is not None
        yield Watch(child.stdout, clock)
    finally:
        child.kill()
        child.communicate()
    assert complaints.read_text() == ""


def paths() -> str:
    """Where the child finds what we have: also another pynvml, if one was put before ours."""
    return ":".join([str(ROOT), *filter(None, sys.path)])


def main(settings: list[str]) -> None:
    """Print readings until nobody reads them."""
    for setting in settings:
        name, _, value = setting.partition("=")
        assert hasattr(gpu, name)
        setattr(gpu, name, float(value))
    reader = gpu.GpuReader()
    while True:
        errors: dict[str, str] = {}
        before_s = time.perf_counter()
        gpus = reader.read(errors)
        took_s = time.perf_counter() - before_s
        line = to_line(Sample("here", time.time(), time.monotonic(), gpus=gpus, errors=errors))
        print(json.dumps([took_s, line]), flush=True)
        time.sleep(0.1)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main(sys.argv[1:])

"""``hpcwatch run`` on the test machine: started, waited for, and asked what it recorded."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vm.inside.groups import Group
from vm.inside.waiting import wait_for

WORK = Path("/data/work")
"""On a disk: a recording in a file system in memory would count as the job's memory."""
_SHOWN_S = 150.0
_SCHEDULERS = ("SLURM_", "PBS_")


def program(*words: object) -> list[str]:
    """Return the command line of a program to watch."""
    return [sys.executable, "-m", "vm.inside.program", *map(str, words)]


def fresh(name: str) -> Path:
    """Return a folder that is new."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return the variables that hpcwatch runs with."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SCHEDULERS)}
    homes = {"HPCWATCH_HOME": str(folder / "home"), "XDG_CONFIG_HOME": str(folder / "config")}
    return kept | {"PYTHONPATH": os.pathsep.join(["tests", "."])} | homes | more


def full_samples(recording: Path) -> list[dict[str, Any]]:
    """Return the samples of a recording in which the whole node was read."""
    try:
        text = (recording / "samples.jsonl").read_text()
    except FileNotFoundError:
        return []
    lines = [json.loads(line) for line in text.split("\n")[:-1]]
    return [line for line in lines if line.get("node", {}).get("cpu_count")]


class MonitorKilledError(Exception):
    """The monitor itself was killed."""


class Watched:
    """A program below ``hpcwatch run`` in a control group."""

    def __init__(
        self,
        group: Group,
        *words: object,
        variables: Mapping[str, str] | None = None,
        through: Sequence[str] = (),
        configured: str = "",
    ) -> None:
        """Start it. ``through`` is a command that starts hpcwatch in its turn."""
        self.folder = fresh("watched")
        self._is_ready = False
        settings = self.folder / "config" / "hpcwatch" / "config.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(configured)
        self._recording = self.folder / "run"
        options = ["--interval", "0.5", "--view", "none", "--output", str(self._recording)]
        command = [sys.executable, "-m", "hpcwatch", "run", *options, "--", *program(*words)]
        self._errors = (self.folder / "errors").open("w+")
        self._process = subprocess.Popen(
            group.entering([*through, *command]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment(self.folder, **(variables or {})),
        )

    def await_ready(self) -> None:
        """Wait until the program holds what it shall."""
        if self._is_ready:
            return
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if said != "ready\n":
            raise RuntimeError(f"the program said {said!r}: {self._said()}")
        self._is_ready = True

    def hold(self, shows: Callable[[dict[str, Any]], bool] = bool) -> dict[str, Any]:
        """Wait until the program holds what it shall, and return a full sample that shows it.

        Without one in good time it is the last sample, for the test to say what is wrong with it.
        """
        self.await_ready()
        ready_s = time.time()
        found: list[dict[str, Any]] = []

        def is_enough() -> bool:
            found[:] = [one for one in self.samples() if one["at_s"] > ready_s + 0.5]
            return (len(found) >= 2 and shows(found[-1])) or not self.is_running

        with contextlib.suppress(TimeoutError):
            wait_for(is_enough, "a sample", _SHOWN_S)
        if not found:
            raise RuntimeError(f"no sample: {self._said()}")
        return found[-1]

    @property
    def is_running(self) -> bool:
        """True until hpcwatch has ended."""
        return self._process.poll() is None

    def samples(self) -> list[dict[str, Any]]:
        """Return the full samples that are recorded by now."""
        return full_samples(self._recording)

    def end(self) -> dict[str, Any]:
        """Let the program end; return its exit code, what was said, and the report."""
        out, _ = self._process.communicate()
        report = self._recording / "report.json"
        if not report.exists():
            if self._process.returncode == -signal.SIGKILL:
                raise MonitorKilledError(f"killed after {out!r}")
            raise RuntimeError(f"no report: {self._said()}")
        plain = json.loads(report.read_text())
        return {
            "code": self._process.returncode,
            "out": out,
            "err": self._said(),
            "summary": plain["summary"],
            "findings": plain["findings"],
            "signal": plain["run"]["signal"],
        }

    def _said(self) -> str:
        self._errors.flush()
        self._errors.seek(0)
        return self._errors.read()

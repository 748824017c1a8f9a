"""What the tests of sweeps share: a sweep as a user starts it, and how often each task ran."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from harness import lines, wait_until
from program import Ended, Hpcwatch

PARALLEL_MISSING = shutil.which("parallel") is None
needs_parallel = pytest.mark.skipif(PARALLEL_MISSING, reason="needs the package: parallel")
LONG_S = 120.0


class Sweeps:
    """Runs sweeps below a test's folder; each task notes its start and its end in a file."""

    def __init__(self, folder: Path) -> None:
        self.hpcwatch = Hpcwatch(folder)
        self.folder = folder
        self.notes = folder / "notes"
        self.home = folder / "home"

    def subject(self, *words: str, sleep: str = "0", code: str = "0") -> list[str]:
        """A task that notes ``start WORDS`` and ``end WORDS``, a line each, and sleeps between."""
        script = (
            f'echo "start $*" >> {self.notes}; sleep {sleep} || exit 99; '
            f'echo "end $*" >> {self.notes}; exit {code}'
        )
        return ["sh", "-c", script, "task", *words]

    def __call__(self, *arguments: object, **environment: str) -> Ended:
        """Run a sweep to its end."""
        return self.hpcwatch("sweep", *arguments, **environment)

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        """Start a sweep in a session of its own."""
        return subprocess.Popen(
            self.hpcwatch.command("sweep", *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env={**self.hpcwatch.environment, **environment},
            start_new_session=True,
            preexec_fn=_hear_signals,
        )

    def counted(self, what: str) -> Counter[str]:
        """How often each task noted its start, or its end."""
        found = [line.partition(" ") for line in lines(self.notes)]
        return Counter(rest for word, _, rest in found if word == what)

    def await_notes(self, what: str, count: int) -> None:
        """Wait until so many starts or ends are noted."""
        wait_until(
            lambda: sum(self.counted(what).values()) >= count, f"{count} notes of {what}", LONG_S
        )

    @property
    def latest(self) -> Path:
        """The folder of the latest sweep."""
        folders = (self.home / "sweeps").iterdir()
        return max(
            folders, key=lambda one: json.loads((one / "plan.json").read_text())["made_at_s"]
        )

    def outputs(self) -> dict[int, str]:
        """What each task of the latest sweep wrote at its first attempt."""
        found = (self.latest / "outputs").glob("*-1.txt")
        return {int(path.name.split("-")[0]): path.read_text() for path in found}


def shown(ended: Ended) -> dict[str, Any]:
    """The results in JSON of a sweep that was asked for them."""
    plain: dict[str, Any] = json.loads(ended.out)
    return plain


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a sweep; its exit code and all it said."""
    text = process.communicate(timeout=LONG_S)[0]
    assert "Traceback" not in text, text
    return process.returncode, text


def python(code: str, *words: str) -> list[str]:
    """A task in Python."""
    return [sys.executable, "-c", code, *words]


def together(count: int, what: str) -> str:
    """A shell script that waits until so many tasks have come this far, and then does something.

    Without it a slow machine starts so late what is to run at once that a free slot takes it.
    """
    waits = f'until [ "$(ls at-* | wc -l)" -ge {count} ]; do sleep 0.1; done'
    return f": > at-$$-$(hostname); {waits}; {what}"


def values(key: str, found: Sequence[dict[str, Any]]) -> list[Any]:
    """One field of many records."""
    return [one[key] for one in found]


def _hear_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def exists(pid: int) -> bool:
    """Whether a process is there, ended or not."""
    return os.path.exists(f"/proc/{pid}")

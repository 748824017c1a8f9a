"""Control groups of version 2: made for a test, entered, and read as the kernel tells them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vm.inside.waiting import wait_for

TOP = Path("/sys/fs/cgroup")
_MADE = Path("/run/hpcwatch-test-groups")
_NUMBERS = (
    *("memory.current", "memory.max", "memory.peak", "memory.swap.current"),
    "hugetlb.2MB.current",
)
_TABLES = ("memory.stat", "memory.events", "cpu.stat")


class Group:
    """One control group, by its path below the top: ``/a/b``."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.folder = TOP / path.lstrip("/")

    def below(self, name: str) -> Group:
        """Return a group below this one."""
        return Group(f"{self.path}/{name}")

    def make(self, **settings: object) -> Group:
        """Make it with every controller, then write ``memory_max=…`` to ``memory.max``."""
        for folder in reversed([self.folder, *self.folder.parents]):
            if TOP in folder.parents and not folder.exists():
                _switch_on(folder.parent)
                folder.mkdir()
                with _MADE.open("a") as made:
                    made.write(f"{folder}\n")
        for name, value in settings.items():
            (self.folder / name.replace("_", ".")).write_text(str(value))
        return self

    def entering(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs another in this group."""
        script = f'echo $$ >{self.folder}/cgroup.procs && exec "$@"'
        return ["sh", "-c", script, "sh", *argv]

    @contextlib.contextmanager
    def holding(self, *words: object, variables: Mapping[str, str] | None = None) -> Iterator[None]:
        """Have a program of ``vm.inside.program`` hold something in this group meanwhile."""
        process = self._start(words, variables or {})
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{words} holds nothing")
        try:
            yield
        finally:
            process.communicate()

    def run(self, *words: object, variables: Mapping[str, str] | None = None) -> int:
        """Run such a program to its end in this group; return its exit code."""
        process = self._start(words, variables or {})
        process.communicate()
        return process.returncode

    def _start(
        self, words: Sequence[object], variables: Mapping[str, str]
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.entering([sys.executable, "-m", "vm.inside.program", *map(str, words)]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": "tests", **variables},
        )

    def number(self, name: str) -> int | None:
        """Return a file's number; None if it is ``max`` or is not there."""
        with contextlib.suppress(OSError):
            word = (self.folder / name).read_text().strip()
            return int(word) if word.isdigit() else None
        return None

    def table(self, name: str) -> dict[str, int]:
        """Return the lines of a file as ``{key: number}``."""
        words = (self.folder / name).read_text().split()
        return dict(zip(words[::2], map(int, words[1::2]), strict=True))

    def cpu_s(self) -> float:
        """Return the CPU time that was used in it until now."""
        return self.table("cpu.stat")["usage_usec"] / 1e6

    def facts(self) -> dict[str, Any]:
        """Return what the kernel counts in this group now."""
        numbers: dict[str, Any] = {name: self.number(name) for name in _NUMBERS}
        return {"path": self.path} | numbers | {name: self.table(name) for name in _TABLES}


def clear() -> None:
    """Kill what runs in the groups that were made, and remove them."""
    if not _MADE.exists():
        return
    folders = [Path(line) for line in _MADE.read_text().splitlines()]
    _MADE.unlink()
    for folder in folders:
        with contextlib.suppress(OSError):
            (folder / "cgroup.kill").write_text("1")
    for folder in reversed(folders):
        wait_for(partial(_is_removed, folder), f"the end of {folder}")


def _is_removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _switch_on(folder: Path) -> None:
    """Let the groups below a folder have every controller that it has."""
    for controller in (folder / "cgroup.controllers").read_text().split():
        (folder / "cgroup.subtree_control").write_text(f"+{controller}")

"""hpcwatch as a program: run as a user would, with a home of its own and a plain environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from forked import Call, Server

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 180.0
_SCRUBBED = ("PBS_", "SLURM_", "XDG_", "HPCWATCH_", "LC_", "PYTHON")
_SCRUBBED_NAMES = {"NO_COLOR", "COLUMNS", "LINES", "TERM", "LANG", "NCPUS"}


class Ended(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on standard error; fails if there are more, or a traceback."""
        assert "Traceback" not in self.err
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


def plain_environment() -> dict[str, str]:
    """Return this process's environment without what would change what hpcwatch does."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_SCRUBBED) and name not in _SCRUBBED_NAMES
    }
    return {**kept, "PYTHONPATH": str(ROOT)}


def _text(written: bytes) -> str:
    """Return output as `subprocess` gives it."""
    text = written.decode("utf-8", "surrogateescape")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def unpacked(packed: Path, into: Path) -> Path:
    """Return a folder with the parts of a run that is one file, as its folder had them."""
    folder = into / packed.name.removesuffix(".hpcwatch")
    folder.mkdir(parents=True, exist_ok=True)
    kept: dict[str, list[str]] = {"samples.jsonl": []}
    for line in packed.read_text().splitlines(keepends=True):
        start = line.partition(":")[0]
        if start in ('{"run"', '{"report"'):
            ((name, value),) = json.loads(line).items()
            kept[f"{name}.json"] = [json.dumps(value, indent=1), "\n"]
        else:
            name = "events.jsonl" if start == '{"at_s"' else "samples.jsonl"
            kept.setdefault(name, []).append(line)
    for name, lines in kept.items():
        (folder / name).write_text("".join(lines))
    return folder


class Hpcwatch:
    """Runs hpcwatch as a user would, with a home of its own and a plain environment."""

    def __init__(self, folder: Path, server: Server | None = None) -> None:
        self.folder = folder
        self._server = server
        self.home = folder / "home"
        self.runs = self.home / "runs"
        self.environment = {
            **plain_environment(),
            "HPCWATCH_HOME": str(self.home),
            "XDG_CONFIG_HOME": str(folder / "config"),
        }

    def command(self, *arguments: object) -> list[str]:
        """The command line of hpcwatch with these arguments."""
        return [sys.executable, "-m", "hpcwatch", *map(str, arguments)]

    def __call__(self, *arguments: object, **environment: str) -> Ended:
        """Run hpcwatch to its end."""
        call = Call(
            tuple(map(str, arguments)), {**self.environment, **environment}, str(self.folder)
        )
        if self._server is None or not self._server.takes(call):
            return self.shell(self.command(*arguments), **environment)
        done = self._server.run(call, DEADLINE_S)
        return Ended(done.code, _text(done.out), _text(done.err))

    def shell(self, command: Sequence[str], **options: Any) -> Ended:
        """Run any command in the same environment; upper-case options are variables."""
        variables = {name: value for name, value in options.items() if name.isupper()}
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            env={**self.environment, **variables},
            cwd=self.folder,
            timeout=DEADLINE_S,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def configure(self, text: str) -> Path:
        """Write the user's configuration."""
        path = self.folder / "config" / "hpcwatch" / "config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def recorded(self) -> Path:
        """The directory of the only run that was recorded; of one that is one file, a copy."""
        (run,) = self.runs.iterdir()
        return run if run.is_dir() else unpacked(run, self.folder / "unpacked")

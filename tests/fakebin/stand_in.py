"""A scheduler without a cluster: its commands on PATH, answering recorded output."""

from __future__ import annotations

import atexit
import json
import os
import shlex
import shutil
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

FAKE = Path(__file__).with_name("fake.py")
TORQUE = ("qstat", "qdel", "qsub", "qselect")
MAUI = ("checkjob", "showstart")
SLURM = ("scontrol", "squeue", "sacct", "sstat", "scancel", "sbatch", "sinfo")
HELPERS = (*MAUI, "qshow")


@lru_cache(maxsize=1)
def path_without_schedulers() -> tuple[str, ...]:
    """The folders of PATH; those in which a scheduler is installed as links to all else in them."""
    ours = {*TORQUE, *SLURM, *HELPERS}
    found = []
    for folder in dict.fromkeys(os.environ["PATH"].split(":")):
        names = set(os.listdir(folder)) if os.path.isdir(folder) else set[str]()
        if names & ours:
            mirror = tempfile.mkdtemp(prefix="hpcwatch-path-")
            atexit.register(shutil.rmtree, mirror, ignore_errors=True)
            for name in names - ours:
                os.symlink(os.path.join(folder, name), os.path.join(mirror, name))
            folder = mirror
        found.append(folder)
    return tuple(found)


class StandIn:
    """Commands in a folder that is to be put first on PATH."""

    def __init__(self, folder: Path, commands: tuple[str, ...], scenario: dict[str, Any]) -> None:
        self.bin, self.folder = folder / "bin", folder
        self.bin.mkdir(parents=True)
        # This Python, and not the one on PATH, which may be a script that looks for one.
        start = shlex.join([sys.executable, "-S", "-E", str(FAKE)])
        for name in commands:
            (self.bin / name).write_text(f'#!/bin/sh\nexec {start} {name} "$@"\n')
            (self.bin / name).chmod(0o755)
        (folder / "scenario.json").write_text(json.dumps(scenario))

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to find these commands, and no others of a scheduler."""
        path = ":".join([str(self.bin), *path_without_schedulers()])
        return {"PATH": path, "FAKEBIN": str(self.folder)}

    def becomes(self, state: str) -> None:
        """Go on to another state."""
        (self.folder / "state").write_text(state)

    @property
    def calls(self) -> list[str]:
        """All command lines so far."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

"""A scheduler without a cluster: its commands on PATH, answering recorded output."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FAKE = Path(__file__).with_name("fake")
TORQUE = ("qstat", "qdel", "qsub", "qselect", "pbsnodes")
MAUI = ("checkjob", "showstart")
SLURM = ("scontrol", "squeue", "sacct", "sstat", "scancel", "sbatch", "sinfo")


class StandIn:
    """Commands in a folder that is to be put first on PATH."""

    def __init__(self, folder: Path, commands: tuple[str, ...], scenario: dict[str, Any]) -> None:
        self.bin, self.folder = folder / "bin", folder
        self.bin.mkdir(parents=True)
        for name in commands:
            (self.bin / name).symlink_to(FAKE)
        (folder / "scenario.json").write_text(json.dumps(scenario))

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to find these commands, and no others of a scheduler."""
        return {"PATH": f"{self.bin}:{os.environ['PATH']}", "FAKEBIN": str(self.folder)}

    def becomes(self, state: str) -> None:
        """Go on to another state."""
        (self.folder / "state").write_text(state)

    @property
    def calls(self) -> list[str]:
        """All command lines so far."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

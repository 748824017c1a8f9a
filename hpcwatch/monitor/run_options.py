"""What the monitor of a program is asked to do. No dataclass: its import takes milliseconds."""

from __future__ import annotations


class RunOptions:
    """How one program is watched and recorded."""

    def __init__(self) -> None:
        self.name: str | None = None
        """None: the program's."""
        self.interval: float | None = None
        """Seconds between readings; None: as configured."""
        self.output: str | None = None
        """The folder to record in; None: one below the root of all recordings."""
        self.nodes = "all"
        """In a job of several nodes: ``all`` of them, or the ``local`` one only."""
        self.sweep_id: str | None = None
        self.parameters: dict[str, str] | None = None
        """Of a sweep's task: its parameters by name."""

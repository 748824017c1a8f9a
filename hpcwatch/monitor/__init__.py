"""The loops that watch, and the options of a program's monitor.

The options are here because `run` reads them before it starts a program, and a package is loaded
anyway.
They are no dataclass, whose module takes milliseconds to import.
"""

from __future__ import annotations


class RunOptions:
    """How one program is watched and recorded."""

    def __init__(self) -> None:
        self.name: str | None = None
        """None: the program's name."""
        self.interval: float | None = None
        """Seconds between readings; None: as configured."""
        self.output: str | None = None
        """The folder to record in; None: one below the root of all recordings."""
        self.nodes = "all"
        """In a job of several nodes: ``all`` of them, or only the ``local`` one."""
        self.notify: list[str] = []
        """Where messages go, as ``--notify`` says it; empty: as configured."""
        self.cancel_if_idle: float | None = None
        """Cancel the scheduler's job once it did nothing for so many seconds; None: never."""
        self.sweep_id: str | None = None
        self.parameters: dict[str, str] | None = None
        """For a sweep's task: its parameters by name."""

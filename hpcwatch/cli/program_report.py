"""What `hpcwatch run` prints and writes when its program has ended."""

import os
import sys

from hpcwatch.analysis import report
from hpcwatch.monitor import standard_error
from hpcwatch.monitor.run import Observer
from hpcwatch.probe.typed import TYPE_CHECKING, Any, NamedTuple, Optional
from hpcwatch.recording import store
from hpcwatch.views.text import columns_of, fresh_line, shell_line, wants_colour

if TYPE_CHECKING:
    from hpcwatch.cli.rank import Rank
    from hpcwatch.cli.reporting import Wanted
    from hpcwatch.export.exporter import Exporter
    from hpcwatch.export.wanted import Wanted as Export
    from hpcwatch.launch.program import Program
    from hpcwatch.monitor import RunOptions
    from hpcwatch.monitor.run import LiveView, Opening
else:
    Wanted = LiveView = Opening = Program = Any  # types as text would be compiled
    Export = Exporter = Any
    Rank = RunOptions = Any


class Shown(NamedTuple):
    """What is requested to be shown and written, as the options of `hpcwatch run` give it."""

    view: str
    color: str
    report: list[Wanted]
    quiet: bool
    export: Optional[Export] = None
    """Where numbers go while the program runs."""


class Reporter(Observer):
    """The monitor of `hpcwatch run`: its live view, and the report when the program has ended."""

    def __init__(self, options: RunOptions, program: Program, shown: Shown) -> None:
        super().__init__(options, program, self._open_view)
        self._output = options.output
        self._shown = shown
        self._exporter: Optional[Exporter] = None

    def start(self) -> None:
        """Start watching, and exporting if that is requested."""
        super().start()
        if self._shown.export is not None and self._program.exit_status is None:
            self.guarded("not exported", self._export)

    def _export(self) -> None:
        from hpcwatch.cli.exporting import started
        from hpcwatch.export.program import Program as Source

        wanted, run, recent = self._shown.export, self._run, self._events.recent
        if wanted is None or run is None:
            return
        source = Source(
            lambda: self._run or run, self._timeline, self._lock, self._settings, recent
        )
        is_told = not self._shown.quiet
        self._exporter = started([source], wanted, self.say, is_told, is_strict=False)

    def _open_view(self, opening: Opening) -> Optional[LiveView]:
        """Open the live view that ``--view`` and ``--color`` choose; it may be none."""
        kind = "none" if self._shown.quiet else _view_wanted(self._shown.view)
        if kind == "none":
            return None
        from hpcwatch.cli.display import Display

        return Display(kind, self._shown.color, opening)

    def finish(self) -> None:
        """Record the program's end, print the report and write the files that were requested."""
        super().finish()
        made = self.made
        if made is not None:
            self.guarded("no report", lambda: self._tell(made))
        if self._settings.keep is not None:
            self.guarded("old recordings not removed", self._tidy)
        if self._exporter is not None:
            self.guarded("not exported", self._exporter.stop)

    def _tidy(self) -> None:
        from hpcwatch.cli import retention

        retention.tidy(self.say)

    def _tell(self, made: report.Report) -> None:
        shown = self._shown
        text = "" if shown.quiet else self._text(made)
        if text:
            standard_error.write(text)
        if shown.report:
            from hpcwatch.cli import reporting

            reporting.write(made, shown.report, self.say)

    def _text(self, made: report.Report) -> str:
        shown = self._shown
        rank = _own_rank() if not any(one.path is None for one in shown.report) else None
        if rank is not None and rank.number:
            from hpcwatch.base.clean import clean
            from hpcwatch.cli.rank import line

            return clean(line(made, rank, self._named(made)).rstrip()) + "\n"
        if shown.report:
            from hpcwatch.cli import reporting

            text = reporting.printed(made, shown.report, sys.stderr, shown.color)
        else:
            from hpcwatch.views.report import terminal

            is_coloured = wants_colour(sys.stderr, shown.color)
            text = terminal.text(made, is_coloured, columns_of(sys.stderr))
        if not text:
            return ""
        if rank is not None:
            from hpcwatch.cli.rank import advice

            text += advice(rank)
        if sys.stderr is not None and sys.stderr.isatty():
            text = fresh_line(columns_of(sys.stderr)) + text
        if self.saved is not None:
            if not self._output and _is_first(self.saved):
                text += f"Runs are recorded in {store.root()}: hpcwatch runs\n"
            text += f"Again: hpcwatch report {self._named(made)}\n"
        return text

    def _named(self, made: report.Report) -> str:
        """Return what `hpcwatch report` takes for this run; empty if it is not recorded."""
        if self.saved is None:
            return ""
        is_at_home = not self._output or self.saved.path.startswith(store.root() + os.sep)
        return made.run.id if is_at_home else shell_line([self._output or ""])


def _is_first(saved: store.RunDirectory) -> bool:
    """True if there is one recording: where they lie is said once."""
    try:
        with os.scandir(os.path.dirname(saved.path)) as entries:
            return next(entries, None) is not None and next(entries, None) is None
    except OSError:
        return False


_RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID")
"""Variables with a rank's number: Open MPI's, PMIx's, MPICH's and Intel MPI's, srun's."""


def _own_rank() -> Optional[Rank]:
    """Return which rank of an MPI program this is; None if it is the only process."""
    if not any(name in os.environ for name in _RANK_VARIABLES):
        return None  # most runs: what knows launchers is not imported
    from hpcwatch.cli import rank

    return rank.own_rank(os.environ, _RANK_VARIABLES)


def _view_wanted(choice: str) -> str:
    """Return the view that --view requests: by default the panel on a terminal, else none."""
    if sys.stderr is None:
        return "none"
    if choice != "auto":
        return choice
    if _own_rank() is not None:  # ranks share a terminal
        return "none"
    has_terminal = sys.stderr.isatty() or (sys.stdout is not None and sys.stdout.isatty())
    if not has_terminal or os.environ.get("TERM", "dumb") == "dumb":
        return "none"
    # A notebook's cell looks like a terminal, and shows each repaint of a panel as text.
    return "line" if "JPY_PARENT_PID" in os.environ else "panel"

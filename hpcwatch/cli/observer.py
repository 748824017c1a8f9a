"""What watches a program for `hpcwatch run`: session, recording, live view, and the report.

Nothing here may reach the program: each step is guarded, its failure is one line, and the program
runs on.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from hpcwatch import __version__, config, environment, monitor, report, schedulers, store
from hpcwatch.cli import reporting
from hpcwatch.cli.output import write_error
from hpcwatch.cli.program_events import ProgramEvents
from hpcwatch.errors import HpcwatchError, os_reason
from hpcwatch.findings import Severity
from hpcwatch.launch import Program
from hpcwatch.probe.probe import Probe, Target
from hpcwatch.probe.schema import Sample
from hpcwatch.recorder import Recorder
from hpcwatch.report_json import to_json
from hpcwatch.session import LocalSession
from hpcwatch.timeline import Timeline
from hpcwatch.views import terminal
from hpcwatch.views.text import clean, columns_of, fresh_line

if TYPE_CHECKING:
    from hpcwatch.cli.display import Display
    from hpcwatch.cli.neighbours import Neighbours
    from hpcwatch.cli.run import Options
    from hpcwatch.observed import Observed
    from hpcwatch.schedulers.job import Job

LIVE_SAMPLES = 3600  # what the longest window of a live finding needs, at one a second


class Observer:
    """Watches one program from its start to the report."""

    def __init__(self, options: Options, program: Program) -> None:
        self._options = options
        self._program = program
        self._said: set[str] = set()
        self._lock = threading.Lock()
        self._early: list[Sample] = []
        self._marks: list[store.Event] = []
        self._events = ProgramEvents(program.events_descriptor, program.started_s)
        self._is_placed = False
        self._directory: store.RunDirectory | None = None
        self._recorder: Recorder | None = None
        self._session: LocalSession | None = None
        self._neighbours: Neighbours | None = None
        self._display: Display | None = None
        self._settings = config.Settings()
        self._run: store.Run | None = None
        self._timeline = Timeline(1.0)
        self._made: report.Report | None = None

    def start(self) -> None:
        """Begin to watch. Nothing is raised."""
        self._guarded("cannot watch the program", self._start)

    def _guarded(self, what: str, step: Callable[[], None]) -> None:
        """Take a step; its failure is one line, and the program's run goes on."""
        try:
            step()
        except HpcwatchError as error:
            self.say(f"{what}: {error}")
        except OSError as error:
            self.say(f"{what}: {os_reason(error)}")
        except Exception as error:  # a mistake of ours must not end somebody's run of three days
            self.say(f"{what}: {type(error).__name__}: {error}")

    def say(self, message: str) -> None:
        """Say a line on standard error, once."""
        if message in self._said:
            return
        self._said.add(message)
        line = f"hpcwatch: {clean(message)}\n"
        if self._display is None or not self._display.note(line):
            write_error(line)

    def _start(self) -> None:
        self._guarded("configuration ignored", self._configure)
        interval_s = self._options.interval or self._settings.interval_s
        job = schedulers.from_environment(os.environ, _read_text)
        self._timeline = Timeline(interval_s, job, LIVE_SAMPLES)
        program = self._program
        probe = Probe(Target(os.getpid(), program.started_s), program.reaped, program.own_children)
        self._session = LocalSession(probe, interval_s, self._arrived, self._session_failed)
        self._session.start()
        self._run = self._describe(interval_s, job)
        self._guarded("not recorded", self._record)
        with self._lock:
            self._is_placed = True
            for sample in self._early:
                self._keep(sample)
            self._early = []
        self._guarded("no live view", self._show)
        self._guarded("other nodes not watched", lambda: self._watch_others(job, interval_s))

    def _configure(self) -> None:
        self._settings = config.load()

    def _describe(self, interval_s: float, job: Job | None) -> store.Run:
        program = self._program
        name = self._options.name or program_name(program.argv)
        return store.Run(
            id=store.new_id(name, program.started_s),
            name=name,
            kind="run" if self._options.sweep_id is None else "sweep-task",
            argv=list(program.argv),
            cwd=_working_directory(),
            user=monitor.user(),
            hosts=[os.uname().nodename],
            started_at_s=program.started_s,
            interval_s=interval_s,
            hpcwatch_version=__version__,
            monitor_pid=os.getpid(),
            environment=environment.kept(os.environ),
            job=job,
            sweep_id=self._options.sweep_id,
            parameters=self._options.parameters,
        )

    def _record(self) -> None:
        """Make the run's directory: where --output says, else, or if that fails, at home."""
        assert self._run is not None
        if self._options.output is not None:
            try:
                self._place(self._options.output)
                if self._run.sweep_id is None:  # a sweep keeps the list of its tasks itself
                    store.link(self._placed(), self._run.id)
                return
            except (HpcwatchError, OSError) as error:
                self.say(f"{error}; recording in {store.root()} instead")
        self._place(os.path.join(store.root(), self._run.id))

    def _place(self, path: str) -> None:
        assert self._run is not None
        directory = store.RunDirectory.create(path)
        directory.write_run(self._run)
        self._recorder = Recorder(directory, self.say, self._settings.budget_bytes)
        self._directory = directory

    def _placed(self) -> store.RunDirectory:
        assert self._directory is not None
        return self._directory

    def _show(self) -> None:
        kind = _view_wanted(self._options.view)
        if kind == "none":
            return
        from hpcwatch.cli.display import Display

        colour = self._options.color
        self._display = Display(kind, colour, self._timeline, self._program, self._settings)

    def _watch_others(self, job: Job | None, interval_s: float) -> None:
        """In a job of several nodes, have the others read by a process of their own."""
        if self._options.nodes == "local" or job is None or len(job.nodes) <= 1:
            return
        from hpcwatch.cli.neighbours import Neighbours

        self._neighbours = Neighbours.start(self._program, job, interval_s, self)
        if self._neighbours is not None and self._run is not None:
            self._run = self._run._replace(hosts=[*self._run.hosts, *self._neighbours.hosts])

    def arrived_elsewhere(self, sample: Sample) -> None:
        """Take a sample of another node. Called on the neighbours' thread."""
        with self._lock:
            self._timeline.add(sample)
            self._keep(sample)

    def mark(self, event: store.Event) -> None:
        """Note an event with the next sample."""
        self._marks.append(event)

    def _arrived(self, sample: Sample) -> None:
        """Take a sample. Called on the session's thread."""
        with self._lock:
            self._timeline.add(sample)
            if self._is_placed:
                self._guarded("events not read", self._read_events)
                self._keep(sample)
            else:
                self._early.append(sample)
        display = self._display
        if display is not None:
            display.step, display.events = self._events.now(), self._events.recent()
            self._guarded("live view stopped", lambda: display.update(sample))

    def _keep(self, sample: Sample) -> None:
        if self._recorder is not None:
            self._recorder.append(sample)
        self._guarded("event not recorded", self._record_marks)

    def _read_events(self) -> None:
        self._marks += self._events.read()

    def _close_events(self) -> None:
        with self._lock:
            self._marks += self._events.close()
            self._record_marks()

    def _session_failed(self, error: BaseException) -> None:
        self.say(f"monitoring stopped, the program runs on: {type(error).__name__}: {error}")

    def signal_arrived(self, number: int) -> None:
        """Mark a signal, to be recorded with the next sample.

        The caller waits for the program and must not wait for a file system.
        """
        if number != signal.SIGWINCH:
            name = terminal.signal_name(number)
            self._marks.append(store.Event(time.time(), "signal", {"signal": name}))
        elif self._display is not None:
            self._guarded("live view", self._display.resized)

    def _record_marks(self) -> None:
        marks, self._marks = self._marks, []
        if marks and self._directory is not None:
            self._directory.append_events(marks)

    def suspend(self) -> None:
        """Clear the view: we are about to be stopped."""
        if self._display is not None:
            self._guarded("live view", self._display.suspend)

    def resume(self) -> None:
        """Show the view again."""
        if self._display is not None:
            self._guarded("live view", self._display.resume)

    def finish(self) -> None:
        """Read once more, close the recording, and report. The program has ended."""
        if self._neighbours is not None:
            self._guarded("other nodes", self._neighbours.stop)
        if self._session is not None:
            self._guarded("last reading failed", self._session.stop)
        if self._display is not None:
            self._guarded("live view", self._display.close)
            self._display = None
        self._guarded("event not recorded", self._close_events)
        if self._recorder is not None:
            self._guarded("recording not closed", self._recorder.close)
        if self._run is not None:
            self._guarded("no report", self._report)

    def _report(self) -> None:
        assert self._run is not None
        run = self._ended(self._run)
        events = self._directory.read_events() if self._directory is not None else []
        thresholds = self._settings.thresholds_for(run.job.queue if run.job is not None else None)
        made = self._made = report.build(
            run,
            self._whole_timeline(run),
            events,
            0,
            thresholds,
            earlier=_observed_before(run),
            rates=self._settings.rates,
        )
        is_saved = self._save(run, made)
        if run.sweep_id is not None:  # its output is a file of the program's own
            return
        text = reporting.printed(made, self._options.report, sys.stderr, self._options.color)
        if sys.stderr is not None and sys.stderr.isatty():
            text = fresh_line(columns_of(sys.stderr)) + text
        if is_saved:
            is_at_home = self._placed().path.startswith(store.root() + os.sep)
            shown = run.id if is_at_home else shlex.quote(self._options.output or "")
            text += f"Again: hpcwatch report {shown}\n"
        write_error(text)
        reporting.write(made, self._options.report, self.say)

    def count_findings(self, severity: str) -> int | None:
        """Return how many findings of the report are so severe; None if there is none."""
        if self._made is None:
            return None
        least = Severity[severity.upper()]
        return sum(finding.severity >= least for finding in self._made.findings)

    def _save(self, run: store.Run, made: report.Report) -> bool:
        """Write how the run ended, and its report. A full disk is told of once."""
        if self._directory is None or self._recorder is None:
            return False
        try:
            self._directory.write_run(run)
            self._directory.write_report(to_json(made))
        except OSError as error:
            if not self._recorder.has_failed:
                self.say(f"report not saved: {os_reason(error)}")
            return False
        return True

    def _ended(self, run: store.Run) -> store.Run:
        program = self._program
        assert program.exit_status is not None
        code = os.waitstatus_to_exitcode(program.exit_status)
        ended = program.reaped()
        user, system = ended.user_s, ended.system_s
        host = self._timeline.hosts.get(os.uname().nodename)
        last = host.last.job if host is not None and host.last is not None else None
        if last is not None:  # with what still lives: daemons that outlast the program
            user, system = max(user, last.cpu_user_s or 0), max(system, last.cpu_system_s or 0)
        return run._replace(
            ended_at_s=program.ended_s,
            wall_s=program.ended_uptime_s - program.started_uptime_s,
            exit_code=None if code < 0 else code,
            signal=-code if code < 0 else None,
            cpu_user_s=user,
            cpu_system_s=system,
            memory_peak_bytes=ended.peak_bytes,
            monitor_cpu_s=time.process_time() + program.helpers_cpu_s,
            monitor_memory_bytes=monitor.memory_bytes(),
        )

    def _whole_timeline(self, run: store.Run) -> Timeline:
        """The live timeline if it still holds everything, else the recording's."""
        is_whole = all(
            host.reading_count == len(host.at_s) for host in self._timeline.hosts.values()
        )
        if is_whole or self._recorder is None or self._recorder.has_failed:
            return self._timeline
        timeline = Timeline(run.interval_s, run.job)
        timeline.add_all(one for one in self._placed().read_samples() if one is not None)
        return timeline


def program_name(argv: list[str]) -> str:
    """Name a run after its program: the script's name where an interpreter runs one."""
    name = os.path.basename(argv[0]) or "run"
    if not name.startswith(("python", "bash", "sh", "Rscript", "julia", "perl")):
        return name
    for position, word in enumerate(argv[1:], 2):
        if word == "-c":
            return name
        if word == "-m" and position < len(argv):
            return argv[position]
        if not word.startswith("-"):
            return os.path.splitext(os.path.basename(word))[0] or name
    return name


def _view_wanted(choice: str) -> str:
    """Return what --view asks for: by default the panel on a terminal, else nothing."""
    if sys.stderr is None:
        return "none"
    if choice != "auto":
        return choice
    has_terminal = sys.stderr.isatty() or (sys.stdout is not None and sys.stdout.isatty())
    return "panel" if has_terminal and os.environ.get("TERM", "dumb") != "dumb" else "none"


def _read_text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return None


def _observed_before(run: store.Run) -> list[Observed]:
    """Return what earlier runs of the program showed; nothing outside of a job."""
    if run.job is None:
        return []
    from hpcwatch.reading import observed_before

    return observed_before(run)


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed under us
        return "(removed)"

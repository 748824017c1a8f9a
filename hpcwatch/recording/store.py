"""A run on disk: create, append, read.

A run is a directory of its own: ``run.json`` (what and where), ``samples.jsonl`` and
``events.jsonl`` (append only), ``report.json`` at the end. At its end a short run becomes one file,
``RUN.hpcwatch``: homes have a quota of files. It has a line of its own for the run and for the
report, then the lines of ``events.jsonl`` and ``samples.jsonl`` as they were; ``parts`` reads both
forms. No database: home directories are on network file systems, where SQLite's locks fail.
"""

import os
import time

from hpcwatch.base import config_files, files
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError, os_reason
from hpcwatch.base.files import Reserve
from hpcwatch.probe.encode import to_text
from hpcwatch.probe.schema import Sample, from_line, names_of
from hpcwatch.probe.typed import (
    TYPE_CHECKING,
    Any,
    Callable,
    Iterator,
    NamedTuple,
    Optional,
    Union,
)
from hpcwatch.recording import masking

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job
    from hpcwatch.recording.parts import Part
else:
    Job = Any  # of a record's types that are text the first costs a millisecond

RUN_VERSION = 1
RUN_FILE, SAMPLES_FILE, EVENTS_FILE, REPORT_FILE = (
    "run.json",
    "samples.jsonl",
    "events.jsonl",
    "report.json",
)

PACKED_END = ".hpcwatch"
"""The end of the name of a run that is one file."""
PACKED_MOST_BYTES = 1 << 20
"""A larger run keeps its folder: 10 minutes with a reading a second, 1.6 KB each. At its end all of
it is written anew, which must not take long on a network file system."""
_SYNCED_AFTER_S = 30.0
"""The kernel itself writes what is older to the disk (vm.dirty_expire_centisecs): it stays there,
whatever happens to the node."""

_RUN_MOST_BYTES = 64 << 20
_RUN_RESERVE_BYTES, _REPORT_RESERVE_BYTES = 16 << 10, 128 << 10


class Run(NamedTuple):
    """One recorded observation. Times are seconds since the epoch."""

    id: str
    name: str
    kind: str
    """``run``, ``job`` or ``sweep-task``."""
    argv: list[str]
    cwd: str
    user: str
    hosts: list[str]
    started_at_s: float
    interval_s: float
    hpcwatch_version: str
    monitor_pid: int
    environment: dict[str, str]
    """Only names on the allow-list, never what looks like a secret."""
    job: Optional[Job] = None
    ended_at_s: Optional[float] = None
    """None while it runs, and permanently if the monitor was killed."""
    wall_s: Optional[float] = None
    exit_code: Optional[int] = None
    signal: Optional[int] = None
    cpu_user_s: Optional[float] = None
    """The kernel's accounting of all children waited for, plus the processes alive at the end."""
    cpu_system_s: Optional[float] = None
    memory_peak_bytes: Optional[int] = None
    """The largest resident set of any single process that was waited for."""
    monitor_cpu_s: Optional[float] = None
    monitor_cpu_before_s: Optional[float] = None
    """The part of it before the program started."""
    monitor_memory_bytes: Optional[int] = None
    monitor_host: Optional[str] = None
    """The monitor's host, if it is not the one host it watches."""
    sweep_id: Optional[str] = None
    parameters: Optional[dict[str, str]] = None
    """For a sweep's task: its combination of parameters."""
    unclear: Optional[str] = None
    """Names of fields whose stored values were out of range."""
    version: int = RUN_VERSION

    @property
    def how(self) -> str:
        """How it ended: ``ok``, ``exit 3``, ``signal 9`` or ``unfinished``."""
        if self.ended_at_s is None:
            return "unfinished"
        from hpcwatch.base.signals import how_ended

        return how_ended(self.exit_code, self.signal)

    def masked(self) -> "Run":
        """Return the run as it may be written."""
        if not masking.is_on():
            return self
        job = self.job
        if job is not None:
            fields: dict[str, Any] = job._asdict()
            texts = {
                name: masking.masked_text(one) for name, one in fields.items() if type(one) is str
            }
            job = job._replace(**{**fields, **texts})
        return self._replace(
            argv=masking.masked_words(self.argv),
            environment=masking.masked_fields(self.environment),
            parameters=None if self.parameters is None else masking.masked_fields(self.parameters),
            job=job,
        )


class Event(NamedTuple):
    """A mark in a run's time: a phase, an epoch, a signal, a node lost or found."""

    at_s: float
    name: str
    fields: dict[str, Any]

    def masked(self) -> "Event":
        """Return the event as it may be written."""
        name, fields = masking.masked_text(self.name), masking.masked_fields(self.fields)
        return self._replace(name=name, fields=fields)


def event_from(line: Union[str, bytes]) -> Optional[Event]:
    """Return the event in a line of a recording; None if the line is torn or foreign."""
    import json

    from hpcwatch.probe.decode import build

    try:
        event: Event = build(Event, json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
    return event._replace(fields={name: _fitting(name, one) for name, one in event.fields.items()})


def _fitting(name: str, value: Any) -> Any:
    """Return an event's value; impossible numbers and nested values become text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, list, dict)):
        return value
    if isinstance(value, (list, dict)):
        return "[…]" if isinstance(value, list) else "{…}"
    from hpcwatch.events import fitting
    from hpcwatch.probe.ranges import fits, has_unit

    is_wrong = has_unit(name) and not fits(name, value)
    return str(value)[:80] if is_wrong else fitting(value)


def root() -> str:
    """Return the folder of all runs: $HPCWATCH_HOME, storage.root, else the XDG state directory."""
    home = os.environ.get("HPCWATCH_HOME") or config_files.storage_root()
    if not home:
        state = os.environ.get("XDG_STATE_HOME") or os.path.join("~", ".local", "state")
        home = os.path.join(state, "hpcwatch")
    return os.path.join(os.path.abspath(os.path.expanduser(home)), "runs")


def new_id(name: str, at_s: float) -> str:
    """Return a readable id that sorts by time: ``20261123-141502-python-71a3c0``.

    Its end distinguishes runs that start in the same second, on one node or on several.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(at_s))
    mark = hash((os.uname().nodename, os.getpid(), at_s)) & 0xFFFFFF
    return f"{stamp}-{name_letters(name)}-{mark:06x}"


def name_letters(name: str) -> str:
    """Return the letters of a run's name that its id holds."""
    letters = "".join(c if c.isalnum() and c.isascii() else "-" for c in name)[:24].strip("-")
    return letters or "run"


class RunDirectory:
    """One run's directory."""

    def __init__(self, path: str) -> None:
        """``path`` names the folder, also of a run that is one file now, or that file.

        A folder may be called like such a file, too: ``--output mine.hpcwatch``.
        """
        is_file = path.endswith(PACKED_END) and not os.path.isdir(path)
        self.path = path.removesuffix(PACKED_END) if is_file else path
        self.packed = self.path.rstrip(os.sep) + PACKED_END
        """The path of the one file, which is there or not."""
        self._may_have_events = True
        self._reserve: Optional[Reserve] = None

    @property
    def place(self) -> str:
        """The path at which it lies now: the folder's or the one file's."""
        is_packed = os.path.lexists(self.packed) and not os.path.lexists(self.file(RUN_FILE))
        return self.packed if is_packed else self.path

    def file(self, name: str) -> str:
        """Return the path of one of its files."""
        return os.path.join(self.path, name)

    @classmethod
    def create(cls, path: str) -> "RunDirectory":
        """Make the directory, mode 0700.

        Raises HpcwatchError if it cannot be made or holds files already.
        """
        try:
            is_used = not files.make_private(path) and bool(os.listdir(path))
        except OSError as error:
            raise HpcwatchError(f"cannot record in {path}", os_reason(error)) from None
        if is_used:
            what = "another run" if os.path.exists(os.path.join(path, RUN_FILE)) else "other files"
            raise HpcwatchError(f"cannot record in {path}", f"it holds {what}")
        made = cls(path)
        made._may_have_events = False
        return made

    def reserve(self) -> None:
        """Reserve the disk space that the run's end needs: by then the disk may be full."""
        size_bytes = _RUN_RESERVE_BYTES + _REPORT_RESERVE_BYTES
        self._reserve = Reserve(self.file(REPORT_FILE), size_bytes)

    def discard(self) -> None:
        """Remove what was made of a run that cannot be recorded."""
        if self._reserve is not None:
            self._reserve.drop()
        files.discard_folder(self.path, (RUN_FILE, SAMPLES_FILE))

    def write_run(self, run: Run) -> None:
        """Replace run.json. Raises OSError."""
        path, text = self.file(RUN_FILE), to_text(run.masked(), "\n") + "\n"
        try:
            if run.ended_at_s is not None and self._reserve is not None:
                self._reserve.shrink(_REPORT_RESERVE_BYTES)
            files.replace(path, text)
        except OSError:
            if run.ended_at_s is None or self._reserve is None:
                raise
            # Another process took the space. A report can be made again, a run's end cannot.
            reserve, self._reserve = self._reserve, None
            reserve.fill(text, path)

    def write_report(self, text: str) -> None:
        """Replace report.json. Raises OSError."""
        reserve, self._reserve = self._reserve, None
        if reserve is not None:
            reserve.fill(text + "\n", self.file(REPORT_FILE))
        else:
            files.replace(self.file(REPORT_FILE), text + "\n")

    def pack(self, run: Run, report: Callable[[], str]) -> bool:
        """Make one file of an ended run and its report (JSON), unless it is too long for that.

        The file gets its name in one step; then the folder goes. Readers take what is still in the
        folder and then the file, so that a monitor killed between any two steps leaves one run.
        Returns False, and leaves the folder as it was, if that is not possible here.
        """
        reserve = self._reserve
        written = [RUN_FILE, SAMPLES_FILE]
        try:
            samples, events = self._own_bytes(SAMPLES_FILE), b""
            if self._may_have_events:
                events = self._own_bytes(EVENTS_FILE)
                written.append(EVENTS_FILE)
        except OSError:
            return False
        if reserve is None or len(samples) + len(events) >= PACKED_MOST_BYTES:
            return False
        data = packed(to_text(run.masked()), report(), events, samples)
        if len(data) > PACKED_MOST_BYTES or not reserve.has_room_for(len(data)):
            return False
        self._reserve = None
        try:
            reserve.become(self.packed, data, (run.wall_s or 0.0) > _SYNCED_AFTER_S)
        except OSError:
            return False
        self._may_have_events = True
        files.discard_folder(self.path, written)
        return True

    def _own_bytes(self, name: str) -> bytes:
        return files.own_bytes(self.file(name), PACKED_MOST_BYTES)

    def append_event(self, event: Event) -> None:
        """Append one event. Raises OSError."""
        self.append_events([event])

    def append_events(self, events: list[Event]) -> None:
        """Append events with one write. Raises OSError."""
        import json

        masked = [event.masked() for event in events]
        text = "".join(json.dumps(event._asdict()) + "\n" for event in masked)
        self._may_have_events = True
        files.append(self.file(EVENTS_FILE), text.encode())

    def part(self, name: str) -> "Part":
        """Open one of its files, or what it became. Raises OSError."""
        from hpcwatch.recording import parts

        return parts.opened(self.path, self.packed, name)

    def read_run(self) -> Run:
        """Read run.json. Raises HpcwatchError if it is missing or not hpcwatch's."""
        from hpcwatch.base import reading

        path = self.file(RUN_FILE)
        try:
            return reading.current(self._stored_run)
        except FileNotFoundError:
            hint = "name a run directory, a run's id, or nothing for the latest"
            raise HpcwatchError(f"no run in {self.path}", hint, EXIT_USAGE) from None
        except OSError as error:
            path = error.filename or path
            raise HpcwatchError(f"cannot read {path}", os_reason(error), EXIT_USAGE) from None
        except (ValueError, KeyError, TypeError, RecursionError):
            hint = "it is damaged or not hpcwatch's"
            raise HpcwatchError(f"cannot read {self.place}", hint, EXIT_USAGE) from None

    def _stored_run(self) -> Run:
        from hpcwatch.recording import parts

        part = self.part(RUN_FILE)
        run = _run_in(part)
        if run.ended_at_s is None and not part.is_packed:
            # Its monitor may have been killed before it removed the folder of the packed run.
            packed = parts.opened_packed(self.path, self.packed, RUN_FILE)
            run = _run_in(packed) if packed is not None else run
        return run

    def read_samples(self) -> Iterator[Optional[Sample]]:
        """Yield each sample; None for a line that is torn or foreign."""
        from hpcwatch.recording import parts

        try:
            for line in parts.sample_lines(self.path, self.packed):
                try:
                    yield from_line(line.decode("utf-8", "replace"))
                except ValueError:
                    yield None
        except FileNotFoundError:
            return
        except OSError as error:
            raise HpcwatchError(f"cannot read {self.place}", os_reason(error)) from None

    def read_events(self) -> list[Event]:
        """Return the events that can be read."""
        if not self._may_have_events:  # as of most runs
            return []
        from hpcwatch.base import reading

        try:
            lines = reading.current(lambda: list(self.part(EVENTS_FILE).events()))
        except OSError:
            return []  # a report without them is better than none
        return [event for event in map(event_from, lines) if event is not None]

    def report_part(self, *names: str) -> Any:
        """Return the value of a key in report.json, or of a key of that value; None without one.

        None as well if the report is missing or damaged. Without names, all of the report.
        """
        from hpcwatch.base import reading

        try:
            found = reading.current(lambda: self.part(REPORT_FILE).document())
        except (OSError, ValueError):
            return None
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        return found


def packed(run: str, report: str, events: bytes, samples: bytes) -> bytes:
    """Return the content of the one file. A text in JSON holds no line's end."""
    one_line = "".join([line.lstrip() for line in report.split("\n")])
    head = f'{{"run":{run}}}\n{{"report":{one_line}}}\n'
    gap = b"\n" if events and not events.endswith(b"\n") else b""
    return head.encode("utf-8", "backslashreplace") + events + gap + samples


def _run_in(part: "Part") -> Run:
    """Return the run in an open file. Raises OSError, ValueError, KeyError, TypeError."""
    written_at_s = part.written_at_s
    plain = part.document(_RUN_MOST_BYTES)
    if plain["version"] > RUN_VERSION:
        raise HpcwatchError(f"{part.path} was written by a newer hpcwatch", "update hpcwatch")
    return _run_from(plain, written_at_s)


def _run_from(plain: dict[str, Any], written_at_s: float) -> Run:
    """Build a run; required values that are out of range are replaced by valid ones."""
    from hpcwatch.cluster.schedulers.job import Job
    from hpcwatch.probe.decode import build
    from hpcwatch.probe.ranges import fits

    odd: list[str] = []
    instead = {"started_at_s": written_at_s, "interval_s": 1.0, "monitor_pid": 0}
    for name, value in instead.items():
        told = plain[name]
        if isinstance(told, (int, float)) and not isinstance(told, bool) and not fits(name, told):
            odd.append(name)
            plain = {**plain, name: value}
    run: Run = build(Run, plain, {"job": Optional[Job]}, odd)
    if run.interval_s <= 0:
        raise ValueError("no interval")
    return run._replace(
        argv=masking.masked_words(run.argv),  # from a version without masking
        unclear=names_of(odd) if odd else run.unclear,
    )


def link(directory: RunDirectory, run_id: str) -> None:
    """Add a run recorded elsewhere (--output) to the list of runs."""
    folder = root()
    try:
        files.make_private(folder)
        os.symlink(os.path.abspath(directory.path), os.path.join(folder, run_id))
    except OSError:
        pass  # it is found by its path

"""Appends samples to a run, within a budget of bytes, however long the run lasts.

When the budget is used up, neighbouring samples are merged in pairs, which halves the file, and
from then on twice as many samples go into one line. A merged line keeps the last values of counters
and the minimum, mean and maximum of gauges, so that no spike is lost. The sampling rate does not
change.

A full disk stops nothing: pending samples wait, merged into one line, until there is space.
"""

import _thread
import errno
import os

from hpcwatch.base import files
from hpcwatch.base.errors import os_reason
from hpcwatch.probe.schema import (
    Cgroup,
    Gpu,
    JobUse,
    Node,
    Process,
    RankUse,
    Sample,
    Window,
    from_line,
    to_line,
)
from hpcwatch.probe.typed import TYPE_CHECKING, Any, Callable, Iterator, NamedTuple, Optional
from hpcwatch.recording import metrics
from hpcwatch.recording.job_memory import gauge_of_used, job_used_bytes
from hpcwatch.recording.masking import masked_sample
from hpcwatch.recording.store import SAMPLES_FILE, RunDirectory

if TYPE_CHECKING:
    import threading


BUDGET_BYTES = 32 << 20
MOST_PROCESSES = 24

GAUGES = {part: metrics.gauges(part) for part in ("node", "cgroup", "job", "gpu")}
"""Part of a sample -> its gauges, which rise and fall. All other numbers are counters."""

_RECORDS: dict[str, Any] = {"node": Node, "cgroup": Cgroup, "job": JobUse, "gpu": Gpu}


def _placed(part: str) -> tuple[list[tuple[str, int]], tuple[str, ...]]:
    """Return a part's gauges with their places in its record, and those without a field there."""
    places, others = metrics.places(_RECORDS[part], GAUGES[part])
    return [(_RECORDS[part]._fields[place], place) for place in places], others


_PLACES = {part: _placed(part) for part in GAUGES}

Extremes = tuple[float, float, float]


class Size(NamedTuple):
    """The size of a recording that was thinned."""

    used_bytes: int
    line_count: int
    host_count: int


_GONE = (errno.EBADF, errno.EIO, errno.ENOENT, errno.ENOTCONN, errno.ESTALE)
"""After such an error the descriptor is useless, although the file may come back."""
_MOST_BUDGETS = 4
"""The most budgets that a file which cannot be thinned may use; then recording stops."""


class Recorder:
    """Writes one run's samples. Its failure is reported once and stops nothing else."""

    def __init__(
        self,
        directory: RunDirectory,
        failed: Callable[[str], None],
        budget_bytes: int = BUDGET_BYTES,
        stride_count: int = 1,
    ) -> None:
        """Open the file; ``stride_count`` readings go into a line. Raises OSError."""
        self._path = directory.file(SAMPLES_FILE)
        self._failed = failed
        self._budget_bytes = budget_bytes
        self._descriptor: Optional[int] = files.append_to(self._path)
        self._has_stopped = self._is_closed = False
        self._trouble = ""
        """Why the latest write failed; empty if it succeeded."""
        self._is_torn = False
        """The file ends in a partial line."""
        self._most_bytes = _MOST_BUDGETS * budget_bytes
        self._used_bytes = 0
        self._stride = stride_count
        self._pending: dict[str, Sample] = {}
        self._lock = _thread.allocate_lock()
        self._thinning: Optional[threading.Thread] = None
        self._backlog: list[Sample] = []

    @property
    def has_failed(self) -> bool:
        """True while samples are not on disk yet, and permanently once recording has stopped."""
        return self._has_stopped or bool(self._trouble)

    def append(self, sample: Sample) -> None:
        """Record a sample, merged with its neighbours if the run is long."""
        with self._lock:
            if self._thinning is not None:
                self._backlog.append(sample)
                return
            self._store(sample)
            if self._is_over_budget():
                self._start_thinning()

    def _start_thinning(self) -> None:
        """Thin the file on a thread of its own; if none can start (ulimit -u), try again later."""
        import threading  # most recordings stay small

        thread = threading.Thread(target=self._thin, name="hpcwatch-thin", daemon=True)
        try:
            thread.start()  # it needs our lock before it can end
        except RuntimeError as error:
            self._postpone(str(error), is_for_now=True)
        else:
            self._thinning = thread

    def _postpone(self, reason: str, is_for_now: bool) -> None:
        """Let the file grow for a while instead of thinning it, or stop recording."""
        if self._used_bytes < self._most_bytes and is_for_now:
            self._failed(f"recording is not thinned out: {reason}")
            self._budget_bytes = self._used_bytes + self._budget_bytes // 2
        else:
            self._give_up(reason)

    def _is_over_budget(self) -> bool:
        return not self.has_failed and self._used_bytes > self._budget_bytes

    def _store(self, sample: Sample) -> None:
        """Write a sample, or keep it until it holds as many readings as other lines."""
        pending = self._pending.pop(sample.host, None)
        merged = sample if pending is None else merge(pending, sample)
        if count(merged) < self._stride:
            self._pending[sample.host] = merged
        else:
            self._write(merged)

    def _write(self, sample: Sample) -> None:
        """Write a sample; if that fails it waits for the next one, which is merged with it."""
        if self._has_stopped or self._is_closed:
            return
        try:
            if self._descriptor is None:
                self._descriptor = files.append_to(self._path)
            self._used_bytes += self._append(self._descriptor, _line(sample))
        except OSError as error:
            self._pause(error)
            self._pending[sample.host] = sample
            return
        if self._trouble:
            self._trouble = ""
            self._failed("recording goes on")

    def _append(self, descriptor: int, line: bytes) -> int:
        """Append a line and return its length; on a full disk remove the part that was written."""
        line = b"\n" + line if self._is_torn else line
        written = os.write(descriptor, line)
        if written != len(line):
            self._is_torn = True
            os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
            self._is_torn = False
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._is_torn = False
        return written

    def _pause(self, error: OSError) -> None:
        reason = os_reason(error)
        if reason != self._trouble:
            self._trouble = reason
            self._failed(f"recording waits: {reason}")
        if error.errno in _GONE:
            self._close_file()

    def _close_file(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            try:  # noqa: SIM105 - contextlib takes long to import
                os.close(descriptor)
            except OSError:
                pass  # it is closed all the same

    def _give_up(self, reason: str) -> None:
        if not self._has_stopped:
            self._close_file()
            self._has_stopped = True
            self._failed(f"recording stopped: {reason}")

    def _thin(self) -> None:
        """Halve the file until it and new samples fit the budget. Runs on its own thread."""
        while True:
            reason, is_for_now = "", False
            size = Size(0, 0, 0)
            try:
                size = self._write_thinned()
            except OSError as error:
                reason, is_for_now = os_reason(error), True
            except Exception as error:  # a bug of ours: the recording stays as it is
                reason = f"{type(error).__name__}: {error}"
            with self._lock:
                if not reason:
                    self._reopen(size)
                else:
                    self._postpone(reason, is_for_now)
                while self._backlog and not self._is_over_budget():
                    self._store(self._backlog.pop(0))
                if not self._is_over_budget():
                    self._thinning = None
                    return

    def _write_thinned(self) -> Size:
        """Merge the file's lines in pairs into a new file, put it in place, return its size."""
        temporary = files.beside(self._path)
        used_bytes = line_count = 0
        hosts = set()
        try:
            target = files.create(temporary)
            try:
                for sample in self._merged_pairs():
                    line = _line(sample)
                    files.write_all(target, line)
                    used_bytes += len(line)
                    line_count += 1
                    hosts.add(sample.host)
            finally:
                os.close(target)
            files.move(temporary, self._path)
        except BaseException:
            files.discard(temporary)
            raise
        return Size(used_bytes, line_count, len(hosts))

    def _reopen(self, size: Size) -> None:
        """Continue in the file that replaced the old one."""
        self._close_file()  # the next line reopens it
        self._used_bytes = size.used_bytes
        self._stride *= 2
        if size.line_count <= 2 * size.host_count:
            # This few lines cannot be merged further: a larger file is better than endless
            # attempts.
            self._budget_bytes = max(self._budget_bytes, 4 * size.used_bytes)

    def _merged_pairs(self) -> Iterator[Sample]:
        from hpcwatch.base import reading

        waiting: dict[str, Sample] = {}
        for line in reading.lines(self._path):
            try:
                sample = from_line(line.decode("utf-8", "replace"))
            except ValueError:
                continue
            first = waiting.pop(sample.host, None)
            if first is None:
                waiting[sample.host] = sample
            else:
                yield merge(first, sample)
        yield from waiting.values()

    def close(self) -> None:
        """Write what is pending and close the file."""
        thinning = self._thinning
        if thinning is not None:
            thinning.join()
        with self._lock:
            pending, self._pending = self._pending, {}
            for sample in pending.values():
                self._write(sample)
            self._is_closed = True
            self._close_file()


def _line(sample: Sample) -> bytes:
    return (to_line(masked_sample(sample)) + "\n").encode()


def count(sample: Sample) -> int:
    """Return how many readings a sample holds."""
    return sample.window.sample_count if sample.window else 1


def merge(first: Sample, second: Sample) -> Sample:
    """Merge two consecutive samples of one host into one."""
    counts = count(first), count(second)
    before, after = _extremes(first), _extremes(second)
    gauges = dict(before)
    for name, value in after.items():
        gauges[name] = _combine(before[name], value, *counts) if name in before else value
    errors = {**(first.errors or {}), **(second.errors or {})}
    window = Window(
        started_at_s=first.window.started_at_s if first.window else first.at_s,
        sample_count=sum(counts),
        gauges=gauges,
    )
    return second._replace(
        node=second.node or first.node,
        cgroup=second.cgroup or first.cgroup,
        job=second.job or first.job,
        rest=second.rest or first.rest,
        processes=_merge_processes(first.processes, second.processes),
        gpus=_merge_gpus(first.gpus, second.gpus),
        exported=second.exported or first.exported,
        ranks=merge_ranks(first.ranks, second.ranks),
        errors=errors or None,
        window=window,
    )


def _merge_gpus(first: Optional[list[Gpu]], second: Optional[list[Gpu]]) -> Optional[list[Gpu]]:
    """Keep each device's last state, with the reasons for lower clocks of both samples."""
    if first is None or second is None:
        return second if second is not None else first
    before = {gpu.uuid: gpu.clocks_held_by for gpu in first}
    merged = []
    for gpu in second:
        reasons = [*(before.get(gpu.uuid) or ()), *(gpu.clocks_held_by or ())]
        merged.append(gpu._replace(clocks_held_by=list(dict.fromkeys(reasons))) if reasons else gpu)
    return merged


def merge_ranks(
    first: Optional[list[RankUse]], second: Optional[list[RankUse]]
) -> Optional[list[RankUse]]:
    """Keep every rank of both, with the most of each figure: a rank may have ended meanwhile."""
    if not first or not second:
        return second or first
    known = {one.rank: one for one in first}
    for one in second:
        before = known.get(one.rank, one)
        known[one.rank] = RankUse(
            one.rank,
            max(before.process_count, one.process_count),
            max(before.cpu_s, one.cpu_s),
            max(before.peak_bytes, one.peak_bytes),
        )
    return [known[rank] for rank in sorted(known)]


def _combine(a: Extremes, b: Extremes, count_a: int, count_b: int) -> Extremes:
    mean = (a[1] * count_a + b[1] * count_b) / (count_a + count_b)
    return min(a[0], b[0]), mean, max(a[2], b[2])


def _extremes(sample: Sample) -> dict[str, Extremes]:
    """Return minimum, mean and maximum of every known gauge of a sample."""
    gauges = _instant(sample)
    if sample.window is not None:
        for name, (low, mean, high) in sample.window.gauges.items():
            gauges[name] = low, mean, high
    return gauges


def _instant(sample: Sample) -> dict[str, Extremes]:
    parts: list[tuple[str, str, Any]] = [
        ("node", "node", sample.node),
        ("cgroup", "cgroup", sample.cgroup),
        ("job", "job", sample.job),
    ]
    parts += [(f"gpu.{gpu.uuid}", "gpu", gpu) for gpu in sample.gpus or []]
    found = {}
    for prefix, kind, record in parts:
        if record is None:
            continue
        own, others = _PLACES[kind]
        for name, place in own:
            value = record[place]
            if value is not None:
                found[f"{prefix}.{name}"] = (value, value, value)
        for name in others:
            value = metrics.value_of(record, name)
            if value is not None:
                found[f"{prefix}.{name}"] = (value, value, value)
    if gauge_of_used(sample) == "whole.used_bytes":
        used = job_used_bytes(sample)
        if used is not None:
            found["whole.used_bytes"] = (used, used, used)
    return found


def _merge_processes(
    first: Optional[list[Process]], second: Optional[list[Process]]
) -> Optional[list[Process]]:
    """Keep all processes of both, each with its latest counters and the argv that came once."""
    if first is None or second is None:
        return second or first
    known = {process.pid: process for process in first}
    for process in second:
        earlier = known.get(process.pid)
        argv = process.argv
        if earlier is not None and argv is None and process.name == earlier.name:
            argv = earlier.argv
        known[process.pid] = process if argv is process.argv else process._replace(argv=argv)
    if len(known) <= MOST_PROCESSES:
        return list(known.values())

    def weight(process: Process) -> float:
        cpu_s = (process.cpu_user_s or 0.0) + (process.cpu_system_s or 0.0)
        return cpu_s + (process.peak_bytes or process.rss_bytes or 0) / 1e9

    return sorted(known.values(), key=weight, reverse=True)[:MOST_PROCESSES]

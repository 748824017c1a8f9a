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
from hpcwatch.probe.schema import Sample, from_line, to_line
from hpcwatch.probe.typed import TYPE_CHECKING, Callable, Iterator, NamedTuple, Optional
from hpcwatch.recording.masking import masked_sample
from hpcwatch.recording.store import SAMPLES_FILE, RunDirectory

if TYPE_CHECKING:
    import threading

    from hpcwatch.recording.pending import Pending

BUDGET_BYTES = 32 << 20


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
        self._pending: dict[str, Pending] = {}
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
        pending = self._pending.get(sample.host)
        if pending is not None:
            pending.add(sample)
        elif self._stride > 1:
            pending = self._keep(sample)
        if pending is None:
            self._write(sample)
        elif pending.count >= self._stride:
            self._write(self._pending.pop(sample.host).merged())

    def _keep(self, sample: Sample) -> "Pending":
        from hpcwatch.recording.pending import Pending  # most recordings keep nothing

        made = self._pending[sample.host] = Pending(sample)
        return made

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
            self._keep(sample)
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
        from hpcwatch.recording.merging import merge

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
            for one in pending.values():
                self._write(one.merged())
            self._is_closed = True
            self._close_file()


def _line(sample: Sample) -> bytes:
    return (to_line(masked_sample(sample)) + "\n").encode()

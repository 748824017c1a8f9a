"""Running sums over processes: only the shares of changed processes are replaced."""

from .typed import List, NamedTuple, Optional


class Share(NamedTuple):
    """What one process adds to the job's sums. Whole numbers: no rounding adds up in years."""

    user_ticks: int = 0
    system_ticks: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    unknown_io_count: int = 0
    """1 if its volumes may not be read."""
    process_count: int = 0
    thread_count: int = 0
    runnable_count: int = 0
    blocked_count: int = 0
    swap_bytes: int = 0


class Reaped(NamedTuple):
    """What the kernel accounted for children that this process waited for (wait4)."""

    user_s: float = 0.0
    system_s: float = 0.0
    read_bytes: int = 0
    written_bytes: int = 0
    peak_bytes: Optional[int] = None


class Totals:
    """The sum of all shares, and the largest high-water mark of any process ever."""

    def __init__(self) -> None:
        self._sums: List[int] = [0] * len(Share._fields)
        self.peak_bytes = 0

    def put_in(self, share: Share) -> None:
        """Add a process's share."""
        sums = self._sums
        for index, value in enumerate(share):
            sums[index] += value

    def take_out(self, share: Optional[Share]) -> None:
        """Remove a share; None was never added."""
        sums = self._sums
        for index, value in enumerate(share or ()):
            sums[index] -= value

    def saw_peak(self, size_bytes: int) -> None:
        """Note a process's high-water mark."""
        self.peak_bytes = max(self.peak_bytes, size_bytes)

    def sum(self) -> Share:
        """Return the present sums."""
        return Share(*self._sums)

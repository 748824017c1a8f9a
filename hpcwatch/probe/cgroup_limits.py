"""The memory limit and the CPU quota that bind a control group, and what counts against them.

Every level between a process and the root limits it. The one that binds is the one that leaves
the least room: its limit and its use belong to the same group.
"""

import os
import time

from .cgroup_files import NO_LIMIT_BYTES, groups_below, number_of, table_of
from .cgroup_paths import Place
from .typed import Callable, Dict, List, NamedTuple, Optional, Tuple

_LOOK_S = 10.0
"""Seconds between searches for limits, which hardly ever change."""
_GROUPS_MOST = 64  # below a job's, whose limits are read: 20 µs each


class Binding(NamedTuple):
    """The limit that binds, in bytes. None: unknown, or there is none."""

    limit_bytes: Optional[int] = None
    path: Optional[str] = None
    """The group that has the limit, as the visible hierarchy names it."""
    used_bytes: Optional[int] = None
    peak_bytes: Optional[int] = None


class Limits:
    """Finds the limits that apply to a group's processes, and reads what counts against each."""

    def __init__(
        self,
        place: Place,
        limit_file: str,
        peak_file: str,
        used: Callable[[Dict[str, int]], Optional[int]],
    ) -> None:
        """``used`` gives the use of a memory.stat in bytes."""
        self._place = place
        self._limit_file = limit_file
        self._peak_file = peak_file
        self._used = used
        self._limits: Dict[str, int] = {}
        self._looked_s: Optional[float] = None

    def read(self, stat: Dict[str, int]) -> Binding:
        """Return the limit that leaves the least room; ``stat`` is the place's memory.stat."""
        now_s = time.monotonic()
        if self._looked_s is None or now_s - self._looked_s >= _LOOK_S:
            self._limits = self._find()
            self._looked_s = now_s
        found = []
        for group, limit in self._limits.items():
            used = self._used(stat if group == self._place.folder else _stat(group))
            if used is None and not os.path.isdir(group):
                self._looked_s = None  # a step has ended: the limit above its own counts again
                continue
            found.append(self._binding(group, limit, used))
        return min(found, key=_order) if found else Binding()

    def smallest_above(self) -> int:
        """Return the smallest limit, in bytes, of the group and the visible groups above it."""
        chain = _chain(self._place.folder, self._place.top)
        return min([self._limits[one] for one in chain if one in self._limits] + [NO_LIMIT_BYTES])

    def _binding(self, group: str, limit: int, used: Optional[int]) -> Binding:
        path = group[len(self._place.top) :] or "/"
        return Binding(limit, path, used, number_of(group, self._peak_file))

    def _find(self) -> Dict[str, int]:
        """Return each group's own limit, except those that can never bind.

        A group uses at least what those below it use, so a limit that is no smaller than one above
        it never binds.
        """
        place = self._place
        limits: Dict[str, int] = {}
        groups = list(reversed(_chain(place.folder, place.top)))
        below = set(_chain(place.own, place.folder)[:-1])
        if place.is_job:
            below.update(groups_below(place.folder, _GROUPS_MOST)[1:])
        for group in groups + sorted(below, key=len):
            limit = number_of(group, self._limit_file)
            above = [limits[one] for one in _chain(group, place.top)[1:] if one in limits]
            if limit is not None and limit < min(above + [NO_LIMIT_BYTES]):
                limits[group] = limit
        return limits


class Quota:
    """Finds the CPU quota that leaves a group's processes the fewest cores."""

    def __init__(self, place: Place, cores: Callable[[str], Optional[float]]) -> None:
        """``cores`` gives a group's own quota as a number of cores; None if it has none."""
        self._place = place
        self._cores = cores
        self._folder = place.folder
        self._looked_s: Optional[float] = None

    def find(self) -> Tuple[str, Optional[float]]:
        """Return the group whose quota binds, else the place's own, and the quota in cores."""
        now_s = time.monotonic()
        if self._looked_s is None or now_s - self._looked_s >= _LOOK_S:
            self._looked_s = now_s
            self._folder = self._place.folder
            found = [(self._cores(one), one) for one in _chain(self._place.own, self._place.top)]
            known = [(cores, one) for cores, one in found if cores is not None]
            if known:
                self._folder = min(known)[1]
        return self._folder, self._cores(self._folder)


def _stat(group: str) -> Dict[str, int]:
    return table_of(group, "memory.stat")


def _order(one: Binding) -> Tuple[int, int]:
    """Sort key: the least room first; if the use is unknown, the smallest limit."""
    limit = one.limit_bytes or 0
    return limit - (one.used_bytes or 0), limit


def _chain(folder: str, top: str) -> List[str]:
    """Return a folder and those above it, up to and including ``top``."""
    found = [folder]
    while len(folder) > len(top):
        folder = os.path.dirname(folder)
        found.append(folder)
    return found

"""The ranges in which numbers are believed, by the unit that a field's name ends with.

They are generous: no machine comes near their ends. A value outside is an error of a clock, a
driver or a file, and is unknown. They are checked in one place, where records are built.
"""

from .typed import Dict, NamedTuple

_TIMES = float(2**32)  # the year 2106; of durations 136 years


class Range(NamedTuple):
    """A range; both ends belong to it."""

    low: float
    high: float


_ENDINGS = (
    ("at_s", Range(0.0, _TIMES)),
    ("_s", Range(0.0, _TIMES)),
    ("_bytes", Range(0.0, float(2**60))),
    ("_bytes_per_s", Range(0.0, float(2**60))),
    ("_pct", Range(0.0, 101.0)),  # a mean of hundreds may be a little more
    ("_w", Range(0.0, 1e6)),
    ("_j", Range(0.0, 1e18)),
    ("_mhz", Range(0.0, 1e6)),
    ("_celsius", Range(-300.0, 1e4)),
    ("_cores", Range(0.0, float(2**24))),
    ("_count", Range(0.0, float(2**53))),
    ("_ns", Range(0.0, float(2**63))),
)
_CORE_TIMES = Range(0.0, _TIMES * 2**16)
"""For time that many cores spend at once."""
_OTHERS = Range(-float(2**63), float(2**64))
_MOST_KNOWN = 10000
_known: Dict[str, Range] = {}


def range_of(name: str) -> Range:
    """Return the range of a field, or of a gauge such as ``gpu.UUID.power_w``."""
    found = _known.get(name)
    if found is None:
        found = _look_up(name.rpartition(".")[2])
        if len(_known) < _MOST_KNOWN:  # names may be foreign
            _known[name] = found
    return found


def _look_up(name: str) -> Range:
    if name.endswith("_s") and ("cpu_" in name or "core_" in name):
        return _CORE_TIMES
    for ending, found in _ENDINGS:
        if name.endswith(ending):
            return found
    return _OTHERS


def fits(name: str, value: float) -> bool:
    """Return True if a field of this name can have this number; never NaN."""
    low, high = range_of(name)
    return low <= value <= high


def has_unit(name: str) -> bool:
    """Return True if a name ends with a unit."""
    return range_of(name) is not _OTHERS

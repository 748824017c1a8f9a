"""prctl(2), which Python lacks: adopting orphans, and ending with the parent.

A sweep's task needs it at its start: importing ``ctypes`` costs 3 ms, its C part only 0.5 ms.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

try:
    from _ctypes import call_function, dlopen, dlsym
except ImportError:  # an interpreter that names it differently
    import ctypes

    _prctl: Callable[..., object] = ctypes.CDLL(None).prctl
else:
    _address = dlsym(dlopen(None, 0), "prctl")  # type: ignore[arg-type]  # None is this program

    def _prctl(*words: int) -> object:
        return call_function(_address, words)


_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36


def adopt_orphans() -> None:
    """Become the parent of processes whose own parent ends, so that daemons stay in the tree."""
    _prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def leave_orphans() -> None:
    """Undo ``adopt_orphans``, which would outlast exec."""
    _prctl(_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def end_with_parent(number: int) -> None:
    """Have the kernel send us a signal when our parent ends."""
    _prctl(_SET_PDEATHSIG, number, 0, 0, 0)

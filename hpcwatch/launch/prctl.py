"""prctl(2), which Python lacks: who gets orphans, and who ends with whom.

A task of a sweep starts by this: all of ``ctypes`` costs 3 ms, the part that it is made of 0.5 ms.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

try:
    from _ctypes import call_function, dlopen, dlsym
except ImportError:  # an interpreter that has it under other names
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
    """Undo ``adopt_orphans``: it outlasts the execution of another program."""
    _prctl(_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def end_with_parent(number: int) -> None:
    """Get a signal when our parent ends."""
    _prctl(_SET_PDEATHSIG, number, 0, 0, 0)

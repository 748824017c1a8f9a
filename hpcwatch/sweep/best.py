"""The best task: the result to rank by, and whether more or less of it is better. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError

_LESS_IS_BETTER = ("loss", "error", "err", "time", "_s", "perplexity", "rmse", "mse", "mae")
_PREFERRED = ("test_accuracy", "val_accuracy", "accuracy", "test_loss", "val_loss", "loss")


class Goal(NamedTuple):
    """A result's name, and whether more or less of it is better."""

    name: str
    is_less_better: bool

    @property
    def sign(self) -> int:
        """The factor that makes larger values better: 1 or -1."""
        return -1 if self.is_less_better else 1


def parse(text: str) -> Goal:
    """Read ``--best``: ``accuracy``, ``min:loss``, ``max:score``. Raises HpcwatchError."""
    way, colon, name = text.rpartition(":")
    if colon and way not in ("min", "max"):
        raise HpcwatchError(f"--best {text}", "say NAME, min:NAME or max:NAME", EXIT_USAGE)
    if not name:
        raise HpcwatchError("--best names no result", "say --best accuracy", EXIT_USAGE)
    return Goal(name, way == "min" if colon else _is_less_better(name))


def chosen(results: Iterable[dict[str, Any]]) -> Goal | None:
    """Return the result to rank by: one of a test or validation first; None if there is none."""
    names: dict[str, None] = {}
    for one in results:
        names.update(dict.fromkeys(name for name, value in one.items() if is_number(value)))
    for name in (*_PREFERRED, *names):
        if name in names and name not in ("epoch", "epochs", "step", "steps"):
            return Goal(name, _is_less_better(name))
    return None


def best(rows: Sequence[Any], goal: Goal | None) -> Any | None:
    """Return the row with the best result, the first of equals; None if no row has a result."""
    known = [] if goal is None else [row for row in rows if is_number(row.results.get(goal.name))]
    if goal is None or not known:
        return None
    return max(known, key=lambda row: (goal.sign * row.results[goal.name], -row.number))


def is_number(value: object) -> bool:
    """Return True if a result is a number that can be compared."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_less_better(name: str) -> bool:
    return name.lower().endswith(_LESS_IS_BETTER)

"""Which of the compared runs reached the better result, and what that took. Pure."""

from __future__ import annotations

import string

from hpcwatch.analysis.compare import Comparison, Figure
from hpcwatch.analysis.compare_why import SMALL_PCT
from hpcwatch.analysis.phases import value_text
from hpcwatch.base.clean import clean
from hpcwatch.base.units import format_pct
from hpcwatch.sweep.best import Goal, chosen

_PRICES = {
    "wall_s": "time",
    "cpu_s": "CPU time",
    "gpu_hours": "GPU time",
    "energy_j": "GPU energy",
    "memory_peak_bytes": "memory",
}
"""Figure -> what a better result may take more of."""
_MORE_IS_BETTER = ("accuracy", "acc", "auc", "f1")
_DURATIONS = ("time", "_s")
_ALIKE_PCT = 10.0
"""Own: with another seed, 72 errors of the bundled CNN are 69 to 76."""


def better_text(compared: Comparison) -> str | None:
    """Return who is better at what price; None where the runs do not say what is better.

    A run that failed is not judged, and a result counts only if every run has it and its name
    says which way is better: a loss, an error, an accuracy.
    """
    found = _ranked(compared)
    if found is None or any(report.run.how != "ok" for report in compared.reports):
        return None
    figure, goal = found
    values = [value for value in figure.values if value is not None]
    letters = string.ascii_uppercase
    best = max(range(len(values)), key=lambda place: (goal.sign * values[place], -place))
    others = [place for place in range(len(values)) if place != best]
    rival = max(others, key=lambda place: (goal.sign * values[place], -place))
    name = clean(figure.name)
    said = f"{name} {value_text(values[best])}, {letters[rival]} {value_text(values[rival])}"
    won_pct = _won_pct(values[best], values[rival], goal)
    if won_pct is not None and won_pct < _ALIKE_PCT:
        return f"As good as each other: {letters[best]} {said}. {_price(compared, best, rival)}"
    what = "less" if goal.is_less_better else "less error"
    share = "" if won_pct is None else f" ({format_pct(won_pct)} {what})"
    return f"{letters[best]} is better: {said}{share}. {_price(compared, best, rival)}"


def _ranked(compared: Comparison) -> tuple[Figure, Goal] | None:
    whole = [figure for figure in compared.results if None not in figure.values]
    usable = {figure.name: figure for figure in whole if _says_which_way(figure.name)}
    goal = chosen([dict.fromkeys(usable, 0.0)])
    return None if goal is None else (usable[goal.name], goal)


def _says_which_way(name: str) -> bool:
    lower = name.lower()
    if lower.endswith(_MORE_IS_BETTER):
        return True
    goal = chosen([{name: 0.0}])
    return goal is not None and goal.is_less_better and not lower.endswith(_DURATIONS)


def _won_pct(best: float, rival: float, goal: Goal) -> float | None:
    """Return by how much the rival's error or loss shrinks, in %; None if that has no sense."""
    error, of = (best, rival) if goal.is_less_better else (1.0 - best, 1.0 - rival)
    return 100.0 * (of - error) / of if 0.0 <= error <= of and of > 0.0 else None


def _price(compared: Comparison, best: int, rival: int) -> str:
    """Say what the better run took, compared with the next best."""
    winner, loser = string.ascii_uppercase[best], string.ascii_uppercase[rival]
    more: list[str] = []
    less: list[str] = []
    for figure in compared.figures:
        words, took, instead = _PRICES.get(figure.name), figure.values[best], figure.values[rival]
        if words is None or took is None or not instead:
            continue
        pct = 100.0 * (took - instead) / instead
        if abs(pct) >= SMALL_PCT:
            kind, way = (more, "more") if pct > 0 else (less, "less")
            kind.append(f"{format_pct(abs(pct))} {way} {words}")
    if not more and not less:
        return f"{winner} took about as much as {loser}."
    first, then = more or less, less if more else []
    but = f", but {_listed(then)}" if then else ""
    return f"{winner} took {_listed(first)} than {loser}{but}."


def _listed(words: list[str]) -> str:
    """Join words as a sentence does: ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)

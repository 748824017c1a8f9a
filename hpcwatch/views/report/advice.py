"""What became of the last advice, in one sentence. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hpcwatch.analysis.findings import ACCUSE_AFTER_S
from hpcwatch.base.units import format_bytes, format_clock, format_of_bytes, three_digits

if TYPE_CHECKING:
    from hpcwatch.analysis.advice_check import Check, Part, Prediction
    from hpcwatch.analysis.report import Report

_LEAST_CORES = 0.05
"""A prediction of fewer busy cores is none worth a word."""
_KILLED = {"memory": "killed over its memory limit", "walltime": "killed at its walltime"}


def last_advice(report: Report) -> str:
    """Say whether the last advice was followed, and whether it held; empty if there was none."""
    check = report.last_advice
    if check is None or report.run.ended_at_s is None:
        return ""
    if check.result == "unknown" and report.summary.wall_s < ACCUSE_AFTER_S:
        return ""  # nothing is expected from so short a run
    return f"Last time's advice: {outcome(check)}."


def outcome(check: Check) -> str:
    """Say it without a subject: ``followed, held (peak 10.9 of at most 12.4 GiB)``."""
    words = [check.followed] if check.followed else []
    if check.result == "unknown":
        return ", ".join([*words, f"not checked: {check.why}"])
    if check.result == "other size":
        return ", ".join([*words, f"does not apply: {check.why}"])
    if check.killed:
        return ", ".join([*words, f"missed: {_KILLED[check.killed]}"])
    told = ", ".join(_part(part) for part in check.parts if _is_telling(part))
    if check.result == "missed":
        return ", ".join([*words, f"missed: {told}"])
    would = "would have held" if check.followed == "not followed" else "held"
    return ", ".join([*words, f"{would} ({told})" if told else would])


def _is_telling(part: Part) -> bool:
    return part.amount != "cores" or part.predicted >= _LEAST_CORES


def _part(part: Part) -> str:
    if part.amount == "memory":
        over = "" if part.is_held else ", exceeded"
        return f"peak {_of_bytes(part)} predicted{over}"
    if part.amount == "walltime":
        over = "" if part.is_held else ", exceeded"
        at_most = f"of at most {format_clock(part.predicted)}"
        return f"ended after {format_clock(part.seen)} {at_most}{over}"
    few = "" if part.is_held else ", fewer"
    return f"{three_digits(part.seen)} cores busy of at least {three_digits(part.predicted)}{few}"


def _of_bytes(part: Part) -> str:
    return format_of_bytes(part.seen, part.predicted).replace(" of ", " of at most ", 1)


def prediction_words(said: Prediction) -> str:
    """Say what is predicted: ``peak <= 12.4 GiB, ends within 1:25:00, cores >= 3.1 busy``."""
    return ", ".join(_predicted(said)) or "nothing: it drifts from run to run"


def _predicted(said: Prediction) -> Iterator[str]:
    if said.memory_bytes is not None:
        yield f"peak <= {format_bytes(said.memory_bytes)}"
    if said.wall_s is not None:
        yield f"ends within {format_clock(said.wall_s)}"
    if (said.cores or 0) >= _LEAST_CORES:
        yield f"cores >= {three_digits(said.cores or 0)} busy"

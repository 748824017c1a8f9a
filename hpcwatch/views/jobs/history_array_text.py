"""What to request for the next array like one that is over, as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hpcwatch.analysis.array_tasks import ArrayTask
from hpcwatch.analysis.history_arrays import Amount, ArrayPlan, far_out, plan_of
from hpcwatch.base.clean import clean
from hpcwatch.base.units import format_bytes, format_clock

_MOST_NAMED = 5


def lines(tasks: Sequence[ArrayTask]) -> list[str]:
    """Return the tasks that are far out, the request for all, and those that need more."""
    plan = plan_of(tasks)
    return [*_outliers(tasks), *_plan(plan)] if plan is not None else []


def _outliers(tasks: Sequence[ArrayTask]) -> list[str]:
    found = far_out(tasks)
    if not found:
        return []
    named = [f"{clean(task.job.id)} ({_figure(task, what)})" for task, what in found[:_MOST_NAMED]]
    return [f"far out   {_and_more(named, len(found))}"]


def _figure(task: ArrayTask, what: str) -> str:
    return format_bytes(task.memory_bytes) if what == "memory" else format_clock(task.ran_s)


def _plan(plan: ArrayPlan) -> list[str]:
    made = [
        *_amount("memory", plan.memory, format_bytes),
        *_amount("time", plan.time, format_clock),
    ]
    if plan.lines:
        made += ["", "the next script's head, for all tasks:", *plan.lines]
    return made


def _amount(what: str, amount: Amount | None, words: Callable[[float], str]) -> list[str]:
    """Return what to request for all, and for those that need more."""
    if amount is None:
        return []
    made = []
    if amount.suggested < amount.asked:
        made.append(
            f"request   {words(amount.suggested)} of {what} for each, not {words(amount.asked)}:"
            " 95 % of the tasks need no more"
        )
    elif amount.suggested > amount.asked:
        made.append(
            f"request   {words(amount.suggested)} of {what} for each: {words(amount.asked)} were"
            " too little for more than one task in twenty"
        )
    if amount.more and amount.more_suggested is not None:
        named = [clean(task.job.id) for task in amount.more[:_MOST_NAMED]]
        more = words(amount.more_suggested)
        made.append(
            f"retry     with {more} of {what}, by themselves: {_and_more(named, len(amount.more))}"
        )
    return made


def _and_more(named: Sequence[str], count: int) -> str:
    more = count - len(named)
    return ", ".join(named) + (f" and {more:,} more" if more > 0 else "")

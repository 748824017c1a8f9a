"""Why a job waits, in plain English. The scheduler's own words are always shown with it. Pure."""

from __future__ import annotations

import re
import shlex
from functools import lru_cache

from hpcwatch.base.clean import clean
from hpcwatch.cluster.schedulers import NAMES, dialect, moab
from hpcwatch.cluster.schedulers.dialects import Reasons

_ID = re.compile(r"\bID\b")
"""Stands for the job's id in a scheduler's words."""
_AMOUNT = re.compile(
    r"resource: ?(?P<what>\w{1,40})(?: \(r: (?P<asked>\S+) a: (?P<free>\S+) t: (?P<all>\S+)\))?"
)
"""PBS Pro: ``Insufficient amount of resource: ncpus (R: 40 A: 32 T: 60)``."""

_RESOURCES = {"ncpus": "cores", "mem": "memory", "ngpus": "GPUs", "nodes": "nodes"}
_MOST = 400  # characters of a reason that are looked at


@lru_cache(maxsize=1)
def _known() -> Reasons:
    """All schedulers' words together: a reason alone does not say whose it is."""
    every = [*(dialect(name).reasons for name in NAMES), moab.REASONS]
    exact = {word: plain for one in every for word, plain in one.exact.items()}
    return Reasons(exact, tuple(dict.fromkeys(pair for one in every for pair in one.patterns)))


def plain(reason: str, job_id: str = "") -> str:
    """Return a reason in plain English, empty if we know no better than the scheduler.

    Commands in it are ready to type if ``job_id`` is given.
    """
    words = _plain(reason)
    return _ID.sub(lambda _: shlex.quote(clean(job_id)), words) if job_id else words


def _plain(reason: str) -> str:
    text = " ".join(reason[:_MOST].split()).lower()
    text = text[1:-1] if text.startswith("(") and text.endswith(")") else text
    known = _known()
    if text in known.exact:
        return known.exact[text]
    words = next((words for pattern, words in known.patterns if re.search(pattern, text)), "")
    amount = _AMOUNT.search(text)
    if words and amount is not None:
        words = f"{words}: {_amount_text(amount)}"
    return words


def _amount_text(amount: re.Match[str]) -> str:
    what = _RESOURCES.get(amount["what"], clean(amount["what"]))
    if amount["asked"] is None:
        return what
    return f"{amount['asked']} {what} asked, {amount['free']} free, {amount['all']} in all"


_CODE = re.compile(r"[a-z]+(_[a-z]+)+")


def own_words(reason: str) -> str:
    """Return the scheduler's words; ``job_requeued_in_held_state`` with spaces."""
    own = clean(" ".join(reason.split()))
    return own.replace("_", " ") if _CODE.fullmatch(own) else own


def explained(reason: str) -> str:
    """Return the scheduler's words, and the reason in plain English behind them."""
    own = own_words(reason)
    words = plain(reason)
    return f"{own}: {words}" if words else own

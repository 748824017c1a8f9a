"""`hpcwatch jobs --since`: what past jobs used of what they requested, from the accounts."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hpcwatch import config
from hpcwatch.analysis.history import Hours, Totals, Worst, hours_of
from hpcwatch.analysis.history_groups import Groups
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_FAILURE, EXIT_USAGE, HpcwatchError
from hpcwatch.base.output import complain, write_error
from hpcwatch.base.units import iso
from hpcwatch.cli import history_order
from hpcwatch.cli.accounting_site import site
from hpcwatch.cli.history_options import BY_JOB, Chosen, nearest
from hpcwatch.cli.history_prometheus import Filler
from hpcwatch.cli.history_recordings import Recorded
from hpcwatch.cluster import client
from hpcwatch.cluster.past import Past
from hpcwatch.cluster.schedulers import dialect
from hpcwatch.cluster.schedulers.history import History, PastJob
from hpcwatch.views.jobs import history_data, history_groups, history_table
from hpcwatch.views.jobs.history_table import Shown
from hpcwatch.views.text import columns_of

MOST_ROWS = 250_000
"""Of a table, whose widths and order need all rows at once: some 400 MB."""
EXIT_STOPPED = 130
Row = tuple[PastJob, Hours]
_NO_HISTORY = "hpcwatch knows no accounts of this scheduler: these jobs come from recordings."


def print_past(chosen: Chosen, scheduler: str | None) -> int:
    """Print the jobs. Exit code 1 if something is missing, 130 if the user stopped it."""
    settings = config.load()
    found = client.find(scheduler or settings.scheduler).scheduler
    loads = dialect(found).history
    history = loads() if loads is not None else History(lambda *_: (), _NO_HISTORY)
    answer = _Answer(chosen, found, history, settings)
    return answer.print_streamed() if answer.is_streamed else answer.print_whole()


class _Answer:
    """One answer: the jobs as they come, and what is to be said of them."""

    def __init__(
        self, chosen: Chosen, scheduler: str, history: History, settings: config.Settings
    ) -> None:
        self._chosen, self._scheduler, self._history = chosen, scheduler, history
        self._rates = settings.rates
        self._site = site(history)
        self._past = Past(history.questions(chosen.wanted, self._site), _progress)
        self._recorded = Recorded(scheduler, chosen.wanted)
        self._filler = Filler(settings.prometheus)
        self._is_stopped = False
        self._dropped_count = 0
        self._totals, self._worst = Totals(), Worst()

    @property
    def is_streamed(self) -> bool:
        """True if jobs are printed as they come, without order and without end."""
        chosen = self._chosen
        return chosen.by == BY_JOB and not chosen.sort and chosen.format in ("csv", "ndjson")

    def _rows(self) -> Iterator[Row]:
        """Yield the jobs that are asked for; after Ctrl-C no more, and what came stays."""
        with self._stoppable():
            for job in self._jobs():
                if self._chosen.keeps(job):
                    hours = hours_of(job, self._rates)
                    self._totals.add(job, hours)
                    self._worst.add(job, hours)
                    yield job, hours

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Let Ctrl-C end what is done here, and keep what came.

        Around the questions and around their reader: it may come in either.
        """
        try:
            _heed_interrupts(signal.default_int_handler)
            yield
        except KeyboardInterrupt:
            self._is_stopped = True
            self._past.stop()
        finally:
            _heed_interrupts(signal.SIG_DFL)
            _progress_is_over()

    def _jobs(self) -> Iterator[PastJob]:
        yield from self._filler.filled(map(self._recorded.fill, self._past.jobs()))
        yield from self._recorded.others()

    def print_streamed(self) -> int:
        """Print as it comes, the latest day first."""
        plain = (history_data.plain_job(*row) for row in self._rows())
        with self._stoppable():
            self._print(
                history_data.to_ndjson(plain)
                if self._chosen.format == "ndjson"
                else history_data.to_csv(plain, history_data.JOB_HEADS)
            )
        return self._end(is_said=False)

    def print_whole(self) -> int:
        """Print what needs all jobs: an order, widths of columns, or sums."""
        if self._chosen.by == BY_JOB:
            rows = self._kept()
            self._require_account()
            self._print(self._of_jobs(rows))
        else:
            groups = Groups(self._chosen.by)
            with self._stoppable():
                for row in self._rows():
                    groups.add(*row)
            self._require_account()
            self._print(self._of_groups(groups))
        return self._end(is_said=self._chosen.format == "table")

    def _kept(self) -> list[Row]:
        kept: list[Row] = []
        with self._stoppable():
            for row in self._rows():
                if len(kept) < MOST_ROWS:
                    kept.append(row)
                else:
                    self._dropped_count += 1
        key = history_order.OF_JOBS[self._chosen.sort or "ended"]
        kept.sort(key=lambda row: key(*row))
        return kept

    def _of_jobs(self, rows: list[Row]) -> Iterator[str]:
        kind = self._chosen.format
        if kind == "table":
            width = columns_of(sys.stdout)
            return _ended(history_table.text(rows, self._shown(), width))
        plain = (history_data.plain_job(*row) for row in rows)
        return self._data(plain, history_data.JOB_HEADS, "jobs")

    def _of_groups(self, groups: Groups) -> Iterator[str]:
        found = groups.groups()
        if self._chosen.sort in history_order.OF_GROUPS:
            found.sort(key=history_order.OF_GROUPS[self._chosen.sort])
        if self._chosen.format == "table":
            shown = self._shown(_left_out(groups))
            width = columns_of(sys.stdout)
            return _ended(history_groups.text(groups.by, found, shown, width))
        plain = (history_data.plain_group(group) for group in found)
        return self._data(plain, history_data.GROUP_HEADS, "groups")

    def _data(
        self, plain: Iterator[dict[str, Any]], heads: tuple[str, ...], what: str
    ) -> Iterator[str]:
        if self._chosen.format == "csv":
            return history_data.to_csv(plain, heads)
        if self._chosen.format == "ndjson":
            return history_data.to_ndjson(plain)
        worst = self._worst.jobs()
        return history_data.to_json(self._head(), self._totals, plain, worst, what)

    def _head(self) -> dict[str, Any]:
        wanted = self._chosen.wanted
        return {
            "scheduler": self._scheduler,
            "since": iso(wanted.since_s),
            "until": iso(wanted.until_s),
            "users": list(wanted.users) or None,
            "accounts": list(wanted.accounts) or None,
            "by": self._chosen.by,
            "unit": self._rates.unit or None,
            "is_whole": self._is_whole,
            "troubles": self._past.troubles,
            "missing": self._past.missing,
            "notes": self._notes(),
        }

    @property
    def _is_whole(self) -> bool:
        return not (self._past.missing or self._past.odd_count or self._dropped_count)

    def _shown(self, more: str = "") -> Shown:
        notes = [*self._notes(), *filter(None, [more]), *self._troubles()]
        return Shown(self._title(), self._totals, self._worst.jobs(), self._rates.unit, notes)

    def _title(self) -> str:
        wanted = self._chosen.wanted
        who = ", ".join(wanted.users or wanted.accounts) or "everybody"
        days = f"{_minute(wanted.since_s)} to {_minute(wanted.until_s)}"
        count = self._totals.jobs_count
        if not count:
            return f"{clean(who)} on {self._scheduler}, {days}: no jobs"
        states = self._totals.states.most_common()
        kinds = ", ".join(f"{many:,} {clean(state)}" for state, many in states)
        jobs = f"{count:,} job{'' if count == 1 else 's'}"
        return f"{clean(who)} on {self._scheduler}, {days}: {jobs}: {kinds}"

    def _notes(self) -> list[str]:
        """Say what holds for all of the figures."""
        notes = []
        has_memory = any(source.value.startswith("accounts,") for source in self._totals.sources)
        if self._site.caveat and has_memory:
            notes.append(self._site.caveat)
        if self._history.reach:
            notes.append(self._history.reach)
        return [*notes, *self._filler.notes()]

    def _troubles(self) -> list[str]:
        """Say what is missing, and why."""
        past, said = self._past, [clean(trouble) for trouble in self._past.troubles]
        said += self._filler.troubles()
        if past.missing:
            first, last = past.missing[-1], past.missing[0]
            which = first if first == last else f"{first} to {last}, {len(past.missing)} parts"
            why = "Stopped" if self._is_stopped else "Not whole"
            said.append(f"{why}: missing or in part is {which}.")
        if past.odd_count:
            said.append(f"{past.odd_count:,} rows of the accounts could not be read.")
        if self._dropped_count:
            hint = "use --by, --format ndjson or a shorter time"
            said.append(f"{self._dropped_count:,} more jobs are in the sums only: {hint}.")
        return said

    def _end(self, is_said: bool) -> int:
        for trouble in () if is_said else self._troubles():
            complain(f"hpcwatch: {trouble}")
        if self._is_stopped:
            return EXIT_STOPPED
        return 0 if self._is_whole else EXIT_FAILURE

    def _require_account(self) -> None:
        """Raise HpcwatchError if there is no such account; only asked where no job was found."""
        if self._totals.jobs_count or not self._chosen.wanted.accounts or not self._is_whole:
            return
        known = self._past.accounts or _accounts(self._history)
        for account in self._chosen.wanted.accounts:
            if known and account not in known:
                hint = nearest(account, known) or f"known are {', '.join(sorted(known)[:8])}"
                raise HpcwatchError(f"no account {account}", clean(hint), EXIT_USAGE)

    def _print(self, pieces: Iterator[str]) -> None:
        for piece in pieces:
            sys.stdout.write(piece)


def _heed_interrupts(handler: Any) -> None:
    """Make Ctrl-C stop the questions and not us; a later one ends us. What nohup ignores stays."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)


def _ended(lines: Iterator[str]) -> Iterator[str]:
    return (f"{line}\n" for line in lines)


def _left_out(groups: Groups) -> str:
    if groups.by != "array":
        return ""
    said = "One script for the next array, and its outliers: hpcwatch report ID."
    count = groups.left_out_count
    return (
        f"{count:,} jobs are no tasks of an array, and only in the sums. {said}" if count else said
    )


def _accounts(history: History) -> frozenset[str]:
    if history.accounts is None:
        return frozenset()
    try:
        return frozenset(client.Asker()(history.accounts).value)
    except HpcwatchError:
        return frozenset()


def _minute(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at_s))


def _progress(place: int, count: int, what: str) -> None:
    """Say on a terminal what is asked for; Ctrl-C keeps what came."""
    if count > 1 and sys.stderr is not None and sys.stderr.isatty():
        write_error(f"\r\x1b[Kasking for {what} ({place + 1} of {count}; Ctrl-C shows what came)")


def _progress_is_over() -> None:
    if sys.stderr is not None and sys.stderr.isatty():
        write_error("\r\x1b[K")

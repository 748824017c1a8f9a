"""Past jobs, one window of time after the other; one that fails is noted and stops no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.schedulers.history import PastJob, Question
from hpcwatch.cluster.schedulers.query import NotUnderstoodError, ServerDownError, is_unknown
from hpcwatch.cluster.stream import PATIENCE_S, Stream

Say = Callable[[int, int, str], None]
"""Called before each question: its place from 0, the number of questions, what it asks for."""
_MOST_TROUBLES = 3


class Past:
    """Puts questions one after the other and yields the jobs."""

    def __init__(
        self, questions: Sequence[Question], say: Say, patience_s: float = PATIENCE_S
    ) -> None:
        self._questions, self._say, self._patience_s = questions, say, patience_s
        self.troubles: list[str] = []
        """What went wrong, in the command's own words."""
        self.missing: list[str] = []
        """What was asked for and is missing, or incomplete."""
        self._asked: list[Question] = []
        self._asked_count = 0
        self._is_older = False
        """The scheduler is old: the older form of each question is used from the start."""

    def jobs(self) -> Iterator[PastJob]:
        """Yield the jobs of all windows. A window that fails is left out.

        After a server that does not answer, or after three failures, nothing more is asked.
        """
        for place, question in enumerate(self._questions):
            self._say(place, len(self._questions), question.what)
            self._asked_count = place
            try:
                yield from self._of(question)
            except HpcwatchError as error:
                self._failed(place, error)
                if isinstance(error, ServerDownError) or len(self.troubles) >= _MOST_TROUBLES:
                    return
            self._asked_count = place + 1

    def stop(self) -> None:
        """Note what is missing after the user stopped it."""
        self.missing += [one.what for one in self._questions[self._asked_count :]]

    @property
    def odd_count(self) -> int:
        """Rows that could not be read."""
        return sum(one.reader.odd_count for one in self._asked)

    @property
    def accounts(self) -> frozenset[str]:
        """The accounts of all jobs that a server listed; empty if it listed the requested only."""
        return frozenset().union(*(one.reader.accounts for one in self._asked))

    def _failed(self, place: int, error: HpcwatchError) -> None:
        self.troubles.append(f"{self._questions[place].what}: {error.message}")
        self.missing.append(self._questions[place].what)
        is_end = isinstance(error, ServerDownError) or len(self.troubles) >= _MOST_TROUBLES
        if is_end:
            self.missing += [one.what for one in self._questions[place + 1 :]]

    def _of(self, question: Question) -> Iterator[PastJob]:
        older = question.if_odd
        if older is not None and self._is_older:
            yield from self._of(older)
            return
        is_begun = False
        self._asked.append(question)
        try:
            with Stream(question.argv, question.settings, self._patience_s) as stream:
                try:
                    for job in question.reader.read(stream.pieces()):
                        is_begun = True
                        yield job
                except NotUnderstoodError:
                    is_unknown(stream.answer())  # its own error message says more
                    raise
                is_unknown(stream.answer())
        except NotUnderstoodError:
            if older is None or is_begun:
                raise
            self._is_older = True
            yield from self._of(older)

"""A running probe is asked for all of the job's processes, and for no more of them again."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest
from node_parts import NUMBER, USER, PipeLink, name_of_python, probe, pythons, running

from hpcwatch.probe import listing, wished
from hpcwatch.probe.probe import LISTED_PROCESSES, Probe
from hpcwatch.probe.schema import Sample
from hpcwatch.probe.spec import Spec
from hpcwatch.probe.wish import NOTHING, Wish, from_message, to_message

JOB = {"PBS_JOBID": f"{NUMBER}.qb3"}
SPEC = Spec(interval_s=0.2, job_ids=[NUMBER], user=USER)
COUNT = 3 * LISTED_PROCESSES
ALL = Wish(is_every_process=True)


def sleepers(stack: ExitStack, count: int = COUNT) -> set[int]:
    """Processes of the job, each a rank; return their pids."""
    made = [
        stack.enter_context(running("sleep", 60, environment={**JOB, "PMI_RANK": str(rank)}))
        for rank in range(count)
    ]
    return {process.pid for process in made}


def next_with(link: PipeLink, has_further: bool) -> Sample:
    """The next sample with, or without, further processes."""
    for _ in range(50):
        sample = link.sample()
        if (sample.further is not None) is has_further:
            return sample
    raise AssertionError("the probe did not do as it was asked")


@pytest.mark.parametrize("python", pythons(), ids=name_of_python)
def test_all_processes_are_named_while_they_are_asked_for(python: str) -> None:
    with ExitStack() as stack, probe(python, "0.0.0-another") as link:
        pids = sleepers(stack)
        link.begin(SPEC)
        largest = link.sample()
        assert largest.further is None
        assert len(largest.processes or ()) < COUNT
        link.send(to_message(ALL))
        first = next_with(link, has_further=True)
        both = [*(first.processes or ()), *(first.further or ())]
        assert {one.pid for one in both} == pids
        assert len(both) == COUNT
        assert {one.rank for one in both} == set(range(COUNT))
        assert all(one.argv == ["sleep", "60"] for one in first.further or ())
        again = next_with(link, has_further=True)
        assert {one.argv is None for one in again.further or ()} == {True}
        link.send(to_message(NOTHING))
        next_with(link, has_further=False)
        link.send(to_message(ALL))
        assert all(one.argv for one in next_with(link, has_further=True).further or ())


def test_what_is_no_wish_is_a_sign_of_life() -> None:
    with ExitStack() as stack, probe() as link:
        sleepers(stack)
        link.begin(SPEC)
        link.sample()
        for odd in (b"\n", b"{}x\n", b"[1]\n", b'{"is_every_process": 3}\n', b"\xff\n"):
            link.send(odd)
        link.send(b"x" * 300_000 + b"\n")
        assert link.sample().further is None
        half = to_message(ALL)
        link.send(half[:5])
        assert link.sample().further is None
        link.send(half[5:])
        assert next_with(link, has_further=True).further


def test_an_answer_comes_soon_though_the_interval_is_long() -> None:
    with ExitStack() as stack, probe() as link:
        sleepers(stack)
        link.begin(SPEC._replace(interval_s=600.0))
        link.sample()
        time.sleep(1.2)  # the early readings are over; a busy machine may leave some out
        link.send(to_message(ALL))
        assert next_with(link, has_further=True).further


def test_of_too_many_the_largest_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wished, "MOST_PROCESSES", 2 * LISTED_PROCESSES + 2)
    with ExitStack() as stack:
        sleepers(stack)
        reader = Probe(SPEC)
        stack.callback(reader.close)
        reader.take(ALL)
        sample = reader.read()
        named = len(sample.processes or ()) + len(sample.further or ())
        assert named == 2 * LISTED_PROCESSES + 2
        assert sample.job is not None
        assert sample.job.process_count == COUNT


def test_long_command_lines_come_over_several_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_MOST_ARGV_BYTES", 1)
    with ExitStack() as stack:
        sleepers(stack)
        reader = Probe(SPEC)
        stack.callback(reader.close)
        reader.take(ALL)
        known: set[int] = set()
        for _ in range(3):
            named = {one.pid for one in reader.read().further or () if one.argv}
            assert len(named) == 1
            assert not named & known
            known |= named


def test_nothing_more_is_read_of_a_process_that_is_not_shown() -> None:
    with ExitStack() as stack:
        sleepers(stack)
        reader = Probe(SPEC)
        stack.callback(reader.close)
        shown = {one.pid for one in reader.read().processes or ()}
        ranked = {one.pid for one in reader._table.tracked.values() if one.rank_looks}
        assert ranked == shown
        assert len(ranked) < COUNT


def test_only_the_number_of_a_rank_leaves_the_node() -> None:
    secret = "a-secret-of-the-environment"
    with (
        running("sleep", 60, environment={**JOB, "PMI_RANK": "3", "TOKEN": secret}),
        probe() as one,
    ):
        one.begin(SPEC)
        line = one.line()
        assert b'"rank":3' in line
        assert secret.encode() not in line


def test_a_wish_comes_back() -> None:
    for one in (ALL, NOTHING):
        assert from_message(to_message(one)) == one
    with pytest.raises(ValueError, match="not a wish"):
        from_message(b"[]")

"""Readings of many nodes are handled in rounds, and each node's failure stays its own."""

from __future__ import annotations

import threading

import pytest
from harness import wait_until

from hpcwatch.monitor import rounds
from hpcwatch.monitor.rounds import Rounds, of_nodes

THREADS = 5


class Waited:
    """A pause that lasts until all threads have handed in their steps."""

    def __init__(self) -> None:
        self.made = Rounds(0.25)
        self.asked_s: list[float] = []

    def __call__(self, wait_s: float) -> None:
        self.asked_s.append(wait_s)
        wait_until(lambda: len(self.made._waiting) == THREADS, "all steps")


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> Waited:
    made = Waited()
    monkeypatch.setattr(rounds, "pause", made)
    return made


def test_one_thread_does_what_several_bring(waited: Waited) -> None:
    done: list[tuple[int, int]] = []

    def bring(number: int) -> None:
        waited.made.do(lambda: done.append((number, threading.get_ident())))
        assert number in [one for one, _ in done]

    threads = [threading.Thread(target=bring, args=(number,)) for number in range(THREADS)]
    idents = []
    for thread in threads:
        thread.start()
        idents.append(thread.ident)
    for thread in threads:
        thread.join(20)
    assert sorted(number for number, _ in done) == list(range(THREADS))
    (by,) = {ident for _, ident in done}
    assert by in idents
    assert waited.asked_s == [0.25]


def test_a_failing_step_fails_for_its_own_thread_alone(waited: Waited) -> None:
    told: dict[int, str] = {}

    def bring(number: int) -> None:
        def step() -> None:
            if number % 2:
                raise ValueError(f"of {number}")

        try:
            waited.made.do(step)
            told[number] = "done"
        except ValueError as error:
            told[number] = str(error)

    threads = [threading.Thread(target=bring, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert told == {0: "done", 1: "of 1", 2: "done", 3: "of 3", 4: "done"}


def test_the_next_round_begins_after_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    made, order = Rounds(0.25), list[str]()
    monkeypatch.setattr(rounds, "pause", lambda _wait_s: order.append("pause"))
    made.do(lambda: order.append("first"))
    made.do(lambda: order.append("second"))
    assert order == ["pause", "first", "pause", "second"]


def test_few_readings_wait_for_nothing() -> None:
    assert of_nodes(1, 1.0) is None
    assert of_nodes(16, 1.0) is None
    assert of_nodes(100, 10.0) is None
    assert of_nodes(300, 10.0) is not None


def test_no_reading_waits_longer_than_a_quarter_of_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(rounds, "pause", waits.append)
    for count, interval_s in ((20, 1.0), (300, 10.0), (1000, 10.0), (1000, 1.0)):
        made = of_nodes(count, interval_s)
        assert made is not None
        made.do(lambda: None)
    assert waits == pytest.approx([0.25, 0.25, 0.16, 0.016])

"""The guard where no thread can be started, and its flags."""

from __future__ import annotations

import _thread
from typing import Any, NoReturn

import pytest

from hpcwatch.monitor.guard import Guard


class Calls:
    """A monitor that notes what is called."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.made.append(name)


def test_what_cannot_be_watched_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", full)
    said: list[str] = []
    guard = Guard(Calls, said.append, 0.0)
    assert guard.finish() == "no thread could be started"
    assert said == ["cannot watch the program, it runs on: RuntimeError: can't start new thread"]


def test_where_there_is_room_for_a_thread_at_last_the_end_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls, said = Calls(), list[str]()
    with monkeypatch.context() as patch:
        patch.setattr(_thread, "start_new_thread", None)
        guard = Guard(lambda: calls, said.append, 0.0)
    assert guard.finish() is None
    assert calls.made == ["start", "finish"]
    assert len(said) == 1


def test_every_step_is_taken_before_the_end_and_in_order() -> None:
    calls, said = Calls(), list[str]()
    guard = Guard(lambda: calls, said.append, 0.0)
    for number in range(200):
        guard.signal_arrived(number)
        guard.resume()
    assert guard.finish() is None
    assert calls.made == ["start", *["signal_arrived", "resume"] * 200, "finish"]
    assert said == []

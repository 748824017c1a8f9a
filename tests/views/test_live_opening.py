"""How often the view looks: soon again until a node has been read, then four times a second."""

from __future__ import annotations

import time
from typing import Any

import pytest
from live_scenes import Quiet, picture, timeline

from hpcwatch.analysis.timeline import Timeline
from hpcwatch.cli import job
from hpcwatch.monitor.picture import Picture
from hpcwatch.views.live.view import LiveView


class Still:
    """A screen that takes everything."""

    def size(self) -> tuple[int, int]:
        return 80, 24

    def paint(self, lines: object, width: int) -> None:
        """Show nothing."""


def pause_s(
    shown: Picture, monkeypatch: pytest.MonkeyPatch, later_s: float = 0.0, cost_s: float = 0.0
) -> float:
    """How long the view waits after a look at a picture, so long after it was opened."""
    live = LiveView(lambda: shown, Quiet())
    now_s = time.monotonic() + later_s
    monkeypatch.setattr(
        "hpcwatch.views.live.view.time.monotonic", lambda: now_s
    )  # nothing takes any time
    used_s = iter((0.0, cost_s))
    monkeypatch.setattr("hpcwatch.views.live.view.time.thread_time", lambda: next(used_s))
    screen: Any = Still()
    live._repaint_if_due(screen)
    return live._due_s - now_s


def test_the_first_reading_is_shown_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    unread = picture(timeline=Timeline(2.0))
    assert pause_s(unread, monkeypatch) == pytest.approx(0.05)


def test_once_a_node_was_read_four_looks_a_second_are_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert pause_s(picture(timeline=timeline()), monkeypatch) == pytest.approx(0.25)


def test_a_dear_repaint_takes_a_fiftieth_of_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = picture(timeline=timeline())
    assert pause_s(shown, monkeypatch, cost_s=0.02) == pytest.approx(1.0)


def test_a_node_that_does_not_answer_costs_no_more_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unread = picture(timeline=Timeline(2.0))
    assert pause_s(unread, monkeypatch, later_s=3.5) == pytest.approx(0.25)


def test_a_view_that_cannot_be_loaded_early_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_name: str) -> None:
        raise ImportError("no rich here")

    monkeypatch.setattr("hpcwatch.cli.job.importlib.import_module", fail)
    job._load_view()

"""A reader that fails is named in the sample, whichever it is, and the others are read."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from hpcwatch.probe.probe import Probe, Target
from hpcwatch.probe.tails import Tails
from hpcwatch.probe.wish import Wish


@pytest.fixture
def probe() -> Iterator[Probe]:
    made = Probe(Target(os.getpid(), time.time()))
    yield made
    made.close()


def test_a_failure_of_what_is_read_last_is_told_too(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_tails: Tails, _pids: list[int]) -> None:
        raise OSError("stale file handle")

    monkeypatch.setattr(Tails, "take", fail)
    probe.take(Wish(logs={"output": os.devnull}))
    sample = probe.read(is_full=False)
    assert sample.errors == {"log": "OSError: stale file handle"}
    assert sample.logs is None
    assert sample.job is not None


def test_a_device_library_that_fails_stops_no_other_reader(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_gpus: object, _errors: dict[str, str]) -> None:
        raise ValueError("odd answer")

    monkeypatch.setattr("hpcwatch.probe.node_gpus.NodeGpus.read", fail)
    sample = probe.read()
    assert sample.gpus is None
    assert sample.errors is not None
    assert sample.errors["gpu"] == "ValueError: odd answer"
    assert sample.node is not None
    assert sample.job is not None

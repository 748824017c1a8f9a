"""How a signal to each of many processes is told from one to the monitor alone."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from hpcwatch.launch import group_signal
from hpcwatch.launch.group_signal import Witness

LONG_S = 60.0
NUMBER = signal.SIGUSR1


@pytest.fixture
def witness() -> Iterator[Witness]:
    made = Witness()
    yield made
    made.close()


@pytest.fixture
def sender(request: pytest.FixtureRequest) -> Iterator[int]:
    """The pid of a process, which runs a script."""
    with subprocess.Popen(["sh", "-c", request.param]) as process:
        yield process.pid
        process.kill()


@pytest.mark.parametrize("sender", ["while :; do :; done"], indirect=True)
def test_a_sender_that_waits_for_a_core_is_waited_for(
    witness: Witness, sender: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_signal, "_LATE_S", LONG_S)
    late = threading.Timer(10 * group_signal._BROADCAST_S, os.kill, (witness.pid, NUMBER))
    late.start()
    assert witness.saw(NUMBER, sender)
    late.join()


@pytest.mark.parametrize("sender", ["exec sleep 600"], indirect=True)
def test_one_that_sleeps_has_sent_to_all(
    witness: Witness, sender: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_signal, "_LATE_S", LONG_S)
    begun_s = time.monotonic()
    assert not witness.saw(NUMBER, sender)
    assert time.monotonic() - begun_s < LONG_S


def test_one_that_has_ended_is_not_waited_for(
    witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_signal, "_LATE_S", LONG_S)
    with subprocess.Popen(["true"]) as process:
        pass
    begun_s = time.monotonic()
    assert not witness.saw(NUMBER, process.pid)
    assert time.monotonic() - begun_s < LONG_S


def test_of_the_kernel_s_signals_the_witness_has_its_own_at_once(witness: Witness) -> None:
    first = witness.pid
    assert not witness.saw(NUMBER, None)
    os.kill(first, NUMBER)
    assert witness.saw(NUMBER, None)
    assert witness.pid != first, "a pending signal looks like the next one"
    assert not witness.saw(NUMBER, None)

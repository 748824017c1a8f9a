"""What a node may write: bounded in lines, bytes, names and time, whoever wrote it."""

from __future__ import annotations

import json
import os
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Terminal, wait_until
from lab_hosts import Hosts

from hpcwatch.analysis.timeline import Timeline
from hpcwatch.cluster.transport import ConnectError, Trouble, intake, process
from hpcwatch.cluster.transport.intake import Intake, Names
from hpcwatch.cluster.transport.ways import Ways
from hpcwatch.monitor.node_status import NodeState
from hpcwatch.monitor.remote import JobSession
from hpcwatch.probe.schema import Gpu, Node, Process, Sample, Stranger, to_line
from hpcwatch.probe.spec import READY, Spec

pytest_plugins = ["lab_fixtures"]


def line(at_s: float = 1.0, **parts: object) -> bytes:
    made = Sample("n", at_s, at_s, **{"node": Node(cpu_count=4), **parts})  # type: ignore[arg-type]
    return to_line(made).encode() + b"\n"


def gpu(uuid: str) -> Gpu:
    return Gpu(index=0, uuid=uuid, name="K40m")


def refused(data: Callable[[int], bytes], names: Names | None = None, count: int = 1000) -> str:
    """What is said when a node writes on and on."""
    taken = Intake(1.0, names or Names())
    with pytest.raises(ConnectError) as caught:
        for number in range(count):
            taken.take(data(number))
    assert caught.value.trouble is Trouble.PROBE
    return caught.value.message


def test_readings_are_taken_in_as_they_come() -> None:
    taken = Intake(1.0, Names())
    text = line(1.0) + line(2.0)
    assert [one.at_s for one in taken.take(text[:-10])] == [1.0]
    assert [one.at_s for one in taken.take(text[-10:])] == [2.0]
    assert taken.take(b"") == []


def test_more_lines_than_a_probe_writes() -> None:
    assert refused(lambda _: b"x\n" * 100) == "it writes much more than a probe does"
    assert refused(lambda n: line(float(n))) == "it writes much more than a probe does"


def test_more_bytes_than_a_probe_writes() -> None:
    assert refused(lambda _: b"x" * 60000) == "the probe wrote a line longer than 4 MiB"
    assert refused(lambda _: b"x" * 60000 + b"\n") == "it writes much more than a probe does"


def test_a_burst_after_a_cut_is_no_offence(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Intake(0.5, Names())
    taken.take(line(0.0))
    now_s = time.monotonic()
    monkeypatch.setattr("hpcwatch.cluster.transport.intake.time.monotonic", lambda: now_s + 60.0)
    burst = b"".join(line(number / 2) for number in range(1, 121))
    assert len(taken.take(burst)) == 120


def test_invented_devices_are_bounded_over_all_connections() -> None:
    names = Names()
    message = refused(lambda n: line(float(n), gpus=[gpu(f"GPU-{n}")]), names)
    assert message == "it names more than 96 GPUs; that cannot be"
    assert "96 GPUs" in refused(lambda _: line(1.0, gpus=[gpu("GPU-another")]), names)
    taken = Intake(1.0, names)  # those that it has, it may have
    assert len(taken.take(line(1.0, gpus=[gpu("GPU-3")]))) == 1


def test_invented_readers_and_reasons() -> None:
    message = refused(lambda n: line(1.0, errors={f"reader{n}": "odd"}))
    assert message == "it names more than 64 failing readers; that cannot be"
    one = gpu("GPU-1")
    message = refused(lambda n: line(1.0, gpus=[one._replace(clocks_held_by=[f"because {n}"])]))
    assert message == "it names more than 64 reasons for lower clocks; that cannot be"


def test_endless_texts_are_cut_or_left_out() -> None:
    taken = Intake(1.0, Names())
    (sample,) = taken.take(line(1.0, errors={"gpu": "x" * 100_000}))
    assert sample.errors == {"gpu": "x" * 500}
    assert (
        taken.take(
            line(1.0, processes=[Process(pid=1, ppid=1, state="R", name="a", argv=["x" * 100_000])])
        )
        == []
    )
    many = [Process(pid=pid, ppid=1, state="R", name="a", argv=["x" * 1000]) for pid in range(1000)]
    assert len(taken.take(line(1.0, processes=many))) == 1
    strangers = [Stranger(pid=pid, name="a", user="b", is_owners=False) for pid in range(17)]
    assert taken.take(line(1.0, strangers=strangers)) == []


def test_a_node_that_invents_devices_costs_little_memory() -> None:
    tracemalloc.start()
    timeline, names = Timeline(1.0, None, 3600), Names()
    try:
        for turn in range(50):
            taken = Intake(1.0, names)
            for number in range(150):
                at_s = turn * 150.0 + number + 1.0
                try:
                    for sample in taken.take(line(at_s, gpus=[gpu(f"GPU-{turn}-{number}")])):
                        timeline.add(sample)
                except ConnectError:
                    break
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(timeline.hosts["n"].gpus) == 96
    assert peak_bytes < 40e6


# What comes after the greeting, from a real program at the other end.

GREETING = f"printf '{READY} 1 package 3.11.7\\n'"
AFTER = {
    "nothing": (1.0, "sleep 600", "no reading within 1 s of its greeting"),
    "garbage": (
        2.0,
        "while :; do echo garbage; sleep 0.1; done",
        "no reading within 2 s of its greeting; it wrote 'garbage'",
    ),
    "errors": (
        2.0,
        "while :; do echo '" + json.dumps({
            "version": 1, "host": "n", "at_s": 1.0, "uptime_s": 1.0, "errors": {"node": "no /proc"}
        }) + "'; sleep 0.1; done",
        "no reading within 2 s of its greeting, only errors: no /proc",
    ),
    "a flood": (60.0, "yes", "it writes much more than a probe does"),
}  # fmt: skip


@pytest.mark.parametrize("case", AFTER)
def test_a_node_that_says_nothing_of_use_is_lost(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience_s, script, reason = AFTER[case]
    monkeypatch.setattr(intake, "FIRST_READING_S", patience_s)
    monkeypatch.setattr("hpcwatch.cluster.transport.bundle.PROTOCOL", 1)
    shell = process.ProcessTransport(
        "test", lambda _: ("sh", "-c", f"{GREETING}; read header; {script}", "sh")
    )
    changes: list[tuple[NodeState, str]] = []
    session = JobSession(
        ["qb001"],
        Spec(1.0),
        Ways([shell], process.local(), frozenset()),
        lambda _: None,
        lambda status: changes.append((status.state, status.reason)),
    )
    session.start()
    try:
        wait_until(lambda: any(state is NodeState.LOST for state, _ in changes), "the loss")
    finally:
        session.stop()
    assert changes[:2] == [(NodeState.CONNECTING, ""), (NodeState.LOST, reason)]


@pytest.mark.parametrize("options", [(), ("--format", "json")])
def test_one_picture_without_any_node_says_so_by_its_exit_code(
    options: tuple[str, ...], hosts: Hosts, tmp_path: Path
) -> None:
    del hosts
    environment = {**os.environ, "HPCWATCH_HOME": str(tmp_path), "PATH": str(tmp_path)}
    argv = [sys.executable, "-m", "hpcwatch", "top", "--once", *options]
    for host, code in (("nowhere.invalid", 1), (os.uname().nodename, 0)):
        with Terminal([*argv, host], env=environment) as terminal:
            assert terminal.wait() == code, terminal.output

"""Events from programs: what `hpcwatch.log` writes, what of it is taken, and what it means."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

import hpcwatch
from hpcwatch import events
from hpcwatch.analysis.phases import Phase, now_text, phases, results, value_text
from hpcwatch.events import LINE_MOST_BYTES, last_line_results
from hpcwatch.monitor.event_file import Marks, parse
from hpcwatch.recording.store import Event, RunDirectory

ROOT = Path(__file__).resolve().parents[2]
START_S = 1_700_000_000.0
NOW_S = START_S + 60


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    """A file for events; called, what was written to it."""
    path = tmp_path / "events"
    path.touch()
    monkeypatch.setattr(events, "_path", str(path))
    return lambda: [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    made = File(tmp_path / "lines")
    yield made
    os.close(made.descriptor)


class File:
    """A file that a program appends to and the monitor reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        self.marks = Marks(self.descriptor, START_S)

    def append(self, *lines: object) -> None:
        with self.path.open("ab") as stream:
            for line in lines:
                stream.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")

    def read(self, *lines: object, now_s: float = NOW_S) -> list[Event]:
        self.append(*lines)
        return self.marks.read(now_s)


# The program's side


def test_values_and_phases_are_written_a_line_each(told: Callable[[], Any]) -> None:
    hpcwatch.log(test_accuracy=0.992, epoch=3, best=True, model="cnn", none=None)
    with hpcwatch.phase("load"):
        pass
    log, begin, end = told()
    assert log["name"] == "log"
    assert log["fields"] == {
        "test_accuracy": 0.992,
        "epoch": 3,
        "best": True,
        "model": "cnn",
        "none": None,
    }
    assert begin["fields"] == {"phase": "load", "pid": os.getpid()}
    assert (begin["name"], end["name"]) == ("phase begin", "phase end")
    assert 0 <= end["fields"]["duration_s"] < 5
    assert log["at"] <= begin["at"] <= end["at"]


def test_an_exception_ends_a_phase_and_goes_on(told: Callable[[], Any]) -> None:
    with pytest.raises(ZeroDivisionError), hpcwatch.phase("outer"), hpcwatch.phase("inner"):
        raise ZeroDivisionError
    ends = [event["fields"] for event in told() if event["name"] == "phase end"]
    assert [(one["phase"], one["error"]) for one in ends] == [
        ("inner", "ZeroDivisionError"),
        ("outer", "ZeroDivisionError"),
    ]


class Mute:
    """Has no text and no number."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __float__ = __str__


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (-float("inf"), "-inf"),
        (10**30, 1e30),
        pytest.param(10**5000, "inf", id="huge"),
        (Fraction(1, 4), 0.25),
        ("x" * 10_000, "x" * 200),
        ([1, 2], "[1, 2]"),
        (b"bytes", "b'bytes'"),
        ("\udc80", "\udc80"),
        (Mute(), "Mute"),
    ],
)
def test_odd_values_are_kept_as_far_as_json_can(
    told: Callable[[], Any], value: object, kept: object
) -> None:
    hpcwatch.log(value=value)
    assert told()[0]["fields"]["value"] == kept


def test_scalars_of_numpy_are_numbers(told: Callable[[], Any]) -> None:
    numpy = pytest.importorskip("numpy")
    hpcwatch.log(a=numpy.float32(0.5), b=numpy.int64(3), c=numpy.bool_(True), d=numpy.array(2.5))
    assert told()[0]["fields"] == {"a": 0.5, "b": 3, "c": True, "d": 2.5}


def test_too_many_and_too_long_fields_stay_within_a_line(told: Callable[[], Any]) -> None:
    hpcwatch.log(**{f"n{number}": number for number in range(100)})
    hpcwatch.log(**{"n" * 1000: 1})
    hpcwatch.log(
        **{f"t{number}": "\N{SNOWMAN}" * 200 for number in range(32)}
    )  # too long, left out
    many, long = told()
    assert len(many["fields"]) == 32
    assert list(long["fields"]) == ["n" * 64]


@pytest.mark.parametrize("path", ["/nowhere/events", "/proc/self/mem", "/dev/full", "/"])
def test_a_file_that_cannot_be_written_does_not_matter(
    path: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(events, "_path", path)
    hpcwatch.log(a=1)
    with hpcwatch.phase("load"):
        hpcwatch.log(a=2)
    assert capfd.readouterr() == ("", "")
    assert not Path("/nowhere").exists()


def test_a_file_that_is_gone_is_not_made_again(told: Callable[[], Any], tmp_path: Path) -> None:
    (tmp_path / "events").unlink()
    hpcwatch.log(a=1)
    assert not list(tmp_path.iterdir())


def test_a_fifo_without_a_reader_does_not_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    monkeypatch.setattr(events, "_path", str(path))
    thread = threading.Thread(target=hpcwatch.log, kwargs={"a": 1}, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


def run_python(script: str, *options: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if "HPCWATCH" not in name}
    done = subprocess.run(
        [sys.executable, *options, "-c", script],
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout + done.stderr


def test_outside_of_a_run_nothing_is_loaded_or_opened() -> None:
    script = """
import sys
before = set(sys.modules)
import hpcwatch
assert set(sys.modules) - before == {"hpcwatch"}, set(sys.modules) - before
opened = []
sys.addaudithook(lambda name, what: opened.append(what) if name == "open" else None)
from hpcwatch.events import log
opened.clear()
hpcwatch.log(a=1)
with hpcwatch.phase("load"):
    hpcwatch.log(a=object())
assert not opened, opened
heavy = {"json", "re", "psutil", "rich", "hpcwatch.recording.store"}
assert not heavy & (set(sys.modules) - before)
try:
    hpcwatch.lug
except AttributeError as error:
    print(error)
"""
    assert run_python(script, "-S").strip() == "module 'hpcwatch' has no attribute 'lug'"


def test_the_file_works_alone_in_another_environment(tmp_path: Path) -> None:
    source = ROOT / "hpcwatch" / "events.py"
    (tmp_path / "hpcwatch_events.py").write_text(source.read_text())
    target = tmp_path / "events"
    target.touch()
    script = "import hpcwatch_events as hpcwatch; hpcwatch.log(a=1)"
    run_python(script, "-S", PYTHONPATH=str(tmp_path), HPCWATCH_EVENTS=str(target))
    assert json.loads(target.read_text())["fields"] == {"a": 1}


def test_lines_of_many_processes_never_mix(file: File) -> None:
    script = """
import os, hpcwatch
for _ in range(3):
    os.fork()
for number in range(200):
    hpcwatch.log(pid=os.getpid(), number=number, padding="x" * 200)
try:
    while True: os.wait()
except ChildProcessError:
    pass
"""
    run_python(script, HPCWATCH_EVENTS=str(file.path))
    lines = [json.loads(line)["fields"] for line in file.path.read_text().splitlines()]
    assert len(lines) == 1600
    by_pid: dict[int, list[int]] = {}
    for line in lines:
        by_pid.setdefault(line["pid"], []).append(line["number"])
    assert list(by_pid.values()) == [list(range(200))] * 8


# The monitor's side


def test_both_forms_are_taken_with_the_programs_time_where_it_is_one() -> None:
    def at(line: object) -> Event | None:
        return parse(json.dumps(line).encode(), START_S, NOW_S)

    assert at({"test_accuracy": 0.99}) == Event(NOW_S, "log", {"test_accuracy": 0.99})
    assert at({"a": 1, "at": START_S + 3}) == Event(START_S + 3, "log", {"a": 1})
    assert at({"name": "checkpoint"}) == Event(NOW_S, "checkpoint", {})
    long = {"name": "saved", "at": START_S + 1.5, "fields": {"step": 4}}
    assert at(long) == Event(START_S + 1.5, "saved", {"step": 4})
    assert at({"name": "resnet", "loss": 1}) == Event(NOW_S, "log", {"name": "resnet", "loss": 1})
    for elsewhere in (0, NOW_S + 3600, "noon", None):
        assert at({**long, "at": elsewhere}) == Event(NOW_S, "saved", {"step": 4})


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"loss 0.5",
        b"[1]",
        b"{}",
        b"7",
        b"{" * 10_000,
        b"[" * 10_000,
        b'{"a": 1',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"\xff\xfe",
        b'{"a\\nb": 1}',
        b'{"": 1}',
        b'{"' + b"n" * 65 + b'": 1}',
        b'{"name": "signal", "fields": {"signal": "SIGKILL"}}',
        b'{"name": "node lost"}',
        b'{"name": "events left out"}',
        b'{"name": "a\\u001b[31m"}',
        b'{"name": 7, "fields": {}}',
        b'{"name": "x", "fields": [1]}',
        json.dumps({f"n{number}": 1 for number in range(33)}).encode(),
        b'{"a": "' + b"x" * LINE_MOST_BYTES + b'"}',
    ],
)
def test_odd_lines_are_counted_and_the_next_one_is_taken(file: File, line: bytes) -> None:
    taken = file.read(line + b"\n", {"a": 1})
    assert [event.fields for event in taken] == [{"a": 1}]
    assert file.marks.odd_count == (1 if line else 0)
    left_out = Event(NOW_S, "events left out", {"too_many": 0, "not_understood": 1})
    assert file.marks.close(NOW_S) == ([left_out] if line else [])


@given(some.binary(max_size=300))
def test_no_bytes_break_the_parser(line: bytes) -> None:
    event = parse(line, START_S, NOW_S)
    assert event is None or json.dumps(event.fields, allow_nan=False)


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=20),
    lambda inner: some.lists(inner) | some.dictionaries(some.text(max_size=8), inner),
    max_leaves=8,
)


@given(some.dictionaries(some.sampled_from(["at", "name", "fields", "a", "b"]), JSON))
def test_no_json_breaks_the_parser_or_the_report(line: dict[str, Any]) -> None:
    event = parse(json.dumps(line).encode(), START_S, NOW_S)
    if event is not None:
        assert json.dumps(event.fields, allow_nan=False)
        phases([event])
        assert set(results([event])) <= set(event.fields)
        assert isinstance(now_text([], event), str)


def test_values_json_lacks_are_texts() -> None:
    event = parse(b'{"a": NaN, "b": -Infinity, "c": 1e999, "d": [NaN]}', START_S, NOW_S)
    assert event is not None
    assert event.fields == {"a": "nan", "b": "-inf", "c": "inf", "d": "[NaN]"}


def test_an_unfinished_line_waits_for_its_end(file: File) -> None:
    assert file.read(b'{"a": ') == []
    assert [event.fields for event in file.read(b'1}\n{"b": 2}')] == [{"a": 1}]
    assert [event.fields for event in file.marks.close(NOW_S)] == [{"b": 2}]


def test_a_line_without_end_takes_no_memory_and_is_one_odd_line(file: File) -> None:
    for _ in range(4):
        assert file.read(b'"' * (1 << 20)) == []
        assert len(file.marks._rest) <= LINE_MOST_BYTES + 1
    assert [event.fields for event in file.read(b"\n", {"a": 1})] == [{"a": 1}]
    assert file.marks.odd_count == 1


def test_a_file_begun_anew_is_read_from_its_start(file: File) -> None:
    file.read({"a": 1, "b": 2})
    file.path.write_bytes(b"")
    assert [event.fields for event in file.read({"c": 3})] == [{"c": 3}]


def test_what_was_read_is_given_back_to_the_file_system(tmp_path: Path, file: File) -> None:
    file.read(*[{"a": "x" * 100}] * 40_000)
    status = file.path.stat()
    assert status.st_size > 4_000_000
    assert status.st_blocks * 512 < 1_000_000
    assert [event.fields for event in file.read({"b": 1}, now_s=NOW_S + 60)] == [{"b": 1}]


def test_a_flood_is_kept_at_a_rate_and_its_last_values_still_count(file: File) -> None:
    total = kept = 0
    for second in range(200):
        file.append({"name": "phase begin", "fields": {"phase": f"p{second}"}})
        kept += sum(
            event.name == "log"
            for event in file.read(*[{"step": total + n} for n in range(500)], now_s=NOW_S + second)
        )
        total += 500
    assert 5000 < kept < 8000
    *_, last, left_out = file.marks.close(NOW_S + 200)
    assert results([last]) == {"step": total - 1}
    assert left_out.fields == {"too_many": total - kept, "not_understood": 0}


def test_a_flood_of_one_name_does_not_displace_another(file: File) -> None:
    taken = file.read(*[{"step": n} for n in range(900)], {"name": "saved"})
    assert [event.name for event in taken] == ["log"] * 100 + ["saved"]
    taken = file.read(*[{"step": n} for n in range(5000)], {"name": "saved"})
    assert [event.name for event in taken] == ["saved"]
    assert file.marks.left_out_count == 800 + 5000


def test_of_very_many_lines_the_last_ones_are_looked_at(file: File) -> None:
    taken = file.read({"name": "old"}, *[{"step": n} for n in range(1000)], {"name": "new"})
    assert [event.name for event in taken] == ["log"] * 100 + ["new"]
    assert file.marks.left_out_count == 901


def test_names_without_end_are_odd(file: File) -> None:
    taken = file.read(*[{"name": f"name {n}"} for n in range(100)])
    assert len(taken) == 64
    assert file.marks.odd_count == 36


def test_the_current_phase_is_known_during_a_run(file: File) -> None:
    def begin(name: str) -> dict[str, object]:
        return {"name": "phase begin", "fields": {"phase": name}}

    file.read(begin("train"), begin("epoch"), {"loss": 0.5}, {"loss": 0.25})
    told = file.marks.told
    assert now_text(told.phases, told.latest) == "train › epoch · loss 0.25"
    file.read({"name": "phase end", "fields": {"phase": "epoch"}})
    assert told.phases == ["train"]


# What events mean


def begun(name: str, at_s: float, pid: int | None = 1) -> Event:
    return Event(at_s, "phase begin", {"phase": name, "pid": pid})


def ended(name: str, at_s: float, pid: int | None = 1, **more: object) -> Event:
    return Event(at_s, "phase end", {"phase": name, "pid": pid, **more})


def test_phases_are_paired_within_their_process() -> None:
    found = phases(
        [
            begun("train", 1),
            begun("train", 2, pid=2),
            begun("epoch", 3),
            ended("train", 4, pid=2, duration_s=2.5, error="MemoryError"),
            ended("epoch", 5),
            begun("epoch", 6),
            ended("load", 7),
        ]
    )
    assert found == [
        Phase("train", 0, 1, None),
        Phase("train", 0, 2, 2.5, "MemoryError"),
        Phase("epoch", 1, 3, 2.0),
        Phase("epoch", 1, 6, None),
    ]


def test_the_innermost_of_one_name_ends_first() -> None:
    found = phases([begun("walk", 1), begun("walk", 2), ended("walk", 3), ended("walk", 5)])
    assert found == [Phase("walk", 0, 1, 4.0), Phase("walk", 1, 2, 1.0)]


def test_results_are_the_last_values_of_logs_and_epochs() -> None:
    found = results(
        [
            Event(1, "log", {"loss": 0.5, "model": "cnn"}),
            Event(2, "epoch", {"epoch": 2, "loss": 0.25, "none": None}),
            Event(3, "step", {"step": 7}),
            ended("load", 4, duration_s=1.0),
            Event(5, "signal", {"signal": "SIGTERM"}),
        ]
    )
    assert found == {"loss": 0.25, "model": "cnn", "epoch": 2.0}
    assert all(type(value) in (float, str) for value in found.values())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.9923, "0.9923"),
        (-0.0951234, "-0.09512"),
        (3, "3"),
        (3.0, "3"),
        (123456.7, "123,457"),
        (1e-9, "1e-09"),
        (True, "true"),
        (False, "false"),
        (None, "–"),
        ("nan", "nan"),
    ],
)
def test_values_read_well(value: object, text: str) -> None:
    assert value_text(value) == text


def test_events_survive_the_store(tmp_path: Path) -> None:
    directory = RunDirectory.create(str(tmp_path / "run"))
    written = [Event(1.0, "log", {"a": 0.5, "b": "\ud800\x1b\u2028", "c": None})]
    directory.append_events(written)
    directory.append_event(written[0])
    assert directory.read_events() == written * 2


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "Epoch 1\ntest_accuracy=0.9923 test_loss=0.0241 epochs=4 seconds=61.3\n",
            {"test_accuracy": 0.9923, "test_loss": 0.0241, "epochs": 4.0, "seconds": 61.3},
        ),
        ("a=1\nb=2", {"b": 2.0}),
        ("a=1\n\n  \n", {"a": 1.0}),
        ("50 %\ra=-1.5e-3", {"a": -0.0015}),
        ("model=cnn loss=nan rate=1e999 n=0x10 m=1_000", None),
        ("a=b=c val/acc=.5", {"a": "b=c", "val/acc": 0.5}),
        ("", {}),
        ("\n \n", {}),
        ("done", {}),
        ("accuracy = 0.9", {}),
        ("loss: 0.5 a=1", {}),
        ("a=", {}),
        ("=1", {}),
        ("1a=1", {}),
        ("a=\x1b[31m1", {}),
        ("\x1b[32ma=1", {}),
        ("a=" + "9" * 201, {}),
        (" ".join(f"n{number}=1" for number in range(33)), {}),
        ("x=1 " * 10_000, {}),
        ("a=" + "１", {"a": "１"}),
        ("score=3 arg='x y'", {"score": 3.0, "arg": "x y"}),
        ('arg="x  y" score=3', {"arg": "x  y", "score": 3.0}),
        ("arg='' b=\"3\"", {"arg": "", "b": 3.0}),
        ("sizes=[1, 2] shape=(3, 4) n=5", {"sizes": "[1, 2]", "shape": "(3, 4)", "n": 5.0}),
        ("arg='x y score=3", {}),
        ("arg='x y'score=3", {}),
        ("arg='x\ty'", {}),
        ("arg=it's b=1", {"arg": "it's", "b": 1.0}),
    ],
)
def test_last_line_is_read_strictly(text: str, wanted: dict[str, object] | None) -> None:
    if wanted is None:
        wanted = {"model": "cnn", "loss": "nan", "rate": "1e999", "n": "0x10", "m": "1_000"}
    assert last_line_results(text) == wanted


@given(some.text())
def test_no_output_breaks_the_last_line(text: str) -> None:
    for name, value in last_line_results(text).items():
        assert name.isprintable()
        assert isinstance(value, float) or value.isprintable()

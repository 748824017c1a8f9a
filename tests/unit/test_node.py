"""The node's own figures: /proc/stat, pressure, and readers that fail alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcwatch.probe.node import NodeReader, parse_cpu, parse_pressure
from hpcwatch.probe.procfs import TICK_S

STAT = b"""\
cpu  100 20 30 4000 50 6 7 8 90 10
cpu0 60 10 20 2000 25 3 4 5 45 5
cpu1 40 10 10 2000 25 3 3 3 45 5
intr 12345 0 0
ctxt 999
btime 1700000000
processes 4242
procs_running 3
procs_blocked 1
softirq 1 2 3
"""


def test_times_of_all_cpus_and_each() -> None:
    values = parse_cpu(STAT)
    assert values["cpu_user_s"] == pytest.approx(120 * TICK_S)  # guests are in user already
    assert values["cpu_system_s"] == pytest.approx(43 * TICK_S)
    assert values["cpu_idle_s"] == pytest.approx(4000 * TICK_S)
    assert values["cpu_iowait_s"] == pytest.approx(50 * TICK_S)
    assert values["cpu_steal_s"] == pytest.approx(8 * TICK_S)
    assert values["core_busy_s"] == pytest.approx([97 * TICK_S, 66 * TICK_S])
    assert (values["cpu_count"], values["runnable_count"], values["blocked_count"]) == (2, 3, 1)


def test_old_kernels_have_fewer_columns() -> None:
    values = parse_cpu(b"cpu  1 2 3 4\ncpu0 1 2 3 4\n")
    assert values["cpu_steal_s"] == 0
    assert values["cpu_count"] == 1


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (b"some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0 total=9\n", 1.5),
        (b"full avg10=0.00 total=9\n", None),
        (b"some avg10=0.00\n", None),
        (b"some total=x\n", None),
        (b"", None),
    ],
)
def test_pressure(raw: bytes, seconds: float | None) -> None:
    assert parse_pressure(raw) == seconds


@given(st.binary(max_size=100))
def test_any_pressure_file_is_read(raw: bytes) -> None:
    parse_pressure(raw)


def test_this_node_can_be_read() -> None:
    errors: dict[str, str] = {}
    node = NodeReader().read(errors)
    assert errors == {}
    assert node.memory_total_bytes
    assert node.memory_available_bytes
    assert node.cpu_count
    assert node.cpu_user_s


def test_a_reader_that_fails_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = NodeReader()

    def broken() -> dict[str, object]:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(reader, "_swap", broken)
    monkeypatch.setattr(reader, "_disk", broken)
    errors: dict[str, str] = {}
    node = reader.read(errors)
    assert set(errors) == {"swap", "disk"}
    assert "no such thing" in errors["swap"]
    assert node.swap_in_bytes is None
    assert node.disk_read_bytes is None
    assert node.memory_total_bytes

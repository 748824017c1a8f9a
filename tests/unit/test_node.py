"""The node's own figures: /proc/stat, pressure, and readers that fail alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcwatch.probe.node import NodeReader, parse_cpu, parse_network, parse_pressure
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
    assert values["cpu_iowait_s"] == pytest.approx(50 * TICK_S)
    assert values["core_busy_s"] == pytest.approx([97 * TICK_S, 66 * TICK_S])
    assert (values["cpu_count"], values["runnable_count"], values["blocked_count"]) == (2, 3, 1)


def test_old_kernels_have_fewer_columns() -> None:
    values = parse_cpu(b"cpu  1 2 3 4\ncpu0 1 2 3 4\n")
    assert values["cpu_iowait_s"] == 0
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


NETWORK = b"""Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop
    lo: 5000 50 0 0 0 0 0 0 5000 50 0 0 0 0 0 0
  eth0: 1200 9 0 0 0 0 0 0 340 4 0 0 0 0 0 0
   ib0:9000000000000 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0
"""


def test_network_is_all_interfaces_but_the_loopback() -> None:
    assert parse_network(NETWORK) == (9000000001200, 347)


def test_a_node_without_interfaces_moved_nothing() -> None:
    assert parse_network(NETWORK[: NETWORK.index(b"  eth0")]) == (0, 0)


def test_old_kernels_do_not_say_what_is_available(tmp_path: Path) -> None:
    folder = tmp_path / "proc"
    folder.mkdir()
    table = "MemTotal: 1000 kB\nMemFree: 300 kB\nBuffers: 10 kB\nCached: 200 kB\n"
    (folder / "meminfo").write_text(table + "SwapTotal: 50 kB\nSwapFree: 20 kB\n")
    node = NodeReader(str(tmp_path)).read({})
    assert node.memory_total_bytes == 1000 * 1024
    assert node.memory_available_bytes is not None
    assert 300 * 1024 <= node.memory_available_bytes <= 510 * 1024
    assert node.swap_used_bytes == 30 * 1024


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
    monkeypatch.setattr(reader, "_load", broken)
    errors: dict[str, str] = {}
    node = reader.read(errors)
    assert set(errors) == {"swap", "load"}
    assert "no such thing" in errors["swap"]
    assert node.swap_in_bytes is None
    assert node.load_1min_count is None
    assert node.memory_total_bytes

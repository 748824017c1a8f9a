"""What goes over NVLink, PCI Express and InfiniBand: counters that are read, rates derived."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from unit_parts import sample

from hpcwatch.analysis.timeline import Timeline
from hpcwatch.analysis.timeline.gpus import GpuTimeline
from hpcwatch.probe.fabric import FabricReader, Traffic
from hpcwatch.probe.node import NodeReader
from hpcwatch.probe.schema import Gpu, Node


def port(root: Path, device: str, number: int, **counters: int | str) -> None:
    """Write a port's counters as sysfs shows them."""
    folder = root / device / "ports" / str(number)
    for name, value in counters.items():
        place = "hw_counters" if name in ("local_ack_timeout_err", "packet_seq_err") else "counters"
        (folder / place).mkdir(parents=True, exist_ok=True)
        (folder / place / name).write_text(f"{value}\n")


def test_counters_of_all_ports_are_summed_up(tmp_path: Path) -> None:
    port(tmp_path, "mlx5_0", 1, port_xmit_data=1000, port_rcv_data=500, symbol_error=2)
    port(tmp_path, "mlx5_1", 1, port_xmit_data=1, port_rcv_data=2, link_downed=1, packet_seq_err=4)
    reader = FabricReader(str(tmp_path))
    assert reader.read() == Traffic(4004, 2008, 7)
    port(tmp_path, "mlx5_0", 1, port_xmit_data=2000)
    assert reader.read().sent_bytes == 8004


def test_what_a_port_does_not_tell_is_unknown(tmp_path: Path) -> None:
    assert FabricReader(str(tmp_path / "none")).read() == Traffic()
    port(tmp_path, "hfi1_0", 1, port_xmit_data="N/A (no PMA)")
    assert FabricReader(str(tmp_path)).read() == Traffic()


def test_a_node_reads_its_ports(tmp_path: Path) -> None:
    port(tmp_path / "sys" / "class" / "infiniband", "mlx5_0", 1, port_xmit_data=5, port_rcv_data=6)
    node = NodeReader(str(tmp_path)).read({})
    assert (node.fabric_sent_bytes, node.fabric_received_bytes) == (20, 24)
    assert node.fabric_error_count is None


def test_the_rate_of_a_node() -> None:
    made = Timeline(1.0)
    for second, (sent, errors) in enumerate([(0, 0), (500, 0), (1500, 3)]):
        node = Node(fabric_sent_bytes=sent, fabric_received_bytes=sent, fabric_error_count=errors)
        made.add(sample(float(second), node=node))
    (host,) = made.hosts.values()
    assert list(host.columns["fabric_bytes_per_s"].mean)[1:] == [1000.0, 2000.0]
    assert list(host.columns["fabric_errors_per_s"].mean)[1:] == [0.0, 3.0]


def device(made: list[tuple[float, Gpu]]) -> GpuTimeline:
    timeline = Timeline(1.0)
    for second, gpu in made:
        timeline.add(sample(second, gpus=[gpu]))
    (host,) = timeline.hosts.values()
    return host.gpus["GPU-1"]


def moved(count: int | None) -> Gpu:
    return Gpu(0, "GPU-1", "H100", nvlink_sent_bytes=count, nvlink_received_bytes=count)


@pytest.mark.parametrize(
    ("counts", "rates"),
    [
        ([0, 100, 400], [None, 100.0, 300.0]),
        ([100, 0, 100], [None, None, 100.0]),  # it wrapped
        ([0, None, 100], [None, None, None]),
    ],
)
def test_the_rate_of_a_device(counts: list[int | None], rates: list[float | None]) -> None:
    gpu = device([(2.0 * step, moved(count)) for step, count in enumerate(counts)])
    found = list(gpu.columns["nvlink_bytes_per_s"].mean)
    assert [None if math.isnan(rate) else rate for rate in found] == rates
    assert all(math.isnan(rate) for rate in gpu.columns["pcie_bytes_per_s"].mean)

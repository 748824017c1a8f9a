"""Energy on a node by a real node_exporter: from its text to the report of a run."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from prometheus_server import NodeExporter

from hpcwatch.probe import exporters
from hpcwatch.probe.exporters import Exporters
from hpcwatch.probe.exporters_http import get
from hpcwatch.probe.exporters_taken import taken
from hpcwatch.probe.probe import Probe
from hpcwatch.probe.schema import Exported
from hpcwatch.probe.spec import Spec

ZONES = {"intel-rapl:0": "package-0", "intel-rapl:1": "package-1", "intel-rapl:0:0": "dram"}
PATIENT_S = 60.0
"""For an answer that takes a fraction of a second, on a machine that is busy."""


class Powered(NodeExporter):
    """A node exporter of a machine with processors that count energy."""

    def options(self) -> list[str]:
        return [
            f"--web.listen-address={self.address}",
            "--collector.disable-defaults",
            "--collector.rapl",
            "--collector.loadavg",
            f"--path.sysfs={self.folder / 'sys'}",
        ]

    def count(self, microjoules: int) -> None:
        """Let each zone's counter stand at this."""
        for zone, name in ZONES.items():
            folder = self.folder / "sys" / "class" / "powercap" / zone
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "name").write_text(f"{name}\n")
            (folder / "max_energy_range_uj").write_text("262143328850\n")
            (folder / "energy_uj").write_text(f"{microjoules}\n")

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


@pytest.fixture
def powered(tmp_path: Path) -> Powered:
    server = Powered(tmp_path / "node", tmp_path)
    server.count(12_500_000)
    return server


def test_the_text_of_a_real_node_exporter_is_understood(powered: Powered) -> None:
    with powered:
        for path in ("/metrics", "/metrics?collect%5B%5D=rapl"):
            found = taken(get(powered.port, path, PATIENT_S), 5.0, ())
            assert found is not None
            assert found.exported == Exported(5.0, [12.5, 12.5], [12.5], "node_exporter")
        assert b"load1" not in get(powered.port, "/metrics?collect%5B%5D=rapl", PATIENT_S)


def test_a_real_node_exporter_without_the_collector_has_nothing(tmp_path: Path) -> None:
    with NodeExporter(tmp_path / "node", tmp_path) as server:
        port = int(server.address.rpartition(":")[2])
        reader = Exporters([port], [])
        reader._thread.join(PATIENT_S)
        assert not reader._thread.is_alive()
        assert reader.read(time.monotonic(), None, {}) == (None, None)


def test_a_probe_reads_the_counters_again_and_no_sample_waits(
    powered: Powered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporters, "_EVERY_S", 0.1)
    monkeypatch.setattr(get, "__defaults__", (PATIENT_S,))
    with powered:
        probe = Probe(Spec(1.0, user=str(os.getuid()), exporter_ports=[powered.port]))
        try:
            first = probe.read()
            assert first.exported is None
            wide = probe._wide
            assert wide is not None
            # Nothing is asked in the first second, which is over early on a machine that stalls.
            assert wide._exporters is None or first.uptime_s >= probe._ask_from_s
            seen: list[Exported] = []
            end_s = time.monotonic() + PATIENT_S
            while len(seen) < 2 and time.monotonic() < end_s:
                sample = probe.read()
                if sample.exported is not None:
                    seen.append(sample.exported)
                    powered.count(20_000_000)
                time.sleep(0.02)
            assert seen[0].package_j == [12.5, 12.5]
            assert seen[-1].package_j is not None
            assert seen[0].read_at_s < seen[-1].read_at_s
        finally:
            probe.close()

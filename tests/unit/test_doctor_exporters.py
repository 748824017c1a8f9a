"""`hpcwatch doctor`: which exporters on a node are asked, and for what."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from exporter_servers import RECORDED, Talk, says, serving
from unit_parts import full_sample

from hpcwatch import config
from hpcwatch.cli.doctor_checks import Check, Level, exporters
from hpcwatch.probe.exporters_listening import is_trusted
from hpcwatch.probe.schema import Exported

RAPL = b'node_rapl_package_joules_total{index="0"} 12.5\n'


def found(monkeypatch: pytest.MonkeyPatch, *ports: int) -> list[Check]:
    settings = config.Settings(exporter_ports=ports)
    monkeypatch.setattr(config, "load_or_default", lambda: settings)
    monkeypatch.setattr(exporters, "_PATIENCE_S", 60.0)  # servers here may wait for a core
    return list(exporters.here())


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port that is ours, on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_an_exporter_is_named_with_what_is_taken(
    monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    with serving(says(RAPL)) as server:
        assert found(monkeypatch, server.port, free_port) == [
            Check(
                "exporters here",
                Level.OK,
                f"port {server.port}: node_exporter, for energy of processors",
            )
        ]


@pytest.mark.parametrize(
    ("name", "level", "words"),
    [
        ("ceems-cgroup2-nvidia.txt", Level.OK, ": CEEMS, for energy of processors"),
        ("dcgm-a100-mig.txt", Level.OK, ": dcgm-exporter, for activity of GPUs"),
        ("slurm-job-exporter.txt", Level.NOTE, " answers, and publishes nothing that hpcwatch"),
    ],
)
def test_recorded_answers_are_known(
    monkeypatch: pytest.MonkeyPatch, name: str, level: Level, words: str
) -> None:
    with serving(says((RECORDED / name).read_bytes())) as server:
        [check] = found(monkeypatch, server.port)
    assert check.level is level
    assert check.found.startswith(f"port {server.port}{words}")


@pytest.mark.parametrize(
    ("talk", "words"),
    [
        (says(b"other 1\n"), "publishes nothing that hpcwatch takes"),
        (says(b"", b"SSH-2.0-OpenSSH_9.2\r\n"), "is no exporter that can be read"),
    ],
)
def test_another_program_is_a_note(monkeypatch: pytest.MonkeyPatch, talk: Talk, words: str) -> None:
    with serving(talk) as server:
        [check] = found(monkeypatch, server.port)
    assert check.level is Level.NOTE
    assert words in check.found


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    [check] = found(monkeypatch, free_port)
    assert (check.level, check.found) == (Level.NOTE, f"none listens on port {free_port}")


def test_a_ban_is_said_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    [check] = found(monkeypatch)
    assert "[exporters] ask is false" in check.found


def test_a_port_of_an_ordinary_user_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(says(RAPL)) as server:
        monkeypatch.setattr(exporters, "listeners", lambda _: {server.port: {54_321}})
        [check] = found(monkeypatch, server.port)
        assert server.count == 0
    assert "ordinary user's: it is not asked" in check.found
    assert not is_trusted({0, 54_321})
    assert is_trusted({0, 999})


def test_what_the_probe_took_on_a_node_is_said_once() -> None:
    exported = Exported(1.0, package_j=[1.0], energy_from="node_exporter")
    samples = [full_sample(0), *(full_sample(n)._replace(exported=exported) for n in (1, 2))]
    [check] = exporters.on_node("node qb1", samples)
    assert check.found == "exporter there: node_exporter, for energy of processors"
    assert list(exporters.on_node("node qb1", samples[:1])) == []

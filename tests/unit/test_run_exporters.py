"""`hpcwatch run` and the exporters on its node: asked later than most programs last, or never."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest
from exporter_servers import HEAD, Talk, serving
from program import Hpcwatch

RAPL = b'node_rapl_package_joules_total{index="0"} 12.5\n'
UNTIL_ASKED = "while [ ! -e asked ]; do sleep 0.1; done"


def exporter(folder: Path) -> Talk:
    """Answer as an exporter does, and leave a file behind."""

    def talk(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(HEAD + RAPL)
        (folder / "asked").touch()

    return talk


def test_a_program_of_seconds_has_what_is_published(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    with serving(exporter(tmp_path)) as server:
        there = {"HPCWATCH_EXPORTERS_PORTS": str(server.port)}
        ended = hpcwatch("run", "-q", "--", "sh", "-c", UNTIL_ASKED, **there)
        assert ended.code == 0
        assert server.count >= 1
    path = hpcwatch.recorded() / "samples.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    published = [line["exported"] for line in lines if line.get("exported")]
    assert published
    assert published[0]["package_j"] == [12.5]
    assert published[0]["energy_from"] == "node_exporter"


@pytest.mark.parametrize(
    ("program", "variables"),
    [
        ("true", {}),
        ("sleep 2", {"HPCWATCH_EXPORTERS_ASK": "false"}),
        ("sleep 2", {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}),
    ],
)
def test_nothing_is_asked_too_early_against_a_ban_or_by_one_of_many(
    hpcwatch: Hpcwatch, tmp_path: Path, program: str, variables: dict[str, str]
) -> None:
    with serving(exporter(tmp_path)) as server:
        there = {"HPCWATCH_EXPORTERS_PORTS": str(server.port), **variables}
        assert hpcwatch("run", "-q", "--", "sh", "-c", program, **there).code == 0
        assert server.count == 0

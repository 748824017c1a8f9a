"""The end of an export whose server does not answer: one line, and no old numbers are left."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from exporter_servers import serving

from hpcwatch.export.exporter import Exporter, Wanted


def test_a_server_that_does_not_answer_leaves_no_text_file_and_is_one_line(tmp_path: Path) -> None:
    asked = threading.Event()

    def silent(connection: socket.socket, over: threading.Event) -> None:
        asked.set()
        over.wait()

    path = tmp_path / "a.prom"
    said: list[str] = []
    with serving(silent) as server:
        url = f"http://127.0.0.1:{server.port}"
        wanted = Wanted(textfile=str(path), otlp=url)
        exporting = Exporter([], wanted, said.append)
        exporting.start()
        assert asked.wait(30)
        assert path.exists()
        exporting.stop()
        assert not path.exists()
        (line,) = said
        assert "the end was not exported" in line

"""What goes wrong with an export is one line, and no old numbers are left at its end."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

import pytest
from exporter_servers import serving

from hpcwatch.export.exporter import Exporter
from hpcwatch.export.wanted import Wanted


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


def test_the_text_file_of_another_run_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hpcwatch.prom"
    said: list[str] = []
    first, second = (Exporter([], Wanted(textfile=str(path)), said.append) for _ in range(2))
    assert first.deliver(1.0)
    assert first.deliver(1.0)
    assert not said
    assert second.deliver(1.0)
    assert not said
    assert first.deliver(1.0)
    assert first.deliver(1.0)
    assert said == [f"{path} is written by another program too: each run needs a file of its own"]
    assert second.deliver(1.0, is_last=True)
    assert path.exists()
    assert first.deliver(1.0, is_last=True)
    assert not path.exists()


def test_a_link_to_the_text_file_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link, target = tmp_path / "link.prom", tmp_path / "real" / "file.prom"
    link.symlink_to(target)
    exporting = Exporter([], Wanted(textfile=str(link)), print)
    assert exporting.deliver(1.0)
    assert target.is_file()
    assert exporting.deliver(1.0, is_last=True)
    assert link.is_symlink()
    assert not target.exists()


@pytest.mark.parametrize("way", ["push", "otlp"])
def test_a_module_that_cannot_be_loaded_any_more_is_one_line(
    monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    import hpcwatch.export

    monkeypatch.delattr(hpcwatch.export, way, raising=False)
    monkeypatch.setitem(sys.modules, f"hpcwatch.export.{way}", None)
    said: list[str] = []
    wanted = Wanted(**{way: "http://127.0.0.1:1"})  # type: ignore[arg-type]
    assert not Exporter([], wanted, said.append).deliver(1.0)
    (line,) = said
    assert line.startswith("not exported to the ")

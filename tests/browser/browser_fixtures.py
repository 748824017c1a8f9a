"""One Chromium for all tests of a session, and the pages they look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import report_scenes as scenes
from chromium import Chromium

from hpcwatch.analysis.findings import Finding, Severity
from hpcwatch.monitor.report import load
from hpcwatch.recording.store import RunDirectory
from hpcwatch.views.report import html

RECORDING = Path(__file__).resolve().parents[2] / "examples" / "recordings" / "mnist_cnn"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """The browser."""
    if shutil.which("chromium") is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with Chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the bundled recording."""
    path = tmp_path_factory.mktemp("pages") / "recorded.html"
    path.write_text(html.page(load(RunDirectory(str(RECORDING)))), "utf-8")
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 64 nodes with 4 GPUs over 8 hours, with a finding on one of them."""
    path = tmp_path_factory.mktemp("pages") / "large.html"
    idle = Finding(
        "gpu-unused",
        Severity.CRITICAL,
        "gpu064",
        "GPU 0",
        scenes.START_S + 7200,
        3600.0,
        "GPU 0 idle 1 h",
        {"util_pct": 0.0},
        "Ask for fewer nodes.",
    )
    report = scenes.many_nodes()._replace(findings=[idle])
    path.write_text(html.page(report, scenes.earlier()), "utf-8")
    return path

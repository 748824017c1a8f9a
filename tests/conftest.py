"""What all tests share: hpcwatch as a program, and the promise that CI skips nothing."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from forked import Server
from hypothesis import settings
from program import Hpcwatch, plain_environment

_MUST_NOT_SKIP = os.environ.get("HPCWATCH_TESTS_MUST_NOT_SKIP") == "1"

# No deadline: machines differ, and so do neighbours. In CI the same examples every time, so that a
# change is judged by what it changes; elsewhere new ones are looked for at every run.
settings.register_profile("hpcwatch", deadline=None, derandomize=_MUST_NOT_SKIP)
settings.load_profile("hpcwatch")


def pytest_collection_finish() -> None:
    """Let garbage collections leave out what stays: all modules and thousands of tests.

    They took a sixth of the processor time of the fast tests.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one where nothing may be skipped."""
    report = yield
    if _MUST_NOT_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        reason = call.excinfo.value if call.excinfo is not None else "no reason given"
        report.longrepr = f"skipped, which is not allowed here: {reason} ({item.nodeid})"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why a test had to run once more, also where it passed then."""
    for report in terminalreporter.stats.get("rerun", ()):
        terminalreporter.section(f"rerun: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Any:
    """Let files that share a machine, a cluster or a job run one after the other."""
    from lanes import scheduling

    return scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def server() -> Server:
    """The process that forks hpcwatch; one for each process of pytest."""
    return Server(plain_environment())


@pytest.fixture
def hpcwatch(tmp_path: Path, request: pytest.FixtureRequest) -> Hpcwatch:
    """The program, with a home below the test's folder; forked where its start is not tested."""
    is_forked = request.path.parent.name == "unit"
    return Hpcwatch(tmp_path, request.getfixturevalue("server") if is_forked else None)


@pytest.fixture(scope="session")
def trainers() -> Path:
    """The folder of the bundled programs."""
    return Path(__file__).resolve().parents[1] / "trainers"

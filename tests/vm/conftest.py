"""One machine for all tests of this folder, up only while they run."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from vm.machine import Machine, missing


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a test that failed ask anew when it runs again."""
    report = yield
    machine = item.funcargs.get("machine") if isinstance(item, pytest.Function) else None
    if report.failed and isinstance(machine, Machine):
        machine.forget()
    return report


@pytest.fixture(scope="package")
def machine() -> Iterator[Machine]:
    """A machine with control groups version 2 that is up."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    with Machine() as machine:
        yield machine

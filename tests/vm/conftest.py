"""One machine for all tests of this folder, up only while they run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vm.machine import Machine, missing

_HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run side by side, let one process run all of these: it has the machine."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("vm"))


@pytest.fixture(scope="package")
def machine() -> Iterator[Machine]:
    """A machine with control groups version 2 that is up."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    with Machine() as machine:
        yield machine

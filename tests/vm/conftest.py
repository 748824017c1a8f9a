"""One machine for all tests of this folder, up only while they run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vm.machine import Machine, missing


@pytest.fixture(scope="package")
def machine() -> Iterator[Machine]:
    """A machine with control groups version 2 that is up."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    with Machine() as machine:
        yield machine

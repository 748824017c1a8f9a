"""What the tests of single modules share: hpcwatch started by forking."""

from __future__ import annotations

from pathlib import Path

import pytest
from forked import Server
from program import Hpcwatch, plain_environment


@pytest.fixture(scope="session")
def server() -> Server:
    """The process that forks hpcwatch; one for each process of pytest."""
    return Server(plain_environment())


@pytest.fixture
def hpcwatch(tmp_path: Path, server: Server) -> Hpcwatch:
    """The program, with a home below the test's folder; its start is not what these tests test."""
    return Hpcwatch(tmp_path, server)

"""Puts the programs' folder on the import path, as running one of them does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TRAINERS = Path(__file__).resolve().parents[2] / "trainers"
sys.path.insert(0, str(TRAINERS))


@pytest.fixture(scope="session")
def trainers() -> Path:
    """The folder of the bundled programs."""
    return TRAINERS

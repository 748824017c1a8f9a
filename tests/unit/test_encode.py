"""JSON as `json` writes it, byte for byte."""

from __future__ import annotations

import json
from enum import Enum, IntEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcwatch.probe.encode import to_plain, to_text
from hpcwatch.probe.schema import Gpu, JobUse, Mig, Sample


class Word(str, Enum):
    LIVE = "live"


class Level(IntEnum):
    HIGH = 2


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
PLAIN = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@settings(max_examples=300, deadline=None)
@given(PLAIN)
def test_any_value_is_written_as_json_writes_it(value: Any) -> None:
    plain = to_plain(value)
    assert to_text(value) == json.dumps(plain, separators=(",", ":"))
    assert to_text(value, "\n") == json.dumps(plain, indent=1)


def test_records_are_objects_without_what_is_unknown() -> None:
    gpu = Gpu(0, "GPU-1", 'a "name"\udcff', mig=Mig(0, "p", 1, 2), xids=[])
    sample = Sample("h", 1.00000049, 2.0, job=JobUse("tree"), gpus=[gpu], errors={})
    assert to_text(sample) == json.dumps(to_plain(sample), separators=(",", ":"))
    assert to_text(sample, "\n") == json.dumps(to_plain(sample), indent=1)
    assert "null" not in to_text(sample)


def test_members_of_enumerations_are_their_values() -> None:
    assert to_text([Word.LIVE, Level.HIGH, (1, 2)]) == '["live",2,[1,2]]'


def test_what_json_does_not_know_is_refused() -> None:
    with pytest.raises(TypeError):
        to_text({"x": object()})

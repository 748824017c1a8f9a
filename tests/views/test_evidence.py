"""The numbers of a finding, as a person reads them."""

from __future__ import annotations

import pytest

from hpcwatch.base.units import GIB, MIB
from hpcwatch.views.report.evidence import label, value


@pytest.mark.parametrize(
    ("name", "figure", "words"),
    [
        ("limit_bytes", 3 * GIB, "limit 3 GiB"),
        ("growth_bytes_per_s", 20 * MIB, "growth 20 MiB/s"),
        ("util_pct", 0.4, "utilisation 0.4 %"),
        ("gpu_memory_peak_bytes", 2 * GIB, "GPU memory peak 2 GiB"),
        ("process_count", 4, "processes 4"),
        ("oom_kill_count", 1, "OOM kills 1"),
        ("left_s", 120, "left 2 min"),
        ("used_mean_cores", 2.12, "used mean cores 2.12"),
        ("workers_count", 16, "workers 16"),
        ("power_w", 61.04, "power 61 W"),
        ("rising_share", 0.85, "rising share 85 %"),
        ("limit_source", "cgroup", "limit source cgroup"),
    ],
)
def test_names_lose_their_unit_and_values_carry_it(
    name: str, figure: float | str, words: str
) -> None:
    assert f"{label(name)} {value(name, figure)}" == words

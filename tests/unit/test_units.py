"""Quantities as text: what is shown, and what schedulers write."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcwatch.base.units import (
    GIB,
    MIB,
    TIB,
    UNKNOWN,
    amount,
    format_bytes,
    format_clock,
    format_cores,
    format_of_bytes,
    format_pct,
    format_seconds,
    parse_bytes,
    parse_clock,
    three_digits,
    unit_of,
)

FORMATS = (format_bytes, format_clock, format_cores, format_pct, format_seconds)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("used_bytes", "bytes"),
        ("cpu_user_s", "s"),
        ("util_pct", "%"),
        ("power_w", "W"),
        ("allowed_cores", "cores"),
        ("thread_count", ""),
        ("status", None),
    ],
)
def test_a_name_carries_its_unit(name: str, unit: str | None) -> None:
    assert unit_of(name) == unit


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (1023, "1 KiB"),
        (1 * MIB, "1 MiB"),
        (1023.9 * MIB, "1 GiB"),
        (1.61 * GIB, "1.61 GiB"),
        (126 * GIB, "126 GiB"),
        (3 * TIB, "3 TiB"),
        (9664 * TIB, "9,664 TiB"),
    ],
)
def test_bytes_are_binary(value: float, text: str) -> None:
    assert format_bytes(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (161, "2:41"), (9667, "2:41:07"), (259200, "72:00:00")],
)
def test_a_clock_is_written_as_schedulers_do(seconds: float, text: str) -> None:
    assert format_clock(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.352, "0.35 s"),
        (99, "99 s"),
        (720, "12 min"),
        (9660, "2 h 41 min"),
        (7200, "2 h"),
        (266400, "3 d 2 h"),
        (259200, "3 d"),
    ],
)
def test_a_duration_reads_as_a_sentence(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize("formatted", FORMATS)
def test_unknown_is_never_zero(formatted: object) -> None:
    assert callable(formatted)
    assert formatted(None) == UNKNOWN
    assert formatted(math.nan) == UNKNOWN


def test_used_of_total_names_the_unit_once() -> None:
    assert format_of_bytes(1.61 * GIB, 126 * GIB) == "1.61 of 126 GiB"
    assert format_of_bytes(3 * MIB, 126 * GIB) == "3 MiB of 126 GiB"
    assert format_of_bytes(None, 126 * GIB) == f"{UNKNOWN} of 126 GiB"


def test_percentages_show_a_digit_where_it_matters() -> None:
    assert [format_pct(value) for value in (0, 0.049, 0.05, 7.42, 9.96, 77.3)] == [
        "0 %",
        "<0.1 %",
        "0.1 %",
        "7.4 %",
        "10 %",
        "77 %",
    ]


def test_one_of_a_thing_has_no_plural() -> None:
    values = (0, 0.5, 0.998, 1, 1.5, 1234)
    assert [amount(value, "core-hour") for value in values] == [
        "0 core-hours",
        "0.5 core-hours",
        "1 core-hour",
        "1 core-hour",
        "1.5 core-hours",
        "1,234 core-hours",
    ]


@given(st.floats(min_value=0, max_value=1e6))
def test_three_digits_are_close_and_plain(value: float) -> None:
    text = three_digits(value)
    assert re.fullmatch(r"[\d,]+(\.\d{1,2})?", text)
    assert abs(float(text.replace(",", "")) - value) <= max(0.0051 * value, 0.00501)


@given(st.integers(min_value=0, max_value=2**53), st.sampled_from(["", "b", "B"]))
def test_whole_bytes_come_back(value: int, suffix: str) -> None:
    assert parse_bytes(f"{value}{suffix}") == value


@given(st.integers(min_value=0, max_value=10**6))
def test_formatted_bytes_parse_close_to_the_value(value: int) -> None:
    text = format_bytes(float(value) * 1024).replace(",", "")
    parsed = parse_bytes(text)
    assert parsed is not None
    assert abs(parsed - value * 1024) <= 0.0051 * value * 1024 + 6


@given(st.integers(min_value=0, max_value=10**8))
def test_a_formatted_clock_parses_back(seconds: int) -> None:
    assert parse_clock(format_clock(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1300m", 1300 * MIB),
        ("12gb", 12 * GIB),
        ("12GiB", 12 * GIB),
        ("318247.50K", round(318247.5 * 1024)),
        ("400mb", 400 * MIB),
        ("64000kb", 64000 * 1024),
        ("5b", 5),
        (" 2tb ", 2 * TIB),
        ("0", 0),
    ],
)
def test_memory_as_schedulers_write_it(text: str, value: int) -> None:
    assert parse_bytes(text) == value


@pytest.mark.parametrize("text", ["", "--", "-1", "gb", "1 2", "12xb", "nan", "inf", "1e9"])
def test_text_that_is_not_memory_is_none(text: str) -> None:
    assert parse_bytes(text) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("973:29:15", ((973 * 60) + 29) * 60 + 15),
        ("1-02:03:00", 86400 + 2 * 3600 + 180),
        ("1-02:03", 86400 + 2 * 3600 + 180),
        ("1-02", 86400 + 2 * 3600),
        ("1:06:00:00", 86400 + 6 * 3600),
        ("72:00:00", 72 * 3600),
        ("2:41", 161),
        ("108000", 108000),
    ],
)
def test_times_as_schedulers_write_them(text: str, seconds: int) -> None:
    assert parse_clock(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "--", "-", "-5", "-1:00", "1-", ":", "1::2", "UNLIMITED", "1:2:3:4:5", "٣:00"]
)
def test_text_that_is_not_a_time_is_none(text: str) -> None:
    assert parse_clock(text) is None


@given(st.text(alphabet="0123456789:-.kmgtb ", max_size=400) | st.text(max_size=20))
def test_foreign_text_raises_nothing(text: str) -> None:
    parse_bytes(text)
    parse_clock(text)


@pytest.mark.parametrize("length", [400, 5000])
def test_absurdly_long_numbers_raise_nothing(length: int) -> None:
    parse_bytes("9" * length)
    parse_clock("9" * length)

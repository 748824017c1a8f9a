"""Recorded answers, damaged: a clear error or UNKNOWN, never a traceback."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parse_parts import ALL, Recorded, outcome, recorded, utc

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.schedulers import pbspro, torque
from hpcwatch.cluster.schedulers.query import Answer

RECORDED = list(recorded())
WITH_TEXT = [one for one in RECORDED if len(one.answer.stdout) > 40]
WRAPPED = [
    one
    for one in WITH_TEXT
    if one.parse in (torque.jobs_from_text, pbspro.jobs_from_text)
    and one.path.parent.name != "wrapper"
    and one.answer.stdout.startswith(b"Job Id")
]
DATED = [one for one in WITH_TEXT if re.search(rb"(Mon|Tue) Nov", one.answer.stdout)]
FEW = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def in_utc() -> Iterator[None]:
    with utc():
        yield


def is_fit(one: Recorded, stdout: bytes) -> None:
    """The parser finds records or complains in words."""
    found = outcome(one.parse, one.answer._replace(stdout=stdout))
    if isinstance(found, dict) and "error" in found:
        assert found["message"]


@FEW
@given(st.sampled_from(WITH_TEXT), st.data())
def test_cut_off_anywhere(one: Recorded, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(one.answer.stdout)))
    is_fit(one, one.answer.stdout[:end])


@FEW
@given(st.sampled_from(WITH_TEXT), st.data())
def test_a_missing_or_damaged_line_is_survived(one: Recorded, data: st.DataObject) -> None:
    raw = one.answer.stdout
    begin = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(begin, min(begin + 200, len(raw))))
    is_fit(one, raw[:begin] + data.draw(st.binary(max_size=30)) + raw[end:])


@FEW
@given(st.sampled_from(WRAPPED), st.data())
def test_long_lines_may_break_anywhere(one: Recorded, data: st.DataObject) -> None:
    """Unwrapped and wrapped again at other places, with a tab or retyped with spaces."""
    indent = data.draw(st.sampled_from(["\n\t", "\n        "]))
    text = one.answer.stdout.decode("utf-8", "surrogateescape")
    lines = re.sub(r"\n(\t| {8,})", "", text).split("\n")
    for number, line in enumerate(lines):
        before, equals, value = line.partition(" = ")
        if equals and len(value) > 8 and line.startswith("    "):
            at = data.draw(st.integers(1, len(value) - 1))
            # A break beside a space or a backslash is not one that any server makes twice.
            if value[at] not in " \t\\" and value[at - 1] != "\\":
                lines[number] = f"{before} = {value[:at]}{indent}{value[at:]}"
    raw = "\n".join(lines).encode("utf-8", "surrogateescape")
    assert outcome(one.parse, one.answer._replace(stdout=raw)) == one.expected


GERMAN = {b"Mon Nov": b"Mo Nov", b"Tue Nov": b"Di Nov"}
FRENCH = {b"Mon Nov 23": b"lun. 23 nov.", b"Tue Nov": b"mar. nov."}
JAPANESE = {b"Mon Nov": "月 11月".encode(), b"Tue Nov": "火 11月".encode("euc-jp")}


@pytest.mark.parametrize("words", [GERMAN, FRENCH, JAPANESE], ids=["de", "fr", "ja"])
def test_another_locale_s_dates_are_unknown_and_nothing_else_changes(
    words: dict[bytes, bytes],
) -> None:
    for one in DATED:
        raw = one.answer.stdout
        for english, foreign in words.items():
            raw = raw.replace(english, foreign)
        found = outcome(one.parse, one.answer._replace(stdout=raw))
        if isinstance(found, list):
            for job, before in zip(found, one.expected, strict=True):
                kept = {key for key in before if not key.endswith("at_s") and key != "reason"}
                assert {key: job[key] for key in kept} == {key: before[key] for key in kept}
                assert "submitted_at_s" not in job or b"SubmitTime=" in raw or b"_time" in raw


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(
            st.sampled_from(
                [b"Job Id: ", b"1.qb3\n", b"    ", b"\t", b" = ", b"\n", b"job_state", b"JobId=1 ",
                 b"exec_host = ", b"qb1/0-3+", b"Nodes=qb[1-", b"] CPU_IDs=0-1 Mem=1 GRES=gpu(IDX:",
                 b"JobID|State\n", b"|", b"{", b'"Jobs":', b'"jobs":', b"[", b"]", b"}", b"<Data>",
                 b"<Job>", b"</Job>", b"9" * 30, b"\xe9", b"\\\n", b"\x00", b"Walltime.Remaining",
                 b"job 1\n\nState: Idle\n", b"WallTime: 1 of ", b" requires ",
                 b"PBS job: 1, nodes: 1\n"]
            ),
            max_size=30,
        ).map(b"".join),
    ),
    st.sampled_from([0, 1, 153]),
)  # fmt: skip
def test_nonsense_breaks_no_parser(raw: bytes, code: int) -> None:
    for parse in ALL:
        for answer in (Answer(raw, b"", code, 1.8e9), Answer(b"", raw, code, 1.8e9)):
            try:
                parse(answer)
            except HpcwatchError as error:
                assert error.message

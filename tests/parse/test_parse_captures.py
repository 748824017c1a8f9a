"""Every recorded answer: what its parser finds is what a person read in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from parse_parts import ALL, Recorded, answer_of, others, outcome, plain, recorded, utc

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.schedulers import pbspro, torque

RECORDED = list(recorded())


@pytest.fixture(autouse=True)
def in_utc() -> Iterator[None]:
    with utc():
        yield


@pytest.mark.parametrize("one", RECORDED, ids=lambda one: f"{one.path.parent.name}/{one.path.stem}")
def test_recorded_answer(one: Recorded) -> None:
    assert outcome(one.parse, one.answer) == one.expected


@pytest.mark.parametrize("one", RECORDED, ids=lambda one: f"{one.path.parent.name}/{one.path.stem}")
def test_windows_line_ends_change_nothing(one: Recorded) -> None:
    stdout = one.answer.stdout.replace(b"\n", b"\r\n")
    assert outcome(one.parse, one.answer._replace(stdout=stdout)) == one.expected


def test_no_answer_breaks_any_parser() -> None:
    for path in [*others(), *(one.path for one in RECORDED)]:
        answer = answer_of(path)
        for parse in ALL:
            try:
                parse(answer)
            except HpcwatchError as error:
                assert error.message


def by_name(name: str) -> Recorded:
    return next(one for one in RECORDED if f"{one.path.parent.name}/{one.path.stem}" == name)


@pytest.mark.parametrize("number", ["0_xml-running", "2_xml-newline-vars"])
def test_torque_says_the_same_in_xml_as_in_text(number: str) -> None:
    in_xml = by_name(f"torque/qstat-x-{number}")
    in_text = next(
        one for one in RECORDED if one.path.match(f"torque/qstat-f-{number[0]}_running*.txt")
    )
    assert outcome(in_xml.parse, in_xml.answer) == outcome(in_text.parse, in_text.answer)


def test_openpbs_says_the_same_in_json_as_in_text() -> None:
    in_json = by_name("pbspro/qstat-x-f-json-all_all").answer
    in_text = by_name("pbspro/qstat-x-f-all_all").answer
    found = pbspro.jobs_from_json(in_json)
    assert len(found) == 15
    assert plain(found) == plain(pbspro.jobs_from_text(in_text))


def test_slurm_says_the_same_in_json_as_in_text() -> None:
    in_json = {job["id"]: job for job in by_name("slurm/squeue-json_mixed").expected}
    for job in by_name("slurm/scontrol-show-job-all_mixed").expected:
        if job["owner"] == "alice":
            job.pop("output_path", None)  # which 22.05's JSON leaves empty
            job.pop("error_path", None)
            assert in_json.pop(job["id"]) == job
    assert not in_json


def test_an_array_s_answer_is_cut_down_to_the_array() -> None:
    one = by_name("torque/qstat-f-array-parent-without-t_returns-all-jobs")
    assert [job["id"] for job in one.expected] == ["6[].qb3"]
    assert len(torque.jobs_from_text(one.answer)) > 10

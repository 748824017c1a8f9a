"""When a request would start that is not submitted: what sbatch and showbf print."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from program import ROOT, Hpcwatch

from hpcwatch.analysis.findings import Directive
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cli.suggested import applied
from hpcwatch.cluster.client import Asker
from hpcwatch.cluster.schedulers import dialect, start_moab, start_slurm
from hpcwatch.cluster.schedulers.query import Answer
from hpcwatch.cluster.schedulers.request import Needs
from hpcwatch.cluster.start_estimate import Start, Starts, Wish, starts
from hpcwatch.views.report.start import sentence

NOW_S = 1_795_000_000.0
HOUR_S = 3600

# Recorded: Maui 3.3.2 on Torque 6.1.3.
MAUI = b"""backfill window (user: 'alice' group: 'alice' partition: ALL) Mon Nov 23 12:44:27

 53 procs available for      00:58:57
 37 procs available for    1:05:58:57


"""
# From Moab's public manual, showbf.
MOAB = b"""Partition     Tasks  Nodes      Duration   StartOffset       StartDate
---------     -----  -----  ------------  ------------  --------------
ALL              40     10       4:00:00      00:00:00  11:44:04_11/26
ALL               4      4      INFINITY      00:00:00  11:44:04_11/26
ALL              80     20      INFINITY       4:00:00  15:44:04_11/26
"""


def slurm_answer(text: str, code: int = 0) -> Answer:
    return Answer(b"", text.encode(), code, NOW_S, "sbatch")


def test_sbatch_is_asked_with_the_words_of_the_lines_and_no_script() -> None:
    lines = ("#SBATCH -c 4 --mem=8G # all", "#SBATCH -J 'a b'", "#SBATCH -t 1:00:00")
    assert start_slurm.query(lines).argv == (
        *("sbatch", "--test-only", "-c", "4", "--mem=8G", "-J", "a b", "-t", "1:00:00", "--wrap=:"),
    )


def test_sbatch_s_estimate() -> None:
    parse = start_slurm.query(()).parse
    said = "sbatch: Job 17 to start at 2026-11-30T06:10:00 using 4 processors on nodes qb001 in ..."
    expected = time.mktime((2026, 11, 30, 6, 10, 0, 0, 0, -1))
    assert parse(slurm_answer(said)) == expected
    with pytest.raises(HpcwatchError, match="not available"):
        parse(slurm_answer("allocation failure: Requested node configuration is not available", 1))
    with pytest.raises(HpcwatchError, match="not understood"):
        parse(slurm_answer("sbatch: hm"))


@pytest.mark.parametrize(
    ("text", "cores", "wall_s", "fits"),
    [
        (MAUI, 53, 3537, True),
        (MAUI, 53, 3538, False),
        (MAUI, 37, 24 * HOUR_S, True),
        (MAUI, 54, 60, False),
        (
            b"backfill window (user: 'x') Mon\n\n  8 procs available with no timelimit\n",
            8,
            10**7,
            True,
        ),
        (b"backfill window (user: 'x') Mon\n\nno procs available\n", 1, 60, False),
        (MOAB, 40, 4 * HOUR_S, True),
        (MOAB, 4, 10**7, True),
        (MOAB, 80, 60, False),  # only in four hours
    ],
)
def test_showbf_s_gaps(text: bytes, cores: int, wall_s: int, fits: bool) -> None:
    found = start_moab.gaps_from_showbf(Answer(text, at_s=NOW_S))
    at_s = start_moab.start_s(found, Needs(1, cores, walltime_s=wall_s))
    assert at_s == (NOW_S if fits else None)


def test_what_showbf_says_otherwise_is_not_understood() -> None:
    with pytest.raises(HpcwatchError, match="not understood"):
        start_moab.gaps_from_showbf(Answer(b"hm", command="showbf"))


def test_one_question_for_each_request_and_what_fails_is_one_reason() -> None:
    asked: list[tuple[str, ...]] = []

    def run(argv: object) -> Answer:
        assert isinstance(argv, tuple)
        asked.append(argv)
        if "99" in argv:
            return slurm_answer("sbatch: error: Requested node configuration is not available", 1)
        return slurm_answer("sbatch: Job 1 to start at 2026-11-30T06:10:00 using 1 processors")

    wishes = [Wish(("#SBATCH -c 99",), Needs(1)), Wish(("#SBATCH -c 1",), Needs(1))]
    found = starts("slurm", wishes, Asker(run))
    assert len(asked) == 2
    assert found.starts[0].at_s is None
    assert "not available" in found.starts[0].why
    assert found.starts[1].at_s is not None


def test_maui_is_asked_once_for_both() -> None:
    asked: list[object] = []

    def run(argv: object) -> Answer:
        asked.append(argv)
        return Answer(MAUI, at_s=NOW_S)

    wishes = [Wish((), Needs(1, 53, walltime_s=7200)), Wish((), Needs(1, 8, walltime_s=7200))]
    found = starts("torque", wishes, Asker(run))
    assert [one.at_s for one in found.starts] == [None, NOW_S]
    assert len(asked) == 1


def test_pbs_pro_has_no_such_question() -> None:
    assert dialect("pbspro").trial is None
    with pytest.raises(HpcwatchError, match="does not say when"):
        starts("pbspro", [])


@pytest.mark.parametrize(
    ("wait_s", "words"),
    [(5.0, "now"), (-60.0, "now"), (14 * 60.0, "in 14 min"), (100 * 60.0, "in 100 min")],
)
def test_when_in_words(wait_s: float, words: str) -> None:
    two = Starts((Start(NOW_S + wait_s), Start(NOW_S)), "X")
    assert sentence(two, NOW_S) == f"As requested: {words}. As suggested: now (X)."


def test_later_is_told_by_the_clock_and_later_still_by_the_day() -> None:
    at_s = NOW_S + 5 * HOUR_S
    clock = time.strftime("%H:%M", time.localtime(at_s))
    assert f"about {clock}." in sentence(Starts((Start(at_s), Start(None, "no")), "X"), NOW_S)
    at_s = NOW_S + 50 * HOUR_S
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(at_s))
    assert f"about {day}." in sentence(Starts((Start(at_s), Start(None, "no")), "X"), NOW_S)


def test_a_copy_has_other_directives_and_all_other_lines() -> None:
    text = "#!/bin/sh\n#SBATCH -c 20\n# why\n#SBATCH -J x\n\ncd x\n#SBATCH -c 20\n\xe9\n"
    changes = [
        Directive("slurm", "#SBATCH -c 20", "#SBATCH -c 4"),
        Directive("slurm", None, "#SBATCH --time=1:00:00"),
        Directive("slurm", "#SBATCH -J x", None),
        Directive("slurm", "#SBATCH --mem=9G", "#SBATCH --mem=2G"),  # was on the submit line
    ]
    assert applied(text, changes, "#SBATCH") == (
        "#!/bin/sh\n#SBATCH -c 4\n# why\n#SBATCH --time=1:00:00\n#SBATCH --mem=2G\n\ncd x\n"
        "#SBATCH -c 20\n\xe9\n"
    )
    bare = applied("#!/bin/sh\necho\n", [Directive("slurm", None, "#SBATCH -c 1")], "#SBATCH")
    assert bare == "#!/bin/sh\n#SBATCH -c 1\necho\n"


RECORDING = ROOT / "examples" / "recordings" / "mnist_cnn"


def test_when_goes_with_the_text_of_a_run_of_our_own(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    ended = hpcwatch("report", RECORDING, "--when", "--format", "json")
    assert (ended.code, ended.out) == (2, "")
    assert ended.complaint == (
        "hpcwatch: no --when: it goes with the report as text: leave out --format and -o"
    )
    ended = hpcwatch("report", RECORDING, "--when")
    assert ended.code == 0
    last = "No other request is suggested, so there is no other start to compare."
    assert ended.out.splitlines()[-1] == last


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_another_user_s_lines_are_not_put_to_the_scheduler(
    hpcwatch: Hpcwatch, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign"
    shutil.copytree(RECORDING, foreign)
    os.chown(foreign, 12345, 12345)
    ended = hpcwatch("report", foreign, "--when")
    assert ended.code == 2
    assert ended.complaint.startswith("hpcwatch: no --when: the recording is another user's")

"""Findings that change the same line of a script give one new line together."""

from __future__ import annotations

import pytest
from finding_samples import START_S, Device, Shape, finding, job, timeline
from unit_parts import run

from hpcwatch.analysis.findings import Directive
from hpcwatch.analysis.findings.directives import merged
from hpcwatch.analysis.report import Report, build
from hpcwatch.base.units import GIB
from hpcwatch.views.report import markdown, terminal
from hpcwatch.views.report.html import page
from hpcwatch.views.report.next_script import next_script, own_changes

NODES = "#PBS -l nodes=1:ppn=20:gpus=2:k40"
CASES = {
    "different words": (
        (NODES, "#PBS -l nodes=1:ppn=4:gpus=2:k40"),
        (NODES, "#PBS -l nodes=1:ppn=20:gpus=1:k40"),
        "#PBS -l nodes=1:ppn=4:gpus=1:k40",
    ),
    "a word gone": (
        (NODES, "#PBS -l nodes=1:ppn=4:gpus=2:k40"),
        (NODES, "#PBS -l nodes=1:ppn=20:k40"),
        "#PBS -l nodes=1:ppn=4:k40",
    ),
    "the same word: the larger": (
        (NODES, "#PBS -l nodes=1:ppn=4:gpus=2:k40"),
        (NODES, "#PBS -l nodes=1:ppn=12:gpus=2:k40"),
        "#PBS -l nodes=1:ppn=12:gpus=2:k40",
    ),
    "gone or smaller: it stays": (
        (NODES, "#PBS -l nodes=1:ppn=20:k40"),
        (NODES, "#PBS -l nodes=1:ppn=20:gpus=1:k40"),
        "#PBS -l nodes=1:ppn=20:gpus=1:k40",
    ),
    "one line of several resources": (
        ("#PBS -l nodes=2:ppn=4,mem=8gb,walltime=72:00:00",
         "#PBS -l nodes=2:ppn=1,mem=8gb,walltime=72:00:00"),
        ("#PBS -l nodes=2:ppn=4,mem=8gb,walltime=72:00:00",
         "#PBS -l nodes=2:ppn=4,mem=8gb,walltime=1:15:00"),
        "#PBS -l nodes=2:ppn=1,mem=8gb,walltime=1:15:00",
    ),
    "two durations": (
        ("#SBATCH --time=72:00:00", "#SBATCH --time=9:30:00"),
        ("#SBATCH --time=72:00:00", "#SBATCH --time=10:00:00"),
        "#SBATCH --time=10:00:00",
    ),
    "sizes in two units": (
        ("#SBATCH --mem=8G", "#SBATCH --mem=1536M"),
        ("#SBATCH --mem=8G", "#SBATCH --mem=2G"),
        "#SBATCH --mem=2G",
    ),
    "words added": (
        ("#PBS -l select=1:ncpus=4", "#PBS -l select=1:ncpus=4:mem=6gb"),
        ("#PBS -l select=1:ncpus=4", "#PBS -l select=1:ncpus=1"),
        "#PBS -l select=1:ncpus=1:mem=6gb",
    ),
    "lines added": ((None, "#PBS -l mem=6gb"), (None, "#PBS -l mem=10gb"), "#PBS -l mem=10gb"),
    "a line gone or changed: it stays": (
        ("#SBATCH --gres=gpu:2", None),
        ("#SBATCH --gres=gpu:2", "#SBATCH --gres=gpu:1"),
        "#SBATCH --gres=gpu:1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(CASES))
def test_two_changes_of_a_line(case: str) -> None:
    one, other, expected = CASES[case]
    pair = [Directive("torque", *one), Directive("torque", *other)]
    for changes in (pair, pair[::-1]):
        (made,) = merged(changes)
        assert made.old == one[0]
        assert made.new == expected


def test_other_lines_and_other_schedulers_stay_apart() -> None:
    changes = [
        Directive("torque", NODES, "x"),
        Directive("slurm", NODES, "y"),
        Directive("torque", None, "#PBS -l mem=1gb"),
        Directive("torque", None, "#PBS -l walltime=1:00:00"),
    ]
    assert list(merged(changes)) == changes


FAILED = Shape(
    length_s=9667,
    cores=1.0,
    used=1.6 * GIB,
    node_total=64 * GIB,
    node_used=4.0 * GIB,
    cpu_count=20,
    gpus=(Device(util=0.0, power=20.0), Device(util=0.0, power=20.0)),
    job=job(gpus_count=2, walltime_s=72 * 3600),
    found_by="cgroup",
)


def failed() -> Report:
    """A run whose findings ask for fewer cores and for no GPU, and that carries no header."""
    ended_at_s = START_S + FAILED.length_s
    of = run(job=FAILED.job, hosts=[FAILED.host], started_at_s=START_S, ended_at_s=ended_at_s,
             wall_s=FAILED.length_s, interval_s=FAILED.interval_s, exit_code=1)  # fmt: skip
    changes = (
        ("#PBS -l nodes=1:ppn=20:gpus=2", "#PBS -l nodes=1:ppn=1:gpus=2"),
        ("#PBS -l nodes=1:ppn=20:gpus=2", "#PBS -l nodes=1:ppn=20"),
    )
    found = [
        finding(f"rule-{number}", directives=(Directive("torque", old, new),))
        for number, (old, new) in enumerate(changes)
    ]
    return build(of, timeline(FAILED))._replace(findings=found)


def test_all_views_show_one_new_line() -> None:
    made = failed()
    assert [change.new for change in next_script(made).changes] == ["#PBS -l nodes=1:ppn=1"]
    assert [own_changes(made, one) for one in made.findings] == [[], []]
    for text in (terminal.text(made, False), markdown.text(made), page(made)):
        assert text.count("+ #PBS -l") == 1
        assert "+ #PBS -l nodes=1:ppn=1:" not in text

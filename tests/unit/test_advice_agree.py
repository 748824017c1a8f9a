"""A finding about a too large request never names another amount than the suggestion beside it."""

from __future__ import annotations

from test_advice import asked, seen
from unit_parts import GIB, START_S

from hpcwatch.analysis.advice_agree import agreeing
from hpcwatch.analysis.findings import Finding, Severity
from hpcwatch.analysis.needs import Observed
from hpcwatch.analysis.rightsize import advise
from hpcwatch.cluster.schedulers import Job

JOB = asked()
BY_RULE = "Ask for 6 GiB, 1.2 times the peak: smaller jobs start earlier."


def told(runs: list[Observed], rule: str = "memory-over-asked", job: Job = JOB) -> Finding:
    found = Finding(
        rule,
        Severity.INFO,
        "",
        "job",
        START_S,
        60.0,
        "too much",
        {"needed_bytes": 6 * GIB},
        BY_RULE,
    )
    other = found._replace(rule="cpu-idle")
    of_rule, untouched = agreeing([found, other], advise(job, runs), job, {})
    assert untouched == other
    return of_rule


def test_one_run_leaves_the_rule_s_own_words() -> None:
    assert told([seen()]).advice == BY_RULE


def test_earlier_runs_that_needed_more_are_counted() -> None:
    finding = told([seen(20.0), seen(21.0), seen(5.0)])
    suggested = advise(JOB, [seen(20.0), seen(21.0), seen(5.0)]).new
    assert suggested is not None
    assert finding.evidence["needed_bytes"] == suggested.node_memory_bytes
    assert finding.advice.endswith("3 runs of this work needed up to 21 GiB.")
    assert [one.new for one in finding.directives] == [
        f"#SBATCH --mem={(suggested.node_memory_bytes or 0) // GIB}G"
    ]


def test_a_request_that_an_earlier_run_needed_is_kept() -> None:
    finding = told([seen(60.0), seen(61.0), seen(5.0)])
    assert finding.advice.startswith("Keep the memory: 3 runs of this work needed up to 61 GiB")
    assert finding.directives == ()


def test_an_amount_that_drifts_is_kept() -> None:
    finding = told([seen(2.0 + number) for number in range(12)])
    assert finding.advice.startswith("Keep the memory: over the last 12 runs the need drifts")
    assert finding.directives == ()


def test_the_walltime_agrees_too() -> None:
    finding = told([seen(wall_s=3000.0), seen(wall_s=3300.0)], "walltime-over-asked")
    assert "2 runs of this work needed up to 55:00" in finding.advice


def test_a_refused_suggestion_changes_nothing() -> None:
    assert told([seen()._replace(flaw="it failed")]).advice == BY_RULE

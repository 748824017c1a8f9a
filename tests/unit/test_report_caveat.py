"""What is said of memory that only the scheduler accounts."""

from __future__ import annotations

import pytest

from hpcwatch import config
from hpcwatch.analysis.report.to_json import to_plain
from hpcwatch.cluster.schedulers.job import Coverage, Job, JobState, Usage
from hpcwatch.monitor import report as reading
from hpcwatch.views.report.unwatched import unwatched_words

CAVEAT = "Memory may count huge pages twice."


@pytest.mark.parametrize("caveat", ["", CAVEAT])
def test_a_report_of_accounts_says_what_its_memory_may_hold(caveat: str) -> None:
    usage = Usage(Coverage.JOB, cpu_s=90.0, memory_bytes=1 << 30)
    job = Job("77", "slurm", state=JobState.COMPLETED, usage=usage, started_at_s=1e9)
    report = reading.accounted(job, config.Settings())._replace(caveat=caveat)
    assert to_plain(report)["caveat"] == (caveat or None)
    assert (CAVEAT in unwatched_words(report)) is bool(caveat)

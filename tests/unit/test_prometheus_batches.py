"""Past jobs are asked for together, in bounds, and come in their order whatever happens."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from exporter_servers import says, serving

from hpcwatch import config
from hpcwatch.cli.history_prometheus import Filler
from hpcwatch.cluster.prometheus.asking import JobAsked
from hpcwatch.cluster.prometheus.batches import Batch, Look, Wish, batches, look_of
from hpcwatch.cluster.schedulers.history import PastJob

START_S = 1_700_000_000.0
NOTHING = json.dumps({"status": "success", "data": {"result": []}}).encode()
HEAD = b"HTTP/1.0 200 OK\r\n\r\n"


def wish(place: int, length_s: float, after_s: float = 0.0, series_count: int = 1) -> Wish:
    start_s = START_S + after_s
    job = JobAsked(str(place), (str(place),), (), start_s, start_s + length_s)
    return Wish(place, job, series_count)


def made(*wishes: Wish) -> list[Batch]:
    found = list(batches(wishes))
    places = sorted(one.place for batch in found for one in batch.wishes)
    assert places == sorted(one.place for one in wishes)
    for batch in found:
        assert batch.span.start_s <= min(one.job.start_s for one in batch.wishes)
        assert batch.span.end_s >= max(one.job.end_s for one in batch.wishes)
        assert len(batch.wishes) <= 100
        assert len(batch.wishes) == 1 or (
            (batch.span.end_s - batch.span.start_s) / batch.span.step_s <= 3000
            and sum(one.series_count for one in batch.wishes) <= 2000
        )
    return found


@pytest.mark.parametrize(
    ("length_s", "look"),
    [
        (60.0, Look(15.0, 15.0)),
        (1499.0, Look(15.0, 15.0)),
        (1500.0, Look(60.0, 150.0)),
        (12_000.0, Look(60.0, 150.0)),
        (12_001.0, Look(120.0, 150.0)),
        (7 * 86_400.0, Look(3840.0, 3840.0)),
    ],
)
def test_a_job_is_looked_at_as_often_as_its_length_needs(length_s: float, look: Look) -> None:
    assert look_of(length_s) == look


def test_jobs_of_like_length_and_time_are_asked_for_together() -> None:
    assert made() == []
    assert len(made(*(wish(place, 600, 10 * place) for place in range(100)))) == 1
    assert len(made(*(wish(place, 600, 10 * place) for place in range(101)))) == 2
    assert len(made(wish(0, 600), wish(1, 36_000))) == 2
    assert len(made(wish(0, 600), wish(1, 600, after_s=40_000))) == 1
    assert len(made(wish(0, 600), wish(1, 600, after_s=50_000))) == 2
    assert len(made(wish(0, 600, series_count=1500), wish(1, 600, series_count=1500))) == 2
    week_s = 7 * 86_400  # 158 points
    assert len(made(*(wish(place, week_s, series_count=150) for place in range(2)))) == 1
    assert len(made(*(wish(place, week_s, series_count=500) for place in range(2)))) == 2


def test_a_job_that_is_too_large_for_any_batch_is_asked_for_alone() -> None:
    assert len(made(wish(0, 600), wish(1, 600, series_count=99_999), wish(2, 600))) == 3


def past_jobs(count: int) -> list[PastJob]:
    ran = {"started_at_s": START_S, "ended_at_s": START_S + 600, "ran_s": 600.0}
    return [PastJob(str(place), "slurm", **ran) for place in range(count)]  # type: ignore[arg-type]


def test_jobs_come_in_their_order_and_without_a_prometheus_at_once() -> None:
    jobs = past_jobs(2500)
    with serving(says(NOTHING, HEAD)) as server:
        filler = Filler(config.Prometheus(f"http://127.0.0.1:{server.port}", "jobstats"))
        assert list(filler.filled(iter(jobs))) == jobs
    assert (filler.troubles(), filler.notes()) == ([], [])
    waiting = iter(jobs)
    assert next(iter(Filler(None).filled(waiting))) == jobs[0]
    assert next(waiting) == jobs[1]  # nothing was kept back


def test_after_an_interrupt_what_came_is_not_lost() -> None:
    jobs = past_jobs(3)

    def stopped() -> Iterator[PastJob]:
        yield from jobs
        raise KeyboardInterrupt

    filler = Filler(config.Prometheus("http://127.0.0.1:1", "jobstats"))
    found: list[PastJob] = []
    with pytest.raises(KeyboardInterrupt):
        found.extend(filler.filled(stopped()))
    assert found == jobs


def test_a_job_that_ran_for_seconds_is_not_asked_for_and_says_why() -> None:
    short = past_jobs(1)[0]._replace(ended_at_s=START_S + 20, ran_s=20.0)
    with serving(says(NOTHING, HEAD)) as server:
        filler = Filler(config.Prometheus(f"http://127.0.0.1:{server.port}", "jobstats"))
        assert list(filler.filled([short])) == [short]
        assert server.count == 0
    assert filler.notes()[0].startswith("1 job of less than 5 min had too few readings")

"""What a sweep cost and what went wrong with it, from bars made by hand; and how it is shown."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import pytest
from program import Hpcwatch

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.sweep import estimate, findings, joblog, outcome
from hpcwatch.sweep.attempts import Attempt, Ended, Started
from hpcwatch.sweep.bars import Balance
from hpcwatch.sweep.best import Goal
from hpcwatch.sweep.joblog import JoblogRow
from hpcwatch.sweep.picture import Picture, Place
from hpcwatch.sweep.plan import Plan, Task
from hpcwatch.sweep.vitals import Vitals
from hpcwatch.views.sweep import chart, data, sweep_table
from hpcwatch.views.sweep import live as sweep_live
from hpcwatch.views.sweep import page as sweep_html
from hpcwatch.views.text import line_width, render

TORN = "3\tqb001\t17000"
GOAL = Goal("acc", False)


def from_rows(*rows: tuple[str, float, float, int]) -> outcome.Outcome:
    """An outcome of rows (host, start, length, exit code)."""
    made = [
        JoblogRow(seq, host, start, length, code, 0, f"train {seq}")
        for seq, (host, start, length, code) in enumerate(rows, 1)
    ]
    return outcome.of_joblog("j", made, "here")


def test_a_joblog_is_read_as_parallel_writes_it() -> None:
    text = (
        f"{joblog.HEAD}\n"
        "2\tqb002\t1700000010.500\t     3.250\t0\t0\t1\t0\tpython t.py 2\n"
        "1\t:\t1700000000.000\t     2.000\t0\t0\t0\t0\tpython 'a\tb'\n"
        "nonsense\n"
        "2\t1/qb003\t1700000020.000\t     4.000\t0\t0\t0\t15\tpython t.py 2\n" + TORN
    )
    rows = joblog.parse(text)
    assert [(row.seq, row.host, row.exit_code, row.signal) for row in rows] == [
        (1, ":", 0, 0),
        (2, "1/qb003", 0, 15),
    ]
    assert rows[0].command == "python 'a\tb'"
    assert joblog.parse_line(rows[1].line()) == rows[1]
    made = outcome.of_joblog("j", rows, "here")
    assert [row.how for row in made.rows] == ["ok", "signal 15"]
    assert [place.name for place in made.places] == ["here", "qb003"]
    with pytest.raises(HpcwatchError, match="not a joblog"):
        joblog.parse("hello\n")


def test_busy_share_tail_and_balance() -> None:
    made = from_rows(("a", 0, 10, 0), ("b", 0, 20, 0), ("a", 10, 10, 0), ("a", 20, 40, 0))
    assert (made.slots_count, made.end_s) == (2, 60)
    assert made.busy_pct == pytest.approx(100 * 80 / 120)
    # The last task is handed out at 20 s; from then on one of two slots has nothing for 40 s.
    assert made.tail_slot_s == pytest.approx(40)
    assert made.balance == Balance(dealt_s=60, free_s=60, longest_first_s=40, ideal_s=40)
    assert from_rows(("a", 5, 0, 0)).busy_pct is None


def test_lanes_of_a_host_do_not_overlap() -> None:
    made = from_rows(*(("a", start / 2, 3.0, 0) for start in range(20)))
    for one in made.bars:
        for other in made.bars:
            if (one.lane, one.host) == (other.lane, other.host) and one.task < other.task:
                assert one.end_s <= other.start_s
    assert made.slots_count == 6


def rules(made: outcome.Outcome) -> list[str]:
    return [finding.rule for finding in findings.evaluate(made)]


def test_a_long_task_at_the_end() -> None:
    rows = [("a", 100.0 * n, 100.0, 0) for n in range(4)] + [
        ("b", 0.0, 400.0, 0),
        ("c", 0.0, 400.0, 0),
    ]
    assert rules(from_rows(*rows)) == []
    rows.append(("a", 400.0, 600.0, 0))
    (finding,) = findings.evaluate(from_rows(*rows))
    assert finding.rule == "sweep-tail"
    assert finding.evidence["busy_pct"] == pytest.approx(100 / 3)
    assert finding.evidence["saved_s"] == pytest.approx(400)
    assert "longest-first" in finding.advice


def test_a_slow_host_and_a_failing_one() -> None:
    def on(slow_s: float, code: int = 0) -> list[tuple[str, float, float, int]]:
        rows = [(host, 100.0 * n, 90.0, 0) for host in ("a", "b") for n in range(6)]
        return rows + [("c", 100.0 * n, slow_s, code) for n in range(6)]

    assert rules(from_rows(*on(90))) == []
    assert rules(from_rows(*on(115))) == []
    (finding,) = findings.evaluate(from_rows(*on(125)))
    assert (finding.rule, finding.host) == ("sweep-slow-host", "c")
    (finding,) = findings.evaluate(from_rows(*on(90, code=1)))
    assert (finding.rule, finding.host) == ("sweep-slow-host", "c")
    assert "6 of 6 tasks failed on c" in finding.title


def with_devices(
    devices: Sequence[str], count: int, length_s: float = 300.0, host: str = "a"
) -> outcome.Outcome:
    made = from_rows(*((host, 0.0, length_s, 0) for _ in devices))
    bars = [bar._replace(device=one) for bar, one in zip(made.bars, devices, strict=True)]
    places = [place._replace(devices_count=count) for place in made.places]
    return made._replace(bars=bars, places=places)


def test_two_tasks_on_one_gpu_while_another_has_none() -> None:
    assert rules(with_devices(["0", "0"], 2)) == ["sweep-gpu-collision"]
    assert rules(with_devices(["0", "1"], 2)) == []
    assert rules(with_devices(["0", "0"], 1)) == []
    assert rules(with_devices(["0", "0", "1"], 2)) == []
    assert rules(with_devices(["0", "0"], 2, length_s=59)) == []


def test_one_task_a_node_that_uses_little_of_it() -> None:
    def using(cpu_s: float, gpu_pct: float | None = None, gpus: int = 0) -> list[str]:
        made = from_rows(("a", 0, 100, 0), ("b", 0, 100, 0), ("a", 100, 100, 0), ("b", 100, 100, 0))
        rows = [row._replace(cpu_s=cpu_s, gpu_util_mean_pct=gpu_pct) for row in made.rows]
        places = [one._replace(cores_count=20, devices_count=gpus) for one in made.places]
        return rules(made._replace(rows=rows, places=places))

    assert using(200) == ["sweep-one-per-node"]
    assert using(700) == []
    assert using(200, gpu_pct=80, gpus=1) == []
    assert using(200, gpu_pct=80, gpus=2) == ["sweep-one-per-node"]


def test_tasks_too_short() -> None:
    assert rules(from_rows(*(("a", n, 0.5, 0) for n in range(20)))) == ["sweep-short-tasks"]
    assert rules(from_rows(*(("a", n, 0.5, 0) for n in range(19)))) == []
    assert rules(from_rows(*(("a", 2.0 * n, 1.5, 0) for n in range(20)))) == []


def test_each_finding_is_explained(hpcwatch: Hpcwatch) -> None:
    names = hpcwatch("explain").out
    for name in findings.RULES:
        assert name in names
        said = hpcwatch("explain", name)
        assert (said.code, said.out.splitlines()[0]) == (0, name)
        assert len(said.out.splitlines()) > 2


def test_durations_are_learned_per_value() -> None:
    done = [
        estimate.Done({"layers": layers, "seed": seed}, wall_s)
        for layers, wall_s in (("1", 60.0), ("2", 120.0), ("3", 240.0))
        for seed in ("a", "b", "c", "d")
    ]
    durations = estimate.Durations(done)
    foretold = [durations.of({"layers": one, "seed": "e"}) for one in ("1", "2", "3", "9")]
    assert all(value is not None for value in foretold)
    first, second, third, other = (value or 0.0 for value in foretold)
    assert first == pytest.approx(60, rel=0.2)
    assert second == pytest.approx(120, rel=0.2)
    assert third == pytest.approx(240, rel=0.2)
    assert other == pytest.approx(120, rel=0.01)
    assert estimate.Durations(done[:2]).of({"layers": "1"}) is None


def test_the_end_is_predicted_task_by_task() -> None:
    assert estimate.end_in_s([(100, 40), (100, 90)], [50, 50], 2) == pytest.approx(110)
    assert estimate.end_in_s([(100, 300)], [], 1) == pytest.approx(30)  # it runs longer than told
    assert estimate.end_in_s([], [30, 20, 10], 3) == pytest.approx(30)
    none = estimate.Durations([])
    ordered = estimate.longest_first([{"n": "2"}, {"n": "x"}, {"n": "30"}], none)
    assert [one["n"] for one in ordered] == ["30", "2", "x"]


PLAN = Plan("id", "mnist", ["t", "{n}"], ["n"], "/", "1", 0, None, None, None, "given", 4, 0.0)


def picture(now_s: float = 1000.0, trouble: str = "") -> Picture:
    tasks = [Task(number, {"n": str(number)}, ["t", str(number)]) for number in range(1, 8)]
    places = [Place("qb001", 1), Place("qb002", 1, trouble=trouble)]

    def attempt(number: int, host: str, start_s: float, code: int | None) -> Attempt:
        started = Started(number, 1, host, 1, 1, start_s, 0)
        if code is None:
            return Attempt(started, None)
        results = {"acc": number / 10} if code == 0 else {}
        ended = Ended(number, 1, start_s + 100, 100.0, code, None, results=results)
        return Attempt(started, ended)

    attempts = {
        1: [attempt(1, "qb001", 700, 0)],
        2: [attempt(2, "qb002", 700, 0)],
        3: [attempt(3, "qb001", 800, 0)],
        4: [attempt(4, "qb002", 800, 1)],
        5: [attempt(5, "qb001", 900, None)],
    }
    return Picture(PLAN, tasks, places, attempts, "/none", 700.0, now_s, False)


def shown(made: Picture, width: int = 100, height: int = 20) -> list[str]:
    live = sweep_live.Live(
        made, {5: Vitals(2.04, 1 << 30, 81.0, 1)}, {4: "ResourceExhausted\x1b[2J: OOM"}, GOAL
    )
    return [render(line, False) for line in sweep_live.lines(live, width, height)]


def test_the_live_view_says_what_runs_where() -> None:
    lines = shown(picture(now_s=950))
    assert "7 tasks on 2 hosts × 1 slot · 4 done, 1 running, 2 to go · ends about" in lines[0]
    assert "57 %" in lines[1]
    assert "best: n=3 → 0.3000 acc (task 3)" in lines[1]
    assert "qb001  task 5 n=5   0:50 of ~1:40   GPU 81 %   2 done" in lines[2]
    assert "qb002  idle   2 done" in lines[3]
    assert "▲ task 4 failed (exit 1): ResourceExhausted\\x1b[2J: OOM" in lines[4]
    assert "gets no more tasks: refused" in "\n".join(shown(picture(trouble="refused")))


@pytest.mark.parametrize("width", [20, 40, 80])
@pytest.mark.parametrize("height", [3, 5, 20])
def test_the_live_view_fits(width: int, height: int) -> None:
    made = picture()
    lines = sweep_live.lines(sweep_live.Live(made, {}, {}, None), width, height)
    assert len(lines) <= height
    assert max(map(line_width, lines)) <= width


def test_a_narrow_live_view_keeps_what_matters() -> None:
    lines = shown(picture(now_s=950), width=79)
    assert lines[0].startswith(" mnist · 7 tasks · 4 done, 1 running, 2 to go · ends about ")
    assert "…" not in lines[0]
    assert lines[1].endswith("best: n=3 → 0.3000 acc (task 3)")


def test_a_pause_between_two_jobs_is_no_idle_time() -> None:
    """Gone on with the next morning: neither are slots idle at night, nor is there a tail."""
    evening = [("a", 100.0 * n, 100.0, 0) for n in range(4)] + [("b", 0.0, 400.0, 0)]
    night_s = 9 * 3600.0
    morning = [("a", night_s + 100.0 * n, 100.0, 0) for n in range(4)] + [("b", night_s, 400.0, 0)]
    made = from_rows(*evening, *morning)
    assert made.paused_s == night_s - 400
    assert made.ran_s == 800
    assert made.busy_pct == pytest.approx(100)
    assert findings.evaluate(made) == []
    text = "\n".join(render(line, False) for line in sweep_table.lines(made, [], None, None, 80))
    assert "13:20, paused for 8:53:20" in text
    assert "as they came: 13:20;" in text.replace("\n", " ")
    assert "in 13:20, paused for 8:53:20;" in sweep_html.page(made, [], None)
    few = [("c", 0.0, 400.0, 0), ("a", night_s, 400.0, 0), ("b", night_s, 10.0, 0)]
    (tail,) = findings.evaluate(from_rows(*evening, *few))
    assert tail.rule == "sweep-tail"
    assert tail.duration_s == pytest.approx(160)
    short = [("a", night_s, 40.0, 0), ("b", night_s, 40.0, 0)]  # the last fifth began at night
    assert findings.evaluate(from_rows(*evening, *short)) == []
    soon = [("a", 100.0 * n, 100.0, 0) for n in (0, 1)] + [("b", 260.0, 100.0, 0)]
    assert from_rows(*soon).paused_s == 0


def test_a_task_that_was_stopped_and_then_failed_failed_once() -> None:
    made = picture()
    (last,) = made.attempts[4]
    assert last.ended is not None
    stopped = last._replace(ended=last.ended._replace(is_stopped=True))
    attempts = {**made.attempts, 4: [stopped, last]}
    assert "task 4 failed (exit 1)" in "\n".join(shown(made._replace(attempts=attempts)))
    attempts = {**made.attempts, 4: [last, last]}
    assert "task 4 failed twice (exit 1)" in "\n".join(shown(made._replace(attempts=attempts)))


def test_a_table_too_wide_for_its_terminal_leaves_columns_out() -> None:
    """What is given, what is gone by and how it ended stay; what is left out is named."""
    made = outcome.of_picture(picture()._replace(is_over=True))
    more = {"loss": 0.25, "epoch": 12, "seconds_per_step": 0.125}
    rows = [
        row._replace(results={**row.results, **more}, cpu_s=1e4, memory_peak_bytes=1 << 30)
        for row in made.rows
    ]
    made = made._replace(rows=rows)

    def head(most_width: float) -> list[str]:
        lines = sweep_table.lines(made, [], GOAL, None, 80, None, most_width)
        text = [render(line, False) for line in lines]
        start = next(place for place, line in enumerate(text) if line.startswith("task  n"))
        assert max(map(len, text[start : start + 8])) <= max(most_width, 45)
        (left,) = [line for line in text if line.startswith("no room for")] or [""]
        return [text[start], left]

    first, left = head(math.inf)
    assert (first.split()[-1], left) == ("ended", "")
    assert "host" in first
    widest = len(first.removesuffix("ended")) + len("unknown end")
    assert head(widest) == [first, ""]
    shown, left = head(widest - 1)
    assert left == "no room for: cores (--format csv has all)"
    shown, left = head(20)
    assert shown.split() == ["task", "n", "acc", "took", "host", "ended"]
    assert (
        left == "no room for: loss, epoch, seconds_per_step, cores, memory (--format csv has all)"
    )
    made = made._replace(places=made.places[:1])
    assert head(widest - 1)[1] == "no room for: host (--format csv has all)"


def test_failures_are_shown_with_their_last_lines() -> None:
    made = outcome.of_picture(picture()._replace(is_over=True))
    lines = sweep_table.lines(made, [], GOAL, None, 50, {4: "OOM\x1b[2J " + 80 * "x"})
    (told,) = [render(line, False) for line in lines if "failed (" in render(line, False)]
    assert told.startswith("▲ task 4 failed (exit 1): OOM\\x1b[2J xxx")
    assert len(told) == 50
    rows = [made.rows[3]._replace(number=number, trouble="no such") for number in range(1, 9)]
    lines = sweep_table.lines(made._replace(rows=rows), [], GOAL, None, 80)
    text = "\n".join(render(line, False) for line in lines)
    assert "▲ task 5 failed (exit 1): no such\n▲ 3 more tasks failed" in text


def test_long_sentences_are_wrapped() -> None:
    rows = [("a", 100.0 * n, 90.0, 0) for n in range(6)]
    made = from_rows(*rows, *(("b", 300.0 * n, 250.0, 0) for n in range(6)))
    found = findings.evaluate(made)
    lines = sweep_table.lines(made, found, None, None, 40)
    start = next(place for place, line in enumerate(lines) if "Slots were" in render(line, False))
    told = [render(line, False) for line in lines[start:]]
    assert max(map(len, told)) <= 40
    assert "sweep-slow-host" in " ".join(told)
    assert not any(line.endswith("…") for line in told)


def test_the_end_is_not_predicted_from_two_tasks() -> None:
    made = picture()
    few = made._replace(attempts={1: made.attempts[1], 5: made.attempts[5]})
    assert "end not known yet" in shown(few)[0]


def test_the_results_in_every_form() -> None:
    made = outcome.of_picture(picture()._replace(is_over=True))
    found = findings.evaluate(made)
    text = "\n".join(
        render(line, False) for line in sweep_table.lines(made, found, GOAL, "acc", 90)
    )
    assert "3 ended well, 1 failed, 3 still to be done" in text
    assert "best: n=3 → 0.3000 acc (task 3)" in text
    assert text.index("0.3000  1:40") < text.index("0.1000  1:40")
    plain = json.loads(data.to_json(made, found, GOAL))
    assert [task["how"] for task in plain["tasks"]] == [
        "ok", "ok", "ok", "exit 1", "unknown end", "not run", "not run",
    ]  # fmt: skip
    assert set(plain) == {
        "schema_version", "name", "parameters", "started_at", "wall_s", "paused_s", "slots",
        "busy_pct", "tail_slot_s", "balance", "hosts", "best", "tasks", "bars", "findings",
    }  # fmt: skip
    rows = data.to_csv(made, made.rows).splitlines()
    assert rows[0].startswith("task,n,acc,started_at,how,host")
    assert rows[1].startswith("1,1,0.1,1970-01-01T")
    page = sweep_html.page(made, found, GOAL)
    assert page.count("<circle") == 4  # three results, and a ring around the best
    assert page.count("<rect") == 5
    with pytest.raises(HpcwatchError, match="it is one of: n, acc, time"):
        sweep_table.ordered(made, "nothing", GOAL)


def test_foreign_text_stays_text() -> None:
    evil = "<script>=x\x1b]0;t\x07"
    rows = [JoblogRow(1, evil, 0.0, 100.0, 0, 0, "=cmd()" + evil)]
    made = outcome.of_joblog(evil, rows, "here")
    page = sweep_html.page(made, [], None)
    assert "<script>=x" not in page
    assert page.count("<script") == 1  # our own
    assert "\x1b" not in page
    table = sweep_table.lines(made, [], None, None, 80)
    assert "\x1b" not in "".join(render(line, False) for line in table)
    assert "'=cmd()" in data.to_csv(made, made.rows)
    assert "\x1b" not in "".join(render(line, False) for line in chart.lines(made, 60))

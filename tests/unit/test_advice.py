"""The ledger: what a run predicts of the next one of the same work, and what becomes of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from program import Hpcwatch
from unit_parts import GIB, START_S, job, run, sample

from hpcwatch.analysis.advice import made
from hpcwatch.analysis.advice_check import Check, Past, check, latest
from hpcwatch.analysis.advice_track import tracks
from hpcwatch.analysis.advice_work import work_of
from hpcwatch.analysis.needs import Observed
from hpcwatch.analysis.report.to_json import to_json
from hpcwatch.cluster.schedulers import Job
from hpcwatch.cluster.schedulers.request import Needs
from hpcwatch.monitor.report import load, past_runs
from hpcwatch.probe.schema import Node, to_line
from hpcwatch.recording import previous_runs, store
from hpcwatch.recording.store import Run, RunDirectory
from hpcwatch.views.report import terminal
from hpcwatch.views.report.advice import outcome

HOUR_S = 3600.0
LASTS_S = 1200


def asked(cores: int = 20, memory_gib: int = 64, walltime_s: int = 7200, **more: Any) -> Job:
    return Job(
        **{
            "id": "1",
            "scheduler": "slurm",
            "name": "train",
            "nodes": ("n1",),
            "cores_count": cores,
            "node_cores_count": cores,
            "node_memory_bytes": memory_gib * GIB,
            "walltime_s": walltime_s,
            "script_lines": (
                f"#SBATCH -c {cores}",
                f"#SBATCH --mem={memory_gib}G",
                f"#SBATCH -t {walltime_s // 60}",
            ),
            "submit_arguments": "sbatch run.sh",
            **more,
        }
    )


def seen(memory_gib: float = 5.0, wall_s: float = HOUR_S, **more: Any) -> Observed:
    return Observed(wall_s, 3.1, round(memory_gib * GIB), None, 1, None)._replace(**more)


def of(number: int = 0, request: Job | None = None, words: str = "./sim", **more: Any) -> Run:
    values: dict[str, Any] = {
        "id": f"20260101-0000{number:02}-sim-000000",
        "name": "sim",
        "argv": words.split(),
        "started_at_s": START_S + 7200 * number,
        "job": request or asked(),
        **more,
    }
    return run(**values)


def past(before: list[Past], one: Run, observed: Observed) -> Past:
    """A run as its recording tells it after its report was made."""
    assert one.job is not None
    return Past(one, work_of(one), observed, made(one, one.job, observed, before).prediction)


def checked(request: Job, observed: Observed, words: str = "./sim", first: str = "./sim") -> Check:
    """Check the advice of one run against a second."""
    before = past([], of(0, words=first), seen())
    found = made(of(1, request, words), request, observed, [before]).check
    assert found is not None
    return found


# Which runs are the same work


def same(first: Run, second: Run) -> bool:
    return work_of(first).key == work_of(second).key


def test_runs_of_other_numbers_are_the_same_work_and_those_of_other_words_are_not() -> None:
    base = of(words="./sim --n 1000 in_001.dat")
    assert same(base, of(words="./sim --n 5000 in_7.dat"))
    assert same(base, of(words="/opt/sim --n 5000 /scratch/in_7.dat"))
    assert not same(base, of(words="./sim --n 1000 out_001.dat"))
    assert not same(base, of(words="./sim --m 1000 in_001.dat"))
    assert not same(base, of(words="./sim --n 1000"))
    assert not same(of(words="./sim resnet50"), of(words="./sim resnet18"))
    assert not same(base, of(request=asked(name="other"), words="./sim --n 1000 in_001.dat"))


def test_code_on_the_command_line_is_one_word() -> None:
    one, other = of(words="python"), of(words="python")
    one.argv.extend(["-c", "held = 300 << 20", "5"])
    other.argv.extend(["-c", "held = 400 << 20", "5"])
    assert not same(one, other)
    assert [number.label for number in work_of(one).numbers] == ["argument 3"]


def test_numbers_are_called_by_their_option() -> None:
    numbers = work_of(of(words="./sim --n 1000 --lr=1e-3 in_7.dat 2.5 resnet50 v1.2.3")).numbers
    assert [(one.label, one.value) for one in numbers] == [
        ("--n", 1000.0),
        ("--lr", 0.001),
        ("argument 4", 7.0),
        ("argument 5", 2.5),
    ]


def test_a_watched_job_is_its_script_s_commands_whatever_its_file_is_called() -> None:
    def watched(line: str, digest: str | None) -> Run:
        request = asked(submit_arguments=line, script_hash=digest)
        return of(request=request, words="", kind="job")._replace(argv=[])

    base = watched("sbatch -c 20 run.sh --n 5", "aa")
    assert same(base, watched("sbatch -c 4 copies/other.sh --n 7", "aa"))
    assert same(base, watched("sbatch -c 4 copies/run.sh --n 7", "aa"))
    assert not same(base, watched("sbatch -c 20 run.sh --n 5", "bb"))
    assert not same(base, watched("sbatch -c 20 run.sh --n 5", None))


# Following, and holding


def test_a_first_run_predicts_and_is_not_checked() -> None:
    told = made(of(), asked(), seen(), [])
    said = told.prediction
    assert told.check is None
    assert said is not None
    assert said.memory_bytes == 6 * GIB
    assert said.wall_s == pytest.approx(4320)
    assert said.cores == pytest.approx(3.1 / 1.2)
    assert said.suggested == Needs(1, 4, None, 6 * GIB, 4500)
    assert (said.runs_count, said.risk) == (1, None)


def test_followed_and_held() -> None:
    found = checked(asked(4, 6, 4500), seen(5.5, 3000.0))
    assert (found.followed, found.result) == ("followed", "held")
    assert outcome(found) == (
        "followed, held (peak 5.5 of at most 6 GiB predicted, ended after 50:00 of at most 1:12:00,"
        " 3.1 cores busy of at least 2.58)"
    )


@pytest.mark.parametrize(
    ("request_now", "followed"),
    [
        (asked(4, 6, 4500), "followed"),
        (asked(4, 6, 4680), "followed"),  # people round
        (asked(4, 6, 7200), "partly followed"),
        (asked(4, 64, 7200), "partly followed"),
        (asked(), "not followed"),
        (asked(8, 32, 6000), "not followed"),  # less, but not what was suggested
        (asked(2, 5, 3600), "followed"),
    ],
)
def test_what_following_is(request_now: Job, followed: str) -> None:
    assert checked(request_now, seen()).followed == followed


def test_advice_that_changes_nothing_is_not_followed_but_its_prediction_is_checked() -> None:
    right = asked(4, 6, 4500)
    before = past([], of(0, right), seen())
    found = made(of(1, right), right, seen(5.5), [before]).check
    assert found is not None
    assert (found.followed, found.result) == ("", "held")
    assert outcome(found).startswith("held (peak 5.5 of at most 6 GiB")


def test_not_followed_would_have_held() -> None:
    assert outcome(checked(asked(), seen(5.5))).startswith("not followed, would have held (")


def test_a_peak_beyond_the_prediction_is_a_miss() -> None:
    found = checked(asked(), seen(6.5))
    assert found.result == "missed"
    assert "missed: peak 6.5 of at most 6 GiB predicted, exceeded" in outcome(found)


def test_fewer_busy_cores_are_said_and_no_miss() -> None:
    found = checked(asked(4, 6, 4500), seen(cores=1.0))
    assert found.result == "held"
    assert "1 cores busy of at least 2.58, fewer" in outcome(found)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"killed_memory_bytes": 9 * GIB}, "followed, missed: killed over its memory limit"),
        ({"killed_wall_s": 5400.0}, "followed, missed: killed at its walltime"),
    ],
)
def test_a_kill_is_a_miss_though_nothing_else_of_the_run_counts(
    more: dict[str, Any], words: str
) -> None:
    found = checked(asked(4, 6, 4500), seen(flaw="killed", **more))
    assert outcome(found) == words


def test_a_kill_at_less_than_was_predicted_is_the_user_s_own() -> None:
    killed = seen(flaw="killed", killed_memory_bytes=4 * GIB)
    found = checked(asked(4, 3, 4500), killed)
    assert outcome(found) == (
        "followed, not checked: killed at a memory limit below what was predicted"
    )
    killed = seen(flaw="killed", killed_wall_s=720.0)
    assert checked(asked(4, 6, 600), killed).result == "unknown"


def test_a_run_that_failed_checks_nothing() -> None:
    found = checked(asked(4, 6, 4500), seen(50.0, flaw="it failed: x"))
    assert found.result == "unknown"
    assert outcome(found) == "followed, not checked: it failed: x"


def test_a_miss_of_another_size_is_none_and_a_run_of_another_size_that_holds_does() -> None:
    found = checked(asked(), seen(20.0), "./sim --n 5000", "./sim --n 1000")
    assert found.result == "other size"
    assert outcome(found) == "not followed, does not apply: --n is 5000, it was 1000"
    assert checked(asked(), seen(2.0), "./sim --n 500", "./sim --n 1000").result == "held"


def test_a_number_that_was_seen_not_to_matter_is_no_excuse() -> None:
    runs: list[Past] = []
    for number in range(4):
        runs.append(past(runs, of(number, words=f"./sim --seed {number}"), seen()))
    found = made(of(9, words="./sim --seed 9"), asked(), seen(20.0), runs).check
    assert found is not None
    assert found.result == "missed"


def test_each_size_has_its_own_history_and_the_report_says_so() -> None:
    runs: list[Past] = []
    for number in range(12):
        size = (1000, 5000)[number % 2]
        one = of(number, words=f"./sim --n {size}")
        runs.append(past(runs, one, seen(size / 250 + 0.01 * number)))
    told = made(of(20, words="./sim --n 1000"), asked(), seen(4.0), runs)
    assert told.prediction is not None
    assert told.prediction.memory_bytes is not None
    assert told.prediction.memory_bytes < 5 * GIB
    assert told.prediction.runs_count == 7
    assert [(one.label, one.value) for one in told.prediction.fixed] == [("--n", 1000.0)]
    assert any("this holds for --n 1000 only" in note for note in told.advice.notes)
    assert latest(runs, work_of(of(words="./sim --n 1000"))) == runs[-2]


def test_a_changed_script_is_said_and_begins_anew() -> None:
    def watched(number: int, digest: str) -> Run:
        request = asked(id=str(number), script_hash=digest)
        return of(number, request, kind="job")._replace(argv=[])

    first = past([], watched(0, "aa"), seen())
    told = made(watched(1, "bb"), asked(), seen(), [first])
    assert told.check is None
    assert any("commands have changed" in note for note in told.advice.notes)


def test_a_job_that_was_watched_twice_counts_once() -> None:
    def watched(number: int, name: str) -> Run:
        return of(number, asked(id=name), kind="job")._replace(argv=[])

    runs = [past([], watched(0, "7"), seen()), past([], watched(1, "7"), seen())]
    told = made(watched(2, "8"), asked(id="8"), seen(), runs)
    assert told.prediction is not None
    assert told.prediction.runs_count == 2
    again = made(watched(3, "7"), asked(id="7"), seen(), runs)
    assert again.check is None  # a job's other recording is no run before it


def test_fewer_nodes_were_followed() -> None:
    two = asked(nodes=("n1", "n2"))
    before = past([], of(0, two), seen(nodes_count=1))
    assert before.prediction is not None
    assert before.prediction.suggested.nodes_count == 1
    found = check(before, of(1, asked(4, 6, 4500)), seen())
    assert found is not None
    assert found.followed == "followed"


# The track record


def history(*turns: tuple[Job, Observed]) -> list[Past]:
    runs: list[Past] = []
    for number, (request, observed) in enumerate(turns):
        runs.append(past(runs, of(number, request), observed))
    return runs


def test_hours_are_counted_in_the_runs_that_followed() -> None:
    small = asked(4, 6, 4500)
    (track,) = tracks(
        history((asked(), seen()), (small, seen()), (small, seen(wall_s=1800.0)), (asked(), seen()))
    )
    assert (track.advised_count, track.followed_count) == (1, 1)
    assert track.count("held") == 3
    assert [step.saved.core_hours for step in track.steps] == pytest.approx([0, 16, 8, 0])
    assert track.saved.memory_byte_hours == pytest.approx(1.5 * 58 * GIB)


def test_who_requests_more_than_before_saves_nothing() -> None:
    more = asked(40, 64, 7200)
    (track,) = tracks(history((asked(), seen()), (asked(4, 6, 4500), seen()), (more, seen())))
    assert [step.saved.core_hours for step in track.steps] == pytest.approx([0, 16, 0])


def test_a_run_that_was_killed_saves_nothing_and_its_hours_are_lost() -> None:
    small = asked(4, 6, 4500)
    killed = seen(flaw="killed", killed_memory_bytes=9 * GIB)
    (track,) = tracks(history((asked(), seen()), (small, killed)))
    assert track.count("missed") == 1
    assert (track.saved.core_hours, track.saved.lost_core_hours) == (0.0, 4.0)


def test_fewer_nodes_save_all_cores_of_the_others() -> None:
    two = asked(nodes=("n1", "n2"))
    (track,) = tracks(history((two, seen(nodes_count=1)), (asked(4, 6, 4500), seen(nodes_count=1))))
    assert track.saved.core_hours == pytest.approx(36.0)


# On disk, and in front of the user


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HPCWATCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def recorded(number: int, request: Job, peak_gib: float = 5.0) -> RunDirectory:
    """Record a run of 20 min with three busy cores, and its report."""
    started_s = START_S + 7200.0 * number
    one = of(
        request=request,
        id=store.new_id("sim", started_s),
        started_at_s=started_s,
        ended_at_s=started_s + LASTS_S,
        wall_s=float(LASTS_S),
        interval_s=10.0,
        cpu_user_s=3.0 * LASTS_S,
        cpu_system_s=0.0,
        exit_code=0,
    )
    directory = RunDirectory.create(os.path.join(store.root(), one.id))
    directory.write_run(one)
    lines = []
    for second in range(0, LASTS_S + 1, 10):
        node = Node(cpu_count=20, cpu_user_s=3.0 * second, cpu_system_s=0.0)
        use = job(3.0 * second, round(peak_gib * GIB), runnable_count=3)
        lines.append(to_line(sample(7200.0 * number + second, node=node, job=use, gpus=[])) + "\n")
    Path(directory.file(store.SAMPLES_FILE)).write_text("".join(lines))
    directory.write_report(to_json(load(directory)))
    return directory


def test_the_report_of_the_next_run_says_what_became_of_the_advice(home: Path) -> None:
    first = recorded(0, asked())
    told = json.loads(Path(first.file(store.REPORT_FILE)).read_text())["prediction"]
    assert (told["memory_bytes"], told["suggested"]["node_cores_count"]) == (6 * GIB, 4)
    assert "Last time's advice" not in terminal.text(load(first), False)
    second = recorded(1, asked(4, 6, 1500), 5.5)
    shown = " ".join(terminal.text(load(second), False).split())
    assert "Last time's advice: followed, held (peak 5.5 of at most 6 GiB predicted," in shown
    third = recorded(2, asked(4, 6, 1500), 8.0)
    assert "missed: peak 8 of at most" in " ".join(terminal.text(load(third), False).split())


def test_the_command_shows_the_track_record(home: Path, hpcwatch: Hpcwatch) -> None:
    recorded(0, asked())
    recorded(1, asked(4, 6, 1500), 5.5)
    where = {"HPCWATCH_HOME": str(home / "home"), "COLUMNS": "100"}
    ended = hpcwatch("advice", **where)
    assert (ended.code, ended.err) == (0, "")
    words = [line.split() for line in ended.out.splitlines()]
    assert words[0] == ["runs", "advised", "followed", "held", "missed", "saved", "work"]
    assert words[1] == ["2", "1", "1", "1", "0", "5.33", "core-hours", "sim"]
    assert "Saved so far: 5.33 core-hours, measured in the recorded runs since" in ended.out
    detail = hpcwatch("advice", "sim", **where).out
    assert "    advice: followed, held (peak 5.5 of at most 6 GiB predicted" in detail
    assert "saved 5.33 core-hours" in detail
    assert detail.count("    no earlier advice to check") == 1
    assert "Next run: peak <= 6.6 GiB, ends within 23:15," in " ".join(detail.split())
    plain = json.loads(hpcwatch("advice", "--format", "json", **where).out)
    assert plain["schema_version"] == 1
    assert [one["result"] for one in plain["works"][0]["runs"]] == [None, "held"]


def test_a_name_that_none_has(home: Path, hpcwatch: Hpcwatch) -> None:
    recorded(0, asked())
    ended = hpcwatch("advice", "sin", HPCWATCH_HOME=str(home / "home"))
    assert (ended.code, ended.out) == (2, "")
    assert ended.complaint == (
        "hpcwatch: no recorded run in a job is called sin: did you mean sim?"
    )
    empty = hpcwatch("advice", "sim", HPCWATCH_HOME=str(home / "empty"))
    assert empty.complaint.endswith("hpcwatch run, or: hpcwatch job")


def test_a_recorded_run_without_needs_is_not_denied(home: Path, hpcwatch: Hpcwatch) -> None:
    path = Path(recorded(0, asked()).file(store.REPORT_FILE))
    path.write_text(json.dumps({**json.loads(path.read_text()), "observed": "x"}))
    ended = hpcwatch("advice", HPCWATCH_HOME=str(home / "home"))
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("No recorded run tells what its job needed yet; record one in")


@pytest.mark.parametrize(
    "damage", [3, "x", {"requested": 3}, {"requested": {"nodes_count": "x"}, "fixed": 7}]
)
def test_a_damaged_prediction_is_none_and_the_run_still_counts(home: Path, damage: object) -> None:
    first = recorded(0, asked())
    path = Path(first.file(store.REPORT_FILE))
    path.write_text(json.dumps({**json.loads(path.read_text()), "prediction": damage}))
    report = load(recorded(1, asked()))
    assert report.last_advice is None
    assert report.advice is not None
    assert report.advice.based_on == "the last 2 runs"


def test_a_recording_from_before_there_were_predictions_counts(home: Path) -> None:
    first = recorded(0, asked())
    path = Path(first.file(store.REPORT_FILE))
    plain = json.loads(path.read_text())
    for name in ("prediction", "last_advice"):
        del plain[name]
    for name in ("killed_memory_bytes", "killed_wall_s"):
        del plain["observed"][name]
    path.write_text(json.dumps(plain))
    report = load(recorded(1, asked()))
    assert report.last_advice is None
    assert report.advice is not None
    assert report.advice.based_on == "the last 2 runs"


def test_few_of_many_recordings_are_opened(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = recorded(0, asked())
    for number in range(400):
        Path(store.root(), store.new_id("other", START_S - 10.0 * number - 10)).mkdir()
        Path(store.root(), store.new_id("sim", START_S - 10.0 * number - 10)).mkdir()
    opened: list[str] = []
    read = RunDirectory.read_run

    def counted(directory: RunDirectory) -> Run:
        opened.append(directory.path)
        return read(directory)

    monkeypatch.setattr(RunDirectory, "read_run", counted)
    assert past_runs(of(1)._replace(started_at_s=START_S + 9000)) != []
    assert len(opened) <= 150
    assert opened[0] == last.path
    assert not any("other" in path for path in opened)


def test_only_the_latest_runs_of_a_name_count(home: Path) -> None:
    for number in range(4):
        recorded(number, asked())
    run_now = of(9)._replace(started_at_s=START_S + 1e6)
    assert len(previous_runs.before(run_now)) == 4
    latest_two = previous_runs.before(run_now, 2)
    assert [round((one.started_at_s - START_S) / 7200) for _, one in latest_two] == [2, 3]

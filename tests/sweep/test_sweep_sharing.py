"""Tasks on one GPU while another idles, from their recordings: made by hand, and real ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import driver
import pytest
from sweep_parts import Sweeps, needs_parallel, shown

from hpcwatch.probe.schema import Gpu, GpuProcess, JobUse, Mig, Process, Sample, Window, to_line
from hpcwatch.sweep import sharing
from hpcwatch.sweep.attempts import Attempt, Attempts, Ended, Started
from hpcwatch.sweep.picture import Picture, Place
from hpcwatch.sweep.plan import Plan, Task
from hpcwatch.sweep.sharing import Sharing, Watch
from hpcwatch.sweep.slots import Host

PLAN = Plan("id", "t", ["t", "{n}"], ["n"], "/", "2", 0, None, None, None, "given", 4, 0.0)
START_S = 1_700_000_000.0


def gpu(number: int, util: float | None, pids: Sequence[int] | None = ()) -> Gpu:
    processes = None if pids is None else [GpuProcess(pid) for pid in pids]
    return Gpu(number, f"GPU-{number}a", "K40m", util_pct=util, processes=processes)


class Recordings:
    """A sweep's recordings, of two tasks side by side unless told otherwise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.attempts: dict[int, list[Attempt]] = {}
        Attempts(str(folder)).prepare()

    def add(
        self,
        task: int,
        gpus: Sequence[Gpu] | None,
        start_s: float = 0.0,
        length_s: float = 120.0,
        *,
        has_ended: bool = True,
        use: JobUse | None = None,
        window: Window | None = None,
        host: str = "a",
    ) -> None:
        """Record a task whose process is 100 and its number."""
        start_s += START_S
        started = Started(task, 1, host, 1, 1, start_s, 0)
        ended = Ended(task, 1, start_s + length_s, length_s, 0, None) if has_ended else None
        self.attempts[task] = [Attempt(started, ended)]
        self.write(task, gpus, start_s, length_s, use, window, host)

    def write(
        self,
        task: int,
        gpus: Sequence[Gpu] | None,
        start_s: float,
        length_s: float,
        use: JobUse | None = None,
        window: Window | None = None,
        host: str = "a",
    ) -> None:
        folder = Path(Attempts(str(self.folder)).run_folder(task, 1))
        folder.mkdir(exist_ok=True)
        own = [Process(100 + task, 1, "python", "R")]
        with open(folder / "samples.jsonl", "a") as stream:
            for second in range(int(length_s)):
                listed = None if gpus is None else list(gpus)
                at_s = start_s + second + 0.5
                sample = Sample(
                    host, at_s, at_s, job=use, processes=own, gpus=listed, window=window
                )
                stream.write(to_line(sample) + "\n")

    def picture(self, slots_count: int = 2) -> Picture:
        tasks = [Task(number, {}, ["t"]) for number in self.attempts]
        hosts = dict.fromkeys(some[0].started.host for some in self.attempts.values())
        places = [Place(host, slots_count) for host in hosts]
        return Picture(
            PLAN, tasks, places, self.attempts, str(self.folder), START_S, START_S + 500, True
        )

    def watch(self, devices: Sequence[str] = (), is_in_job: bool = False) -> Watch:
        return Watch(str(self.folder), [Host("a", [0], list(devices))], is_in_job)

    def found(self, devices: Sequence[str] = (), is_in_job: bool = False) -> list[Sharing]:
        return self.watch(devices, is_in_job).look(self.picture())


@pytest.fixture
def made(tmp_path: Path) -> Recordings:
    return Recordings(tmp_path)


def test_two_tasks_on_one_gpu_while_another_idles(made: Recordings) -> None:
    gpus = [gpu(0, 80.0, [101, 102]), gpu(1, 0.0)]
    made.add(1, gpus)
    made.add(2, gpus, 30.0)
    (one,) = made.found()
    assert (one.host, one.device, one.idle, one.tasks) == ("a", "GPU 0", "GPU 1", (1, 2))
    assert one.shared_s == pytest.approx(90, abs=10)
    assert one.start_s == pytest.approx(START_S + 30, abs=5)


@pytest.mark.parametrize(
    "gpus",
    [
        [gpu(0, 80.0, [101, 102]), gpu(1, 5.0)],  # the other one works, for whomever
        [gpu(0, 80.0, [101]), gpu(1, 0.0, [102])],  # each has its own
        [gpu(0, 0.0, [101, 102]), gpu(1, 0.0)],  # neither uses what both hold
        [gpu(0, 80.0, [101, 102]), gpu(1, None, None)],  # whether the other works is not known
        [gpu(0, 80.0, None), gpu(1, 0.0)],  # who is on it is not known
        [gpu(0, 80.0, [101, 999]), gpu(1, 0.0)],  # somebody else's process
        [gpu(0, 80.0, [101, 102])],
        [],
        None,
    ],
)
def test_what_is_no_collision_or_not_known(made: Recordings, gpus: list[Gpu] | None) -> None:
    made.add(1, gpus)
    made.add(2, gpus)
    assert made.found() == []


def test_each_reserves_both_and_works_on_one(made: Recordings) -> None:
    """As TensorFlow does."""
    gpus = [gpu(0, 80.0, [101, 102]), gpu(1, 0.0, [101, 102])]
    made.add(1, gpus)
    made.add(2, gpus)
    assert [one.device for one in made.found()] == ["GPU 0"]


def test_one_after_the_other_share_nothing(made: Recordings) -> None:
    """However short they are: what ends and what begins in one step was not there together."""
    for task in range(30):
        gpus = [gpu(0, 80.0, [101 + task]), gpu(1, 0.0)]
        made.add(task + 1, gpus, 6.0 * task, 6.0)
    assert made.found() == []


def test_only_the_jobs_devices_count(made: Recordings) -> None:
    gpus = [gpu(0, 80.0, [101, 102]), gpu(1, 0.0), gpu(2, 30.0)]
    allowed = JobUse("tree", allowed_devices=["/dev/nvidia0", "/dev/nvidia2"])
    made.add(1, gpus, use=allowed)
    made.add(2, gpus, use=allowed)
    assert len(made.found(["0", "1"], is_in_job=True)) == 1
    assert made.found(["0", "2"], is_in_job=True) == []
    assert made.found(is_in_job=True) == []  # the control group says: 0 and 2


def test_devices_that_nothing_names_may_be_another_job_s(made: Recordings) -> None:
    gpus = [gpu(0, 80.0, [101, 102]), gpu(1, 0.0)]
    made.add(1, gpus)
    made.add(2, gpus)
    assert made.found(is_in_job=True) == []
    assert len(made.found(is_in_job=False)) == 1


def test_devices_are_told_apart_by_the_one_that_each_process_sees(made: Recordings) -> None:
    """In a container the driver's process numbers are not ours."""
    gpus = [gpu(0, 80.0, [7001, 7002]), gpu(1, 0.0)]
    use = JobUse("tree", visible_devices=["0"], gpu_signs=["libcuda.so"])
    made.add(1, gpus, use=use)
    made.add(2, gpus, use=use)
    assert len(made.found()) == 1
    for number, other in enumerate((use._replace(gpu_signs=[]), use._replace(gpu_signs=None)), 3):
        made.attempts.clear()
        made.add(number, gpus, use=other)
        made.add(number + 10, gpus, use=other)
        assert made.found() == []


def test_instances_of_a_divided_device(made: Recordings) -> None:
    """Their utilisation is never known: one that nobody is on idles."""
    mig = [Mig(0, "GPU-0a", number, 0, "1g.5gb") for number in (1, 2)]
    whole = Gpu(0, "GPU-0a", "A100", mig_instance_count=2)
    both = [GpuProcess(101), GpuProcess(102)]
    parts = [
        Gpu(0, "MIG-1", "A100", mig=mig[0], processes=both),
        Gpu(0, "MIG-2", "A100", mig=mig[1], processes=[]),
    ]
    made.add(1, [whole, *parts])
    made.add(2, [whole, *parts])
    (one,) = made.found(["MIG-1", "MIG-2"])
    assert (one.device, one.idle) == ("GPU 0 MIG 1g.5gb #1", "GPU 0 MIG 1g.5gb #2")
    assert len(made.found(["0"])) == 1  # the device by its number: all its instances
    assert made.found(["MIG-1"]) == []


def test_a_spike_inside_a_stored_window_counts(made: Recordings) -> None:
    gpus = [gpu(0, 80.0, [101, 102]), gpu(1, 0.0)]
    window = Window(START_S, 8, {"gpu.GPU-1a.util_pct": (0.0, 2.0, 40.0)})
    made.add(1, gpus, window=window)
    made.add(2, gpus, window=window)
    assert made.found() == []


def test_a_recording_is_followed_and_read_once(made: Recordings) -> None:
    gpus = [gpu(0, 80.0, [101, 102]), gpu(1, 0.0)]
    for task in (1, 2):
        made.add(task, gpus, 0.0, 40.0, has_ended=False)
    watch = made.watch()
    (before,) = watch.look(made.picture())
    for task in (1, 2):
        made.write(task, gpus, START_S + 40, 40.0)
    (after,) = watch.look(made.picture())
    assert before.shared_s == pytest.approx(35, abs=5)
    assert after.shared_s == pytest.approx(75, abs=5)
    # Thinned out: another file of the same name, and what was known stays known.
    path = made.folder / "runs" / "1-1" / "samples.jsonl"
    beside = path.with_name("new")
    beside.write_text("".join(path.read_text().splitlines(keepends=True)[1::2]) + "torn")
    beside.replace(path)
    made.write(1, gpus, START_S + 80, 20.0)
    made.write(2, gpus, START_S + 80, 20.0)
    (last,) = watch.look(made.picture())
    assert last.shared_s == pytest.approx(95, abs=8)


@pytest.mark.parametrize("is_followed", [True, False])
def test_a_recording_that_became_one_file_is_read_to_its_end(
    made: Recordings, is_followed: bool
) -> None:
    gpus = [gpu(0, 80.0, [101, 102]), gpu(1, 0.0)]
    for task in (1, 2):
        made.add(task, gpus, 0.0, 40.0, has_ended=False)
    watch = made.watch()
    if is_followed:
        assert watch.look(made.picture())
    for task in (1, 2):
        made.write(task, gpus, START_S + 40, 40.0)
        folder = made.folder / "runs" / f"{task}-1"
        (folder / "samples.jsonl").rename(folder.with_suffix(".hpcwatch"))
    (last,) = watch.look(made.picture())
    assert last.shared_s == pytest.approx(75, abs=5)


def test_evaluating_often_gives_the_same_as_once(made: Recordings) -> None:
    gpus = [gpu(0, 80.0, [101, 102]), gpu(1, 0.0)]
    apart = [gpu(0, 80.0, [101]), gpu(1, 70.0, [102])]
    watch = made.watch()
    for task in (1, 2):
        made.add(task, gpus, 0.0, 300.0, has_ended=False)
    (first,) = watch.look(made.picture())
    assert first.shared_s == pytest.approx(300, abs=10)
    for part in range(12):
        for task in (1, 2):
            listed = apart if part < 2 else gpus
            made.write(task, listed, START_S + 300 + 100 * part, 100.0)
        last = watch.look(made.picture())
    assert last == made.found()
    assert last[0].start_s == pytest.approx(START_S + 500, abs=10)
    assert last[0].shared_s == pytest.approx(1000, abs=10)


def test_the_longest_stretch_is_reported(made: Recordings) -> None:
    gpus = [gpu(0, 80.0, [101, 102]), gpu(1, 0.0)]
    apart = [gpu(0, 80.0, [101]), gpu(1, 70.0, [102])]
    for task in (1, 2):
        made.add(task, gpus, 0.0, 90.0, has_ended=False)
        made.write(task, apart, START_S + 90, 60.0)
        made.write(task, gpus, START_S + 150, 30.0)
    (one,) = made.found()
    assert one.start_s == START_S
    assert one.shared_s == pytest.approx(90, abs=6)


def test_a_short_break_does_not_end_a_stretch_and_does_not_count(made: Recordings) -> None:
    gpus = [gpu(0, 80.0, [101, 102]), gpu(1, 0.0)]
    alone = [gpu(0, 80.0, [101]), gpu(1, 0.0)]
    for task in (1, 2):
        made.add(task, gpus, 0.0, 40.0, has_ended=False)
        made.write(task, alone, START_S + 40, sharing.STEP_S)
        made.write(task, gpus, START_S + 45, 40.0)
    (one,) = made.found()
    assert one.shared_s == pytest.approx(75, abs=6)


def test_with_one_slot_nothing_is_read(made: Recordings, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [gpu(0, 80.0, [101, 102]), gpu(1, 0.0)]
    made.add(1, gpus)
    monkeypatch.setattr(sharing, "from_line", lambda _: pytest.fail("read"))
    assert made.watch().look(made.picture(slots_count=1)) == []


@needs_parallel
@pytest.mark.skipif(not driver.has_compiler(), reason="needs a compiler: gcc")
def test_two_slots_on_the_first_of_two_gpus(tmp_path: Path) -> None:
    sweeps = Sweeps(tmp_path)
    sweeps.hpcwatch.configure("[findings.sweep-gpu-collision]\nleast_s = 5\n")
    folder = driver.install(driver.scenario("two_k40m"), tmp_path / "driver")
    arguments = ["--interval", "0.5", "--format", "json", "--", "sleep", "{n}"]
    ended = sweeps(
        "-p", "n=12,13", "--slots", "2", *arguments, LD_LIBRARY_PATH=str(folder)
    )  # fmt: skip
    (finding,) = [one for one in shown(ended)["findings"] if one["rule"] == "sweep-gpu-collision"]
    assert finding["severity"] == "critical"
    assert "Tasks 1 and 2 shared GPU 0 of " in finding["title"]
    assert "--slots per-gpu" in finding["advice"]
    assert 5 <= finding["evidence"]["shared_s"] <= 20
    assert finding["evidence"]["idle"] == "GPU 1"

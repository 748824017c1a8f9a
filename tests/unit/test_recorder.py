"""The recorder: bounded, spikes kept, and a failure that is told once and stops nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit_parts import GIB, full_sample, job, sample, wait_until

from hpcwatch.probe.schema import Gpu, Process, Sample, from_line, to_line
from hpcwatch.recording.merging import count, merge
from hpcwatch.recording.recorder import Recorder
from hpcwatch.recording.store import SAMPLES_FILE, RunDirectory


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(str(tmp_path / "run"))


def path_of(directory: RunDirectory) -> Path:
    return Path(directory.file(SAMPLES_FILE))


def recorder(directory: RunDirectory, budget_bytes: int = 1 << 20) -> tuple[Recorder, list[str]]:
    said: list[str] = []
    return Recorder(directory, said.append, budget_bytes), said


def stored(directory: RunDirectory) -> list[Sample]:
    samples = list(directory.read_samples())
    assert None not in samples
    return [one for one in samples if one is not None]


def settle(made: Recorder) -> None:
    """Wait for a thinning that goes on."""
    wait_until(lambda: made._thinning is None, "the file to be thinned")


def high(one: Sample) -> float:
    """The most memory in a stored sample."""
    if one.window is not None:
        return one.window.gauges["job.used_bytes"][2]
    assert one.job is not None
    assert one.job.used_bytes is not None
    return one.job.used_bytes


def test_a_short_run_is_kept_as_it_was(directory: RunDirectory) -> None:
    made, said = recorder(directory)
    samples = [full_sample(second) for second in range(50)]
    for one in samples:
        made.append(one)
    made.close()
    assert stored(directory) == [from_line(to_line(one)) for one in samples]
    assert said == []
    assert path_of(directory).stat().st_mode & 0o777 == 0o600


class Long:
    """A run far too long for its budget, with spikes of memory now and then."""

    seconds, every, budget_bytes = 12_000, 1777, 200_000

    def __init__(self, directory: RunDirectory) -> None:
        made, self.said = recorder(directory, self.budget_bytes)
        self.longest_line = self.largest_file = 0
        path = path_of(directory)
        before = 0
        for second in range(self.seconds):
            spike = 30 * GIB + second if second % self.every == 5 else GIB
            made.append(full_sample(second, spike))
            size = path.stat().st_size
            self.longest_line = max(self.longest_line, size - before)
            settle(made)
            before = path.stat().st_size
            self.largest_file = max(self.largest_file, size, before)
        made.close()
        self.samples = stored(directory)
        self.size = path.stat().st_size


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Long]:
    yield Long(RunDirectory.create(str(tmp_path_factory.mktemp("long") / "run")))


def test_a_long_run_keeps_to_its_budget(long: Long) -> None:
    assert long.said == []
    assert long.largest_file <= long.budget_bytes + long.longest_line
    assert long.size > long.budget_bytes / 5, "the budget is there to be used"


def test_a_long_run_loses_no_reading_and_no_spike(long: Long) -> None:
    assert sum(map(count, long.samples)) == long.seconds
    spikes = sorted(high(one) for one in long.samples if high(one) > 2 * GIB)
    wanted = [30 * GIB + second for second in range(5, long.seconds, long.every)]
    assert spikes == wanted


def test_counters_of_a_long_run_stand_at_their_end(long: Long) -> None:
    seconds = 0
    for one in long.samples:
        seconds += count(one)
        assert one.job is not None
        assert one.job.cpu_user_s == pytest.approx(3.9 * (seconds - 1))
        assert one.at_s == sample(seconds - 1).at_s
        if one.window is not None:
            assert one.window.started_at_s == sample(seconds - count(one)).at_s


def test_the_interval_of_a_long_run_is_roughly_uniform(long: Long) -> None:
    counts = [count(one) for one in long.samples[:-1]]
    assert max(counts) <= 4 * min(counts)


def test_recording_goes_on_while_the_file_is_thinned(directory: RunDirectory) -> None:
    made, said = recorder(directory, 50_000)
    threads = 4
    each = 400

    def write(number: int) -> None:
        for second in range(each):
            made.append(full_sample(second)._replace(host=f"n{number}"))

    workers = [threading.Thread(target=write, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    made.close()
    kept = stored(directory)
    assert said == []
    for number in range(threads):
        mine = [one for one in kept if one.host == f"n{number}"]
        assert sum(map(count, mine)) == each
        times = [one.at_s for one in mine]
        assert times == sorted(times)
    assert os.listdir(directory.path) == [SAMPLES_FILE]


def test_samples_that_waited_for_a_thinning_may_cause_the_next_one(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    thin = Recorder._thin

    def slow(self: Recorder) -> None:
        go_on.wait(20)
        thin(self)

    monkeypatch.setattr(Recorder, "_thin", slow)
    made, said = recorder(directory, 20_000)
    second = 0
    while made._thinning is None:
        made.append(full_sample(second))
        second += 1
    for _ in range(300):  # several budgets' worth
        made.append(full_sample(second))
        second += 1
    go_on.set()
    made.close()
    settle(made)
    assert said == []
    assert sum(map(count, stored(directory))) == second


def test_a_thinning_that_fails_is_one_line_and_loses_nothing(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, said = recorder(directory, 20_000)

    def broken(self: Recorder) -> Iterator[Sample]:
        raise RuntimeError("a mistake of ours")
        yield

    monkeypatch.setattr(Recorder, "_merged_pairs", broken)
    second = 0
    while not said and second < 200:
        made.append(full_sample(second))
        second += 1
        if made._thinning is not None:
            made._thinning.join()
    made.close()
    assert len(said) == 1
    assert "a mistake of ours" in said[0]
    assert len(stored(directory)) >= 10


def test_closing_writes_what_was_pending(directory: RunDirectory) -> None:
    made, _ = recorder(directory)
    made._stride = 8
    for second in range(11):
        made.append(full_sample(second))
    made.close()
    assert [count(one) for one in stored(directory)] == [8, 3]
    made.append(full_sample(12))
    made.close()
    assert len(stored(directory)) == 2


LIMITED = """
import os, resource, signal, sys
sys.path.insert(0, sys.argv[1])
from unit_parts import full_sample
from hpcwatch.recording.recorder import Recorder
from hpcwatch.recording.store import RunDirectory
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
said = []
recorder = Recorder(RunDirectory.create(sys.argv[2]), said.append, int(sys.argv[3]))
for second in range(300):
    recorder.append(full_sample(second))
    if recorder._thinning is not None:
        recorder._thinning.join()
recorder.close()
print(len(said), *said)
"""


@pytest.mark.parametrize(("budget", "most"), [(1 << 20, 30_000), (25_000, 26_000)])
def test_a_full_disk_is_one_message(directory: RunDirectory, budget: int, most: int) -> None:
    words = [str(Path(__file__).parent), directory.path, str(budget), str(most)]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
    )
    assert done.stdout.startswith("1 recording waits: ")
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
    kept = [one for one in directory.read_samples() if one is not None]
    assert len(kept) >= 10
    assert os.listdir(directory.path) == [SAMPLES_FILE]


RESUMED = """
import os, resource, signal, sys
sys.path.insert(0, sys.argv[1])
from unit_parts import full_sample
from hpcwatch.recording.recorder import Recorder
from hpcwatch.recording.store import RunDirectory
said = []
recorder = Recorder(RunDirectory.create(sys.argv[2]), said.append)
for second in range(60):
    if second == 20:
        most = os.path.getsize(recorder._path) + 700
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    if second == 40:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    recorder.append(full_sample(second))
recorder.close()
print(*said, recorder.has_failed, sep="\\n")
"""


def test_recording_goes_on_when_there_is_room_again(directory: RunDirectory) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RESUMED, str(Path(__file__).parent), directory.path],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
    )
    first, second, has_failed = done.stdout.splitlines()
    assert first.startswith("recording waits: ")
    assert [second, has_failed] == ["recording goes on", "False"]
    read = list(directory.read_samples())
    kept = [one for one in read if one is not None]
    assert len(kept) == len(read), "a torn line was left"
    assert sum(map(count, kept)) == 60, "what was read meanwhile is lost"
    assert len(kept) < 60


def test_a_file_system_that_comes_back_is_written_to_again(directory: RunDirectory) -> None:
    made, said = recorder(directory)
    made.append(full_sample(1))
    assert made._descriptor is not None
    os.close(made._descriptor)  # as if the server had gone: EBADF, as ESTALE, needs a new one
    made.append(full_sample(2))
    made.append(full_sample(3))
    made.close()
    assert [line.partition(":")[0] for line in said] == ["recording waits", "recording goes on"]
    assert [count(one) for one in stored(directory)] == [1, 2]


memory = st.none() | st.integers(min_value=0, max_value=2**50)


@st.composite
def series(draw: st.DrawFn) -> list[Sample]:
    """A few samples in order, some without a job or its memory."""
    made = []
    for second, used in enumerate(draw(st.lists(memory, min_size=3, max_size=8))):
        has_job = draw(st.booleans())
        made.append(sample(second, job=job(float(second), used) if has_job else None))
    return made


def folded(samples: list[Sample]) -> Sample:
    first, *rest = samples
    for one in rest:
        first = merge(first, one)
    return first


@settings(deadline=None)
@given(series(), st.data())
def test_merging_does_not_depend_on_the_order_of_steps(
    samples: list[Sample], data: st.DataObject
) -> None:
    split = data.draw(st.integers(min_value=1, max_value=len(samples) - 1))
    left = folded(samples)
    right = merge(folded(samples[:split]), folded(samples[split:]))
    assert left.window is not None
    assert right.window is not None
    assert left.window.sample_count == right.window.sample_count == len(samples)
    assert left.window.started_at_s == right.window.started_at_s == samples[0].at_s
    assert (left.at_s, left.uptime_s) == (samples[-1].at_s, samples[-1].uptime_s)
    assert left.window.gauges.keys() == right.window.gauges.keys()
    for name, (low, mean, most) in left.window.gauges.items():
        assert (low, most) == (right.window.gauges[name][0], right.window.gauges[name][2])
        assert low <= mean * (1 + 1e-9) + 1e-9
        assert mean <= most * (1 + 1e-9) + 1e-9


@given(series())
def test_a_merged_sample_knows_the_extremes_of_all(samples: list[Sample]) -> None:
    known = [
        one.job.used_bytes
        for one in samples
        if one.job is not None and one.job.used_bytes is not None
    ]
    window = folded(samples).window
    assert window is not None
    gauge = window.gauges.get("job.used_bytes")
    if not known:
        assert gauge is None
    else:
        assert gauge is not None
        assert (gauge[0], gauge[2]) == (min(known), max(known))


def process(pid: int, argv: list[str] | None = None, cpu_s: float = 0.0) -> Process:
    return Process(pid, 1, "x", "S", argv, cpu_user_s=cpu_s)


def test_merged_processes_keep_their_arguments_and_latest_counters() -> None:
    first = sample(0, processes=[process(5, ["a"], 1.0), process(6, ["b"])])
    second = sample(1, processes=[process(5, None, 2.0), process(7, ["c"])])
    merged = merge(first, second).processes
    assert merged is not None
    assert {one.pid: one.argv for one in merged} == {5: ["a"], 6: ["b"], 7: ["c"]}
    assert {one.pid: one.cpu_user_s for one in merged}[5] == 2.0


def test_merged_processes_stay_few_and_the_largest() -> None:
    samples = [sample(n, processes=[process(n, ["p"], float(n))]) for n in range(200)]
    merged = folded(samples).processes
    assert merged is not None
    assert len(merged) <= 24
    assert 199 in {one.pid for one in merged}


def test_errors_of_both_are_kept() -> None:
    merged = merge(sample(0, errors={"gpu": "a"}), sample(1, errors={"swap": "b"}))
    assert merged.errors == {"gpu": "a", "swap": "b"}


def test_a_merged_device_keeps_every_reason_for_lower_clocks() -> None:
    def reading(*reasons: str, uuid: str = "a") -> Sample:
        return sample(1, gpus=[Gpu(0, uuid, "K40", clocks_held_by=list(reasons), power_w=60.0)])

    merged = merge(merge(reading("heat"), reading("power limit", "heat")), reading())
    assert [gpu.clocks_held_by for gpu in merged.gpus or []] == [["heat", "power limit"]]
    other = merge(reading("heat"), reading("power limit", uuid="b"))
    assert [gpu.clocks_held_by for gpu in other.gpus or []] == [["power limit"]]
    unknown = merge(sample(0, gpus=[Gpu(0, "a", "K40")]), sample(1, gpus=[Gpu(0, "a", "K40")]))
    assert [gpu.clocks_held_by for gpu in unknown.gpus or []] == [None]
    assert merge(reading("heat"), sample(1)).gpus == reading("heat").gpus
    assert merge(sample(0), sample(1)).gpus is None


def test_where_no_thread_starts_the_file_grows_and_nothing_is_lost(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, said = recorder(directory, 20_000)

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    given = [full_sample(second) for second in range(60)]
    for one in given:
        made.append(one)
    made.close()
    assert [one.at_s for one in stored(directory)] == [one.at_s for one in given]
    assert "not thinned out" in said[0]

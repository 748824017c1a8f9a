"""Job arrays as each scheduler takes them: options, sizes, and which tasks an element has."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.schedulers import NAMES, dialect
from hpcwatch.cluster.schedulers.array_jobs import ArrayJobs, Order
from hpcwatch.cluster.schedulers.query import Answer
from hpcwatch.sweep.array import Submission, folded, unfolded
from hpcwatch.sweep.array_submit import chunk

DATA = Path(__file__).resolve().parents[1] / "parse" / "data"


def of(name: str) -> ArrayJobs:
    arrays = dialect(name).arrays
    assert arrays is not None
    return arrays


GOOD = {
    "slurm": [
        ["-p", "gpu", "-t", "1:00:00", "-c4"], ["--exclusive", "--gres=gpu:1"], ["--mem", "4G"],
        ["-HQ", "-J", "mine"], ["--export=NONE"], ["--wait-all-nodes=1"], ["--comment", "a b"],
        ["--new-in-the-future=1"], ["-D", "/scratch"],
    ],
    "pbspro": [["-l", "select=1:ncpus=2", "-q", "workq"], ["-hV"], ["-W", "depend=afterok:1"]],
    "torque": [["-l", "nodes=1:ppn=2", "-q", "k40"], ["-W", "group_list=x"], ["-N", "mine"]],
}  # fmt: skip
BAD = {
    "slurm": [
        ["-a", "1-3"], ["--array=1-3"], ["--ar", "1"], ["-o", "x"], ["-ex"], ["--err=x"],
        ["--wrap", "x"], ["-W"], ["--wait"], ["--wai"], ["-Ha1-3"], ["run.sh"], ["-p", "gpu", "x"],
        ["--exclusive", "x"], ["--", "x"], ["-"], ["--new-in-the-future", "1"], ["-h"], ["--usage"],
        ["--test-only"], ["--parsable"], [""],
    ],
    "pbspro": [
        ["-J", "1-3"], ["-o", "x"], ["-j", "n"], ["-e", "x"], ["-I"], ["-z"], ["-S", "/bin/csh"],
        ["run.sh"], ["-V", "x"], ["-hJ1-3"], ["-W", "block=true"], ["--", "x"], ["--array=1-3"],
    ],
    "torque": [["-t", "1-3"], ["-t1-3"], ["-I"], ["-hI"], ["x"], ["-Wblock=true"], ["-oe"]],
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_options_that_would_change_the_array_are_refused(name: str) -> None:
    assert [words for words in GOOD[name] if of(name).unfit(words)] == []
    assert [words for words in BAD[name] if not of(name).unfit(words)] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_users_name_of_the_job_wins(name: str) -> None:
    own = ["-J", "mine"] if name == "slurm" else ["-N", "mine"]
    order = Order(3, "hpcwatch", "/h/arrays/1")
    plain, named = of(name).arguments(order, []), of(name).arguments(order, own)
    if name == "slurm":  # the last of several counts
        assert named.index("--job-name=hpcwatch") < named.index("-J")
    else:  # the first of several counts
        assert (plain.count("-N"), named.count("-N")) == (1, 1)


def test_pbs_takes_only_plain_paths() -> None:
    with pytest.raises(HpcwatchError, match="HPCWATCH_HOME"):
        of("torque").arguments(Order(3, "x", "/my home/1"), [])


def test_slurm_fills_in_nothing_in_the_folders_name() -> None:
    made = of("slurm").arguments(Order(3, "x", "/h/%j/1"), [])
    assert "--output=/h/%%j/1-%a.out" in made


def asked(name: str, text: bytes, code: int = 0) -> int | None:
    return of(name).most().parse(Answer(text, exit_code=code))


def test_the_largest_array_is_read_from_the_schedulers_settings() -> None:
    assert asked("pbspro", (DATA / "other/pbspro/qstat-Bf.txt").read_bytes()) == 10000
    assert asked("slurm", b"MaxArraySize            = 1001\n") == 1000
    for name in NAMES:
        assert asked(name, b"") is None
        assert asked(name, b"MaxArraySize = 1001\nmax_array_size = 5", 1) is None
        assert asked(name, b"MaxArraySize = UNLIMITED\nmax_array_size = -1") is None
        assert asked(name, b"\xff MaxArraySize = 99999999999999999999") is None


@pytest.mark.parametrize(
    ("count", "wanted", "most", "each"),
    [
        (10, None, None, 1), (10, None, 10, 1), (11, None, 10, 2), (10000, None, 1000, 10),
        (10, 4, None, 4), (10, 99, 5, 10), (1, None, 1, 1),
    ],
)  # fmt: skip
def test_elements_are_as_small_as_the_scheduler_allows(
    count: int, wanted: int | None, most: int | None, each: int
) -> None:
    assert chunk(count, wanted, most) == each


@given(st.sets(st.integers(1, 400), min_size=1), st.integers(1, 50))
def test_each_task_is_in_one_element(tasks: set[int], each: int) -> None:
    numbers = sorted(tasks)
    assert unfolded(folded(numbers)) == numbers
    made = Submission(1, "slurm", folded(numbers), each, [], None, 0.0)
    shares = [made.tasks_of(index) for index in range(1, made.elements_count + 1)]
    assert [number for share in shares for number in share] == numbers
    assert {len(share) for share in shares[:-1]} <= {each}
    assert made.tasks_of(made.elements_count + 1) == made.tasks_of(0) == []
    assert made.element_of() == {
        number: index for index, share in enumerate(shares, 1) for number in share
    }


@pytest.mark.parametrize("text", ["", "1-", "a", "1-99999999999", f"1-{10**40}", "1;2"])
def test_a_damaged_list_of_tasks_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        unfolded(text)

"""One cluster for all tests of this folder; who asks for it cleans up his own jobs.

Not for the whole session: its hosts are children of ours, and other tests count our children.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from cluster.cluster import Cluster, missing
from cluster.hosts import namespace_of, processes_of
from cluster.questions import Questions, questions

Submit = Callable[..., str]
OVERDUE = "hist-late"
"""One of the jobs of `test_history_slurm.py`, by its name."""


@pytest.fixture(scope="package")
def slurm() -> Iterator[Cluster]:
    """A cluster that is up."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    with ExitStack() as held:
        with Cluster() as cluster:
            names = [held.enter_context(namespace_of(one.pid)) for one in cluster.hosts.values()]
            yield cluster
        left = [process for name in names for process in processes_of(name)]
        assert (left, cluster.folder.exists()) == ([], False)


@pytest.fixture(scope="package")
def ask(slurm: Cluster) -> Iterator[Questions]:
    """alice's hpcwatch, that finds out by itself which scheduler there is."""
    with questions(slurm) as asked:
        yield asked


@pytest.fixture(scope="package")
def ask_wrapper(slurm: Cluster) -> Iterator[Questions]:
    """alice's hpcwatch, made to use Slurm's wrappers of Torque's commands."""
    with questions(slurm, "torque") as asked:
        yield asked


@pytest.fixture
def submit(slurm: Cluster) -> Iterator[Submit]:
    """Submits jobs that are cancelled at the test's end."""
    submitted: list[str] = []

    def one(script: str, *arguments: str, user: str = "alice") -> str:
        submitted.append(slurm.submit(script, *arguments, user=user))
        return submitted[-1]

    yield one
    slurm.run(["scancel", *submitted], "root")


@pytest.fixture(scope="package")
def overdue(slurm: Cluster) -> str:
    """A job whose walltime ends soon: Slurm looks for such jobs every 30 s only.

    The first file of this folder asks for it, so that it is over when others need it.
    """
    job = slurm.submit("sleep 600", "-J", OVERDUE, "--time=10")
    slurm.wait_state(job, "RUNNING")
    slurm.said("scontrol", "update", f"JobId={job}", "EndTime=now+1", user="root")
    return job

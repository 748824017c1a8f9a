"""A scheduler is one module and one line: a toy one, added here, is found, asked and explained."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType

import pytest

from hpcwatch.cluster import client, schedulers
from hpcwatch.cluster.schedulers import NAMES, dialect, from_environment
from hpcwatch.cluster.schedulers.detection import commands, detect, probes
from hpcwatch.cluster.schedulers.dialects import Dialect, Reasons
from hpcwatch.cluster.schedulers.inquiry import Inquiry
from hpcwatch.cluster.schedulers.job import Job, JobState, ReadText
from hpcwatch.cluster.schedulers.query import Answer, Query
from hpcwatch.probe.cgroup import job_id_in
from hpcwatch.views.jobs import reasons


class Toy:
    """A scheduler with one command: `toyq` prints an id and an owner a line."""

    name = "toy"

    def clean_id(self, text: str) -> str:
        return text

    def job(self, *job_ids: str) -> Query[tuple[Job, ...]]:
        return Query(["toyq", *job_ids], self._parse)

    def jobs(self, user: str) -> Query[tuple[Job, ...]]:
        return Query(["toyq", "-u", user], self._parse)

    def _parse(self, answer: Answer) -> tuple[Job, ...]:
        rows = [line.split() for line in answer.text.splitlines()]
        return tuple(Job(one, "toy", owner=who, state=JobState.RUNNING) for one, who in rows)

    def array_id(self, job_id: str) -> None: ...

    def history(self, job_id: str) -> None: ...

    def usage(self, job_id: str) -> None: ...

    def estimate(self, job_id: str) -> None: ...

    def nodes(self, names: Sequence[str] = ()) -> Query[tuple[object, ...]]:
        return Query(["toynodes"], lambda _: ())

    def cancel(self, job_id: str) -> Query[str]:
        return Query(["toykill", job_id], lambda answer: answer.text)

    def submit(self, script: str, arguments: Sequence[str] = ()) -> Query[str]:
        return Query(["toysub", script], lambda answer: answer.text)


def toy_job(environment: Mapping[str, str], _: ReadText) -> Job | None:
    return Job(environment["TOY_JOB"], "toy")


DIALECT = Dialect(
    name="toy",
    commands=Toy(),  # type: ignore[arg-type]
    from_environment=toy_job,
    required=("toyq",),
    probe=("toyq", "--version"),
    is_told_by=lambda answer: answer.text.startswith("toy"),
    purposes={"toyq": "jobs"},
    directive_prefix="#TOY",
    node_list_variable="TOY_NODES",
    job_groups=(),
    reasons=Reasons({"toyheld": "it is held by a child"}),
    formatting=("TOYQ_",),
    settings={"TOY_PLAIN": "1"},
)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = ModuleType("hpcwatch.cluster.schedulers.toy")
    vars(module)["DIALECT"] = DIALECT
    monkeypatch.setitem(sys.modules, "hpcwatch.cluster.schedulers.toy", module)
    monkeypatch.setitem(schedulers.NAMES, "toy", "TOY_JOB")
    reasons._known.cache_clear()
    yield
    reasons._known.cache_clear()


@pytest.mark.usefixtures("toy")
def test_a_toy_scheduler_is_one_module_and_one_line() -> None:
    assert "toyq" in commands()
    assert probes({"toyq"}) == (("toyq", "--version"),)
    found = detect({"toyq"}, {("toyq", "--version"): Answer(b"toy 1.0\n")})
    assert (found.scheduler, found.helpers) == ("toy", frozenset())
    asked = Inquiry(found, client.Asker(lambda argv: Answer(b"7 alice\n")))
    (job,) = asked.jobs("alice").value
    assert (job.id, job.owner) == ("7", "alice")
    assert from_environment({"TOY_JOB": "7"}, lambda _: None) == Job("7", "toy")
    assert reasons.plain("ToyHeld") == "it is held by a child"
    environment = client.environment({"TOYQ_FORMAT": "%i", "HOME": "/"})
    assert environment["TOY_PLAIN"] == "1"
    assert "TOYQ_FORMAT" not in environment


@pytest.mark.parametrize("name", list(NAMES))
def test_every_dialect_is_whole(name: str) -> None:
    known = dialect(name)
    assert (known.name, known.commands.name) == (name, name)
    assert set(known.required) <= set(known.purposes)
    assert known.probe[0] in known.required
    assert known.directive_prefix.startswith("#")
    assert known.from_environment({}, lambda _: None) is None


@pytest.mark.parametrize("name", list(NAMES))
def test_the_probe_knows_every_scheduler_s_control_groups(name: str) -> None:
    for group in dialect(name).job_groups:
        assert job_id_in(f"{group}/step_0") in ("5", "5.qb3"), group

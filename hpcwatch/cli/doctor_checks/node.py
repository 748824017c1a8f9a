"""Checks of a node: whether it can be reached, whether the probe runs there, and what it reads."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from hpcwatch import config
from hpcwatch.cli.doctor_checks import Check, Level, exporters, ok
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.transport import ConnectError, Link
from hpcwatch.probe.schema import Sample, from_line
from hpcwatch.probe.spec import Spec

if TYPE_CHECKING:
    from hpcwatch.cluster.transport.ways import Opened

INTERVAL_S = 0.5
_SAMPLES_S = 15.0
_MOST_SAMPLES = 6
"""The first sample is a quick one; devices take a moment to answer, and exporters are asked after
a second."""


class Seen(NamedTuple):
    """The output of the probe: some samples, and all errors."""

    samples: list[Sample]
    errors: dict[str, str]


def checks(host: str, job: Job | None, spec: Spec) -> Iterator[Check]:
    """Check one node; ``job``, if it is not None, runs there."""
    from hpcwatch.cluster.transport.ways import slurm_steps, ways

    subject = f"node {host}"
    scheduler = job.scheduler if job is not None else None
    job_id = (job.het_id or job.raw_id or job.id) if job is not None else None
    steps = slurm_steps([job] if job is not None else [])
    reached = ways(scheduler, job_id, bounds=config.load_or_default().ssh, steps=steps)
    begin_s = time.monotonic()
    try:
        opened = reached.open(host, spec)
    except ConnectError as error:
        found = f"cannot be read ({error.trouble.value}): {error.message}"
        yield Check(subject, Level.PROBLEM, found, error.hint)
        reached.close()
        return
    try:
        took_s = time.monotonic() - begin_s
        yield ok(subject, f"reached by {opened.way} in {took_s:.1f} s; {_python(opened)}")
        yield from _sight(subject, _seen(opened.link, opened.rest, spec.exporter_ports), job)
    finally:
        opened.link.close()
        reached.close()


def _python(opened: Opened) -> str:
    where = {
        "package": "our own interpreter exists there",
        "bundle": "our interpreter does not exist there, the probe was sent along",
    }
    return f"Python {opened.python_version}: {where.get(opened.kind, opened.kind)}"


def _seen(link: Link, rest: bytes, ports: Sequence[int]) -> Seen:
    """Read a few samples, until the devices and an exporter have answered."""
    from hpcwatch.cluster.transport.bundle import LineReader

    reader, samples, errors = LineReader(), list[Sample](), dict[str, str]()
    end_s = time.monotonic() + _SAMPLES_S
    lines = reader.feed(rest)
    while len(samples) < _MOST_SAMPLES:
        for line in lines:
            samples.append(from_line(line.decode("utf-8", "replace")))
            errors.update(samples[-1].errors or {})
        if len(samples) > 1 and samples[-1].gpus is not None and _is_exported(samples, ports):
            break
        try:
            received = link.receive(max(end_s - time.monotonic(), 0.1))
        except TimeoutError:  # report what came so far
            break
        if not received:
            break
        lines = reader.feed(received)
    return Seen(samples, errors)


def _is_exported(samples: list[Sample], ports: Sequence[int]) -> bool:
    """True if nothing more is to be expected of exporters."""
    return not ports or any(one.exported is not None for one in samples)


def _sight(subject: str, seen: Seen, job: Job | None) -> Iterator[Check]:
    if not seen.samples:
        yield Check(subject, Level.PROBLEM, "the probe ended without a message", "try again")
        return
    sample = seen.samples[-1]
    for what, reason in seen.errors.items():
        yield Check(subject, Level.WARNING, f"{what} cannot be read: {reason}")
    if job is not None:
        yield _processes(subject, sample)
        yield _group(subject, sample)
    if sample.gpus:
        names = ", ".join(f"{gpu.index} {gpu.name}" for gpu in sample.gpus)
        yield ok(subject, f"{len(sample.gpus)} GPUs: {names}")
    elif sample.gpus is not None:
        yield Check(subject, Level.NOTE, "no NVIDIA or AMD driver there")
    yield from exporters.on_node(subject, seen.samples)


def _processes(subject: str, sample: Sample) -> Check:
    if sample.job is None or not sample.job.process_count:
        found = "no process of the job was found there"
        return Check(subject, Level.WARNING, found, "has it begun on this node? Is it yours?")
    count = sample.job.process_count
    many = f"{count} process{'es' if count > 1 else ''}"
    if sample.job.found_by == "user":
        found = f"{many} of the job's owner: the job's own cannot be told apart there"
        advice = "two jobs of one owner on a node are counted together"
        return Check(subject, Level.WARNING, found, advice)
    return ok(subject, f"{many} of the job, found by {sample.job.found_by}")


def _group(subject: str, sample: Sample) -> Check:
    group = sample.cgroup
    if group is None or not group.is_job:
        advice = "memory is summed over processes (PSS), its peak is a lower bound"
        return Check(subject, Level.NOTE, "no control group of the job can be read", advice)
    return ok(subject, f"the job's control group: {group.path}")

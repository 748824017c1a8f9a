"""Secrets taken out of records before they are written, unless ``[privacy] mask = false``."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpcwatch.base import config_files, masks
from hpcwatch.probe.schema import Process, Sample

if TYPE_CHECKING:
    from hpcwatch.recording.store import Event, Run


def is_on() -> bool:
    """Tell whether secrets are masked."""
    return _is_on(
        os.environ.get("HPCWATCH_PRIVACY_MASK"), config_files.user_file(), config_files.SITE_FILE
    )


@functools.lru_cache(maxsize=4)
def _is_on(*_: str | None) -> bool:
    """Look once: the files do not change under a process."""
    return config_files.has_masks()


def masked_words(words: Sequence[str]) -> list[str]:
    """Return a command line as it may be written."""
    return masks.masked_words(words) if is_on() else list(words)


def masked_text(text: str) -> str:
    """Return a text as it may be written."""
    return masks.masked(text) if is_on() else text


def masked_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Return values by name as they may be written."""
    return masks.masked_fields(fields) if is_on() else fields


def masked_run(run: Run) -> Run:
    """Return a run as it may be written."""
    if not is_on():
        return run
    job = run.job
    if job is not None:
        fields: dict[str, Any] = job._asdict()
        texts = {name: masks.masked(one) for name, one in fields.items() if type(one) is str}
        job = job._replace(**{**fields, **texts})
    return run._replace(
        argv=masks.masked_words(run.argv),
        environment=masks.masked_fields(run.environment),
        parameters=None if run.parameters is None else masks.masked_fields(run.parameters),
        job=job,
    )


def masked_event(event: Event) -> Event:
    """Return an event as it may be written."""
    if not is_on():
        return event
    return event._replace(name=masks.masked(event.name), fields=masks.masked_fields(event.fields))


def masked_sample(sample: Sample) -> Sample:
    """Return a sample as it may be written: a process's arguments are given once."""
    processes = sample.processes
    if not processes or all(one.argv is None for one in processes) or not is_on():
        return sample
    return sample._replace(processes=[_masked_process(one) for one in processes])


def _masked_process(process: Process) -> Process:
    if process.argv is None:
        return process
    return process._replace(argv=masks.masked_words(process.argv))

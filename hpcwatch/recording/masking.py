"""Masks secrets in records before they are written, unless ``[privacy] mask = false``."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence

from hpcwatch.base import config_files, masks
from hpcwatch.probe.schema import Process, Sample
from hpcwatch.probe.typed import Any


def is_on() -> bool:
    """Tell whether secrets are masked."""
    return _is_on(
        os.environ.get("HPCWATCH_PRIVACY_MASK"), config_files.user_file(), config_files.SITE_FILE
    )


@functools.lru_cache(maxsize=4)
def _is_on(*_: str | None) -> bool:
    """Return the setting, read once per process."""
    return config_files.has_masks()


def masked_words(words: Sequence[str]) -> list[str]:
    """Return a command line, masked."""
    return masks.masked_words(words) if is_on() else list(words)


def masked_text(text: str) -> str:
    """Return a text, masked."""
    return masks.masked(text) if is_on() else text


def masked_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Return values by name, masked."""
    return masks.masked_fields(fields) if is_on() else fields


def masked_sample(sample: Sample) -> Sample:
    """Return a sample, masked: a process's arguments are in one sample only."""
    processes = sample.processes
    if not processes or all(one.argv is None for one in processes) or not is_on():
        return sample
    return sample._replace(processes=[_masked_process(one) for one in processes])


def _masked_process(process: Process) -> Process:
    if process.argv is None:
        return process
    return process._replace(argv=masks.masked_words(process.argv))

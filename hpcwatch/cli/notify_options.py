"""The options `--notify` and `--cancel-if-idle` of `run`, `job` and `submit`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.base.output import complain

if TYPE_CHECKING:
    from hpcwatch.cli.arguments import Parser

_LEAST_S, _MOST_S = 1.0, 30 * 86400.0


def add(parser: Parser) -> None:
    """Add both options."""
    add_notify(parser)
    add_cancel(parser)


def add_notify(parser: Parser) -> None:
    """Add ``--notify``."""
    parser.add_argument(
        "--notify",
        action="append",
        type=way,
        metavar="WAY",
        default=[],
        help="report findings and the end: mail:ADDRESS, webhook:FILE (with the URL, mode 0600), "
        "command:PROGRAM (gets JSON); off: report nothing, whatever is configured",
    )


def add_cancel(parser: Parser) -> None:
    """Add ``--cancel-if-idle``."""
    parser.add_argument(
        "--cancel-if-idle",
        type=idle_s,
        metavar="TIME",
        help="cancel the scheduler's job once its GPUs, or its CPU, GPUs and storage, did nothing "
        "for this time (60m), after a warning; never where that is unknown",
    )


def way(text: str) -> str:
    """Check where messages go, before anything is started. Raises HpcwatchError."""
    from hpcwatch.monitor.notify import plan

    return plan.check(text)


def idle_s(text: str) -> float:
    """Read a time such as 60m, in seconds."""
    from hpcwatch.base.units import parse_age

    found = parse_age(text)
    if found is None or not _LEAST_S <= found <= _MOST_S:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: give 60m or 2h, from 1s to 30d")
    return found


def check_array(given: Sequence[str], cancel_s: float | None) -> None:
    """Say that nothing is reported of an array as a whole.

    Raises HpcwatchError (exit code 2) if it is to be cancelled.
    """
    if cancel_s is not None:
        hint = "name one task, or say hpcwatch run --cancel-if-idle in the array's script"
        raise HpcwatchError("--cancel-if-idle watches one job, not an array", hint, EXIT_USAGE)
    if given:
        complain(
            "hpcwatch: notify: nothing is reported of an array as a whole: "
            "say hpcwatch run --notify in its script"
        )


def check_inside() -> None:
    """Check that `run` can cancel the job that it is in. Raises HpcwatchError (exit code 2)."""
    from hpcwatch.cluster.current_job import is_one_of_many, own_job

    job = own_job()
    if job is None:
        hint = "say it in a job script, or: hpcwatch submit --cancel-if-idle 60m SCRIPT"
        raise HpcwatchError(
            "--cancel-if-idle cancels a scheduler's job, and this is none", hint, EXIT_USAGE
        )
    if is_one_of_many(os.environ):
        hint = "put it in front of the launcher: hpcwatch run --cancel-if-idle 60m -- mpirun ..."
        raise HpcwatchError(
            f"--cancel-if-idle: this is one of several tasks of job {job.id}, and the others are "
            f"not seen",
            hint,
            EXIT_USAGE,
        )

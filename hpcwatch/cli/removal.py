"""Removal of runs and sweeps: shows what goes and what stays, asks for confirmation, removes."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_FAILURE, EXIT_USAGE, HpcwatchError, os_reason
from hpcwatch.base.output import complain
from hpcwatch.base.units import format_bytes
from hpcwatch.cli.asking import is_confirmed
from hpcwatch.recording import store
from hpcwatch.recording.removal import finish, obstacle
from hpcwatch.recording.removal import remove as remove_run
from hpcwatch.recording.search import Found
from hpcwatch.sweep import folders
from hpcwatch.sweep.recorded import Sweep, Task
from hpcwatch.views.jobs import runs_rows, runs_table


def remove(chosen: Sequence[Found | Sweep], is_sure: bool, is_named: bool) -> int:
    """Remove runs after confirmation; those that stay are listed with the reason.

    Returns 0, or 1 if a run that the user named (``is_named``) stays or the user declines.
    """
    going: list[Found | Sweep] = []
    kept_count = 0
    for one in chosen:
        reason = _obstacle(one)
        if reason is None:
            going.append(one)
        else:
            kept_count += 1
            complain(f"hpcwatch: {clean(_id(one))} stays: {clean(reason)}")
    if not going:
        print("Nothing to remove.")
        return EXIT_FAILURE if is_named else 0
    for line in runs_table.lines(
        runs_rows.of_list(going), runs_table.width_of_terminal(sys.stdout)
    ):
        print(line)
    _say_links(going)
    if not is_sure and not _is_wanted(len(going)):
        print("Nothing was removed.")
        return EXIT_FAILURE
    failed_count = _remove(going)
    return EXIT_FAILURE if failed_count or (is_named and kept_count) else 0


def _id(one: Found | Sweep) -> str:
    return one.plan.id if isinstance(one, Sweep) else one.run.id


def _obstacle(one: Found | Sweep) -> str | None:
    if isinstance(one, Sweep):
        return one.obstacle()
    if isinstance(one, Task):
        return f"it belongs to sweep {one.run.sweep_id}, which is removed as a whole"
    return obstacle(one.directory, one.run)


def _say_links(going: Sequence[Found | Sweep]) -> None:
    links = sum(isinstance(one, Found) and one.is_link for one in going)
    if links:
        word = "1 lies" if links == 1 else f"{links} lie"
        print(f"{word} elsewhere (--output): only the list entries go, the files stay.")


def _is_wanted(count: int) -> bool:
    """Ask for confirmation. Raises HpcwatchError where there is no terminal."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise HpcwatchError("there is no terminal to ask on", "say --yes to remove", EXIT_USAGE)
    return is_confirmed(f"Remove {'it' if count == 1 else 'them'}?")


def _remove(going: Sequence[Found | Sweep]) -> int:
    """Remove them and print the result; return how many could not be removed."""
    freed_bytes, gone = 0, []
    for one in going:
        size_bytes = 0 if isinstance(one, Found) and one.is_link else one.size_bytes
        try:
            one.remove() if isinstance(one, Sweep) else remove_run(one.directory)
        except OSError as error:
            complain(f"hpcwatch: {clean(_id(one))} is not removed: {os_reason(error)}")
        else:
            freed_bytes += size_bytes
            gone.append(one)
    for folder in (store.root(), folders.root()):
        finish(folder)
    print(f"Removed {runs_table.counted(gone)}, {format_bytes(freed_bytes)}.")
    return len(going) - len(gone)

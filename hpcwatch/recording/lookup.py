"""Find recorded runs: all of them, those of a job, the one that a word means."""

import os

from hpcwatch.base import files
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError, os_reason
from hpcwatch.probe.typed import Callable, Iterable, Optional
from hpcwatch.recording.store import (
    EVENTS_FILE,
    PACKED_END,
    REPORT_FILE,
    RUN_FILE,
    SAMPLES_FILE,
    Run,
    RunDirectory,
    root,
)

DOOMED = ".removing-"
"""How the names of folders begin that are being removed: they are no runs and no sweeps."""
_DATE_DIGITS = 8
_MOST_NEAR = 2000
"""Runs whose names a mistyped one is compared with."""

Say = Callable[[str], None]
"""Called with a line about each thing that is left out."""


def list_runs(say: Optional[Say] = None) -> list[tuple[RunDirectory, Run]]:
    """Return all readable runs, the latest last; call ``say`` with a line for each other."""
    return readable(run_names(), say)


def run_names() -> list[str]:
    """Return the names of all runs' folders, in no order; nothing is opened.

    Of a run that is one file now, the name that its folder had.
    """
    return whole_names(_names_in(root()))


def whole_names(names: Iterable[str]) -> list[str]:
    """Return the names of runs by those in a folder, each once: a run has a folder or a file."""
    whole = dict.fromkeys(name.removesuffix(PACKED_END) for name in names)
    return [name for name in whole if name and not os.path.basename(name).startswith(DOOMED)]


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def require_readable_root() -> None:
    """Raise HpcwatchError if the folder of all runs is there and cannot be listed.

    For commands that would otherwise say that nothing is recorded.
    """
    try:
        os.listdir(root())
    except FileNotFoundError:
        pass
    except OSError as error:
        raise HpcwatchError(f"cannot read {root()}", os_reason(error)) from None


def readable(names: Iterable[str], say: Optional[Say] = None) -> list[tuple[RunDirectory, Run]]:
    """Return those of the named runs that can be read, the latest last, as ``list_runs`` does."""
    folder = root()
    return _readable((os.path.join(folder, name) for name in names), say)


def list_sweep_tasks() -> list[tuple[RunDirectory, Run]]:
    """Return the recorded tasks of all sweeps, the latest last; they lie with their sweeps."""
    import glob

    folder = os.path.join(glob.escape(os.path.dirname(root())), "sweeps", "*", "runs", "*")
    return _readable(whole_names(glob.iglob(folder)), None)


def _readable(paths: Iterable[str], say: Optional[Say]) -> list[tuple[RunDirectory, Run]]:
    from hpcwatch.base import owners

    keeper = owners.owner_of(root())
    found = []
    for path in paths:
        directory = RunDirectory(path)
        try:
            _require_trusted(directory, keeper)
            found.append((directory, directory.read_run()))
        except HpcwatchError as error:
            if say is not None and _is_there(directory):
                say(str(error))
    return sorted(found, key=lambda pair: pair[1].started_at_s)


def _require_trusted(directory: RunDirectory, keeper: Optional[int]) -> None:
    """Raise HpcwatchError for a run that another user put into the folder of runs.

    A link leads to a run that --output names: link and run must be ours; the run's folder is the
    user's choice and may be a group's. ``keeper`` is the owner of the folder of all runs: in
    another user's folder, runs of that user are trusted.
    """
    from hpcwatch.base import owners

    path = directory.place
    try:
        files.refuse_foreign_link(path)
        reason = owners.doubt(path, keeper, is_group_fine=os.path.islink(path))
    except OSError as error:
        reason = os_reason(error)
    if reason is not None:
        raise HpcwatchError(f"run {os.path.basename(directory.path)} is left out", reason)


def _is_there(directory: RunDirectory) -> bool:
    """Return True for a run, be it damaged; False for what else lies in the folder of runs."""
    return any(map(os.path.lexists, (directory.file(RUN_FILE), directory.packed)))


def runs_of_job(job_id: str) -> list[RunDirectory]:
    """Return the recordings of a job, the latest last; those of the whole job come last.

    The id of an array selects the recordings of its tasks.
    """
    of_jobs = [pair for pair in list_runs() if pair[1].job]
    runs = [pair for pair in of_jobs if pair[1].job and pair[1].job.is_called(job_id)]
    if not runs:
        runs = [pair for pair in of_jobs if pair[1].job and pair[1].job.is_task_of(job_id)]
    return [directory for directory, run in sorted(runs, key=lambda pair: pair[1].kind == "job")]


def runs_of_array(word: str) -> list[tuple[RunDirectory, Run]]:
    """Return the latest recording of each task of an array, in the order of their ids.

    One that watched the whole task is preferred. None if the word is a job's own id.
    """
    from hpcwatch.cluster.schedulers.arrays import task_order

    of_jobs = [pair for pair in list_runs() if pair[1].job]
    if any(run.job and run.job.is_called(word) for _, run in of_jobs):
        return []
    tasks = [pair for pair in of_jobs if pair[1].job and pair[1].job.is_task_of(word)]
    tasks.sort(key=lambda pair: pair[1].kind == "job")
    latest = {run.job.id: (directory, run) for directory, run in tasks if run.job}
    return [latest[job_id] for job_id in sorted(latest, key=task_order)]


def find(which: Optional[str]) -> RunDirectory:
    """Find a run by directory, id, short id, job, name or start of an id.

    None or ``latest`` is the latest. If no run matches, tasks of sweeps are searched.
    Raises HpcwatchError with what to do.
    """
    if which and (os.sep in which or _is_run_here(which)):
        folder, name = os.path.split(which)
        is_file = name in (RUN_FILE, SAMPLES_FILE, EVENTS_FILE, REPORT_FILE)
        return RunDirectory(folder if is_file else which)
    if which == "":
        raise HpcwatchError("the run's name is empty", "see: hpcwatch runs", EXIT_USAGE)
    runs = list_runs()
    if which is not None and which != "latest":
        which = which.removesuffix(PACKED_END) or which
        found = _called(runs, which) or _called(list_sweep_tasks(), which)
        if found is not None:
            return found
        if runs:
            raise HpcwatchError(f"no run {which}", _nearest(which, runs), EXIT_USAGE)
    if not runs:
        require_readable_root()
        hint = "record one with: hpcwatch run -- COMMAND"
        raise HpcwatchError(f"no runs in {root()}", hint, EXIT_USAGE)
    return runs[-1][0]


def _is_run_here(which: str) -> bool:
    """Return True for a run in the working directory."""
    is_packed = which.endswith(PACKED_END) and os.path.exists(which)
    return is_packed or os.path.exists(os.path.join(which, RUN_FILE))


def _nearest(which: str, runs: list[tuple[RunDirectory, Run]]) -> str:
    """Return the hint that names the run that was probably meant, else the list."""
    from difflib import get_close_matches

    known = runs[-_MOST_NEAR:]
    names = ["latest", *(run.name for _, run in known), *(run.id for _, run in known)]
    near = get_close_matches(which, names, 1, 0.75)
    return f"did you mean {near[0]}?" if near else "see: hpcwatch runs"


def _ends_with_mark(run_id: str, word: str) -> bool:
    """True of the short id that `hpcwatch runs` shows: the last six digits of ``new_id``."""
    return len(word) == 6 and run_id.endswith(f"-{word}")


def _called(runs: list[tuple[RunDirectory, Run]], which: str) -> Optional[RunDirectory]:
    """Return the run that matches, None if none does. Raises HpcwatchError if several match."""
    exact = [pair for pair in runs if pair[1].id == which]
    of_job = [pair for pair in runs if pair[1].job and pair[1].job.is_called(which)]
    # A few digits are a job's id: 2, 202 and 2026 begin the id of each run of this year.
    is_number = which.isdigit() and len(which) < _DATE_DIGITS
    starting = [] if is_number else [pair for pair in runs if pair[1].id.startswith(which)]
    named = [pair for pair in runs if pair[1].name == which]
    of_array = [pair for pair in runs if pair[1].job and pair[1].job.is_task_of(which)]
    marked = [pair for pair in runs if _ends_with_mark(pair[1].id, which)]
    for matches in (exact, of_job, of_array, named, marked if len(marked) == 1 else []):
        if matches:
            return matches[-1][0]
    if len(starting) == 1:
        return starting[0][0]
    if starting:
        raise HpcwatchError(
            f"{len(starting)} runs begin with {which}", "give more characters of the id", EXIT_USAGE
        )
    return None

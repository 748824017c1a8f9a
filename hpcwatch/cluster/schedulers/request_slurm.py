"""Slurm's request: `#SBATCH` lines, sbatch's own options, and `scontrol`'s report of both. Pure.

Source: sbatch(1). An option given to sbatch itself wins over the script. Of two lines of a script
the later counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from hpcwatch.cluster.schedulers.request import (
    Request,
    Script,
    clock,
    has_plain_words,
    needs_of,
    size,
)
from hpcwatch.cluster.schedulers.slurm_edit import edit
from hpcwatch.cluster.schedulers.slurm_edit_gpus import gpus_of
from hpcwatch.cluster.schedulers.slurm_options import (
    PREFIX,
    REQUEST_FIELDS,
    options,
    slurm_bytes,
    slurm_seconds,
    spots,
    tasks_of,
)
from hpcwatch.cluster.schedulers.text import count

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job

_SILENT = """
    begin chdir comment dependency error export export-file extra get-user-env gid help hold
    input mail-type mail-user output open-mode parsable priority quiet test-only uid usage
    verbose version wait wrap
"""
_UNREAD = frozenset(_SILENT.split())
"""Options that say nothing of the job's needs, or that may hold a secret."""
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}", re.ASCII)
_VALUE = re.compile(r"[A-Za-z0-9_.:+=%@/#&|*()\[\],~-]{1,4000}", re.ASCII)
_SHELL = re.compile(r"[&|*()#\[\]~]")


def script_name(job: Job) -> str | None:
    """Return the script's path as `scontrol` reports it, or as it was given to sbatch."""
    told = _fields(job).get("Command") or job.submit_arguments or ""
    if told.startswith("/"):
        return told.partition(" ")[0]
    _, rest = _submitted(job)
    return rest.split(None, 1)[0] if rest else None


def _fields(job: Job) -> dict[str, str]:
    return dict(word.partition("=")[::2] for word in job.requested)


def _submitted(job: Job) -> tuple[list[str], str]:
    """Return the options of ``sbatch -n1 --mem 2G run.sh``, and the script with its arguments."""
    line = job.submit_arguments or ""
    words = line.split(None, 1)
    if len(words) < 2 or words[0].rpartition("/")[2] not in ("sbatch", "salloc", "srun"):
        return [], ""
    found, rest = options(line, len(words[0]))
    wrap = next((spot for spot in found if spot.name == "wrap"), None)
    if wrap is not None:  # quotes are lost: the command's own words look like sbatch's
        found = [spot for spot in found if spot.start < wrap.start]
    return [line[spot.cut_start : spot.cut_end].strip() for spot in found], (
        "" if wrap is not None else line[rest:]
    )


def read(job: Job, environment: Mapping[str, str]) -> Request:
    """Return the request, in the user's words if they are known."""
    own = _own(job)
    if own is not None and _agrees(own.lines, job):
        return own
    fields = _fields(job)
    if any(name != "Command" for name in fields):
        gap = "options that Slurm does not report, such as --exclusive"
        if job.het_id is not None:
            gap += ", and the other components of the job"
        return Request((*_name_lines(job), *_from_fields(fields, job)), (gap,))
    gap = "the rest of your #SBATCH lines, which Slurm did not report"
    return Request((*_name_lines(job), *_from_environment(job, environment)), (gap,))


def _own(job: Job) -> Request | None:
    if not has_plain_words(job) or job.het_id is not None:
        return None  # a heterogeneous job's script has lines for each of its components
    given, _ = _submitted(job)
    line = job.submit_arguments or ""
    is_wrapped = bool(re.search(r"\s--wrap(=|\s)", line))
    if job.script_lines is None and not is_wrapped:
        return None  # the lines are in a file that cannot be read
    if not line.strip() and not job.script_lines:
        return None
    made = Script((text for text in job.script_lines or () if _is_kept(text)), spots)
    names = []
    for text in given:
        option = f"{PREFIX} {text}"
        if not _is_kept(option):
            continue
        for spot in spots(option):
            names.append(f"--{spot.name}")
            if not made.put(spot.name, spot.value):
                made.add(option)
    notes = []
    if names and job.script_lines:
        called = ", ".join(dict.fromkeys(names))
        notes.append(f"Given to sbatch itself, where it wins over the script: {called}.")
    gaps = ["what follows --wrap in the submit line"] if is_wrapped and _after_wrap(line) else []
    lines = made.lines
    return Request(lines, tuple(gaps), tuple(notes)) if lines else None


def _after_wrap(line: str) -> bool:
    """True if words after --wrap could be sbatch's options as well as the command's."""
    rest = re.split(r"\s--wrap(?:=|\s)", line, maxsplit=1)[-1]
    return bool(re.search(r"\s-", rest))


def _is_kept(line: str) -> bool:
    return any(spot.name not in _UNREAD for spot in spots(line)) and not any(
        spot.name in ("export", "comment", "mail-user", "wrap") for spot in spots(line)
    )


def _agrees(lines: tuple[str, ...], job: Job) -> bool:
    """True if the job can come from these lines: Slurm may give more than was requested."""
    script = Script(lines, spots)
    needs = needs_of(job)
    time, memory = script.get("time"), script.get("mem")
    if time is not None and job.walltime_s is not None and slurm_seconds(time) != job.walltime_s:
        return False
    asked = slurm_bytes(memory)
    held = needs.node_memory_bytes or asked
    if asked and held and held < asked:
        return False
    least = count((script.get("nodes") or "1").partition("-")[0]) or 1
    gpus = gpus_of(script, least)
    if least > needs.nodes_count or (gpus or 0) > (job.gpus_count or gpus or 0):
        return False
    tasks = tasks_of(script, needs.nodes_count)
    cores = tasks * (count(script.get("cpus-per-task")) or 1)
    return job.cores_count is None or cores <= job.cores_count


def _name_lines(job: Job) -> list[str]:
    named = (("job-name", job.name), ("partition", job.queue), ("account", job.account))
    return [
        f"{PREFIX} --{option}={name}" for option, name in named if name and _PLAIN.fullmatch(name)
    ]


def _from_fields(fields: Mapping[str, str], job: Job) -> Iterator[str]:
    """Yield the options behind a record of `scontrol show job`."""
    for field, option in REQUEST_FIELDS.items():
        value = fields.get(field)
        if not value or not _VALUE.fullmatch(value):
            continue
        value = value.partition("-")[0] if field == "NumNodes" else _of_gres(option, value)
        if value is None or (option in ("mem", "mem-per-cpu") and not slurm_bytes(value)):
            continue
        quoted = f'"{value}"' if _SHELL.search(value) else value
        yield f"{PREFIX} --{option}={quoted}"
    if job.walltime_s and job.walltime_s > 0:
        yield f"{PREFIX} --time={clock(job.walltime_s)}"


def _of_gres(option: str, value: str) -> str | None:
    """Turn ``gres/gpu:2`` or ``gres:gpu:k40:1`` into the option's value."""
    if option == "gres":
        return re.sub(r"\bgres[/:]", "", value)
    if option.startswith(("gpus", "mem-per-gpu", "cpus-per-gpu")):
        match = re.fullmatch(r"(?:gres[/:])?gpu[:=](.+)", value)
        return match[1] if match and "," not in value else None
    return value


def _from_environment(job: Job, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield what the numbers and a job's environment say."""
    needs = needs_of(job)
    if job.nodes or job.nodes_count:
        yield f"{PREFIX} --nodes={needs.nodes_count}"
    tasks, each = environment.get("SLURM_NTASKS"), environment.get("SLURM_CPUS_PER_TASK")
    if tasks in (None, "1"):
        if needs.node_cores_count:
            yield f"{PREFIX} --cpus-per-task={needs.node_cores_count}"
    elif each in (None, "1") and needs.nodes_count <= 1:
        if needs.node_cores_count:
            yield f"{PREFIX} --ntasks={needs.node_cores_count}"
    else:
        for option, value in (("ntasks", tasks), ("cpus-per-task", each)):
            if count(value):
                yield f"{PREFIX} --{option}={count(value)}"
    if needs.node_gpus_count:
        yield f"{PREFIX} --gres=gpu:{needs.node_gpus_count}"
    memory, cores = needs.node_memory_bytes, needs.node_cores_count
    if memory and cores and "SLURM_MEM_PER_CPU" in environment:
        yield f"{PREFIX} --mem-per-cpu={size(-(-memory // cores), 'M', 'G')}"
    elif memory:
        yield f"{PREFIX} --mem={size(memory, 'M', 'G')}"
    if job.walltime_s and job.walltime_s > 0:
        yield f"{PREFIX} --time={clock(job.walltime_s)}"


__all__ = ["PREFIX", "edit", "read", "script_name"]

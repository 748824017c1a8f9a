"""What requests to Torque and PBS Pro have in common: `#PBS` lines, lists of `-l`. Pure.

Sources: qsub(1B) of Torque 6, "Submitting a PBS Job" of the PBS User's Guide. A resource given to
qsub itself wins over the same resource in the script.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from hpcwatch.base.units import parse_bytes, parse_clock
from hpcwatch.cluster.schedulers.request import (
    Request,
    Script,
    Spot,
    Spots,
    has_plain_words,
    inside_quotes,
)

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job

PREFIX = "#PBS"

_WORD = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""")
_ITEM = re.compile(r"""(?:[^,"']|"[^"]*"|'[^']*')+""")
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}", re.ASCII)
_VALUE = re.compile(r"[A-Za-z0-9_.:+=%@/#^*!,~-]{1,4000}", re.ASCII)
_ASKING = frozenset("lLNqAPJtW")
"""Options about the request or where it counts. Others (mail, output) are not read."""
_CHUNK = ("select", "nodes", "procs", "ncpus")
_MAIN = frozenset({*_CHUNK, "mem", "pmem", "vmem", "pvmem", "walltime", "ngpus", "place"})
_DEFAULT_CHUNKS = frozenset({"1", "1:ppn=1", "1:ncpus=1"})


class Option(NamedTuple):
    """An option of qsub in a line: its letter, the position of its value, the part to remove."""

    letter: str
    start: int
    end: int
    cut_start: int
    cut_end: int


def options(line: str, flags: str, start: int = len(PREFIX)) -> Iterator[Option]:
    """Yield the options from ``start`` on. ``flags`` are the letters of options without a value."""
    words = [match.span() for match in _WORD.finditer(line, start)]
    position = 0
    while position < len(words):
        first, last = words[position]
        position += 1
        if line[first:last] == "--":
            return
        if line[first] != "-" or last - first < 2:
            continue  # the script, or what is given to it
        at = first + 1
        while at < last and line[at] in flags:
            yield Option(line[at], at, at, first, last)
            at += 1
        if at == last:
            continue
        cut_start = _before(line, first) if at == first + 1 else at
        if at + 1 < last:
            yield Option(line[at], at + 1, last, cut_start, last)
        elif position < len(words):
            value_start, value_end = words[position]
            yield Option(line[at], value_start, value_end, cut_start, value_end)
            position += 1


def _before(line: str, at: int) -> int:
    """Return where the spaces before a word begin."""
    return len(line[:at].rstrip())


@lru_cache(maxsize=8)
def spots_of(flags: str) -> Spots:
    """Return a reader of a line's values. They are named ``walltime`` for ``-l``, else ``-q``."""

    @lru_cache(maxsize=256)  # an edit asks for each line often
    def spots(line: str) -> tuple[Spot, ...]:
        return tuple(_spots(line, flags))

    return spots


def _spots(line: str, flags: str) -> Iterator[Spot]:
    for option in options(line, flags):
        if option.letter == "l":
            yield from _resources(line, option)
        else:
            start, end = inside_quotes(line, option.start, option.end)
            cut = option.cut_start, option.cut_end
            yield Spot(f"-{option.letter}", line[start:end], start, end, *cut)


def _resources(line: str, option: Option) -> Iterator[Spot]:
    first, last = inside_quotes(line, option.start, option.end)
    items = [match.span() for match in _ITEM.finditer(line, first, last)]
    for number, (start, end) in enumerate(items):
        name, equals, _ = line[start:end].partition("=")
        value_start = start + len(name) + len(equals)
        value_start, value_end = inside_quotes(line, value_start, end)
        if len(items) == 1:
            cut = option.cut_start, option.cut_end
        elif number:
            cut = start - 1, end  # with the comma before it
        else:
            cut = start, end + 1
        yield Spot(name, line[value_start:value_end], value_start, value_end, *cut)


def resources_of(job: Job) -> dict[str, str]:
    """Return ``Resource_List`` as the scheduler reports it."""
    pairs = (word.partition("=") for word in job.requested)
    return {name: value for name, _, value in pairs}


def own_lines(job: Job, flags: str) -> Request | None:
    """Return the user's lines; None if they cannot be read, or do not match the job."""
    if not has_plain_words(job):
        return None
    command = f"{PREFIX} {job.submit_arguments or ''}"
    operands = _operands(command, flags)
    script = job.script_lines
    if script is None:
        if operands is not None:  # the lines are in a file that cannot be read
            return None
        script = ()
    spots = spots_of(flags)
    made = Script((line for line in script if _is_kept(line, flags)), spots)
    given = []
    for option in options(command, flags):
        line = f"{PREFIX} {command[option.cut_start : option.cut_end].strip()}"
        if not _is_kept(line, flags):
            continue
        rest = Script([line], spots)
        for spot in list(spots(line)):
            if made.put(spot.name, spot.value):
                rest.drop(spot.name)
            given.append(spot.name)
        for left in rest.lines:
            made.add(left)
    lines = made.lines
    values = {spot.name: spot.value for line in lines for spot in spots(line)}
    resources = resources_of(job)
    if not lines or (resources and not _agree(values, resources)):
        return None
    is_from_script = bool(script)
    notes = [_given(given)] if given and is_from_script else []
    hidden = [line for line in script if "v" in _letters(line, flags) and _asks(line, flags)]
    gaps = ["the variables in the line of -v"] if hidden else []
    return Request(lines, tuple(gaps), tuple(notes))


def _given(names: list[str]) -> str:
    called = ", ".join(dict.fromkeys(name if name[:1] == "-" else f"-l {name}" for name in names))
    return f"Given to qsub itself, where it wins over the script: {called}."


def _operands(command: str, flags: str) -> str | None:
    """Return the script among qsub's arguments; empty if it came through standard input.

    None if a command was given instead, or if it is not known that a script was given.
    """
    rest = command[len(PREFIX) :]
    if re.search(r"(?:^|\s)--(?:\s|$)", rest):
        return None
    taken = [(option.cut_start, option.cut_end) for option in options(command, flags)]
    for match in _WORD.finditer(command, len(PREFIX)):
        if not any(start <= match.start() < end for start, end in taken):
            return match[0]
    return "" if "I" not in _letters(command, flags) else None


def script_name(job: Job, flags: str) -> str | None:
    """Return the script's name as it was given to qsub; None without one."""
    return _operands(f"{PREFIX} {job.submit_arguments or ''}", flags) or None


def _letters(line: str, flags: str) -> set[str]:
    return {option.letter for option in options(line, flags)}


def _asks(line: str, flags: str) -> bool:
    return bool(_letters(line, flags) & _ASKING)


def _is_kept(line: str, flags: str) -> bool:
    """True for a line that requests something and holds no variables, which may be secret."""
    return _asks(line, flags) and "v" not in _letters(line, flags) and "depend=" not in line


def _agree(values: Mapping[str, str], resources: Mapping[str, str]) -> bool:
    """True if the values match those of the scheduler, which adds its defaults."""
    for name, value in values.items():
        held = resources.get(name)
        if held is None and name in _MAIN:
            return False
        if held is not None and _plain(name, held) != _plain(name, value):
            return False
    if any(name in values for name in _CHUNK):
        return True
    return all(resources.get(name, "1") in _DEFAULT_CHUNKS for name in _CHUNK)


def _plain(name: str, value: str) -> object:
    """Return a value in a form that can be compared: ``01:00:00`` is 3600 s."""
    if len(value) < 40 and name.endswith("mem"):
        return parse_bytes(value) or value
    if len(value) < 40 and name in ("walltime", "cput", "pcput"):
        return parse_clock(value) or value
    return value.strip()


def name_lines(job: Job) -> list[str]:
    """Return the lines of a job's name, queue and account, unless they would need quotes."""
    named = (("-N", job.name), ("-q", job.queue), ("-A", job.account))
    return [
        f"{PREFIX} {option} {name}" for option, name in named if name and _PLAIN.fullmatch(name)
    ]


def resource_lines(resources: Mapping[str, str]) -> Request:
    """Return a line per resource. A value that would need quotes is a gap."""
    odd = [name for name, value in resources.items() if not _VALUE.fullmatch(f"{name}={value}")]
    lines = [f"{PREFIX} -l {name}={value}" for name, value in resources.items() if name not in odd]
    return Request(tuple(lines), tuple(f"the resource {name[:40]!r}" for name in odd))

"""sbatch's options in `#SBATCH` lines and in a submit line: names, positions, values. Pure.

Source: sbatch(1) of Slurm 26.05 and 22.05. Long names may be shortened as long as they are unique.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

from hpcwatch.base.units import MIB, parse_bytes, parse_clock
from hpcwatch.cluster.schedulers.request import Script, Spot, inside_quotes
from hpcwatch.cluster.schedulers.text import count

PREFIX = "#SBATCH"

REQUEST_FIELDS = {
    "QOS": "qos",
    "Features": "constraint",
    "Reservation": "reservation",
    "Licenses": "licenses",
    "ReqNodeList": "nodelist",
    "ExcNodeList": "exclude",
    "NumNodes": "nodes",
    "NumTasks": "ntasks",
    "CPUs/Task": "cpus-per-task",
    "MinMemoryNode": "mem",
    "MinMemoryCPU": "mem-per-cpu",
    "TresPerNode": "gres",
    "TresPerJob": "gpus",
    "TresPerTask": "gpus-per-task",
    "MemPerTres": "mem-per-gpu",
    "CpusPerTres": "cpus-per-gpu",
}
"""Field of `scontrol show job` -> the option that it comes from."""

SHORT = {
    "A": "account",
    "B": "extra-node-info",
    "C": "constraint",
    "D": "chdir",
    "F": "nodefile",
    "G": "gpus",
    "H": "hold",
    "J": "job-name",
    "L": "licenses",
    "M": "clusters",
    "N": "nodes",
    "O": "overcommit",
    "Q": "quiet",
    "S": "core-spec",
    "V": "version",
    "W": "wait",
    "a": "array",
    "b": "begin",
    "c": "cpus-per-task",
    "d": "dependency",
    "e": "error",
    "h": "help",
    "i": "input",
    "k": "no-kill",
    "m": "distribution",
    "n": "ntasks",
    "o": "output",
    "p": "partition",
    "q": "qos",
    "s": "oversubscribe",
    "t": "time",
    "u": "usage",
    "v": "verbose",
    "w": "nodelist",
    "x": "exclude",
}
_FLAGS = """
    contiguous exclusive get-user-env help hold ignore-pbs no-kill no-requeue overcommit
    oversubscribe parsable propagate quiet reboot requeue spread-job test-only usage use-min-
    nodes verbose version wait nice share immediate stepmgr
"""
FLAGS = frozenset(_FLAGS.split())
"""Options whose value, if any, only follows an equals sign."""
_VALUED = """
    acctg-freq batch bb bbf cluster-constraint comment container container-id cores-per-socket
    cpu-freq cpus-per-gpu deadline delay-boot export export-file extra gid gpu-bind gpu-freq
    gpus-per-node gpus-per-socket gpus-per-task gres gres-flags hint kill-on-invalid-dep mail-
    type mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus network ntasks-per-
    core ntasks-per-gpu ntasks-per-node ntasks-per-socket open-mode power prefer priority
    profile reservation resv-ports segment signal sockets-per-node switches thread-spec
    threads-per-core time-min tmp tres-bind tres-per-task uid wait-all-nodes wckey wrap
"""
VALUED = frozenset(_VALUED.split())
_LONG = frozenset({*SHORT.values(), *FLAGS, *VALUED})
SHORT_FLAGS = frozenset("HOQVWhksuv")
_WORD = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""")


@lru_cache(maxsize=256)
def long_name(word: str) -> str:
    """Return an option's full name; a word that is unknown or ambiguous as it is."""
    if word in _LONG:
        return word
    fitting = [name for name in _LONG if name.startswith(word)] if len(word) > 1 else []
    return fitting[0] if len(fitting) == 1 else word


@lru_cache(maxsize=256)
def spots(line: str) -> tuple[Spot, ...]:
    """Return the options of a `#SBATCH` line up to a comment.

    An edit calls it several times per line, so the result is cached.
    """
    found, _ = options(line, len(PREFIX), is_script=True)
    return tuple(found)


def options(line: str, start: int, is_script: bool = False) -> tuple[list[Spot], int]:
    """Return the options from ``start`` on, and the position of the first word that is not one."""
    words = [match.span() for match in _WORD.finditer(line, start)]
    found: list[Spot] = []
    position = 0
    while position < len(words):
        first, last = words[position]
        position += 1
        word = line[first:last]
        if word.startswith("#") and is_script:
            break
        if not word.startswith("-") or word in ("-", "--"):
            if is_script:
                continue
            return found, first
        following = words[position] if position < len(words) else None
        spot = _option(line, first, last, following)
        position += spot.cut_end > last
        found.append(spot)
    return found, len(line)


def _option(line: str, first: int, last: int, following: tuple[int, int] | None) -> Spot:
    cut_start = len(line[:first].rstrip())
    word = line[first:last]
    if word.startswith("--"):
        written, equals, _ = word[2:].partition("=")
        name = long_name(written)
        start = first + 2 + len(written) + len(equals)
        has_value = bool(equals) or name in FLAGS or name not in _LONG
    else:
        name, start = SHORT.get(word[1], f"-{word[1]}"), first + 2
        has_value = last > start or word[1] in SHORT_FLAGS
        if line[start : start + 1] == "=" and last > start:
            start += 1
    if has_value or following is None:
        start, end = inside_quotes(line, start, last)
        return Spot(name, line[start:end], start, end, cut_start, last)
    start, end = inside_quotes(line, *following)
    return Spot(name, line[start:end], start, end, cut_start, following[1])


def slurm_bytes(text: str | None) -> int | None:
    """Read ``--mem``: a number without a unit is in MiB. 0 means the whole node and gives None."""
    if not text or len(text) > 40:
        return None
    bare = count(text)
    return (bare * MIB if bare is not None else parse_bytes(text)) or None


def slurm_seconds(text: str | None) -> int | None:
    """Read ``--time`` in seconds, rounded up to minutes: ``90``, ``1:30``, ``2:00:00``, ``1-12``.

    None for no limit of its own.
    """
    bare = count(text)
    length_s = bare * 60 if bare is not None else parse_clock(text or "")
    return math.ceil(length_s / 60) * 60 if length_s else None


def tasks_of(script: Script, nodes: int) -> int:
    """Return the number of requested tasks; one per node if nothing states it."""
    whole, each = count(script.get("ntasks")), count(script.get("ntasks-per-node"))
    return whole or (each or 1) * nodes

"""Lists of hosts and numbers as schedulers write them. Bounded: foreign text can be hostile."""

from __future__ import annotations

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_HOSTS = 100_000  # a longer list is a mistake, or an attack on our memory
_MOST_DIGITS = 9
_COMMA = r",(?![^\[\]]*\])"  # none between brackets


def expand_hosts(text: str) -> tuple[str, ...]:
    """Expand ``qb[001-003,010],login1`` in order; malformed parts give nothing."""
    import re

    hosts: list[str] = []
    for word in filter(None, re.split(_COMMA, text)):
        hosts += _expand(word)
        if len(hosts) >= MOST_HOSTS:
            break
    return tuple(hosts[:MOST_HOSTS])


def hosts_named(words: Sequence[str]) -> list[str]:
    """Return the hosts that a user names: each word is a list. Raises HpcwatchError."""
    names: list[str] = []
    for word in words:
        found = expand_hosts(word)
        if not found:
            hint = "write qb001 or qb[001-004,010]"
            raise HpcwatchError(f"{word!r} is not a list of hosts", hint, EXIT_USAGE)
        names += found
    return names


def _expand(word: str) -> list[str]:
    before, opening, rest = word.partition("[")
    ranges, closing, after = rest.partition("]")
    if not opening:
        return [] if "]" in word else [word]
    if not closing or "]" in before or word.count("[") > 8:  # no cluster has nine dimensions
        return []
    tails = _expand(after)
    names: list[str] = []
    for part in ranges.split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not (_is_number(first) and _is_number(last)):
            return []
        numbers = range(int(first), int(last) + 1)
        if len(numbers) * len(tails) + len(names) > MOST_HOSTS:
            return []
        names += [f"{before}{n:0{len(first)}}{tail}" for n in numbers for tail in tails]
    return names


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= _MOST_DIGITS


_NUMBERED = r"(.*?)([0-9]{1,9})"


def fold_hosts(names: Sequence[str]) -> str:
    """Write host names short: ``qb[001-003,010],login1``, in the order of their first hosts."""
    if len(names) == 1:
        return names[0]
    import re  # takes milliseconds, and most runs have one host

    groups: dict[tuple[str, int], list[int]] = {}
    written: dict[tuple[str, int], None] = {}
    for name in names:
        match = re.fullmatch(_NUMBERED, name)
        # Only names with the same number of digits fold: qb9 and qb010 are not one range.
        key = (match[1], len(match[2])) if match else (name, 0)
        written[key] = None
        if match:
            groups.setdefault(key, []).append(int(match[2]))
    return ",".join(_folded(key, groups.get(key, [])) for key in written)


def _folded(key: tuple[str, int], found: list[int]) -> str:
    stem, digits = key
    if not digits:
        return stem
    ranges: list[tuple[int, int]] = []
    for number in sorted(set(found)):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = ranges[-1][0], number
        else:
            ranges.append((number, number))
    words = [f"{a:0{digits}}" + (f"-{b:0{digits}}" if b > a else "") for a, b in ranges]
    return stem + (words[0] if words[1:] == [] and "-" not in words[0] else f"[{','.join(words)}]")


def numbers(text: str) -> tuple[int, ...]:
    """Read ``0-3,8`` as numbers in order; malformed parts give nothing."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not (_is_number(first) and _is_number(last)):
            return ()
        if int(last) - int(first) + len(found) >= MOST_HOSTS:
            return ()
        found += range(int(first), int(last) + 1)
    return tuple(found)


def exec_host(text: str, is_count: bool = False) -> tuple[tuple[str, int], ...]:
    """Read PBS's ``exec_host`` as (host, cores), one entry per part, in order.

    Torque 6 writes ``qb002/0-3`` and ``qb001/6,11-12``, older versions ``n/7+n/6``, OpenPBS
    ``qb001/8*4``. Slurm's wrapper writes a *count*, ``qb001/4``: then ``is_count`` is set.
    """
    parts: list[tuple[str, int]] = []
    for part in text.split("+")[:MOST_HOSTS]:
        host, _, slots = part.strip().partition("/")
        _, star, times = slots.partition("*")
        counted = times if star else slots if is_count else ""
        cores = len(numbers(slots))
        if counted:
            cores = int(counted) if _is_number(counted) else 0
        if host:
            parts.append((host, cores))
    return tuple(parts)


def per_host(parts: tuple[tuple[str, int], ...]) -> dict[str, int]:
    """Add up the parts of each host; hosts are in the order of their first parts."""
    total: dict[str, int] = {}
    for host, cores in parts:
        total[host] = total.get(host, 0) + cores
    return total


def exec_gpus(text: str) -> dict[str, tuple[int, ...]]:
    """Read Torque's ``qb003-gpu/0+qb003-gpu/1``: the devices of each host."""
    found: dict[str, tuple[int, ...]] = {}
    for part in text.split("+")[:MOST_HOSTS]:
        host, _, indices = part.strip().rpartition("-gpu/")
        if host:
            found[host] = found.get(host, ()) + numbers(indices)
    return found


_GPUS = (
    r"(?:^|,)gpu(?::(?!\d+(?:[,(]|$))[^:,()]+)?(?::(\d{1,6}))?"
    r"(?:\((?:IDX:([0-9,-]+)|CNT:(\d{1,6})|[^)]*)\))?"
)


def gres_gpus(text: str) -> tuple[int, tuple[int, ...]]:
    """Read Slurm's GRES of a node: the number of GPUs, and their indices if it says so.

    ``gpu:k40:2(IDX:0-1)``, ``gres:gpu:2``; up to 19.05 ``gpu(IDX:0,2-3)``; devices without files
    are ``gpu:a100(CNT:3)``.
    """
    import re

    total, indices = 0, list[int]()
    for count, which, many in re.findall(_GPUS, text.replace("gres:", "").replace("gres/", "")):
        found = numbers(which) if which else ()
        total += int(count or many or 0) or len(found) or 1
        indices += found
    return total, tuple(indices)

"""The files of a control group: small, and any of them may be missing or odd."""

import os

from .procfs import read
from .typed import Dict, List, Optional

NO_LIMIT_BYTES = 1 << 60  # version 1 says "none" with a number near 2**63


def words_of(folder: str, name: str) -> List[str]:
    """Return a file's words; an empty list if it cannot be read."""
    try:
        return read(os.path.join(folder, name)).decode("ascii", "replace").split()
    except OSError:
        return []


def number_of(folder: str, name: str) -> Optional[int]:
    """Return the number at the beginning of a file; None without one."""
    words = words_of(folder, name)
    return int(words[0]) if words and _is_number(words[0]) else None


def table_of(folder: str, name: str) -> Dict[str, int]:
    """Read ``key number`` lines; skip odd lines; an unreadable file has none."""
    return to_table(words_of(folder, name))


def to_table(words: List[str]) -> Dict[str, int]:
    """Return the numbers of ``key number`` pairs; skip odd pairs."""
    return {key: int(value) for key, value in zip(words[::2], words[1::2]) if _is_number(value)}


def used_v2(stat: Dict[str, int]) -> Optional[int]:
    """Return anonymous, shared and unreclaimable kernel memory of a memory.stat; never cache."""
    kernel = [stat.get(name) for name in ("slab_unreclaimable", "kernel_stack", "pagetables")]
    return sum_known([stat.get("anon"), stat.get("shmem")] + kernel)


def used_v1(stat: Dict[str, int]) -> Optional[int]:
    """Return anonymous and shared memory of a memory.stat.

    Kernel memory is left out: in version 1 it includes reclaimable caches of names.
    """
    return sum_known([stat.get("total_rss"), stat.get("total_shmem", 0)])


def sum_known(parts: List[Optional[int]]) -> Optional[int]:
    """Sum the known parts; None if the first one, which is the bulk, is unknown."""
    return None if parts[0] is None else sum(part for part in parts if part is not None)


def minus(whole: Optional[int], part: Optional[int]) -> Optional[int]:
    """Return the whole without the part, never below 0; None if the whole is unknown."""
    return None if whole is None else max(whole - (part or 0), 0)


def scaled(value: Optional[int], factor: float) -> Optional[float]:
    """Convert a number to another unit; None stays None."""
    return None if value is None else value * factor


def quota_cores(words: List[str]) -> Optional[float]:
    """Return ``quota period`` as a number of cores; ``max`` and -1 mean none."""
    if len(words) < 2 or not all(map(_is_number, words[:2])) or int(words[1]) == 0:
        return None
    return int(words[0]) / int(words[1])


def _is_number(word: str) -> bool:
    """True for a whole number that is no larger than a kernel prints."""
    return len(word) <= 20 and word.isdigit()


def groups_below(folder: str, most: int) -> List[str]:
    """Return a group's folder and those below it, nearest first, at most ``most``."""
    found = [folder]
    for group in found:
        try:
            with os.scandir(group) as entries:
                found += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:  # it has just been removed
            continue
        if len(found) >= most:
            break
    return found[:most]

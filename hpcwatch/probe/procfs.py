"""Reading of files under /proc, within a budget and one reader apart from others (proc(5))."""

import os
import time

from .typed import TYPE_CHECKING, Callable, Dict, List, NamedTuple, Optional

if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Stat(NamedTuple):
    """The fields of /proc/PID/stat that we use. ``reaped_*`` are of children waited for."""

    ppid: int
    name: bytes
    state: str
    user_ticks: int
    system_ticks: int
    reaped_user_ticks: int
    reaped_system_ticks: int
    own_fault_count: int
    """Minor faults of the process itself, not of children it waited for."""
    thread_count: int
    started_ticks: int
    virtual_bytes: int
    rss_bytes: int

    @property
    def reaped_ticks(self) -> int:
        """CPU time of the children it has waited for."""
        return self.reaped_user_ticks + self.reaped_system_ticks

    @property
    def all_ticks(self) -> int:
        """CPU time of the process and of all it has waited for."""
        return self.user_ticks + self.system_ticks + self.reaped_ticks


def parse_stat(raw: bytes) -> Stat:
    """Parse /proc/PID/stat. The name may hold spaces, brackets and newlines.

    Raises ValueError or IndexError if the text is not of that form.
    """
    opening, closing = raw.index(b"("), raw.rindex(b")")
    fields = raw[closing + 2 :].split()
    return Stat(
        ppid=int(fields[1]),
        name=raw[opening + 1 : closing],
        state=fields[0].decode("ascii", "replace"),
        user_ticks=int(fields[11]),
        system_ticks=int(fields[12]),
        reaped_user_ticks=int(fields[13]),
        reaped_system_ticks=int(fields[14]),
        own_fault_count=int(fields[7]),
        thread_count=int(fields[17]),
        started_ticks=int(fields[19]),
        virtual_bytes=int(fields[20]),
        rss_bytes=int(fields[21]) * PAGE_BYTES,
    )


def parse_table(raw: bytes) -> Dict[bytes, int]:
    """Parse ``Name: number [kB]`` lines (status, io, smaps_rollup, meminfo); kB become bytes.

    Lines whose value is no number are left out; a name that recurs (smaps) is summed.
    """
    table: Dict[bytes, int] = {}
    for line in raw.splitlines():
        name, _, rest = line.partition(b":")
        words = rest.split()
        if not words or not words[0].isdigit():
            continue
        factor = 1024 if words[-1] == b"kB" else 1
        table[name] = table.get(name, 0) + int(words[0]) * factor
    return table


def parse_argv(raw: bytes) -> List[str]:
    r"""Split /proc/PID/cmdline; bytes that are no UTF-8 are shown as ``\xNN``."""
    words = raw.rstrip(b"\0").split(b"\0")
    return [text(word) for word in words] if words != [b""] else []


def program_of(argv: List[str]) -> str:
    """Return what an interpreter runs: a file, a module, or the word after its code."""
    position = 1
    while position < len(argv) and argv[position].startswith("-"):
        if argv[position] in ("-m", "-c"):
            position += 1 if argv[position] == "-m" else 2
            break
        position += 2 if argv[position] in _WITH_VALUE else 1
    return argv[position] if position < len(argv) else ""


def is_single_file(name: str) -> bool:
    """True for the name of hpcwatch as one file: ``hpcwatch.pyz``, ``hpcwatch-0.2.pyz``."""
    return name.startswith("hpcwatch") and name.endswith(".pyz")


_WITH_VALUE = ("-X", "-W")  # python's options whose value is a word of its own


def text(raw: bytes) -> str:
    r"""Decode a foreign name so that it can be stored and sent; invalid bytes become ``\xNN``."""
    return raw.decode("utf-8", "backslashreplace")


def read(path: str, most_bytes: int = 1 << 16) -> bytes:
    """Read a small file of /proc or /sys. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, most_bytes)
    finally:
        os.close(descriptor)


def read_all(path: str) -> bytes:
    """Read a file of any length (``smaps``, ``mountinfo``). Raises OSError."""
    with open(path, "rb", buffering=0) as stream:
        return stream.read()


def read_start(path: str, most_bytes: int) -> bytes:
    """Read a list that the kernel writes page by page, up to a length. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    raw = b""
    try:
        while len(raw) < most_bytes:
            page = os.read(descriptor, most_bytes - len(raw))
            if not page:
                break
            raw += page
    finally:
        os.close(descriptor)
    return raw


class Mount(NamedTuple):
    """One line of /proc/PID/mountinfo."""

    root: str
    point: str
    kind: str
    options: str
    source: str = ""
    """The device, or server and export."""


class KeptFile:
    """A file of /proc or /sys that is read every tick: opened once, then one call per reading."""

    def __init__(self, path: str, most_bytes: int = 1 << 16) -> None:
        """Open it. Raises OSError."""
        self._descriptor = -1
        self._path = path
        self._most_bytes = most_bytes
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> bytes:
        """Return its present content. Raises OSError."""
        raw = os.pread(self._descriptor, self._most_bytes, 0)
        return raw if len(raw) < self._most_bytes else read_all(self._path)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


def parse_mounts(raw: bytes) -> List[Mount]:
    """Parse /proc/PID/mountinfo; skip odd lines."""
    mounts = []
    for line in raw.decode("utf-8", "surrogateescape").split("\n"):
        left, dash, right = line.partition(" - ")
        fields, rest = left.split(" "), right.split(" ")
        if dash and len(fields) > 4 and rest:
            source = _unescape(rest[1]) if len(rest) > 1 else ""
            options = rest[2] if len(rest) > 2 else ""
            place = _unescape(fields[3]), _unescape(fields[4])
            mounts.append(Mount(*place, rest[0], options, source))
    return mounts


def _unescape(path: str) -> str:
    """Undo mountinfo's octal escapes of space, tab, newline and backslash."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, character)
    return path


class Ration:
    """Spend at most ``share`` of the time that passes, saving up to ``most_s`` for a large one."""

    def __init__(self, share: float, most_s: float, first_s: float) -> None:
        self._share = share
        self._most_s = most_s
        self._left_s = first_s
        self._checked_s = time.monotonic()

    def allows(self, cost_s: float) -> bool:
        """Return True if a reading expected to take ``cost_s`` is affordable now.

        A reading that costs more than can be saved is allowed once ``most_s`` is saved; otherwise
        it would never be made.
        """
        now = time.monotonic()
        earned = self._share * (now - self._checked_s)
        self._left_s = min(self._left_s + earned, self._most_s)
        self._checked_s = now
        return self._left_s >= min(cost_s, self._most_s)

    def spend(self, cost_s: float) -> None:
        """Subtract what a reading really cost; a debt is worked off before the next one."""
        self._left_s -= cost_s


def tried(name: str, errors: Dict[str, str], read: "Callable[[], T]") -> "Optional[T]":
    """Return what a reader returns; None if it fails, with the reason in ``errors``."""
    try:
        return read()
    except Exception as error:
        errors[name] = "%s: %s" % (type(error).__name__, error)
        return None

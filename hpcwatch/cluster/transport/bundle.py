"""Starts the probe on a node: the installed one, else one that is sent along.

All nodes get the same command line. Its shell looks for a Python, and that looks for hpcwatch. The
first line of output says what was found. Where hpcwatch is missing the Python reads a zip of the
probe from standard input and runs it from memory.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import os
import re
import time
import zipfile
from collections.abc import Iterator
from typing import NamedTuple

from hpcwatch import __version__, probe
from hpcwatch.cluster.transport import ConnectError, Link, Trouble
from hpcwatch.probe.spec import PROTOCOL, READY, Spec, to_header

_MOST_NOISE_BYTES = 64 * 1024
_MOST_LINE_BYTES = 4 << 20
_READY_LINE = re.compile(
    rb"HPCWATCH-PROBE (\d{1,9}) (package|bundle) ([0-9][0-9A-Za-z.+]{0,20})\r?\n"
)
_NO_PYTHON = "no Python 3.6 or newer"

_NEWLINE = "~"
"""Stands for a newline in code that goes through command lines."""

# Whatever the user's login shell is, it sees words in single quotes. Neither a newline, a "!", a
# backslash nor a single quote may be in them: csh and fish treat those differently.
_SHELL = (
    'for i in "$1" python3 /usr/bin/python3 /usr/libexec/platform-python python3.13 python3.12 '
    "python3.11 python3.10 python3.9 python3.8 python3.7 python3.6; do "
    'command -v "$i" >/dev/null 2>&1 '
    '&& "$i" -E -S -c "import sys;sys.exit(sys.version_info<(3,6))" </dev/null >/dev/null 2>&1 '
    '&& exec "$i" -I -S -B -c "import sys;exec(sys.argv[2].replace(chr(126),chr(10)))" '
    'hpcwatch-probe "$2" "$3" "$4"; done; '
    "v=$(python3 -V 2>&1) || v=missing; "
    f'echo "{_NO_PYTHON} (python3 is ${{v#Python }})" >&2; exit 127'
)

_STARTER = f"""\
import os,sys
version,places=sys.argv[3:5]
sys.path+=places.split(":")
try:
 import hpcwatch
 assert hpcwatch.__version__==version
 from hpcwatch.probe.__main__ import main
except Exception: main=None
if main: main()
import json,signal,struct,zlib
signal.alarm(60)
os.write(1,b"{READY} {PROTOCOL} bundle %d.%d.%d%c"%(sys.version_info[:3]+(10,)))
header=sys.stdin.buffer.readline() or os._exit(0)
zip=sys.stdin.buffer.read(json.loads(header.decode())["bundle_size_bytes"])
size,x,name,extra=struct.unpack("<LLHH",zip[18:30])
code={{"__name__":"bundled"}}
start=30+name+extra
exec(zlib.decompress(zip[start:start+size],-15),code)
code["start"](zip,header)
"""
"""Runs under Python 3.6 and newer. It is short because csh limits the length of words."""


class Greeting(NamedTuple):
    """The first line of a probe's output."""

    kind: str
    """``package`` if hpcwatch is installed there, ``bundle`` if it had to be sent."""
    python_version: str
    rest: bytes
    """Bytes after the greeting: the beginning of the samples."""


def argv(interpreter: str, version: str) -> tuple[str, ...]:
    """Return the command line that starts a probe.

    ``interpreter`` is tried before the node's own; it may be missing there.
    """
    starter = _STARTER.rstrip("\n").replace("\n", _NEWLINE)
    places = ":".join(_installed_in())
    return ("/bin/sh", "-c", _SHELL, "hpcwatch-probe", interpreter, starter, version, places)


def _installed_in() -> list[str]:
    """Return the folders that the probe and its libraries are imported from."""
    folders = []
    for name in ("hpcwatch", "psutil", "pynvml"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            levels = 2 if spec.submodule_search_locations else 1
            folders.append(_above(os.path.abspath(spec.origin), levels))
    return list(dict.fromkeys(folder for folder in folders if "\n" not in folder))


def _above(path: str, levels: int) -> str:
    for _ in range(levels):
        path = os.path.dirname(path)
    return path


@functools.lru_cache(maxsize=1)
def bundle() -> bytes:
    """Return a zip of the probe and, if they are installed here, of psutil and pynvml.

    Its first file is the one that can run the others from memory.
    """
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in _files():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def _files() -> Iterator[tuple[str, bytes]]:
    """Yield names and contents. ``hpcwatch`` itself is reduced to its version."""
    sources = dict(_sources(probe.__name__))
    for name in sorted(sources, key=lambda name: (name != "bundled.py", name)):
        yield f"hpcwatch/probe/{name}", sources[name]
    yield "hpcwatch/__init__.py", f'__version__ = "{__version__}"\n'.encode()
    spec = importlib.util.find_spec("psutil")
    if spec is not None and spec.origin is not None:
        folder = os.path.dirname(spec.origin)
        for name in filter(_is_of_linux, sorted(os.listdir(folder))):
            yield f"psutil/{name}", _content(folder, name)
    source = _source("pynvml")
    if source is not None:
        yield "pynvml.py", source


def _sources(package: str) -> Iterator[tuple[str, bytes]]:
    """Yield a package's sources, from a folder or from inside a zip, by names relative to it."""
    import pkgutil

    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.submodule_search_locations is not None
    modules = [(package, True)] + [
        (module.name, module.ispkg)
        for module in pkgutil.walk_packages(found.submodule_search_locations, f"{package}.")
    ]
    for name, is_package in modules:
        source = _source(name)
        assert source is not None
        path = (name + ".__init__" if is_package else name).removeprefix(f"{package}.")
        yield f"{path.replace('.', '/')}.py", source


def _source(module: str) -> bytes | None:
    """Return the source text of a module, or None if there is no such module or only its code."""
    spec = importlib.util.find_spec(module)
    get_source = getattr(None if spec is None else spec.loader, "get_source", None)
    source: str | None = None if get_source is None else get_source(module)
    return None if source is None else source.encode()


def _content(folder: str, name: str) -> bytes:
    with open(os.path.join(folder, name), "rb") as stream:
        return stream.read()


def _is_of_linux(name: str) -> bool:
    """True for the files of psutil that Linux needs. Compiled ones must suit any Python 3."""
    if name.endswith(".py"):
        return not name.startswith(("_psaix", "_psbsd", "_psosx", "_pssunos", "_pswindows"))
    return name.endswith(".abi3.so")


def greet(link: Link, spec: Spec, timeout_s: float) -> Greeting:
    """Read a probe's first line, and send it its target.

    Output of the user's start-up files before that is skipped. Raises ConnectError.
    """
    deadline_s = time.monotonic() + timeout_s
    heard = b""
    while True:
        match = _READY_LINE.search(heard)
        if match is not None:
            break
        if len(heard) > _MOST_NOISE_BYTES:
            hint = "a start-up file of the shell may print them"
            raise ConnectError(Trouble.PROBE, "other words than the probe's, and no end", hint)
        data = _receive(link, deadline_s, timeout_s)
        if not data:
            raise _never_began(link, heard)
        heard += data
    protocol, kind, version = (word.decode("ascii") for word in match.groups())
    if int(protocol) != PROTOCOL:
        message = f"the probe there speaks protocol {protocol}, we speak {PROTOCOL}"
        raise ConnectError(Trouble.PROBE, message, "install the same hpcwatch on both sides")
    archive = bundle() if kind == "bundle" else b""
    link.send(to_header(spec, len(archive)) + archive)
    return Greeting(kind, version, heard[match.end() :])


def _receive(link: Link, deadline_s: float, timeout_s: float) -> bytes:
    left_s = deadline_s - time.monotonic()
    try:
        if left_s > 0:
            return link.receive(left_s)
    except TimeoutError:
        pass
    message = f"no probe within {timeout_s:g} s"
    words = link.complaint().strip()
    if words:
        message += f": {words}"
    hint = "its file systems or its shell's start-up files may hang"
    raise ConnectError(Trouble.TIMEOUT, message, hint) from None


def _never_began(link: Link, heard: bytes) -> ConnectError:
    """Return the error for a program that ended before its first line."""
    said = heard.decode("utf-8", "replace").strip().splitlines()
    words = link.complaint().strip() or (said[-1].strip() if said else "")
    if words.startswith(_NO_PYTHON):
        return ConnectError(Trouble.NO_PYTHON, words, "put a python3 on PATH there")
    message = "the probe ended before it began" + (f": {words[:500]}" if words else "")
    return ConnectError(Trouble.PROBE, message)


class LineReader:
    """Splits arriving bytes into lines."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that are complete now, without their newlines.

        Raises ConnectError for a line that is too long.
        """
        first, newline, rest = data.partition(b"\n")
        self._keep(first)
        if not newline:
            return []
        *lines, last = rest.split(b"\n")
        lines.insert(0, b"".join(self._parts))
        self._parts, self._size_bytes = [], 0
        self._keep(last)
        return lines

    def _keep(self, part: bytes) -> None:
        self._size_bytes += len(part)
        if self._size_bytes > _MOST_LINE_BYTES:
            limit = _MOST_LINE_BYTES >> 20
            raise ConnectError(Trouble.PROBE, f"the probe wrote a line longer than {limit} MiB")
        if part:
            self._parts.append(part)

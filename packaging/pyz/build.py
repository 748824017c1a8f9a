"""Build ``hpcwatch.pyz``: hpcwatch, rich and pynvml in one file, for places without pip.

The file holds the sources, which any Python from 3.9 on can run, and byte code for the Python that
builds it, which starts faster. Byte code is stored uncompressed: to unpack it would cost a tenth of
the start-up time. Needs nothing but Python:

    python3.9 packaging/pyz/build.py --packages FOLDER -o hpcwatch.pyz

FOLDER is where pip has put rich and nvidia-ml-py (and tomli, which Python 3.9 and 3.10 need to read
a configuration file). Two builds by the same Python from the same files are the same bytes.
"""

from __future__ import annotations

import argparse
import os
import py_compile
import stat
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from typing import NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PACKAGES = ("rich", "nvidia_ml_py", "tomli")
"""The distributions that are put in, by the names of their ``dist-info`` folders."""

LEFT_OUT = ("hpcwatch/demos/",)
"""Recordings, which are read as folders."""

SHEBANG = b"#!/usr/bin/env python3\n"
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
_TEXTS = (".py", ".css", ".js", ".LICENSE", ".typed", ".1")


class Source(NamedTuple):
    """A file and its name in the archive."""

    path: str
    name: str


def main() -> None:
    """Build the file that the command line asks for, and print its size."""
    parser = argparse.ArgumentParser(description="Build hpcwatch.pyz.")
    parser.add_argument("--packages", required=True, help="the folder of rich and nvidia-ml-py")
    parser.add_argument("-o", "--output", default="hpcwatch.pyz")
    options = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # before Python 3.11 byte code depends on it
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)  # noqa: S606
    build(options.packages, options.output)
    size_mb = os.path.getsize(options.output) / 1e6
    version = ".".join(map(str, sys.version_info[:2]))
    print(f"{options.output}: {size_mb:.1f} MB, fastest under Python {version}")


def build(packages: str, output: str) -> None:
    """Write the file; it replaces an earlier one only when it is complete."""
    sources = sorted({*_own(), *_others(packages)}, key=lambda source: source.name)
    unfinished = f"{output}.unfinished"
    with open(unfinished, "wb") as stream:
        stream.write(SHEBANG)
        with zipfile.ZipFile(stream, "w") as archive, tempfile.TemporaryDirectory() as scratch:
            _add(archive, "__main__.py", _content(os.path.join(ROOT, "hpcwatch", "__main__.py")))
            for source in sources:
                if source.name.endswith(".py"):
                    _add(archive, source.name + "c", _compiled(source, scratch), is_packed=False)
                _add(archive, source.name, _content(source.path))
    mode = os.stat(unfinished).st_mode
    os.chmod(unfinished, mode | stat.S_IXUSR | (mode & (stat.S_IRGRP | stat.S_IROTH)) >> 2)
    os.replace(unfinished, output)


def _own() -> Iterator[Source]:
    for source in _tree(ROOT, "hpcwatch"):
        if not source.name.startswith(LEFT_OUT):
            yield source
    yield Source(os.path.join(ROOT, "LICENSE"), "LICENSE")


def _others(packages: str) -> Iterator[Source]:
    """Yield the files of the packages, as pip has listed them in RECORD."""
    for folder in sorted(os.listdir(packages)):
        if not folder.endswith(".dist-info") or folder.partition("-")[0] not in PACKAGES:
            continue
        with open(os.path.join(packages, folder, "RECORD"), encoding="utf-8") as record:
            names = [line.split(",")[0] for line in record]
        for name in names:
            if name.endswith((".so", ".pyd")):
                sys.exit(
                    f"{name} is compiled for one Python: install the pure one (--platform any)"
                )
            is_wanted = name.endswith(_TEXTS) or (
                name.startswith(folder) and ("/licenses/" in name or name.endswith("/METADATA"))
            )
            if is_wanted and name != "example.py" and not name.startswith((".", "/")):
                yield Source(os.path.join(packages, name), name)


def _tree(base: str, package: str) -> Iterator[Source]:
    for folder, _, files in os.walk(os.path.join(base, package)):
        for file in files:
            if file.endswith(_TEXTS):
                path = os.path.join(folder, file)
                yield Source(path, os.path.relpath(path, base))


def _compiled(source: Source, scratch: str) -> bytes:
    """Return byte code that is never compared with its source's time."""
    target = os.path.join(scratch, "module.pyc")
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(source.path, target, dfile=source.name, doraise=True, invalidation_mode=mode)
    return _content(target)


def _content(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def _add(archive: zipfile.ZipFile, name: str, data: bytes, is_packed: bool = True) -> None:
    entry = zipfile.ZipInfo(name, _FIXED_TIME)
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data, zipfile.ZIP_DEFLATED if is_packed else zipfile.ZIP_STORED)


if __name__ == "__main__":
    main()

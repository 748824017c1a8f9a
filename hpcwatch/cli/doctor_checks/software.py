"""Checks of Python, the packages that hpcwatch needs, and the terminal."""

from __future__ import annotations

import locale
import os
import re
import sys
from collections.abc import Iterator
from importlib import import_module, metadata
from typing import NamedTuple

from hpcwatch import __version__
from hpcwatch.base import single_file
from hpcwatch.cli.doctor_checks import Check, Level, guarded, ok
from hpcwatch.views.text import wants_colour

_LEAST_COLUMNS, _LEAST_LINES = 80, 24


class _Package(NamedTuple):
    """A package by its name for pip, its module, the least version, and its purpose."""

    name: str
    module: str
    least: tuple[int, int]
    purpose: str
    without: str = ""
    """What hpcwatch.pyz, which does not contain the package, does without it."""


_PACKAGES = (
    _Package(
        "psutil",
        "psutil",
        (5, 9),
        "node-wide figures",
        "available memory is unknown on kernels before 3.14",
    ),
    _Package("nvidia-ml-py", "pynvml", (12, 0), "GPUs"),
    _Package("rich", "rich", (13, 0), "the live view"),
    _Package(
        "paramiko", "paramiko", (3, 0), "ssh to the nodes", "nodes are reached by the ssh program"
    ),
)
_OLD_NVML = "pynvml"
"""Another package that installs an older copy of nvidia-ml-py's module over it."""


def checks() -> Iterator[Check]:
    """Check Python, then each package, then the terminal."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield ok("Python", f"{version} at {sys.executable}, hpcwatch {__version__}")
    for package in _PACKAGES:
        yield from guarded(package.name, lambda package=package: [_package(package)])  # type: ignore[misc]
    yield from guarded(_OLD_NVML, _old_nvml)
    yield from guarded("terminal", _terminal)


def _package(package: _Package) -> Check:
    advice = f"{sys.executable} -m pip install --upgrade {package.name}"
    try:
        import_module(package.module)
        version = metadata.version(package.name)
    except ImportError as error:  # PackageNotFoundError is an ImportError
        if single_file.path() is not None and package.without:
            found = f"not installed for this Python: {package.without}"
            return Check(package.name, Level.NOTE, found, advice)
        found = f"cannot be imported: {error}; {package.purpose} will be missing"
        return Check(package.name, Level.PROBLEM, found, advice)
    if _numbers(version) < package.least:
        least = ".".join(map(str, package.least))
        found = f"{version} is older than {least}, for {package.purpose}"
        return Check(package.name, Level.WARNING, found, advice)
    return ok(package.name, f"{version}, for {package.purpose}")


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"(\d{1,9})(?:\.(\d{1,9}))?", version)
    return (int(match[1]), int(match[2] or 0)) if match else (0, 0)


def _old_nvml() -> Iterator[Check]:
    try:
        version = metadata.version(_OLD_NVML)
    except metadata.PackageNotFoundError:
        return
    if _numbers(version) < (12, 0):  # newer versions only depend on nvidia-ml-py
        found = f"the package {_OLD_NVML} {version} is installed: it may hide nvidia-ml-py's module"
        pip = f"{sys.executable} -m pip"
        advice = f"{pip} uninstall {_OLD_NVML}; {pip} install --force-reinstall nvidia-ml-py"
        yield Check(_OLD_NVML, Level.WARNING, found, advice)


def _terminal() -> Iterator[Check]:
    encoding = getattr(sys.stdout, "encoding", None) or locale.getpreferredencoding(False)
    if encoding.lower().replace("-", "") != "utf8":
        found = f"text is written as {encoding}: signs and bars are drawn with its characters"
        yield Check("terminal", Level.WARNING, found, "export LC_ALL=C.UTF-8")
    if sys.stdout is None or not sys.stdout.isatty():
        yield Check("terminal", Level.NOTE, "none: the output goes to a file or a pipe")
        return
    columns, lines = os.get_terminal_size(sys.stdout.fileno())
    name = os.environ.get("TERM", "")
    colours = "colours" if wants_colour(sys.stdout) else "no colours"
    found = f"{name or 'of no type'}, {columns} × {lines}, {encoding}, {colours}"
    if name in ("", "dumb"):
        yield Check("terminal", Level.WARNING, found, "export TERM=xterm-256color")
    elif columns < _LEAST_COLUMNS or lines < _LEAST_LINES:
        advice = (
            f"enlarge it to at least {_LEAST_COLUMNS} × {_LEAST_LINES}: what does not fit is cut"
        )
        yield Check("terminal", Level.WARNING, found, advice)
    else:
        yield ok("terminal", found)

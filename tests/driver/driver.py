"""Builds the stand-in for NVIDIA's driver library: real pynvml above made-up devices.

A folder with the library and a scenario is all that is needed, here, at the far side of ssh or in
a job: ``LD_LIBRARY_PATH=FOLDER hpcwatch run …``. By hand, with a file of ``scenarios/`` by name::

    python tests/driver/driver.py two_k40m -- hpcwatch run -- sleep 30
    python tests/driver/driver.py two_k40m /tmp/gpu     # only makes the folder
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import versions

HERE = Path(__file__).resolve().parent
SCENARIOS = HERE / "scenarios"
LIBRARY = "libnvidia-ml.so.1"
_FLAGS = ("-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers")


def has_compiler() -> bool:
    """Whether the library can be built here."""
    return shutil.which("gcc") is not None


def scenario(name: str) -> str:
    """The text of one of the scenarios in ``scenarios/``."""
    return (SCENARIOS / f"{name}.txt").read_text(encoding="utf-8")


def install(text: str, folder: Path) -> Path:
    """Put the library and a scenario into a folder, made if need be; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(_linked(_lacking(text)), folder / LIBRARY)
    (folder / "scenario").write_text(text, encoding="utf-8")
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Our environment, with the library of that folder to be found first."""
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])])
    return {**os.environ, "LD_LIBRARY_PATH": path}


def _lacking(text: str) -> tuple[str, ...]:
    """The functions that the driver of a scenario does not have."""
    words = [line.partition("#")[0].split() for line in text.splitlines()]
    lacks = {name for line in words if line[:1] == ["lacks"] for name in line[1:]}
    for line in words:
        if line[:1] == ["driver"]:
            lacks |= versions.lacking(line[1])
    return tuple(sorted(lacks))


@cache
def _work() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="hpcwatch-driver-")


@cache
def _objects() -> tuple[str, ...]:
    """Compile the sources, once a process."""
    objects = []
    for source in sorted(HERE.glob("*.c")):
        target = f"{_work().name}/{source.stem}.o"
        flags = [*_FLAGS, "-fPIC", "-fvisibility=hidden", "-c", "-o", target]
        subprocess.run(["gcc", *flags, str(source)], check=True)
        objects.append(target)
    return tuple(objects)


@cache
def _linked(lacking: tuple[str, ...]) -> str:
    """Link the library without some functions: dlsym does not find what a version script hides."""
    target = f"{_work().name}/{len(os.listdir(_work().name))}.so"
    script = f"{target}.map"
    hidden = "".join(f"{name}; " for name in lacking)
    Path(script).write_text("{ global: nvml*; local: " + hidden + "*; };", encoding="ascii")
    version = f"-Wl,--version-script={script}"
    subprocess.run(
        ["gcc", "-shared", "-o", target, version, *_objects(), "-lm", "-ldl"], check=True
    )
    return target


def main(arguments: list[str]) -> int:
    """Make a folder, or run a command above a scenario."""
    if len(arguments) < 2:
        names = ", ".join(sorted(path.stem for path in SCENARIOS.glob("*.txt")))
        print(f"{__doc__}\nScenarios: {names}, or a file of your own.", file=sys.stderr)
        return 2
    name, *rest = arguments
    path = Path(name)
    text = path.read_text(encoding="utf-8") if path.is_file() else scenario(name)
    if rest[0] != "--":
        folder = install(text, Path(rest[0]))
        print(f"export LD_LIBRARY_PATH={folder.resolve()}")
        return 0
    with tempfile.TemporaryDirectory(prefix="hpcwatch-gpus-") as folder_name:
        folder = install(text, Path(folder_name))
        return subprocess.run(rest[1:], env=environment(folder), check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

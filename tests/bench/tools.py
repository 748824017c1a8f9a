"""The tools that are compared: how each is told to run a command, and where it leaves its figures.

Each runs as its own documentation says, with children included wherever that is an option. All
run under one Python, the one that runs the benchmark, from the same virtual environment.
"""

from __future__ import annotations

import csv
import importlib.util
import itertools
import json
import os
import re
import shlex
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
MIB = 1024 * 1024


@dataclass(frozen=True)
class Figures:
    """What a tool says of a finished command; None where it has no such figure."""

    cpu_s: float | None = None
    memory_bytes: float | None = None


class Tool(ABC):
    """One tool. `work` is an empty directory of the run's own, and its working directory."""

    name: str
    polls = True  # whether it samples while the command runs

    @abstractmethod
    def missing(self) -> str | None:
        """Why it cannot be run here, or None if it can."""

    @abstractmethod
    def wrap(self, command: Sequence[str], work: Path, interval_s: float | None) -> list[str]:
        """The command line that runs the command under this tool; no interval is its default."""

    @abstractmethod
    def figures(self, work: Path) -> Figures:
        """The figures the tool left in `work`."""

    def left(self, work: Path) -> Sequence[Path]:
        """The files with the tool's figures, whatever is in them."""
        return [path for path in sorted(work.iterdir()) if path.is_file()]

    def samples(self, work: Path) -> int | None:
        """How many samples it has written so far, if that can be seen from outside."""
        return None

    def reread(self, work: Path) -> list[str] | None:
        """The command that shows a run whose monitor was killed, if the tool has one."""
        return None


class GnuTime(Tool):
    name = "GNU time"
    polls = False

    def missing(self) -> str | None:
        return None if executable("time") else "no `time` program (apt-get install time)"

    def wrap(self, command: Sequence[str], work: Path, interval_s: float | None) -> list[str]:
        return [executable("time"), "-v", "-o", str(work / "time.txt"), *command]

    def figures(self, work: Path) -> Figures:
        text = (work / "time.txt").read_text()

        def value(label: str) -> float:
            match = re.search(rf"{re.escape(label)}: ([\d.]+)", text)
            assert match is not None, text
            return float(match[1])

        return Figures(
            value("User time (seconds)") + value("System time (seconds)"),
            value("Maximum resident set size (kbytes)") * 1024,
        )


class ConDuct(Tool):
    name = "con-duct"

    def missing(self) -> str | None:
        return None if executable("con-duct") else "not installed (pip install con-duct)"

    def wrap(self, command: Sequence[str], work: Path, interval_s: float | None) -> list[str]:
        prefix = ["-p", f"{work}/duct_"]
        every = option("--sample-interval", interval_s) + option("--report-interval", interval_s)
        return [executable("con-duct"), "run", *prefix, *every, *command]

    def figures(self, work: Path) -> Figures:
        summary = json.loads((work / "duct_info.json").read_text())["execution_summary"]
        cpu_share, rss = summary["average_pcpu"], summary["peak_rss"]
        cpu_s = None if cpu_share is None else cpu_share / 100 * summary["wall_clock_time"]
        return Figures(cpu_s, rss)

    def samples(self, work: Path) -> int | None:
        return count_lines(work / "duct_usage.jsonl")


class ResourceTracker(Tool):
    """A library without a command line: the smallest program around it stands for the tool."""

    name = "resource-tracker"

    def missing(self) -> str | None:
        found = importlib.util.find_spec("resource_tracker")
        return None if found else "not installed (pip install resource-tracker)"

    def wrap(self, command: Sequence[str], work: Path, interval_s: float | None) -> list[str]:
        wrapper = str(HERE / "resource_tracker_run.py")
        interval = str(interval_s or 1)
        return [sys.executable, wrapper, str(work / "metrics.csv"), interval, *command]

    def figures(self, work: Path) -> Figures:
        with (work / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        cpu_s = sum(float(row["utime"]) + float(row["stime"]) for row in rows)
        return Figures(cpu_s, max((float(row["memory_mib"]) for row in rows), default=0) * MIB)

    def left(self, work: Path) -> Sequence[Path]:
        return [work / "metrics.csv"] if (work / "metrics.csv").exists() else []

    def samples(self, work: Path) -> int | None:
        # Until its end it keeps them in a temporary file, and TMPDIR is `work`.
        return max((count_lines(path) or 0 for path in work.glob("tmp*")), default=0)


class Psrecord(Tool):
    name = "psrecord"

    def missing(self) -> str | None:
        return None if executable("psrecord") else "not installed (pip install psrecord)"

    def wrap(self, command: Sequence[str], work: Path, interval_s: float | None) -> list[str]:
        options = ["--include-children", "--log", str(work / "log.txt")]
        every = option("--interval", interval_s)
        return [executable("psrecord"), *options, *every, shlex.join(command)]

    def figures(self, work: Path) -> Figures:
        rows = [
            [float(word) for word in line.split()]
            for line in (work / "log.txt").read_text().splitlines()[1:]
        ]
        # Each row's share is that of the time since the row before.
        spans = itertools.pairwise(rows)
        cpu_s = sum(row[1] / 100 * (row[0] - before[0]) for before, row in spans)
        return Figures(cpu_s, max((row[2] for row in rows), default=0) * MIB)

    def samples(self, work: Path) -> int | None:
        return count_lines(work / "log.txt")


class MemoryProfiler(Tool):
    name = "memory_profiler"

    def missing(self) -> str | None:
        return None if executable("mprof") else "not installed (pip install memory_profiler)"

    def wrap(self, command: Sequence[str], work: Path, interval_s: float | None) -> list[str]:
        options = ["--include-children", "--exit-code", "--output", str(work / "mprofile.dat")]
        return [executable("mprof"), "run", *options, *option("--interval", interval_s), *command]

    def figures(self, work: Path) -> Figures:
        found = re.findall(r"^MEM ([\d.]+)", (work / "mprofile.dat").read_text(), re.MULTILINE)
        return Figures(None, max(map(float, found), default=0) * MIB)

    def samples(self, work: Path) -> int | None:
        return count_lines(work / "mprofile.dat")


class Hpcwatch(Tool):
    name = "hpcwatch"

    def missing(self) -> str | None:
        return None if executable("hpcwatch") else "not installed (pip install .)"

    def wrap(self, command: Sequence[str], work: Path, interval_s: float | None) -> list[str]:
        options = ["--output", str(work / "run"), *option("--interval", interval_s)]
        return [executable("hpcwatch"), "run", *options, "--", *command]

    def figures(self, work: Path) -> Figures:
        summary = json.loads((work / "run" / "report.json").read_text())["summary"]
        return Figures(summary["cpu_s"], summary["memory_peak_bytes"])

    def left(self, work: Path) -> Sequence[Path]:
        return sorted((work / "run").glob("*.json*"))

    def samples(self, work: Path) -> int | None:
        return count_lines(work / "run" / "samples.jsonl")

    def reread(self, work: Path) -> list[str] | None:
        return [executable("hpcwatch"), "report", str(work / "run")]


TOOLS: tuple[Tool, ...] = (
    GnuTime(),
    Psrecord(),
    ConDuct(),
    ResourceTracker(),
    MemoryProfiler(),
    Hpcwatch(),
)


def executable(name: str) -> str:
    """The program of that name beside the running Python, else on PATH; empty if there is none."""
    beside = str(Path(sys.executable).parent)
    return shutil.which(name, path=beside) or shutil.which(name) or ""


def option(name: str, value: float | None) -> list[str]:
    """An option with its value, or nothing."""
    return [] if value is None else [name, str(value)]


def count_lines(path: Path) -> int | None:
    """How many complete lines a file has."""
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return None


def environment(work: Path) -> dict[str, str]:
    """The environment of a run: whatever a tool keeps, it keeps in `work`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HPCWATCH_")}
    return {**kept, "TMPDIR": str(work), "HOME": str(work), "HPCWATCH_HOME": str(work / "runs")}

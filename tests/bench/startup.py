"""What a program waits for until it starts, what `true` takes in all, and file-system calls.

Start-up counts on a login node and in scripts, and each file-system call counts where Python lies
on a network's file system. Bare Python that executes the program in its place is the least that a
tool in Python can need. The tools take turns, so a machine that is busy for a while does not
wrong one of them. Calls are counted by strace, if it is installed; those before the start are all
until the program is executed.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tables import NOTHING, markdown, options, progress, save
from tools import TOOLS, Figures, Hpcwatch, Tool, environment

TRUE, DATE = shutil.which("true") or "/bin/true", shutil.which("date") or "/bin/date"
_CALL = re.compile(r"^\d+ +(?:\[pid +\d+\] )?\w+\(")


class BarePython(Tool):
    name = "bare Python"
    polls = False

    def missing(self) -> str | None:
        return None

    def wrap(self, command: Sequence[str], work: Path, interval_s: float | None) -> list[str]:
        return [
            sys.executable,
            "-c",
            "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])",
            *command,
        ]

    def figures(self, work: Path) -> Figures:
        return Figures()


class NoMonitor(BarePython):
    name = "no monitor"

    def wrap(self, command: Sequence[str], work: Path, interval_s: float | None) -> list[str]:
        return list(command)


class Plain(Hpcwatch):
    """As a user says it, without options."""

    def wrap(self, command: Sequence[str], work: Path, interval_s: float | None) -> list[str]:
        return [super().wrap(command, work, interval_s)[0], "run", "--", *command]


class SingleFile(Plain):
    """``make pyz``, below a Python that sees no packages."""

    name = "hpcwatch.pyz"
    path = Path(__file__).resolve().parents[2] / "hpcwatch.pyz"

    def missing(self) -> str | None:
        return None if self.path.exists() else "not built (make pyz)"

    def wrap(self, command: Sequence[str], work: Path, interval_s: float | None) -> list[str]:
        python = os.path.realpath(sys.executable)
        return [python, "-S", str(self.path), "run", "--", *command]


@dataclass
class Cost:
    """All readings of one tool."""

    start_ms: list[float] = field(default_factory=list)
    whole_ms: list[float] = field(default_factory=list)
    calls_before: int | None = None
    calls: int | None = None


def run(command: Sequence[str], work: Path) -> bytes:
    done = subprocess.run(
        command,
        cwd=work,
        env=environment(work),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.stdout


def start_ms(tool: Tool) -> float | None:
    """Milliseconds until `date` looks at the clock; None if the tool keeps what it prints."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        command = tool.wrap([DATE, "+%s%N"], Path(name), None)
        before_ns = time.time_ns()
        found = re.search(rb"^\d{19}$", run(command, Path(name)), re.MULTILINE)
        return (int(found[0]) - before_ns) / 1e6 if found else None


def whole_ms(tool: Tool) -> float:
    """Milliseconds from starting the tool on `true` to its end."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        command = tool.wrap([TRUE], Path(name), None)
        before_s = time.perf_counter()
        run(command, Path(name))
        return (time.perf_counter() - before_s) * 1e3


def count_calls(tool: Tool, cost: Cost) -> None:
    """Count file-system calls of the tool on `true`, with all that it starts."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        trace = Path(name) / "trace"
        command = tool.wrap([TRUE], Path(name), None)
        run(["strace", "-f", "-e", "trace=file", "-o", str(trace), *command], Path(name))
        calls = [
            line for line in trace.read_text(errors="replace").splitlines() if _CALL.match(line)
        ]
    starts = [at for at, line in enumerate(calls) if f'execve("{TRUE}"' in line]
    cost.calls = len(calls)
    cost.calls_before = starts[0] if starts else None


def help_calls(work: Path) -> int:
    """Count file-system calls of `hpcwatch --help`."""
    trace = work / "trace"
    words = Hpcwatch().wrap([TRUE], work, None)[:1]
    run(["strace", "-f", "-e", "trace=file", "-o", str(trace), *words, "--help"], work)
    return sum(bool(_CALL.match(line)) for line in trace.read_text().splitlines())


def median(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f})" if values else NOTHING


def main() -> None:
    asked = options(__doc__)
    peers = [tool for tool in TOOLS if not isinstance(tool, Hpcwatch)]
    chosen = (NoMonitor(), BarePython(), *peers, Plain(), SingleFile())
    tools = [one for one in chosen if one.missing() is None]
    tools = [tool for tool in tools if not asked.only or tool.name in asked.only]
    costs = {tool.name: Cost() for tool in tools}
    rounds = 5 if asked.quick else 30
    for turn in range(rounds):
        progress(f"start-up {turn + 1} of {rounds}")
        for tool in tools:
            cost = costs[tool.name]
            cost.whole_ms.append(whole_ms(tool))
            started = start_ms(tool)
            if started is not None:
                cost.start_ms.append(started)
    calls_of_help = None
    if shutil.which("strace"):
        for tool in tools:
            count_calls(tool, costs[tool.name])
        if any(isinstance(tool, Hpcwatch) for tool in tools):
            with tempfile.TemporaryDirectory(prefix="bench-") as name:
                calls_of_help = help_calls(Path(name))
    print("### Start-up\n")
    columns = [
        "",
        "program starts, ms: median (least)",
        "`true` whole, ms",
        "file calls before",
        "file calls in all",
    ]
    rows = [
        [
            name,
            median(cost.start_ms),
            median(cost.whole_ms),
            NOTHING if cost.calls_before is None else str(cost.calls_before),
            NOTHING if cost.calls is None else str(cost.calls),
        ]
        for name, cost in costs.items()
    ]
    print(markdown(columns, rows))
    if calls_of_help is not None:
        print(f"\n`hpcwatch --help`: {calls_of_help} file calls. Load: {os.getloadavg()[0]:.1f}")
    plain = {name: vars(cost) for name, cost in costs.items()}
    save(asked.json, {"startup": {**plain, "help_calls": calls_of_help}})


if __name__ == "__main__":
    main()

"""What each tool reports of a program, as a percentage of the truth.

The programs in tests/subjects do one thing each and say themselves what is true; their docstrings
say what that means. All tools run with the same interval and take turns within each round.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import kill, subject, tree
from tables import NOTHING, markdown, options, progress, save, spread
from tools import TOOLS, Tool, environment

INTERVAL_S = 0.1
DEADLINE_S = 120


@dataclass(frozen=True)
class Case:
    """One column: a program and which of its figures is compared."""

    title: str
    script: str
    arguments: tuple[float, ...]
    figure: str  # the key of the truth, and the field of `Figures`

    def command(self, truth: Path) -> list[str]:
        return subject(self.script, *self.arguments, "--truth", truth)


FULL = (
    Case("steady CPU", "burn.py", (5,), "cpu_s"),
    Case("1000 children of 5 ms", "short_children.py", (1000,), "cpu_s"),
    Case("daemonised child", "daemon.py", (3,), "cpu_s"),
    Case("500 MB steady", "hold.py", (500, 3), "memory_bytes"),
    Case("800 MB for 50 ms", "spike.py", (800,), "memory_bytes"),
    Case("500 MB copy-on-write, 4 forks", "copy_on_write.py", (500, 3), "memory_bytes"),
    Case("500 MB shared mapping, 4 forks", "shared_mapping.py", (500, 3), "memory_bytes"),
    Case("500 MB in /dev/shm", "shm_file.py", (500, 3), "memory_bytes"),
    Case("4 × 200 MB", "many_holders.py", (200, 3), "memory_bytes"),
)
QUICK = (
    Case("steady CPU", "burn.py", (1,), "cpu_s"),
    Case("200 children of 5 ms", "short_children.py", (200,), "cpu_s"),
    Case("daemonised child", "daemon.py", (1,), "cpu_s"),
    Case("200 MB steady", "hold.py", (200, 1), "memory_bytes"),
    Case("300 MB for 50 ms", "spike.py", (300,), "memory_bytes"),
    Case("200 MB copy-on-write, 4 forks", "copy_on_write.py", (200, 1), "memory_bytes"),
    Case("200 MB shared mapping, 4 forks", "shared_mapping.py", (200, 1), "memory_bytes"),
    Case("200 MB in /dev/shm", "shm_file.py", (200, 1), "memory_bytes"),
    Case("4 × 100 MB", "many_holders.py", (100, 1), "memory_bytes"),
)
ROUNDS = 3


def measure(tool: Tool, case: Case) -> float | None:
    """Reported by true in percent; None if the tool reports no such figure, or failed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        work, truth = Path(name) / "work", Path(name) / "truth.json"
        work.mkdir()
        command = tool.wrap(case.command(truth), work, INTERVAL_S)
        process = subprocess.Popen(
            command,
            cwd=work,
            env=environment(work),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(DEADLINE_S)
            true = json.loads(truth.read_text())[case.figure]
            reported: float | None = getattr(tool.figures(work), case.figure)
        except (subprocess.TimeoutExpired, OSError, ValueError, KeyError) as error:
            progress(f"{tool.name}, {case.title}: {error!r}")
            return None
        finally:
            if process.poll() is None:
                kill(sorted(tree(process.pid)))
                process.wait()
    return None if reported is None else 100 * reported / true


def measure_all(
    tools: Sequence[Tool], cases: Sequence[Case], rounds: int
) -> dict[str, dict[str, list[float | None]]]:
    """All tools on all programs, taking turns."""
    found: dict[str, dict[str, list[float | None]]] = {
        tool.name: {case.title: [] for case in cases} for tool in tools
    }
    for turn in range(rounds):
        for case in cases:
            progress(f"{case.title}, {turn + 1} of {rounds}")
            for tool in tools:
                found[tool.name][case.title].append(measure(tool, case))
    return found


def table(
    tools: Sequence[Tool],
    cases: Sequence[Case],
    found: dict[str, dict[str, list[float | None]]],
) -> str:
    """The table of all tools; those that are missing say why."""
    rows = []
    for tool in tools:
        if tool.name in found:
            cells = [spread(found[tool.name][case.title]) for case in cases]
            rows.append([tool.name, *cells])
        else:
            rows.append([f"{tool.name}: {tool.missing()}", *[NOTHING] * len(cases)])
    return markdown(["", *(case.title for case in cases)], rows)


def main() -> None:
    asked = options(__doc__)
    cases, rounds = (QUICK, 1) if asked.quick else (FULL, ROUNDS)
    tools = [tool for tool in TOOLS if not asked.only or tool.name in asked.only]
    present = [tool for tool in tools if tool.missing() is None]
    found = measure_all(present, cases, rounds)
    print(f"### Accuracy: reported / true, % (interval {INTERVAL_S:g} s; median and range)\n")
    print(table(tools, cases, found))
    save(asked.json, {"accuracy": found})


if __name__ == "__main__":
    main()

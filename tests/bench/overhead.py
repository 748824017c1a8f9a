"""What each tool costs: start-up, CPU time per sample, memory.

Start-up is the wall time of `true`, a program of a millisecond, under the tool as it comes (a tool
that sleeps out its interval before it ends costs its user that interval). CPU and memory are the
monitor's alone and in its steady state: the difference of two readings while the program does
nothing, divided by the samples taken in between, and the PSS at the end. Steady means that the
first look at many processes, which a monitor may spread over a while, is over; all are given the
same time for it. The tools take turns within each round, so a machine that is busy for a while does
not wrong one of them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import meter
from harness import kill, subject, tree, wait_until
from tables import NOTHING, markdown, options, progress, save, spread
from tools import TOOLS, Hpcwatch, Tool, environment

INTERVAL_S = 1.0
LIFE_S = 600  # of the watched program, if nobody ends it


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    startups: int
    rounds: int
    crowd: int
    settle_s: float
    settle_s_per_process: float
    watch_s: float
    growth: tuple[int, ...]


FULL = Plan(20, 2, 1000, 4, 0.015, 10, (100, 300, 1000, 3000))
QUICK = Plan(5, 1, 300, 3, 0.015, 4, (100, 300))


@dataclass(frozen=True)
class Steady:
    """One reading of a monitor at work."""

    cpu_ms_per_sample: float
    pss_mb: float
    samples: int
    counted: bool  # else elapsed time by interval
    how: str


@dataclass
class Cost:
    """All readings of one tool."""

    startup_s: list[float] = field(default_factory=list)
    idle: list[Steady | None] = field(default_factory=list)
    crowd: list[Steady | None] = field(default_factory=list)


def startup_s(command: Sequence[str], work: Path) -> float:
    """Wall seconds from starting a command to its end."""
    started = time.perf_counter()
    subprocess.run(
        command,
        cwd=work,
        env=environment(work),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return time.perf_counter() - started


def waiting(count: int, ready: Path) -> list[str]:
    """A command of that many processes that do nothing.

    A single one is a `sleep`: an interpreter would share its code with the monitors, most of which
    run the same one, and so make them look smaller.
    """
    if count > 1:
        return subject("idle.py", count, LIFE_S, "--ready", ready)
    script = 'echo $$ > "$0.new" && mv "$0.new" "$0" && exec sleep "$1"'
    return ["sh", "-c", script, str(ready), str(LIFE_S)]


@contextmanager
def watched(tool: Tool, count: int, gauge: meter.Meter, work: Path) -> Iterator[tuple[int, int]]:
    """The tool at work on idle processes: its pid and that of the program."""
    ready = work / "ready"
    inner = gauge.workload(waiting(count, ready))
    monitor = subprocess.Popen(
        gauge.monitor(tool.wrap(inner, work, INTERVAL_S)),
        cwd=work,
        env=environment(work),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    program = 0
    try:
        wait_until(ready.exists, f"{count} processes to start under {tool.name}", 60)
        program = int(ready.read_text())
        yield monitor.pid, program
    finally:
        if program:
            with suppress(ProcessLookupError):
                os.kill(program, signal.SIGTERM)
        try:
            monitor.wait(30)
        except subprocess.TimeoutExpired:
            kill(sorted(tree(monitor.pid)))
            monitor.wait()


def after_a_sample(tool: Tool, work: Path) -> int:
    """Wait until a sample has just been taken, as far as that can be seen; how many there are.

    Between two such moments lie whole samples, so none is charged to the tool by half.
    """
    before = tool.samples(work)
    with suppress(TimeoutError):
        wait_until(lambda: tool.samples(work) != before, "the next sample", 2 * INTERVAL_S)
    return tool.samples(work) or 0


def steady(tool: Tool, count: int, plan: Plan) -> Steady | None:
    """The cost of a tool that watches that many idle processes."""
    gauge = meter.make()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            work = Path(name)
            with watched(tool, count, gauge, work) as (monitor, program):
                time.sleep(plan.settle_s + count * plan.settle_s_per_process)
                seen = after_a_sample(tool, work)
                cpu_s, began = gauge.cpu_s(monitor, program), time.monotonic()
                time.sleep(plan.watch_s)
                more = after_a_sample(tool, work) - seen
                cpu_s = gauge.cpu_s(monitor, program) - cpu_s
                elapsed_s = time.monotonic() - began
                pss = meter.pss_bytes(gauge.pids(monitor, program))
        samples = more or round(elapsed_s / INTERVAL_S)
        return Steady(cpu_s / samples * 1000, pss / 1e6, samples, bool(more), gauge.how)
    except (TimeoutError, OSError) as error:
        progress(f"{tool.name}, {count} processes: {error}")
        return None
    finally:
        gauge.close()


def measure(tools: Sequence[Tool], plan: Plan) -> dict[str, Cost]:
    """All tools, taking turns."""
    costs = {name: Cost() for name in ("no monitor", *(tool.name for tool in tools))}
    for turn in range(plan.startups):
        progress(f"start-up {turn + 1} of {plan.startups}")
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            costs["no monitor"].startup_s.append(startup_s(["true"], Path(name)))
        for tool in tools:
            with tempfile.TemporaryDirectory(prefix="bench-") as name:
                command = tool.wrap(["true"], Path(name), None)
                costs[tool.name].startup_s.append(startup_s(command, Path(name)))
    for turn in range(plan.rounds):
        for tool in tools:
            if tool.polls:
                progress(f"steady state of {tool.name}, {turn + 1} of {plan.rounds}")
                costs[tool.name].idle.append(steady(tool, 1, plan))
                costs[tool.name].crowd.append(steady(tool, plan.crowd, plan))
    return costs


def growth(plan: Plan) -> dict[int, list[Steady | None]]:
    """How hpcwatch's cost grows with the number of processes."""
    result: dict[int, list[Steady | None]] = {count: [] for count in plan.growth}
    for _ in range(plan.rounds):
        for count in plan.growth:
            progress(f"hpcwatch on {count} processes")
            result[count].append(steady(Hpcwatch(), count, plan))
    return result


def cpu(readings: Sequence[Steady | None]) -> str:
    return spread([found.cpu_ms_per_sample for found in readings if found], 1)


def memory(readings: Sequence[Steady | None]) -> str:
    return spread([found.pss_mb for found in readings if found], 1)


def table(tools: Sequence[Tool], costs: dict[str, Cost], crowd: int) -> str:
    """The table of all tools; those that are missing say why."""
    columns = [
        "",
        "start-up wall s (`true`)",
        "CPU ms/sample, idle child",
        f"CPU ms/sample, {crowd} processes",
        "memory PSS MB",
        f"memory PSS MB, {crowd} processes",
    ]
    rows = []
    for name in ("no monitor", *(tool.name for tool in tools)):
        cost = costs.get(name)
        if cost is None:
            reason = next(tool.missing() for tool in tools if tool.name == name)
            rows.append([f"{name}: {reason}"] + [NOTHING] * 5)
            continue
        figures = [cpu(cost.idle), cpu(cost.crowd), memory(cost.idle), memory(cost.crowd)]
        rows.append([name, spread(cost.startup_s, 3), *figures])
    return markdown(columns, rows)


def growth_table(sizes: dict[int, list[Steady | None]]) -> str:
    rows = [[str(count), cpu(found), memory(found)] for count, found in sizes.items()]
    return markdown(["processes", "hpcwatch: CPU ms/sample", "memory PSS MB"], rows)


def main() -> None:
    asked = options(__doc__)
    plan = QUICK if asked.quick else FULL
    tools = [tool for tool in TOOLS if not asked.only or tool.name in asked.only]
    present = [tool for tool in tools if tool.missing() is None]
    costs = measure(present, plan)
    print(f"### Overhead (interval {INTERVAL_S:g} s; median and range)\n")
    print(table(tools, costs, plan.crowd))
    sizes = growth(plan) if any(isinstance(tool, Hpcwatch) for tool in present) else {}
    if sizes:
        print("\n" + growth_table(sizes))
    raw = {name: asdict(cost) for name, cost in costs.items()}
    grown = {count: [found and asdict(found) for found in each] for count, each in sizes.items()}
    save(asked.json, {"overhead": raw, "growth": grown})


if __name__ == "__main__":
    main()

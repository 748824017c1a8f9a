"""Whether advice holds: `python tests/bench/advice.py [--quick] [--json FILE]`.

Programs of known distributions run 200 times each, and after each run the advice for the next one
is made from all before, as a report makes it. Figures of docs/advice.md.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from tables import markdown, options, save

from hpcwatch.analysis.advice import made
from hpcwatch.analysis.advice_check import Past
from hpcwatch.analysis.advice_work import work_of
from hpcwatch.analysis.needs import Observed
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.recording.previous_runs import MOST_RUNS
from hpcwatch.recording.store import Run

GIB = 1 << 30
RUNS = 200
FLAT = 1.2
"""What was added to the worst of the last five runs before the margins were learnt."""
JOB = Job(
    "1",
    "slurm",
    name="sim",
    nodes=("n1",),
    state=JobState.COMPLETED,
    node_cores_count=8,
    node_memory_bytes=4096 * GIB,
    walltime_s=72 * 3600,
    script_lines=("#SBATCH --mem=4096G", "#SBATCH --time=72:00:00", "#SBATCH -c 8"),
    submit_arguments="sbatch run.sh",
)


class Turn(NamedTuple):
    """One run of a program."""

    peak_gib: float
    words: tuple[str, ...] = ()
    """Its arguments."""


Program = Callable[[random.Random, int], Turn]
"""Returns what a program does in its n-th run."""


def around(dice: random.Random, middle: float, spread: float) -> float:
    """Draw from a normal distribution; ``spread`` is a share of its middle."""
    return max(dice.gauss(middle, spread * middle), 0.05 * middle)


def by_size(dice: random.Random, _: int) -> Turn:
    size = dice.choice((1000, 5000))
    return Turn(around(dice, size / 250, 0.03), ("--n", str(size)))


def hidden(dice: random.Random, _: int) -> Turn:
    return Turn(around(dice, dice.choice((5.0, 20.0)), 0.03))


def seeded(dice: random.Random, number: int) -> Turn:
    return Turn(around(dice, 10.0, 0.03), ("--seed", str(dice.randrange(10**6))))


PROGRAMS: dict[str, Program] = {
    "constant": lambda _dice, _: Turn(10.0),
    "normal, 3 %": lambda dice, _: Turn(around(dice, 10.0, 0.03)),
    "normal, 15 %": lambda dice, _: Turn(around(dice, 10.0, 0.15)),
    "heavy tail": lambda dice, _: Turn(10.0 * math.exp(dice.gauss(0, 0.6))),
    "two modes by --n": by_size,
    "two modes, hidden": hidden,
    "another --seed each time": seeded,
    "grows by 2 % a run": lambda dice, number: Turn(around(dice, 10.0 * 1.02**number, 0.02)),
    "60 % more from run 100 on": lambda dice, number: Turn(
        around(dice, 16.0 if number >= 100 else 10.0, 0.03)
    ),
}


class Outcome(NamedTuple):
    """What became of the advice over the runs of one program. Shares are 0 to 1."""

    said_count: int
    """Runs for which a peak was predicted."""
    held_share: float
    waste: float
    """What was predicted beyond the peak, as a share of the peak: the mean over the runs."""
    flat_held_share: float
    flat_waste: float
    refused_share: float
    """Runs for which none was predicted, because of drift."""
    other_share: float
    """Runs that the prediction did not apply to: their size is another."""


def outcome(program: Program, seed: int, runs: int = RUNS) -> Outcome:
    """Let a program run, and check each prediction against the run after it."""
    dice = random.Random(seed)
    past: list[Past] = []
    said: list[tuple[float, float, float]] = []
    refused = others = 0
    for number in range(runs):
        turn = program(dice, number)
        run, observed = _run(turn, number), _observed(turn)
        told = made(run, JOB, observed, past[-MOST_RUNS:])
        check, before = told.check, past[-1].prediction if past else None
        if check is not None and check.result == "other size":
            others += 1
        elif check is not None and any(part.amount == "memory" for part in check.parts):
            worst = max(one.observed.memory_bytes or 0 for one in past[-5:])
            bound = next(part.predicted for part in check.parts if part.amount == "memory")
            said.append((bound, FLAT * worst, turn.peak_gib * GIB))
        elif before is not None:
            refused += 1
        past.append(Past(run, work_of(run), observed, told.prediction))
    count = len(said)
    return Outcome(
        count,
        sum(peak <= bound for bound, _, peak in said) / count,
        sum(bound / peak - 1 for bound, _, peak in said) / count,
        sum(peak <= flat for _, flat, peak in said) / count,
        sum(flat / peak - 1 for _, flat, peak in said) / count,
        refused / runs,
        others / runs,
    )


def _run(turn: Turn, number: int) -> Run:
    at_s = 1_700_000_000.0 + 7200.0 * number
    return Run(
        id=f"run-{number}", name="sim", kind="run", argv=["./sim", *turn.words], cwd="/", user="u",
        hosts=["n1"], started_at_s=at_s, interval_s=1.0, hpcwatch_version="0", monitor_pid=1,
        environment={}, job=JOB, ended_at_s=at_s + 3600, wall_s=3600.0, exit_code=0,
    )  # fmt: skip


def _observed(turn: Turn) -> Observed:
    return Observed(3600.0, 3.1, round(turn.peak_gib * GIB), None, 1, None)


@cache
def mean(program: Program, seeds: int, runs: int = RUNS) -> Outcome:
    """Return the mean outcome over several seeds."""
    every = [outcome(program, seed, runs) for seed in range(seeds)]
    return Outcome(*(sum(one) / len(every) for one in zip(*every)))


def main() -> None:
    asked = options(__doc__)
    seeds = 1 if asked.quick else 10
    results = {}
    rows = []
    for name, program in PROGRAMS.items():
        if asked.only and name not in asked.only:
            continue
        one = results[name] = mean(program, seeds)
        rows.append(
            [
                name,
                f"{100 * one.held_share:.1f} %",
                f"{100 * one.waste:.0f} %",
                f"{100 * one.flat_held_share:.1f} %",
                f"{100 * one.flat_waste:.0f} %",
                f"{100 * one.refused_share:.0f} %",
                f"{100 * one.other_share:.0f} %",
            ]
        )
    print(f"Advice over {RUNS} runs of each program, mean of {seeds}\n")
    head = ["program", "within", "beyond the peak", "1.2: within", "1.2: beyond", "refused"]
    print(markdown([*head, "other size"], rows))
    save(asked.json, {"advice": {name: one._asdict() for name, one in results.items()}})


if __name__ == "__main__":
    main()

"""Past jobs from a large table of accounts, beside reportseff on the same one.

A stand-in for sacct prints the table from a file, so what is measured is the reader alone: its CPU
time, its wall time with the printing, and its peak of memory. A job has four steps.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tables import NOTHING, markdown, options, save

from hpcwatch.cluster.schedulers.slurm_past import FIELDS

JOBS, MANY_JOBS, FEW_JOBS = 100_000, 200_000, 2_000
DAY = (2026, 1, 5)
MARK = "\x1fbench\x1f"
STAND_IN = """#!/bin/sh
case "$*" in
*--helpformat*) tr , ' ' < "$TABLES/names"; exit;;
*--delimiter=^*) echo "$*" > "$TABLES/asked"; exec cat "$TABLES/reportseff";;
esac
exec cat "$TABLES/hpcwatch"
"""
OTHERS = {"squeue": "echo slurm 22.05.8", "scontrol": "exit 0", "sacctmgr": "exit 1"}
NAMES = ("AllocCPUS", "AllocNodes", "Elapsed", "NCPUS", "ReqMem", "JobIDRaw", "CPUTime", "ReqCPUS")


class Measured(NamedTuple):
    """What one program took."""

    cpu_s: float
    wall_s: float
    memory_mib: float
    lines_count: int


def rows(count: int) -> list[dict[str, str]]:
    """Jobs that ended on one day, each with four steps."""
    chance = random.Random(7)
    noon_s = int(time.mktime((*DAY, 12, 0, 0, 0, 0, -1)))
    made = []
    for number in range(count):
        ran_s, cores = chance.randrange(60, 90_000), chance.choice((1, 4, 8, 64))
        end_s = noon_s - chance.randrange(3000)
        clock = f"{ran_s // 86400}-{ran_s // 3600 % 24:02}:{ran_s // 60 % 60:02}:{ran_s % 60:02}"
        shared = {
            "Account": f"account{number % 9}",
            "State": "COMPLETED",
            "ExitCode": "0:0",
            "NNodes": "1",
            "AllocNodes": "1",
            "AllocCPUS": str(cores),
            "NCPUS": str(cores),
            "AllocTRES": f"billing={cores},cpu={cores},mem=4096M,node=1",
            "ElapsedRaw": str(ran_s),
            "Elapsed": clock,
            "TotalCPU": clock,
            "Start": str(end_s - ran_s),
            "End": str(end_s),
            "Submit": str(end_s - ran_s - 100),
            "Eligible": str(end_s - ran_s - 100),
        }
        job = {
            **shared,
            "JobID": str(number),
            "JobName": f"name{number % 50}",
            "User": f"user{number % 40}",
            "Partition": "checkpt",
            "Timelimit": "1-02:00:00",
            "ReqMem": "4096M",
            "ReqTRES": shared["AllocTRES"],
        }
        made.append(job)
        for step in ("batch", "extern", "0", "1"):
            memory = f"{chance.randrange(1, 1 << 22)}K"
            used = f"cpu={clock},energy=0,fs/disk=19836,mem={memory},pages=0,vmem=1300080K"
            made.append(
                {
                    **shared,
                    "JobID": f"{number}.{step}",
                    "JobName": step,
                    "NTasks": "1",
                    "MaxRSS": memory,
                    "TRESUsageInTot": used,
                }
            )
    return made


class Site:
    """A folder with the stand-in and its tables."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._bin = folder / "bin"
        self._bin.mkdir()
        self._write("sacct", STAND_IN)
        for name, text in OTHERS.items():
            self._write(name, f"#!/bin/sh\n{text}\n")
        (folder / "names").write_text(",".join(dict.fromkeys((*FIELDS, *NAMES))))

    def _write(self, name: str, text: str) -> None:
        path = self._bin / name
        path.write_text(text)
        path.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to find it."""
        own = {"PATH": f"{self._bin}:{os.environ['PATH']}", "TABLES": str(self.folder)}
        return {**os.environ, **own, "HPCWATCH_HOME": str(self.folder / "home"), "COLUMNS": "120"}

    def fill(self, made: Sequence[dict[str, str]], columns: Sequence[str]) -> None:
        """Write the table, as hpcwatch and as reportseff ask for it."""
        with (self.folder / "hpcwatch").open("w") as table:
            table.write(MARK.join(FIELDS) + "\n")
            table.writelines(
                MARK.join([row.get(name, "") for name in FIELDS]) + "\n" for row in made
            )
        with (self.folder / "reportseff").open("w") as table:
            for row in made:
                table.write("".join(row.get(name, "") + "^|^" for name in columns) + "\n")

    def columns(self, reportseff: Sequence[str]) -> list[str]:
        """Return what reportseff asks for, once it was asked about nothing."""
        (self.folder / "reportseff").write_text("")
        subprocess.run(reportseff, env=self.environment, capture_output=True, check=False)
        words = (self.folder / "asked").read_text().split()
        return (
            next(word for word in words if word.startswith("--format="))
            .partition("=")[2]
            .split(",")
        )

    def measure(self, argv: Sequence[str]) -> Measured:
        """Run a program to its end."""
        out = self.folder / "out"
        begin_s = time.perf_counter()
        with out.open("w") as target:
            process = subprocess.Popen(argv, env=self.environment, stdout=target)
            _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - begin_s
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"{' '.join(argv)} failed: {process.returncode}")
        with out.open() as lines:
            count = sum(1 for _ in lines)
        return Measured(used.ru_utime + used.ru_stime, wall_s, used.ru_maxrss / 1024, count)


def programs() -> dict[str, list[str]]:
    """What is measured on the smaller table, by name."""
    jobs = [sys.executable, "-m", "hpcwatch", "jobs", "--all", "--since"]
    jobs += ["2026-01-05", "--until", "2026-01-06"]
    return {
        "hpcwatch, table": jobs,
        "hpcwatch, --by name": [*jobs, "--by", "name"],
        "hpcwatch, ndjson": [*jobs, "--format", "ndjson"],
        "reportseff": ["reportseff", "--user", "user1", "--since", "d=1", "--no-color"],
    }


def main() -> None:
    """Measure and print."""
    asked = options(__doc__)
    small, large = (FEW_JOBS, 2 * FEW_JOBS) if asked.quick else (JOBS, MANY_JOBS)
    results: dict[str, object] = {}
    table: list[list[str]] = []
    with tempfile.TemporaryDirectory(prefix="hpcwatch-history-") as folder:
        site = Site(Path(folder))
        wanted = {name: argv for name, argv in programs().items() if shutil.which(argv[0])}
        columns = site.columns(wanted["reportseff"]) if "reportseff" in wanted else []
        for count, names in ((small, list(wanted)), (large, ["hpcwatch, --by name"])):
            # Not here: a child's peak of memory counts from our own size on.
            filling = multiprocessing.Process(target=_fill, args=(site, count, columns))
            filling.start()
            filling.join()
            for name in names:
                if asked.only and name not in asked.only:
                    continue
                seen = site.measure(wanted[name])
                results[f"history {name} {count} jobs"] = seen._asdict()
                table.append(_row(name, count, seen))
    if "reportseff" not in wanted:
        table.append(["reportseff", "not installed", *[NOTHING] * 4])
    heads = ("program", "jobs", "rows of sacct", "CPU s", "wall s", "peak MiB")
    print(markdown(heads, table))
    save(asked.json, json.loads(json.dumps(results)))


def _fill(site: Site, count: int, columns: Sequence[str]) -> None:
    site.fill(rows(count), columns)


def _row(name: str, count: int, seen: Measured) -> list[str]:
    figures = (f"{seen.cpu_s:.2f}", f"{seen.wall_s:.2f}", f"{seen.memory_mib:.0f}")
    return [name, f"{count:,}", f"{5 * count:,}", *figures]


if __name__ == "__main__":
    main()

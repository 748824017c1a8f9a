"""Series that a real Prometheus has had for a while, and a Slurm whose accounts know the job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from history_scenes import sacct_job, sacct_text
from program import ROOT
from prometheus_server import promtool
from stand_in import SLURM, StandIn

START_S = 1_795_975_200.0  # 2026-11-29T18:00:00Z
HOUR_S = 3600
GIB = float(1 << 30)

Value = Callable[[float], float]
"""A series' value by the seconds since the start."""


def constant(value: float) -> Value:
    """Return a series that does not change."""
    return lambda _: value


def always(_name: str, _after_s: float) -> bool:
    """Return True: no reading is missing."""
    return True


def write_blocks(
    folder: Path,
    series: Mapping[str, Value],
    length_s: int = HOUR_S,
    every_s: int = 30,
    is_there: Callable[[str, float], bool] = always,
) -> None:
    """Write series into the data folder of a Prometheus that starts in ``folder`` later."""
    folder.mkdir(parents=True, exist_ok=True)
    families: dict[str, list[str]] = {}
    for name, value in series.items():
        lines = families.setdefault(name.partition("{")[0], [])
        lines += [
            f"{name} {value(after_s)} {START_S + after_s:.0f}"
            for after_s in range(0, length_s + 1, every_s)
            if is_there(name, after_s)
        ]
    made = [f"# TYPE {family} unknown\n" + "\n".join(lines) for family, lines in families.items()]
    (folder / "series.om").write_text("\n".join([*made, "# EOF\n"]))
    options = ("tsdb", "create-blocks-from", "openmetrics")
    done = promtool(*options, str(folder / "series.om"), str(folder / "data"))
    assert done.returncode == 0, done.stderr


def accounts(tmp_path: Path) -> dict[str, str]:
    """A Slurm that knows of job 33's double 4242: an hour on two nodes."""
    path = ROOT / "tests" / "parse" / "data" / "slurm" / "sacct-P-j-33_26-completed-steps.txt"
    text = path.read_text()
    for old, new in (
        ("\x1f8\x1f00:10:00", "\x1f3600\x1f02:00:00"),
        ("2026-11-29T17:59:19", "2026-11-29T18:00:00"),
        ("2026-11-29T17:59:27", "2026-11-29T19:00:00"),
        ("qb001", "qb[001-002]"),
        ("\x1f1\x1f2\x1f", "\x1f2\x1f4\x1f"),
    ):
        text = text.replace(old, new)
    text = "\n".join(
        ("4242" + line[2:]).replace("\x1f33\x1f", "\x1f4242\x1f") if line[:2] == "33" else line
        for line in text.split("\n")
    )
    unknown = {"stderr": "slurm_load_jobs error: Invalid job id specified\n", "exit_code": 1}
    scenario = {"*": {"sacct*": {"stdout": text}, "scontrol*": unknown, "squeue*": unknown}}
    there = StandIn(tmp_path / "slurm", SLURM, scenario).environment
    return {**there, "TZ": "UTC", "HPCWATCH_SCHEDULER_NAME": "slurm"}


def past(tmp_path: Path, *rows: list[str]) -> dict[str, str]:
    """A Slurm whose accounts hold these jobs."""
    config = "AccountingStorageTRES = cpu,gres/gpu\nGresTypes = gpu\n"
    told = {
        "squeue --version": {"stdout": "slurm 22.05.8\n"},
        "scontrol show config": {"stdout": config},
        "sacct *": {"stdout": sacct_text(rows)},
    }
    there = StandIn(tmp_path / "slurm", SLURM, {"*": told}).environment
    return {**there, "TZ": "UTC", "HPCWATCH_SCHEDULER_NAME": "slurm", "COLUMNS": "120"}


def unaccounted(job_id: str, **cells: object) -> list[str]:
    """A job of an hour of which the accounts know only what it requested."""
    amounts = "billing=4,cpu=4,mem=8192M,node=2,gres/gpu=2"
    known: dict[str, Any] = {
        "NNodes": "2",
        "AllocTRES": amounts,
        "ReqTRES": amounts,
        "TotalCPU": "",
        "Start": int(START_S),
        "End": int(START_S) + HOUR_S,
    }
    return sacct_job(job_id, hours=1, **{**known, **cells})


SINCE = ("jobs", "--since", "2026-11-29", "--until", "2026-11-30", "-u", "alice")
"""The question for the jobs of the day on which all begins."""

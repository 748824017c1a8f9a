"""How long the answers of a full queue take to read: `python tests/bench/parsing.py [--json FILE]`.

10,000 jobs as each scheduler prints them, made from recorded answers by changing the ids.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "parse"))

from parse_parts import DATA

from hpcwatch.cluster.schedulers import pbspro, slurm, torque
from hpcwatch.cluster.schedulers.query import Answer
from hpcwatch.cluster.schedulers.slurm_text import jobs_from_scontrol

JOBS = 10_000


def queue(name: str, record: str, before: str = "", after: str = "", between: str = "\n") -> Answer:
    """An answer with JOBS records, taken in turn from a recorded answer."""
    text = (DATA / f"{name}.txt").read_text(errors="surrogateescape")
    found = re.findall(record, text, re.DOTALL | re.MULTILINE)
    records = (
        re.sub(r"\d+", str(number), found[number % len(found)], count=1) for number in range(JOBS)
    )
    return Answer((before + between.join(records) + after).encode("utf-8", "surrogateescape"))


def queues() -> dict[str, tuple[Callable[[Answer], Any], Answer]]:
    """Each format with its parser and a full queue."""
    pbs_text = r"^Job Id: .*?\n(?=\n)"
    pbs_json = re.compile(r'\t\t"\d+\.qb3":.*?^\t\t\}', re.DOTALL | re.MULTILINE).pattern
    plain = json.loads((DATA / "slurm" / "squeue-json_mixed.txt").read_text())
    jobs = [{**plain["jobs"][n % len(plain["jobs"])], "job_id": n} for n in range(JOBS)]
    in_json = Answer(json.dumps({**plain, "jobs": jobs}).encode())
    return {
        "Torque, qstat -f": (torque.jobs_from_text, queue("torque/qstat-f-all_later", pbs_text)),
        "Torque, qstat -x": (
            torque.jobs_from_xml,
            queue("torque/qstat-x-all_xml", "<Job>.*?</Job>", "<Data>", "</Data>", ""),
        ),
        "OpenPBS, qstat -f": (pbspro.jobs_from_text, queue("pbspro/qstat-f-all_mixed", pbs_text)),
        "OpenPBS, JSON": (
            pbspro.jobs_from_json,
            queue("pbspro/qstat-f-json-all_mixed", pbs_json, '{"Jobs": {', "}}", ",\n"),
        ),
        "Slurm, scontrol": (
            jobs_from_scontrol,
            queue("slurm/scontrol-show-job-all_mixed", r"^JobId=.*?\n\n", between=""),
        ),
        "Slurm, squeue --json": (slurm.COMMANDS.jobs("alice").parse, in_json),
    }


def main() -> None:
    results: dict[str, float] = {}
    print("| answer | MB | s for 10,000 jobs |\n|---|---|---|")
    for name, (parse, answer) in queues().items():
        begin = time.perf_counter()
        found = parse(answer)
        results[f"parse {name} s"] = wall_s = time.perf_counter() - begin
        assert len(found) > 0.9 * JOBS, f"{name}: {len(found)} jobs"
        print(f"| {name} | {len(answer.stdout) / 1e6:.0f} | {wall_s:.2f} |")
    if "--json" in sys.argv:
        Path(sys.argv[sys.argv.index("--json") + 1]).write_text(json.dumps(results))


if __name__ == "__main__":
    main()

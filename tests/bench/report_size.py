"""What the report of 10 million readings costs: `python tests/bench/report_size.py [--quick]`.

A reading is one number of a recording: one metric of one node, core, job, process or GPU at one
instant (of a stored window the lowest, the mean and the highest). Two recordings are made with the
program's own writer. One is what `hpcwatch job` keeps of 64 nodes with 4 GPUs each over 13 h, which
is about all that its bound leaves room for; the samples of one node are written and stand for all.
The other is of one host without GPUs, read every second, with a larger bound than the default.
Each report is made by a program of its own, from its start to its end.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from feeding import process, sample
from tables import markdown, options, progress, save

from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.config import Settings
from hpcwatch.monitor.run_record import of_job
from hpcwatch.probe.schema import Sample
from hpcwatch.recording.recorder import Recorder
from hpcwatch.recording.store import SAMPLES_FILE, Run, RunDirectory

WANTED_S, WANTED_MB = 10.0, 500.0
FORMATS = ("text", "markdown", "html", "json", "csv")
START_S = 1_700_000_000.0
NODES, GPUS = 64, 4
JOB_BYTES, JOB_STRIDE = 256 << 20, 4
"""The bound of a job's recording, and how many readings of 64 nodes go into a line."""


class Cost(NamedTuple):
    """Of one program."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    size_mb: float


def varied(number: int, second: float) -> Sample:
    """A sample of a node; each has a name of its own, its devices go up and down."""
    made = sample(number, second, f"gpu{number:03}", START_S + second)
    gpus = []
    for gpu in made.gpus or []:
        util = (second / 7 + 31.3 * gpu.index) % 100
        gpus.append(
            gpu._replace(
                util_pct=round(util, 2),
                power_w=round(90 + 5.9 * util, 3),
                memory_used_bytes=round((8 + util / 50) * 2**30),
                sm_active_pct=round(0.8 * util, 2),
            )
        )
    return made._replace(gpus=gpus)


def record(directory: RunDirectory, samples: Iterator[Sample], bound: int, stride: int) -> None:
    """Write samples as the program does."""
    recorder = Recorder(directory, sys.exit, bound, stride)
    for one in samples:
        recorder.append(one)
    recorder.close()


def job_recording(path: str, hours: float, bound: int) -> RunDirectory:
    """What `hpcwatch job` keeps of a job of 64 nodes."""
    names = [f"gpu{number:03}" for number in range(1, NODES + 1)]
    job = Job(
        "4711",
        "slurm",
        name="train-large",
        state=JobState.COMPLETED,
        nodes=tuple(names),
        cores_count=20 * NODES,
        node_cores_count=20,
        gpus_count=GPUS * NODES,
        walltime_s=86400,
        started_at_s=START_S,
        ended_at_s=START_S + 3600 * hours,
    )
    directory = made(path, of_job("train-large", job, tuple(names), Settings()), hours)
    seconds = map(float, range(int(3600 * hours)))
    record(directory, (varied(1, second) for second in seconds), bound, JOB_STRIDE)
    spread(Path(directory.file(SAMPLES_FILE)), names)
    return directory


def spread(file: Path, names: list[str]) -> None:
    """Let the lines of the first host stand for those of all, in the order of time."""
    own = file.read_text().splitlines(keepends=True)
    with file.open("w") as stream:
        for line in own:
            for number, name in enumerate(names, 1):
                told = line.replace(f'"{names[0]}"', f'"{name}"')
                stream.write(told.replace("GPU-0001-", f"GPU-{number:04}-"))


def host_recording(path: str, hours: float) -> RunDirectory:
    """What `hpcwatch top` keeps of one host with one process, if it is told to keep all."""
    directory = made(path, of_job("train", None, ("gpu001",), Settings()), hours)

    def plain(second: float) -> Sample:
        one = sample(1, second, "gpu001", START_S + second)
        return one._replace(processes=[process(1, second)], gpus=[])

    record(directory, map(plain, map(float, range(int(3600 * hours)))), 4 * JOB_BYTES, 1)
    return directory


def made(path: str, run: Run, hours: float) -> RunDirectory:
    """A directory for a run that is over."""
    directory = RunDirectory.create(path)
    ended = run._replace(
        started_at_s=START_S, ended_at_s=START_S + 3600 * hours, wall_s=3600 * hours
    )
    directory.write_run(ended)
    return directory


def numbers(value: object) -> int:
    """How many numbers there are in a piece of JSON."""
    if isinstance(value, dict):
        return sum(map(numbers, value.values()))
    if isinstance(value, list):
        return sum(map(numbers, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def readings(directory: RunDirectory) -> int:
    """How many readings a recording holds: lines of it are alike."""
    with open(directory.file(SAMPLES_FILE)) as stream:
        counts = [
            numbers(json.loads(line)) if index % 100 == 1 else -1
            for index, line in enumerate(stream)
        ]
    known = [count for count in counts if count >= 0]
    return round(len(counts) * sum(known) / len(known))


def measured(directory: RunDirectory, name: str) -> Cost:
    """Make a report, written to a file."""
    command = [sys.executable, "-m", "hpcwatch", "report", directory.path, "--format", name]
    with tempfile.NamedTemporaryFile() as written:
        begin_s = time.monotonic()
        with subprocess.Popen([*command, "-o", written.name], stdout=subprocess.DEVNULL) as made:
            _, status, used = os.wait4(made.pid, 0)
            made.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.monotonic() - begin_s
        if made.returncode:
            sys.exit(f"{' '.join(command)}: exit {made.returncode}")
        size_mb = os.path.getsize(written.name) / 1e6
    return Cost(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000, size_mb)


def apart(make: Callable[[str], RunDirectory], path: str) -> RunDirectory:
    """Make a recording in a process of its own.

    What a program has used at most begins with the memory of the process that started it.
    """
    maker = multiprocessing.get_context("fork").Process(target=make, args=(path,))
    maker.start()
    maker.join()
    if maker.exitcode:
        sys.exit(f"no recording was made: exit {maker.exitcode}")
    return RunDirectory(path)


def main() -> None:
    asked = options(__doc__)
    scale = 0.02 if asked.quick else 1.0
    recordings: dict[str, Callable[[str], RunDirectory]] = {
        "64 nodes × 4 GPUs, 13 h": lambda path: job_recording(
            path, 13.0 * scale, int(JOB_BYTES * scale) // NODES
        ),
        "one host, 2 days": lambda path: host_recording(path, 48.0 * scale),
    }
    rows, raw = [], {}
    for title, make in recordings.items():
        with tempfile.TemporaryDirectory() as folder:
            os.environ["HPCWATCH_HOME"] = folder
            progress(f"recording: {title}")
            directory = apart(make, f"{folder}/run")
            held = readings(directory)
            file_mb = os.path.getsize(directory.file(SAMPLES_FILE)) / 1e6
            for name in asked.only or FORMATS:
                progress(f"report: {name}")
                cost = measured(directory, name)
                raw[f"{title} {name}"] = cost._asdict() | {"readings": held, "file_mb": file_mb}
                figures = (f"{cost.wall_s:.1f}", f"{cost.cpu_s:.1f}", f"{cost.peak_mb:.0f}")
                told = f"{title}: {held / 1e6:.1f} M in {file_mb:.0f} MB"
                rows.append([told, name, *figures, f"{cost.size_mb:.1f}"])
    wanted = ["wanted", "", f"{WANTED_S:g}", "–", f"{WANTED_MB:g}", "–"]
    columns = ["recording", "format", "wall, s", "CPU, s", "memory (RSS), MB", "size, MB"]
    print(markdown(columns, [*rows, wanted]))
    save(asked.json, {"report_size": raw})


if __name__ == "__main__":
    main()

"""Jobs of a real Slurm, watched from inside and from outside."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from vm.inside import slurm
from vm.inside.waiting import wait_for
from vm.inside.watched import environment, fresh, full_samples, program

_INTERVAL = ("--interval", "0.5")


def ready() -> str:
    """Start Slurm; return its version."""
    slurm.up()
    return slurm.said("sinfo", "--version").split()[1]


def held(job_mib: int, held_mib: int) -> dict[str, Any]:
    """A batch script runs a program that holds memory, under hpcwatch."""
    return _held(_run(_holding(held_mib)), job_mib, "step_batch/user", is_outside=True)


def held_in_step(job_mib: int, step_mib: int, held_mib: int) -> dict[str, Any]:
    """The same in a step whose own limit is smaller."""
    script = f"srun --mem={step_mib}M {_run(_holding(held_mib))}"
    return _held(script, job_mib, "step_0/user", is_outside=False)


def launched(cpu_s: float) -> dict[str, Any]:
    """Hpcwatch watches a launcher, and the tasks do the work."""
    folder = fresh("slurm")
    script = f"{_run(['srun', *program('burning', cpu_s)])}\n{_wait_for_leave()}"
    with slurm.job(folder, script, "--mem=300M", env=_environment(folder)) as job:
        wait_for((folder / "run" / "report.json").exists, "the report")
        return {"kernel": job.group.facts(), "report": _report(folder)}


def batch_killed(mib: int) -> dict[str, Any]:
    """The program of a batch script takes too much, under hpcwatch."""
    return _killed(_run(program("taking", 2 * mib)), mib)


def step_killed(mib: int) -> dict[str, Any]:
    """A step takes too much; its launcher is under hpcwatch."""
    return _killed(_run(["srun", *program("taking", 2 * mib)]), mib)


def step_killed_before_the_watch(mib: int) -> dict[str, Any]:
    """A step is killed, the job runs on, and only then somebody looks at it."""
    folder = fresh("slurm")
    killed = shlex.join(["srun", *program("taking", 2 * mib)])
    script = f"{killed}\ntouch killed\n{_wait_for_leave()}"
    with slurm.job(folder, script, f"--mem={mib}M", env=_environment(folder)) as job:
        wait_for((folder / "killed").exists, "the end of the step")
        return {"kernel": job.group.facts(), "outside": _looked_at(folder, job)}


def accounted(mib: int) -> dict[str, Any]:
    """Three jobs end: by themselves, by a kill of the script's program, by a kill of a step's.

    Returns Slurm's own states, and what somebody who has watched nothing is told.
    """
    taking = shlex.join(program("taking", 2 * mib))
    scripts = {"well": "sleep 5", "batch": f"exec {taking}", "step": f"srun {taking}"}
    folder = fresh("slurm")
    ids = {}
    for name, script in scripts.items():
        with slurm.job(folder, script, f"--mem={mib}M", env=_environment(folder)) as job:
            ids[name] = job.id
            job.wait_end()
    wait_for(lambda: all(_ends(ids).values()), "the ends in the accounting")
    since = ("jobs", "--since", "1d")
    jobs = {job["id"]: job for job in json.loads(_told(folder, *since, "--format", "json"))["jobs"]}
    lines = _told(folder, *since, "--state", "oom", "--format", "ndjson").splitlines()
    killed = {json.loads(line)["id"] for line in lines}
    return {
        "states": _ends(ids),
        "jobs": {name: jobs[one] for name, one in ids.items()},
        "killed": [name for name, one in ids.items() if one in killed],
        "table": _told(folder, *since),
        "reports": {
            name: json.loads(_told(folder, "report", ids[name], "--format", "json"))
            for name in ("batch", "step")
        },
    }


def _ends(ids: dict[str, str]) -> dict[str, str]:
    """Return the states of ended jobs in the accounting; empty for one that has not ended there."""
    found = {}
    for name, one in ids.items():
        state, _, end = slurm.said("sacct", "-nXP", "-j", one, "-o", "State,End").partition("|")
        found[name] = "" if "Unknown" in end else state
    return found


def _told(folder: Path, *words: str) -> str:
    """Return what hpcwatch prints."""
    command = [sys.executable, "-m", "hpcwatch", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(folder))
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.returncode} {done.stdout} {done.stderr}")
    return done.stdout


def _held(script: str, job_mib: int, limited: str, is_outside: bool) -> dict[str, Any]:
    """Have a job hold memory; read the group that has the limit, and look from outside."""
    folder = fresh("slurm")
    with slurm.job(folder, script, f"--mem={job_mib}M", env=_environment(folder)) as job:
        wait_for(lambda: _has_text(folder / "held"), "the program")
        seen = len(full_samples(folder / "run"))
        wait_for(lambda: len(full_samples(folder / "run")) >= seen + 2, "a sample")
        inside = full_samples(folder / "run")[-1]
        kernel = {"job": job.group.facts(), "limited": job.group.below(limited).facts()}
        outside = _looked_at(folder, job) if is_outside else None
        (folder / "leave").touch()
        job.wait_end()
        report = _report(folder)
        return {"inside": inside, "outside": outside, "kernel": kernel, "report": report}


def _killed(script: str, mib: int) -> dict[str, Any]:
    folder = fresh("slurm")
    with slurm.job(folder, script, f"--mem={mib}M", env=_environment(folder)) as job:
        job.wait_end()
        wait_for(lambda: not job.has_group(), "the end of the job's control group")
        shown, looked = job.show(), _looked_at(folder, job)
    state = {name: shown[name] for name in ("JobState", "ExitCode", "DerivedExitCode")}
    return {"state": state, "report": _report(folder), "outside": looked}


def _looked_at(folder: Path, job: slurm.SlurmJob) -> dict[str, Any]:
    """Return what ``hpcwatch job`` says from outside, to somebody who has watched nothing."""
    command = [sys.executable, "-m", "hpcwatch", "job", job.id, "--once", "--report", "json:seen"]
    home = {"HPCWATCH_HOME": str(folder / "other-home")}
    done = subprocess.run(
        command, capture_output=True, text=True, env=_environment(folder) | home, cwd=folder
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.returncode} {done.stdout} {done.stderr}")
    plain = json.loads((folder / "seen").read_text())
    kept = {name: plain[name] for name in ("summary", "findings", "nodes", "quality")}
    return kept | {"text": done.stdout, "exit": plain["run"]["job"]["exit"]}


def _report(folder: Path) -> dict[str, Any]:
    plain = json.loads((folder / "run" / "report.json").read_text())
    kept = {name: plain[name] for name in ("summary", "findings", "nodes")}
    return kept | {"text": (folder / "output").read_text(), "signal": plain["run"]["signal"]}


def _run(argv: list[str]) -> str:
    command = [sys.executable, "-m", "hpcwatch", "run", *_INTERVAL, "--output", "run", "--", *argv]
    return shlex.join(command)


def _holding(mib: int) -> list[str]:
    """Return a program that holds memory until there is a file ``leave``."""
    holding = shlex.join(program("anonymous", mib))
    return ["bash", "-c", f"{_wait_for_leave()} | {holding} >held"]


def _wait_for_leave() -> str:
    return "until [ -e leave ]; do sleep 0.2; done"


def _has_text(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _environment(folder: Path) -> dict[str, str]:
    root = Path.cwd()
    return environment(folder, PYTHONPATH=f"{root / 'tests'}:{root}")

"""Jobs in groups as Slurm makes them, of every release, with real processes and no Slurm.

``hpcwatch run`` is inside step 0, a probe as ``hpcwatch job`` starts it is outside. Another step of
the job and another job of the same user run beside them.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpcwatch.probe.encode import to_plain
from hpcwatch.probe.probe import Probe
from hpcwatch.probe.spec import Spec
from vm.inside.groups import Group
from vm.inside.waiting import wait_for
from vm.inside.watched import Watched

MIB = 1 << 20
ID, OTHER_ID = "305669", "305670"
_GROUPS = {
    "job": ("slurmstepd.scope/job_305669", "slurmstepd.scope/job_305670"),
    "sluid": ("vmnode_slurmstepd.scope/s5K1KKYAYG5D00", "vmnode_slurmstepd.scope/s5K1KKYAYG5D01"),
}
"""Slurm up to 25.11, and from 26.05 on; with the node's name where it may have several slurmds."""


def seen(naming: str, job_mib: int, step_mib: int, held_mib: int, others_mib: int) -> Any:
    """Have a step of the job hold memory, and look at it from inside and from outside.

    The job and its step 0 have the limits given; step 1 and another job hold ``others_mib`` each.
    """
    own, other = (Group(f"/system.slice/{path}") for path in _GROUPS[naming])
    own.make(memory_max=job_mib * MIB)
    step = own.below("step_0/user").make(memory_max=step_mib * MIB)
    second = own.below("step_1/user/task_0").make()
    stranger = other.below("step_0/user/task_0").make()
    task = own.below("step_0/user/task_0").make()
    variables, of_other = _variables(own, ID), _variables(other, OTHER_ID)
    with (
        _shepherd(own, "0", ID),
        _shepherd(own, "1", ID),
        _shepherd(other, "0", OTHER_ID),
        second.holding("anonymous", others_mib, variables=variables | {"SLURM_STEP_ID": "1"}),
        stranger.holding("anonymous", others_mib, variables=of_other),
    ):
        watched = Watched(task, "anonymous", held_mib, variables=variables)
        watched.await_ready()
        before_s = own.cpu_s()
        inside = watched.hold()
        # Monitors grow while they begin: each reading has the kernel's of its own moment.
        of_inside = {"job": own.facts(), "step": step.facts(), "cpu_s_before": before_s}
        before_s = own.cpu_s()
        outside = _probed()
        facts = {"job": own.facts(), "step": step.facts(), "cpu_s_before": before_s}
        ended = watched.end()
        # The last reading of a run comes after what the kernel says at the sample.
        peaks = {"peak_at_end": own.number("memory.peak")}
        kernel = {"kernel_inside": of_inside, "kernel_outside": facts}
        return {"inside": inside, "outside": outside} | kernel | ended | peaks


def seen_after_kill(naming: str) -> Any:
    """Look at a job for the first time when a process of its step has been killed."""
    own = Group(f"/system.slice/{_GROUPS[naming][0]}").make(memory_max=150 * MIB)
    variables = _variables(own, ID)
    step, batch = (own.below(f"{name}/user/task_0").make() for name in ("step_0", "step_batch"))
    with _shepherd(own, "batch", ID), batch.holding("anonymous", 20, variables=variables):
        code = step.run("taking", 300, variables=variables)
        return {"code": code, "outside": _probed(), "kernel": own.facts()}


def _variables(own: Group, job_id: str) -> dict[str, str]:
    """Return what Slurm puts into a step's environment that concerns us."""
    variables = {"SLURM_JOB_ID": job_id, "SLURM_JOBID": job_id, "SLURM_STEP_ID": "0"}
    name = own.path.rpartition("/")[2]
    return variables | ({"SLURM_JOB_SLUID": name} if name.startswith("s") else {})


@contextlib.contextmanager
def _shepherd(own: Group, step: str, job_id: str) -> Iterator[None]:
    """Have a process of slurmstepd's name and title stand where it stands."""
    program = Path("/run/slurmstepd")
    if not program.exists():
        shutil.copy("/bin/sleep", program)
    group = own.below(f"step_{step}/slurm").make()
    titled = ["bash", "-c", f'exec -a "slurmstepd: [{job_id}.{step}]" {program} 10000']
    process = subprocess.Popen(group.entering(titled))
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _probed() -> Any:
    """Return what a probe tells of the job from outside, once it has summed up its memory.

    While shared pages move it tells the largest process alone, for 2 s at most.
    """
    probe = Probe(Spec(interval_s=1.0, scheduler="slurm", job_ids=[ID], user="root"))
    try:
        samples = [probe.read()]

        def is_summed() -> bool:
            samples.append(probe.read())
            job = samples[-1].job
            return job is not None and job.pss_bytes is not None

        wait_for(is_summed, "the memory of the job's processes")
        return to_plain(samples[-1])
    finally:
        probe.close()

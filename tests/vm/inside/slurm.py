"""A real Slurm on the test machine, with its plugin for control groups version 2."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vm.inside import accounting
from vm.inside.groups import TOP, Group
from vm.inside.waiting import wait_for

NODE = "vmnode"
CLUSTER = "vm"
_CONF = f"""\
ClusterName={CLUSTER}
SlurmctldHost={NODE}
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup,task/affinity
JobAcctGatherType=jobacct_gather/cgroup
JobAcctGatherFrequency=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=2,bf_interval=2
StateSaveLocation=/run/slurmctld
SlurmdSpoolDir=/run/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/run/slurmctld.log
SlurmdLogFile=/run/slurmd.log
ReturnToService=2
MpiDefault=none
KillWait=2
MinJobAge=3600
MailProg=/bin/true
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={NODE}
NodeName={NODE} CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=workq Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
_CGROUP_CONF = """\
CgroupPlugin=cgroup/v2
IgnoreSystemd=yes
ConstrainCores=yes
ConstrainRAMSpace=yes
ConstrainSwapSpace=yes
AllowedSwapSpace=0
"""


def up() -> None:
    """Start munge, the accounting, the controller and the node's daemon, unless they run."""
    if Path("/run/slurmd.pid").exists():
        return
    _start_munge()
    for folder in ("/etc/slurm", "/run/slurmctld", "/run/slurmd"):
        os.makedirs(folder, exist_ok=True)
    Path("/etc/slurm/slurm.conf").write_text(_CONF)
    Path("/etc/slurm/cgroup.conf").write_text(_CGROUP_CONF)
    accounting.up(NODE, CLUSTER)
    for daemon in ("slurmctld", "slurmd"):
        subprocess.run([daemon], check=True)
    try:
        wait_for(lambda: "idle" in said("sinfo", "-h", "-o", "%t", check=False), "an idle node")
    except TimeoutError as error:
        logs = [Path(f"/run/{name}.log").read_text()[-2000:] for name in ("slurmctld", "slurmd")]
        raise RuntimeError("\n".join([str(error), *logs])) from None


def _start_munge() -> None:
    folder = Path("/run/munge")
    folder.mkdir()
    key = folder / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    files = [f"--{name}={folder}/{name.partition('-')[0]}" for name in ("key-file", "seed-file")]
    logs = [f"--log-file={folder}/log", f"--pid-file={folder}/pid"]
    subprocess.run(["munged", "--force", *files, *logs], check=True)
    wait_for(lambda: said("munge", "-n", check=False), "munge")


def said(*argv: str, check: bool = True) -> str:
    """Run a command and return what it prints."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise RuntimeError(f"{argv}: {done.stderr}")
    return done.stdout


class SlurmJob:
    """A batch job that runs until its script has read the end of its input."""

    def __init__(self, folder: Path, script: str, *options: str, env: dict[str, str]) -> None:
        file = folder / "script"
        file.write_text(f"#!/bin/bash\n{script}\n")
        files = [f"--chdir={folder}", f"--output={folder}/output"]
        done = subprocess.run(
            ["sbatch", "--parsable", *files, *options, str(file)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=env,
            check=True,
        )
        self.id = done.stdout.strip()
        self.output = folder / "output"

    @property
    def group(self) -> Group:
        """Return its control group. Raises LookupError if it has none."""
        for folder in TOP.glob(f"system.slice/*slurmstepd.scope/job_{self.id}"):
            return Group(f"/{folder.relative_to(TOP)}")
        raise LookupError(f"no control group of job {self.id}")

    def has_group(self) -> bool:
        """Return whether its control group is there."""
        return any(TOP.glob(f"system.slice/*slurmstepd.scope/job_{self.id}"))

    def show(self) -> dict[str, str]:
        """Return what ``scontrol show job`` says of it."""
        words = said("scontrol", "show", "job", "-d", self.id).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait_end(self) -> None:
        """Wait until Slurm tells how it ended."""
        running = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING")
        wait_for(lambda: self.show()["JobState"] not in running, f"the end of job {self.id}")


@contextmanager
def job(folder: Path, script: str, *options: str, env: dict[str, str]) -> Iterator[SlurmJob]:
    """Have a job that is cancelled at the end of the ``with``."""
    up()
    made = SlurmJob(folder, script, *options, env=env)
    try:
        yield made
    except TimeoutError as error:
        output = made.output.read_text() if made.output.exists() else "no output"
        raise RuntimeError(f"{error}: {made.show()}\n{output}") from None
    finally:
        said("scancel", made.id, check=False)
        made.wait_end()

"""The files that Slurm, its database and sshd read on the cluster's hosts."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

LOGIN = "qb3"
NODES = ("qb001", "qb002", "qb003")
GPU_NODE = "qb003"
NODE_CORES = 20
NODE_MEMORY_MIB = 64000
ACCOUNT = "loni_loniadmin1"
DATABASE_PORT = 3307
MIN_JOB_AGE_S = 7200
"""The controller forgets no job while tests run, however slow the machine is."""
MESSAGE_TIMEOUT_S = 20
"""How long Slurm's commands wait for the controller: twice the default, for a busy machine."""

# KillWait, as sites have it: what ends well on SIGTERM has time to write down how it ended.
_SLURM = f"""\
ClusterName=loni
SlurmctldHost={LOGIN}
SlurmUser=root
AuthType=auth/munge
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmdSpoolDir=/run/slurmd
StateSaveLocation=/run/slurmctld
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=1,bf_max_job_test=200
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
GresTypes=gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={LOGIN}
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
DefMemPerCPU=100
MinJobAge={MIN_JOB_AGE_S}
KillWait=30
OverTimeLimit=0
MailProg=/bin/true
MessageTimeout={MESSAGE_TIMEOUT_S}
PartitionName=checkpt Nodes=qb001,qb002 Default=YES MaxTime=3-00:00:00 DefaultTime=01:00:00 State=UP
PartitionName=k40 Nodes=qb003 MaxTime=3-00:00:00 State=UP
"""


def slurm_conf(log: Path) -> str:
    """``slurm.conf``: three nodes of 20 cores, two GPUs on the last."""
    nodes = "".join(
        f"NodeName={node} CPUs={NODE_CORES} RealMemory={NODE_MEMORY_MIB}"
        f"{' Gres=gpu:k40:2' if node == GPU_NODE else ''}\n"
        for node in NODES
    )
    logs = f"SlurmctldLogFile={log}/slurmctld.log\nSlurmdLogFile={log}/slurmd.%n.log\n"
    return f"{nodes}{logs}{_SLURM}"


def slurmdbd_conf(log: Path, host: str = LOGIN) -> str:
    """``slurmdbd.conf``."""
    return f"""\
AuthType=auth/munge
DbdHost={host}
SlurmUser=root
PidFile=/run/slurmdbd.pid
LogFile={log}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={DATABASE_PORT}
StorageUser=root
StorageLoc=slurm_acct
CommitDelay=1
"""


def write_slurm(folder: Path, devices: Path, log: Path) -> None:
    """Write Slurm's files, and make the devices that stand for GPUs.

    Slurm sets CUDA_VISIBLE_DEVICES for character devices only; these are ``/dev/null`` by its
    numbers.
    """
    for index in range(2):
        path = devices / f"nvidia{index}"
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        path.chmod(0o666)
    (folder / "slurm.conf").write_text(slurm_conf(log))
    (folder / "gres.conf").write_text(
        f"NodeName={GPU_NODE} Name=gpu Type=k40 File={devices}/nvidia[0-1]\n"
    )
    (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
    secret = folder / "slurmdbd.conf"  # slurmdbd refuses one that others may read
    secret.touch(0o600)
    secret.write_text(slurmdbd_conf(log))


def database_argv(folder: str) -> list[str]:
    """MariaDB, small and quick: what it holds is forgotten with the cluster."""
    return [
        "mariadbd",
        "--no-defaults",
        *DATABASE_SIZE,
        f"--datadir={folder}",
        f"--socket={folder}/socket",
        "--bind-address=127.0.0.1",
        f"--port={DATABASE_PORT}",
        "--skip-grant-tables",
        "--innodb-buffer-pool-size=64M",
        "--innodb-lock-wait-timeout=900",
        "--innodb-flush-log-at-trx-commit=0",
    ]


DATABASE_SIZE = ("--user=root", "--innodb-log-file-size=8M", "--innodb-doublewrite=0")


def sshd_config(host: str, folder: Path) -> str:
    """``sshd_config``: keys only; names of hosts come from /etc/hosts."""
    return f"""\
ListenAddress 0.0.0.0
HostKey {folder}/{host}.key
PidFile none
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
MaxStartups 1000:30:2000
MaxSessions 200
PrintMotd no
Subsystem sftp internal-sftp
"""


def accounts(own: Path, names: Mapping[str, int], form: str) -> str:
    """This machine's ``/etc/passwd``, ``shadow`` or ``group``, with a line for each of ours.

    An account of the machine's that has one of their names gives way.
    """
    kept = [line for line in own.read_text().splitlines() if line.partition(":")[0] not in names]
    added = [form.format(name=name, number=number) for name, number in names.items()]
    return "\n".join([*kept, *added]) + "\n"


PASSWD = "{name}:*:{number}:{number}::/home/{name}:/bin/bash"
GROUP = "{name}:x:{number}:"
# Without a line there a locked account of the same name on this machine keeps sshd from logging in.
SHADOW = "{name}:*:19000:0:99999:7:::"
ACCOUNTS = {"passwd": PASSWD, "shadow": SHADOW, "group": GROUP}
"""File of ``/etc`` -> a user's line in it."""


def hosts_file(addresses: Mapping[str, str]) -> str:
    """``/etc/hosts``, of each host's address by its name."""
    lines = [f"{address} {name}\n" for name, address in addresses.items()]
    return "".join(["127.0.0.1 localhost\n", *lines])

"""Slurm's accounting on the test machine: a real slurmdbd above a real MariaDB."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from cluster import slurm_files as files

from vm import database
from vm.inside.waiting import wait_for

_DATABASE = Path("/data", database.NAME)
_CONF = Path("/etc/slurm/slurmdbd.conf")
_LOG = Path("/run/slurmdbd.log")


def up(node: str, cluster: str) -> None:
    """Start both, and wait until the accounting answers. munge must run."""
    with Path("/run/mariadbd.log").open("wb") as log:
        argv = files.database_argv(str(_DATABASE))
        subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    _await((_DATABASE / "socket").exists, "the database", Path("/run/mariadbd.log"))
    _CONF.write_text(files.slurmdbd_conf(_LOG.parent, node))
    _CONF.chmod(0o600)  # slurmdbd refuses it else
    _run("slurmdbd")
    _await(lambda: _succeeds("sacctmgr", "-n", "list", "cluster"), "the accounting", _LOG)
    _run("sacctmgr", "-i", "add", "cluster", cluster)
    _run("sacctmgr", "-i", "add", "account", files.ACCOUNT, f"Cluster={cluster}")
    _run("sacctmgr", "-i", "add", "user", "root", f"Account={files.ACCOUNT}")


def _await(holds: Callable[[], object], what: str, log: Path) -> None:
    try:
        wait_for(holds, what)
    except TimeoutError as error:
        raise RuntimeError(f"{error}\n{log.read_text()[-2000:]}") from None


def _run(*argv: str) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{argv}: {done.stdout[-500:]} {done.stderr[-1500:]}")


def _succeeds(*argv: str) -> bool:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True)
    return done.returncode == 0

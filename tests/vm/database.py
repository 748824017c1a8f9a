"""The empty database of the accounting: the host installs it ten times as fast as the machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from cluster import slurm_files

NAME = "mysql"
_INSTALL = "mariadb-install-db"
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


def install(files: Path) -> None:
    """Make a folder with the database in it, which is left out where MariaDB is not installed."""
    files.mkdir()
    if shutil.which(_INSTALL, path=_PATH) is None:
        return
    argv = [_INSTALL, "--no-defaults", *slurm_files.DATABASE_SIZE, f"--datadir={files / NAME}"]
    subprocess.run(
        [*argv, "--skip-test-db"],
        check=True,
        env={"PATH": _PATH},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )

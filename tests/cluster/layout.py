"""The folder that all hosts of a cluster share: settings, keys, homes, hpcwatch itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cluster import slurm_files as files
from cluster.hosts import User

ASKING = Path(__file__).with_name("asking.py")
_IMPATIENT = ASKING.with_name("impatient.py")
_REPOSITORY = Path(__file__).resolve().parents[2]
_KEYGEN_S = 180.0


def lay_out(folder: Path, addresses: Mapping[str, str], users: Sequence[User]) -> dict[str, str]:
    """Fill the folder; the paths at which hosts see parts of it, as ``mount_script`` takes them."""
    folder.chmod(0o755)
    for name in ("etc", "home", "bin", "lib", "log", "ssh", "munge", "dev"):
        (folder / name).mkdir()
    files.write_slurm(folder / "etc", folder / "dev", folder / "log")
    key = folder / "munge.key"
    key.touch(0o600)
    key.write_bytes(os.urandom(1024))
    _write_names(folder, addresses, users)
    _copy_hpcwatch(folder / "lib", folder / "bin")
    known_hosts = _make_host_keys(folder / "ssh", tuple(addresses))
    for user in users:
        _make_home(Path(f"{folder}{user.home}"), user, known_hosts)
    binds = {f"/etc/{name}": f"{folder}/{name}" for name in ("hosts", "passwd", "shadow", "group")}
    binds |= {user.home: f"{folder}{user.home}" for user in users}
    return binds | {"/etc/slurm": f"{folder}/etc", "/run/munge": f"{folder}/munge"}


def _write_names(folder: Path, addresses: Mapping[str, str], users: Sequence[User]) -> None:
    (folder / "hosts").write_text(files.hosts_file(addresses))
    numbers = {user.name: user.number for user in users}
    for name, form in files.ACCOUNTS.items():
        (folder / name).write_text(files.accounts(Path("/etc", name), numbers, form))


def _copy_hpcwatch(lib: Path, programs: Path) -> None:
    """Copy what is to be tested: the checkout may lie where its users may not read."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(_REPOSITORY / "hpcwatch", lib / "hpcwatch", ignore=ignored)
    for script in (ASKING, _IMPATIENT):
        shutil.copy(script, lib)
    words = {"hpcwatch": "-m hpcwatch", "hpcwatch-impatient": f"{lib}/{_IMPATIENT.name}"}
    for name, started in words.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {started} "$@"\n')
        program.chmod(0o755)
    # Its users cannot keep what is compiled: each of hundreds of calls would compile it anew.
    subprocess.run([sys.executable, "-m", "compileall", "-q", lib], check=True)
    subprocess.run(["chmod", "-R", "a+rX", lib, programs], check=True)


def _make_host_keys(folder: Path, names: Sequence[str]) -> str:
    """Write each host's key and sshd_config; the lines by which users know the hosts."""
    known = []
    for name in names:
        _keygen(folder / f"{name}.key")
        kind, key = (folder / f"{name}.key.pub").read_text().split()[:2]
        known.append(f"{name} {kind} {key}\n")
        (folder / f"{name}.conf").write_text(files.sshd_config(name, folder))
    return "".join(known)


def _make_home(home: Path, user: User, known_hosts: str) -> None:
    """Make a home with a key that opens all hosts to its user, and a folder to work in."""
    own = home / ".ssh"
    own.mkdir(parents=True)
    (home / "work").mkdir()
    _keygen(own / "id_ed25519")
    shutil.copy(own / "id_ed25519.pub", own / "authorized_keys")
    (own / "known_hosts").write_text(known_hosts)
    own.chmod(0o700)
    for path in (home, *home.rglob("*")):
        os.chown(path, user.number, user.number)


def _keygen(path: Path) -> None:
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, timeout=_KEYGEN_S)

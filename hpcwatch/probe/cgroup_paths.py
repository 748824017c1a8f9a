"""Where a process's control groups are, and which level of the path is a scheduler's job.

Sources: kernel documentation, admin-guide/cgroup-v2 and cgroup-v1; Slurm's cgroup.conf(5); the
cgroup hook of OpenPBS; Torque's pbs_mom.
"""

import os

from .procfs import Mount
from .typed import Dict, List, NamedTuple, Optional

_ESCAPED = r"\\x([0-9a-f]{2})"
_SLUID = r"s[0-9A-Z]{13}"
_JOB = (
    r"^(?P<group>.*(?:"
    r"/slurm[^/]*(?:/uid_\d+)?/(?:job_\d+|" + _SLUID + r")"
    r"|/[^/]*slurmstepd\.scope/(?:job_\d+|" + _SLUID + r")"
    r"|/pbs_jobs\.service/jobid/[^/]+"
    r"|/(?:pbspro|pbs_jobs)\.slice/(?:pbspro|pbs_jobs)-[^/]+\.slice"
    r"|/pbspro/[^/]+"
    r"|/torque/[^/]+))(?:/|$)"
)
"""Slurm v1 and v2, the OpenPBS hook, Torque's cpuset: the job's own level of the path.

Slurm 26.05 names the level by the job's SLUID, ``s5K1KKYAYG5D00``, in place of its number.
"""
_MAKERS = ("/slurm", "slurmstepd.", "/pbs", "/torque/")
"""Every path that ``_JOB`` matches contains one of these; on most machines no path does."""
_IS_SLUID = "^" + _SLUID + "$"
_SLICE = r"^(?:pbspro|pbs_jobs)-(?P<id>.+)\.slice$"


def job_group_of(path: str) -> Optional[str]:
    """Return the part of a group's path that is the job's own level; None if it has none."""
    if not any(maker in path for maker in _MAKERS):
        return None
    import re  # takes milliseconds

    match = re.match(_JOB, path)
    return match.group("group") if match else None


def job_id_in(path: str) -> Optional[str]:
    """Return the id of the job whose cgroup, or one below it, this path is.

    Of Slurm 26.05 that is the job's SLUID, which does not tell the job's number.
    """
    group = job_group_of(path)
    if group is None:
        return None
    name = group.rpartition("/")[2]
    if name.startswith("job_"):  # Slurm's numbers follow a word
        return name[len("job_") :]
    import re

    match = re.match(_SLICE, name)
    if match:
        return re.sub(_ESCAPED, lambda code: chr(int(code.group(1), 16)), match.group("id"))
    return name


def is_sluid(name: str) -> bool:
    """True if a job's level is named by its SLUID."""
    import re

    return re.match(_IS_SLUID, name) is not None


class Place(NamedTuple):
    """A group in a mounted hierarchy. ``top`` is where the visible hierarchy ends."""

    folder: str
    """The job's level if a scheduler made one, else the process's own group."""
    top: str
    path: str
    is_job: bool
    own: str
    """The process's own group: ``folder`` or one below it."""


def parse_groups(raw: bytes) -> Dict[str, str]:
    """Parse /proc/PID/cgroup into controller -> path; the unified hierarchy is ``""``."""
    groups = {}
    for line in raw.decode("utf-8", "surrogateescape").splitlines():
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon:
            for controller in controllers.split(","):
                groups[controller] = path
    return groups


def find_place(
    mounts: List[Mount], groups: Dict[str, str], controller: str, root: str
) -> Optional[Place]:
    """Find where a controller's hierarchy is mounted and the process's group in it."""
    path = groups.get(controller)
    if path is None:
        return None
    kind = "cgroup" if controller else "cgroup2"
    for mount in mounts:
        if mount.kind != kind or (controller and controller not in mount.options.split(",")):
            continue
        if _is_above(mount.root) and not _is_below(path, mount.root):
            continue
        job_path = job_group_of(path)
        top = root + mount.point
        folder = _folder(top, mount.root, job_path or path)
        own = _folder(top, mount.root, path)
        if not (own + "/").startswith(folder + "/"):
            own = folder
        return Place(folder, top, job_path or path, job_path is not None, own)
    return None


def hides_groups(mounts: List[Mount]) -> bool:
    """True if a mounted hierarchy begins above the top of our own namespace.

    That is so after ``unshare --cgroup`` without a new mount: our group is named from the
    namespace's top, and the names of the groups between that and the mount are hidden.
    """
    return any(mount.kind in ("cgroup", "cgroup2") and _is_above(mount.root) for mount in mounts)


def _is_above(root: str) -> bool:
    return root == "/.." or root.startswith("/../")


def _is_below(path: str, root: str) -> bool:
    return (path + "/").startswith(root.rstrip("/") + "/")


def _folder(top: str, mounted: str, path: str) -> str:
    """Return a group's folder; the top of the mount if the group is not below it."""
    inside = path
    # In a container the mount shows only a part of the hierarchy, from its root down.
    if _is_below(path, mounted):
        inside = path[len(mounted.rstrip("/")) :]
    folder = os.path.normpath(top + "/" + inside)
    return folder if os.path.isdir(folder) else top

"""What a process shows about its job: its cgroup, its environment, its shepherd.

All of it is foreign text, and may be hidden from us: what cannot be read shows nothing.
"""

import os
import re

from .cgroup_paths import job_id_in
from .procfs import is_single_file, parse_argv, parse_stat, program_of, read, read_all
from .typed import Iterable, List, NamedTuple, Optional, Set, Tuple

_VARIABLES = (b"PBS_JOBID=", b"SLURM_JOB_ID=", b"SLURM_JOBID=")
_SLUID_VARIABLE = b"SLURM_JOB_SLUID="
_SHELLS = (b"sh", b"bash", b"dash", b"ksh", b"zsh", b"csh", b"tcsh", b"fish")
_STEP = re.compile(r"slurmstepd: \[(?P<id>[0-9]+(?:_[0-9]+)?)(?:\+[0-9]+)?(?:\.[^]]*)?\]")
"""The title a slurmstepd gives itself, such as ``slurmstepd: [305669.batch]``."""
_MOST_ANCESTORS = 64
_USUAL_BYTES = 1 << 17
PROBE_NAME = b"hpcwatch-probe"  # what a probe calls itself; the kernel keeps 15 bytes
_WATCHERS = ("hpcwatch", "hpcwatch-python", "hpcwatch.probe", "hpcwatch-probe")


class JobIds:
    """Every spelling of one job's id."""

    def __init__(self, spellings: Iterable[str]) -> None:
        self._ids = [_split(spelling) for spelling in spellings if spelling]

    def __bool__(self) -> bool:
        return bool(self._ids)

    def match(self, text: str) -> bool:
        """True if the text is the job's id.

        PBS appends its server's name, with or without the domain: where both have one, the
        shorter must be the beginning of the longer. The number itself is never cut.
        """
        number, server = _split(text)
        return any(
            number == own_number and _is_same_server(server, own_server)
            for own_number, own_server in self._ids
        )


def _split(text: str) -> Tuple[str, List[str]]:
    number, _, server = text.partition(".")
    return number, server.lower().split(".") if server else []


def _is_same_server(one: List[str], other: List[str]) -> bool:
    common = min(len(one), len(other))
    return one[:common] == other[:common]


def jobs_in_cgroup(folder: str) -> List[str]:
    """Return the jobs whose cgroups a process (its folder in /proc) is in; usually none.

    With Slurm 26.05 that is the job's SLUID, not its number.
    """
    try:
        raw = read(folder + "/cgroup")
    except OSError:
        return []
    if b"slurm" not in raw and b"pbs" not in raw and b"/torque/" not in raw:
        return []  # most processes of a node
    lines = raw.decode("utf-8", "surrogateescape").splitlines()
    found = [job_id_in(line.split(":", 2)[-1]) for line in lines]
    return [job_id for job_id in found if job_id]


class Shown(NamedTuple):
    """What a process's environment shows about the job it was started in."""

    job_ids: List[str]
    sluid: Optional[str] = None


def shown_in_environment(folder: str) -> Shown:
    """Return the jobs that a process's environment names; none if it may not be read."""
    try:
        raw = read(folder + "/environ", _USUAL_BYTES)
        if len(raw) == _USUAL_BYTES:
            raw = read_all(folder + "/environ")
    except OSError:
        return Shown([])
    raw = b"\0" + raw
    values = [_value(raw, variable) for variable in _VARIABLES]
    return Shown([value for value in values if value], _value(raw, _SLUID_VARIABLE))


def _value(raw: bytes, variable: bytes) -> Optional[str]:
    start = raw.find(b"\0" + variable)
    if start < 0:
        return None
    value = raw[start + 1 + len(variable) :].partition(b"\0")[0]
    return value.decode("utf-8", "replace")


def shepherded_id(folder: str) -> Optional[str]:
    """Return the id of the job whose step this process manages, if it is a slurmstepd."""
    argv = argv_of(folder)
    match = _STEP.match(argv[0]) if argv else None
    return match.group("id") if match else None


def argv_of(folder: str) -> List[str]:
    """Return a process's command line; empty if it may not be read."""
    try:
        return parse_argv(read(folder + "/cmdline", 4096))
    except OSError:
        return []


def name_of(proc: str, pid: int) -> bytes:
    """Return the kernel's name of a process; empty if the process is gone."""
    try:
        return parse_stat(read("%s/%d/stat" % (proc, pid))).name
    except (OSError, ValueError, IndexError):
        return b""


def is_watcher(name: bytes, folder: str) -> bool:
    """True for hpcwatch itself, and for what starts its probe: they are part of no job."""
    if name in (PROBE_NAME, b"hpcwatch"):
        return True
    if name in _SHELLS:
        argv = argv_of(folder)
        return "-c" in argv[1:3] and any("hpcwatch-probe" in word for word in argv[2:])
    if not name.startswith(b"python"):
        return False
    program = os.path.basename(program_of(argv_of(folder)))
    return program in _WATCHERS or is_single_file(program)


def own_session(proc: str, pid: int) -> Set[int]:
    """Return a process and its ancestors, up to and including the sshd that let its user in.

    Without such an sshd (a batch job, ``srun``) only the process: its ancestors are the job's.
    """
    session = {pid}
    above = pid
    for _ in range(_MOST_ANCESTORS):
        try:
            stat = parse_stat(read("%s/%d/stat" % (proc, above)))
        except (OSError, ValueError, IndexError):
            break
        session.add(above)
        if stat.name.startswith(b"sshd"):
            return session
        above = stat.ppid
    return {pid}


def is_open(proc: str) -> bool:
    """False if /proc shows us only our own processes (hidepid), so that process 1 is hidden too."""
    try:
        read(proc + "/1/stat", 1024)
    except OSError:
        return False
    return True

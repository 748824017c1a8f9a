"""What a watcher wants of a probe that runs as a program: its first line of input."""

import json

from .encode import to_plain
from .typed import List, NamedTuple, Optional

PROTOCOL = 1
READY = "HPCWATCH-PROBE"
"""The first word of the line with which a probe on a node says that it can begin."""
SILENCE_S = 60.0
"""A probe whose watcher has sent nothing for so long ends."""

LEAST_INTERVAL_S = 0.05


class Spec(NamedTuple):
    """Whose processes to look for, and how often."""

    interval_s: float
    scheduler: Optional[str] = None
    """``torque``, ``pbspro`` or ``slurm``; None if there is no job."""
    job_ids: List[str] = []
    """Every spelling of the job's id that a cgroup or an environment may hold."""
    user: Optional[str] = None
    """The owner's login name: the last resort to tell whose processes are the job's."""
    started_at_s: float = 0.0
    """Files in memory made since then (seconds since the epoch) are the job's."""
    is_everyone: bool = False
    """Read all processes of the node, of all users."""
    exporter_ports: List[int] = []
    """Ports of the node's loopback to ask for published figures; none if that is forbidden."""


def to_header(spec: Spec, bundle_size_bytes: int = 0) -> bytes:
    """Return the first line of input; as many bytes of bundle follow it."""
    plain = {"version": PROTOCOL, "spec": to_plain(spec), "bundle_size_bytes": bundle_size_bytes}
    return json.dumps(plain).encode() + b"\n"


def from_header(line: bytes) -> Spec:
    """Read the first line of input. Raises ValueError if it is none that we understand."""
    from .decode import build

    try:
        plain = json.loads(line.decode())
        version = plain["version"]
        if version != PROTOCOL:
            raise ValueError("protocol %r, this probe speaks %d" % (version, PROTOCOL))
        spec: Spec = build(Spec, plain["spec"])
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("not a header: %s" % error)
    if not spec.interval_s >= LEAST_INTERVAL_S:
        raise ValueError("an interval of %g s is too short" % spec.interval_s)
    return spec

"""Findings on waiting for storage."""

from __future__ import annotations

from collections.abc import Iterator

from hpcwatch.analysis.findings import Finding, Scope, Severity, Waste, judged, rule
from hpcwatch.analysis.findings.gpu_attribution import has_whole_node
from hpcwatch.analysis.findings.progress import plain
from hpcwatch.analysis.findings.shared import (
    HOUR_S,
    Told,
    asked_cores,
    between,
    known_evidence,
    mean_over,
    over,
)
from hpcwatch.analysis.findings.windows import Stretch, judged_stretch
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.base.units import format_bytes, format_cores, format_pct


@rule(
    "storage-wait",
    margins={"blocked_share": -0.02, "iowait_share": -0.03, "busy_share": 0.05},
    plots=("read", "written"),
)
def storage_wait(
    scope: Scope,
    *,
    blocked_share: float = 0.1,
    iowait_share: float = 0.15,
    busy_share: float = 0.5,
    window_s: float = 300.0,
) -> Iterator[Finding]:
    """For 5 min as many threads as a tenth of the cores wait for storage, and the cores are idle.

    It counts the job's threads in the kernel's state D. On a node that the job has for itself
    the cores' own I/O wait counts as well, from 15 % on. Under half of the job's cores are
    busy meanwhile: else the storage keeps up.
    Source: LLview; the shares are our own.
    """
    for host in scope.timeline.hosts.values():
        cores, used = asked_cores(scope, host), judged(scope, host, "cpu_cores", window_s)
        if not cores or used is None or used.average() >= busy_share * cores:
            continue
        blocked = judged(scope, host, "blocked_count", window_s)
        threads = None if blocked is None else blocked.average()
        iowait = _iowait_share(scope, host, window_s)
        is_blocked = threads is not None and threads >= blocked_share * cores
        if not is_blocked and not (iowait is not None and iowait > iowait_share):
            continue
        what = (
            f"{format_cores(threads)} threads wait for storage on average"
            if is_blocked
            else f"the cores wait for storage {format_pct(100 * (iowait or 0.0))} of the time"
        )
        told = Told(
            rule="storage-wait",
            severity=Severity.WARNING,
            title=what,
            evidence=known_evidence(
                blocked_mean_count=threads,
                iowait_share=iowait,
                used_mean_cores=used.average(),
                cores_count=cores,
            ),
            advice="Copy the data to the node's local disk at the start of the job, read fewer and "
            "larger files, and read ahead while the cores work.",
            waste=Waste(core_hours=(cores - used.average()) * used.asked_s / HOUR_S),
        )
        yield over(used, host.name, told)


def _iowait_share(scope: Scope, host: HostTimeline, window_s: float) -> float | None:
    """Share of the cores' time in which they waited; None on a node shared with others."""
    node = host.last_node
    part = judged(scope, host, "node_iowait_cores", window_s)
    if part is None or node is None or not node.cpu_count:
        return None
    return part.average() / node.cpu_count if has_whole_node(host.job or scope.job, host) else None


@rule("home-io", silences=("storage-wait",), margins={"moved_bytes_per_s": -10e6}, plots=("home",))
def home_io(
    scope: Scope, *, moved_bytes_per_s: float = 50e6, window_s: float = 120.0
) -> Iterator[Finding]:
    """The home file system moves over 50 MB/s for 2 min, after the run in the worst 2 min.

    Only where it is on servers, which all users share, and where the kernel reports the traffic:
    NFS, and Lustre if its counters may be read. They are the whole node's: on one shared with
    others, the job itself must have read and written as much meanwhile.
    Source: our own.
    """
    for host in scope.timeline.hosts.values():
        part = judged(scope, host, "home_bytes_per_s", window_s)
        if part is None:
            continue
        stretch = judged_stretch(scope, part, window_s)
        rate = mean_over(host, "home_bytes_per_s", *stretch)
        if rate is None or not rate > moved_bytes_per_s:
            continue
        own = _own_rate(host, stretch)
        is_ours = has_whole_node(host.job or scope.job, host) or (own is not None and own >= rate)
        if not is_ours:
            continue
        told = Told(
            rule="home-io",
            severity=Severity.WARNING,
            title=f"{format_bytes(rate)} a second to and from home{_place(host)}",
            evidence=known_evidence(home_bytes_per_s=rate, own_bytes_per_s=own),
            advice="Home is on servers that all users' logins depend on. Read and write on the "
            "scratch file system or the node's local disk, and copy results home at the end.",
        )
        yield between(stretch.start_s, stretch.length_s, host.name, told)


def _own_rate(host: HostTimeline, stretch: Stretch) -> float | None:
    """Return the job's own traffic to and from all storage; None if it is unknown."""
    read = mean_over(host, "read_bytes_per_s", *stretch)
    written = mean_over(host, "written_bytes_per_s", *stretch)
    return None if read is None or written is None else read + written


def _place(host: HostTimeline) -> str:
    """Return where home is mounted and its type: `` (/home, nfs4)``. Paths are foreign text."""
    node = host.last_node
    if node is None or node.home_mount is None:
        return ""
    letters = (
        letter if letter.isascii() and letter.isprintable() else "?" for letter in node.home_mount
    )
    return f" ({''.join(letters)[:22]}, {plain(node.home_kind or '')})"

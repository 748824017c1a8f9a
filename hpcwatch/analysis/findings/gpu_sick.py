"""Findings on devices that are broken: lost ones, errors of memory, of links, and of the driver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hpcwatch.analysis.findings import GPU_PLOTS, Finding, Scope, Severity, rule
from hpcwatch.analysis.findings.devices import help_desk, own_gpus
from hpcwatch.analysis.findings.shared import Told, between, gpu_entity, known_evidence, throughout
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.gpu_health import GpuHealth
from hpcwatch.analysis.timeline.gpus import GpuTimeline
from hpcwatch.base.units import format_clock

_RESTART = "Restart from the last checkpoint on another node."


class Xid(NamedTuple):
    """The meaning of an error number of NVIDIA's driver."""

    severity: Severity
    words: str
    advice: str = ""
    """What to do besides telling the help desk; empty if nothing."""
    is_programs: bool = False
    """True for a probable bug in the program, which the help desk need not know."""


_OWN = "Run the program with compute-sanitizer to find where."
XIDS = {
    "13": Xid(Severity.WARNING, "a kernel of the program failed", _OWN, is_programs=True),
    "31": Xid(Severity.WARNING, "the program used an invalid address", _OWN, is_programs=True),
    "43": Xid(Severity.WARNING, "the driver stopped the program's work", _OWN, is_programs=True),
    "48": Xid(Severity.CRITICAL, "a memory error that could not be corrected", _RESTART),
    "63": Xid(Severity.WARNING, "a bad row or page of memory waits to be replaced"),
    "64": Xid(Severity.CRITICAL, "a bad row or page of memory could not be replaced", _RESTART),
    "74": Xid(Severity.WARNING, "an error on NVLink"),
    "79": Xid(Severity.CRITICAL, "the GPU fell off the bus", _RESTART),
    "94": Xid(Severity.WARNING, "a memory error that ended one program only"),
    "95": Xid(Severity.CRITICAL, "a memory error that may have spoilt others' data", _RESTART),
    "119": Xid(Severity.CRITICAL, "the GPU's own processor does not answer", _RESTART),
}
"""Source: NVIDIA, "Xid Errors" (docs.nvidia.com/deploy/xid-errors), the list and its table."""
_HARMLESS = ("45",)
"""45 is the clean-up after a program that ended: it follows other errors."""


def _sick(scope: Scope) -> Iterator[tuple[HostTimeline, GpuTimeline, GpuHealth]]:
    for host in scope.timeline.hosts.values():
        for gpu in own_gpus(scope, host):
            yield host, gpu, gpu.health


@rule(
    "gpu-lost",
    silences=(
        *("gpu-xid", "gpu-links", "gpu-unused", "gpu-low", "gpu-went-idle", "gpu-memory-held"),
        *("gpu-starved", "gpu-busy-shallow"),
    ),
    plots=GPU_PLOTS,
)
def gpu_lost(scope: Scope) -> Iterator[Finding]:
    """A device of the job stopped answering for good: the driver says that it is lost.

    Or the driver does not list it any more. A device that only answers late is not lost.
    Source: our own.
    """
    for host, gpu, health in _sick(scope):
        if health.lost_at_s is None:
            continue
        after = format_clock(max(health.lost_at_s - scope.started_at_s, 0.0))
        xids = f", Xid {', '.join(health.xids)}" if health.xids else ""
        what = f"was lost after {after}{xids}" if health.read_s else f"never answered{xids}"
        told = Told(
            rule="gpu-lost",
            severity=Severity.CRITICAL,
            title=f"{gpu.label} {what}",
            evidence=known_evidence(
                reason=health.lost_because,
                read_share=health.coverage,
                xids=", ".join(health.xids) or None,
            ),
            advice=f"Every further CUDA call on it fails. {_RESTART} "
            + help_desk(host, gpu, f"{what}: {health.lost_because}"),
            entity=gpu_entity(gpu),
        )
        yield between(health.lost_at_s, scope.end_s - health.lost_at_s, host.name, told)


@rule("gpu-xid", plots=GPU_PLOTS)
def gpu_xid(scope: Scope) -> Iterator[Finding]:
    """The driver reported an error (Xid) of the job's device while we watched.

    48, 63, 64, 74, 79, 94, 95 and 119 are the hardware's; 13, 31 and 43 mostly the program's own.
    45 follows other errors and is left out. What happened before we watched is not known.
    Source: NVIDIA's "Xid Errors".
    """
    for host, gpu, health in _sick(scope):
        told = {number: at_s for number, at_s in health.xids.items() if number not in _HARMLESS}
        if not told:
            continue
        unknown = Xid(Severity.WARNING, "an error that NVIDIA's list of Xid errors explains")
        meant = {number: XIDS.get(number, unknown) for number in told}
        worst = max(meant, key=lambda number: meant[number].severity)
        one = meant[worst]
        others = [f"{number} ({meant[number].words})" for number in meant if number != worst]
        what = f"Xid {worst} ({one.words})" + "".join(f", Xid {other}" for other in others)
        advice = [one.advice] if one.advice else []
        if not all(xid.is_programs for xid in meant.values()):
            advice.append(help_desk(host, gpu, what))
        elif others:
            advice.append(f"Also: Xid {', '.join(others)}.")
        more = f" +{len(others)} more" if others else ""
        said = Told(
            rule="gpu-xid",
            severity=one.severity,
            title=f"{gpu.label}: Xid {worst}, {one.words}{more}",
            evidence={"xids": ", ".join(told)},
            advice=" ".join(advice),
            entity=gpu_entity(gpu),
        )
        first_s = min(told.values())
        yield between(first_s, scope.end_s - first_s, host.name, said)


@rule("gpu-ecc", plots=GPU_PLOTS)
def gpu_ecc(scope: Scope, *, pages_count: int = 60) -> Iterator[Finding]:
    """The device's memory has errors that could not be corrected, or is worn out.

    Critical if errors came while we watched, or if a row could not be replaced; a warning if
    there were some since the driver was loaded, if rows or pages wait for a reset, or if 60 pages
    are out of use.
    Source: NVIDIA's "GPU Memory Error Management" and "Dynamic Page Retirement", which name 60
    pages as the limit for a replacement.
    """
    for host, gpu, health in _sick(scope):
        found = _memory_trouble(health, pages_count)
        if found is None:
            continue
        severity, title = found
        is_now = severity is Severity.CRITICAL and bool(health.ecc and health.ecc.more)
        told = Told(
            rule="gpu-ecc",
            severity=severity,
            title=f"{gpu.label}: {title}",
            evidence=known_evidence(
                ecc_uncorrected_count=health.ecc and health.ecc.last,
                ecc_uncorrected_more_count=health.ecc and health.ecc.more,
                ecc_uncorrected_ever_count=health.ecc_ever,
                remapped_row_count=health.rows and health.rows.last,
                retired_page_count=health.pages,
            ),
            advice=(
                "Results since then may be wrong: check them, or run again on another node. "
                if is_now
                else ""
            )
            + help_desk(host, gpu, title),
            entity=gpu_entity(gpu),
        )
        yield throughout(scope, host.name, told)


def _memory_trouble(health: GpuHealth, pages_count: int) -> tuple[Severity, str] | None:
    """Return the worst problem of the memory, and its severity."""
    ecc = health.ecc
    if ecc is not None and ecc.more:
        return Severity.CRITICAL, f"{ecc.more} uncorrectable memory errors during this run"
    if health.remap_failed:
        return Severity.CRITICAL, "bad memory could not be replaced: the GPU is worn out"
    if ecc is not None and ecc.last:
        return Severity.WARNING, f"{ecc.last} uncorrectable memory errors since the driver started"
    if health.needs_reset:
        return Severity.WARNING, "bad memory waits for a reset to be replaced"
    if health.pages is not None and health.pages >= pages_count:
        return Severity.WARNING, f"{health.pages} pages of memory are out of use"
    return None


@rule("gpu-links", plots=GPU_PLOTS)
def gpu_links(scope: Scope, *, link_share: float = 0.75) -> Iterator[Finding]:
    """Links of the device are down or slower than they could be, so that data moves slowly.

    NVLinks: fewer are up than at the start, than on another device of the same model in the node,
    or than all if 75 % are: fewer may be how the node is built. PCI Express: fewer lanes than
    device and slot can have, or a slower generation in all readings in which the device was busy.
    Source: our own.
    """
    for host, gpu, health in _sick(scope):
        said = [*_nvlink_trouble(host, gpu, link_share), *_pcie_trouble(health)]
        if not said:
            continue
        what = ", ".join(said)
        told = Told(
            rule="gpu-links",
            severity=Severity.WARNING,
            title=f"{gpu.label}: {what}",
            evidence=known_evidence(
                nvlink_active_count=health.links and health.links.last,
                nvlink_count=health.links_count,
                pcie_lane_count=health.lanes,
                pcie_generation=health.generation,
            ),
            advice="Data moves more slowly to and from it. " + help_desk(host, gpu, what),
            entity=gpu_entity(gpu),
        )
        yield throughout(scope, host.name, told)


def _nvlink_trouble(host: HostTimeline, gpu: GpuTimeline, share: float) -> Iterator[str]:
    links, count = gpu.health.links, gpu.health.links_count
    if links is None or not count or links.last >= count:
        return
    others = [
        other.health.links.last
        for other in host.gpus.values()
        if other.name == gpu.name and other.health.links is not None
    ]
    if links.last < max([links.first, *others]) or links.last >= share * count:
        yield f"{links.last} of {count} NVLinks are up"


def _pcie_trouble(health: GpuHealth) -> Iterator[str]:
    if health.lanes and health.lanes_most and health.lanes < health.lanes_most:
        yield f"{health.lanes} of {health.lanes_most} PCIe lanes"
    now, most = health.generation, health.generation_most
    if now and most and now < most:
        yield f"PCIe generation {now} of {most}"

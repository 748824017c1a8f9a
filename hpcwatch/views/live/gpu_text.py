"""What is said of a device in the live view's tables: idle time, power, clocks, holders. Pure."""

from __future__ import annotations

from hpcwatch.analysis.findings.devices import gpu_signs
from hpcwatch.base.clean import clean
from hpcwatch.base.units import UNKNOWN
from hpcwatch.probe.schema import Gpu
from hpcwatch.views.live.board import Board
from hpcwatch.views.live.gpu_figures import GpuFigures
from hpcwatch.views.live.rows import NodeFigures
from hpcwatch.views.report.gpu_rows import HARMLESS

_NAMED = 3


def idle_s(gpu: GpuFigures) -> float | None:
    """Return for how long a device's utilisation has been 0; None if unknown."""
    if gpu.gpu.util_pct is None:
        return None
    return 0.0 if gpu.idle is None else gpu.at_s - gpu.idle.since_s


def idle_text(gpu: GpuFigures) -> str:
    """Return the idle time in minutes: ``12 min``, ``≥ 12 min`` if it may be more."""
    seconds = idle_s(gpu)
    if seconds is None:
        return UNKNOWN
    if gpu.idle is None:
        return "0 min"
    return f"{'≥ ' if gpu.idle.is_least else ''}{int(seconds / 60)} min"


def power_text(gpu: GpuFigures) -> str:
    """Return the power and its limit: ``104 of 235 W``."""
    if gpu.gpu.power_w is None:
        return UNKNOWN
    if gpu.gpu.power_limit_w is None:
        return f"{gpu.gpu.power_w:.0f} W"
    return f"{gpu.gpu.power_w:.0f} of {gpu.gpu.power_limit_w:.0f} W"


def holders_text(board: Board, gpu: GpuFigures) -> str:
    """Return the processes on a device: ``python 21270``; another's has no name here."""
    if gpu.gpu.processes is None:
        return UNKNOWN
    node = board.by_host.get(gpu.host)
    known = {}
    if node is not None and node.history is not None:
        known = node.history.processes
    named = []
    for process in gpu.gpu.processes[:_NAMED]:
        name = f"{clean(known[process.pid].name)} " if process.pid in known else ""
        named.append(f"{name}{process.pid}")
    more = len(gpu.gpu.processes) - len(named)
    return ", ".join(named) + (f" +{more}" if more else "") or _nobody(node)


def _nobody(node: NodeFigures | None) -> str:
    """Say that no process is on a device, and whether that is because no GPU was ever opened."""
    signs = None if node is None or node.history is None else gpu_signs(node.history)
    return "none, no GPU was ever opened" if signs == [] else "none"


def clock_text(gpu: Gpu) -> str:
    """Return the clock of the multiprocessors and its maximum: ``745 of 875 MHz``."""
    if gpu.sm_clock_mhz is None:
        return UNKNOWN
    of = "" if gpu.sm_clock_max_mhz is None else f" of {gpu.sm_clock_max_mhz:.0f}"
    return f"{gpu.sm_clock_mhz:.0f}{of} MHz"


def held_by_text(gpu: Gpu) -> str:
    """Return why the clocks are lowered, such as ``power limit``; idleness does not count."""
    if gpu.clocks_held_by is None:
        return UNKNOWN
    return ", ".join(clean(why) for why in gpu.clocks_held_by if why not in HARMLESS) or "nothing"


def temperature_text(gpu: Gpu) -> str:
    """Return the temperature, and from where on the device slows down: ``58 of 95 °C``."""
    if gpu.temperature_celsius is None:
        return UNKNOWN
    of = "" if gpu.temperature_limit_celsius is None else f" of {gpu.temperature_limit_celsius:.0f}"
    return f"{gpu.temperature_celsius:.0f}{of} °C"


def number_text(gpu: Gpu) -> str:
    """Return a device's number, an instance's with what it is: ``0``, ``0 MIG 1g.10gb #3``."""
    return clean(gpu.label.removeprefix("GPU "))

"""What exporters on an opened node publish, each figure with its source. Pure."""

from __future__ import annotations

from hpcwatch.base.clean import clean
from hpcwatch.base.units import three_digits
from hpcwatch.views.live.rows import NodeFigures
from hpcwatch.views.report.energy_rows import mount_words


def published(node: NodeFigures) -> list[str]:
    """Return a sentence per source; none without an exporter on the node."""
    said = []
    use = node.history.exported if node.history is not None else None
    power_w = next(reversed(node.readings("node_cpu_power_w", 5.0)), float("nan"))
    if use is not None and power_w == power_w:
        watts = f"{three_digits(power_w)} W"
        said.append(
            f"processors and memory of the whole node {watts} ({clean(use.energy_from or '')})"
        )
    sources = dict.fromkeys(gpu.activity_from for gpu in node.devices if gpu.activity_from)
    said += [f"how active the GPUs are is by {clean(source)}" for source in sources]
    if use is not None and node.history is not None and use.mounts_from is not None:
        from hpcwatch.analysis.report.energy import mounts_of

        said += mount_words(mounts_of([node.history]))
    return said

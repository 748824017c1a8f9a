"""The page on report.json, made from the records of a report. Pure."""

from __future__ import annotations

import ast
import inspect
import os
import re
import textwrap
import typing
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from hpcwatch.analysis.advice_check import Check, Fixed, Part, Prediction
from hpcwatch.analysis.costs import Costs
from hpcwatch.analysis.findings import Directive, Finding, Waste
from hpcwatch.analysis.keys import KEYS
from hpcwatch.analysis.metrics import METRICS
from hpcwatch.analysis.needs import Observed
from hpcwatch.analysis.report import Report
from hpcwatch.analysis.report.energy import Energy, MountTraffic
from hpcwatch.analysis.report.records import (
    Gap,
    GpuSummary,
    NodeSummary,
    ProcessSummary,
    Quality,
    RankBalance,
    RankSpread,
    RankSummary,
    Summary,
)
from hpcwatch.analysis.report.sourced import Sourced
from hpcwatch.analysis.report.to_json import to_plain
from hpcwatch.analysis.rightsize import Advice, Savings
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.schedulers.request import Needs
from hpcwatch.monitor.report import load
from hpcwatch.recording.lookup import find
from hpcwatch.recording.store import Run


class _Event(NamedTuple):
    at: str
    name: str
    fields: dict[str, object]


_HEAD = """\
# JSON reference

`hpcwatch report --format json` prints a run's report as JSON; `report.json` in its folder, or the
second line of a run that is one file, is the same. The version is 1. A later hpcwatch may add keys;
removing a key or changing its meaning would raise the version. What is unknown is `null`, never 0.
Times are ISO 8601 in UTC; every other number has its unit in its name.

```sh
hpcwatch report --format json | jq .summary.cpu_efficiency_pct
hpcwatch report --format json | jq -r '.findings[] | "\\(.severity) \\(.rule): \\(.title)"'
```
"""

SECTIONS: dict[str, tuple[str, type]] = {
    "": ("One object. A part that a run does not have is null or an empty list.", Report),
    "run": ("What ran, where, and how it ended.", Run),
    "run.job": ("The scheduler's job; null outside of a job.", Job),
    "summary": ("The whole run in figures.", Summary),
    "summary.gpus[]": ("Each device over the whole run.", GpuSummary),
    "findings[]": ("What is worth acting on; [Findings](../findings.md) has every rule.", Finding),
    "findings[].waste": ("The requested resources that were idle meanwhile.", Waste),
    "findings[].directives[]": ("A changed line of the job script.", Directive),
    "directives": ("The suggested header; null if none is suggested.", Advice),
    "directives.saves": ("What the suggestion would have saved in this run.", Savings),
    "costs": ("Costs in the configured unit; null without prices.", Costs),
    "energy": ("Energy that is provably the run's; null if none is.", Energy),
    "mounts[]": ("The job's traffic by file system, where an exporter shows it.", MountTraffic),
    "sources[]": ("Of a job that was not watched, or in part: who tells a figure.", Sourced),
    "observed": ("What the run showed of the job's needs.", Observed),
    "prediction": ("What this run predicts of the next run of the same work.", Prediction),
    "prediction.requested": ("What was requested in this run.", Needs),
    "prediction.suggested": ("What to request in the next one.", Needs),
    "prediction.fixed[]": ("A number among the arguments that the prediction holds for.", Fixed),
    "last_advice": ("What became of the last prediction for this work.", Check),
    "last_advice.parts[]": ("One amount of that prediction, and what this run showed.", Part),
    "nodes[]": ("Each node over the whole run.", NodeSummary),
    "nodes[].gaps[]": ("A stretch without readings.", Gap),
    "processes[]": ("The largest processes.", ProcessSummary),
    "ranks[]": ("Each rank of a parallel program, as far as they were told apart.", RankSummary),
    "rank_balance": ("How evenly the ranks share the work; null without ranks.", RankBalance),
    "rank_balance.cpu_s": ("How far apart they are in CPU time, in seconds.", RankSpread),
    "rank_balance.memory_peak_bytes": ("The same in peak memory, in bytes.", RankSpread),
    "events[]": ("What the program and hpcwatch noted.", _Event),
    "quality": ("How it was measured, and what that cost.", Quality),
}
"""Path -> its meaning, and the record that explains its keys."""

_OF_METRICS = (Summary, NodeSummary, Quality, Costs, Energy)
"""Records whose figures have the meaning that `hpcwatch explain` prints."""
_NONE = re.compile(r"\bNone\b")

OWN = {
    ("run.job", "nodes"): "The job's nodes.",
    ("run.job", "gpus"): "GPUs requested, over all nodes.",
    ("run.job", "memory_bytes"): "Memory requested, over all nodes.",
    ("summary.gpus[]", "util_mean_pct"): METRICS["util_mean_pct"],
    ("summary.gpus[]", "util_max_pct"): METRICS["util_max_pct"],
    ("summary.gpus[]", "idle_s"): METRICS["idle_s"],
    ("summary.gpus[]", "power_mean_w"): METRICS["power_mean_w"],
    ("summary.gpus[]", "energy_j"): METRICS["energy_j"],
    ("summary.gpus[]", "sm_active_mean_pct"): METRICS["sm_active_mean_pct"],
    ("summary.gpus[]", "tensor_active_mean_pct"): METRICS["tensor_active_mean_pct"],
    ("summary.gpus[]", "dram_active_mean_pct"): METRICS["dram_active_mean_pct"],
    ("summary.gpus[]", "memory_peak_bytes"): "The most memory in use on it, by anybody.",
    ("processes[]", "cpu_s"): "Its CPU time.",
    ("processes[]", "memory_peak_bytes"): "The most memory it used.",
    ("processes[]", "gpu_memory_peak_bytes"): "The most GPU memory it held.",
    ("findings[].waste", "core_hours"): "Core-hours that were idle meanwhile.",
    ("findings[].waste", "gpu_hours"): "GPU-hours that were idle meanwhile.",
    ("nodes[]", "found_by"): "How the job's processes were found there.",
    ("mounts[]", "read_bytes"): "Read by the job's processes, from the page cache too.",
    ("mounts[]", "written_bytes"): "Written by them.",
    ("mounts[]", "source"): "The exporter that publishes it.",
    ("sources[]", "source"): "The scheduler, or the site's Prometheus and its preset.",
    ("costs", "core_hours"): "Requested cores times the run's time.",
    ("directives.saves", "core_hours"): "Core-hours that it would have saved.",
    ("directives.saves", "gpu_hours"): "GPU-hours that it would have saved.",
}
"""Keys whose meaning depends on where they stand."""


def lines() -> Iterator[str]:
    """Yield the page."""
    yield _HEAD
    report = to_plain(_recorded())
    for path, (what, record) in SECTIONS.items():
        yield from _table(path, what, record, keys(report, path))


def keys(report: dict[str, Any], path: str) -> list[str]:
    """Return the keys of a section: those that a report has, else the record's own."""
    value: Any = report
    for name in filter(None, path.split(".")):
        value = value[name.removesuffix("[]")]
        if isinstance(value, list):
            value = value[0] if value else None
        if value is None:
            return list(cast("Any", SECTIONS[path][1])._fields)
    return list(value)


def _recorded() -> Report:
    """Return the report of a recording that comes with hpcwatch: a job on GPUs, with findings."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return load(find(os.path.join(package, "demos", "idle-gpu")))


_KINDS = {
    "schema_version": "number",
    "state": "text",
    "severity": "text",
    "exit": "text or null",
    "cores": "number or null",
    "gpus": "number or null",
    **dict.fromkeys(
        ("started_at", "ended_at", "submitted_at", "estimated_start_at", "at"), "text or null"
    ),
}
"""Of keys that report.json writes otherwise than the record holds them; the others are objects."""


def _table(path: str, what: str, record: type, names: list[str]) -> Iterator[str]:
    yield f"## `{path}`\n" if path else "## The whole\n"
    yield f"{what}\n"
    yield "| key | type | meaning |\n|---|---|---|"
    documented, types = docs(record), _types(record)
    for name in names:
        kind = types.get(name) or _KINDS.get(name, "object")
        inner = f"{path}.{name}".lstrip(".")
        part = SECTIONS.get(inner, SECTIONS.get(f"{inner}[]", ("", record)))[0]
        meaning = OWN.get((path, name)) or part or documented.get(name) or ""
        if not meaning and record in _OF_METRICS:
            meaning = METRICS.get(name, "")
        meaning = _NONE.sub("null", meaning or KEYS[name])
        text = " ".join(meaning.split()).replace("|", "\\|")
        yield f"| `{name}` | {kind} | {text} |"
    yield ""


def docs(record: type) -> dict[str, str]:
    """Return the text below each field of a record in its source."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(record)))
    body = typing.cast(ast.ClassDef, tree.body[0]).body
    found = {}
    for field, after in zip(body, body[1:]):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[field.target.id] = str(after.value.value).replace("``", "`")
    return found


_WORD = {"int": "number", "float": "number", "str": "text", "bool": "true or false"}


def _types(record: type) -> dict[str, str]:
    """Return what JSON holds for each field, in words."""
    made = {}
    for name, kind in record.__annotations__.items():
        text = str(getattr(kind, "__forward_arg__", kind))
        if isinstance(kind, type) and typing.get_origin(kind) is None:
            text = kind.__name__
        bare = text.replace("typing.", "").replace("Optional[", "").replace(" | None", "")
        can_be_unknown = "Optional" in text or "None" in text
        if bare.startswith(("list", "tuple")):
            word = "list"
        elif bare.startswith("dict"):
            word = "object"
        else:
            word = _WORD.get(bare.rstrip("]"), "")
        made[name] = word + (" or null" if word and can_be_unknown else "")
    return made

"""Numbers as text: OpenMetrics 1.0, and Prometheus' older format 0.0.4. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import isfinite

from hpcwatch.base.clean import clean
from hpcwatch.export.families import COUNTER, INFO, Family, Labels, Point

OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
CLASSIC_TYPE = "text/plain; version=0.0.4; charset=utf-8"
END = "# EOF\n"
_MOST_LETTERS = 512
"""The most letters of a label's value: names of schedulers and kernels are shorter."""
_LARGEST_INTEGER = float(1 << 53)


def openmetrics(points: Iterable[Point]) -> str:
    """Return numbers in OpenMetrics 1.0."""
    return "".join(_pieces(points, is_open=True)) + END


def classic(points: Iterable[Point]) -> str:
    """Return numbers in the format 0.0.4, which text file collectors and Pushgateways take."""
    return "".join(_pieces(points, is_open=False))


def _pieces(points: Iterable[Point], is_open: bool) -> Iterator[str]:
    for family, rows in by_family(points).items():
        yield heading(family) if is_open else _classic_heading(family)
        name = sample_name(family)
        for labels, value in rows:
            yield f"{name}{labels} {number(value)}\n"


def by_family(points: Iterable[Point]) -> dict[Family, list[tuple[str, float]]]:
    """Return the numbers by family, each with its labels as text: formats keep a family together.

    Of numbers with equal labels, the first is kept. Numbers that are not finite are left out.
    """
    found: dict[Family, dict[str, float]] = {}
    for family, labels, value in points:
        if isfinite(value):
            found.setdefault(family, {}).setdefault(label_text(labels), value)
    return {family: list(rows.items()) for family, rows in found.items()}


def heading(family: Family) -> str:
    """Return the lines above a family in OpenMetrics."""
    unit = f"# UNIT {family.name} {family.unit}\n" if family.unit and family.kind != INFO else ""
    said = escaped(family.what)
    return f"# HELP {family.name} {said}\n# TYPE {family.name} {family.kind}\n{unit}"


def _classic_heading(family: Family) -> str:
    name = sample_name(family)
    kind = "gauge" if family.kind == INFO else family.kind
    said = escaped(family.what).replace('\\"', '"')  # this format does not escape quotes here
    return f"# HELP {name} {said}\n# TYPE {name} {kind}\n"


def sample_name(family: Family) -> str:
    """Return the name of a family's samples."""
    return family.name + {COUNTER: "_total", INFO: "_info"}.get(family.kind, "")


def label_text(labels: Labels) -> str:
    """Return labels in the form that both formats use, with values escaped and bounded."""
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels) + "}"


def escaped(value: str) -> str:
    """Return a label's value as it stands between its quotes.

    Quotes, backslashes and newlines are escaped as both formats demand. Control characters and
    marks of direction, which act on a terminal, are made visible.
    """
    if _is_plain(value):
        return value
    if len(value) > _MOST_LETTERS:
        value = value[: _MOST_LETTERS - 1] + "…"
    value = "\n".join(map(clean, value.split("\n")))
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _is_plain(value: str) -> bool:
    is_printable = value.isascii() and value.isprintable()
    return is_printable and len(value) <= _MOST_LETTERS and "\\" not in value and '"' not in value


def number(value: float) -> str:
    """Return a number in the form of both formats, without loss."""
    if abs(value) < _LARGEST_INTEGER and value == int(value):
        return str(int(value))
    return repr(float(value))


def with_times(name: str, labels: str, at_s: Sequence[float], values: Sequence[float]) -> str:
    """Return one series as lines of OpenMetrics, each with its time."""
    return "".join(
        f"{name}{labels} {number(value)} {moment_s:.3f}\n" for moment_s, value in zip(at_s, values)
    )

"""The report as one self-contained HTML file that fetches nothing. Pure.

What a reader needs is in the markup itself; the scripts add the plots, zoom and the choice of
nodes. The policy in the head allows our own scripts and styles by their hash, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from hpcwatch.analysis.report import Report
from hpcwatch.recording.previous_runs import EarlierRun
from hpcwatch.views.report.html import parts
from hpcwatch.views.report.html.data import embedded, grid
from hpcwatch.views.report.html.markup import Markup, joined, policy, tag

_SCRIPTS = (
    "uPlot.iife.min.js",
    "report.js",
    "lanes.js",
    "timelines.js",
    "heatmaps.js",
    "page.js",
)
_STYLES = ("uPlot.min.css", "report.css")


def page(report: Report, earlier: Sequence[EarlierRun] = ()) -> str:
    """Return the whole page, ending in a newline."""
    styles = [_inlined(name) for name in _STYLES]
    scripts = [_inlined(name) for name in _SCRIPTS]
    head = tag(
        "head",
        Markup('<meta charset="utf-8">\n'),
        policy([*map(_inlined, _SCRIPTS)], [*map(_inlined, _STYLES)]),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">\n'),
        tag("title", f"{report.run.name} · {parts.where(report)} · hpcwatch"),
        *(Markup(f"<style>{style}</style>\n") for style in styles),
    )
    on = grid(report)
    data = Markup(f'<script type="application/json" id="data">{embedded(report, on)}</script>\n')
    body = tag(
        "body",
        parts.body(report, on, earlier),
        data,
        *(Markup(f"<script>{script}</script>\n") for script in scripts),
    )
    return joined([Markup("<!doctype html>\n"), tag("html", head, body, lang="en")])


@cache
def _inlined(name: str) -> str:
    """Return a script or style as it stands in the page, with the licence of what is not ours."""
    folder = files("hpcwatch.views").joinpath("assets")
    text = folder.joinpath(name).read_text("utf-8")
    if name.startswith("uPlot"):
        licence = folder.joinpath("uPlot.LICENSE").read_text("utf-8")
        return f"/*\n{licence}*/\n{text}"
    return text

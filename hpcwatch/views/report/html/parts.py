"""The page's sections as markup, in the order of every report. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hpcwatch.analysis.findings import Directive, Finding
from hpcwatch.analysis.findings.together import together
from hpcwatch.analysis.report import Report
from hpcwatch.analysis.resample import Grid
from hpcwatch.cluster.schedulers.hosts import fold_hosts
from hpcwatch.recording.previous_runs import EarlierRun
from hpcwatch.views.report import curves, facts, lanes, plots, tables
from hpcwatch.views.report.ending import ending
from hpcwatch.views.report.gpu_rows import FEW_GPUS
from hpcwatch.views.report.html.data import events_step, value_plot_name
from hpcwatch.views.report.html.markup import Markup, joined, section, table, tag
from hpcwatch.views.report.next_script import next_script, own_changes, saves_sentence
from hpcwatch.views.report.ranks import rank_sentences, ranks_table
from hpcwatch.views.report.verdict import verdict
from hpcwatch.views.text import SIGNS

_NOTHING = Markup()
_FEW_EVENTS = 12
_HEAT_OF_GPUS = ("gpu-util", "gpu-power", "gpu-temperature")


def body(report: Report, on: Grid, earlier: Sequence[EarlierRun]) -> Markup:
    """Return all that stands in the body before the data."""
    is_asked = report.run.job is not None
    totals = [joined([tag("dt", name), tag("dd", said)]) for name, said in facts.totals(report)]
    context = [joined([tag("dt", name), tag("dd", said)]) for name, said in facts.context(report)]
    return joined(
        [
            tag("a", "Skip to the timelines", class_="skip", href="#timelines"),
            _header(report),
            tag(
                "main",
                section("Next job script", *_next_script(report)),
                section("Findings", *_findings(report), name="findings"),
                section(
                    f"{'Requested' if is_asked else 'Allowed'} against used",
                    table(tables.asked_and_used(report)),
                    tag("dl", *totals),
                ),
                _gpus(report),
                _timelines(report, on),
                _heatmaps(report),
                section("Ranks", *_ranks(report)),
                section("Processes", table(tables.processes(report))),
                section("Steps of the program", *_steps(report)),
                section("Earlier runs of the same name", table(tables.earlier(list(earlier)))),
                section(
                    "How it was measured",
                    tag("ul", *(tag("li", said) for said in facts.measured(report))),
                ),
                section("Command and environment", tag("dl", *context, class_="context")),
            ),
            _footer(report),
        ]
    )


def _ranks(report: Report) -> list[Markup]:
    """How far apart the ranks are, and each of them."""
    said = [tag("li", sentence) for sentence in rank_sentences(report)]
    return [tag("ul", *said), table(ranks_table(report))] if said else []


def where(report: Report) -> str:
    """Return the job and the nodes, or the run's id."""
    run = report.run
    return f"{run.job.id} · {fold_hosts(run.hosts)}" if run.job is not None else run.id


def _header(report: Report) -> Markup:
    words = joined(f"{sentence} " for sentence in verdict(report))
    return tag(
        "header",
        tag(
            "p",
            tag("span", "hpcwatch", class_="brand"),
            tag("button", "Dark", id="theme", type="button", hidden=True),
            class_="bar",
        ),
        tag("h1", report.run.name),
        tag("p", f"{where(report)} · {report.run.user} · {facts.started(report.run)}"),
        tag("p", tag("span", words), class_=f"verdict {_style(report)}"),
    )


def _style(report: Report) -> str:
    """The worst of how the run ended and of what was found."""
    styles = [ending(report)[1], *(one.severity.name.lower() for one in report.findings)]
    return next((style for style in ("critical", "warning") if style in styles), styles[0])


def _next_script(report: Report) -> list[Markup]:
    script = next_script(report)
    if not any(script):
        return []
    made = []
    if script.saves:
        made.append(tag("p", saves_sentence(script)))
    if script.changes:
        made.append(_diff(script.changes))
    if script.lines:
        lines = tag("pre", *(tag("span", line) for line in script.lines), tabindex="0", id="script")
        button = tag("button", "Copy the job script", id="copy", type="button", hidden=True)
        told = tag("output", id="copied", aria_live="polite")
        made += [lines, tag("p", button, " ", told)]
    if script.notes:
        made.append(tag("ul", *(tag("li", note) for note in script.notes)))
    return made


def _diff(changes: Sequence[Directive]) -> Markup:
    rows = [
        *(tag("del", f"- {change.old}") for change in changes if change.old),
        *(tag("ins", f"+ {change.new}") for change in changes if change.new),
    ]
    return tag("pre", *rows, tabindex="0")


def _findings(report: Report) -> list[Markup]:
    is_many = len(report.timeline.hosts) > 1
    items = [
        _finding(number, finding, hosts if is_many else (), own_changes(report, finding))
        for number, (finding, hosts) in enumerate(together(report.findings), 1)
    ]
    return [tag("ol", *items, class_="findings")] if items else []


def _finding(
    number: int, finding: Finding, hosts: Iterable[str], changes: Sequence[Directive]
) -> Markup:
    word = finding.severity.name.lower()
    said, on = facts.evidence(finding), fold_hosts(list(hosts))
    return tag(
        "li",
        tag(
            "h3",
            tag("span", f"{number} {SIGNS[word]} {word}", class_=f"sign {word}"),
            f" {finding.title}",
        ),
        tag("p", finding.advice),
        tag("p", f"On {on}.") if on else _NOTHING,
        _diff(changes) if changes else _NOTHING,
        tag(
            "p",
            f"{said[:1].upper()}{said[1:]}. " if said else "",
            "Rule ",
            tag("code", finding.rule),
            ". ",
            _show_button(number) if plots.marked(finding.rule) else _NOTHING,
            class_="evidence",
        ),
    )


def _show_button(number: int) -> Markup:
    return tag(
        "button",
        "Show on the timelines",
        type="button",
        hidden=True,
        class_="show",
        data_finding=str(number),
        aria_label=f"Show on the timelines: finding {number}",
    )


def _timelines(report: Report, on: Grid) -> Markup:
    figures = [
        _plot(f"{plot.title}, {plot.unit}", _sentence(plots.sentence(report, plot)), plot.name)
        for plot in plots.drawn(report)
    ]
    found, more_count = curves.curves(report, on)
    for number, (group, of) in enumerate(curves.grouped(found).items()):
        said = curves.sentence(group, of)
        figures.append(_plot(f"{group}, logged by the program", said, value_plot_name(number)))
    if more_count:
        figures.append(tag("p", f"{more_count:,} more values were logged; the data have them."))
    marks = _lanes(report)
    if not marks and not figures:
        return _NOTHING
    return section("Timelines", _controls(report), marks, *figures, name="timelines")


def _sentence(said: str) -> str:
    return said[:1].upper() + said[1:]


def _plot(title: str, said: str, name: str) -> Markup:
    return tag(
        "figure",
        tag("figcaption", tag("h3", title), tag("p", said)),
        tag("div", class_="plot", data_plot=name),
    )


def _lanes(report: Report) -> Markup:
    """The phases and events on the timelines' axis; the steps of the program say it in words."""
    said = lanes.sentences(report)
    if not said:
        return _NOTHING
    return tag(
        "figure",
        tag(
            "figcaption",
            tag("h3", "Phases and events of the program"),
            tag("p", " ".join(said)),
        ),
        tag("div", class_="lanes"),
    )


def _steps(report: Report) -> list[Markup]:
    """The program's phases, results and events, folded if they are many."""
    told = tables.events(report)
    events = table(told, "Events")
    if len(told.rows) > _FEW_EVENTS:
        events = _folded("Events in words", events)
    return [table(tables.phases(report)), table(tables.results(report)), events]


def _gpus(report: Report) -> Markup:
    """A table of the devices, where they are few enough to be read one by one."""
    if not 0 < len(report.summary.gpus) <= FEW_GPUS:
        return _NOTHING
    return section("GPUs", table(tables.gpus(report)))


def _controls(report: Report) -> Markup:
    """The choice of nodes and of time; scripts show it, for without them it does nothing."""
    names = list(report.timeline.hosts)
    options = [tag("option", "all nodes", value="")]
    options += [tag("option", name, value=str(index)) for index, name in enumerate(names)]
    choice = tag("label", "Nodes ", tag("select", *options, id="node"))
    buttons = [
        tag("button", word, type="button", data_zoom=what, aria_label=label)
        for word, what, label in (
            ("←", "earlier", "earlier"),
            ("→", "later", "later"),
            ("+", "in", "zoom in"),
            ("−", "out", "zoom out"),
            ("Whole run", "whole", "show the whole run"),
        )
    ]
    return tag(
        "div",
        choice if len(names) > 1 else _NOTHING,
        *buttons,
        tag("output", id="shown", aria_live="polite"),
        tag("span", id="clocks"),
        tag(
            "p",
            "Drag over a plot to zoom, or use the buttons; a double click shows the whole run. The"
            " page's address keeps what is shown: it can be copied as a link.",
            class_="hint",
        ),
        class_="controls",
        hidden=True,
    )


def _heatmaps(report: Report) -> Markup:
    """Node × time and GPU × time, where there are several; the table says the same in numbers."""
    gpus_count = len(report.summary.gpus)
    made = []
    if len(report.nodes) > 1:
        made.append(_heatmap("cpu", "CPU in use, node × time"))
    if gpus_count > 1:
        drawn = {plot.name: plot for plot in plots.drawn(report)}
        made += [
            _heatmap(name, f"{drawn[name].title}, GPU × time")
            for name in _HEAT_OF_GPUS
            if name in drawn
        ]
    if not made:
        return _NOTHING
    folded = []
    if len(report.nodes) > 1:
        folded.append(_folded("Nodes in numbers", table(tables.nodes(report), "Nodes")))
    if gpus_count > FEW_GPUS:
        folded.append(_folded("GPUs in numbers", table(tables.gpus(report), "GPUs")))
    return section("Nodes and GPUs", *made, *folded, name="heatmaps")


def _heatmap(plot: str, title: str) -> Markup:
    return tag(
        "figure",
        tag("figcaption", tag("h3", title)),
        tag("div", class_="heatmap", data_plot=plot),
        class_="scripted",
    )


def _folded(title: str, content: Markup) -> Markup:
    return tag("details", tag("summary", title), content)


def _footer(report: Report) -> Markup:
    step = events_step(report)
    return tag(
        "footer",
        tag(
            "p",
            tag("button", "Download the data (JSON)", id="download", type="button", hidden=True),
            f" Every {step}th of the {len(report.events):,} events is in it;"
            " hpcwatch report --format json has all."
            if step > 1
            else "",
        ),
        tag(
            "p",
            f"Made by hpcwatch {report.run.hpcwatch_version}. "
            "Plots are drawn by uPlot, MIT licence, © Leon Sorokin.",
        ),
        tag("noscript", tag("p", "The plots need JavaScript; all else is here without.")),
    )

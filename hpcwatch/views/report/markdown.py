"""The report as markdown (GitHub's dialect). Pure; foreign text can mark nothing up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from hpcwatch.analysis.findings import Directive
from hpcwatch.analysis.findings.together import together
from hpcwatch.analysis.report import Report
from hpcwatch.base.clean import clean
from hpcwatch.cluster.schedulers.hosts import fold_hosts
from hpcwatch.recording.previous_runs import EarlierRun
from hpcwatch.views.report import facts, plots, tables
from hpcwatch.views.report.next_script import next_script, own_changes, saves_sentence
from hpcwatch.views.report.ranks import rank_sentences, ranks_table
from hpcwatch.views.report.verdict import verdict
from hpcwatch.views.text import SIGNS, sparkline

_SPARK = 40
_LINES = 8  # of one plot, each with its sparkline; more are only summed up
_ROWS = 64  # of nodes or GPUs
_EVENTS = 20  # nothing folds them here


def text(report: Report, earlier: Sequence[EarlierRun] = ()) -> str:
    """Return the report as markdown ending in a newline."""
    blocks = [
        f"# {escaped(report.run.name)} · {escaped(_where(report))}",
        " ".join(escaped(sentence) for sentence in verdict(report)),
        *_next_script(report),
        *_findings(report),
        *_asked_and_used(report),
        *_timelines(report),
        *_nodes(report),
        *_ranks(report),
        *_section("Processes", tables.processes(report)),
        *_steps(report),
        *_section("Earlier runs of the same name", tables.earlier(list(earlier))),
        "## How it was measured",
        "\n".join(f"- {escaped(sentence)}" for sentence in facts.measured(report)),
        "## Command and environment",
        _table(tables.Table(("", ""), facts.context(report), 2)),
    ]
    return "\n\n".join(blocks) + "\n"


def _where(report: Report) -> str:
    run = report.run
    return f"{run.job.id} · {fold_hosts(run.hosts)}" if run.job is not None else run.id


def _next_script(report: Report) -> Iterator[str]:
    script = next_script(report)
    if not any(script):
        return
    yield "## Next job script"
    if script.changes:
        yield _diff(script.changes)
    if script.lines:
        yield _fenced("bash", script.lines)
    if script.saves:
        yield escaped(saves_sentence(script))
    if script.notes:
        yield "\n".join(f"- {escaped(note)}" for note in script.notes)


def _diff(changes: Sequence[Directive]) -> str:
    old = [f"- {change.old}" for change in changes if change.old]
    return _fenced("diff", old + [f"+ {change.new}" for change in changes if change.new])


def _findings(report: Report) -> Iterator[str]:
    grouped = together(report.findings)
    if not grouped:
        return
    yield "## Findings"
    for number, (finding, hosts) in enumerate(grouped, 1):
        word = finding.severity.name.lower()
        yield f"### {number}. {SIGNS[word]} {word}: {escaped(finding.title)}"
        where = f"On {escaped(fold_hosts(hosts))}. " if len(report.timeline.hosts) > 1 else ""
        yield where + escaped(finding.advice)
        said = facts.evidence(finding)
        rule = f"Rule `{finding.rule}`"  # ours: nothing foreign in it
        yield f"{rule}: {escaped(said)}." if said else f"{rule}."
        changes = own_changes(report, finding)
        if changes:
            yield _diff(changes)


def _asked_and_used(report: Report) -> Iterator[str]:
    yield f"## {'Requested' if report.run.job is not None else 'Allowed'} against used"
    yield _table(tables.asked_and_used(report))
    yield "\n".join(f"- {name}: {escaped(said)}" for name, said in facts.totals(report))


def _timelines(report: Report) -> Iterator[str]:
    blocks = []
    for plot in plots.drawn(report):
        made = list(plots.lines(report, plot))
        block = f"**{plot.title}**: {escaped(plots.sentence(report, plot))}"
        if len(made) <= _LINES:
            top = max(max(v for v in line.column.high if v == v) for line in made)
            scale = f"0 to {plots.number(top / plot.size)} {plot.unit}"
            rows = [
                f"{sparkline(line.column.high, top, _SPARK)}  {scale}  {_name(line, plot)}"
                for line in made
            ]
            block += "\n\n" + _fenced("text", rows)
        blocks.append(block)
    if blocks:
        yield "## Timelines"
        yield from blocks


def _name(line: plots.Line, plot: plots.Plot) -> str:
    return f"{line.host.name} {line.entity}" if plot.is_gpu else line.host.name


def _nodes(report: Report) -> Iterator[str]:
    if len(report.nodes) > 1:
        yield from _section("Nodes", tables.nodes(report), _ROWS)
    if report.summary.gpus:
        yield from _section("GPUs", tables.gpus(report), _ROWS)


def _steps(report: Report) -> Iterator[str]:
    found = (tables.phases(report), tables.results(report), tables.events(report, _EVENTS))
    if any(table.rows for table in found):
        yield "## Steps of the program"
        yield from (_table(table) for table in found if table.rows)


def _ranks(report: Report) -> Iterator[str]:
    if report.ranks:
        yield "## Ranks"
        yield "\n".join(f"- {escaped(sentence)}" for sentence in rank_sentences(report))
        yield _table(ranks_table(report))


def _section(title: str, table: tables.Table, most: int | None = None) -> Iterator[str]:
    if table.rows:
        yield f"## {title}"
        yield _table(table._replace(rows=table.rows[:most]))
        if most is not None and len(table.rows) > most:
            yield f"and {len(table.rows) - most} more."


def _table(table: tables.Table) -> str:
    rules = ["---:" if n >= table.numbers_from else "---" for n in range(len(table.head))]
    return "\n".join(
        [_row(map(escaped, table.head)), _row(rules)]
        + [_row(map(escaped, row)) for row in table.rows]
    )


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _fenced(language: str, lines: Iterable[str]) -> str:
    """Put lines in a block whose fence is longer than any run of backticks in them."""
    inside = "\n".join(clean(line) for line in lines)
    longest = max((len(run) for run in re.findall("`+", inside)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{inside}\n{fence}"


# What marks up, links or mentions; at the start of a line also what makes a list or a heading, and
# the dots of what GitHub would take for addresses.
_MARKS = re.compile(
    r"[\\`*{}\[\]#|~$<>&@]|\b_|_\b|^\s*[-+=]|^\d+(?=[.)](?:\s|$))|(?<=\w):(?=//)|(?<=www)\.",
    re.IGNORECASE,
)


def escaped(foreign: str) -> str:
    """Make foreign text stand for itself: no markup, HTML, link, mention or line of its own."""
    return _MARKS.sub(_entity, clean(foreign))


def _entity(match: re.Match[str]) -> str:
    """Write a character as an entity, which every dialect shows as itself and none reads."""
    return "".join(f"&#{ord(character)};" for character in match[0])

"""The pages on commands, configuration and CSV, made from parsers, schema and metrics. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hpcwatch.analysis.metrics import METRICS
from hpcwatch.base.config_files import SITE_FILE
from hpcwatch.cli.arguments import Argument
from hpcwatch.cli.described import Command
from hpcwatch.cli.manual import EXIT_CODES, named, written
from hpcwatch.config.schema import Key
from hpcwatch.views.report.csv import PLACE, headings

_PLACES = {
    "host": "The node.",
    "entity": "`job`, or a device: `GPU 1`.",
    "device": "The device's UUID; empty in rows of the job.",
    "at": "The time, ISO 8601 in UTC.",
    "elapsed_s": "Seconds since the run's start.",
    "span_s": "How many seconds the row stands for.",
}


def of_commands(known: list[Command]) -> Iterator[str]:
    """Yield the page with every command and its options."""
    yield "# Commands\n"
    yield "`hpcwatch COMMAND --help` and `man hpcwatch-COMMAND` say the same.\n"
    yield "| command | what it does |\n|---|---|"
    for command in known:
        place = f"#hpcwatch-{command.name.replace(' ', '-')}"
        yield f"| [`{command.name}`]({place}) | {_cell(command.what)} |"
    for command in known:
        yield f"\n## hpcwatch {command.name}\n"
        yield f"```\n{command.synopsis}\n```\n"
        yield f"{_text(command.description)}\n"
        shown = [one for one in (*command.words, *command.options) if "--help" not in one.flags]
        if shown:
            yield "| argument | meaning |\n|---|---|"
            yield from map(_row, shown)
    yield "\n## Exit codes\n"
    yield "| code | meaning |\n|---|---|"
    for code, what in EXIT_CODES:
        yield f"| {code} | {_cell(what)} |"
    yield ""


def _row(argument: Argument) -> str:
    return f"| `{_cell(named(argument))}` | {_cell(_text(argument.what))} |"


def of_configuration(keys: tuple[Key, ...]) -> Iterator[str]:
    """Yield the page with every key of config.toml."""
    yield "# Configuration\n"
    yield (
        f"hpcwatch reads `{SITE_FILE}`, then `~/.config/hpcwatch/config.toml`, which overrides it."
        " Neither is needed. An environment variable overrides both files, and an option of a"
        " command overrides the variable. A key that does not exist is an error that names the"
        " nearest one. `hpcwatch config` prints the values in force and where each comes from.\n"
    )
    yield '```toml\n[run]\ninterval_s = 2\n\n[storage]\nkeep = "90d"\n```\n'
    yield "| key | meaning | default | values | variable |\n|---|---|---|---|---|"
    for key in keys:
        default = "not set" if key.default is None else f"`{written(key.default)}`"
        wanted = key.wanted.removeprefix("give ")
        yield (
            f"| `{key.name}` | {_cell(key.what)} | {default} | {_cell(wanted)} | `{key.variable}` |"
        )
    yield "\n## Per queue\n"
    yield "`memory_per_core_gb` of one queue overrides `memory.per_core_gb`:\n"
    yield "```toml\n[queues.bigmem]\nmemory_per_core_gb = 48\n```\n"
    yield "## Thresholds of findings\n"
    yield (
        "Every finding has a table of its own; [Findings](../findings.md) lists the thresholds with"
        " their defaults.\n"
    )
    yield "```toml\n[findings.cpu-low]\nwarning_pct = 50\n```\n"


def of_csv() -> Iterator[str]:
    """Yield the page with every column of the CSV."""
    yield "# CSV reference\n"
    yield (
        "`hpcwatch report -o run.csv` writes the time series: a row per host, entity and time."
        " A column has its unit in its name. Of a value that a long recording sums up, the lowest"
        " and the highest stand beside the mean (`used_bytes`, `used_min_bytes`, `used_max_bytes`)."
        " Unknown is empty, never 0.\n"
    )
    yield "| column | meaning |\n|---|---|"
    for name in PLACE:
        yield f"| `{name}` | {_PLACES[name]} |"
    for metric, names in headings():
        shown = ", ".join(f"`{name}`" for name in names)
        yield f"| {shown} | {_cell(METRICS[metric])} |"
    yield ""


def of_export() -> Iterator[str]:
    """Yield the page with every exported family."""
    from hpcwatch.export import jobstats
    from hpcwatch.export.families import Family, all_families
    from hpcwatch.export.text import sample_name

    def table(families: Iterable[Family]) -> Iterator[str]:
        yield "| name | type | meaning |\n|---|---|---|"
        for family in families:
            yield f"| `{sample_name(family)}` | {family.kind} | {_cell(family.what)} |"
        yield ""

    yield "# Exported numbers\n"
    yield (
        "What `hpcwatch export`, `--listen` and the like give to"
        " [Prometheus](../prometheus.md), and `hpcwatch report -o run.om` writes."
        " What is unknown is absent.\n"
    )
    yield from table(all_families())
    yield "## With `--names jobstats`\n"
    yield from table(jobstats.FAMILIES)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _text(text: str) -> str:
    """Return help text as Markdown: what looks like HTML is text."""
    return text.replace("<", "&lt;").replace(">", "&gt;").replace("*", "\\*")

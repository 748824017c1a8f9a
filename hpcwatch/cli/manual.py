"""The manual page, made from the commands' own options: ``python -m hpcwatch.cli.manual``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpcwatch.base.config_files import SITE_FILE
from hpcwatch.cli.arguments import Argument
from hpcwatch.cli.described import Command, commands
from hpcwatch.config.schema import KEYS, Scalar

EXIT_CODES = (
    ("0", "Success."),
    ("1", "A failure, with its reason on standard error."),
    ("2", "Wrong use, or a mistake in the configuration."),
    ("3", "run --fail-on: the program succeeded, and a finding is at least that severe."),
    (
        "other",
        "run: the program's own; 128 plus the signal's number if a signal ended it; 126 "
        "or 127 if it could not be started.",
    ),
)
_EXAMPLES = (
    ("hpcwatch run -- python train.py", "Run a program; read afterwards what to change."),
    ("hpcwatch job 305669", "Watch every node of a job."),
    ("hpcwatch report 305669 --format html -o report.html", "Keep its report as one file."),
    ("hpcwatch replay --at 1:30:00 --speed 20", "Replay the latest recording from a given time."),
    ("hpcwatch compare before after", "Compare two runs side by side."),
    ("hpcwatch run --fail-on critical -- ./solver", "Fail a pipeline in which hardware was idle."),
)
_ENVIRONMENT = (
    ("NO_COLOR", "No colour, unless --color always."),
    ("COLUMNS", "The width of the output where there is no terminal."),
    ("XDG_CONFIG_HOME", "The folder of the user's configuration (default ~/.config)."),
    (
        "XDG_STATE_HOME",
        "The folder of recordings, if nothing else sets it (default ~/.local/state).",
    ),
)


def main() -> None:
    """Print the page."""
    print("\n".join(lines(commands())))


def lines(known: Sequence[Command]) -> Iterator[str]:
    """Yield the page's lines, in the macros of man(7)."""
    yield '.TH HPCWATCH 1 "" "hpcwatch" "User Commands"'
    yield ".SH NAME"
    yield escaped("hpcwatch - what an HPC job really uses, and what to change")
    yield ".SH SYNOPSIS"
    yield ".B hpcwatch"
    yield ".I COMMAND"
    yield escaped("[options] ...")
    yield ".br"
    yield ".B hpcwatch COMMAND \\-\\-help"
    yield ".SH DESCRIPTION"
    yield escaped(
        "hpcwatch watches a program or a scheduler's job, while it runs and afterwards: CPU,"
        " memory, GPUs, storage. It says what is wasted or at risk, and what to write in the next"
        " job script."
    )
    yield ".SH COMMANDS"
    for command in known:
        yield from section(command)
    yield ".SH CONFIGURATION"
    yield escaped("Keys of config.toml, each optional; hpcwatch config prints the values in force.")
    for key in KEYS:
        given = "" if key.default is None else f" (default {written(key.default)})"
        yield from item(key.name, f"{key.what}{given}")
    yield from item("queues.NAME.memory_per_core_gb", "memory.per_core_gb for one queue")
    yield from item("findings.RULE.NAME", "a threshold of a rule; hpcwatch explain RULE names them")
    yield ".SH ENVIRONMENT"
    for key in KEYS:
        yield from item(key.variable, f"overrides {key.name}")
    for name, what in _ENVIRONMENT:
        yield from item(name, what)
    yield ".SH FILES"
    yield from item("~/.config/hpcwatch/config.toml", "The user's configuration.")
    yield from item(SITE_FILE, "The site's configuration.")
    yield from item(
        "~/.local/state/hpcwatch/runs", "Recordings: a file per short run, a folder per longer one."
    )
    yield from exit_codes(is_of_run=True)
    yield ".SH EXAMPLES"
    for line, what in _EXAMPLES:
        yield from item(line, what)


def section(command: Command) -> Iterator[str]:
    """Yield a command's section: its usage, description and arguments."""
    yield f".SS {escaped(command.synopsis)}"
    yield escaped(command.description)
    yield from arguments(command)


def arguments(command: Command) -> Iterator[str]:
    """Yield an item per argument, the positional ones first."""
    for argument in (*command.words, *command.options):
        if "--help" in argument.flags:
            continue
        if argument.what:
            yield from item(named(argument), argument.what)
        elif argument.choices:
            yield from item(named(argument), f"one of {', '.join(argument.choices)}")


def exit_codes(is_of_run: bool) -> Iterator[str]:
    """Yield the section on exit codes; those of programs are `hpcwatch run`'s only."""
    yield ".SH EXIT STATUS"
    for code, what in EXIT_CODES:
        if is_of_run or not what.startswith("run"):
            yield from item(code, what)


def named(argument: Argument) -> str:
    """Return how an argument is written: ``-o, --output FILE``."""
    flags = ", ".join(argument.flags)
    value = "|".join(argument.choices) or argument.metavar
    if not flags:
        return argument.metavar
    return f"{flags} {value}" if argument.metavar else flags


def written(default: Scalar) -> str:
    """Return a default as the page shows it."""
    return default if isinstance(default, str) else f"{default:g}"


def item(name: str, what: str) -> Iterator[str]:
    """Yield a term in bold and its explanation."""
    yield ".TP"
    yield f".B {escaped(name)}"
    yield escaped(what)


def escaped(text: str) -> str:
    """Return a text escaped for roff: nothing in it is a request or an escape sequence."""
    plain = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain[:1] in (".", "'") else plain


if __name__ == "__main__":
    main()

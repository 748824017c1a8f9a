"""A manual page per command, one for the configuration, and completions, as a wheel installs them.

``python -m hpcwatch.cli.man_pages FOLDER`` writes them below FOLDER/share. The build of a wheel and
the recipes in packaging call it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

from hpcwatch import __version__
from hpcwatch.base.config_files import SITE_FILE
from hpcwatch.cli.described import Command, commands
from hpcwatch.cli.manual import arguments, escaped, exit_codes, item, lines, written
from hpcwatch.cli.shells import stub
from hpcwatch.config.schema import KEYS, Key

COMPLETIONS = {
    "bash": "share/bash-completion/completions/hpcwatch",
    "zsh": "share/zsh/site-functions/_hpcwatch",
    "fish": "share/fish/vendor_completions.d/hpcwatch.fish",
}
"""Where each shell looks below a prefix, as the shells' own manuals say."""

_EXAMPLE = """\
[run]
interval_s = 2

[storage]
keep = "90d"

[findings.cpu-low]
warning_pct = 50"""


def main() -> None:
    """Write all files below the folder that the command line names."""
    for name, text in pages().items():
        path = os.path.join(sys.argv[1], name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)


def pages() -> dict[str, str]:
    """Return the files by their path below an installation's prefix."""
    known = commands()
    made = {"share/man/man1/hpcwatch.1": _joined(lines(known))}
    for command in known:
        made[f"share/man/man1/{_page(command)}.1"] = _joined(of_command(command))
    made["share/man/man5/hpcwatch-config.5"] = _joined(of_configuration(KEYS))
    made.update((path, stub(shell)) for shell, path in COMPLETIONS.items())
    return made


def of_command(command: Command) -> Iterator[str]:
    """Yield the lines of a command's page."""
    yield from _head(_page(command), 1, "User Commands", command.what)
    yield ".SH SYNOPSIS"
    yield escaped(command.synopsis)
    yield ".SH DESCRIPTION"
    yield escaped(command.description)
    if command.words or command.options:
        yield ".SH OPTIONS"
        yield from arguments(command)
    yield from exit_codes(command.name == "run")
    yield from _see_also("hpcwatch(1)", "hpcwatch-config(5)")


def _page(command: Command) -> str:
    return f"hpcwatch-{command.name.replace(' ', '-')}"


def of_configuration(keys: Sequence[Key]) -> Iterator[str]:
    """Yield the lines of the page on config.toml."""
    yield from _head("hpcwatch-config", 5, "File Formats", "the configuration of hpcwatch")
    yield ".SH SYNOPSIS"
    yield from (escaped("~/.config/hpcwatch/config.toml"), ".br", escaped(SITE_FILE))
    yield ".SH DESCRIPTION"
    yield escaped(
        "Both files are TOML, and neither is needed. The user's file overrides the site's, an"
        " environment variable overrides both, and an option of a command overrides the variable."
        " A key that does not exist is an error. hpcwatch config prints the values in force and"
        " where each comes from."
    )
    yield ".SH KEYS"
    for key in keys:
        yield from item(key.name, f"{key.what}. {_allowed(key)} Variable: {key.variable}.")
    what = "memory.per_core_gb for the queue of this name."
    yield from item("queues.NAME.memory_per_core_gb", what)
    what = "A threshold of a finding; hpcwatch explain RULE prints its names and defaults."
    yield from item("findings.RULE.NAME", what)
    yield ".SH EXAMPLE"
    yield ".nf"
    yield from (escaped(line) for line in _EXAMPLE.splitlines())
    yield ".fi"
    yield from _see_also("hpcwatch(1)", "hpcwatch-config(1)", "hpcwatch-explain(1)")


def _allowed(key: Key) -> str:
    default = "Not set by default" if key.default is None else f"Default {written(key.default)}"
    return f"{default}; {key.wanted}."


def _head(name: str, section: int, title: str, what: str) -> Iterator[str]:
    yield f'.TH {name.upper()} {section} "" "hpcwatch {__version__}" "{title}"'
    yield ".SH NAME"
    yield escaped(f"{name} - {what}")


def _see_also(*names: str) -> Iterator[str]:
    yield ".SH SEE ALSO"
    yield escaped(", ".join(names))


def _joined(rows: Iterator[str]) -> str:
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()

"""fish's completion script. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.cli.arguments import Argument
from hpcwatch.cli.described import Command
from hpcwatch.cli.shells.places import PROGRAMS, kind_of, offered, one_line

_FISH = """\
function __hpcwatch_is
    set -l words (commandline -opc)
    test (count $words) -ge 2; and test $words[2] = $argv[1]; and not contains -- -- $words
end

function __hpcwatch_runs
    set -l words (commandline -opc)
    test (count $words) -ge 2; and test $words[2] = $argv[1]
end

complete -c hpcwatch -f
"""


def script(commands: Sequence[Command]) -> str:
    """Return the script."""
    lines = [_FISH]
    for command in commands:
        about = _quoted(one_line(command.what))
        only = "'test (count (commandline -opc)) -eq 1'"
        lines.append(f"complete -c hpcwatch -n {only} -a {command.name} -d {about}\n")
    for command in commands:
        lines += [line + "\n" for line in _lines(command)]
    return "".join(lines)


def _lines(command: Command) -> list[str]:
    when = f"complete -c hpcwatch -n '__hpcwatch_is {command.name}'"
    made = []
    for option in command.options:
        flags = "".join(
            f" -l {flag[2:]}" if flag.startswith("--") else f" -s {flag[1:]}"
            for flag in option.flags
        )
        value = _value(command, option) if option.metavar else ""
        made.append(f"{when}{flags}{value} -d {_quoted(one_line(option.what))}")
    for word in command.words:
        value = _value(command, word)
        if value.strip() != "-x":
            made.append(when + value.replace(" -x", "").replace(" -r", ""))
    if command.name in PROGRAMS:
        when = f"complete -c hpcwatch -n '__hpcwatch_runs {command.name}'"
        made.append(f"{when} -a '(__fish_complete_command)'")
    return made


def _value(command: Command, argument: Argument) -> str:
    if offered(argument):
        return f" -x -a {_quoted(' '.join(offered(argument)))}"
    kind = kind_of(command, argument)
    own = {
        "files": " -r -F",
        "folders": " -x -a '(__fish_complete_directories)'",
        "hosts": " -x -a '(__fish_print_hostnames)'",
        "": " -x",
    }
    return own.get(kind, f" -x -a '(hpcwatch completion --words {kind} 2>/dev/null)'")


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

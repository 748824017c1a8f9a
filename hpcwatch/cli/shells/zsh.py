"""zsh's completion script. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.cli.arguments import Argument
from hpcwatch.cli.described import Command
from hpcwatch.cli.shells.places import PROGRAMS, kind_of, offered, one_line

_ZSH = """\
_hpcwatch_words() {{
    local -a offers
    offers=(${{(f)"$(hpcwatch completion --words $1 2>/dev/null)"}})
    compadd -a offers
}}

_hpcwatch() {{
    local -a commands
    commands=(
{names}
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    shift words
    (( CURRENT-- ))
    case $words[1] in
{cases}
    esac
}}

if [ "$funcstack[1]" = _hpcwatch ]; then
    _hpcwatch "$@"
else
    compdef _hpcwatch hpcwatch
fi
"""


def script(commands: Sequence[Command]) -> str:
    """Return the script."""
    names = "\n".join(
        f"        {quoted(f'{command.name}:{_text(command.what)}')}" for command in commands
    )
    return _ZSH.format(names=names, cases="\n".join(map(_case, commands)))


def _case(command: Command) -> str:
    specs = [spec for option in command.options for spec in _option(command, option)]
    specs += [
        f"{'*' if word.many in ('*', '+') else ''}:{_name(word)}:{_action(command, word)}"
        for word in command.words
        if word.many != "..." and word.what
    ]
    if command.name in PROGRAMS:
        specs.append("(-)1:program:_command_names -e")
        specs.append("*::argument:_normal")
    lines = " \\\n".join(f"            {quoted(spec)}" for spec in specs)
    return f"        {command.name})\n            _arguments -s \\\n{lines}\n            ;;"


def _option(command: Command, option: Argument) -> list[str]:
    value = f":{_name(option)}:{_action(command, option)}" if option.metavar else ""
    return [f"*{flag}[{_text(option.what)}]{value}" for flag in option.flags]


def _name(argument: Argument) -> str:
    return _text(argument.metavar.lower())


def _text(text: str) -> str:
    plain = one_line(text)
    for letter in "\\[]:":
        plain = plain.replace(letter, "\\" + letter)
    return plain


def _action(command: Command, argument: Argument) -> str:
    if offered(argument):
        words = (word.replace(":", "\\:") for word in offered(argument))
        return f"({' '.join(words)})"
    kind = kind_of(command, argument)
    own = {"files": "_files", "folders": "_files -/", "hosts": "_hosts", "": " "}
    # A blank in front keeps zsh from adding arguments of its own.
    return own.get(kind, f" _hpcwatch_words {kind}")


def quoted(text: str) -> str:
    """Return a text in single quotes."""
    return "'" + text.replace("'", "'\\''") + "'"

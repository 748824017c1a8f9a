"""bash's completion script. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.cli.described import Command
from hpcwatch.cli.shells.places import PROGRAMS, kind_of, offered

_BASH = """\
_hpcwatch_offer() {{
    # Nothing here is expanded again: what is offered may be any word.
    mapfile -t COMPREPLY < <(compgen "$@" -- "$current")
}}

_hpcwatch_words() {{
    local words
    words=$(hpcwatch completion --words "$1" 2>/dev/null)
    _hpcwatch_offer -W "$words"
}}

_hpcwatch() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
    local command=${{COMP_WORDS[1]}} place
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        _hpcwatch_offer -W "{names} --help --version"
        return
    fi
    if [ "$current" = = ]; then
        current=""
    elif [ "$before" = = ]; then
        before=${{COMP_WORDS[COMP_CWORD-2]}}
    elif [ "$before" = : ] || [ "$current" = : ]; then  # --report html:FILE
        compopt -o default
        return
    fi
    for ((place = 2; place < COMP_CWORD; place++)); do
        if [ "${{COMP_WORDS[place]}}" = -- ]; then
            if ((place + 1 == COMP_CWORD)); then _hpcwatch_offer -c; else compopt -o default; fi
            return
        fi
    done
    case $command in
{cases}
    esac
}}

complete -F _hpcwatch hpcwatch
"""


def script(commands: Sequence[Command]) -> str:
    """Return the script."""
    cases = "\n".join(_case(command) for command in commands)
    return _BASH.format(names=" ".join(command.name for command in commands), cases=cases)


def _case(command: Command) -> str:
    lines = [f"        {command.name})", "            case $before in"]
    for option in command.options:
        if option.metavar:
            offer = _offer(kind_of(command, option), offered(option)) or ":"
            lines.append(f"                {'|'.join(option.flags)}) {offer}; return ;;")
    flags = " ".join(flag for option in command.options for flag in option.flags)
    lines += [
        "            esac",
        f'            case $current in -*) _hpcwatch_offer -W "{flags}"; return ;; esac',
    ]
    lines += [f"            {_word(command)}", "            ;;"]
    return "\n".join(lines)


def _word(command: Command) -> str:
    for word in command.words:
        offer = _offer(kind_of(command, word), offered(word))
        if offer:
            return offer
    return "_hpcwatch_offer -c" if command.name in PROGRAMS else ":"


def _offer(kind: str, choices: Sequence[str]) -> str:
    if choices:
        return f'_hpcwatch_offer -W "{" ".join(choices)}"'
    own = {
        "files": "compopt -o filenames; _hpcwatch_offer -f",
        "folders": "compopt -o filenames; _hpcwatch_offer -d",
        "hosts": "_hpcwatch_offer -A hostname",
        "": "",
    }
    return own.get(kind, f"_hpcwatch_words {kind}")

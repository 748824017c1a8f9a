"""The stubs through which a shell calls `hpcwatch completion --complete`. Pure.

The answer is a line per offer, with a tab before its description; a line that begins with a colon
makes the shell add offers of its own.
"""

from __future__ import annotations

_BASH = """\
_hpcwatch() {
    local current=${COMP_WORDS[COMP_CWORD]} line
    local -a kind=()
    COMPREPLY=()
    case $current in [=:]) current="" ;; esac
    # Nothing here is expanded again: an offer may be any word.
    while IFS= read -r line; do
        case $line in
            :files) compopt -o filenames; kind=(-f) ;;
            :folders) compopt -o filenames; kind=(-d) ;;
            :hosts) kind=(-A hostname) ;;
            :programs) kind=(-c) ;;
            :arguments) compopt -o default ;;
            *) COMPREPLY+=("${line%%$'\\t'*}") ;;
        esac
    done < <(hpcwatch completion --complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    if [ ${#kind[@]} -gt 0 ]; then
        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen "${kind[@]}" -- "$current")
    fi
}

complete -F _hpcwatch hpcwatch
"""

_ZSH = """\
_hpcwatch() {
    local line
    local -a offers
    for line in "${(@f)$(hpcwatch completion --complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"
    do
        case $line in
            '') ;;
            :files) _files ;;
            :folders) _files -/ ;;
            :hosts) _hosts ;;
            :programs) _command_names -e ;;
            :arguments)
                local place=${words[(i)--]}
                shift $place words
                (( CURRENT -= place ))
                _normal
                ;;
            *$'\\t'*) offers+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}") ;;
            *) offers+=("${line//:/\\\\:}") ;;
        esac
    done
    (( ${#offers} )) && _describe hpcwatch offers
}

if [ "$funcstack[1]" = _hpcwatch ]; then
    _hpcwatch "$@"
else
    compdef _hpcwatch hpcwatch
fi
"""

_FISH = """\
function __hpcwatch_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    hpcwatch completion --complete -- $words[2..-1] $current 2>/dev/null | while read -l line
        switch $line
            case :files
                __fish_complete_path $current
            case :folders
                __fish_complete_directories $current
            case :hosts
                __fish_print_hostnames
            case :programs
                __fish_complete_command
            case :arguments
                __fish_complete_subcommand --fcs-skip (math (contains -i -- -- $words))
            case '*'
                echo $line
        end
    end
end

complete -c hpcwatch -f -a '(__hpcwatch_complete)'
"""

STUBS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def stub(shell: str) -> str:
    """Return the text of a shell's completion file."""
    head = f"# Completion for {shell}, made by: hpcwatch completion {shell}\n"
    # zsh looks for its mark in the first line.
    return ("#compdef hpcwatch\n" if shell == "zsh" else "") + head + STUBS[shell]

"""`hpcwatch explain [NAME]`: what a number or a finding means."""

from __future__ import annotations

import inspect
import re
import textwrap
from difflib import get_close_matches

from hpcwatch.analysis.findings import rules
from hpcwatch.analysis.keys import KEYS, WORDS, column_of_groups, extreme_of
from hpcwatch.analysis.metrics import METRICS
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cli.arguments import Parser
from hpcwatch.sweep.findings import RULES as SWEEP_RULES
from hpcwatch.views.text import cut

_WIDTH = 80
_INDENT = "  "
_MISTYPED = 0.8  # of difflib's ratio: one or two wrong letters in a name
_GIVE_BACK = ("g", "give them back to the scheduler, after a question")
_WORD = r"\b[a-z]{3,6}"  # longer words vary in their endings: throttling, throttled
_MOST_NEAR = 4
_NAME_COLUMNS = 26
_KEYS = "keys"


def main(arguments: list[str]) -> int:
    """Print the definition of a metric or finding, or the names of all."""
    parser = Parser(prog="hpcwatch explain", description="Say what a number or a finding means.")
    what = "a name as in the report (default: list all names)"
    parser.add_argument("name", metavar="NAME", nargs="?", help=what)
    name = parser.parse_args(arguments).name
    if name is None:
        _print_all()
        return 0
    words = meaning(name)
    if words is not None:
        print(f"{name}\n{_indented(words)}")
        if name.lower() == _KEYS:
            print(_of_keys())
    elif name in rules() or name in SWEEP_RULES:
        print(f"{name}\n{textwrap.indent(_of_rule(name), _INDENT)}")
    else:
        near = _nearest(name, names())
        hint = f"did you mean {' or '.join(near)}?" if near else "see: hpcwatch explain"
        raise HpcwatchError(f"nothing is called {name}", hint, EXIT_USAGE)
    return 0


def meaning(name: str) -> str | None:
    """Return what a number, a key, a column or a word means; None if it is none of them."""
    for known in (METRICS, KEYS):
        if name in known:
            return known[name]
    if name.lower() in WORDS:
        return WORDS[name.lower()]
    of_groups = column_of_groups(name)
    if of_groups is not None:
        return of_groups
    extreme = extreme_of(name)
    if extreme is not None and extreme[0] in METRICS:
        metric, word = extreme
        return f"The {word} reading of {metric} in the time that a row of the CSV stands for."
    return None


def _of_keys() -> str:
    """Return the keys of the live view, as its help page lists them."""
    from hpcwatch.monitor.replay import Replayer
    from hpcwatch.views.live.help import KEYS as LIVE_KEYS

    lines = []
    for title, pairs in (
        ("hpcwatch job, top and submit", LIVE_KEYS),
        ("hpcwatch job, where nodes of your job are unused", (_GIVE_BACK,)),
        ("hpcwatch replay, in addition or instead", Replayer.help),
    ):
        lines.append(f"\n{_INDENT}{title}:")
        lines += [_key_row(keys, what) for keys, what in pairs]
    return "\n".join(lines)


def _key_row(keys: str, what: str) -> str:
    first = f"{_INDENT * 2}{keys:{_NAME_COLUMNS}}  "
    return textwrap.fill(what, _WIDTH, initial_indent=first, subsequent_indent=" " * len(first))


def _print_all() -> None:
    """Print every name with the beginning of its meaning, a line each."""
    findings = {
        name: _first(inspect.getdoc(function) or "")
        for name, function in (
            *((name, entry.function) for name, entry in rules().items()),
            *SWEEP_RULES.items(),
        )
    }
    for title, known in (
        ("Numbers", METRICS),
        ("Findings", findings),
        ("Other keys and columns", KEYS),
        ("Words", WORDS),
    ):
        print(f"{title}:")
        for name, text in known.items():
            room = max(_WIDTH - len(_INDENT) - _NAME_COLUMNS - 2, 10)
            print(f"{_INDENT}{name:{_NAME_COLUMNS}}  {cut(_first(text), room)}".rstrip())
    print("More of one: hpcwatch explain NAME")


def _first(text: str) -> str:
    """Return the first sentence of a text, without its point, on one line."""
    line = " ".join(text.replace("``", "").split())
    return re.split(r"(?<=[.;])\s", line, maxsplit=1)[0].rstrip(".:;")


def names() -> list[str]:
    """Return the names that can be explained."""
    return [*METRICS, *rules(), *SWEEP_RULES, *KEYS, *WORDS]


def _nearest(wrong: str, known: list[str]) -> list[str]:
    """Return the one name that is a likely typing error, else those that share its rarest words."""
    mistyped = get_close_matches(wrong.lower(), known, 1, _MISTYPED)
    if mistyped:
        return mistyped
    weights = dict.fromkeys(known, 0.0)
    for word in re.findall(_WORD, re.sub(r"[_-]", " ", wrong.lower())):
        sharing = [name for name in known if word in name]
        for name in sharing:
            weights[name] += 1 / len(sharing)
    most = max(weights.values())
    return [name for name in known if weights[name] == most > 0][:_MOST_NEAR]


def _of_rule(name: str) -> str:
    """Return a rule's docstring and its thresholds as they can be written in a configuration."""
    function = SWEEP_RULES[name] if name in SWEEP_RULES else rules()[name].function
    thresholds = [
        f"# {parameter.name} is not set"  # TOML has no null
        if parameter.default is None
        else f"{parameter.name} = {parameter.default}"
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    text = _wrapped(inspect.getdoc(function) or "")
    if not thresholds:
        return f"{text}\n\n{name} has no thresholds."
    return f"{text}\n\nIn config.toml:\n\n[findings.{name}]\n" + "\n".join(thresholds)


def _wrapped(docstring: str) -> str:
    """Return a docstring for a terminal: its paragraphs and its source, wrapped."""
    # The source ends a paragraph in the code and is a paragraph of its own on the screen.
    apart = re.sub(r"(?<=[.:])\s+(?=Source:)", "\n\n", docstring.replace("``", ""))
    width = _WIDTH - len(_INDENT)
    return "\n\n".join(
        textwrap.fill(" ".join(paragraph.split()), width, break_on_hyphens=False)
        for paragraph in apart.split("\n\n")
    )


def _indented(text: str) -> str:
    return textwrap.fill(
        text, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False
    )

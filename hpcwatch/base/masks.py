"""Secrets in text that is written down: passwords, tokens and keys become ``***``. Pure.

Masks protect what people mail to each other: arguments, variables, comments, names of events. A
secret is recognised by the name next to it (``--password=x``, ``--token x``, ``API_KEY=x``), by its
place in a URL, and by the known formats of services. A program's output is not masked, and a secret
that nothing marks as one is not recognised.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Mapping, Sequence
    from typing import Any

MASK = "***"

_HINTS = (
    *("pass", "secret", "token", "credential", "key", "auth", "cookie", "jwt"),
    # Does not match every pwd and every path.
    *(name + after for name in ("pw", "pat") for after in ("=", ":", '"', "'", " ", "\t", "\n")),
    *("://", "ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_", "hf_", "sk-", "glpat-"),
    *("xox", "akia", "eyj"),
)
"""A text without one of these, in lower case, has nothing to mask: most texts have none."""

_WORD = (
    r"(?:pass(?:word|wd|phrase|code)|secret|credentials?|api[-_.]?key|access[-_.]?key[-_.]?id"
    r"|(?<!eos.)(?<!bos.)(?<!pad.)(?<!unk.)(?<!cls.)(?<!sep.)(?<!mask.)token"
    r"|(?<!sort.)(?<!primary.)(?<!public.)(?<![a-z0-9])key"
    r"|(?<![a-z0-9])(?:pass|passwd|pw|auth|authorization|cookie|jwt|pat))"
)
_VALUE = r"""(?:"[^"]*"|'[^']*'|(?:bearer|basic|token)\s+[^\s,;&'"]+|[^\s,;&'"]+)"""
_HARMLESS = (
    r"[][{}()]*(?:[+-]?[0-9.]{1,6}|true|false|yes|no|on|off|none|null|auto|\$\{?\w+\}?|\*\*\*)?"
    r"[][{}()]*"  # of JSON: a masked value stays valid JSON
)
_SHAPES = (
    r"(?<![A-Za-z0-9])(?:gh[oprsu]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|hf_[A-Za-z0-9]{20,}"
    r"|sk-[\w-]{20,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)


def _compiled(pattern: str) -> re.Pattern[str]:
    """Return a compiled pattern; most runs need none, and `re` takes milliseconds to import."""
    import re

    return re.compile(pattern, re.IGNORECASE)


def _shapes() -> re.Pattern[str]:
    import re

    return re.compile(_SHAPES)


def _pair() -> re.Pattern[str]:
    return _compiled(rf"({_WORD}[\"']?\s*[=:]\s*)({_VALUE})")


def _flag() -> re.Pattern[str]:
    return _compiled(rf"((?<!\S)--?[\w.-]{{0,64}}?{_WORD}\s+)(?!-)({_VALUE})")


def _may_hold_secrets(text: str) -> bool:
    lowered = text.lower()
    return any(hint in lowered for hint in _HINTS)


def masked(text: str) -> str:
    """Return a text with its secrets masked."""
    if not _may_hold_secrets(text):
        return text
    text = _compiled(r"([a-z][a-z0-9+.-]{0,30}://[^/\s@:'\"]*):[^/\s@'\"]+@").sub(
        rf"\1:{MASK}@", text
    )
    text = _pair().sub(_without_value, text)
    text = _flag().sub(_without_value, text)
    return _shapes().sub(MASK, text)


def _without_value(match: re.Match[str]) -> str:
    name, value = match[1], match[2]
    if _is_harmless(value):
        return match[0]
    quote = value[0] if value[0] in "\"'" else ""
    return f"{name}{quote}{MASK}{quote}"


def _is_harmless(value: str) -> bool:
    return _compiled(_HARMLESS).fullmatch(value.strip("\"'")) is not None


def is_secret_name(name: str) -> bool:
    """Return True if the value of such a name is a secret: ``--api-key``, ``WANDB_API_KEY``."""
    return _may_hold_secrets(f"{name}=") and _compiled(rf"{_WORD}\Z").search(name) is not None


def masked_words(words: Sequence[str]) -> list[str]:
    """Return a command line with its secrets masked, including the word after ``--token``."""
    made = []
    before = ""
    for word in words:
        is_told = before.startswith("-") and "=" not in before and is_secret_name(before)
        if is_told and not word.startswith("-") and not _is_harmless(word):
            made.append(MASK)
        elif before in ("-u", "--user") and ":" in word:
            made.append(f"{word.partition(':')[0]}:{MASK}")  # curl(1), wget(1)
        else:
            made.append(masked(word))
        before = word
    return made


def masked_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return texts by name with their secrets masked; numbers stay."""
    return {
        masked(name): _masked_field(name, value) if isinstance(value, str) else value
        for name, value in fields.items()
    }


def _masked_field(name: str, value: str) -> str:
    if value and is_secret_name(name) and not _is_harmless(value):
        return MASK
    return masked(value)

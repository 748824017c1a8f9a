"""Elements that escape what is put into them. Pure.

Only text that this module made is taken for markup: a foreign name cannot become some by being
forgotten.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence

from hpcwatch.base.clean import clean
from hpcwatch.views.report.tables import Table

_SHORT = 15
"""A table of so few rows stays on one page of paper."""


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def escaped(text: str) -> Markup:
    """Make text stand for itself, in content and in attributes; markup stays as it is."""
    return text if isinstance(text, Markup) else Markup(html.escape(clean(text)))


def tag(name: str, *content: str, **attributes: str | bool) -> Markup:
    """Return an element. ``class_`` is the attribute class, ``aria_label`` is aria-label."""
    made = []
    for key, value in attributes.items():
        word = key.rstrip("_").replace("_", "-")
        if value is True:
            made.append(f" {word}")
        elif value is not False:
            made.append(f' {word}="{escaped(value)}"')
    return Markup(f"<{name}{''.join(made)}>{joined(content)}</{name}>")


def joined(parts: Iterable[str]) -> Markup:
    """Put parts one after the other."""
    return Markup("".join(escaped(part) for part in parts))


def section(heading: str, *content: str, name: str = "") -> Markup:
    """Return a section with its heading; nothing if it has no content."""
    if not any(content):
        return Markup()
    attributes = {"id": name} if name else {}
    return tag("section", tag("h2", heading), *content, **attributes)


def table(of: Table, caption: str = "") -> Markup:
    """Return a table that scrolls by itself where the page is narrow; nothing without rows."""
    if not of.rows:
        return Markup()
    head = tag("tr", *(_cell("th", index, word, of, "col") for index, word in enumerate(of.head)))
    body = [
        tag(
            "tr",
            *(
                _cell("th" if index == 0 else "td", index, word, of, "row")
                for index, word in enumerate(row)
            ),
        )
        for row in of.rows
    ]
    label = caption or of.head[0] or "figures"
    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption) if caption else Markup(),
            tag("thead", head),
            tag("tbody", *body),
        ),
        class_="wide short" if len(of.rows) <= _SHORT else "wide",
        tabindex="0",
        role="region",
        aria_label=label,
    )


def _cell(name: str, index: int, word: str, of: Table, scope: str) -> Markup:
    kind = {"class_": "number"} if index >= of.numbers_from else {}
    if name == "th" and not word:  # an empty heading would be read out as one
        return tag("td", **kind)
    return tag(name, word, **kind, **({"scope": scope} if name == "th" else {}))


def policy(scripts: Sequence[str], styles: Sequence[str]) -> Markup:
    """Return the content security policy of a page: our own texts by hash, nothing else."""
    rules = (
        "default-src 'none'",
        f"script-src {' '.join(map(_hash, scripts))}",
        f"style-src {' '.join(map(_hash, styles))}",
        "base-uri 'none'",
        "form-action 'none'",
    )
    content = "; ".join(rules)
    return Markup(f'<meta http-equiv="Content-Security-Policy" content="{content}">\n')


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"

"""A small parser of Prometheus's text format, for the lines of given families only.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4). The text
is foreign: a line that is not understood, too long, or without a finite value is left out.
"""

from .typed import Dict, Iterator, NamedTuple, Optional, Sequence, Tuple

MOST_LINE_BYTES = 8192
MOST_LINES = 4096  # of one family
_MOST_LABELS = 64
_MOST_VALUE = 1e18  # DCGM writes numbers near 2**63 for unknown values
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


class Row(NamedTuple):
    """One sample line."""

    name: bytes
    labels: Dict[str, str]
    value: float
    """Finite and not negative, which holds for all families that are read."""


def rows(body: bytes, names: Sequence[bytes]) -> Iterator[Row]:
    """Yield the lines of the families with these names, family by family."""
    text = b"\n" + body
    for name in names:
        for line in _lines(text, name):
            parsed = parse(line)
            if parsed is not None:
                yield Row(name, *parsed)


def _lines(text: bytes, name: bytes) -> Iterator[bytes]:
    """Yield the text after the family's name, for each of its lines."""
    start, wanted = 0, b"\n" + name
    for _ in range(MOST_LINES):
        start = text.find(wanted, start)
        if start < 0:
            return
        start += len(wanted)
        if text[start : start + 1] not in (b"{", b" ", b"\t"):
            continue  # another family, whose name begins with this one
        end = text.find(b"\n", start, start + MOST_LINE_BYTES)
        if end < 0 and len(text) - start > MOST_LINE_BYTES:
            continue
        yield text[start : end if end >= 0 else len(text)]


def parse(line: bytes) -> Optional[Tuple[Dict[str, str], float]]:
    """Return the labels and the value of a line without its name; None if it has no value."""
    try:
        rest = line.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None
    labels: Dict[str, str] = {}
    if rest.startswith("{"):
        found = _labels(rest)
        if found is None:
            return None
        labels, rest = found
    words = rest.split()  # a value, and perhaps a time
    value = _number(words[0]) if words else None
    return None if value is None or len(words) > 2 else (labels, value)


def _number(word: str) -> Optional[float]:
    """Return a finite number of at least 0; None for NaN, Inf and all else."""
    if "_" in word:  # Python would accept it in a number
        return None
    try:
        value = float(word)
    except ValueError:
        return None
    return value if 0.0 <= value < _MOST_VALUE else None


def _labels(text: str) -> Optional[Tuple[Dict[str, str], str]]:
    """Return the labels of ``{name="value",...} rest``, and the rest."""
    labels: Dict[str, str] = {}
    at = 1
    for _ in range(_MOST_LABELS + 1):
        while text[at : at + 1] in (" ", ","):
            at += 1
        if text[at : at + 1] == "}":
            return labels, text[at + 1 :]
        equals = text.find('="', at)
        if equals < 0:
            return None
        name = text[at:equals].strip()
        found = _value(text, equals + 2)
        if found is None or not name.isidentifier():
            return None
        labels[name], at = found
    return None


def _value(text: str, at: int) -> Optional[Tuple[str, int]]:
    """Return the label's value that begins at ``at``, and the place after its closing quote."""
    made = ""
    while True:
        end, escape = text.find('"', at), text.find("\\", at)
        if end < 0:
            return None
        if escape < 0 or end < escape:
            return made + text[at:end], end + 1
        meant = _ESCAPES.get(text[escape + 1 : escape + 2])
        if meant is None:
            return None
        made += text[at:escape] + meant
        at = escape + 2

"""What a terminal sends for a key, as the key's name. Knows nothing of the terminal itself."""

from __future__ import annotations

import codecs
import re

_ESC = "\x1b"

_CONTROLS = {
    "\r": "enter",
    "\n": "enter",
    "\t": "tab",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x0c": "redraw",
    "\x15": "clear",
}
_SEQUENCES = {
    "[A": "up",
    "[B": "down",
    "[C": "right",
    "[D": "left",
    "[1;2C": "shift-right",
    "[1;2D": "shift-left",
    "[c": "shift-right",
    "[d": "shift-left",
    "[H": "home",
    "[F": "end",
    "[Z": "shift-tab",
    "[1~": "home",
    "[7~": "home",
    "[4~": "end",
    "[8~": "end",
    "[5~": "pgup",
    "[6~": "pgdn",
    "OA": "up",
    "OB": "down",
    "OC": "right",
    "OD": "left",
    "OH": "home",
    "OF": "end",
    "OM": "enter",
    **{name: f"f{number}" for number, name in enumerate(("OP", "OQ", "OR", "OS"), 1)},
    **{f"[{code}~": f"f{number}" for number, code in enumerate((11, 12, 13, 14, 15), 1)},
    **{f"[{code}~": f"f{number}" for number, code in enumerate((17, 18, 19, 20, 21), 6)},
    **{f"[[{letter}": f"f{number}" for number, letter in enumerate("ABCDE", 1)},
}
"""xterm's, rxvt's and the Linux console's, with the cursor keys in either mode."""

_MOUSE = re.compile(r"\[<([0-9]{1,3});([0-9]{1,4});([0-9]{1,4})M", re.ASCII)
"""A button that is pressed, in xterm's SGR form: which, column and row from 1."""
_WHEEL = {"64": "wheel-up", "65": "wheel-down"}

_STRINGS = "]P^_X"  # what begins a string, which BEL or ESC \ ends
_MOST = 256  # no sequence is longer: more input is not keys


class Decoder:
    """Turns bytes into keys. A sequence may come in any number of pieces.

    A key is a printable character, or a word: ``up``, ``down``, ``left``, ``right``,
    ``shift-left``, ``shift-right``, ``pgup``, ``pgdn``, ``home``, ``end``, ``enter``, ``esc``,
    ``tab``, ``shift-tab``, ``backspace``, ``clear`` (Ctrl-U), ``redraw`` (Ctrl-L), ``f1`` to
    ``f10``, ``wheel-up``, ``wheel-down``, ``click 12 5`` (column and row, from 1). All else is
    left out.
    """

    def __init__(self) -> None:
        self._text = codecs.getincrementaldecoder("utf-8")("ignore")
        self._pending = ""

    @property
    def is_pending(self) -> bool:
        """True in the middle of a sequence, or after an Esc that may begin one."""
        return bool(self._pending)

    def feed(self, data: bytes) -> list[str]:
        """Return the keys that are complete."""
        keys: list[str] = []
        for character in self._text.decode(data):
            self._take(character, keys)
        return keys

    def flush(self) -> list[str]:
        """Nothing came for a while: an Esc that was alone is the key, half a sequence is none."""
        keys = ["esc"] if self._pending == _ESC else []
        self._pending = ""
        return keys

    def _take(self, character: str, keys: list[str]) -> None:
        if not self._pending:
            if character == _ESC:
                self._pending = character
            elif character in _CONTROLS:
                keys.append(_CONTROLS[character])
            elif character.isprintable():
                keys.append(character)
            return
        if self._pending == _ESC and character not in "[O" + _STRINGS:
            # A person's Esc, and the next key close behind it.
            keys.append("esc")
            self._pending = ""
            self._take(character, keys)
            return
        self._pending += character
        if self._is_complete():
            name = _SEQUENCES.get(self._pending[1:]) or _mouse(self._pending[1:])
            self._pending = ""
            if name is not None:
                keys.append(name)

    def _is_complete(self) -> bool:
        kind, last = self._pending[1], self._pending[-1]
        if len(self._pending) > _MOST:
            return True
        if kind in _STRINGS:
            return last == "\x07" or self._pending.endswith(_ESC + "\\")
        if len(self._pending) == 2 or self._pending == _ESC + "[[":
            return False
        if self._pending.startswith(_ESC + "[M"):  # the old form of the mouse, which we ignore
            return len(self._pending) == 6
        return kind == "O" or not " " <= last <= "?"


def _mouse(sequence: str) -> str | None:
    """Return what the mouse did; None if that is not a click of the first button or the wheel."""
    found = _MOUSE.fullmatch(sequence)
    if found is None:
        return None
    button, column, row = found.groups()
    return f"click {int(column)} {int(row)}" if button == "0" else _WHEEL.get(button)

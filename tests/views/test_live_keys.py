"""What the terminal sends, as keys: in any pieces, and whatever else comes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcwatch.views.live.keys import Decoder

KNOWN = {
    b"\x1b[A": "up",
    b"\x1bOB": "down",
    b"\x1b[5~": "pgup",
    b"\x1b[6~": "pgdn",
    b"\x1b[H": "home",
    b"\x1b[4~": "end",
    b"\x1b[Z": "shift-tab",
    b"\t": "tab",
    b"\n": "enter",
    b"\r": "enter",
    b"\x7f": "backspace",
    b"\x15": "clear",
    b"\x0c": "redraw",
    b"\x1bOP": "f1",
    b"\x1b[11~": "f1",
    b"\x1b[[A": "f1",
    b"\x1bOR": "f3",
    b"\x1b[21~": "f10",
    b"\x1b[<64;10;7M": "wheel-up",
    b"\x1b[<65;10;7M": "wheel-down",
    b"\x1b[<0;120;7M": "click 120 7",
    b"q": "q",
    "é".encode(): "é",
    "節".encode(): "節",
}
IGNORED = (
    b"\x1b[1;5C",
    b"\x1b[200~",
    b"\x1b[?1;2c",
    b"\x1b[<0;120;7m",
    b"\x1b[<2;120;7M",
    b"\x1b[<0;99999;7M",
    b"\x1b[M !!",
    b"\x1b]11;rgb:0000/0000/0000\x07",
    b"\x1bP1$r0m\x1b\\",
    b"\x00",
    b"\xff",
)


@pytest.mark.parametrize("sent", KNOWN)
def test_a_key_has_a_name(sent: bytes) -> None:
    decoder = Decoder()
    assert decoder.feed(sent) == [KNOWN[sent]]
    assert not decoder.is_pending


@pytest.mark.parametrize("sent", IGNORED)
def test_what_is_no_key_of_ours_is_left_out(sent: bytes) -> None:
    decoder = Decoder()
    assert decoder.feed(sent + b"j") == ["j"]


def test_an_escape_alone_is_a_key_after_a_while() -> None:
    decoder = Decoder()
    assert decoder.feed(b"\x1b") == []
    assert decoder.is_pending
    assert decoder.flush() == ["esc"]
    assert not decoder.is_pending
    assert decoder.feed(b"[A") == ["[", "A"]


def test_an_escape_and_a_key_close_behind_it_are_two() -> None:
    assert Decoder().feed(b"\x1bq") == ["esc", "q"]
    assert Decoder().feed(b"\x1b\x1b[A") == ["esc", "up"]


def test_half_a_sequence_is_no_key() -> None:
    decoder = Decoder()
    assert decoder.feed(b"\x1b[1;") == []
    assert decoder.flush() == []
    assert decoder.feed(b"x") == ["x"]


def test_an_endless_sequence_ends() -> None:
    decoder = Decoder()
    keys = decoder.feed(b"\x1b]" + b"0" * 1000 + b"q")
    assert keys[-1:] == ["q"]
    assert not decoder.is_pending


pieces = st.lists(st.sampled_from([*KNOWN, *IGNORED[:6]]), max_size=12)


@given(pieces, st.lists(st.integers(0, 60), max_size=8))
def test_cut_anywhere_the_keys_are_the_same(sent: list[bytes], cuts: list[int]) -> None:
    data = b"".join(sent)
    wanted = [KNOWN[piece] for piece in sent if piece in KNOWN]
    decoder = Decoder()
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    found = []
    for first, last in itertools.pairwise(bounds):
        found += decoder.feed(data[first:last])
    assert found == wanted


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(data: bytes) -> None:
    decoder = Decoder()
    keys = decoder.feed(data) + decoder.flush()
    assert all(key.isprintable() for key in keys)
    assert decoder.feed(b"q") in (["q"], ["\ufffd", "q"])

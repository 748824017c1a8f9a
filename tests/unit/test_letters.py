"""Letters where a stream knows few: each sign of ours has one like it, of the same width."""

from __future__ import annotations

import re

import pytest
from program import ROOT, Hpcwatch

from hpcwatch.base import output

output.register()
_OURS = re.compile("[^\x00-\x7f]")


def shown(text: str, encoding: str = "ascii") -> str:
    return text.encode(encoding, output.NEAREST).decode(encoding)


def test_signs_that_mean_something_else_stay_apart() -> None:
    assert shown("▲ ● · 3 × 20 ≥ 1.7 … →") == "! * - 3 x 20 > 1.7 ~ >"
    assert len(set(shown("▁▂▃▄▅▆▇█"))) == 8


def test_a_letter_without_a_replacement_is_a_question_mark() -> None:
    assert shown("名 é \udcff") == "? ? ?"
    assert shown("é × 名", "latin-1") == "é × ?"


@pytest.mark.parametrize("room", ["views", "cli", "monitor"])
def test_every_sign_that_views_draw_has_one_like_it(room: str) -> None:
    for path in (ROOT / "hpcwatch" / room).rglob("*.py"):
        for sign in _OURS.findall(path.read_text("utf-8")):
            assert sign == "©" or len(shown(sign)) == 1, (path, sign)
            assert sign == "©" or shown(sign) != "?", (path, sign)


def test_a_picture_reads_without_them(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("demo", "--once", PYTHONIOENCODING="ascii")
    assert (ended.code, ended.err) == (0, "")
    assert "requested 1 node x 20 cores, 2 GPUs - peak 2.35 GiB" in ended.out
    assert " ! qb002: GPU 1 idle 68 min" in ended.out
    assert "?" not in ended.out

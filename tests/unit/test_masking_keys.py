"""What looks like a key is no variable to record: held against the pattern that it once was."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from hpcwatch.recording.masking import looks_like_key

PATTERN = (
    r"(?s)(?:(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9+_=-]{24,}"
    r"|(?=.*[0-9])(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9+_=.-]{24,}"
    r"|.*://[^/@\s]*:[^/@\s]*@.*)"
)
PIECES = st.sampled_from(
    ["a", "Z", "7", "+", "_", "=", "-", ".", "/", ":", "@", "://", " ", "\n", "é", "x" * 12, "1.2A"]
)


@given(st.lists(PIECES, max_size=40).map("".join))
@example("http://user:word@host")
@example("a" * 23 + "1")
@example("a" * 22 + "1")
@example("aB.1" * 6)
@example("://a:b/c@d://e:@")
def test_a_value_looks_like_a_key_where_the_pattern_says_so(value: str) -> None:
    assert looks_like_key(value) == (re.fullmatch(PATTERN, value) is not None)

"""hpcwatch that is forked does what hpcwatch does that is started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from forked import Call, Server
from program import Hpcwatch

TELL = 'echo out; echo err >&2; echo "$A $(pwd) $#"; exit 3'
"""What a program sees: its variables, its folder, its arguments, its streams."""


@pytest.mark.parametrize(
    "words",
    [
        ("run", "-q", "--", "sh", "-c", TELL, "sh", "a b", "ü"),
        ("run", "-q", "--", "sh", "-c", "kill -TERM $$"),
        ("runs", "--format", "json"),
        ("report", "nosuchrun"),
        ("jobs", "--help"),
        ("config",),
        ("nosuchcommand",),
    ],
)
def test_a_forked_command_ends_and_says_what_a_started_one_does(
    tmp_path: Path, server: Server, words: tuple[str, ...]
) -> None:
    forked, started = (Hpcwatch(tmp_path, one)(*words, A="ü") for one in (server, None))
    assert forked == started


def test_what_depends_on_the_start_of_python_is_started(tmp_path: Path, server: Server) -> None:
    call = Call(("runs",), Hpcwatch(tmp_path).environment, str(tmp_path))
    assert server.takes(call)
    for name in ("LD_LIBRARY_PATH", "PYTHONPATH", "LC_ALL"):
        assert not server.takes(call._replace(environment={**call.environment, name: "/x"}))
    umask = os.umask(0o137)
    try:
        assert not server.takes(call)
    finally:
        os.umask(umask)
    assert server.takes(call)

"""Answers questions from the host: ``python -m vm.inside.agent LINE``.

A question is a line of JSON that names a function of ``vm.inside`` and its arguments; the answer is
a line with what it returned, or why it failed. Each runs in a process of its own.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import sys
import time
import traceback
import tty
from collections.abc import Iterator
from typing import Any

from vm.inside import groups


def main() -> None:
    """Serve until the machine is switched off."""
    line = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
    tty.setraw(line)
    _send(line, {"value": "ready"})
    for words in _questions(line):
        _send(line, _answer(words["question"], words["arguments"], words["timeout_s"]))


def _questions(line: int) -> Iterator[Any]:
    received = b""
    while True:
        received += os.read(line, 4096)
        while b"\n" in received:
            question, _, received = received.partition(b"\n")
            yield json.loads(question)


def _send(line: int, answer: dict[str, Any]) -> None:
    data = json.dumps(answer).encode() + b"\n"
    while data:
        data = data[os.write(line, data) :]


def _answer(question: str, arguments: list[Any], timeout_s: float) -> dict[str, Any]:
    """Run one function in a child, which is killed with all its kin when its time is up."""
    ends, begins = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ends)
        os.setsid()
        _run(question, arguments, begins)
    os.close(begins)
    answer = _read_all(ends, time.monotonic() + timeout_s)
    os.close(ends)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    try:
        groups.clear()
    except (OSError, TimeoutError) as error:
        return {"error": f"cannot tidy up: {error}"}
    if answer is None:
        return {"error": f"took longer than {timeout_s:g} s"}
    result: dict[str, Any] = json.loads(answer or b'{"error": "ended without an answer"}')
    return result


def _read_all(pipe: int, deadline_s: float) -> bytes | None:
    """Read a pipe to its end; None if that does not come in time."""
    data = b""
    while True:
        readable, _, _ = select.select([pipe], [], [], max(deadline_s - time.monotonic(), 0.0))
        if not readable:
            return None
        chunk = os.read(pipe, 65536)
        if not chunk:
            return data
        data += chunk


def _run(question: str, arguments: list[Any], answers: int) -> None:
    """Call the function, write its answer down, and end the process."""
    try:
        module, _, function = question.rpartition(".")
        value = getattr(importlib.import_module(f"vm.inside.{module}"), function)(*arguments)
        answer = {"value": value}
    except BaseException:  # whatever it is, the test on the host shall show it
        answer = {"error": traceback.format_exc()}
    data = json.dumps(answer).encode()
    while data:
        data = data[os.write(answers, data) :]
    os._exit(0)


if __name__ == "__main__":
    main()

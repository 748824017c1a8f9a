"""What hpcwatch says of jobs, asked on a host of the cluster: a question a line, an answer a line.

The first line says how: ``{"scheduler": "torque", "every_s": 0}``, null to detect. A question is a
list of an Inquiry's or scheduler's method and its words: ``["job", "5"]``, ``["cancel", "5"]``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.client import Asker, inquiry
from hpcwatch.cluster.schedulers import Job
from hpcwatch.cluster.schedulers.inquiry import Inquiry, Reply
from hpcwatch.probe.encode import to_plain


def plain(value: Any) -> Any:
    """Records as what JSON knows."""
    if isinstance(value, Job):
        return to_plain(value)
    if hasattr(value, "_asdict"):
        return value._asdict()
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def answer(asked: Inquiry, ask: Asker, question: list[Any]) -> dict[str, Any]:
    """Put one question; what went wrong is an answer too."""
    name, *words = question
    try:
        if name == "scheduler":
            return {"value": asked.scheduler.name}
        if name in ("job", "jobs", "watched"):
            reply: Reply = getattr(asked, name)(*words)
            return {**reply._asdict(), "value": [to_plain(job) for job in reply.value]}
        query = getattr(asked.scheduler, name)(*words)
        return {"value": plain(ask(query).value) if query is not None else None}
    except HpcwatchError as error:
        kind = type(error).__name__
        return {"error": kind, "message": error.message, "hint": error.hint}


def main() -> None:
    """Answer until the input ends."""
    how = json.loads(sys.stdin.readline())
    ask = Asker(every_s=how["every_s"])
    try:
        asked = inquiry(how["scheduler"], ask)
    except HpcwatchError as error:
        print(json.dumps({"error": type(error).__name__, "message": error.message}), flush=True)
        return
    for line in sys.stdin:
        print(json.dumps(answer(asked, ask, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()

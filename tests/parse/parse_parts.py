"""What the parsers' tests share: recorded answers, and which parser reads which of them."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.schedulers import moab, pbspro, qshow, slurm, torque
from hpcwatch.cluster.schedulers.query import Answer, Query, done
from hpcwatch.cluster.schedulers.slurm_accounting import jobs_from_sacct, usage_from_sstat
from hpcwatch.cluster.schedulers.slurm_list import jobs_from_list
from hpcwatch.cluster.schedulers.slurm_text import jobs_from_scontrol
from hpcwatch.cluster.schedulers.text import when

DATA = Path(__file__).parent / "data"
AT_S = 1795437827.0
"""Mon Nov 23 12:43:47 2026, when Maui's answers were recorded."""

Parse = Callable[[Answer], Any]


def _said(command: str) -> Parse:
    return lambda answer: done(command, answer)


def _of(query: Query[Any]) -> Parse:
    return query.parse


PARSERS: dict[str, list[tuple[str, Parse]]] = {
    "torque": [
        ("qstat-f-array-parent-without-t*", torque.COMMANDS.job("6[].qb3").if_odd.parse),  # type: ignore[union-attr]
        ("qstat-f*", torque.jobs_from_text),
        ("qstat-x*", torque.jobs_from_xml),
        ("qstat*", torque.jobs_from_text),
        ("qdel*", _said("qdel")),
    ],
    "pbspro": [
        ("qstat*json*", pbspro.jobs_from_json),
        ("qstat*", pbspro.jobs_from_text),
        ("qdel*", _said("qdel")),
    ],
    "slurm": [
        ("scontrol-show-job-d-1_newline-in-name*", _of(slurm.COMMANDS.job("1"))),
        ("scontrol-show-job*", jobs_from_scontrol),
        ("squeue-o-list*", jobs_from_list),
        ("squeue*", _of(slurm.COMMANDS.jobs("alice"))),
        ("sacct*", jobs_from_sacct),
        ("sstat*", usage_from_sstat),
        ("scancel*", _of(slurm.COMMANDS.cancel("1"))),
    ],
    "wrapper": [("qstat*", torque.jobs_from_text), ("qdel*", _said("qdel"))],
    "moab": [
        ("*checkjob*", moab.jobs_from_checkjob),
        ("*showstart*", moab.estimate_from_showstart),
        ("qshow*", qshow.parse),
    ],
}
ALL: list[Parse] = [parse for pairs in PARSERS.values() for _, parse in pairs]


class Recorded(NamedTuple):
    """One recorded answer and its parser."""

    path: Path
    answer: Answer
    parse: Parse

    @property
    def expected(self) -> Any:
        """What the parser is to find, as checked by a person."""
        return json.loads(self.path.with_suffix(".expected.json").read_text())


def recorded() -> Iterator[Recorded]:
    """All recorded answers with a parser of their own."""
    for scheduler, pairs in PARSERS.items():
        for path in sorted((DATA / scheduler).glob("*.txt")):
            parse = next(p for pattern, p in pairs if fnmatch.fnmatch(path.stem, pattern))
            yield Recorded(path, answer_of(path), parse)


def answer_of(path: Path) -> Answer:
    """A recorded answer: NAME.txt, NAME.err, NAME.rc; the latter two if there was anything."""
    error, code = path.with_suffix(".err"), path.with_suffix(".rc")
    return Answer(
        path.read_bytes(),
        error.read_bytes() if error.exists() else b"",
        int(code.read_text()) if code.exists() else 0,
        AT_S,
        re.split("[-_]", path.stem)[0],
    )


def others() -> list[Path]:
    """Recorded output that none of our commands asks for."""
    return sorted((DATA / "other").rglob("*.txt"))


def outcome(parse: Parse, answer: Answer) -> Any:
    """What a parser finds, as JSON knows it; its complaint if it has one."""
    try:
        return plain(parse(answer))
    except HpcwatchError as error:
        return {"error": type(error).__name__, "message": error.message}


def plain(value: Any) -> Any:
    """Records as plain data, without what is unknown."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {
            k: plain(v)
            for k, v in value._asdict().items()
            if (v or (v == 0 and v is not False)) and k != "requested"  # test_parse_requests.py
        }
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


@contextmanager
def utc() -> Iterator[None]:
    """Local time is UTC, as it was where the answers were recorded."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    when.cache_clear()
    yield
    del os.environ["TZ"]
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()
    when.cache_clear()

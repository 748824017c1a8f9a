"""Nothing is read that is neither shown, judged, nor used to make sense of what is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hpcwatch.probe import schema
from hpcwatch.recording import metrics

ROOT = Path(schema.__file__).parents[1]


def test_every_reading_is_used() -> None:
    places = [ROOT / "recording" / "job_memory.py", *ROOT.glob("*/**/*.py")]
    own = (ROOT / "probe", ROOT / "recording", ROOT / "launch")
    used = places[:1] + [one for one in places[1:] if not any(name in one.parents for name in own)]
    words = {word for one in used for word in re.findall(r"\w+", one.read_text())}
    words |= {field for metric in metrics.TABLE for field in metric.fields}
    records: list[Any] = [
        schema.Node,
        schema.Cgroup,
        schema.JobUse,
        schema.Process,
        schema.Stranger,
    ]
    records += [schema.GpuProcess, schema.Mig, schema.Gpu, schema.Window, schema.Sample]
    fields = {f"{record.__name__}.{name}" for record in records for name in record._fields}
    assert {one for one in fields if one.partition(".")[2] not in words} == set()

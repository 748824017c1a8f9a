"""Reads the devices until they answer or fail, and prints samples: what test_gpu.py looks at.

``read_gpus.py COUNT EVERY_S DEADLINE_S`` prints COUNT lines of JSON: the seconds one reading took,
the devices or null, and the errors.
"""

import json
import sys
import time

from hpcwatch.probe import gpu
from hpcwatch.probe.schema import to_plain


def main(count: int, every_s: float, deadline_s: float) -> None:
    gpu._DEADLINE_S = deadline_s
    reader = gpu.GpuReader()
    deadline = time.monotonic() + 10
    errors: dict[str, str] = {}
    while reader.read(errors) is None and not errors and time.monotonic() < deadline:
        time.sleep(0.01)
    for _ in range(count):
        time.sleep(every_s)
        errors = {}
        before_s = time.perf_counter()
        gpus = reader.read(errors)
        took_s = time.perf_counter() - before_s
        print(json.dumps([took_s, to_plain(gpus), errors]), flush=True)
    reader.close()


main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))

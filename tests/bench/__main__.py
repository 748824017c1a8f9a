"""Runs all benchmarks, one after the other: `python -m tests.bench [--quick] [--json FILE]`.

Each prints its tables in markdown on standard output; the raw numbers of all go into one file.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

BENCHMARKS = (
    "startup",
    "overhead",
    "accuracy",
    "behaviour",
    "parsing",
    "history",
    "probe_cost",
    "redraw",
    "jobs_watch",
    "first_picture",
    "many_nodes",
    "report_size",
    "export_cost",
    "ssh_hosts",
    "sweep",
    "sweep_array",
    "advice",
)


def main() -> None:
    # Started as a module, its siblings are not on the path yet, as they are for each benchmark.
    sys.path.insert(0, str(Path(__file__).parent))
    from tables import options, save

    asked = options(__doc__)
    flags = ["--quick"] * asked.quick
    for name in asked.only or ():
        flags += ["--only", name]
    results: dict[str, object] = {}
    failed = []
    for name in BENCHMARKS:
        script = Path(__file__).with_name(f"{name}.py")
        with tempfile.NamedTemporaryFile(suffix=".json") as raw:
            command = [sys.executable, str(script), *flags, "--json", raw.name]
            if subprocess.run(command, check=False).returncode:
                failed.append(name)
            else:
                results |= json.loads(Path(raw.name).read_text())
        print(flush=True)
    save(asked.json, results)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()

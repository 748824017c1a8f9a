"""What `hpcwatch jobs` costs when a command prints 100 MB: `python tests/bench/endless.py`.

Prints seconds and the largest resident memory. Limits: 5 s and 300 MB.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_QSTAT = """#!/bin/sh
case "$*" in
*--version*) echo pbs_version = 23.06.06;;
*json*) echo "qstat: invalid option -- F" >&2; exit 2;;
*) {} ;;
esac
"""
_ANSWERS = {
    "100 MB of 'Job Id:' lines": "yes 'Job Id: 1.qb3' | head -c 100000000",
    "40 MB of 'Job Id:' lines": "yes 'Job Id: 1.qb3' | head -c 40000000",
    "90,000 jobs of nobody": "yes 'Job Id: 1.qb3' | head -n 90000",
    "endless bytes": "cat /dev/zero",
}
_MOST_S, _MOST_BYTES = 5.0, 300e6


def main() -> None:
    """Run them, one after the other."""
    print("| qstat prints | s | MB | exit code | last line |\n|---|---|---|---|---|")
    failed = False
    for name, text in _ANSWERS.items():
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder, "qstat")
            script.write_text(_QSTAT.format(text))
            script.chmod(0o755)
            path = f"{folder}:/usr/bin:/bin"
            begin = time.monotonic()
            ended = subprocess.run(
                [sys.executable, "-m", "hpcwatch", "jobs", "--user", "alice"],
                env={**os.environ, "PATH": path, "HOME": folder, "HPCWATCH_HOME": folder},
                capture_output=True,
                text=True,
                check=False,
            )
            took_s = time.monotonic() - begin
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        said = (ended.stdout + ended.stderr).strip().splitlines()[-1]
        print(f"| {name} | {took_s:.2f} | {memory / 1e6:.0f} | {ended.returncode} | {said} |")
        failed = failed or took_s > _MOST_S or memory > _MOST_BYTES
    sys.exit(failed)


if __name__ == "__main__":
    main()

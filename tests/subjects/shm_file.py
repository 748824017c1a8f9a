"""Writes N megabytes to a file in /dev/shm, holds it for S seconds and removes it.

Truth `memory_bytes`: the file, which is memory though no process has it mapped, plus the peak of
this process itself.
"""

import os
import signal
import sys
import tempfile
import time

import _truth


def main() -> None:
    parser = _truth.parser(__doc__)
    parser.add_argument("megabytes", type=int)
    parser.add_argument("seconds", type=float)
    arguments = parser.parse_args()
    # Ended early, it must not leave memory behind: turn the signal into a way out of the block.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    chunk = bytes(_truth.MB)
    with tempfile.NamedTemporaryFile(dir="/dev/shm", prefix="hpcwatch-subject-") as file:
        for _ in range(arguments.megabytes):
            file.write(chunk)
        file.flush()
        held = os.fstat(file.fileno()).st_blocks * 512
        time.sleep(arguments.seconds)
    _truth.finish(arguments.truth, memory_bytes=held + _truth.own_peak_bytes())


if __name__ == "__main__":
    main()

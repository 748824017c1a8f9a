"""Fills N megabytes, then forks children that share them copy on write, and holds for S seconds.

Truth `memory_bytes`: the pages of all these processes, each counted once (see
`_truth.footprint_bytes`): the N megabytes exist once, though every process has them resident.
"""

import os
import time

import _truth


def main() -> None:
    parser = _truth.parser(__doc__)
    parser.add_argument("megabytes", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--forks", type=int, default=4)
    arguments = parser.parse_args()
    memory = _truth.private_memory(arguments.megabytes)
    crew = _truth.Crew(arguments.forks, lambda: None)
    time.sleep(arguments.seconds)
    memory_bytes = _truth.footprint_bytes([os.getpid(), *crew.pids])
    crew.let_go()
    memory.close()
    _truth.finish(arguments.truth, memory_bytes=memory_bytes)


if __name__ == "__main__":
    main()

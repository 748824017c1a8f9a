"""Several processes that hold N megabytes each at the same time, for S seconds.

Truth `memory_bytes`: the pages of all of them and of their parent, each counted once (see
`_truth.footprint_bytes`). The largest single process is a fraction of it.
"""

import os
import time

import _truth


def main() -> None:
    parser = _truth.parser(__doc__)
    parser.add_argument("megabytes", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--count", type=int, default=4)
    arguments = parser.parse_args()
    crew = _truth.Crew(arguments.count, lambda: _truth.private_memory(arguments.megabytes))
    time.sleep(arguments.seconds)
    memory_bytes = _truth.footprint_bytes([os.getpid(), *crew.pids])
    crew.let_go()
    _truth.finish(arguments.truth, memory_bytes=memory_bytes)


if __name__ == "__main__":
    main()

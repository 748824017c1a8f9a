"""Maps N megabytes of shared anonymous memory that every forked child touches; holds for S seconds.

Truth `memory_bytes`: the pages of all these processes, each counted once (see
`_truth.footprint_bytes`): the N megabytes exist once, though every process has them resident.
Touched slowly, each child's share grows while the parent's shrinks: whoever adds up shares of
different moments counts pages twice.
"""

import mmap
import os
import time

import _truth


def main() -> None:
    parser = _truth.parser(__doc__)
    parser.add_argument("megabytes", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--forks", type=int, default=4)
    parser.add_argument(
        "--over", type=float, default=0.0, metavar="S", help="seconds the children touch it over"
    )
    arguments = parser.parse_args()
    memory = mmap.mmap(-1, arguments.megabytes * _truth.MB)  # shared is what mmap does by default
    _truth.touch(memory)
    crew = _truth.Crew(arguments.forks, lambda: _truth.touch(memory, arguments.over))
    time.sleep(arguments.seconds)
    memory_bytes = _truth.footprint_bytes([os.getpid(), *crew.pids])
    crew.let_go()
    memory.close()
    _truth.finish(arguments.truth, memory_bytes=memory_bytes)


if __name__ == "__main__":
    main()

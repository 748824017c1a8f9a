"""Runs N children one after the other that burn some CPU, and never waits for any of them.

Truth `cpu_s`: user and system time of this process, and what each child says of itself at its end.
Until this process ends they are zombies; then the kernel gives what they used to whoever adopts
and waits for them.
"""

import os
import struct
import time

import _truth


def main() -> None:
    parser = _truth.parser(__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--ms", type=float, default=20.0, help="CPU milliseconds of each child")
    arguments = parser.parse_args()
    source, target = os.pipe()
    used_s = 0.0
    for _ in range(arguments.count):
        if os.fork() == 0:
            while time.process_time() < arguments.ms / 1000:
                pass
            os.write(target, struct.pack("d", time.process_time()))
            os._exit(0)
        used_s += struct.unpack("d", os.read(source, 8))[0]
    _truth.finish(arguments.truth, cpu_s=_truth.cpu_s() + used_s)


if __name__ == "__main__":
    main()

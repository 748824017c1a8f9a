"""Writes down as JSON what the program was given: terminals, groups, signals, limits, descriptors.

The same with and without a monitor, or the monitor disturbs it. The signal sets are the kernel's
(/proc/self/status). The interpreter itself ignores SIGPIPE and SIGXFSZ, so those two say nothing
here; `grep Sig /proc/self/status` as the program tells.
"""

from __future__ import annotations

import json
import os
import resource
import sys


def foreground_group() -> int | None:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return None
    try:
        return os.tcgetpgrp(terminal)
    finally:
        os.close(terminal)


def signal_sets() -> str:
    with open("/proc/self/status", encoding="utf-8", errors="replace") as status:
        return "".join(line for line in status if line.startswith(("SigBlk", "SigIgn")))


def descriptors() -> dict[int, str]:
    result = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            result[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # the one that listed the directory
            continue
    return result


def main() -> None:
    mask = os.umask(0)
    os.umask(mask)
    seen = {
        "ttys": [os.isatty(number) for number in (0, 1, 2)],
        "pid": os.getpid(),
        "group": os.getpgrp(),
        "session": os.getsid(0),
        "foreground_group": foreground_group(),
        "cwd": os.getcwd(),
        "umask": mask,
        "nice": os.nice(0),
        "signals": signal_sets(),
        "descriptors": descriptors(),
        "limits": {
            name: resource.getrlimit(getattr(resource, name))
            for name in dir(resource)
            if name.startswith("RLIMIT_")
        },
        "environment": dict(os.environ),
    }
    with open(sys.argv[1], "w", encoding="utf-8", errors="surrogateescape") as file:
        json.dump(seen, file)


if __name__ == "__main__":
    main()

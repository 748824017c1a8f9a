"""Process trees for test_procs.py and test_memory.py: ``trees.py KIND``.

Each prints a line when its processes are as they shall be, and ends when its input does.
"""

import contextlib
import mmap
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable


def burn(seconds: float) -> None:
    """Use so much CPU time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def rest() -> None:
    """Say that all is in place, and wait for the end of input."""
    print("ready", flush=True)
    sys.stdin.read()


def fork(work: Callable[[], object]) -> int:
    """Fork a child that does its work and ends at once."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def daemon() -> None:
    """A grandchild whose parent has ended, in a session of its own."""
    read_end, write_end = os.pipe()

    def middle() -> None:
        os.setsid()
        fork(inner)

    def inner() -> None:
        os.write(write_end, b"%d\n" % os.getpid())
        with contextlib.suppress(OSError):
            os.read(0, 1)

    os.waitpid(fork(middle), 0)
    print(os.read(read_end, 32).decode().strip(), flush=True)
    sys.stdin.read()


def burn_and_wait() -> None:
    """Use CPU time, say so, and end when told to."""
    burn(0.3)
    print("burned", flush=True)
    os.read(control, 1)


def ignoring() -> None:
    """Children that nobody waits for: their parent ignores SIGCHLD."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    for _ in sys.stdin:
        pid = fork(burn_and_wait)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        print("gone", flush=True)


def waiting() -> None:
    """Children that are waited for."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    print("ready", flush=True)
    for _ in sys.stdin:
        os.waitpid(fork(burn_and_wait), 0)
        print("gone", flush=True)


def many(count: int) -> None:
    """So many sleeping processes."""
    for _ in range(count):
        fork(lambda: os.read(0, 1))
    rest()


def threads(count: int) -> None:
    """So many sleeping threads beside the main one."""
    import threading

    for _ in range(count):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    rest()


def forks(count: int) -> None:
    """A parent with 64 MiB that its children share."""
    held = bytearray(os.urandom(1 << 20)) * 64
    for _ in range(count):
        fork(lambda: (held.count(b"\0"), os.read(0, 1)))
    rest()


def mapped(count: int) -> None:
    """A process that maps a file of so many MiB and reads all of it."""
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
        for _ in range(count):
            file.write(os.urandom(1 << 20))
        file.flush()
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
            sum(view[offset] for offset in range(0, len(view), 4096))
            rest()


def huge(count: int) -> None:
    """A process that holds so many huge pages of 2 MiB, and has written to all of them."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000  # MAP_HUGETLB
    with mmap.mmap(-1, count << 21, flags=flags) as pages:
        for offset in range(0, len(pages), 1 << 21):
            pages[offset] = 1
        rest()


def becomes() -> None:
    """One program, then at a word of input another one in the same process."""
    print("ready", flush=True)
    os.read(0, 16)
    os.execv("/bin/sh", ["sh", "-c", "echo ready; read word", "--second-program"])


control = int(os.environ.get("TREES_CONTROL", "0"))
kind, *numbers = sys.argv[1:]
globals()[kind](*map(int, numbers))

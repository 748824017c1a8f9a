"""The probe as a program: `python -m hpcwatch.probe`; its protocol is in spec.py.

It says that it is ready, reads one line from standard input, and writes samples until its input
ends. It leaves nothing behind.
"""

import os
import select
import signal
import sys
import time

from .spec import PROTOCOL, READY, SILENCE_S, Spec, from_header
from .typed import Optional

_NICENESS = 10
_MOST_HEADER_BYTES = 1 << 20
EXIT_FAILURE, EXIT_USAGE = 1, 2


def main(
    kind: str = "package", header: Optional[bytes] = None, silence_s: float = SILENCE_S
) -> None:
    """Serve one watcher, and end the process.

    ``header`` is the first line of input if it was read already, after saying that we are ready.
    """
    try:
        code = _serve(kind, header, silence_s)
    except Exception as error:  # a mistake of ours is one line, like any failure
        code = _complain("%s: %s" % (type(error).__name__, error), EXIT_FAILURE)
    os._exit(code)  # a GPU driver that hangs must not keep us


def _serve(kind: str, header: Optional[bytes], silence_s: float) -> int:
    output = _prepare()
    if header is None:
        version = "%d.%d.%d" % sys.version_info[:3]
        try:
            os.write(output, ("%s %d %s %s\n" % (READY, PROTOCOL, kind, version)).encode())
        except OSError:
            return 0
        header = _read_header(time.monotonic() + silence_s)
    if not header:
        return 0
    try:
        spec = from_header(header)
    except ValueError as error:
        return _complain(str(error), EXIT_USAGE)
    _watch(spec, output, silence_s)
    return 0


def _prepare() -> int:
    """Behave as a guest; return a descriptor of standard output that no library writes to."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # they end us, even if our parent ignored them
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.nice(_NICENESS)
    except OSError:
        pass
    try:
        with open("/proc/self/comm", "w") as stream:
            stream.write("hpcwatch-probe")
    except OSError:
        pass
    output = os.dup(1)
    os.dup2(2, 1)
    os.set_blocking(output, True)
    return output


def _read_header(deadline_s: float) -> bytes:
    """Return the first line; empty if input ended or none came in time."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    data = b""
    while b"\n" not in data and len(data) < _MOST_HEADER_BYTES:
        wait_s = deadline_s - time.monotonic()
        if wait_s <= 0 or not poll.poll(wait_s * 1000):
            return b""
        chunk = os.read(0, 65536)
        if not chunk:
            return b""
        data += chunk
    return data.partition(b"\n")[0]  # further input is only a sign of life


def _watch(spec: Spec, output: int, silence_s: float) -> None:
    from .loop import Loop
    from .probe import Probe

    Loop(Probe(spec), spec.interval_s, output, silence_s=silence_s).run()


def _complain(message: str, code: int) -> int:
    try:
        os.write(2, ("hpcwatch-probe: %s\n" % message).encode("utf-8", "backslashreplace"))
    except OSError:
        pass
    return code


if __name__ == "__main__":
    main()

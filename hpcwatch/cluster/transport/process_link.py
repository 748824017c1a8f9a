"""A local program whose input and output are the link. It may lead to a node."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence

from hpcwatch.base.errors import os_reason
from hpcwatch.cluster.transport import ConnectError, Trouble, guard
from hpcwatch.cluster.transport.complaints import Tail

_CHUNK_BYTES = 65536
_TO_END_S = 2.0  # after its input was closed, and again after SIGTERM
_SEND_S = 45.0  # for a program that does not read its input

Explain = Callable[[str, int, str], "ConnectError | None"]
"""(host, exit code, standard error) -> the error on the way to the host; None if there is none."""


class ProcessLink:
    """See ``Link``. The program runs in a session of its own: Ctrl-C does not reach it."""

    def __init__(self, host: str, argv: Sequence[str], explain: Explain) -> None:
        """Start the program. Raises OSError."""
        self._host = host
        self._explain = explain
        self._tail = Tail()
        self._closed = threading.Event()
        # A descriptor is closed only while its lock is held.
        self._sending, self._receiving = threading.Lock(), threading.Lock()
        self._wake = os.pipe()
        try:
            self._process = guard.start(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except BaseException:
            _close(*self._wake)
            raise
        streams = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._input, self._output, self._errors = (os.dup(s.fileno()) for s in streams if s)
        for stream in streams:
            assert stream is not None
            stream.close()
        os.set_blocking(self._input, False)
        os.set_blocking(self._errors, False)
        self._heard = {self._output, self._errors}

    def receive(self, timeout_s: float) -> bytes:
        """See ``Link.receive``."""
        end_s = time.monotonic() + timeout_s
        with self._receiving:
            while not self._closed.is_set():
                left_s = max(end_s - time.monotonic(), 0.0)
                ready = self._ready(self._heard, select.POLLIN, left_s)
                if self._errors in ready:
                    self._drain()
                if self._output in ready:
                    return os.read(self._output, _CHUNK_BYTES) or self._end_of_output()
                if not ready and left_s == 0.0:
                    raise TimeoutError
        return b""

    def send(self, data: bytes) -> None:
        """See ``Link.send``."""
        end_s = time.monotonic() + _SEND_S
        with self._sending:
            left = data
            while left and not self._closed.is_set():
                try:
                    left = left[os.write(self._input, left) :]
                except BlockingIOError:
                    if not self._ready({self._input}, select.POLLOUT, end_s - time.monotonic()):
                        raise self._lost("it takes no input any more") from None
                except OSError as error:
                    raise self._lost(os_reason(error)) from None
        if self._closed.is_set():
            raise self._lost("it was closed")

    def complaint(self) -> str:
        """See ``Link.complaint``."""
        with self._receiving:
            if not self._closed.is_set():
                self._drain()
        return self._tail.last_line()

    def close(self) -> None:
        """See ``Link.close``. The program is ended on a thread: the caller does not wait."""
        if self._closed.is_set():
            return
        self._closed.set()
        with contextlib.suppress(OSError):
            os.write(self._wake[1], b"x")
        # Not a daemon: the interpreter waits for it.
        threading.Thread(target=self._finish, name="hpcwatch-finish").start()

    def _finish(self) -> None:
        """End the program: by the end of its input, else by signals to all that it started."""
        with self._sending:
            _close(self._input)
        if not self._has_ended():
            guard.kill(self._process, signal.SIGTERM)
            if not self._has_ended():
                guard.end(self._process)
        with self._sending, self._receiving:
            _close(self._output, self._errors, *self._wake)

    def _has_ended(self) -> bool:
        return guard.wait(self._process, _TO_END_S)

    def _ready(self, descriptors: set[int], event: int, timeout_s: float) -> set[int]:
        """Return the descriptors that are ready. Closing the link ends the wait too."""
        poll = select.poll()
        for descriptor in descriptors:
            poll.register(descriptor, event)
        poll.register(self._wake[0], select.POLLIN)
        return {descriptor for descriptor, _ in poll.poll(max(timeout_s, 0.0) * 1000)}

    def _drain(self) -> None:
        """Read standard error, so that it never blocks the program."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._errors, _CHUNK_BYTES):
                self._tail.add(data)
            self._heard.discard(self._errors)

    def _end_of_output(self) -> bytes:
        """Return the end of the program, or raise the error of the way to it."""
        error = self._explained()
        if error is not None:
            raise error
        return b""

    def _explained(self) -> ConnectError | None:
        if not self._has_ended():
            return None
        self._drain()
        return self._explain(self._host, self._process.returncode, self._tail.text())

    def _lost(self, reason: str) -> ConnectError:
        return ConnectError(Trouble.BROKEN, f"connection to {self._host} lost: {reason}")


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)

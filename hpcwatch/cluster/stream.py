"""A scheduler's command whose output is read while it runs, and never kept as a whole."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType

from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.cluster.client import environment
from hpcwatch.cluster.schedulers.query import Answer, ServerDownError

PATIENCE_S = 300.0
"""How long a database may print nothing: it sorts a day's jobs before it prints the first."""
_MOST_ERROR_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 18
_LOOK_S = 0.02  # as client.run: a command may end while a child keeps its output open


class Stream:
    """A running command. Leaving the ``with`` ends it, and its children with it."""

    def __init__(
        self,
        argv: Sequence[str],
        settings: Mapping[str, str] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Start it. Raises HpcwatchError if it cannot be started."""
        self._name, self._patience_s = argv[0], patience_s
        path = shutil.which(argv[0])
        if path is None:
            raise HpcwatchError(f"{argv[0]} is not on PATH", "is this a login node?")
        try:
            self._process = subprocess.Popen(
                [path, *argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**environment(os.environ), **(settings or {})},
                start_new_session=True,
            )
        except OSError as error:
            raise HpcwatchError(f"cannot run {argv[0]}", os_reason(error)) from None
        self._first, self._errors = b"", bytearray()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def pieces(self) -> Iterator[bytes]:
        """Yield standard output until the command ends.

        Raises ServerDownError if the command prints nothing for as long as ``patience_s``.
        """
        out, err = self._process.stdout, self._process.stderr
        assert out is not None
        assert err is not None
        with selectors.DefaultSelector() as selector:
            for stream in (out, err):
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ)
            heard_s = time.monotonic()
            while True:
                is_over = self._process.poll() is not None  # before the look at its pipes
                ready = selector.select(0 if is_over else _LOOK_S) if selector.get_map() else []
                if not ready:
                    if is_over:
                        return
                    if not selector.get_map():
                        self._end_of(heard_s)
                        return
                    self._check(heard_s)
                for key, _ in ready:
                    data = self._data(key.fd)
                    if data == b"":
                        selector.unregister(key.fileobj)
                    if not data:
                        continue
                    heard_s = time.monotonic()
                    if key.fileobj is out:
                        self._first = self._first or data[:2000]
                        yield data
                        heard_s = time.monotonic()  # what our reader takes is no silence
                    elif len(self._errors) < _MOST_ERROR_BYTES:
                        self._errors += data

    def _data(self, descriptor: int) -> bytes | None:
        try:
            return os.read(descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return None

    def _end_of(self, heard_s: float) -> None:
        """Wait for a command that has closed its output."""
        try:
            self._process.wait(max(self._patience_s - (time.monotonic() - heard_s), 0.0))
        except subprocess.TimeoutExpired:
            self._check(0.0)

    def _check(self, heard_s: float) -> None:
        if time.monotonic() - heard_s > self._patience_s:
            raise ServerDownError(f"{self._name} said nothing for {self._patience_s:g} s")

    def answer(self) -> Answer:
        """Return how it ended: the beginning of its output, its errors and its exit code."""
        code = self._process.returncode
        return Answer(
            self._first, bytes(self._errors), code if code is not None else 0, command=self._name
        )

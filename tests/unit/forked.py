"""hpcwatch without the start of Python: a process that has imported all of it forks at each call.

Every call is a process of its own, with its own arguments, environment, folder, streams and exit
code. The start of the interpreter and the imports, which take most of a short command, are done
once. What depends on them starts hpcwatch in the ordinary way: `Server.takes` says when.
"""

from __future__ import annotations

import gc
import os
import pickle
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NamedTuple

_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_")  # read before the first line of Python
_INHERITED = ("Umask:", "Uid:", "Gid:", "Groups:", "SigBlk:", "SigIgn:", "CapEff:", "Cpus_allowed:")
_PACKET_BYTES = 100_000
_NOT_LOADED = {"hpcwatch.__main__", "hpcwatch.events", "hpcwatch.keras"}  # they act when imported


class Call(NamedTuple):
    """What a process of hpcwatch begins with."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: str


class Done(NamedTuple):
    """How it ended, and the bytes that it wrote."""

    code: int
    out: bytes
    err: bytes


class Server:
    """The process that forks.

    It is no child of its caller, whose processes the tests count, and it ends when its caller does.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._at_start = _at_start(environment)
        self._inherited = _inherited()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            words = [sys.executable, __file__]
            subprocess.run(
                words, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env=environment, check=True
            )

    def takes(self, call: Call) -> bool:
        """Whether the call does what it would do if Python started for it."""
        is_alike = _at_start(call.environment) == self._at_start
        is_heir = _inherited() == self._inherited
        return is_alike and is_heir and len(pickle.dumps(call)) < _PACKET_BYTES

    def run(self, call: Call, deadline_s: float) -> Done:
        """Run hpcwatch until it has ended and its output is closed."""
        ours, theirs = zip(*(os.pipe() for _ in range(3)))
        socket.send_fds(self._socket, [pickle.dumps(call)], theirs)
        for number in theirs:
            os.close(number)
        out, err, end = _read_all(ours, time.monotonic() + deadline_s)
        _, code = end.split()  # fails if the server has ended
        return Done(int(code), out, err)


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in environment.items() if name.startswith(_AT_START)}


def _inherited() -> list[str]:
    """Return what a process gets from the one that starts it, besides the environment."""
    found = []
    for name in ("limits", "cgroup", "oom_score_adj"):
        with open(f"/proc/self/{name}") as stream:
            found.append(stream.read())
    with open("/proc/self/status") as stream:
        return found + [line for line in stream if line.startswith(_INHERITED)]


def _read_all(pipes: Sequence[int], deadline_s: float) -> list[bytes]:
    """Return what comes out of pipes until all are closed; the last begins with a process id."""
    texts = dict.fromkeys(pipes, b"")
    with selectors.DefaultSelector() as selector:
        for number in pipes:
            selector.register(number, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline_s - time.monotonic()))
            if not ready:
                os.kill(int(texts[pipes[-1]].split()[0]), signal.SIGKILL)
                raise TimeoutError(f"hpcwatch has not ended; it wrote {list(texts.values())}")
            for key, _ in ready:
                piece = os.read(key.fd, 1 << 16)
                texts[key.fd] += piece
                if not piece:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return list(texts.values())


def _serve() -> None:
    """Fork at each call that comes in at standard input, until that ends."""
    calls = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    import hpcwatch

    for module in pkgutil.walk_packages(hpcwatch.__path__, "hpcwatch."):
        if module.name not in _NOT_LOADED:
            import_module(module.name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # each keeper vanishes by itself
    while True:
        packet, streams, _, _ = socket.recv_fds(calls, _PACKET_BYTES, 3)
        if not packet:
            return
        if os.fork() == 0:
            calls.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _keep(pickle.loads(packet), *streams)
            return
        for number in streams:
            os.close(number)


def _keep(call: Call, out: int, err: int, end: int) -> None:
    """Fork hpcwatch, wait for it and tell how it ended."""
    pid = os.fork()
    if pid == 0:
        os.close(end)
        _become(call, out, err)
        return
    os.close(out)
    os.close(err)
    os.write(end, b"%d " % pid)
    _, status = os.waitpid(pid, 0)
    os.write(end, b"%d" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(call: Call, out: int, err: int) -> None:
    for number, stream in ((out, 1), (err, 2)):
        os.dup2(number, stream)
        os.close(number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", errors=sys.stdout.errors, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, errors=sys.stderr.errors, closefd=False)  # noqa: SIM115
    os.chdir(call.folder)
    os.environ.clear()
    os.environ.update(call.environment)
    time.tzset()
    sys.path[0] = call.folder
    sys.argv[:] = ["hpcwatch", *call.arguments]
    from hpcwatch.cli import script

    script()


if __name__ == "__main__" and os.fork() == 0:
    _serve()

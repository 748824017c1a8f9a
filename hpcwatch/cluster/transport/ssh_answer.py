"""Asks the ssh program for its configuration of a host: ``ssh -G HOST``.

ssh itself resolves Include, Match, canonical names and the site's patches. It costs some
milliseconds per host, on the thread that connects to the host.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import NamedTuple

from hpcwatch.base.errors import os_reason
from hpcwatch.cluster.transport import ConnectError, Trouble, guard

TIMEOUT_S = 20.0
"""How long ssh may take: a ``Match exec`` or the name service may be slow."""
_MOST_BYTES = 256 * 1024  # a usual answer has 5,000
_MOST_SAID_BYTES = 4096
_CONNECTION_HASH = re.compile("/([0-9a-f]{40})")
_KEPT = re.compile(
    r"user|hostname|port|addressfamily|connecttimeout|controlpath|proxy\w+|identit\w+|"
    r"certificatefile|pubkeyauthentication|requiredrsasize|hostkeyalias|checkhostip|strict\w+|"
    r"nohostauth\w+|revoked\w+|\w*known\w*|\w*algorithms|\w*keytypes|ciphers|macs"
)


class Subject(NamedTuple):
    """A host as it stands on ssh's command line."""

    name: str
    user: str = ""
    port: str = ""
    before: tuple[str, ...] = ()
    """Jump hosts that are given, as by ``-J``."""

    def argv(self, config_path: str | None) -> list[str]:
        """Return the command line. The name is never taken for an option."""
        words = ["ssh", *(("-F", config_path) if config_path is not None else ())]
        # ssh -G expands %C only here. No control socket is opened.
        words += ["-G", "-o", "ControlPath=/%C"]
        words += ["-l", self.user] if self.user else []
        words += ["-p", self.port] if self.port else []
        words += ["-J", ",".join(self.before)] if self.before else []
        return [*words, "--", self.name]


class Answer(NamedTuple):
    """The settings for a host, as ssh prints them."""

    subject: Subject
    settings: Mapping[str, tuple[str, ...]]
    """Keyword in lower case -> its values, one per line."""

    def value(self, keyword: str, default: str = "") -> str:
        """Return a setting; the default if ssh does not print it."""
        return self.settings.get(keyword, (default,))[0]

    def values(self, keyword: str) -> tuple[str, ...]:
        """Return a setting that may occur several times, without "none"."""
        return tuple(v for v in self.settings.get(keyword, ()) if v.lower() != "none")

    def given(self, keyword: str) -> str:
        """Return a setting; empty if it is not set or "none"."""
        value = self.value(keyword)
        return "" if value.lower() == "none" else value

    @property
    def connection_hash(self) -> str:
        """The value of ``%C``; empty if this version of ssh does not print it."""
        match = _CONNECTION_HASH.fullmatch(self.value("controlpath"))
        return match[1] if match else ""

    @property
    def jumps(self) -> tuple[str, ...]:
        """Jump hosts, each ``[user@]host[:port]``, the nearest to us first."""
        return tuple(hop for hop in self.given("proxyjump").split(",") if hop)


class Answers:
    """The answers of ssh for all hosts; ssh runs once for each. Thread-safe."""

    def __init__(self, config_path: str | None = None, most_at_once: int = 32) -> None:
        """``config_path`` replaces the user's and the system's files, as ``ssh -F`` does."""
        self.config_path = config_path
        self._turns = threading.BoundedSemaphore(most_at_once)
        self._lock = threading.Lock()
        self._known: dict[Subject, Future[Answer]] = {}

    def ask(self, subject: Subject) -> Answer:
        """Return the settings for a host. Raises ConnectError."""
        with self._lock:
            future = self._known.get(subject)
            is_first = future is None
            if future is None:
                future = self._known[subject] = Future()
        if is_first:
            try:
                with self._turns:
                    future.set_result(_asked(subject, self.config_path))
            except BaseException as error:
                self.forget(subject)
                future.set_exception(error)
        return future.result()

    def forget(self, subject: Subject) -> None:
        """Ask again next time: the user may change the files."""
        with self._lock:
            self._known.pop(subject, None)


def _asked(subject: Subject, config_path: str | None) -> Answer:
    if shutil.which("ssh") is None:
        return Answer(subject, {})
    output, said, code = _run(subject.argv(config_path), subject.name)
    if code != 0:
        file = f"-F {shlex.quote(config_path)} " if config_path is not None else ""
        raise _refusal(subject.name, said, f"to see it, type: ssh {file}-G {subject.name}")
    return parsed(subject, output.decode("utf-8", "surrogateescape"))


def parsed(subject: Subject, text: str) -> Answer:
    """Return the output of ``ssh -G``: a keyword, a blank and a value per line.

    Raises ConnectError if it is not text: a file name would be cut off at a NUL byte.
    """
    if "\0" in text:
        message = f"ssh -G {subject.name} prints bytes that are not text"
        raise ConnectError(Trouble.LOGIN, message, "use --transport ssh-program")
    settings: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        keyword, _, value = line.partition(" ")
        keyword = keyword.lower()
        if value and _KEPT.fullmatch(keyword):
            # Hundreds of hosts have the same lists of algorithms.
            settings[keyword] = (*settings.get(keyword, ()), sys.intern(value))
    return Answer(subject, settings)


def _refusal(name: str, said: str, hint: str) -> ConnectError:
    """Return the error for a configuration that ssh rejects."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if "terminating" not in line and "Pseudo-" not in line]
    reason = "; ".join(telling)[:500] or "it gave no reason"
    if "jumphost loop" in reason:
        return ConnectError(Trouble.UNREACHABLE, f"jump hosts go in a circle: {reason}")
    if "option -- G" in reason:
        message, hint = "this ssh is older than OpenSSH 6.8", "use --transport ssh-program"
        return ConnectError(Trouble.LOGIN, message, hint)
    message = f"ssh does not understand its configuration for {name}: {reason}"
    return ConnectError(Trouble.LOGIN, message, hint)


def _run(argv: list[str], name: str) -> tuple[bytes, str, int]:
    """Run ssh to its end; return its output, its messages and its exit code."""
    try:
        process = guard.start(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as error:
        message = f"cannot start ssh to ask it for the settings of {name}: {os_reason(error)}"
        raise ConnectError(Trouble.PROGRAM, message) from None
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        try:
            output, said = _read(process.stdout.fileno(), process.stderr.fileno(), name)
            if not guard.wait(process, TIMEOUT_S):
                raise _too_slow(name)
        finally:
            guard.end(process)  # with the command of a Match exec
    return output, said, process.returncode


def _read(output: int, errors: int, name: str) -> tuple[bytes, str]:
    """Read both streams to their ends, within bounds of time and size."""
    end_s = time.monotonic() + TIMEOUT_S
    poll = select.poll()
    kept = {output: b"", errors: b""}
    for descriptor in kept:
        poll.register(descriptor, select.POLLIN)
    left = 2
    while left:
        ready = poll.poll(max(end_s - time.monotonic(), 0.0) * 1000)
        if not ready:
            raise _too_slow(name)
        for descriptor, _ in ready:
            data = os.read(descriptor, 65536)
            kept[descriptor] += data
            if not data:
                poll.unregister(descriptor)
                left -= 1
        kept[errors] = kept[errors][-_MOST_SAID_BYTES:]
        if len(kept[output]) > _MOST_BYTES:
            message = f"ssh -G {name} does not stop printing"
            raise ConnectError(Trouble.LOGIN, message, "use --transport ssh-program")
    return kept[output], kept[errors].decode(errors="replace")


def _too_slow(name: str) -> ConnectError:
    message = f"ssh did not tell its settings for {name} within {TIMEOUT_S:g} s"
    return ConnectError(
        Trouble.TIMEOUT, message, "a Match exec in ssh_config or the name service may hang"
    )

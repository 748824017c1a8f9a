"""Starts programs on nodes by ssh, with paramiko: a thread for each node instead of a process.

A connection costs a tenth of the CPU time of the ssh program. All nodes behind a jump host share
one login there.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

import paramiko

from hpcwatch.base.errors import os_reason
from hpcwatch.cluster.transport import Bounds, ConnectError, Trouble, require_host
from hpcwatch.cluster.transport.known_hosts import KnownHosts
from hpcwatch.cluster.transport.ssh_answer import Answers, Subject
from hpcwatch.cluster.transport.ssh_chain import last_hop, require_end
from hpcwatch.cluster.transport.ssh_config import HostOptions, host_options
from hpcwatch.cluster.transport.ssh_connection import Connection, Refusal
from hpcwatch.cluster.transport.ssh_link import SshLink
from hpcwatch.cluster.transport.ssh_login import Patience, log_in
from hpcwatch.cluster.transport.ssh_streams import ProxyCommand, connect_tcp
from hpcwatch.cluster.transport.ssh_wire import Stream, Wire

_USUAL = Bounds()
_QUEUE_S = 120.0  # for a turn to log in
_PROHIBITED, _RESOURCE_SHORTAGE = 1, 4  # RFC 4254, section 5.1


class SshTransport:
    """Opens programs over ssh. Thread-safe."""

    name = "ssh"

    def __init__(
        self,
        connect_timeout_s: float = _USUAL.connect_timeout_s,
        config_path: str | None = None,
        keepalive_s: float = _USUAL.keepalive_s,
        most_at_once: int = _USUAL.most_at_once,
    ) -> None:
        """``connect_timeout_s`` bounds each step: TCP, key exchange, login, opening a channel.

        A connection on which nothing came for three times ``keepalive_s`` is dead.
        ``most_at_once`` bounds how many log in at the same time. ``config_path`` replaces
        the user's and the system's ssh_config, as ``ssh -F`` does.
        """
        self._patience = Patience(connect_timeout_s, keepalive_s)
        self._answers = Answers(config_path, most_at_once)
        self._known_hosts = KnownHosts()
        self._turns = threading.BoundedSemaphore(most_at_once)
        self._lock = threading.Lock()
        self._jumps: dict[tuple[HostOptions, int], Future[Connection]] = {}

    def open(self, host: str, argv: Sequence[str]) -> SshLink:
        """See ``Transport.open``."""
        require_host(host)
        subject = Subject(host)
        require_end(self._answers, subject)
        connection = self._connected(self._options(subject))
        try:
            channel = connection.session(self._patience.connect_s)
            channel.exec_command(shlex.join(argv))
        except BaseException as error:
            connection.close()
            raise _not_started(host, error) from None
        return SshLink(host, connection, channel)

    def close(self) -> None:
        """Close the connections to jump hosts."""
        with self._lock:
            jumps, self._jumps = list(self._jumps.values()), {}
        for future in jumps:
            future.cancel()
            if future.done() and not future.cancelled() and future.exception() is None:
                future.result().close()

    def _options(self, subject: Subject) -> HostOptions:
        return host_options(self._answers.ask(subject))

    def _connected(self, options: HostOptions) -> Connection:
        """Return a new connection. Raises ConnectError."""
        try:
            return self._logged_in(self._wire(options), options)
        except ConnectError:
            self._answers.forget(options.subject)  # the user may change the files
            raise

    def _logged_in(self, wire: Wire, options: HostOptions) -> Connection:
        hint = f"to look at it and accept it, type: ssh {self._typed(options)} true"
        patience = self._patience_for(options)
        try:
            with self._turn(options.name):
                return log_in(wire, options, self._known_hosts, patience, hint)
        except BaseException:
            wire.close()
            raise

    def _typed(self, options: HostOptions) -> str:
        path = self._answers.config_path
        return (f"-F {shlex.quote(path)} " if path else "") + options.name

    def _patience_for(self, options: HostOptions) -> Patience:
        wanted_s = options.connect_timeout_s
        shorter_s = min(wanted_s or self._patience.connect_s, self._patience.connect_s)
        return self._patience._replace(connect_s=shorter_s)

    @contextmanager
    def _turn(self, name: str) -> Iterator[None]:
        if not self._turns.acquire(timeout=_QUEUE_S):
            raise ConnectError(Trouble.TIMEOUT, f"{name}: no turn to log in for {_QUEUE_S:g} s")
        try:
            yield
        finally:
            self._turns.release()

    def _wire(self, options: HostOptions) -> Wire:
        """Return the byte stream to a host: through jump hosts, the user's command, or direct."""
        if options.proxy_jump:
            stream: Stream = self._forwarded(options)
        elif options.proxy_command:
            return self._proxied(options.name, options.proxy_command)
        else:
            stream = connect_tcp(
                options.name,
                options.hostname,
                options.port,
                options.family,
                self._patience_for(options).connect_s,
            )
        return Wire(stream, self._patience.keepalive_s)

    def _proxied(self, name: str, command: str) -> Wire:
        try:
            proxy = ProxyCommand(command)
        except OSError as error:
            message = f"{name}: cannot start ProxyCommand: {os_reason(error)}"
            raise ConnectError(Trouble.UNREACHABLE, message) from None
        return Wire(proxy.stream, self._patience.keepalive_s, proxy)

    def _forwarded(self, options: HostOptions) -> Stream:
        """Return a channel through the jump host. Raises ConnectError."""
        jump = self._options(last_hop(self._answers.ask(options.subject)))
        timeout_s = self._patience_for(options).connect_s
        try:
            return self._through(jump, options, timeout_s)
        except Refusal as refusal:
            raise _not_forwarded(options.name, jump.name, refusal) from None
        except TimeoutError:
            message = f"{options.name} did not answer {jump.name} within {timeout_s:g} s"
            raise ConnectError(Trouble.TIMEOUT, message) from None

    def _through(self, jump: HostOptions, options: HostOptions, timeout_s: float) -> Stream:
        to = options.hostname, options.port, timeout_s
        try:
            return self._jump(jump, 0).forward(*to)
        except Refusal as refusal:
            if refusal.code != _RESOURCE_SHORTAGE:
                raise
            # It allows no more channels on one connection.
            return self._jump(jump, 1).forward(*to)
        except ConnectError as error:
            if error.trouble is not Trouble.BROKEN:
                raise
            # It ended meanwhile, which shows only now.
            return self._jump(jump, 0).forward(*to)

    def _jump(self, jump: HostOptions, number: int) -> Connection:
        """Return a shared connection to a jump host; the first thread makes it."""
        with self._lock:
            future = self._jumps.get((jump, number))
            is_first = future is None or _is_over(future)
            if future is None or is_first:
                future = self._jumps[jump, number] = Future()
        if is_first:
            try:
                future.set_result(self._connected(jump))
            except BaseException as error:
                future.set_exception(error)
        try:
            return future.result()
        except ConnectError as error:
            message = f"jump host {jump.name}: {error.message}"
            raise ConnectError(error.trouble, message, error.hint) from None


def _is_over(future: Future[Connection]) -> bool:
    """Return whether a shared connection failed, or ended meanwhile."""
    if not future.done():
        return False
    return future.exception() is not None or not future.result().is_active()


def _not_forwarded(name: str, jump: str, refusal: Refusal) -> ConnectError:
    """Return the error for a jump host's refusal, with the system's own words from sshd."""
    small = refusal.words.lower()
    if refusal.code == _PROHIBITED:
        message = f"{jump} may not be used as a jump host ({refusal.words})"
        return ConnectError(Trouble.REFUSED, message)
    if "refused" in small:
        message = f"{name} refuses connections: no ssh server listens there (by way of {jump})"
        return ConnectError(Trouble.REFUSED, message)
    if "timed out" in small:
        return ConnectError(Trouble.TIMEOUT, f"{name} did not answer {jump}")
    return ConnectError(Trouble.UNREACHABLE, f"{name} cannot be reached from {jump}: {small}")


def _not_started(host: str, error: BaseException) -> BaseException:
    """Return the error for a connection that works and a program that does not start on it."""
    if isinstance(error, Refusal):
        message = f"{host} lets us in but starts no programs ({error.words})"
        return ConnectError(Trouble.REFUSED, message)
    if isinstance(error, TimeoutError):
        return ConnectError(Trouble.TIMEOUT, f"{host} lets us in but starts no program in time")
    if isinstance(error, (paramiko.SSHException, OSError, EOFError)):
        return ConnectError(Trouble.BROKEN, f"{host}: {str(error) or 'connection lost'}")
    return error

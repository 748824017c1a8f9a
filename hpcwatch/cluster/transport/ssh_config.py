"""ssh's configuration of a host as one record, made from ssh's own answer."""

from __future__ import annotations

import getpass
import hashlib
import os
import pwd
import re
import socket
from typing import NamedTuple

from hpcwatch.cluster.transport import ConnectError, Trouble
from hpcwatch.cluster.transport.ssh_algorithms import Algorithms, algorithms
from hpcwatch.cluster.transport.ssh_answer import Answer, Subject

PROGRAM_HINT = "use --transport ssh-program"
_DEFAULT_KEYS = ("~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519")
_DEFAULT_USER_KNOWN = "~/.ssh/known_hosts ~/.ssh/known_hosts2"
_DEFAULT_GLOBAL_KNOWN = "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"
_TOKEN = re.compile(r"%(.)|%$", re.DOTALL)
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_USERS_HOME = re.compile(r"~([^/]*)(/.*)?", re.DOTALL)
_OFF = ("no", "false", "off")
_HIGHEST_PORT = 65535
_LONGEST_S = 86400
"""Limit of the time to connect; a larger one is as good as none."""


class HostOptions(NamedTuple):
    """How to reach a host. File names are absolute, tokens are filled in."""

    subject: Subject
    """The host on ssh's command line."""
    hostname: str
    """The address to connect to."""
    user: str
    port: int
    identity_files: tuple[str, ...]
    are_identities_default: bool
    """True if the configuration names no identity file: then a missing one is not reported."""
    identities_only: bool
    certificate_files: tuple[str, ...]
    uses_keys: bool
    """``PubkeyAuthentication`` is on."""
    proxy_jump: tuple[str, ...]
    """Each ``[user@]host[:port]``, the nearest to us first."""
    proxy_command: str | None
    host_key_alias: str | None
    user_known_hosts: tuple[str, ...]
    global_known_hosts: tuple[str, ...]
    revoked_host_keys: str | None
    """The file of ``RevokedHostKeys``."""
    strict: str
    """``StrictHostKeyChecking``: yes, ask, accept-new or no."""
    checks_address: bool
    """``CheckHostIP``: the key must also match the known ones of the address."""
    skips_loopback: bool
    """``NoHostAuthenticationForLocalhost``: a loopback address may show any key."""
    hashes_known_hosts: bool
    agent_path: str | None
    connect_timeout_s: float | None
    family: socket.AddressFamily
    algorithms: Algorithms

    @property
    def name(self) -> str:
        """The host as the user or the scheduler calls it."""
        return self.subject.name


def host_options(answer: Answer) -> HostOptions:
    """Return the record of ssh's answer.

    Raises ConnectError, with advice, for settings that are not supported.
    """
    _require_known(answer)
    fill = _Filling(answer)
    keys = answer.values("identityfile") or (
        () if "identityfile" in answer.settings else _DEFAULT_KEYS
    )
    strict = answer.value("stricthostkeychecking", "ask").lower()
    families = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
    timeout_s = _number(answer.given("connecttimeout"))
    revoked = answer.given("revokedhostkeys")
    command = answer.given("proxycommand")
    return HostOptions(
        subject=answer.subject,
        hostname=answer.value("hostname", answer.subject.name),
        user=fill.user,
        port=fill.port,
        identity_files=tuple(dict.fromkeys(map(fill.file, keys))),
        are_identities_default=all(key.startswith("~/.ssh/id_") for key in keys),
        identities_only=_flag(answer, "identitiesonly", False),
        certificate_files=tuple(map(fill.file, answer.values("certificatefile"))),
        uses_keys=_flag(answer, "pubkeyauthentication", True),
        proxy_jump=answer.jumps,
        proxy_command=fill.tokens(command) if command and not answer.jumps else None,
        host_key_alias=answer.given("hostkeyalias") or None,
        user_known_hosts=fill.files(answer.value("userknownhostsfile", _DEFAULT_USER_KNOWN)),
        global_known_hosts=fill.files(answer.value("globalknownhostsfile", _DEFAULT_GLOBAL_KNOWN)),
        revoked_host_keys=_at_home(revoked) if revoked else None,
        strict={"true": "yes", "false": "no", "off": "no"}.get(strict, strict),
        checks_address=_flag(answer, "checkhostip", False),
        skips_loopback=_flag(answer, "nohostauthenticationforlocalhost", False),
        hashes_known_hosts=_flag(answer, "hashknownhosts", False),
        agent_path=fill.agent_path(answer.value("identityagent", "SSH_AUTH_SOCK")),
        connect_timeout_s=None if timeout_s is None else float(min(timeout_s, _LONGEST_S)),
        family=families.get(answer.value("addressfamily"), socket.AF_UNSPEC),
        algorithms=algorithms(answer),
    )


def _require_known(answer: Answer) -> None:
    """Raise ConnectError for settings about trust that only ssh supports."""
    if answer.given("knownhostscommand"):
        raise _not_followed(answer, "KnownHostsCommand")
    if _flag(answer, "proxyusefdpass", False):
        raise _not_followed(answer, "ProxyUseFdpass")


def _not_followed(answer: Answer, keyword: str) -> ConnectError:
    message = f"ssh_config sets {keyword} for {answer.subject.name}; that is not supported"
    return ConnectError(Trouble.LOGIN, message, PROGRAM_HINT)


def _flag(answer: Answer, keyword: str, default: bool) -> bool:
    return answer.value(keyword, "yes" if default else "no").lower() not in _OFF


def _number(text: str) -> int | None:
    """Return a number of nine digits at most; None for 0 and for any other text."""
    is_short = text.isascii() and text.isdecimal() and len(text) <= 9
    return (int(text) or None) if is_short else None


class _Filling:
    """Fills in what ``ssh -G`` leaves as written: ``~``, ``%`` tokens and ``${VARIABLES}``."""

    def __init__(self, answer: Answer) -> None:
        subject = answer.subject
        node = os.uname().nodename
        hostname = answer.value("hostname", subject.name)
        self.user = answer.value("user") or subject.user or getpass.getuser()
        port = answer.value("port") or subject.port or "22"
        number = _number(port)
        self.port = number if number is not None and number <= _HIGHEST_PORT else 22
        jump = ",".join(answer.jumps)
        identity = f"{node}{hostname}{self.port}{self.user}".encode("utf-8", "surrogateescape")
        self._name = subject.name
        self._tokens = {
            "%": "%",
            "C": answer.connection_hash
            or hashlib.sha1(identity, usedforsecurity=False).hexdigest(),
            "d": home(),
            "h": hostname,
            "i": str(os.getuid()),
            "j": jump,
            "k": answer.given("hostkeyalias") or subject.name,
            "L": node.partition(".")[0],
            "l": node,
            "n": subject.name,
            "p": str(self.port),
            "r": self.user,
            "u": _own_name(),
        }

    def tokens(self, text: str) -> str:
        """Fill in ``%`` tokens. Raises ConnectError for an unknown one."""
        return _TOKEN.sub(self._token, text)

    def file(self, text: str) -> str:
        """Return a file's name, as ssh reads it: the home first, then tokens and variables."""
        return _VARIABLE.sub(self._variable, self.tokens(_at_home(text)))

    def files(self, text: str) -> tuple[str, ...]:
        """Return the names in a list. ssh prints blanks in names as they are."""
        names: list[str] = []
        for word in text.split(" "):
            if names and not word.startswith(("/", "~", "%", "$")) and word.lower() != "none":
                names[-1] += f" {word}"
            else:
                names.append(word)
        return tuple(self.file(name) for name in names if name.lower() != "none")

    def agent_path(self, word: str) -> str | None:
        """Return the socket of the agent; None if there is none."""
        if word.lower() == "none":
            return None
        if word == "SSH_AUTH_SOCK":
            return os.environ.get("SSH_AUTH_SOCK")
        if re.fullmatch(r"\$\w+", word):
            return os.environ.get(word[1:])
        return self.file(word)

    def _token(self, match: re.Match[str]) -> str:
        found = self._tokens.get(match[1] or "")
        if found is None:
            raise self._error(f"{match[0]} is not supported")
        return found

    def _variable(self, match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            raise self._error(f"{match[0]} is not set")
        return found

    def _error(self, what: str) -> ConnectError:
        return ConnectError(Trouble.LOGIN, f"ssh_config for {self._name}: {what}", PROGRAM_HINT)


def home() -> str:
    """Return the home in the password database: ssh ignores ``$HOME`` too."""
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return os.path.expanduser("~")


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _at_home(text: str) -> str:
    match = _USERS_HOME.fullmatch(text)
    if match is None:
        return text
    try:
        folder = pwd.getpwnam(match[1]).pw_dir if match[1] else home()
    except KeyError:
        return text
    return folder.rstrip("/") + (match[2] or "")

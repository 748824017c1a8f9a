"""What ssh_config says about a host, as one record."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Sequence
from typing import NamedTuple

from hpcwatch.cluster.transport import ConnectError, Trouble
from hpcwatch.cluster.transport.ssh_config_file import Line, read
from hpcwatch.cluster.transport.ssh_match import Subject, holds, is_about_final, matches

SYSTEM_FOLDER = "/etc/ssh"
_SEVERAL = ("identityfile", "certificatefile")  # all that apply count, not the first alone
_DEFAULT_KEYS = ("~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519")
_DEFAULT_USER_KNOWN = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_DEFAULT_GLOBAL_KNOWN = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
_TOKEN = re.compile(r"%(.)|%$", re.DOTALL)
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class HostOptions(NamedTuple):
    """How to reach a host. File names are absolute, tokens filled in."""

    name: str
    """As it was asked for."""
    hostname: str
    """What to connect to."""
    user: str
    port: int
    identity_files: tuple[str, ...]
    are_identities_default: bool
    """Nobody named the identity files: that they are missing is nothing to tell."""
    identities_only: bool
    certificate_files: tuple[str, ...]
    uses_keys: bool
    """``PubkeyAuthentication`` is not off."""
    proxy_jump: tuple[str, ...]
    """``[user@]host[:port]`` each, the nearest to us first."""
    proxy_command: str | None
    host_key_alias: str | None
    user_known_hosts: tuple[str, ...]
    global_known_hosts: tuple[str, ...]
    strict: str
    """``StrictHostKeyChecking``: yes, ask, accept-new or no."""
    hashes_known_hosts: bool
    agent_path: str | None
    connect_timeout_s: float | None
    family: socket.AddressFamily


class Config:
    """The user's and the system's configuration, read once."""

    def __init__(self, path: str | None = None) -> None:
        """Read ``path`` alone if given (as ``ssh -F``), else the usual files.

        Raises ConnectError.
        """
        home = os.path.expanduser("~/.ssh")
        if path is not None:
            self._lines = read(path, home)
        else:
            user_lines = read(os.path.join(home, "config"), home)
            system_lines = read(os.path.join(SYSTEM_FOLDER, "ssh_config"), SYSTEM_FOLDER)
            # A block of one file does not reach into the next.
            everyone = Line(SYSTEM_FOLDER, 0, "host", "*")
            self._lines = (*user_lines, everyone, *system_lines)

    def lookup(self, name: str) -> HostOptions:
        """Return what is said about a host. Raises ConnectError."""
        reading = _Reading(name, getpass.getuser())
        reading.take(self._lines)
        reading.canonicalise()
        if reading.wants_final:
            reading.begin_final()
            reading.take(self._lines)
        return reading.options()


class _Reading:
    """The values for one host while the lines are gone through: the first one stands."""

    def __init__(self, name: str, local_user: str) -> None:
        self._name = name
        self._host = name
        self._local_user = local_user
        self._is_final = False
        self._is_canonical = False
        self._single: dict[str, Line] = {}
        self._several: dict[str, list[str]] = {keyword: [] for keyword in _SEVERAL}
        self.wants_final = False

    def take(self, lines: Sequence[Line], is_active: bool = True) -> None:
        """Go through lines; those of an Include in a block that does not apply do not either."""
        is_possible = is_active
        for line in lines:
            if line.keyword == "host":
                is_active = is_possible and matches(self._host.lower(), line.words())
            elif line.keyword == "match":
                self.wants_final = self.wants_final or is_about_final(line)
                is_active = is_possible and holds(line, self._subject())
            elif line.keyword == "include":
                for file in line.included:
                    self.take(file, is_active)
            elif is_active:
                self._set(line)

    def begin_final(self) -> None:
        """Go on to the second reading, in which Host lines see the name to connect to."""
        self._host = self._hostname()
        self._is_final = True

    def canonicalise(self) -> None:
        """Complete a short name by the first of the domains in which it is known."""
        if self._text("canonicalizehostname", "no") not in ("yes", "always"):
            return
        if self._hostname().count(".") > self._integer("canonicalizemaxdots", 1):
            return
        domains = self._single.get("canonicaldomains")
        for domain in domains.words() if domains else []:
            full = f"{self._hostname()}.{domain}"
            if _is_known(full):
                self._single["hostname"] = Line("", 0, "hostname", full)
                self._is_canonical = self.wants_final = True
                return
        if self._text("canonicalizefallbacklocal", "yes") == "no":
            message = f"{self._name} is in none of the domains of ssh_config"
            raise ConnectError(Trouble.UNREACHABLE, message)

    def _set(self, line: Line) -> None:
        if line.keyword in _SEVERAL:
            if line.word() not in self._several[line.keyword]:
                self._several[line.keyword].append(line.word())
        elif line.keyword in ("proxyjump", "proxycommand"):
            # The one that comes first shuts the other out, "none" too.
            if not self._single.keys() & {"proxyjump", "proxycommand"}:
                self._single[line.keyword] = line
        else:
            self._single.setdefault(line.keyword, line)

    def _text(self, keyword: str, default: str) -> str:
        line = self._single.get(keyword)
        return default if line is None else line.word()

    def _flag(self, keyword: str, default: bool) -> bool:
        return self._text(keyword, "yes" if default else "no").lower() in ("yes", "true")

    def _integer(self, keyword: str, default: int) -> int:
        line = self._single.get(keyword)
        if line is None:
            return default
        word = line.word()
        if not (word.isascii() and word.isdigit()):
            raise line.error(f"{keyword} is not a number: {word[:40]!r}")
        return int(word)

    def _hostname(self) -> str:
        line = self._single.get("hostname")
        if line is None:
            return self._name
        return _filled(line.word(), {"h": self._name, "%": "%"}, line)

    def _user(self) -> str:
        return self._text("user", self._local_user)

    def _subject(self) -> Subject:
        # In the first reading a HostName counts as soon as it is set.
        return Subject(
            self._hostname(),
            self._name,
            self._user(),
            self._local_user,
            self._is_final,
            self._is_canonical,
            self._expanded,
        )

    def _expanded(self, text: str, line: Line | None = None) -> str:
        node = os.uname().nodename
        tokens = {
            "%": "%",
            "d": os.path.expanduser("~"),
            "h": self._hostname(),
            "i": str(os.getuid()),
            "k": self._text("hostkeyalias", self._name),
            "L": node.partition(".")[0],
            "l": node,
            "n": self._name,
            "p": str(self._integer("port", 22)),
            "r": self._user(),
            "u": self._local_user,
        }
        return _filled(text, tokens, line)

    def _file(self, text: str, line: Line | None = None) -> str:
        path = _VARIABLE.sub(lambda match: os.environ.get(match[1], ""), text)
        return os.path.expanduser(self._expanded(path, line))

    def _files(self, keyword: str, default: Sequence[str]) -> tuple[str, ...]:
        line = self._single.get(keyword)
        words = list(default) if line is None else line.words()
        return tuple(self._file(word, line) for word in words if word.lower() != "none")

    def _agent_path(self) -> str | None:
        word = self._text("identityagent", "SSH_AUTH_SOCK")
        if word.lower() == "none":
            return None
        if word == "SSH_AUTH_SOCK":
            return os.environ.get("SSH_AUTH_SOCK")
        if re.fullmatch(r"\$\w+", word):
            return os.environ.get(word[1:])
        return self._file(word)

    def _proxy_command(self) -> str | None:
        line = self._single.get("proxycommand")
        if line is None or line.argument.lower() == "none":
            return None
        return self._expanded(line.argument, line)

    def _proxy_jump(self) -> tuple[str, ...]:
        line = self._single.get("proxyjump")
        if line is None or line.word().lower() == "none":
            return ()
        return tuple(hop for hop in self._expanded(line.word(), line).split(",") if hop)

    def _timeout_s(self) -> float | None:
        is_set = self._text("connecttimeout", "none").lower() != "none"
        return (self._integer("connecttimeout", 0) or None) if is_set else None

    def options(self) -> HostOptions:
        """Return the record of what was found."""
        keys = [word for word in self._several["identityfile"] if word.lower() != "none"]
        are_default = not self._several["identityfile"]
        strict = self._text("stricthostkeychecking", "ask").lower()
        family = self._text("addressfamily", "any").lower()
        certificates = self._several["certificatefile"]
        return HostOptions(
            name=self._name,
            hostname=self._hostname(),
            user=self._user(),
            port=self._integer("port", 22),
            identity_files=tuple(map(self._file, _DEFAULT_KEYS if are_default else keys)),
            are_identities_default=are_default,
            identities_only=self._flag("identitiesonly", False),
            certificate_files=tuple(self._file(word) for word in certificates),
            uses_keys=self._text("pubkeyauthentication", "yes").lower() not in ("no", "false"),
            proxy_jump=self._proxy_jump(),
            proxy_command=self._proxy_command(),
            host_key_alias=self._text("hostkeyalias", "") or None,
            user_known_hosts=self._files("userknownhostsfile", _DEFAULT_USER_KNOWN),
            global_known_hosts=self._files("globalknownhostsfile", _DEFAULT_GLOBAL_KNOWN),
            strict={"true": "yes", "false": "no", "off": "no"}.get(strict, strict),
            hashes_known_hosts=self._flag("hashknownhosts", False),
            agent_path=self._agent_path(),
            connect_timeout_s=self._timeout_s(),
            family={"inet": socket.AF_INET, "inet6": socket.AF_INET6}.get(family, socket.AF_UNSPEC),
        )


def _filled(text: str, tokens: dict[str, str], line: Line | None) -> str:
    """Fill in ``%`` tokens. Raises ConnectError for one that is not known."""

    def value(match: re.Match[str]) -> str:
        found = tokens.get(match[1] or "")
        if found is None:
            what = f"{match[0]} is not known here"
            raise line.error(what) if line else ConnectError(Trouble.LOGIN, f"ssh_config: {what}")
        return found

    return _TOKEN.sub(value, text)


def _is_known(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, None, type=socket.SOCK_STREAM))
    except OSError:
        return False

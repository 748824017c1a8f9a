"""The algorithms that ssh_config allows for a host. No other is offered or accepted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from hpcwatch.cluster.transport import ConnectError, Trouble
from hpcwatch.cluster.transport.certificates import SUFFIX
from hpcwatch.cluster.transport.ssh_answer import Answer

_ALIASES = {"curve25519-sha256@libssh.org": "curve25519-sha256"}


class Algorithms(NamedTuple):
    """Names that ssh allows, the best first; empty if ssh lists none: then all are allowed."""

    kex: tuple[str, ...] = ()
    ciphers: tuple[str, ...] = ()
    macs: tuple[str, ...] = ()
    host_keys: tuple[str, ...] = ()
    is_host_key_order_free: bool = True
    """False if the user chose the host keys: then ssh does not prefer the types in known_hosts."""
    authorities: tuple[str, ...] = ()
    """Signatures of authorities that certify hosts."""
    own_keys: tuple[str, ...] = ()
    """Signatures to log in with."""
    least_rsa_bits: int = 0

    def allows_own_key(self, key_type: str) -> bool:
        """Return whether a key or certificate of this type may be used to log in."""
        return allows(self.own_keys, key_type)


def algorithms(answer: Answer) -> Algorithms:
    """Return what ssh allows for a host."""
    host_keys = answer.value("hostkeyalgorithms")
    own_keys = answer.value("pubkeyacceptedalgorithms") or answer.value("pubkeyacceptedkeytypes")
    # By default these three are one list.
    usual = (answer.value("hostbasedacceptedalgorithms"), answer.value("hostbasedkeytypes"))
    bits = answer.value("requiredrsasize", "0")
    return Algorithms(
        kex=_names(answer.value("kexalgorithms")),
        ciphers=_names(answer.value("ciphers")),
        macs=_names(answer.value("macs")),
        host_keys=_names(host_keys),
        is_host_key_order_free=not host_keys or host_keys in (*usual, own_keys),
        authorities=_names(answer.value("casignaturealgorithms")),
        own_keys=_names(own_keys),
        least_rsa_bits=int(bits) if re.fullmatch("[0-9]{1,6}", bits) else 0,
    )


@lru_cache(maxsize=64)
def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def allows(allowed: Sequence[str], key_type: str) -> bool:
    """Return whether keys of a type may be used; RSA keys sign with SHA-2 alone."""
    if not allowed:
        return True
    end = SUFFIX if key_type.endswith(SUFFIX) else ""
    if key_type == f"ssh-rsa{end}":
        return any(f"rsa-sha2-{size}{end}" in allowed for size in (512, 256))
    return key_type in allowed


def chosen(
    keyword: str, supported: Sequence[str], allowed: Sequence[str], host: str
) -> tuple[str, ...]:
    """Return the algorithms that ssh_config and paramiko have in common, in ssh's order.

    Raises ConnectError, with advice, if there is none.
    """
    if not allowed:
        return tuple(supported)
    rank = {name: place for place, name in reversed(list(enumerate(allowed)))}
    for name, other in _ALIASES.items():
        if other in rank:
            rank.setdefault(name, rank[other])
    found = sorted((name for name in supported if name in rank), key=lambda name: rank[name])
    if not found:
        message = f"none of the {keyword} that ssh_config allows for {host} is supported"
        raise ConnectError(Trouble.LOGIN, message, "use --transport ssh-program")
    return tuple(found)

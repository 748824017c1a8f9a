"""Situations of host keys: whether to connect, as the real ssh program decides beside us.

Both are shown the same files and the same sshd, and both must agree with the table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import pytest
from lab_hosts import DESK, LOGIN, Hosts
from ssh_checks import keygen, said, ssh

from hpcwatch.cluster.transport import ConnectError, Trouble

pytest_plugins = ["lab_fixtures"]

STRANGER = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6QwWf1FNb0Ie8FhLlrTuD9sZ0N7gYhVtLw1xTqkq0a"  # nobody's
)
ADDRESS = "10.77.0.2"
NAME, RESOLVED = LOGIN, "10.78.0.2"
"""A name that resolves, on the nodes."""


class Case(NamedTuple):
    """A situation: {words} are filled in."""

    what: str
    connects: bool
    known: tuple[str, ...] = ()
    """Lines of known_hosts."""
    config: tuple[str, ...] = ()
    """Lines of ssh_config for the host."""
    serving: tuple[str, ...] = ()
    """Lines of sshd_config."""
    port: int = 22
    revoked: str = ""
    """The content of the file {revoked}."""
    other_known: str = ""
    """The content of the file {other}."""
    inside: str = DESK


GOOD = ("HostCertificate {certificate}",)
CA = "@cert-authority * {authority}"
BOTH = ("HostKey {folder}/rsa",)
RSA = ("HostKeyAlgorithms rsa-sha2-512", "HostKeyAlgorithms rsa-sha2-512,rsa-sha2-256")
KNOWN = ("{address} {key}",)
BY_NAME = ("HostName {name}",)


def strict(value: str) -> tuple[str, ...]:
    return (f"StrictHostKeyChecking {value}",)


CASES = (
    Case("unknown", False),
    Case("known", True, KNOWN),
    Case("changed", False, ("{address} {stranger}",)),
    Case("known beside another", True, ("{address} {stranger}", *KNOWN)),
    Case("by pattern", True, ("10.77.0.?,!10.77.0.3 {key}",)),
    Case("by negated pattern", False, ("10.77.*,!10.77.0.2 {key}",)),
    Case("unknown marker", False, ("@odd {address} {key}",)),
    Case("hashed", True, ("{hashed} {key}",)),
    Case("hashed, changed", False, ("{hashed} {stranger}",)),
    Case("revoked", False, (*KNOWN, "@revoked * {key}")),
    Case("another is revoked", True, (*KNOWN, "@revoked * {stranger}")),
    Case("revoked elsewhere", True, (*KNOWN, "@revoked elsewhere {key}")),
    # Certificates.
    Case("certificate", True, (CA,), serving=GOOD),
    Case("certificate, other authority", False, ("@cert-authority * {stranger}",), serving=GOOD),
    Case("certificate, authority of others", False, ("@cert-authority x {authority}",),
         serving=GOOD),
    Case("certificate, authority revoked", False, (CA, "@revoked * {authority}"), serving=GOOD),
    Case("certificate, key revoked", False, (CA, "@revoked * {key}"), serving=GOOD),
    Case("certificate, no authority, plain key known", True, KNOWN, serving=GOOD),
    Case("certificate expired", False, (CA,), serving=("HostCertificate {expired}",)),
    Case("certificate expired, plain key known", True, (CA, *KNOWN),
         serving=("HostCertificate {expired}",)),
    Case("certificate expired, accept-new", True, (CA,), strict("accept-new"),
         serving=("HostCertificate {expired}",)),
    Case("certificate for others", False, (CA,), serving=("HostCertificate {others}",)),
    Case("certificate not valid yet", False, (CA,), serving=("HostCertificate {early}",)),
    Case("certificate under an alias", True, (CA,), ("HostKeyAlias qb002",),
         serving=("HostCertificate {others}",)),
    Case("certificate signed by what is not allowed", False, (CA,),
         ("CASignatureAlgorithms rsa-sha2-512",), serving=GOOD),
    Case("no certificate though an authority is known", False, (CA,)),
    # Ports.
    Case("port", True, ("[{address}]:2222 {key}",), port=2222),
    Case("port, known without it", True, KNOWN, port=2222),
    Case("port, another port known", False, ("[{address}]:2223 {key}",), port=2222),
    Case("port, changed there", False, ("[{address}]:2222 {stranger}", *KNOWN), port=2222),
    Case("port, changed without it", False, ("{address} {stranger}",), port=2222),
    Case("port, changed without it, accept-new", True, ("{address} {stranger}",),
         strict("accept-new"), port=2222),
    Case("usual port in brackets", False, ("[{address}]:22 {key}",)),
    # Names.
    Case("alias", True, ("other {key}",), ("HostKeyAlias other",)),
    Case("alias in capitals", True, ("other {key}",), ("HostKeyAlias OTHER",)),
    Case("alias unknown", False, KNOWN, ("HostKeyAlias other",)),
    Case("alias with a port", True, ("other {key}",), ("HostKeyAlias other",), port=2222),
    Case("name", True, ("{name} {key}",), BY_NAME),
    Case("name known by its address alone", False, ("{resolved} {key}",), BY_NAME),
    Case("CheckHostIP, address changed", False, ("{name} {key}", "{resolved} {stranger}"),
         (*BY_NAME, "CheckHostIP yes")),
    Case("CheckHostIP no, address changed", True, ("{name} {key}", "{resolved} {stranger}"),
         (*BY_NAME, "CheckHostIP no")),
    Case("CheckHostIP, address changed, not strict", True,
         ("{name} {key}", "{resolved} {stranger}"), (*BY_NAME, "CheckHostIP yes", *strict("no"))),
    Case("CheckHostIP, address changed, accept-new", False,
         ("{name} {key}", "{resolved} {stranger}"),
         (*BY_NAME, "CheckHostIP yes", *strict("accept-new"))),
    Case("CheckHostIP, address unknown", True, ("{name} {key}",), (*BY_NAME, "CheckHostIP yes")),
    Case("CheckHostIP, alias", False, ("other {key}", "{resolved} {stranger}"),
         (*BY_NAME, "CheckHostIP yes", "HostKeyAlias other")),
    Case("localhost", False, ("127.0.0.1 {stranger}",), ("HostName 127.0.0.1",), inside=LOGIN),
    Case("localhost without check", True, ("127.0.0.1 {stranger}",),
         ("HostName 127.0.0.1", "NoHostAuthenticationForLocalhost yes"), inside=LOGIN),
    Case("localhost without check, alias", False, (),
         ("HostName 127.0.0.1", "NoHostAuthenticationForLocalhost yes", "HostKeyAlias o"),
         inside=LOGIN),
    Case("others without check", False, (), ("NoHostAuthenticationForLocalhost yes",)),
    # Files.
    Case("second file", True, (), ("UserKnownHostsFile {file} {other}",),
         other_known="{address} {key}"),
    Case("changed in the first file", True, ("{address} {stranger}",),
         ("UserKnownHostsFile {file} {other}",), other_known="{address} {key}"),
    Case("global file", True, (), ("GlobalKnownHostsFile {other}",),
         other_known="{address} {key}"),
    Case("revoked in the global file", False, KNOWN, ("GlobalKnownHostsFile {other}",),
         other_known="@revoked * {key}"),
    Case("no files", False, KNOWN, ("UserKnownHostsFile none",)),
    Case("no files, accept-new", False, (), ("UserKnownHostsFile none", *strict("accept-new"))),
    Case("no files, not strict", False, (), ("UserKnownHostsFile none", *strict("no"))),
    Case("no files, no", True, (), ("UserKnownHostsFile /dev/null", *strict("no"))),
    # StrictHostKeyChecking.
    Case("yes, known", True, KNOWN, strict("yes")),
    Case("yes, unknown", False, (), strict("yes")),
    Case("ask, unknown", False, (), strict("ask")),
    Case("no, unknown", True, (), strict("no")),
    Case("no, changed", True, ("{address} {stranger}",), strict("no")),
    Case("no, revoked", True, ("@revoked * {key}",), strict("no")),
    Case("off, changed", True, ("{address} {stranger}",), strict("off")),
    Case("accept-new, unknown", True, (), strict("accept-new")),
    Case("accept-new, hashed", True, (), ("HashKnownHosts yes", *strict("accept-new"))),
    Case("accept-new, changed", False, ("{address} {stranger}",), strict("accept-new")),
    Case("accept-new, revoked", False, ("@revoked * {key}",), strict("accept-new")),
    # Types and algorithms.
    Case("key of another type", False, ("{address} {rsa}",)),
    Case("key of another type, accept-new", False, ("{address} {rsa}",), strict("accept-new")),
    Case("known by its second key", True, ("{address} {rsa}",), serving=BOTH),
    Case("known by its second key, which is not preferred", False, ("{address} {rsa}",),
         ("HostKeyAlgorithms ssh-ed25519,rsa-sha2-512",), serving=BOTH),
    Case("algorithm allowed", True, ("{address} {rsa}",), RSA[:1], serving=BOTH),
    Case("algorithm not offered", False, KNOWN, RSA[:1]),
    Case("algorithm taken away", False, KNOWN, ("HostKeyAlgorithms -ssh-ed25519*",)),
    Case("RSA long enough", True, ("{address} {rsa}",),
         ("RequiredRSASize 2048", *RSA[1:]), serving=BOTH),
    Case("RSA too short", False, ("{address} {rsa}",),
         ("RequiredRSASize 3000", *RSA[1:]), serving=BOTH),
    Case("cipher", True, KNOWN, ("Ciphers aes256-ctr",)),
    Case("cipher not offered", False, KNOWN, ("Ciphers 3des-cbc",)),
    Case("key exchange", True, KNOWN, ("KexAlgorithms diffie-hellman-group14-sha256",)),
    Case("key exchange by its other name", True, KNOWN, ("KexAlgorithms curve25519-sha256",)),
    Case("key exchange not offered", False, KNOWN, ("KexAlgorithms ecdh-sha2-nistp521",),
         serving=("KexAlgorithms curve25519-sha256",)),
    Case("MAC", True, KNOWN, ("MACs hmac-sha2-512", "Ciphers aes128-ctr")),
    Case("MAC not offered", False, KNOWN, ("MACs hmac-sha2-512", "Ciphers aes128-ctr"),
         serving=("MACs hmac-sha2-256",)),
    # RevokedHostKeys.
    Case("not in the revoked", True, KNOWN, ("RevokedHostKeys {revoked}",), revoked="{stranger}"),
    Case("in the revoked", False, KNOWN, ("RevokedHostKeys {revoked}",), revoked="# x\n{key} x"),
    Case("in the revoked, not strict", False, KNOWN,
         ("RevokedHostKeys {revoked}", *strict("no")), revoked="{key}"),
    Case("no file of the revoked", False, KNOWN, ("RevokedHostKeys {revoked}",)),
    Case("authority revoked", False, (CA,), ("RevokedHostKeys {revoked}",), serving=GOOD,
         revoked="{authority}"),
)  # fmt: skip


@pytest.fixture(scope="module")
def words(all_hosts: Hosts) -> Iterator[dict[str, str]]:
    """What the cases' words stand for: keys, certificates, files."""
    folder = all_hosts.root / "verdicts"
    folder.mkdir()
    keygen("-q", "-t", "ed25519", "-N", "", "-f", str(folder / "authority"))
    keygen("-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(folder / "rsa"))
    key = (all_hosts.hosts[LOGIN].home / "host_key.pub").read_text()
    certificates = {
        "certificate": ("-n", f"{ADDRESS},{NAME},127.0.0.1"),
        "others": ("-n", "qb002"),
        "expired": ("-n", ADDRESS, "-V", "20200101:20200102"),
        "early": ("-n", ADDRESS, "-V", "+1d:+2d"),
    }
    for name, options in certificates.items():
        (folder / f"{name}.pub").write_text(key)
        keygen("-q", "-s", str(folder / "authority"), "-I", "i", "-h", *options,
               str(folder / f"{name}.pub"))  # fmt: skip
    (folder / "hashed").write_text(f"{ADDRESS} {STRANGER}\n")
    keygen("-q", "-H", "-f", str(folder / "hashed"))
    yield {
        "folder": str(folder),
        "file": str(all_hosts.known_hosts),
        "other": str(folder / "other"),
        "revoked": str(folder / "revoked"),
        "address": ADDRESS,
        "name": NAME,
        "resolved": RESOLVED,
        "stranger": STRANGER,
        "key": all_hosts.public_key(LOGIN),
        "rsa": " ".join((folder / "rsa.pub").read_text().split()[:2]),
        "authority": " ".join((folder / "authority.pub").read_text().split()[:2]),
        "hashed": (folder / "hashed").read_text().split()[0],
        **{name: str(folder / f"{name}-cert.pub") for name in certificates},
    }


OURS = """\
import sys
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.transport.ssh import SshTransport
try:
    link = SshTransport(config_path=sys.argv[1]).open("node", ["hostname"])
    print(link.receive(20.0).decode(), end="")
    link.close()
except HpcwatchError as error:
    print(f"{error.message} ({error.hint})")
"""


def said_by_us(hosts: Hosts, place: str) -> str:
    """What we say, as ``said_by``; a process of its own only where names are to be resolved."""
    if place != DESK:
        return said_by(hosts, place, [sys.executable, "-c", OURS, str(hosts.ssh_config)])
    try:
        with ssh(hosts) as transport:
            text = said(transport, "node")
    except ConnectError as error:
        return f"{error.message} ({error.hint})"
    return "" if text == LOGIN else text or "no word"


def said_by(hosts: Hosts, place: str, argv: list[str]) -> str:
    """What a client on a host says where it refuses; empty if it connects."""
    text = hosts.run(place, ["sh", "-c", '"$@" || true', "sh", *argv])
    return "" if text.splitlines()[-1:] == [LOGIN] else text or "no word"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what.replace(" ", "-"))
def test_both_connect_or_both_refuse(case: Case, hosts: Hosts, words: dict[str, str]) -> None:
    config = [line.format(**words) for line in case.config]
    if not any(line.startswith("HostName") for line in config):
        config.append(f"HostName {ADDRESS}")
    hosts.write_ssh_config("Host node", *config, "ProxyJump none", f"Port {case.port}")
    for name in ("revoked", "other"):
        Path(words[name]).unlink(missing_ok=True)
    if case.revoked:
        Path(words["revoked"]).write_text(case.revoked.format(**words) + "\n")
    if case.other_known:
        Path(words["other"]).write_text(case.other_known.format(**words) + "\n")
    serving = [line.format(**words) for line in case.serving]
    if "HostKey" in "".join(case.serving) and case.serving == BOTH:
        serving.append(f"HostKey {hosts.hosts[LOGIN].home / 'host_key'}")
    known = "".join(line.format(**words) + "\n" for line in case.known)
    program = ["ssh", "-F", str(hosts.ssh_config), "-o", "BatchMode=yes", "node", "hostname"]
    place = "qb001" if BY_NAME[0] in case.config else case.inside
    answers = []
    usual = not serving and case.port == 22
    with nullcontext() if usual else hosts.serving(LOGIN, *serving, port=case.port):
        hosts.known_hosts.write_text(known)
        answers.append(said_by(hosts, place, program))
        hosts.known_hosts.write_text(known)
        answers.append(said_by_us(hosts, place))
    theirs, ours = answers
    assert (not theirs, not ours) == (case.connects, case.connects), f"{theirs}\n{ours}"


def test_how_many_situations_there_are() -> None:
    assert len({case.what for case in CASES}) == len(CASES) >= 29


@pytest.mark.parametrize(
    ("line", "words_said"),
    [
        ("Ciphers chacha20-poly1305@openssh.com", "none of the Ciphers that ssh_config allows"),
        ("KexAlgorithms sntrup761x25519-sha512@openssh.com", "none of the KexAlgorithms"),
        ("MACs umac-128@openssh.com", "none of the MACs"),
        ("HostKeyAlgorithms sk-ssh-ed25519@openssh.com", "none of the HostKeyAlgorithms"),
        ("KnownHostsCommand /bin/true", "ssh_config sets KnownHostsCommand"),
    ],
)
def test_what_only_the_ssh_program_follows_names_the_way_out(
    line: str, words_said: str, hosts: Hosts
) -> None:
    hosts.write_ssh_config(line)
    with ssh(hosts) as transport, pytest.raises(ConnectError) as caught:
        said(transport, LOGIN)
    assert caught.value.message.startswith(words_said)
    assert caught.value.hint == "use --transport ssh-program"
    assert caught.value.trouble is Trouble.LOGIN  # with "auto" the program is tried next


def test_a_binary_list_of_revoked_keys_names_the_way_out(
    hosts: Hosts, words: dict[str, str]
) -> None:
    path = Path(words["folder"]) / "list"
    key = Path(words["folder"]) / "one.pub"
    key.write_text(f"{STRANGER}\n")
    keygen("-q", "-k", "-f", str(path), str(key))
    hosts.write_ssh_config(f"RevokedHostKeys {path}")
    with ssh(hosts) as transport, pytest.raises(ConnectError) as caught:
        said(transport, LOGIN)
    assert "is a binary list" in caught.value.message
    assert caught.value.hint == "use --transport ssh-program"

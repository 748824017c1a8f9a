"""Host keys: known in every spelling that ssh knows, unknown, changed, certified, revoked.

Each verdict is compared with that of the ssh program.
"""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from harness import Terminal
from lab_hosts import LOGIN, Hosts
from ssh_checks import failure, keygen, refused, said, ssh

from hpcwatch.cluster.transport import Trouble, certificates
from hpcwatch.cluster.transport.known_hosts import KnownHosts, fingerprint, looked_up_name

pytest_plugins = ["lab_fixtures"]

STRANGER = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6QwWf1FNb0Ie8FhLlrTuD9sZ0N7gYhVtLw1xTqkq0a"  # nobody's
)


NEAR = ("Host qb001", "HostName 10.77.0.2", "ProxyJump none")  # the login host, under this name


@pytest.fixture(name="hosts")
def near_hosts(hosts: Hosts) -> Hosts:
    """The hosts; qb001 is the login host."""
    hosts.write_ssh_config(*NEAR)
    return hosts


def program(hosts: Hosts, host: str) -> subprocess.CompletedProcess[str]:
    """What the ssh program makes of it."""
    return subprocess.run(
        ["ssh", "-F", str(hosts.ssh_config), "-o", "BatchMode=yes", host, "hostname"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def known(hosts: Hosts, *lines: str) -> None:
    """Write known_hosts; {key} is that of qb001, which is another name of the login host here."""
    text = "".join(line.format(key=hosts.public_key(LOGIN)) + "\n" for line in lines)
    hosts.known_hosts.write_text(f"# the first line\n{text}")


def accepted(hosts: Hosts, host: str = "qb001") -> None:
    """Both we and the ssh program get in."""
    done = program(hosts, host)
    assert done.stdout == "login\n", done.stderr
    with ssh(hosts) as transport:
        assert said(transport, host) == LOGIN


@pytest.mark.parametrize(
    "lines",
    [
        ["qb001 {key}"],
        ["QB001 {key} a comment"],
        ["other,qb00?,more {key}"],
        ["q* {key}"],
        ["# a comment", "", "nonsense", "qb001 ssh-ed25519 !!!", "qb001\t{key}"],
        [f"qb002 {STRANGER}", "qb001 {key}"],
        [f"qb001 {STRANGER}", "qb001 {key}"],
        [f"@revoked * {STRANGER}", "qb001 {key}"],
    ],
)
def test_spellings_of_a_known_key(lines: list[str], hosts: Hosts) -> None:
    known(hosts, *lines)
    accepted(hosts)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["qb00 {key}"],
        ["qb002 {key}"],
        ["!qb001,qb* {key}"],
        ["[qb001]:22 {key}"],
        ["qb[0]01 {key}"],
        ["@unknown-marker qb001 {key}"],
        ["#qb001 {key}"],
    ],
)
def test_an_unknown_key(lines: list[str], hosts: Hosts) -> None:
    known(hosts, *lines)
    assert "Host key verification failed" in program(hosts, "qb001").stderr
    error = refused(hosts, "qb001", Trouble.KEY_UNKNOWN)
    shown = keygen("-lf", str(hosts.hosts[LOGIN].home / "host_key.pub")).split()[1]
    assert error.message == f"host key of qb001 is not known (ssh-ed25519 {shown})"
    assert hosts.public_key(LOGIN) not in hosts.known_hosts.read_text().replace(
        "\n".join(lines).format(key=hosts.public_key(LOGIN)), ""
    )


def test_the_hint_of_an_unknown_key_works_when_typed(hosts: Hosts) -> None:
    known(hosts)
    error = refused(hosts, "qb001", Trouble.KEY_UNKNOWN)
    command = error.hint.partition(": ")[2]
    assert command == f"ssh -F {hosts.ssh_config} qb001 true"
    with Terminal(["sh", "-c", command]) as terminal:
        terminal.wait_for("yes/no")
        terminal.type("yes\n")
        assert terminal.wait() == 0, terminal.output
    accepted(hosts)


def test_a_transport_sees_what_was_accepted_meanwhile(hosts: Hosts) -> None:
    known(hosts)
    with ssh(hosts) as transport:
        failure(transport, "qb001", Trouble.KEY_UNKNOWN)
        known(hosts, "qb001 {key}")
        assert said(transport, "qb001") == LOGIN


def test_an_unknown_jump_host(hosts: Hosts) -> None:
    hosts.write_known_hosts(LOGIN)
    hosts.write_ssh_config()
    error = refused(hosts, "qb002", Trouble.KEY_UNKNOWN)
    assert error.message.startswith("jump host login: host key of login is not known")
    assert error.hint.endswith(f"ssh -F {hosts.ssh_config} login true")


def test_hashed_names(hosts: Hosts) -> None:
    known(hosts, "qb001 {key}", f"qb002 {STRANGER}")
    keygen("-H", "-f", str(hosts.known_hosts))
    assert "qb001" not in hosts.known_hosts.read_text()
    accepted(hosts)


def test_a_port_of_its_own(hosts: Hosts) -> None:
    address = hosts.hosts[LOGIN].address
    hosts.write_ssh_config("Host odd", f"HostName {address}", "Port 2222", "HostKeyAlias none-such")
    with hosts.serving(LOGIN, port=2222):
        refused(hosts, "odd", Trouble.KEY_UNKNOWN)
        hosts.write_ssh_config("Host odd", f"HostName {address}", "Port 2222")
        known(hosts, f"[{address}]:2222 {{key}}")
        accepted(hosts, "odd")
        known(hosts, f"{address} {{key}}")  # the same host, known by its usual port
        accepted(hosts, "odd")
        known(hosts, f"[{address}]:2223 {{key}}")
        refused(hosts, "odd", Trouble.KEY_UNKNOWN)
        known(hosts, f"[{address}]:2222 {STRANGER}", f"{address} {{key}}")
        refused(hosts, "odd", Trouble.KEY_CHANGED)


def test_a_changed_key(hosts: Hosts) -> None:
    known(hosts, "# one", f"qb001 {STRANGER}")
    assert "HAS CHANGED" in program(hosts, "qb001").stderr
    error = refused(hosts, "qb001", Trouble.KEY_CHANGED)
    assert error.message.startswith("HOST KEY OF qb001 HAS CHANGED: it shows ssh-ed25519 SHA256:")
    assert f"{hosts.known_hosts}:3 has ssh-ed25519 SHA256:" in error.message
    command = error.hint.partition(": ")[2]
    assert error.hint.startswith("only if the administrators say")
    assert command.startswith("ssh-keygen ")
    keygen(*command.split()[1:])
    refused(hosts, "qb001", Trouble.KEY_UNKNOWN)


@pytest.mark.parametrize("strict", ["accept-new", "ask", "yes"])
def test_a_changed_key_is_never_accepted_as_new(strict: str, hosts: Hosts) -> None:
    hosts.write_ssh_config(f"StrictHostKeyChecking {strict}", *NEAR)
    known(hosts, f"qb001 {STRANGER}")
    before = hosts.known_hosts.read_text()
    refused(hosts, "qb001", Trouble.KEY_CHANGED)
    assert hosts.known_hosts.read_text() == before


def test_a_key_that_changes_after_it_was_accepted_as_new(hosts: Hosts) -> None:
    hosts.write_ssh_config("StrictHostKeyChecking accept-new", *NEAR)
    known(hosts)
    other = hosts.hosts[LOGIN].home / "other"
    other.unlink(missing_ok=True)
    keygen("-q", "-t", "ed25519", "-N", "", "-f", str(other))
    with ssh(hosts) as transport:
        assert said(transport, "qb001") == LOGIN
        hosts.stop_sshd(LOGIN)
        key = hosts.hosts[LOGIN].home / "host_key"
        kept = key.read_bytes()
        try:
            key.write_bytes(other.read_bytes())
            hosts.start_sshd(LOGIN)
            failure(transport, "qb001", Trouble.KEY_CHANGED)
        finally:
            key.write_bytes(kept)
            hosts.start_sshd(LOGIN)


@pytest.mark.parametrize("strict", ["no", "accept-new"])
@pytest.mark.parametrize("hashes", ["no", "yes"])
def test_a_new_key_is_written_down_where_that_is_configured(
    strict: str, hashes: str, hosts: Hosts
) -> None:
    hosts.write_ssh_config(f"StrictHostKeyChecking {strict}", f"HashKnownHosts {hashes}", *NEAR)
    known(hosts)
    with ssh(hosts) as transport:
        assert said(transport, "qb001") == LOGIN
    added = hosts.known_hosts.read_text().splitlines()[-1]
    assert added.endswith(hosts.public_key(LOGIN))
    assert added.startswith("|1|" if hashes == "yes" else "qb001 ")
    hosts.write_ssh_config(*NEAR)
    accepted(hosts)


def test_the_type_that_is_known_is_asked_for(hosts: Hosts) -> None:
    home = hosts.hosts[LOGIN].home
    for kind in ("rsa", "ecdsa"):
        (home / kind).unlink(missing_ok=True)
        keygen("-q", "-t", kind, "-N", "", "-f", str(home / kind))
        with hosts.serving(LOGIN, f"HostKey {home / kind}"):
            words = (home / f"{kind}.pub").read_text().split()
            known(hosts, f"qb001 {words[0]} {words[1]}")
            accepted(hosts)
    # The server has lost the key that is known: to ssh that is a changed key.
    assert "HAS CHANGED" in program(hosts, "qb001").stderr
    assert "has ecdsa-sha2-nistp256" in refused(hosts, "qb001", Trouble.KEY_CHANGED).message


def test_a_revoked_key(hosts: Hosts) -> None:
    known(hosts, "qb001 {key}", "@revoked * {key}")
    assert "REVOKED" in program(hosts, "qb001").stderr
    error = refused(hosts, "qb001", Trouble.KEY_CHANGED)
    assert error.message == f"the host key of qb001 is revoked ({hosts.known_hosts}:3)"


class Authority:
    """Who signs certificates of hosts."""

    def __init__(self, folder: Path, kind: str = "ed25519") -> None:
        self.key = folder / "authority"
        keygen("-q", "-t", kind, "-N", "", "-f", str(self.key))
        self.public = " ".join(Path(f"{self.key}.pub").read_text().split()[:2])

    def sign(self, key: Path, *words: str) -> Path:
        """Sign a key."""
        keygen("-q", "-s", str(self.key), "-I", "the id", *words, f"{key}.pub")
        return Path(f"{key}-cert.pub")


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_a_certificate(kind: str, hosts: Hosts, tmp_path: Path) -> None:
    authority = Authority(tmp_path, kind)
    key = hosts.hosts[LOGIN].home / "host_key"
    certificate = authority.sign(key, "-h", "-n", "qb001,other")
    known(hosts, f"@cert-authority qb* {authority.public}")
    refused(hosts, "qb001", Trouble.KEY_UNKNOWN)
    with hosts.serving(LOGIN, f"HostCertificate {certificate}"):
        accepted(hosts)
        known(hosts, f"@cert-authority login {authority.public}")
        refused(hosts, "qb001", Trouble.KEY_UNKNOWN)
        known(hosts, f"@cert-authority qb* {STRANGER}")
        refused(hosts, "qb001", Trouble.KEY_UNKNOWN)
        known(hosts, f"@cert-authority qb* {authority.public}", f"@revoked * {authority.public}")
        refused(hosts, "qb001", Trouble.KEY_CHANGED)


@pytest.mark.parametrize(
    ("words", "objection"),
    [
        (["-h", "-n", "qb002"], "it is not for this host but for qb002"),
        (["-h", "-V", "20200101:20200102"], "it has expired"),
        (["-h", "-V", "+1d:+2d"], "it is not valid yet"),
        (["-h", "-O", "critical:odd@example.com=1"], "it has conditions that are not supported"),
    ],
)
def test_a_certificate_that_is_not_valid(
    words: list[str], objection: str, hosts: Hosts, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    key = hosts.hosts[LOGIN].home / "host_key"
    certificate = authority.sign(key, *words)
    known(hosts, f"@cert-authority * {authority.public}")
    with hosts.serving(LOGIN, f"HostCertificate {certificate}"):
        assert program(hosts, "qb001").returncode == 255
        error = refused(hosts, "qb001", Trouble.KEY_UNKNOWN)
    assert error.message == f"the certificate of qb001 is not valid: {objection}"


def test_certificates_of_users_and_forged_ones(hosts: Hosts, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    key = tmp_path / "key"
    keygen("-q", "-t", "ed25519", "-N", "", "-f", str(key))
    words = authority.sign(key, "-h", "-n", "qb001").read_text().split()
    blob = base64.b64decode(words[1])
    assert certificates.objection(certificates.parse(blob), "qb001") == ""
    assert certificates.certified_key(blob) == base64.b64decode(
        Path(f"{key}.pub").read_text().split()[1]
    )
    message = "it is not for a host"
    user = authority.sign(key, "-n", "qb001").read_text().split()
    assert certificates.objection(certificates.parse(base64.b64decode(user[1])), "q") == message
    forged = blob.replace(b"qb001", b"qb002")
    assert certificates.objection(certificates.parse(forged), "qb002") == "its signature is wrong"


def test_names_and_fingerprints(tmp_path: Path) -> None:
    assert looked_up_name("QB001", 22, None) == "qb001"
    assert looked_up_name("qb001", 2222, None) == "[qb001]:2222"
    assert looked_up_name("10.0.0.1", 2222, "QB001") == "qb001"
    file = tmp_path / "known_hosts"
    file.write_text(f"a {STRANGER}\n")
    (entry,) = KnownHosts().known("a", [str(tmp_path / "missing"), str(file)]).entries
    assert entry.number == 1
    assert fingerprint(entry.blob) == keygen("-lf", str(file)).split()[1]

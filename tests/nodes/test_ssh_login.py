"""Logging in: keys in files and in a real agent, their certificates, and what a refusal says."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_hosts import LOGIN, USER, Hosts
from ssh_checks import keygen, refused, said, ssh

from hpcwatch.cluster.transport import Trouble

pytest_plugins = ["lab_fixtures"]


def new_key(hosts: Hosts, name: str, *words: str, passphrase: str = "") -> Path:
    """Make a key and let it in; ``words`` are ssh-keygen's."""
    key = hosts.root / name
    for path in hosts.root.glob(f"{name}*"):
        path.unlink()
    keygen("-q", "-N", passphrase, "-f", str(key), *(words or ("-t", "ed25519")))
    accept(hosts, Path(f"{key}.pub").read_text())
    return key


def accept(hosts: Hosts, *lines: str) -> None:
    """Let these keys, and no others, in as USER."""
    (hosts.root / "keys" / USER).write_text("".join(lines))


def log_in_with(hosts: Hosts, *lines: str) -> None:
    """Have the client log in at the login host, as USER, with these settings."""
    hosts.write_ssh_config(f"Host {LOGIN}", f"User {USER}", *lines)


def logged_in(hosts: Hosts) -> bool:
    """Whether we get in."""
    with ssh(hosts) as transport:
        return said(transport, LOGIN, ["id", "-un"]) == USER


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[str]:
    """The socket of an ssh-agent of the test's own."""
    path = str(tmp_path / "agent")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()  # it listens
        yield path
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def lend(agent: str, *keys: Path) -> None:
    """Put keys into the agent."""
    environment = {**os.environ, "SSH_AUTH_SOCK": agent}
    subprocess.run(["ssh-add", "-q", *map(str, keys)], env=environment, check=True)


@pytest.mark.parametrize(
    "words",
    [
        ("-t", "ed25519"),
        ("-t", "ecdsa", "-b", "256"),
        ("-t", "ecdsa", "-b", "521"),
        ("-t", "rsa", "-b", "2048"),
        ("-t", "rsa", "-b", "2048", "-m", "PEM"),
    ],
)
def test_kinds_of_keys(words: tuple[str, ...], hosts: Hosts) -> None:
    key = new_key(hosts, "of-a-kind", *words)
    log_in_with(hosts, f"IdentityFile {key}")
    assert logged_in(hosts)


def test_the_second_key_is_tried_when_the_first_is_refused(hosts: Hosts) -> None:
    first, second = new_key(hosts, "first"), new_key(hosts, "second")
    log_in_with(hosts, f"IdentityFile {first}", "IdentityFile ~/missing", f"IdentityFile {second}")
    assert logged_in(hosts)


def test_no_key_is_accepted(hosts: Hosts) -> None:
    key = new_key(hosts, "refused")
    accept(hosts)
    hosts.write_ssh_config(f"Host {LOGIN}", f"User {USER}", f"IdentityFile {key}")
    error = refused(hosts, LOGIN, Trouble.LOGIN)
    assert error.message == (
        f"login refuses the login of {USER}; tried {key}, {hosts.identity}; it offers publickey"
    )


def test_keys_that_the_configuration_does_not_allow(hosts: Hosts) -> None:
    key = new_key(hosts, "not-allowed", "-t", "ecdsa")
    log_in_with(hosts, f"IdentityFile {key}", "PubkeyAcceptedAlgorithms rsa-sha2-512")
    error = refused(hosts, LOGIN, Trouble.LOGIN)
    assert f"{key}: ssh_config does not allow ecdsa-sha2-nistp256" in error.message
    assert "no key to try" in error.message
    key = new_key(hosts, "allowed", "-t", "rsa", "-b", "2048")
    log_in_with(hosts, f"IdentityFile {key}", "PubkeyAcceptedAlgorithms rsa-sha2-512")
    assert logged_in(hosts)


def test_no_key_at_all_names_what_the_server_would_take(hosts: Hosts) -> None:
    log_in_with(hosts, "PubkeyAuthentication no")
    with hosts.serving(LOGIN, "PasswordAuthentication yes", "HostbasedAuthentication yes"):
        error = refused(hosts, LOGIN, Trouble.LOGIN)
    assert error.message == (
        f"login refuses the login of {USER}; no key to try; "
        "it offers publickey, password, hostbased"
    )


def test_what_the_server_says_at_the_door(hosts: Hosts) -> None:
    banner = hosts.root / "banner"
    banner.write_text("Authorized users only\nYou have no job on this node.\n")
    accept(hosts)
    log_in_with(hosts)
    with hosts.serving(LOGIN, f"Banner {banner}"):
        error = refused(hosts, LOGIN, Trouble.LOGIN)
    assert "it says: You have no job on this node." in error.message


def test_too_many_keys(hosts: Hosts) -> None:
    keys = [new_key(hosts, f"key-{number}") for number in range(4)]
    log_in_with(hosts, *(f"IdentityFile {key}" for key in keys))
    with hosts.serving(LOGIN, "MaxAuthTries 2"):
        error = refused(hosts, LOGIN, Trouble.LOGIN)
    assert f"tried {keys[0]}, {keys[1]}" in error.message
    assert str(keys[3]) not in error.message


@pytest.mark.parametrize("form", [(), ("-m", "PEM")])
def test_a_key_with_a_passphrase_and_no_agent(form: tuple[str, ...], hosts: Hosts) -> None:
    key = new_key(hosts, "locked", "-t", "rsa", "-b", "2048", *form, passphrase="secret")
    log_in_with(hosts, f"IdentityFile {key}")
    error = refused(hosts, LOGIN, Trouble.LOGIN)
    assert f"{key}: it needs a passphrase: ssh-add it" in error.message


def test_files_that_are_no_keys(hosts: Hosts) -> None:
    odd = hosts.root / "odd"
    odd.write_text("not a key\n")
    accept(hosts)
    log_in_with(hosts, f"IdentityFile {odd}", f"IdentityFile {hosts.root}", "IdentityFile /gone")
    message = refused(hosts, LOGIN, Trouble.LOGIN).message
    assert f"{odd}: its kind of key is not supported" in message
    assert f"{hosts.root}: is a directory" in message
    assert "/gone: no such file" in message


@pytest.mark.parametrize("words", [("-t", "ed25519"), ("-t", "rsa", "-b", "2048")])
def test_the_agent(words: tuple[str, ...], hosts: Hosts, agent: str) -> None:
    key = new_key(hosts, "lent", *words)
    lend(agent, key)
    key.unlink()
    log_in_with(hosts, f"IdentityAgent {agent}", "IdentitiesOnly no")
    assert logged_in(hosts)


def test_the_agent_of_the_environment(
    hosts: Hosts, agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_key(hosts, "lent-too")
    lend(agent, key)
    key.unlink()
    monkeypatch.setenv("SSH_AUTH_SOCK", agent)
    log_in_with(hosts, "IdentityAgent SSH_AUTH_SOCK", "IdentitiesOnly no")
    assert logged_in(hosts)
    log_in_with(hosts, "IdentityAgent none", "IdentitiesOnly no")
    refused(hosts, LOGIN, Trouble.LOGIN)


def test_an_agent_that_is_gone(hosts: Hosts, tmp_path: Path) -> None:
    accept(hosts)
    log_in_with(hosts, f"IdentityAgent {tmp_path}/gone")
    error = refused(hosts, LOGIN, Trouble.LOGIN)
    assert "agent: no such file or directory" in error.message


def test_identities_only_leaves_the_agent_to_the_keys_that_are_named(
    hosts: Hosts, agent: str
) -> None:
    locked = new_key(hosts, "locked-too", passphrase="")
    lend(agent, locked)
    keygen("-q", "-p", "-P", "", "-N", "secret", "-f", str(locked))
    Path(f"{locked}.pub").unlink()
    # Which key of the agent it is shows without the passphrase.
    log_in_with(hosts, f"IdentityAgent {agent}", "IdentitiesOnly yes", f"IdentityFile {locked}")
    assert logged_in(hosts)
    log_in_with(hosts, f"IdentityAgent {agent}", "IdentitiesOnly yes")
    refused(hosts, LOGIN, Trouble.LOGIN)


def test_the_public_half_names_a_key_of_the_agent(hosts: Hosts, agent: str) -> None:
    key = new_key(hosts, "half")
    lend(agent, key)
    key.unlink()
    log_in_with(hosts, f"IdentityAgent {agent}", "IdentitiesOnly yes", f"IdentityFile {key}.pub")
    assert logged_in(hosts)


def certified(hosts: Hosts, *words: str) -> Path:
    """A key that is let in by its certificate alone, which lies beside it."""
    for name in ("user-ca", "certified"):
        for path in hosts.root.glob(f"{name}*"):
            path.unlink()
    authority, key = hosts.root / "user-ca", hosts.root / "certified"
    keygen("-q", "-t", "ed25519", "-N", "", "-f", str(authority))
    keygen("-q", "-N", "", "-f", str(key), *(words or ("-t", "ed25519")))
    keygen("-q", "-s", str(authority), "-I", "me", "-n", USER, f"{key}.pub")
    accept(hosts)
    return key


@pytest.mark.parametrize("words", [("-t", "ed25519"), ("-t", "rsa", "-b", "2048"), ("-t", "ecdsa")])
def test_a_certificate_of_a_user(words: tuple[str, ...], hosts: Hosts, agent: str) -> None:
    key = certified(hosts, *words)
    with hosts.serving(LOGIN, f"TrustedUserCAKeys {hosts.root}/user-ca.pub"):
        log_in_with(hosts, f"IdentityFile {key}")
        assert logged_in(hosts)
        lend(agent, key)  # with its certificate
        log_in_with(hosts, f"IdentityAgent {agent}", "IdentitiesOnly no")
        assert logged_in(hosts)
        elsewhere = Path(f"{key}-cert.pub").rename(hosts.root / "elsewhere")
        log_in_with(hosts, f"IdentityFile {key}")
        refused(hosts, LOGIN, Trouble.LOGIN)
        log_in_with(hosts, f"IdentityFile {key}", f"CertificateFile {elsewhere}")
        assert logged_in(hosts)
        log_in_with(
            hosts,
            *(f"IdentityAgent {agent}", f"IdentityFile {key}", f"CertificateFile {elsewhere}"),
        )
        assert logged_in(hosts)


def test_many_logins_at_once_share_an_agent(hosts: Hosts, agent: str) -> None:
    key = new_key(hosts, "shared")
    lend(agent, key)
    key.unlink()
    log_in_with(hosts, f"IdentityAgent {agent}", "IdentitiesOnly no")
    users: list[str] = []
    with ssh(hosts) as transport:
        threads = [
            threading.Thread(target=lambda: users.append(said(transport, LOGIN, ["id", "-un"])))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert users == [USER] * 8

"""Hosts with a real sshd, shared by all tests that name this as one of their plugins.

No conftest.py: mypy takes one of that name only. They last for a module, not for the session: they
are children of ours, and other tests count our children.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab_hosts import Hosts, missing

NODES = ("qb001", "qb002", "qb003", "qb004")


@pytest.fixture(scope="module")
def all_hosts() -> Iterator[Hosts]:
    """A login host and four nodes behind it. Tests use ``hosts``, which tidies up."""
    lacking = missing()
    if lacking:
        pytest.skip(f"namespaces with an sshd need {lacking}")
    with Hosts(NODES) as hosts:
        yield hosts


@pytest.fixture
def hosts(all_hosts: Hosts) -> Iterator[Hosts]:
    """The hosts, with this thread on the desk in front of the login host."""
    all_hosts.write_keys()
    all_hosts.write_known_hosts()
    all_hosts.write_ssh_config()
    with all_hosts.inside():
        yield all_hosts

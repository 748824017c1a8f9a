"""Many slots on a host whose sshd takes few connections at a time (sshd_config, MaxStartups)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nodes"))
import lab_hosts
from lab_hosts import Hosts, missing
from sweep_parts import finish, needs_parallel
from test_sweep_hosts import SweepsOnHosts

pytestmark = needs_parallel

NAMES = ("qb001", "qb002")
COUNT = 30


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    lacking = missing()
    if lacking:
        pytest.skip(f"namespaces with an sshd need {lacking}")
    with Hosts(NAMES, jump=False) as made:
        yield made


@pytest.fixture
def narrow(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    """Hosts on which a login takes its time, and three may be in it at once."""
    text = lab_hosts.SSHD_CONFIG.replace("1000:30:2000", "3")
    monkeypatch.setattr(lab_hosts, "SSHD_CONFIG", text)
    keys = f'AuthorizedKeysCommand /usr/bin/sh -c "sleep 0.2; cat {hosts.root}/keys/%u"'
    for name in NAMES:
        hosts.start_sshd(name, "AuthorizedKeysFile none", keys, "AuthorizedKeysCommandUser root")
    return hosts


@pytest.mark.parametrize("slots", [8, 12])  # from 10 on GNU parallel tries the logins out first
def test_no_task_is_lost_to_an_sshd_that_takes_three_at_a_time(
    tmp_path: Path, narrow: Hosts, slots: int
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    sweeps = SweepsOnHosts(folder, narrow)
    process = sweeps.start(
        *("-p", f"n=1..{COUNT}", "--hosts", "qb[001-002]", "--slots", slots),
        *("--format", "json", "-o", "found.json", "--", *sweeps.subject("{n}", sleep="0.5")),
    )
    code, text = finish(process)
    assert code == 0, text
    found = json.loads((folder / "found.json").read_text())
    assert {task["how"] for task in found["tasks"]} == {"ok"}
    assert {task["host"] for task in found["tasks"]} == set(NAMES)
    assert found["slots"] == 2 * slots
    assert sweeps.counted("start") == {str(n): 1 for n in range(1, COUNT + 1)}
    joblog = (sweeps.latest / "joblog").read_text().splitlines()[1:]
    assert [line.split("\t")[6] for line in joblog] == ["0"] * COUNT
    dropped = [(narrow.hosts[name].home / "sshd.log").read_text() for name in NAMES]
    assert all("drop connection" in log for log in dropped), "nothing was put to the test"
    assert "only allows" not in (sweeps.latest / "engine.log").read_text()

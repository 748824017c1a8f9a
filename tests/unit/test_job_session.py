"""Many nodes at once: what each says, and that none waits for another.

Links are real sockets whose other end the test holds; the openers decide as nodes would.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from harness import wait_until

from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.transport import ConnectError, Trouble
from hpcwatch.cluster.transport.ways import Opened
from hpcwatch.monitor import remote, rounds
from hpcwatch.monitor.node_status import NodeState, NodeStatus
from hpcwatch.monitor.remote import JobSession
from hpcwatch.probe.schema import Sample, to_line
from hpcwatch.probe.spec import Spec
from hpcwatch.probe.wish import NOTHING, Wish, to_message


class SocketLink:
    """A link over a socket pair; the test is the node."""

    def __init__(self) -> None:
        self.ours, self.node = socket.socketpair()
        self.complaints = ""
        self.heard = b""

    def receive(self, timeout_s: float) -> bytes:
        if not select.select([self.ours], [], [], timeout_s)[0]:
            raise TimeoutError
        try:
            return self.ours.recv(65536)
        except OSError:
            return b""

    def send(self, data: bytes) -> None:
        self.ours.sendall(data)

    def complaint(self) -> str:
        return self.complaints

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.ours.shutdown(socket.SHUT_RDWR)

    def say(self, *readings: float) -> None:
        """Be a node that writes samples."""
        for at_s in readings:
            self.node.sendall(to_line(Sample("itself", at_s, at_s)).encode() + b"\n")


class Nodes:
    """Opens links, or refuses, as each host's script says."""

    def __init__(self, scripts: dict[str, Callable[[], SocketLink]]) -> None:
        self.scripts = scripts
        self.links: dict[str, list[SocketLink]] = {}
        self.attempts: list[str] = []
        self.closed = threading.Event()

    def open(self, host: str, _spec: Spec) -> Opened:
        self.attempts.append(host)
        link = self.scripts[host]()
        self.links.setdefault(host, []).append(link)
        return Opened(link, b"", "test", "package", "3.11.7")

    def close(self) -> None:
        self.closed.set()


class Watched:
    """A session and all that it told."""

    def __init__(self, nodes: Nodes, interval_s: float = 1.0) -> None:
        self.samples: list[Sample] = []
        self.changes: list[NodeStatus] = []
        self.session = JobSession(
            nodes.scripts, Spec(interval_s), nodes, self.samples.append, self.changes.append
        )

    def states(self) -> dict[str, NodeState]:
        return {status.host: status.state for status in self.session.statuses()}

    def status(self, host: str) -> NodeStatus:
        return next(one for one in self.session.statuses() if one.host == host)


def refusing(trouble: Trouble = Trouble.REFUSED) -> Callable[[], SocketLink]:
    def refuse() -> SocketLink:
        raise ConnectError(trouble, "no", "do this")

    return refuse


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_FIRST_RETRY_S", 0.05)


def test_samples_come_under_the_schedulers_name_of_the_node() -> None:
    nodes = Nodes({"qb001": SocketLink})
    watched = Watched(nodes)
    watched.session.start()
    wait_until(lambda: nodes.links.get("qb001"), "the link")
    assert watched.states() == {"qb001": NodeState.CONNECTING}
    nodes.links["qb001"][0].say(1.0, 2.0)
    wait_until(lambda: len(watched.samples) == 2, "the samples")
    assert [(sample.host, sample.at_s) for sample in watched.samples] == [
        ("qb001", 1.0),
        ("qb001", 2.0),
    ]
    status = watched.status("qb001")
    assert (status.state, status.way, status.reason) == (NodeState.LIVE, "test", "")
    watched.session.stop()
    assert nodes.closed.is_set()


def test_a_node_that_hangs_delays_no_other() -> None:
    hangs = threading.Event()

    def hang() -> SocketLink:
        hangs.wait(20)
        raise ConnectError(Trouble.TIMEOUT, "timed out")

    nodes = Nodes({"qb001": hang, "qb002": SocketLink, "qb003": refusing()})
    watched = Watched(nodes)
    watched.session.start()
    wait_until(lambda: nodes.links.get("qb002"), "the link")
    nodes.links["qb002"][0].say(1.0)
    wait_until(lambda: watched.samples, "the sample")
    wait_until(lambda: watched.states()["qb003"] is NodeState.LOST, "the refusal")
    assert watched.states()["qb001"] is NodeState.CONNECTING
    assert watched.status("qb003").reason == "no: do this"
    hangs.set()
    watched.session.stop()


def test_a_lost_node_is_tried_again_at_growing_distances() -> None:
    nodes = Nodes({"qb001": refusing()})
    watched = Watched(nodes)
    watched.session.start()
    wait_until(lambda: len(nodes.attempts) >= 4, "the attempts")
    watched.session.stop()
    waits = [
        status.retry_at_s - status.since_s
        for status in watched.changes
        if status.state is NodeState.LOST and status.retry_at_s is not None
    ]
    assert all(later > 1.5 * earlier for earlier, later in pairwise(waits))


def test_a_node_comes_back() -> None:
    scripts: dict[str, Callable[[], SocketLink]] = {"qb001": SocketLink}
    nodes = Nodes(scripts)
    watched = Watched(nodes)
    watched.session.start()
    wait_until(lambda: nodes.links.get("qb001"), "the link")
    first = nodes.links["qb001"][0]
    first.say(1.0)
    wait_until(lambda: watched.samples, "the sample")
    first.complaints = "Killed"
    first.node.close()
    wait_until(lambda: len(nodes.links["qb001"]) == 2, "the second link")
    nodes.links["qb001"][1].say(2.0)
    wait_until(lambda: len(watched.samples) == 2, "the sample after it")
    told = [(status.state, status.reason) for status in watched.changes]
    assert told == [
        (NodeState.CONNECTING, ""),
        (NodeState.LIVE, ""),
        (NodeState.LOST, "Killed"),
        (NodeState.CONNECTING, ""),
        (NodeState.LIVE, ""),
    ]
    watched.session.stop()


def test_what_needs_a_person_is_not_tried_again_until_asked() -> None:
    nodes = Nodes({"qb001": refusing(Trouble.KEY_CHANGED)})
    watched = Watched(nodes)
    watched.session.start()
    wait_until(lambda: watched.states()["qb001"] is NodeState.LOST, "the refusal")
    assert watched.status("qb001").retry_at_s is None
    assert nodes.attempts == ["qb001"]
    watched.session.retry()
    wait_until(lambda: len(nodes.attempts) == 2, "the second attempt")
    watched.session.stop()


def test_odd_lines_are_left_out() -> None:
    nodes = Nodes({"qb001": SocketLink})
    watched = Watched(nodes)
    watched.session.start()
    wait_until(lambda: nodes.links.get("qb001"), "the link")
    link = nodes.links["qb001"][0]
    link.node.sendall(b'{"half\n\xff\xfe\n[]\n')
    link.say(3.0)
    wait_until(lambda: watched.samples, "the sample")
    assert [sample.at_s for sample in watched.samples] == [3.0]
    watched.session.stop()


def test_a_late_reading_makes_a_node_stale() -> None:
    nodes = Nodes({"qb001": SocketLink})
    watched = Watched(nodes, interval_s=0.5)
    watched.session.start()
    wait_until(lambda: nodes.links.get("qb001"), "the link")
    nodes.links["qb001"][0].say(1.0)
    wait_until(lambda: watched.states()["qb001"] is NodeState.LIVE, "the sample")
    wait_until(lambda: watched.states()["qb001"] is NodeState.STALE, "the node to be late")
    late = watched.status("qb001")
    assert (late.reason, late.since_s) == ("its readings are late", late.last_at_s)
    nodes.links["qb001"][0].say(2.0)
    wait_until(lambda: watched.states()["qb001"] is NodeState.LIVE, "the next sample")
    watched.session.stop()


def test_a_silent_node_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "SILENT_S", 0.3)
    monkeypatch.setattr(remote, "ALIVE_S", 0.1)
    monkeypatch.setattr(remote, "LATE_INTERVALS", 1.0)
    nodes = Nodes({"qb001": SocketLink})
    watched = Watched(nodes, interval_s=0.1)
    watched.session.start()
    wait_until(lambda: len(nodes.attempts) > 1, "another attempt")
    reasons = [status.reason for status in watched.changes if status.state is NodeState.LOST]
    assert reasons[0].startswith("no reading for")
    watched.session.stop()


def test_the_probe_is_told_that_somebody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "ALIVE_S", 0.05)
    nodes = Nodes({"qb001": SocketLink})
    watched = Watched(nodes)
    watched.session.start()
    wait_until(lambda: nodes.links.get("qb001"), "the link")
    node = nodes.links["qb001"][0].node
    node.settimeout(10)
    assert node.recv(10) == b"\n"
    watched.session.stop()


def test_stop_ends_links_and_threads() -> None:
    names = [f"qb{number:03}" for number in range(20)]
    nodes = Nodes(dict.fromkeys(names, SocketLink))
    watched = Watched(nodes)
    watched.session.start()
    wait_until(lambda: len(nodes.links) == len(names), "the links")
    began_s = time.monotonic()
    watched.session.stop(patience_s=20.0)
    assert time.monotonic() - began_s < 15
    assert not [one for one in threading.enumerate() if one.name.startswith("hpcwatch-qb")]
    for (link,) in nodes.links.values():
        assert link.node.recv(1) == b""


def test_a_probe_is_told_every_name_of_the_job_on_its_nodes() -> None:
    job = Job(id="305669.qb3", scheduler="torque", owner="alice", started_at_s=100.0)
    spec = remote.spec_of([job], 2.0)
    assert (spec.job_ids, spec.user, spec.started_at_s) == (["305669.qb3", "305669"], "alice", 100)
    task = Job(id="2_3", scheduler="slurm", raw_id="18")
    assert remote.spec_of([task], 2.0, "bob").job_ids == ["18"]
    assert remote.spec_of([], 2.0).is_everyone


def test_files_older_than_the_watching_are_nobody_s_if_the_start_is_unknown() -> None:
    before_s = time.time()
    spec = remote.spec_of([Job(id="1", scheduler="slurm")], 2.0)
    assert spec.started_at_s >= before_s


def heard(link: SocketLink, what: bytes) -> bool:
    """True once the node has received a text."""
    link.heard += link.node.recv(65536) if select.select([link.node], [], [], 0)[0] else b""
    return what in link.heard


def test_a_wish_is_said_after_the_first_sample_and_again_to_the_next_probe() -> None:
    nodes = Nodes({"qb001": SocketLink, "qb002": SocketLink})
    watched = Watched(nodes)
    watched.session.start()
    watched.session.ask({"qb001": Wish(is_every_process=True)})
    wait_until(lambda: nodes.links.get("qb001"), "the link")
    first = nodes.links["qb001"][0]
    assert not heard(first, b"wish")
    first.say(1.0)
    said = to_message(Wish(is_every_process=True))
    wait_until(lambda: heard(first, said), "the wish")
    first.node.close()
    wait_until(lambda: len(nodes.links["qb001"]) == 2, "the next connection")
    second = nodes.links["qb001"][1]
    second.say(2.0)
    wait_until(lambda: heard(second, said), "the wish again")
    watched.session.ask({})
    second.say(3.0)
    wait_until(lambda: heard(second, to_message(NOTHING)), "the end of it")
    wait_until(lambda: nodes.links.get("qb002"), "the other link")
    nodes.links["qb002"][0].say(1.0)
    wait_until(lambda: len(watched.samples) == 4, "the other's sample")
    assert not heard(nodes.links["qb002"][0], b"{")
    watched.session.stop()


def test_of_many_nodes_each_first_reading_is_passed_on_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, may_begin = threading.Event(), threading.Event()

    def pause(_wait_s: float) -> None:
        begun.set()
        may_begin.wait(20)

    monkeypatch.setattr(rounds, "pause", pause)
    names = [f"qb{number:03}" for number in range(3)]
    nodes = Nodes(dict.fromkeys(names, SocketLink))
    watched = Watched(nodes, interval_s=0.1)  # 30 readings a second
    watched.session.start()
    wait_until(lambda: len(nodes.links) == len(names), "the links")
    for (link,) in nodes.links.values():
        link.say(1.0)
    wait_until(lambda: len(watched.samples) == len(names), "the first readings")
    assert not begun.is_set()
    for (link,) in nodes.links.values():
        link.say(2.0)
    wait_until(begun.is_set, "the round")
    assert {sample.at_s for sample in watched.samples} == {1.0}
    may_begin.set()
    wait_until(lambda: len(watched.samples) == 2 * len(names), "the next readings")
    last = watched.samples[len(names) :]
    assert sorted((sample.host, sample.at_s) for sample in last) == [(one, 2.0) for one in names]
    watched.session.stop()


def test_of_many_nodes_one_that_writes_too_much_is_lost_alone() -> None:
    names = ["qb001", "qb002", "qb003"]
    nodes = Nodes(dict.fromkeys(names, SocketLink))
    watched = Watched(nodes, interval_s=0.1)
    watched.session.start()
    wait_until(lambda: len(nodes.links) == len(names), "the links")
    for (link,) in nodes.links.values():
        link.say(1.0)
    wait_until(lambda: len(watched.samples) == len(names), "the first readings")
    nodes.links["qb002"][0].node.sendall(1000 * b"{}\n")
    for name in ("qb001", "qb003"):
        nodes.links[name][0].say(2.0)
    wait_until(lambda: len(watched.samples) == len(names) + 2, "the others' readings")

    def losses() -> list[NodeStatus]:
        return [one for one in watched.changes if one.state is NodeState.LOST]

    wait_until(losses, "the loss")
    told = {(one.host, one.reason) for one in losses()}
    assert told == {("qb002", "it writes much more than a probe does")}
    watched.session.stop()

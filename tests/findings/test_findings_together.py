"""The same finding on many nodes is told once, with all of their names."""

from __future__ import annotations

from hpcwatch.analysis.findings import Finding, Severity
from hpcwatch.analysis.findings.together import together, told


def finding(host: str, severity: Severity = Severity.WARNING, **more: object) -> Finding:
    base = Finding("cpu-low", severity, host, "job", 0.0, 60.0, f"idle on {host}", {}, "ask less")
    return base._replace(**more)  # type: ignore[arg-type]


def test_the_same_finding_on_several_hosts_is_joined() -> None:
    (one,) = told([finding("qb001"), finding("qb002", duration_s=90.0), finding("qb003")])
    assert (one.host, one.title) == ("qb[001-003]", "idle on qb002")


def test_many_hosts_leave_room_for_what_is_wrong() -> None:
    hosts = [f"qb{number:03}" for number in range(0, 100, 7)]
    (one,) = told([finding(host) for host in hosts])
    assert one.host == "15 nodes like qb000"


def test_different_findings_are_not_joined() -> None:
    found = [
        finding("qb001", Severity.CRITICAL),
        finding("qb002"),
        finding("qb003", entity="GPU 1"),
        finding("qb004", rule="gpu-unused"),
    ]
    assert told(found) == found


def test_each_host_counts_once() -> None:
    ((_, hosts),) = together([finding("qb001"), finding("qb001", title="again")])
    assert hosts == ("qb001",)

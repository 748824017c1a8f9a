"""The dashboards: each expression names what we export, and a real Prometheus answers it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from export_scenes import JOB, finding, sample, scene
from program import ROOT
from prometheus_server import Prometheus, Target

from hpcwatch.export import families, jobstats
from hpcwatch.export.exporter import Exporter
from hpcwatch.export.scene import Made, Numbers
from hpcwatch.export.text import sample_name
from hpcwatch.export.wanted import Address, Wanted

FOLDER = ROOT / "examples" / "grafana"
BOARDS = sorted(path.name for path in FOLDER.glob("*.json"))
VARIABLES = {
    "job.json": {"cluster": "c1", "jobid": JOB.id, "host": "n1"},
    "jobstats.json": {"cluster": "c1", "jobid": jobstats.job_number(JOB), "host": "n1"},
}
_METRIC = re.compile(r"\b(?:hpcwatch|cgroup|nvidia_gpu)_\w+")
_LABEL_VALUES = re.compile(r"label_values\((.*), (\w+)\)")


class Asked(NamedTuple):
    """An expression of a dashboard, and where it stands."""

    board: str
    where: str
    expression: str


def board(name: str) -> dict[str, Any]:
    """A dashboard."""
    made: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return made


def asked(name: str) -> Iterator[Asked]:
    """Every expression of a dashboard: of its panels, annotations and variables."""
    made = board(name)
    for panel in made["panels"]:
        for target in panel.get("targets", ()):
            yield Asked(name, panel["title"], target["expr"])
    for one in made["annotations"]["list"]:
        yield Asked(name, f"annotation {one['name']}", one["expr"])
    for one in made["templating"]["list"]:
        if one["type"] == "query":
            found = _LABEL_VALUES.fullmatch(one["definition"])
            assert found is not None
            yield Asked(name, f"variable {one['name']}", f"count by ({found[2]}) ({found[1]})")


def filled(one: Asked, **variables: str) -> str:
    """An expression with the values that Grafana would put into it."""
    expression = one.expression.replace("$__rate_interval", "5m")
    for name, text in {**VARIABLES[one.board], **variables}.items():
        expression = expression.replace(f"${{{name}:regex}}", re.escape(text))
        expression = expression.replace(f"${name}", text)
    return expression


EVERY = [one for name in BOARDS for one in asked(name)]


class Still:
    """A source that always shows the same job."""

    def numbers(self, made: Made, is_last: bool = False) -> Numbers:
        samples = [sample(host, step) for host in ("n1", "n2.site") for step in (0, 1, 2)]
        whole = finding("", "job")._replace(rule="node-imbalance")
        return Numbers.of(scene(samples, findings=[finding(), whole]), made)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes one job under both names."""
    exporters = [
        Exporter([Still()], Wanted(names=name, listen=Address("127.0.0.1", 0)), pytest.fail)
        for name in ("hpcwatch", "jobstats")
    ]
    targets: list[Target] = []
    for exporter in exporters:
        exporter.start()
        assert exporter.listener is not None
        targets.append(Target(f"job{len(targets)}", f"127.0.0.1:{exporter.listener.port}"))
    try:
        with Prometheus(tmp_path_factory.mktemp("grafana"), targets) as made:
            for name in ("hpcwatch_cpu_seconds_total", "cgroup_cpu_total_seconds"):
                made.wait_for(f"count_over_time({name}[5m]) >= 3")
            yield made
    finally:
        for exporter in exporters:
            exporter.stop()


def test_there_are_two_dashboards() -> None:
    assert sorted(VARIABLES) == BOARDS


@pytest.mark.parametrize("name", BOARDS)
def test_open_ondemand_s_variables_are_there_and_panels_do_not_overlap(name: str) -> None:
    made = board(name)
    assert {"cluster", "jobid", "host"} <= {one["name"] for one in made["templating"]["list"]}
    taken: set[tuple[int, int]] = set()
    for panel in made["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    ids = [panel["id"] for panel in made["panels"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("one", EVERY, ids=lambda one: f"{one.board}:{one.where}")
def test_each_expression_names_what_is_exported(one: Asked) -> None:
    ours = {sample_name(family) for family in (*families.all_families(), *jobstats.FAMILIES)}
    named = set(_METRIC.findall(one.expression))
    assert named
    assert named <= ours


@pytest.mark.parametrize("one", EVERY, ids=lambda one: f"{one.board}:{one.where}")
def test_each_expression_has_an_answer(one: Asked, server: Prometheus) -> None:
    expression = filled(one)
    assert "$" not in expression.replace('"$1"', "")
    rows = server.wait_for(expression)  # a scrape may have taken too long just now
    if "host" in one.expression:
        assert {row.labels.get("node", "") for row in rows} <= {"n1", ""}
    all_nodes = server.wait_for(expression.replace("(n1)", "(.*)"))
    assert len(all_nodes) >= len(rows)


def test_both_findings_are_in_the_table(server: Prometheus) -> None:
    (one,) = [one for one in EVERY if one.where.startswith("Findings")]
    rules = {row.labels["rule"] for row in server.wait_for(filled(one))}
    assert rules == {"gpu-unused", "node-imbalance"}


def test_a_domain_is_no_part_of_the_variable(server: Prometheus) -> None:
    (one,) = [one for one in EVERY if one.where == "GPU utilisation" and one.board == "job.json"]
    nodes = {row.labels["node"] for row in server.wait_for(filled(one, host="n2"))}
    assert nodes == {"n2.site"}


@pytest.mark.parametrize("job_id", ["4711.qb3", "4711"])
def test_a_job_is_found_with_and_without_its_server(server: Prometheus, job_id: str) -> None:
    (one,) = [one for one in EVERY if one.where == "Memory in use" and "used" in one.expression]
    assert len(server.wait_for(filled(one, jobid=job_id))) == 1
    assert server.query(filled(one, jobid="471")) == []


JOBSTATS = {
    "total_memory": (
        "max_over_time(cgroup_memory_total_bytes{cluster='c1',jobid='4711',step='',task=''}[600s])",
        32 << 30,
    ),
    "used_memory": (
        "max_over_time(((cgroup_memory_rss_bytes{cluster='c1',jobid='4711',step='',task=''}"
        "+cgroup_memory_shmem_bytes{cluster='c1',jobid='4711',step='',task=''}) or "
        "1*cgroup_memory_rss_bytes{cluster='c1',jobid='4711',step='',task=''})[600s:])",
        6 << 30,
    ),
    "total_time": (
        "max_over_time(cgroup_cpu_total_seconds{cluster='c1',jobid='4711',step='',task=''}[600s])",
        7.0,
    ),
    "cpus": ("max_over_time(cgroup_cpus{cluster='c1',jobid='4711',step='',task=''}[600s])", 8),
    "gpu_total_memory": (
        "max_over_time(nvidia_gpu_memory_total_bytes{cluster='c1',jobid='4711'}[600s:])",
        40 << 30,
    ),
    "gpu_used_memory_by_id": (
        "max_over_time((nvidia_gpu_memory_used_bytes{cluster='c1'} and nvidia_gpu_jobId == 4711)"
        "[600s:])",
        None,
    ),
    "gpu_utilization": (
        "avg_over_time((nvidia_gpu_duty_cycle{cluster='c1',jobid='4711'} or "
        "(nvidia_gpu_graphics_util_percent{cluster='c1',jobid='4711'} * 100))[600s:])",
        None,
    ),
}
"""Queries of the jobstats command, as its jobstats.py of June 2026 writes them, and each value."""


@pytest.mark.parametrize("name", JOBSTATS)
def test_the_jobstats_command_finds_a_torque_job(server: Prometheus, name: str) -> None:
    expression, wanted = JOBSTATS[name]
    rows = server.wait_for(expression)
    assert len(rows) == (4 if name.startswith("gpu") else 2), rows
    assert {row.labels["instance"].partition(":")[0] for row in rows} == {"n1", "n2.site"}
    if wanted is not None:
        assert {row.value for row in rows} == {wanted}

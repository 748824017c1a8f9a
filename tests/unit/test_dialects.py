"""What the record of each scheduler holds, and that nothing else names a scheduler."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
from program import ROOT

from hpcwatch.cluster.schedulers import (
    NAMES,
    dialect,
    inside,
    inside_of,
    known,
    variable_prefixes,
)
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.transport import ways
from hpcwatch.config import schema
from hpcwatch.probe import evidence
from hpcwatch.probe.cgroup import job_id_in

PACKAGE = ROOT / "hpcwatch"
OWN_ROOM = PACKAGE / "cluster" / "schedulers"
LAUNCHERS = {
    "cli/program_report.py": "the rank that a launcher gives to its process",
    "cli/rank.py": "the same",
    "cluster/current_job.py": "srun starts several tasks, as mpirun does",
    "monitor/own_request.py": "the same",
}
"""Files that ask what a launcher sets -> why that is no matter of the scheduler's record."""


@cache
def strings(path: Path) -> tuple[tuple[int, str], ...]:
    """All strings in a module but its docstrings: line and text."""
    tree = ast.parse(path.read_text())
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return tuple(
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told
    )


OTHERS = [path for path in sorted(PACKAGE.rglob("*.py")) if OWN_ROOM not in path.parents]


def test_no_other_module_compares_a_scheduler_s_name() -> None:
    named = [
        f"{path.relative_to(PACKAGE)}:{line}: {text}"
        for path in OTHERS
        for line, text in strings(path)
        if text in NAMES
    ]
    assert named == []


def test_no_other_module_reads_a_scheduler_s_variables() -> None:
    read = {
        str(path.relative_to(PACKAGE))
        for path in OTHERS
        for _, text in strings(path)
        if text.startswith(variable_prefixes()) and text.isupper()
    }
    assert read == set(LAUNCHERS)


def test_the_probe_looks_for_every_scheduler_s_variable() -> None:
    """It imports nothing of the record."""
    assert {f"{variable}=".encode() for variable in NAMES.values()} <= set(evidence._VARIABLES)


@pytest.mark.parametrize("name", ["", "job", "request", "__init__", "../x", "hpcwatch", None])
def test_a_foreign_name_is_no_scheduler_and_nothing_is_imported(name: str | None) -> None:
    assert known(name) is None


def test_the_record_names_transports_that_exist() -> None:
    for name in NAMES:
        assert set(dialect(name).transports) <= set(ways.NAMES)
    [key] = [key for key in schema.KEYS if key.name == "ssh.transport"]
    assert key.choices == ways.NAMES


def test_what_is_known_of_a_job_from_inside_is_the_record_s() -> None:
    for name, variable in NAMES.items():
        assert inside(name) is dialect(name).inside
        assert inside(name) in inside_of({variable: "1"})
    assert inside_of({"HOME": "/"}) == []


@pytest.mark.parametrize("name", list(NAMES))
def test_every_dialect_is_whole(name: str) -> None:
    record = dialect(name)
    assert (record.name, record.commands.name) == (name, name)
    assert set(record.required) <= set(record.purposes)
    assert record.probe[0] in record.required
    assert record.requests.PREFIX.startswith("#")
    assert record.inside.job({}, lambda _: None) is None


@pytest.mark.parametrize("name", list(NAMES))
def test_the_probe_knows_every_scheduler_s_control_groups(name: str) -> None:
    for group in dialect(name).job_groups:
        assert job_id_in(f"{group}/step_0") in ("5", "5.qb3"), group


ODD_WORDS = ["a\nrm -rf x", "a\x1b[2J", "a\x9b31m", "a\u202e", "a\udcff"]


@pytest.mark.parametrize("word", ODD_WORDS)
@pytest.mark.parametrize("name", list(NAMES))
def test_no_line_to_paste_holds_what_ends_a_line_or_moves_a_cursor(name: str, word: str) -> None:
    of = Job("1", name, node_cores_count=4, name=word, queue=word, account=word)
    asked = of._replace(
        submit_arguments=f'-N 1 -l nodes=1 -p {word} -q "{word}" job.sh',
        requested=(f"nodes={word}", f"Partition={word}", f"select={word}"),
    )
    script = of._replace(script_lines=(f"{dialect(name).requests.PREFIX} -N 1 -q {word}",))
    for job in (asked, script, asked._replace(script_lines=())):
        for line in dialect(name).requests.read(job, {}).lines:
            assert line.isprintable(), line

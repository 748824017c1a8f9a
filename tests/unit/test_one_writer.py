"""One module makes files and folders, one reads recordings: the others are looked through here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hpcwatch

ROOM = Path(hpcwatch.__file__).parent

WRITERS = {
    "base/files.py": "the writer itself",
    "events.py": "runs inside of the user's program and appends to the file it is told",
    "launch/spawn.py": "the events file is shared with the program, before anything is imported",
    "launch/program.py": "/dev/null",
    "probe/bundled.py": "runs on nodes and imports nothing of hpcwatch; mkdtemp is private",
    "probe/__main__.py": "runs on nodes; /proc/self/comm",
    "cli/give_back.py": "scontrol writes scripts where it runs: a private folder, removed again",
    "cli/man_pages.py": "the files of a wheel that is being built",
    "cli/pdf.py": "the page that a browser prints: a private folder, removed again",
    "cli/trainers.py": "copies the trainers into a folder that the user names",
    "cluster/transport/known_hosts.py": "the user's own file, whose links ssh follows, too",
    "sweep/task_program.py": "the program's own output",
}
"""Modules that may make, rename or truncate files; each with its reason."""

READERS = {
    "base/reading.py": "the reader itself",
    "cli/doctor_checks/site.py": "the NVIDIA driver's parameters, below /proc",
    "cli/sweep.py": "a joblog that the user names: it may be a pipe",
    "sweep/combinations.py": "a table that the user names: it may be a pipe",
    "cluster/transport/bundle.py": "hpcwatch's own modules",
    "cluster/transport/known_hosts.py": "the user's own file",
    "cluster/transport/host_check.py": "the user's own file",
    "cluster/transport/ssh_identities.py": "the user's own file",
    "probe/procfs.py": "/proc, and trees of it in tests",
    "probe/gpu_use.py": "/proc, and trees of it in tests",
    "monitor/other_nodes.py": "a descriptor of a pipe",
    "monitor/own_request.py": "a descriptor of a pipe",
}
"""Modules that may open a file for reading that does not lie in /proc; each with its reason."""

_MAKES = {
    "os": {
        "makedirs", "mkdir", "rename", "replace", "renames", "link", "truncate", "mknod", "mkfifo",
    },
    "tempfile": {"mkstemp", "mkdtemp", "NamedTemporaryFile", "TemporaryDirectory", "mktemp"},
    "shutil": {"copy", "copy2", "copyfile", "copytree", "move"},
}  # fmt: skip
_PATH_METHODS = {"write_text", "write_bytes", "touch"}


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str, str]]:
    """Yield each call with the name before the dot and the one after it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                before = node.func.value
                yield node, before.id if isinstance(before, ast.Name) else "?", node.func.attr
            elif isinstance(node.func, ast.Name):
                yield node, "", node.func.id


def mode_of(call: ast.Call) -> str:
    named = [word.value for word in call.keywords if word.arg == "mode"]
    given = named or call.args[1:2]
    if not given:
        return "r"
    return given[0].value if isinstance(given[0], ast.Constant) else "w"  # type: ignore[return-value]


def text_of(call: ast.Call) -> str:
    return ast.unparse(call.args[0]) if call.args else ""


def writes(tree: ast.AST) -> Iterator[str]:
    for call, before, name in calls(tree):
        is_open = (before, name) == ("", "open") and set(mode_of(call)) & set("wax+")
        is_of_descriptor = is_open and text_of(call).startswith(("descriptor", "files."))
        makes = name in _MAKES.get(before, ()) or name in _PATH_METHODS
        creates = (before, name) == ("os", "open") and any(
            flag in ast.unparse(call) for flag in ("O_CREAT", "O_TRUNC", "O_WRONLY", "O_RDWR")
        )
        is_terminal = creates and ("/dev/tty" in text_of(call) or "devnull" in text_of(call))
        if makes or (is_open and not is_of_descriptor) or (creates and not is_terminal):
            yield f"line {call.lineno}: {ast.unparse(call)[:80]}"


def reads(tree: ast.AST) -> Iterator[str]:
    for call, before, name in calls(tree):
        is_open = (before, name) == ("", "open") and mode_of(call) in ("r", "rb", "rt")
        is_load = (before, name) == ("json", "load")
        if is_load or (is_open and "/proc/" not in text_of(call)):
            yield f"line {call.lineno}: {ast.unparse(call)[:80]}"


def found(look: object, allowed: dict[str, str]) -> dict[str, list[str]]:
    wrong = {}
    for path in sorted(ROOM.rglob("*.py")):
        name = str(path.relative_to(ROOM))
        lines = list(look(ast.parse(path.read_text())))  # type: ignore[operator]
        if lines and name not in allowed:
            wrong[name] = lines
    return wrong


def test_only_one_module_makes_files_and_folders() -> None:
    assert found(writes, WRITERS) == {}


def test_only_one_module_opens_files_to_read_them() -> None:
    assert found(reads, READERS) == {}


@pytest.mark.parametrize("allowed", [WRITERS, READERS])
def test_each_exception_is_a_module_that_is_there(allowed: dict[str, str]) -> None:
    assert [name for name in allowed if not (ROOM / name).is_file()] == []


WRONG = (
    'open(path, "w")',
    'open(path, mode="ab")',
    "open(path, mode)",
    "os.open(path, os.O_WRONLY | os.O_CREAT)",
    "os.makedirs(path, mode=0o700)",
    "os.replace(a, b)",
    "os.rename(a, b)",
    "tempfile.mkstemp()",
    "Path(path).write_text(text)",
)


@pytest.mark.parametrize("line", WRONG)
def test_what_is_forbidden_is_seen(line: str) -> None:
    assert list(writes(ast.parse(line)))


@pytest.mark.parametrize("line", ["open(path)", "json.load(stream)", 'open(path, "rb")'])
def test_a_reader_of_its_own_is_seen(line: str) -> None:
    assert list(reads(ast.parse(line)))

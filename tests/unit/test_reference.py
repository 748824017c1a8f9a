"""Pages made from the code: every command, configuration key, JSON key and CSV column."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from program import Hpcwatch
from test_report import KEYS as JSON_KEYS

from hpcwatch.cli.described import commands
from hpcwatch.cli.pages import PAGES
from hpcwatch.config.schema import KEYS

RECORDING = Path(__file__).resolve().parents[2] / "examples" / "recordings" / "mnist_cnn"


@cache
def page(name: str) -> str:
    return "\n".join(PAGES[f"reference/{name}"]())


def cells(text: str) -> list[str]:
    return [
        re.split(r"(?<!\\)\|", line)[1].strip() for line in text.splitlines() if line[:1] == "|"
    ]


def test_every_command_and_option_has_a_row() -> None:
    text = page("commands").replace("\\|", "|")
    for command in commands():
        section = text.partition(f"\n## hpcwatch {command.name}\n")[2].partition("\n## ")[0]
        assert command.synopsis in section
        for option in command.options:
            if "--help" not in option.flags:
                assert f"| `{', '.join(option.flags)}" in section


def test_every_key_of_the_configuration_has_a_row() -> None:
    text = page("configuration")
    for key in KEYS:
        assert f"| `{key.name}` |" in text
        assert f"`{key.variable}` |" in text


@pytest.mark.parametrize("path", JSON_KEYS)
def test_every_key_of_report_json_has_a_row_with_its_type(path: str) -> None:
    """The list of keys is the one that holds version 1."""
    lists = (
        "gpus",
        "mounts",
        "sources",
        "findings",
        "changes",
        "nodes",
        "gaps",
        "processes",
        "ranks",
        "events",
        "fixed",
        "parts",
    )
    title = ".".join(f"{name}[]" if name in lists else name for name in path.split(".") if name)
    title = title.replace("directives", "directives[]") if "findings[]." in title else title
    if path == "directives.changes":
        title = "findings[].directives[]"
    heading = f"\n## `{title}`\n" if title else "\n## The whole\n"
    assert heading in page("json")
    section = page("json").partition(heading)[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([a-z ]+) \| (.+) \|$", section, re.MULTILINE)
    assert {name for name, _, _ in rows} == set(JSON_KEYS[path].split())
    assert not re.search(r"\bNone\b", section)


def test_the_columns_of_the_csv_are_those_that_are_written(hpcwatch: Hpcwatch) -> None:
    head = hpcwatch("report", RECORDING, "--format", "csv").out.splitlines()[0]
    rows = [name for cell in cells(page("csv")) for name in re.findall(r"`(\w+)`", cell)]
    assert rows == head.split(",")

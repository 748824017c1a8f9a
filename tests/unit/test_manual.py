"""The manual page says what the commands take now, and is one that roff can read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from program import ROOT, Hpcwatch

from hpcwatch.cli import COMMANDS
from hpcwatch.cli.arguments import Argument
from hpcwatch.cli.described import SUBCOMMANDS, Command, commands
from hpcwatch.cli.manual import _EXAMPLES, lines

PAGE = ROOT / "hpcwatch" / "data" / "hpcwatch.1"


def test_the_page_is_what_the_commands_say_now() -> None:
    wanted = "\n".join(lines(commands())) + "\n"
    again = "python -m hpcwatch.cli.manual > hpcwatch/data/hpcwatch.1"
    assert PAGE.read_text("utf-8") == wanted, f"make it anew: {again}"


def test_the_wheel_brings_it_where_man_looks() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert f'"{PAGE.relative_to(ROOT)}" = "share/man/man1/hpcwatch.1"' in text


def test_every_command_and_option_is_in_it() -> None:
    text = PAGE.read_text("utf-8").replace("\\-", "-")
    for command in commands():
        assert f".SS hpcwatch {command.name}" in text
        for option in command.options:
            assert all(flag in text for flag in option.flags if flag not in ("-h", "--help"))
    names = [command.name for command in commands()]
    assert [name for name in names if name not in SUBCOMMANDS] == list(COMMANDS)
    assert set(names) - set(COMMANDS) == set(SUBCOMMANDS)


def test_damaged_text_is_never_read_as_a_request() -> None:
    word = Argument((), "WORD", (), None, ".so /etc/passwd \\w'x' -a")
    page = list(lines([Command("x", "", "'tl evil", "", (), (word,))]))
    assert r"\&.so /etc/passwd \ew'x' \-a" in page
    assert r"\&'tl evil" in page
    assert r".SS hpcwatch x [options] WORD" in page


def test_described_are_all_arguments_with_their_values() -> None:
    (run,) = [command for command in commands() if command.name == "run"]
    options = {flag: option for option in run.options for flag in option.flags}
    assert options["--view"].choices == ("auto", "panel", "line", "none")
    assert (options["--output"].metavar, options["--name"].metavar) == ("DIR", "NAME")
    (once,) = [
        option
        for command in commands()
        if command.name == "job"
        for option in command.options
        if "--once" in option.flags
    ]
    assert once.metavar == ""
    (jobs,) = [command for command in commands() if command.name == "jobs"]
    assert any("-u" in option.flags for option in jobs.options)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_is_printed_by_every_command(hpcwatch: Hpcwatch, name: str) -> None:
    ended = hpcwatch(name, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("usage: hpcwatch")


def test_the_module_prints_the_page(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    ended = hpcwatch.shell([sys.executable, "-m", "hpcwatch.cli.manual"])
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == PAGE.read_text("utf-8")


def test_it_ends_in_examples_and_keys_name_their_defaults() -> None:
    text = PAGE.read_text("utf-8").replace("\\-", "-")
    assert ".B run.interval_s\nseconds between two readings of a node (default 1)\n" in text
    examples = text.partition(".SH EXAMPLES\n")[2]
    assert ".B hpcwatch replay --at 1:30:00 --speed 20\nReplay the latest recording" in examples


def test_the_examples_are_commands_that_are_understood(hpcwatch: Hpcwatch) -> None:
    known = {command.name: command for command in commands()}
    for line, _ in _EXAMPLES:
        program, name, *words = line.partition(" -- ")[0].split()
        flags = {flag for option in known[name].options for flag in option.flags}
        assert program == "hpcwatch"
        assert {word for word in words if word.startswith("-")} <= flags


def test_every_option_has_a_help_text_and_shared_options_have_one() -> None:
    texts: dict[str, set[str]] = {}
    for command in commands():
        for argument in (*command.options, *command.words):
            assert argument.what, (command.name, argument.flags or argument.metavar)
            for flag in argument.flags:
                texts.setdefault(flag, set()).add(argument.what)
    shared = ("--color", "--interval", "--scheduler", "--transport", "--view", "--help")
    assert {flag: texts[flag] for flag in shared if len(texts.get(flag, ())) > 1} == {}

"""Completion scripts for bash, zsh and fish, made from the commands' own options. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.cli.described import Command
from hpcwatch.cli.shells import bash, fish, zsh


def script(shell: str, commands: Sequence[Command]) -> str:
    """Return the script for a shell."""
    made = {"bash": bash, "zsh": zsh, "fish": fish}[shell].script(commands)
    head = f"# Completion for {shell}, made by: hpcwatch completion {shell}\n"
    # zsh looks for its mark in the first line.
    return f"#compdef hpcwatch\n{head}{made}" if shell == "zsh" else head + made

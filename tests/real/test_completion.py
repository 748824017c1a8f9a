"""Completion in the shells themselves: commands, options, their values, runs and jobs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import Hpcwatch
from terminal import Terminal, needs_tmux
from unit_parts import run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakebin"))
import scenarios
from stand_in import SLURM, TORQUE, StandIn, path_without_schedulers

from hpcwatch.cli import COMMANDS
from hpcwatch.cli.completer import offers
from hpcwatch.cli.described import commands
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.probe.listing import login_name
from hpcwatch.recording.store import RunDirectory

needs_zsh = pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
needs_fish = pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
RUN, JOB = "20260101-000000-train-0001", "305669.qb3"
SWEEP = "20260103-000000-grid-0003"


class Shells:
    """A folder with the scripts, two recorded runs, and hpcwatch on PATH."""

    def __init__(self, hpcwatch: Hpcwatch) -> None:
        self.folder = hpcwatch.folder
        for run_id, job in ((RUN, None), ("20260102-000000-job-0002", Job(JOB, "torque"))):
            directory = RunDirectory.create(str(hpcwatch.runs / run_id))
            directory.write_run(run(id=run_id, job=job))
        (hpcwatch.runs.parent / "sweeps" / SWEEP).mkdir(parents=True)
        self.cluster: StandIn | None = None
        for name in ("$(touch evil)", "a b", "-rf", "x;touch evil"):
            (hpcwatch.runs / name).mkdir()
        (self.folder / "data").mkdir()
        (self.folder / "script.sh").write_text("true\n")
        program = self.folder / "bin" / "hpcwatch"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m hpcwatch "$@"\n')
        program.chmod(0o755)
        self.environment = {
            **hpcwatch.environment,
            "PATH": ":".join([str(program.parent), *path_without_schedulers()]),
            "HOME": str(self.folder),
        }
        for shell in ("bash", "zsh", "fish"):
            ended = hpcwatch("completion", shell)
            assert (ended.code, ended.err) == (0, "")
            (self.folder / shell).write_text(ended.out)

    def run(self, *command: str) -> list[str]:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=self.folder,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert not (self.folder / "evil").exists()
        return done.stdout.splitlines()

    def bash(self, *words: str) -> set[str]:
        """What bash offers for the last of the words."""
        line = " ".join(map(shlex.quote, words))
        code = f"compopt() {{ :; }}; source ./bash; COMP_WORDS=({line}); "
        code += "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _hpcwatch; "
        code += "printf '%s\\n' \"${COMPREPLY[@]}\""
        return {word for word in self.run("bash", "--norc", "-c", code) if word}

    def fish(self, line: str) -> set[str]:
        """What fish offers at the end of a line."""
        code = f"source ./fish; complete -C {shlex.quote(line)}"
        return {row.partition("\t")[0] for row in self.run("fish", "--no-config", "-c", code)}


@pytest.fixture
def shells(hpcwatch: Hpcwatch) -> Shells:
    return Shells(hpcwatch)


def test_bash_offers_commands_options_values_runs_and_jobs(shells: Shells) -> None:
    assert shells.bash("hpcwatch", "") == set(COMMANDS)
    assert shells.bash("hpcwatch", "--v") == {"--version"}
    assert shells.bash("hpcwatch", "rep") == {"report", "replay"}
    assert shells.bash("hpcwatch", "run", "--fa") == {"--fail-on"}
    assert shells.bash("hpcwatch", "run", "--view", "") == {"auto", "panel", "line", "none"}
    assert shells.bash("hpcwatch", "run", "--view", "=", "p") == {"panel"}
    assert shells.bash("hpcwatch", "run", "--view", "=") == {"auto", "panel", "line", "none"}
    wanted = {"latest", RUN, "20260102-000000-job-0002", "train", JOB}
    assert shells.bash("hpcwatch", "report", "") == wanted
    assert shells.bash("hpcwatch", "compare", RUN, "20260101") == {RUN}
    assert shells.bash("hpcwatch", "replay", "tr") == {"train"}
    ids = {RUN, "20260102-000000-job-0002"}
    assert shells.bash("hpcwatch", "runs", "--delete", "2026010") == ids
    assert shells.bash("hpcwatch", "job", "3") == {JOB}
    assert shells.bash("hpcwatch", "cancel", "") == {JOB}
    assert shells.bash("hpcwatch", "explain", "memory-near") == {"memory-near-limit"}
    assert shells.bash("hpcwatch", "explain", "sweep-ta") == {"sweep-tail"}
    assert "show" in shells.bash("hpcwatch", "sweep", "")
    assert shells.bash("hpcwatch", "sweep", "show", "2026") == {SWEEP}
    assert "--best" in shells.bash("hpcwatch", "sweep", "show", "--")
    assert shells.bash("hpcwatch", "advice", "tr") == {"train"}
    assert shells.bash("hpcwatch", "jobs", "--by", "a") == {"array", "account"}
    assert shells.bash("hpcwatch", "jobs", "--state", "time") == {"timeout"}
    assert shells.bash("hpcwatch", "submit", "scr") == {"script.sh"}
    assert shells.bash("hpcwatch", "run", "--output", "da") == {"data"}
    assert shells.bash("hpcwatch", "run", "--name", "") == set()
    assert "python3" in shells.bash("hpcwatch", "run", "--", "python3")
    assert shells.bash("hpcwatch", "run", "--report", "m") == {"markdown:"}


@needs_fish
def test_fish_offers_commands_options_values_runs_and_jobs(shells: Shells) -> None:
    assert shells.fish("hpcwatch ") == set(COMMANDS)
    assert shells.fish("hpcwatch rep") == {"report", "replay"}
    assert shells.fish("hpcwatch run --fa") == {"--fail-on"}
    assert shells.fish("hpcwatch run --view ") == {"auto", "panel", "line", "none"}
    wanted = {"latest", RUN, "20260102-000000-job-0002", "train", JOB}
    assert shells.fish("hpcwatch report ") == wanted
    assert shells.fish("hpcwatch job 3") == {JOB}
    assert shells.fish("hpcwatch runs --delete 20260101") == {RUN}
    assert shells.fish("hpcwatch submit scr") == {"script.sh"}
    assert shells.fish("hpcwatch run --output da") == {"data/"}
    assert "python3" in shells.fish("hpcwatch run -- python3")
    assert "--fail-on" not in shells.fish("hpcwatch run -- ls --fa")


@pytest.fixture
def terminal(shells: Shells, tmp_path: Path) -> Iterator[Terminal]:
    kept = ("PATH", "PYTHONPATH", "HPCWATCH_HOME", "HOME", "XDG_CONFIG_HOME")
    env = {name: shells.environment[name] for name in kept}
    with Terminal(tmp_path, 100, 30, env) as made:
        made.type(f"cd {tmp_path}")
        yield made


@needs_tmux
def test_the_tab_key_completes_in_bash(terminal: Terminal) -> None:
    terminal.type("source ./bash; clear")
    terminal.wait_until(lambda: terminal.screen()[0] == "$", "the prompt")
    terminal.type("hpcwatch repl", enter=False)
    terminal.press("Tab")
    terminal.wait_for("$ hpcwatch replay")
    terminal.type("20260101", enter=False)
    terminal.press("Tab")
    terminal.wait_for(f"$ hpcwatch replay {RUN}")


@needs_tmux
@needs_zsh
def test_the_tab_key_completes_in_zsh(terminal: Terminal) -> None:
    terminal.type("PS1='zsh> ' exec zsh -f")
    terminal.wait_for("zsh>")
    terminal.type(
        f"autoload -U compinit; compinit -u -d {terminal._home}/dump; source ./zsh; clear"
    )
    terminal.wait_until(lambda: terminal.screen()[0] == "zsh>", "the prompt")
    for typed, shown in (
        ("hpcwatch repl", "hpcwatch replay"),
        ("20260101", f"hpcwatch replay {RUN}"),
        (" --on", f"hpcwatch replay {RUN} --once"),
        (" --color al", f"hpcwatch replay {RUN} --once --color always"),
    ):
        terminal.type(typed, enter=False)
        terminal.press("Tab")
        terminal.wait_for(f"zsh> {shown}")
    terminal.press("C-u")
    for typed, shown in (
        ("hpcwatch job 3", f"hpcwatch job {JOB}"),
        (" --tr", f"hpcwatch job {JOB} --transport"),
    ):
        terminal.type(typed, enter=False)
        terminal.press("Tab")
        terminal.wait_for(f"zsh> {shown}")
    terminal.press("C-u")
    terminal.type("hpcwatch run --view pa", enter=False)
    terminal.press("Tab")
    terminal.wait_for("zsh> hpcwatch run --view panel")


def test_every_command_and_option_is_offered_with_what_it_is_for() -> None:
    names = {offer.word for offer in offers([""], lambda kind: ())}
    for command in commands():
        first, *more = command.name.split()
        assert first in names
        offered = {one.word: one.what for one in offers([first, *more, "-"], lambda kind: ())}
        for option in command.options:
            for flag in option.flags:
                assert offered[flag], (command.name, flag)


def test_a_value_behind_an_equals_sign_is_offered_whole_where_the_shell_does_not_split() -> None:
    words = [offer.word for offer in offers(["run", "--view=pa"], lambda kind: ())]
    assert words == ["--view=panel"]
    words = [offer.word for offer in offers(["run", "--view", "=", "pa"], lambda kind: ())]
    assert words == ["panel"]


def test_words_are_only_such_as_no_shell_could_misread(shells: Shells, hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("completion", "--complete", "--", "report", "")
    assert ended.out.splitlines() == ["latest", "20260102-000000-job-0002", RUN, "train", JOB]
    evil = RunDirectory.create(str(hpcwatch.runs / "20260103-evil"))
    evil.write_run(run(job=Job("1$(touch evil)", "torque")))
    assert hpcwatch("completion", "--complete", "--", "job", "").out.splitlines() == [JOB]


def test_nothing_recorded_offers_nothing_and_a_missing_shell_is_one_line(
    hpcwatch: Hpcwatch,
) -> None:
    assert hpcwatch("completion", "--complete", "--", "report", "") == (0, "", "")
    ended = hpcwatch("completion")
    assert (ended.code, "SHELL" in ended.complaint) == (2, True)
    ended = hpcwatch("completion", "tcsh")
    assert (ended.code, "tcsh" in ended.complaint) == (2, True)


def on_cluster(shells: Shells, kind: tuple[str, ...], scenario: scenarios.Scenario) -> StandIn:
    """Put a scheduler on the shells' PATH."""
    made = StandIn(shells.folder / "cluster", kind, scenario)
    program = shells.environment["PATH"].partition(":")[0]
    shells.environment |= made.environment
    shells.environment["PATH"] = f"{program}:{made.environment['PATH']}"
    return made


def test_my_jobs_in_the_queue_are_offered_and_the_scheduler_is_asked_once(shells: Shells) -> None:
    scenario = scenarios.slurm()
    scenario["*"]["squeue --json -u *"]["replace"] = {'"alice"': f'"{login_name(os.getuid())}"'}
    cluster = on_cluster(shells, SLURM, scenario)
    first = shells.bash("hpcwatch", "job", "")
    assert JOB in first
    assert len(first) > 10
    assert all(re.fullmatch(r"[0-9][0-9_+\[\].a-z-]*", word) for word in first)
    calls = len(cluster.calls)
    assert sum("--json -u" in call for call in cluster.calls) == 1
    assert shells.bash("hpcwatch", "cancel", "") == first
    assert len(cluster.calls) == calls
    assert JOB in shells.bash("hpcwatch", "report", "")
    kept = shells.folder / "home" / "queued"
    os.utime(kept, (0, 0))
    shells.bash("hpcwatch", "job", "")
    assert len(cluster.calls) > calls


def test_a_scheduler_that_does_not_answer_is_not_waited_for(shells: Shells) -> None:
    hang = {"*": {"*": {"hang_s": 600}}}
    on_cluster(shells, TORQUE, hang)
    began_s = time.monotonic()
    assert shells.bash("hpcwatch", "job", "") == {JOB}
    assert time.monotonic() - began_s < 100
    assert shells.bash("hpcwatch", "job", "") == {JOB}


@pytest.mark.parametrize("content", [b"7\n$(touch evil)\n;x\n", b"\xff\xfe", b""])
def test_what_is_kept_of_the_queue_is_only_words(shells: Shells, content: bytes) -> None:
    (shells.folder / "home" / "queued").write_bytes(content)
    assert shells.bash("hpcwatch", "job", "") == ({"7", JOB} if b"7" in content else {JOB})

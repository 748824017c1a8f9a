"""Lets every call and every import of the monitor fail in turn, each in a run of its own.

    guard_faults.py calls|imports|hangs FOLDER [NAME ...]

A first run of `hpcwatch run` lists what is called and imported once the program has been started.
Then each of it fails, from the start of the program on, in a run of a forked process. Standard
output says how many runs there were, and of those that were not as without hpcwatch, how they were.
$GUARD_OPTIONS are options of `hpcwatch run`, $GUARD_ONLY the beginning of what fails.
"""

from __future__ import annotations

import _thread
import builtins
import contextlib
import gc
import importlib
import json
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import hpcwatch.cli.run
import hpcwatch.launch.program as launch

CODE = 7
LASTS_S = 0.15
COMMANDS = {
    "short": ["sh", "-c", f"echo out; exit {CODE}"],
    "long": ["sh", "-c", f"echo out; sleep {LASTS_S}; exit {CODE}"],
}
OPTIONS = os.environ.get("GUARD_OPTIONS", "").split()
ONLY = tuple(os.environ.get("GUARD_ONLY", "").split()) or ("",)
LATE_S = 0.5
QUIET_S = 0.2
DEADLINE_S = 20.0
AT_ONCE = 4
MANY = 30
TIMES = 6
ERRORS: tuple[type[BaseException], ...] = (
    OSError,
    MemoryError,
    RuntimeError,
    ImportError,
    SystemExit,
)
THE_WAIT = {
    "hpcwatch.cli.run._exit_code",
    "hpcwatch.launch.program.Program.wait_plainly",
}
"""What is left if nothing else works. All else may fail."""


WAIT_ONLY = (
    "hpcwatch.cli.run.",
    "hpcwatch.launch.group_signal.",
    "hpcwatch.launch.program.",
    "hpcwatch.launch.spawn.",
    "hpcwatch.launch.waited.",
    "hpcwatch.monitor.guard.Guard.__init__",
    "hpcwatch.monitor.guard.Guard._start",
    "hpcwatch.monitor.guard.Guard._wake",
    "hpcwatch.monitor.guard._held",
    "hpcwatch.monitor.guard.Guard._worked_s",
    "hpcwatch.monitor.guard.Guard.finish",
)
"""What runs on the waiting thread asks the kernel and /tmp only, or makes a lock: it may fail, not
hang."""


class Case(NamedTuple):
    command: str
    name: str
    how: str


class Outcome(NamedTuple):
    code: int
    output: str
    wall_s: float

    def is_good(self, case: Case, usual_s: float) -> bool:
        """``usual_s`` is what a run without a fault takes beside the others."""
        patience_s = QUIET_S + 0.25 if case.how == "hang" else 0.0
        is_same = (self.code, self.output) == (CODE, "out\n")
        return is_same and self.wall_s <= usual_s + patience_s + max(LATE_S, usual_s)


def be_hpcwatch(command: list[str], output: Path, arm: Callable[[], None]) -> None:
    """Be `hpcwatch run`, with a fault that is armed when the program has just been started."""
    real = launch.spawn  # type: ignore[attr-defined]

    def spawn(argv: list[str], mask: Any) -> int:
        pid = real(argv, mask)
        arm()
        return pid

    launch.spawn = spawn  # type: ignore[attr-defined]
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(os.open(f"{output}.err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
    os.close(descriptor)
    code = hpcwatch.cli.run.main([*OPTIONS, "--", *command])
    os._exit(code)


def forked(command: str, output: Path, arm: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            be_hpcwatch(COMMANDS[command], output, arm)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(99)
    return pid


def note_threads(note: Callable[[types.FrameType, str, object], None]) -> None:
    """Have every new thread profiled, also one that `threading` does not start."""
    start = _thread.start_new_thread

    def profiled(function: Callable[..., None], words: tuple[Any, ...], *named: Any) -> int:
        def run(*given: Any, **options: Any) -> None:
            sys.setprofile(note)
            function(*given, **options)

        return start(run, words, *named)

    _thread.start_new_thread = profiled  # type: ignore[assignment]
    threading.setprofile(note)


def listed(folder: Path, command: str, kind: str) -> list[str]:
    """What a run without faults calls or imports once its program has been started."""
    result = folder / f"{command}.list"
    called: set[str] = set()

    def note(frame: types.FrameType, event: str, _: object) -> None:
        module = frame.f_globals.get("__name__") or ""
        if event == "call" and module.startswith("hpcwatch."):
            called.add(f"{module}.{frame.f_code.co_qualname}")

    def arm() -> None:
        before = set(sys.modules)
        if kind == "calls":
            note_threads(note)
            sys.setprofile(note)

        def leave(code: int) -> None:
            sys.setprofile(None)
            found = called if kind == "calls" else set(sys.modules) - before
            result.write_text("\n".join(sorted(found)))
            real(code)

        real, os._exit = os._exit, leave  # type: ignore[assignment]

    output = folder / f"listed-{command}.out"
    usual = COMMANDS[command]
    if OPTIONS:  # however slow the machine is, the export has started before the program ends
        looks = f"until grep -q 'numbers are on' {output}.err || [ $((n+=1)) -gt 600 ]"
        COMMANDS[command] = ["sh", "-c", f"echo out; n=0; {looks}; do sleep 0.1; done; exit {CODE}"]
    os.waitpid(forked(command, output, arm), 0)
    COMMANDS[command] = usual
    names = [name for name in result.read_text().split() if "<" not in name]
    return [name for name in names if name not in THE_WAIT and name.startswith(ONLY)]


FUNCTIONS: dict[str, types.FunctionType] = {}


def find_functions(names: set[str]) -> None:
    """Load what the names are of, so that a fork has all of it at hand."""
    for name in names:
        module = name
        while module := module.rpartition(".")[0]:
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
                break
    for one in gc.get_objects():
        if isinstance(one, types.FunctionType) and (one.__module__ or "").startswith("hpcwatch."):
            FUNCTIONS[f"{one.__module__}.{one.__code__.co_qualname}"] = one


def fail_call(name: str, how: str) -> Callable[[], None]:
    """A function fails whenever it is called."""
    function = FUNCTIONS[name]
    return lambda: replace(function, how)


def replace(function: types.FunctionType, how: str) -> None:
    free = function.__code__.co_freevars
    names = [f"free{number}" for number in range(len(free))]
    does = (
        "import time; time.sleep(1000)" if how == "hang" else f"raise {how}('a fault of the test')"
    )
    bound = "".join(f"    {name} = None\n" for name in names)
    used = "".join(f"        {name}\n" for name in names)
    scope: dict[str, Any] = {}
    exec(
        f"def make():\n{bound}    def fault(*a, **k):\n{used}        {does}\n    return fault",
        scope,
    )
    function.__code__ = scope["make"]().__code__


def fail_import(name: str, how: str) -> Callable[[], None]:
    """A module fails whenever it is looked for."""

    class Finder:
        @staticmethod
        def find_spec(wanted: str, *_: object) -> None:
            if wanted == name:
                if how == "hang":
                    time.sleep(1000)
                raise getattr(builtins, how)("a fault of the test")

    return lambda: sys.meta_path.insert(0, Finder)


def wrong(cases: list[Case], folder: Path, kind: str, at_once: int) -> list[tuple[Case, Outcome]]:
    """The cases whose runs were not as without hpcwatch."""
    if not cases:
        return []
    controls = [Case(command, "", "") for command in COMMANDS]
    ended = outcomes([*controls, *cases, *controls], folder, kind, at_once)
    usual_s = {case.command: max(ended[case].wall_s for case in controls) for case in controls}
    return [
        (case, ended[case])
        for case in cases
        if not ended[case].is_good(case, usual_s[case.command])
    ]


def outcomes(cases: list[Case], folder: Path, kind: str, at_once: int) -> dict[Case, Outcome]:
    """Run the cases, several at once."""
    fail: Callable[[str, str], Callable[[], None]] = fail_import if kind == "imports" else fail_call
    ended: dict[Case, Outcome] = {}
    running: dict[int, tuple[Case, Path, float]] = {}
    waiting = list(enumerate(cases))
    while waiting or running:
        while waiting and len(running) < at_once:
            number, case = waiting.pop(0)
            output = folder / f"{number}.out"
            arm = fail(case.name, case.how) if case.name else lambda: None
            pid = forked(case.command, output, arm)
            running[pid] = (case, output, time.monotonic())
        pid, status = os.waitpid(-1, os.WNOHANG)
        now_s = time.monotonic()
        if pid == 0:
            for late, (_, _, since_s) in running.items():
                if now_s - since_s > DEADLINE_S:
                    os.kill(late, signal.SIGKILL)
            time.sleep(0.002)
            continue
        case, output, since_s = running.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        ended[case] = Outcome(code, output.read_text(), now_s - since_s)
    return ended


def main() -> None:
    kind, folder, only = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    import hpcwatch.monitor.guard as guard

    guard.QUIET_S = QUIET_S
    if OPTIONS:  # what reads options is loaded once, and not in every fork
        hpcwatch.cli.run.parse([*OPTIONS, "--", "true"])
    what = "imports" if kind == "imports" else "calls"
    names = {command: set(only or listed(folder, command, what)) for command in COMMANDS}
    if kind != "imports":
        find_functions(names["short"] | names["long"])
    cases = []
    for number, name in enumerate(sorted(names["short"] | names["long"])):
        if kind != "imports" and name not in FUNCTIONS:
            continue  # a class body
        if kind == "hangs" and name.startswith(WAIT_ONLY):
            continue
        command = "short" if name not in names["long"] or number % 4 == 0 else "long"
        command = command if name in names[command] else "long"
        how = "hang" if kind == "hangs" else ERRORS[number % len(ERRORS)].__name__
        cases.append(Case(command, name, how))
    bad = wrong(cases, folder, what, AT_ONCE * (4 if kind == "hangs" else 1))
    # A busy machine is late: what is late once more, beside fewer others and then alone, is wrong.
    bad = wrong([case for case, _ in bad], folder, what, AT_ONCE)
    for _ in range(TIMES if len(bad) < MANY else 0):
        bad = wrong([case for case, _ in bad], folder, what, 1)
    print(json.dumps({"count": len(cases), "wrong": [[*case, *outcome] for case, outcome in bad]}))


if __name__ == "__main__":
    main()

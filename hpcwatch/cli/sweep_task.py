"""One task of a sweep, on its host: started by GNU parallel, never by a person.

``task.py FOLDER NUMBER`` runs a task, ``--survey`` prints what the host has, ``--end N:K ...`` ends
attempts that a driver left behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time

from hpcwatch.cli.sweep_watch import LateWatch, events_of
from hpcwatch.errors import HpcwatchError, os_reason
from hpcwatch.sweep import ending, node, plan, slots
from hpcwatch.sweep.attempts import Attempts, Ended, Started
from hpcwatch.sweep.node import HERE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.cli.run import Options
    from hpcwatch.launch import Program
    from hpcwatch.store import Event

EXIT_TIMEOUT, EXIT_NOT_STARTED, EXIT_STOPPED = 124, 125, 143
_STOPS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def main(folder: str, words: list[str]) -> int:
    """Do what the words ask for; return the exit code for GNU parallel."""
    try:
        if words[:1] == ["--survey"]:
            wants_devices = slots.parse(plan.read(folder).slots).kind == "gpu"
            variables = node.environment(folder, os.environ)
            print(json.dumps(node.survey(variables, wants_devices)._asdict()))
            return 0
        if words[:1] == ["--end"]:
            ending.end_attempts(_left_here(Attempts(folder), words[1:]))
            return 0
        return _Run(folder, int(words[0])).run()
    except HpcwatchError as error:
        print(f"hpcwatch: {error}", file=sys.stderr)
    except OSError as error:
        print(f"hpcwatch: {os_reason(error)}: {error.filename}", file=sys.stderr)
    return EXIT_NOT_STARTED


class _Run:
    """A task from its claim to its end."""

    def __init__(self, folder: str, number: int) -> None:
        self._plan = plan.read(folder)
        self._task = plan.read_task(folder, number)
        self._attempts = Attempts(folder)
        self._folder = folder
        # Who started us reads this: one line at the start, one at the end, nothing else.
        self._channel = os.dup(1)

    def run(self) -> int:
        """Run the task, unless it has been done."""
        number = self._task.number
        attempt = 1
        while os.path.exists(self._attempts.state_file(number, attempt, "started")):
            before = self._attempts.ended(number, attempt)
            if before is not None and before.is_good:
                return 0
            attempt += 1
        variables = node.environment(self._folder, os.environ)
        host = self._host()
        slot = slots.take(self._plan.id, slots.parse(self._plan.slots), host)
        started = Started(
            number,
            attempt,
            os.uname().nodename,
            os.getpid(),
            ending.started_ticks(os.getpid()) or 0,
            time.time(),
            slot.number,
            slot.device,
        )
        if not self._attempts.claim(started):
            raise HpcwatchError(f"task {number} is being run by another process")
        self._tell("started", started)
        ended = self._watched(started, slot, variables)
        self._attempts.end(ended)
        self._tell("ended", started)
        return _exit_code(ended)

    def _host(self) -> slots.Host:
        name = os.uname().nodename
        for login, host in node.read_hosts(self._folder).items():
            if host.name == name:
                if login != HERE:
                    # GNU parallel's guard on a remote host kills its process group without giving
                    # it the time it was told to. We see by the channel that all is to end.
                    with contextlib.suppress(OSError):
                        os.setpgid(0, 0)
                return host
        raise HpcwatchError(f"{name} is no host of this sweep")

    def _tell(self, what: str, started: Started) -> None:
        with contextlib.suppress(OSError):  # nobody is left to be told
            os.write(self._channel, f"{what} {started.task} {started.attempt}\n".encode())

    def _watched(self, started: Started, slot: slots.Slot, variables: dict[str, str]) -> Ended:
        """Run the program to its end."""
        try:
            program = self._start(started, slot, variables)
        except (HpcwatchError, OSError) as error:
            words = error.message if isinstance(error, HpcwatchError) else os_reason(error)
            return Ended(
                started.task, started.attempt, time.time(), 0.0, EXIT_NOT_STARTED, None,
                trouble=words,
            )  # fmt: skip
        end = ending.Ending(program.pid, program.own_children)
        self._guard(end, started)
        watch = LateWatch(self._options(started), program)
        for number in program.wait(_nothing, _nothing):
            if number in _STOPS:
                end.begin("stopped", is_told=number == signal.SIGTERM)
            watch.signal_arrived(number)
        is_cut_off = bool(program.exit_status) and not end.reason
        if is_cut_off and (end.came_late or ending.is_wanted_now(self._channel, _STOPS)):
            end.reason = "stopped"
        if end.reason:
            end.finish()
        program.end(leave=_nothing)
        watch.finish()
        unrecorded = [] if watch.is_recorded else events_of(program)
        return self._ended(started, program, end.reason, unrecorded)

    def _start(self, started: Started, slot: slots.Slot, variables: dict[str, str]) -> Program:
        """Start the program in its place. Raises HpcwatchError or OSError."""
        from hpcwatch.launch import CannotStartError, Program

        os.chdir(self._plan.cwd)
        os.environ.clear()
        os.environ.update(variables)
        os.environ["HPCWATCH_SWEEP"] = self._plan.id
        if slot.device is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = slot.device
        if slot.cores:
            os.sched_setaffinity(0, slot.cores)
        path = self._attempts.output_file(started.task, started.attempt)
        output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        os.close(output)
        os.close(null)
        try:
            return Program(self._task.argv)
        except CannotStartError as error:
            raise HpcwatchError(f"cannot run {self._task.argv[0]}: {error}") from None

    def _guard(self, end: ending.Ending, started: Started) -> None:
        """See to it that the task ends in time, and with the sweep."""
        following = self._attempts.state_file(started.task, started.attempt + 1, "started")
        arguments = (end, self._channel, lambda: os.path.exists(following))
        threading.Thread(target=ending.watch, args=arguments, daemon=True).start()
        if self._plan.timeout_s is not None:
            timer = threading.Timer(self._plan.timeout_s, end.begin, ("timeout",))
            timer.daemon = True
            timer.start()

    def _options(self, started: Started) -> Options:
        from hpcwatch.cli.run import Options

        options = Options()
        options.name = f"{self._plan.name}-{self._task.number}"
        options.output = self._attempts.run_folder(started.task, started.attempt)
        options.interval = self._plan.interval_s
        options.view, options.nodes = "none", "local"
        options.sweep_id, options.parameters = self._plan.id, self._task.parameters
        options.command = self._task.argv
        return options

    def _ended(
        self, started: Started, program: Program, reason: str, unrecorded: list[Event]
    ) -> Ended:
        from hpcwatch.sweep import results

        assert program.exit_status is not None
        code = os.waitstatus_to_exitcode(program.exit_status)
        used = program.reaped()
        ended = Ended(
            task=started.task,
            attempt=started.attempt,
            at_s=program.ended_s,
            wall_s=program.ended_uptime_s - program.started_uptime_s,
            exit_code=None if code < 0 else code,
            signal=-code if code < 0 else None,
            is_stopped=reason == "stopped",
            is_timed_out=reason == "timeout",
            cpu_s=used.user_s + used.system_s,
            memory_peak_bytes=used.peak_bytes,
            read_bytes=used.read_bytes,
            results=results.of_attempt(self._attempts, started.task, started.attempt, unrecorded),
        )
        return _with_report(ended, self._attempts.run_folder(started.task, started.attempt))


def _with_report(ended: Ended, run_folder: str) -> Ended:
    """Add what the recording knows and the kernel does not account."""
    try:
        with open(os.path.join(run_folder, "report.json"), encoding="utf-8") as stream:
            summary = json.load(stream)["summary"]
    except (OSError, ValueError, KeyError, TypeError):
        return ended
    gpus = summary["gpus"]
    used = [gpu["util_mean_pct"] for gpu in gpus if gpu["util_mean_pct"] is not None]
    held = [gpu["memory_peak_bytes"] for gpu in gpus if gpu["memory_peak_bytes"] is not None]
    return ended._replace(
        cpu_s=summary["cpu_s"] if summary["cpu_s"] is not None else ended.cpu_s,
        memory_peak_bytes=summary["memory_peak_bytes"] or ended.memory_peak_bytes,
        gpu_util_mean_pct=max(used, default=None),
        gpu_memory_peak_bytes=max(held, default=None),
    )


def _exit_code(ended: Ended) -> int:
    if ended.is_stopped:
        return EXIT_STOPPED
    if ended.is_timed_out:
        return EXIT_TIMEOUT
    return 128 + ended.signal if ended.signal is not None else ended.exit_code or 0


def _left_here(attempts: Attempts, words: list[str]) -> dict[int, int]:
    """Return the processes of these attempts on this host, with their starting times."""
    found = {}
    for word in words:
        task, _, attempt = word.partition(":")
        started = attempts.started(int(task), int(attempt))
        if started is not None and started.host == os.uname().nodename:
            found[started.pid] = started.pid_started_ticks
    return found


def _nothing() -> None:
    """Do nothing."""

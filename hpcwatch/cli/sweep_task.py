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
from hpcwatch.sweep import ending, gpus, node, plan, slots
from hpcwatch.sweep.attempts import Attempt, Attempts, Ended, Started
from hpcwatch.sweep.ending import Ending
from hpcwatch.sweep.keeper import STOPS, Keeper
from hpcwatch.sweep.lease import Lease
from hpcwatch.sweep.node import HERE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.cli.run import Options
    from hpcwatch.launch import Program
    from hpcwatch.store import Event

EXIT_TIMEOUT, EXIT_NOT_STARTED, EXIT_STOPPED = 124, 125, 143


def main(folder: str, words: list[str]) -> int:
    """Do what the words ask for; return the exit code for GNU parallel."""
    try:
        if words[:1] == ["--survey"]:
            wants_devices = slots.parse(plan.read(folder).slots).kind == "gpu"
            variables = node.environment(folder, os.environ)
            told = gpus.told_of(folder, os.uname().nodename)
            host = node.survey(variables, wants_devices, told, is_here=False)
            print(json.dumps(host._asdict()))
            return 0
        if words[:1] == ["--end"]:
            ending.end_attempts(_left_here(Attempts(folder), words[1:]))
            ending.end_left(plan.read(folder).id, words[1:])
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
        before = self._attempts.of(self._task.number)
        if any(one.ended is not None and one.ended.is_good for one in before):
            return 0
        last = before[-1] if before else None
        if last is not None and last.ended is None and not self._plan.retries_count:
            raise HpcwatchError(f"nobody knows how task {self._task.number} ended on its last try")
        variables = node.environment(self._folder, os.environ)
        slot = slots.take(self._plan.id, slots.parse(self._plan.slots), self._host())
        number = last.started.attempt + 1 if last is not None else 1
        keeper = Keeper(self._channel)
        if keeper.monitor:
            code = keeper.wait()
            if code is None or code == EXIT_NOT_STARTED:
                return self._in_its_place(keeper, number)
            return code
        started = self._started(number, slot)
        if not self._attempts.claim(started):
            raise HpcwatchError(f"task {started.task} is being run by another process")
        lease = self._lease(started)
        self._tell("started", started)
        its = self._end_of(last, started, lease, keeper)
        is_good = its is not None and its.is_good
        if is_good or self._is_to_end(keeper):
            ended = _not_begun(started, is_good)
        else:
            ended = self._watched(started, slot, variables, keeper, lease)
        self._attempts.end(ended)
        self._tell("ended", started)
        return _exit_code(ended)

    def _started(self, attempt: int, slot: slots.Slot) -> Started:
        return Started(
            self._task.number,
            attempt,
            os.uname().nodename,
            os.getpid(),
            ending.started_ticks(os.getpid()) or 0,
            time.time(),
            slot.number,
            slot.device,
        )

    def _lease(self, started: Started) -> Lease:
        # Without retries nobody starts it elsewhere unless a person says so.
        is_strict = self._plan.retries_count > 0
        return Lease(self._attempts, started, self._plan.lease_s, is_strict)

    def _is_to_end(self, keeper: Keeper) -> bool:
        return keeper.is_told or ending.is_alone(self._channel)

    def _end_of(
        self, last: Attempt | None, started: Started, lease: Lease, keeper: Keeper
    ) -> Ended | None:
        """See to it that the attempt before is over; return its end, None if nobody knows it."""
        if last is None or last.ended is not None:
            return None
        before = last.started
        if before.host != started.host:
            return lease.await_end(self._attempts, before, lambda: self._is_to_end(keeper))
        mark = f"{before.task}:{before.attempt}"
        ending.end_attempts(_left_here(self._attempts, [mark]))
        ending.end_left(self._plan.id, [mark])
        return self._attempts.ended(before.task, before.attempt)

    def _in_its_place(self, keeper: Keeper, number: int) -> int:
        """Do the monitor's part to the end: it was killed, or came to grief."""
        started = self._attempts.started(self._task.number, number)
        if started is None or started.pid != keeper.monitor:
            return EXIT_NOT_STARTED
        ended = self._attempts.ended(started.task, started.attempt)
        if ended is None:
            lease = self._lease(started)
            ended = keeper.take_over(
                self._attempts, started, lambda end: self._guard(end, started, lease)
            )
            if ended is None:
                return EXIT_NOT_STARTED
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

    def _watched(
        self,
        started: Started,
        slot: slots.Slot,
        variables: dict[str, str],
        keeper: Keeper,
        lease: Lease,
    ) -> Ended:
        """Run the program to its end."""
        try:
            program = self._start(started, slot, variables)
        except (HpcwatchError, OSError) as error:
            words = error.message if isinstance(error, HpcwatchError) else os_reason(error)
            return Ended(
                started.task, started.attempt, time.time(), 0.0, EXIT_NOT_STARTED, None,
                trouble=words,
            )  # fmt: skip
        keeper.program_started(program.pid)
        end = Ending(program.pid, program.own_children)
        self._guard(end, started._replace(at_s=program.started_s), lease)
        if keeper.is_told:
            end.begin("stopped")
        watch = LateWatch(self._options(started), program)
        for number in program.wait(_nothing, _nothing):
            if number in STOPS:
                end.begin("stopped", is_told=number == signal.SIGTERM)
            watch.signal_arrived(number)
        is_cut_off = bool(program.exit_status) and not end.reason
        if is_cut_off and (end.came_late or ending.is_wanted_now(self._channel, STOPS)):
            end.reason = "stopped"
        if end.reason:
            end.finish()
        program.end(leave=_nothing)
        if watch.is_recorded:  # its report takes a while: how it ended is written down before
            self._attempts.end(self._ended(started, program, end.reason, []))
        watch.finish()
        unrecorded = [] if watch.is_recorded else events_of(program)
        return self._ended(started, program, end.reason, unrecorded)

    def _start(self, started: Started, slot: slots.Slot, variables: dict[str, str]) -> Program:
        """Start the program in its place. Raises HpcwatchError or OSError."""
        from hpcwatch.launch import CannotStartError, Program

        os.chdir(self._plan.cwd)
        os.environ.clear()
        os.environ.update(variables)
        os.environ[ending.SWEEP_VARIABLE] = self._plan.id
        os.environ[ending.TASK_VARIABLE] = f"{started.task}:{started.attempt}"
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

    def _guard(self, end: Ending, started: Started, lease: Lease) -> None:
        """See to it that the task ends in time, and with the sweep."""
        arguments = (end, self._channel, lease)
        threading.Thread(target=ending.watch, args=arguments, daemon=True).start()
        if self._plan.timeout_s is not None:
            ran_s = max(time.time() - started.at_s, 0.0)
            timer = threading.Timer(self._plan.timeout_s - ran_s, end.begin, ("timeout",))
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


def _not_begun(started: Started, is_done: bool) -> Ended:
    return Ended(
        started.task, started.attempt, time.time(), 0.0, None, None,
        is_stopped=True, trouble="the attempt before ended well" if is_done else "",
    )  # fmt: skip


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

"""Pairs of a command and the parser of its output. Nothing here runs a command.

A parser takes an ``Answer`` and returns records, or raises one of the errors below with the
command's own words. Every user's word in a command line has matched one of the patterns here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from hpcwatch.base.clean import HOST
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.base.signals import signal_name
from hpcwatch.cluster.schedulers.job import Job, Usage

T_co = TypeVar("T_co", covariant=True)


class SchedulerError(HpcwatchError):
    """A scheduler's command failed."""


class NoAnswerError(SchedulerError):
    """The command was cut short by a signal, a bound or a failure. The last answer stands."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint or "try again in a minute; hpcwatch doctor tells more")


class ServerDownError(NoAnswerError):
    """The scheduler cannot be reached, or does not answer in time. The last answer stands."""


class NotUnderstoodError(SchedulerError):
    """The command answered, but not in the expected form."""


class RefusedError(SchedulerError):
    """The scheduler refused: the job is another user's, or over."""


class Answer(NamedTuple):
    """The output of a command, and when it was printed."""

    stdout: bytes
    stderr: bytes = b""
    exit_code: int = 0
    at_s: float = 0.0
    """Seconds since the epoch; times without a year are relative to it."""
    command: str = "the scheduler's command"
    """Its name, for messages."""

    @property
    def text(self) -> str:
        """Standard output. Bytes that are not UTF-8 survive as surrogates."""
        return _decode(self.stdout)

    @property
    def signal(self) -> int:
        """The signal that ended the command, 0 if none did.

        A shell returns 128 plus the signal of what it ran: sites wrap these commands in scripts.
        """
        return _SHELLS_SIGNALS.get(self.exit_code, max(-self.exit_code, 0))

    @property
    def words(self) -> str:
        """The line that says what went wrong, without the banners around it."""
        said = f"{_decode(self.stderr)}\n{self.text}"
        lines = [
            line.strip().removeprefix("'") for line in said.split("\n")
        ]  # a wrapper quotes others
        telling = [line for line in lines if line.strip("- ") and not _BANNER.fullmatch(line)]
        named = [line for line in telling if _NAMED.match(line)]
        return (named or telling or [f"exit code {self.exit_code}, without a word"])[0][:300]


_SHELLS_SIGNALS = {128 + number: number for number in (1, 2, 9, 13, 15)}
"""SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGTERM. Other codes are a command's own, as 153 is PBS's."""
_NAMED = re.compile(r"[a-z_]+: ")  # "qstat: cannot connect to server qb3", below a line of errno
_BANNER = re.compile(
    r"ERROR: +'\w+' failed|NOTE: The following information has been cached by the remote server"
    r"|and may be slightly out of date\."
)


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape").replace("\r\n", "\n")


class Query(Generic[T_co]):
    """A command line and the parser of its answer."""

    __slots__ = ("argv", "if_odd", "if_unknown", "parse")

    def __init__(
        self,
        argv: Sequence[str],
        parse: Callable[[Answer], T_co],
        if_odd: Query[T_co] | None = None,
        if_unknown: Query[T_co] | None = None,
    ) -> None:
        self.argv = tuple(argv)
        self.parse = parse
        self.if_odd = if_odd
        """The same query in an older format, run if the answer was not understood."""
        self.if_unknown = if_unknown
        """The same query with the id in another form, run if the answer was empty."""


class Estimate(NamedTuple):
    """The estimated start of a pending job. None is unknown."""

    start_at_s: float | None
    basis: str
    """The basis of the estimate: ``reservation``, ``priority``, ``backfill``."""


class Scheduler(Protocol):
    """The queries of a scheduler. None: there is no such command, or it is not needed."""

    name: str

    def clean_id(self, text: str) -> str:
        """Return the id in the form that commands accept. Raises HpcwatchError."""

    def job(self, *job_ids: str) -> Query[tuple[Job, ...]]:
        """Ask for these jobs with one call, or for all without ids. Empty if it knows none."""

    def array_id(self, job_id: str) -> str | None:  # noqa: ARG002
        """Return the id of the array that an unknown id may mean, if its form differs."""
        return None

    def jobs(self, user: str) -> Query[tuple[Job, ...]]:
        """Ask for a user's jobs."""

    def history(self, job_id: str) -> Query[tuple[Job, ...]] | None:  # noqa: ARG002
        """Ask for a job that may have left the queue."""
        return None

    def usage(self, job_id: str) -> Query[Usage | None] | None:  # noqa: ARG002
        """Ask for the use so far, if the job's own answer lacks it."""
        return None

    def submit_line(self, job: Job) -> Query[tuple[Job, ...]] | None:  # noqa: ARG002
        """Ask for how a job was submitted, if the job's own answer lacks it."""
        return None

    def cancel(self, job_id: str) -> Query[str]:
        """End a job. The answer is the scheduler's message, often empty."""

    def submit(self, script: str, arguments: Sequence[str] = ()) -> Query[str]:
        """Submit a script. The answer is the new job's id."""


_DOWN = re.compile(
    r"cannot connect to server|unable to (?:contact|communicate)|connection refused"
    r"|couldn't connect|lost connection to server|cannot send request to server"
    r"|cannot request service|server may not be running|problem loading|timed out"
    r"|failed while looking for|unable to connect|connection (?:reset|timed)"
    r"|failed to open persistent connection|no route to host|cannot allocate new socket"
    r"|establish a configuration source",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(
    r"unknown job id|invalid job id|illegally formed job|invalid job specified"
    r"|cannot locate job|couldn't get steps for job|no steps running|job has finished"
    r"|unknown queue destination|\bjob [\w.+-]{1,64} not found",
    re.IGNORECASE,
)
_UNKNOWN_CODE = 153  # the low byte of PBS's error 15001; Slurm's wrapper prints nothing with it
_REFUSED = re.compile(
    r"unauthorized|permission|denied|job has finished|invalid state for job|already complet"
    r"|invalid for state|job/step already",
    re.IGNORECASE,
)


def all_words(answer: Answer) -> str:
    """Return standard output and standard error together, to search for words."""
    return f"{_decode(answer.stderr)}\n{answer.text}"


_MESSAGE_BYTES = 1000  # more on standard output is an answer, not a message


def is_unknown(answer: Answer) -> bool:
    """Judge an answer by how its command ended, before its output is parsed.

    Returns True if the scheduler said that there is no such job, False if the output is to be
    parsed. Raises ServerDownError if the scheduler could not be reached, whatever is on standard
    output (OpenPBS prints valid JSON then), NoAnswerError if the command died or failed with a part
    of an answer, NotUnderstoodError if it failed without one: another format may work.
    """
    errors, code = _decode(answer.stderr), answer.exit_code
    if code == 0:
        # A good answer may come with a warning; sstat and sacct fail with exit code 0.
        if not answer.stdout.strip() and _DOWN.search(errors):
            raise ServerDownError(answer.words)
        return bool(_UNKNOWN.search(errors))
    if answer.signal:
        raise NoAnswerError(f"{answer.command} was killed by {signal_name(answer.signal)}")
    is_message = len(answer.stdout) <= _MESSAGE_BYTES  # Slurm's wrappers write errors there
    said = errors or (answer.text if is_message else "")
    if _DOWN.search(said):
        raise ServerDownError(answer.words)
    if _UNKNOWN.search(said) or (code == _UNKNOWN_CODE and not said.strip()):
        return True
    if answer.stdout.strip():
        raise NoAnswerError(f"{answer.command} failed ({code}): {answer.words}")
    said = answer.words.removeprefix(answer.command).lstrip(": ")
    raise NotUnderstoodError(f"{answer.command}: {said}")


def not_understood(command: str, answer: Answer, why: str = "") -> NotUnderstoodError:
    """Return the error for an answer that is not a list of jobs."""
    hint = "hpcwatch doctor --record DIR keeps such answers"
    return NotUnderstoodError(f"{command} was not understood: {why or answer.words}", hint)


def done(command: str, answer: Answer) -> str:
    """Return the message of a command that changes something.

    Raises NoAnswerError if a signal ended the command, as the end of the job that it cancels may
    where it runs in that job: what it asked for may be done. Raises ServerDownError, RefusedError,
    or SchedulerError for any other failure.
    """
    if answer.exit_code == 0:
        return answer.text.strip()
    if answer.signal:
        raise NoAnswerError(f"{command} was killed by {signal_name(answer.signal)}")
    said = all_words(answer)
    message = f"{command}: {answer.words.removeprefix(command).lstrip(': ')}"
    if _DOWN.search(said):
        raise ServerDownError(message)
    if _REFUSED.search(said):
        raise RefusedError(message)
    raise SchedulerError(message)


# Also with a domain, as sssd and winbind name users: alice@corp.example.org, CORP\alice.
_USER = re.compile(
    r"(?:[A-Za-z0-9][A-Za-z0-9.-]{0,63}[\\+])?[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\$?"
    r"(?:@[A-Za-z0-9][A-Za-z0-9.-]{0,252})?",
    re.ASCII,
)
PBS_ID = re.compile(r"(\d{1,12}(?:\[\d{0,9}\])?)(\.[A-Za-z0-9][A-Za-z0-9._-]{0,252})?", re.ASCII)


def clean_host(text: str) -> str:
    """Return a host's name. Raises HpcwatchError if it cannot be one."""
    return _clean(re.compile(HOST), text, "host name")


def clean_user(text: str) -> str:
    """Return a user's name. Raises HpcwatchError if it cannot be one."""
    return _clean(_USER, text, "user name")


def clean_pbs_id(text: str) -> str:
    """Return ``305669``, ``305669.qb3`` or ``5[1].qb3`` as it is. Raises HpcwatchError."""
    return _clean(PBS_ID, text, "PBS job id", "they look like 305669, 305669.qb3 or 5[1].qb3")


def number_of(job_id: str) -> str:
    """Return a PBS job's id without its server: ``6[1]`` of ``6[1].qb3``."""
    return job_id.partition(".")[0]


def clean_script(path: str) -> str:
    """Return a script's path in a form that no command takes for an option."""
    if not path or "\0" in path:
        raise HpcwatchError("no script to submit", "name its file", EXIT_USAGE)
    return f"./{path}" if path.startswith("-") else path


def submitted_id(command: str, pattern: re.Pattern[str], answer: Answer) -> str:
    """Return the id that a submission printed, below any message of the site."""
    said = done(command, answer)
    for line in reversed(said.split("\n")):
        match = pattern.fullmatch(line.strip())
        if match:
            return match[0].partition(";")[0]
    raise not_understood(command, answer)


def _clean(pattern: re.Pattern[str], text: str, what: str, hint: str = "") -> str:
    word = text.strip()
    if not pattern.fullmatch(word):
        raise HpcwatchError(f"{word[:60]!r} is no {what}", hint, EXIT_USAGE)
    return word

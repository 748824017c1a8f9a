"""Start a program in our place: as a shell would, with a file for its events.

Nothing is imported here that is not there anyway: the program waits for it.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Iterable
    from typing import NoReturn

else:
    import _signal as signal  # without its enums, whose import delays the program by milliseconds

EVENTS_FOLDERS = ("/tmp", "/dev/shm")  # noqa: S108
EVENTS_FILE = "events.jsonl"
_VARIABLE = "HPCWATCH_EVENTS"


class CannotStartError(Exception):
    """The program could not be started; ``exit_code`` is a shell's: 126 or 127."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NoProcessError(CannotStartError):
    """There may be no further process (ulimit -u, pids.max, memory): ``replace_us`` needs none."""


def spawn(argv: list[str], mask: Iterable[int]) -> int:
    """Start a program by PATH with the given signal mask and what Python ignores set back.

    Raises CannotStartError.
    """
    try:
        return _spawn(argv, mask)
    except OSError as error:
        raise _reason(argv[0], error) from None


def give_back_environment() -> None:
    """Take out of the environment what Python has put there: the locale where none was given."""
    if os.environ.get("LC_CTYPE") not in ("C.UTF-8", "C.utf8", "UTF-8"):
        return
    try:
        with open("/proc/self/environ", "rb") as stream:  # as it was given to us
            if b"\0LC_CTYPE=" not in b"\0" + stream.read():
                del os.environ["LC_CTYPE"]
    except OSError:
        pass


def _spawn(argv: list[str], mask: Iterable[int]) -> int:
    ignored = [signal.SIGPIPE, signal.SIGXFSZ]
    try:
        return os.posix_spawnp(argv[0], argv, os.environ, setsigmask=mask, setsigdef=ignored)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    # A text without "#!" is run by the shell, as shells, env and nohup do it.
    from shutil import which

    path = which(argv[0]) or argv[0]
    shell = ["/bin/sh", path, *argv[1:]]
    return os.posix_spawnp(shell[0], shell, os.environ, setsigmask=mask, setsigdef=ignored)


def replace_us(argv: list[str]) -> NoReturn:
    """Become the program, as if we had never been. Raises CannotStartError.

    For where no process can be started beside us, or nothing of us works.
    """
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # what Python ignores
        signal.signal(number, signal.SIG_DFL)
    try:
        _replace_us(argv)
    except OSError as error:
        raise _reason(argv[0], error) from None


def _replace_us(argv: list[str]) -> NoReturn:
    try:
        os.execvp(argv[0], argv)  # noqa: S606 # as asked
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    from shutil import which

    os.execv("/bin/sh", ["/bin/sh", which(argv[0]) or argv[0], *argv[1:]])  # noqa: S606


def _reason(name: str, error: OSError) -> CannotStartError:
    if isinstance(error, BlockingIOError) or error.errno == errno.ENOMEM:
        return NoProcessError("no further process may be started (see: ulimit -u)", 126)
    if isinstance(error, FileNotFoundError):
        if "/" in name and os.path.lexists(name):
            return CannotStartError("its interpreter (the line after #!) was not found", 127)
        where = "no such file" if "/" in name else "no such command on PATH"
        return CannotStartError(where, 127)
    if os.path.isdir(name):
        return CannotStartError("it is a directory", 126)
    if isinstance(error, PermissionError):
        return CannotStartError("it is not executable (chmod +x it, or name its interpreter)", 126)
    return CannotStartError((error.strerror or str(error)).lower(), 126)


def occupy_standard_descriptors() -> None:
    """Keep 0, 1 and 2 from being given to files of ours if they were closed when we started."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        if descriptor > 2:
            os.close(descriptor)
            return


def where_we_run() -> str:
    """Return what tells where our process number means us: the node and the pid namespace."""
    try:
        namespace = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        namespace = "0"
    return f"{namespace}-{os.uname().nodename}"


class EventsFile:
    """A private file that is named to the program, which may write to it at once.

    Not in the run's directory, whose file system may be slow: the program would wait for it.
    """

    def __init__(self, at_s: float) -> None:
        """Make it, or do without. ``at_s``, since the epoch, tells it from others of ours."""
        self._path: str | None = None
        self._outer = os.environ.get(_VARIABLE)
        for folder in EVENTS_FOLDERS:
            private = f"{folder}/hpcwatch-{os.getpid()}-{at_s * 1e6:.0f}-{where_we_run()}"
            path = f"{private}/{EVENTS_FILE}"
            try:
                os.mkdir(private, 0o700)
                os.mknod(path, 0o600)  # no descriptor that could be taken for a standard one
            except OSError:
                continue
            os.environ[_VARIABLE] = self._path = path
            return

    def open(self) -> int | None:
        """Open it for reading, and for giving back what was read; None if there is none."""
        path = self._path
        try:
            return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW) if path else None
        except OSError:
            return None

    def remove(self) -> None:
        """Take away its name: nothing is left behind even if we are killed over the report."""
        if self._path is not None:
            if self._outer is None:
                os.environ.pop(_VARIABLE, None)
            else:
                os.environ[_VARIABLE] = self._outer
            try:
                os.unlink(self._path)
                os.rmdir(os.path.dirname(self._path))
            except OSError:
                pass  # the program's own doing

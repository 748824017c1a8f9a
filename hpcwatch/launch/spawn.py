"""Start a program in our place: as a shell would, with a file for its events.

Imports only modules that are loaded anyway: the program's start waits for it.
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
EVENTS_VARIABLE = "HPCWATCH_EVENTS"


class CannotStartError(Exception):
    """The program could not be started; ``exit_code`` is a shell's: 126 or 127."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NoProcessError(CannotStartError):
    """No further process can be created (ulimit -u, pids.max, memory): use ``replace_us``."""


def spawn(argv: list[str], mask: Iterable[int]) -> int:
    """Start a program by PATH, with the given signal mask and without Python's ignored signals.

    Raises CannotStartError.
    """
    try:
        return _spawn(argv, mask)
    except OSError as error:
        raise _reason(argv[0], error) from None


def give_back_environment() -> None:
    """Remove the locale that Python adds to an environment without one."""
    if os.environ.get("LC_CTYPE") not in ("C.UTF-8", "C.utf8", "UTF-8"):
        return
    try:
        with open("/proc/self/environ", "rb") as stream:  # as we got it
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
    # A script without "#!" is run by sh, as shells, env and nohup do.
    from shutil import which

    path = which(argv[0]) or argv[0]
    shell = ["/bin/sh", path, *argv[1:]]
    return os.posix_spawnp(shell[0], shell, os.environ, setsigmask=mask, setsigdef=ignored)


def replace_us(argv: list[str]) -> NoReturn:
    """Replace this process by the program. Raises CannotStartError.

    Used where no child process can be started, or hpcwatch does not work at all.
    """
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # the signals that Python ignores
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
        return NoProcessError("no further process can be started (see: ulimit -u)", 126)
    if isinstance(error, FileNotFoundError):
        return CannotStartError(_missing(name), 127)
    if os.path.isdir(name):
        return CannotStartError("it is a directory", 126)
    if isinstance(error, PermissionError):
        return CannotStartError("it is not executable (chmod +x it, or name its interpreter)", 126)
    return CannotStartError((error.strerror or str(error)).lower(), 126)


def _missing(name: str) -> str:
    """Return what was not found: the program, or the interpreter that it names."""
    from shutil import which

    path = name if "/" in name else which(name) or ""
    if os.path.exists(path):
        return "its interpreter (the line after #!) was not found"
    if os.path.islink(path):
        return f"it is a link to {os.readlink(path)}, which is not there"
    return "no such file" if "/" in name else "no such command on PATH"


def occupy_standard_descriptors() -> None:
    """Reserve the descriptors 0, 1 and 2 if they were closed at our start, so no file gets them."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        if descriptor > 2:
            os.close(descriptor)
            return


def where_we_run() -> str:
    """Return a name for the scope of our pid: the node and the pid namespace."""
    try:
        namespace = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        namespace = "0"
    return f"{namespace}-{os.uname().nodename}"


class EventsFile:
    """A private file for the program's events; the program learns its name by the environment.

    It is not in the run's directory: that file system may be slow, and the program would wait.
    """

    def __init__(self, at_s: float) -> None:
        """Create it, or go on without. ``at_s``, since the epoch, makes its name unique."""
        self._path: str | None = None
        self._outer = os.environ.get(EVENTS_VARIABLE)
        for folder in EVENTS_FOLDERS:
            private = f"{folder}/hpcwatch-{os.getpid()}-{at_s * 1e6:.0f}-{where_we_run()}"
            path = f"{private}/{EVENTS_FILE}"
            try:
                os.mkdir(private, 0o700)
                os.mknod(path, 0o600)  # not a descriptor that could be taken for a standard stream
            except OSError:
                continue
            os.environ[EVENTS_VARIABLE] = self._path = path
            return

    def open(self) -> int | None:
        """Open it for reading and for freeing what was read; return None if there is no file."""
        path = self._path
        try:
            return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW) if path else None
        except OSError:
            return None

    def remove(self) -> None:
        """Unlink it: nothing is left behind even if we are killed during the report."""
        if self._path is not None:
            if self._outer is None:
                os.environ.pop(EVENTS_VARIABLE, None)
            else:
                os.environ[EVENTS_VARIABLE] = self._outer
            for remove, path in ((os.unlink, self._path), (os.rmdir, os.path.dirname(self._path))):
                try:  # noqa: SIM105 - contextlib takes milliseconds to import
                    remove(path)
                except OSError:
                    pass  # the program did that itself, or put something else there

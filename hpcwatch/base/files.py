"""Creates, renames and truncates every file and folder of hpcwatch; no other module does.

Our files are private: folders have mode 0700 from the top, files 0600 whatever the umask. A new
file gets a random name, is opened exclusively and follows no link, so that hpcwatch never writes to
a planted file; it is then renamed, so that a reader sees the old file or the new one.
"""

from __future__ import annotations

import errno
import os
import stat

from hpcwatch.base.errors import HpcwatchError, os_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_FOLDER, _FILE = 0o700, 0o600
_SHARED = 0o666  # before the umask
_BESIDE = r"\.(.+)\.[0-9a-f]{12}"
_CHUNK_BYTES = 64 << 10
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What link(2) says where a file has one name only."""
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def make_private(path: str) -> bool:
    """Make a folder and the missing ones above it, each readable by its owner only.

    Returns False if it was there. ``os.makedirs`` sets its mode on the last folder only. Raises
    OSError.
    """
    return not os.path.isdir(path) and _make_missing(os.path.abspath(path))


def _make_missing(path: str) -> bool:
    try:
        return _make(path)
    except FileNotFoundError:
        _make_missing(os.path.dirname(path))
        return _make(path)


def _make(path: str) -> bool:
    """Make one folder; False if another process was first."""
    try:
        os.mkdir(path, _FOLDER)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
        return False
    return True


def make_new(path: str) -> None:
    """Make a private folder that was not there, and the missing ones above it. Raises OSError."""
    make_private(os.path.dirname(os.path.abspath(path)))
    os.mkdir(path, _FOLDER)


def replace(path: str, text: str) -> None:
    """Write a private file as a whole or not at all. Raises OSError."""
    made = beside(path)
    try:
        _write_new(made, text.encode("utf-8", "backslashreplace"))
        os.replace(made, path)
    except BaseException:
        discard(made)
        raise


def claim(path: str, text: str) -> bool:
    """Write a private file where there is none; False if there is one. Raises OSError.

    The file is linked into place: a claim appears whole or not at all, also on network file
    systems. Where files have one name only (FUSE, FAT) it is created exclusively, and whole a
    moment later.
    """
    data = text.encode("utf-8", "backslashreplace")
    made = beside(path)
    try:
        _write_new(made, data)
        os.link(made, path)
    except FileExistsError:
        return _is_one_file(made, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        try:
            _write_new(path, data)
        except FileExistsError:
            return False
    finally:
        discard(made)
    return True


def _is_one_file(made: str, path: str) -> bool:
    """Return True if a link was made although its server said that the name was taken.

    NFS asks again if an answer is lost: the second answer speaks of the first link (open(2),
    O_EXCL).
    """
    try:
        return os.path.samefile(made, path)
    except OSError:
        return False


def create(path: str) -> int:
    """Return the descriptor of a new private file. Raises OSError, also if there is one."""
    return _private(os.open(path, _NEW, _FILE))


def append_to(path: str) -> int:
    """Return the descriptor of a private file to append to, made if it is missing.

    Raises OSError, also for a link or a file that is not regular.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path, flags, _FILE)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor


def append(path: str, data: bytes) -> None:
    """Append to a private file that has no other writer: all of it or nothing. Raises OSError."""
    descriptor = append_to(path)
    try:
        before_bytes = os.fstat(descriptor).st_size
        try:
            write_all(descriptor, data)
        except OSError:
            os.ftruncate(descriptor, before_bytes)  # a full disk may have taken a part
            raise
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it. Raises OSError; a full disk may have taken a part."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def own_bytes(path: str, most_bytes: int) -> bytes:
    """Return the content of a file that this process wrote; empty if there is none.

    Of a larger file the first ``most_bytes``. Raises OSError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return b""
    try:
        pieces = []
        while most_bytes > 0 and (piece := os.read(descriptor, min(most_bytes, _CHUNK_BYTES))):
            pieces.append(piece)
            most_bytes -= len(piece)
        return b"".join(pieces)
    finally:
        os.close(descriptor)


def move(old: str, new: str) -> None:
    """Rename a file or a folder of ours; an existing file is replaced. Raises OSError."""
    os.rename(old, new)


def discard(path: str) -> None:
    """Remove a file if it is there and can be removed."""
    try:  # noqa: SIM105 - contextlib takes long to import
        os.unlink(path)
    except OSError:
        pass


def discard_folder(path: str, names: Iterable[str]) -> None:
    """Remove files from a folder, and the folder if it holds no others."""
    for name in names:
        discard(os.path.join(path, name))
    try:  # noqa: SIM105 - contextlib takes long to import
        os.rmdir(path)
    except OSError:
        pass


def beside(path: str) -> str:
    """Return a hidden name in the same folder that no other process can guess."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{_random()}")


def is_left_over(name: str, of: Collection[str]) -> bool:
    """Return True for the temporary name of one of the files ``of`` whose writer died."""
    import re

    match = re.fullmatch(_BESIDE, name)
    return match is not None and (match[1] in of or match[1] == "now")


def server_now_s(folder: str) -> float:
    """Return the time of a folder's file server in s since the epoch: clocks of two hosts differ.

    Raises OSError.
    """
    made = os.path.join(folder, f".now.{_random()}")
    descriptor = create(made)
    try:
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        discard(made)


def write(path: str, pieces: Iterable[str | bytes]) -> None:
    """Write a file that a user named, with the user's umask, as a whole or not at all.

    A pipe or a device is written to directly; the user's own link is followed and kept.
    Raises HpcwatchError.
    """
    try:
        refuse_foreign_link(path)
        if os.path.exists(path) and not os.path.isfile(path):
            _fill(os.open(path, os.O_WRONLY | os.O_CLOEXEC), pieces)
            return
        target = os.path.realpath(path)
        made = beside(target)
        try:
            _fill(os.open(made, _NEW, _SHARED), pieces)
            os.replace(made, target)
        except BaseException:
            discard(made)
            raise
    except OSError as error:
        raise HpcwatchError(f"cannot write {path}", os_reason(error)) from None


def refuse_foreign_link(path: str) -> None:
    """Raise OSError if a path is a symbolic link that neither this user nor root made.

    The kernel does so in sticky folders (proc(5), protected_symlinks), we do so in all folders.
    """
    try:
        status = os.lstat(path)
    except OSError:
        return  # opening it will raise the reason
    if stat.S_ISLNK(status.st_mode) and status.st_uid not in (os.geteuid(), 0):
        raise OSError(errno.ELOOP, "a link of another user", path)


def _fill(descriptor: int, pieces: Iterable[str | bytes]) -> None:
    with open(descriptor, "wb") as stream:
        for piece in pieces:
            data = piece.encode("utf-8", "backslashreplace") if isinstance(piece, str) else piece
            stream.write(data)


def _write_new(path: str, data: bytes) -> None:
    descriptor = create(path)
    try:
        write_all(descriptor, data)
    finally:
        os.close(descriptor)


def _private(descriptor: int) -> int:
    os.fchmod(descriptor, _FILE)  # a default ACL of the folder may have widened it
    return descriptor


def _random() -> str:
    return os.urandom(6).hex()


class Reserve:
    """A file of a given size that later becomes the real file. Not thread-safe."""

    def __init__(self, path: str, size_bytes: int) -> None:
        """Reserve the space next to ``path``; if that fails, go on without."""
        self._size_bytes = size_bytes
        self._made = beside(path)
        self._descriptor: int | None = None
        try:
            self._descriptor = create(self._made)
            os.posix_fallocate(self._descriptor, 0, size_bytes)
        except OSError:
            self.drop()

    def has_room_for(self, size_bytes: int) -> bool:
        """Reserve more if needed; if there is no more, what was reserved stays."""
        if self._descriptor is None:
            return False
        if size_bytes > self._size_bytes:
            try:
                os.posix_fallocate(self._descriptor, 0, size_bytes)
            except OSError:
                return False
            self._size_bytes = size_bytes
        return True

    def shrink(self, size_bytes: int) -> None:
        """Free all but ``size_bytes`` of the space, for another file that is written next."""
        if self._descriptor is not None and size_bytes < self._size_bytes:
            os.ftruncate(self._descriptor, size_bytes)
            self._size_bytes = size_bytes

    def fill(self, text: str, path: str) -> None:
        """Write a file into the reserved space, which may grow; without one write it anew.

        Raises OSError; then the reserved space is free again.
        """
        if self._descriptor is None:
            replace(path, text)
        else:
            self.become(path, text.encode("utf-8", "backslashreplace"))

    def become(self, path: str, data: bytes, is_synced: bool = False) -> None:
        """Write ``data`` into the reserved space and rename it. Raises OSError as ``fill``.

        With ``is_synced`` it is on the disk before it has its name.
        """
        descriptor, self._descriptor = self._descriptor, None
        assert descriptor is not None
        try:
            try:
                write_all(descriptor, data)
                os.ftruncate(descriptor, len(data))
                if is_synced:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)  # a network file system may refuse the data only here
            move(self._made, path)
        except OSError:
            discard(self._made)
            raise

    def drop(self) -> None:
        """Free the space."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            discard(self._made)

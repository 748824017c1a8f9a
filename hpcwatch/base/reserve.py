"""Room on disk, taken early, for a file that has to be written when the disk may be full."""

from __future__ import annotations

import os

from hpcwatch.base import files


class Reserve:
    """A file of known size that becomes another one. Not thread-safe."""

    def __init__(self, path: str, size_bytes: int) -> None:
        """Take the room for ``path``; where there is none, or none can be taken, go without."""
        self._path = path
        self._made = files.beside(path)
        self._descriptor: int | None = None
        try:
            self._descriptor = files.create(self._made)
            os.posix_fallocate(self._descriptor, 0, size_bytes)
        except OSError:
            self.drop()

    def fill(self, text: str) -> None:
        """Write the file, in the room taken for it as far as that goes. Raises OSError."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            files.replace(self._path, text)
            return
        data = text.encode("utf-8", "backslashreplace")
        try:
            files.write_all(descriptor, data)
            os.ftruncate(descriptor, len(data))
            files.move(self._made, self._path)
        except OSError:
            files.discard(self._made)
            raise
        finally:
            os.close(descriptor)

    def drop(self) -> None:
        """Give the room back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            files.discard(self._made)

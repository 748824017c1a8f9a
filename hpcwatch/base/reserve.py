"""Disk space, reserved early, for a file that must be written when the disk may be full."""

from __future__ import annotations

import os

from hpcwatch.base import files


class Reserve:
    """A file of a given size that later becomes the real file. Not thread-safe."""

    def __init__(self, path: str, size_bytes: int) -> None:
        """Reserve the space for ``path``; if that fails, go on without."""
        self._path = path
        self._made = files.beside(path)
        self._descriptor: int | None = None
        try:
            self._descriptor = files.create(self._made)
            os.posix_fallocate(self._descriptor, 0, size_bytes)
        except OSError:
            self.drop()

    def fill(self, text: str) -> None:
        """Write the file into the reserved space, as far as it goes. Raises OSError."""
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
        """Free the space."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            files.discard(self._made)

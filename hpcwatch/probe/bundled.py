"""Run a probe from memory: the modules that a node lacks came as a zip through standard input.

Nothing is written to a disk except psutil's compiled part, and that only on the few kernels that
need it, for the moment in which it is loaded. This file runs alone, before the package that it is
part of can be imported.
"""

import os
import struct
import sys
import zlib
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from types import ModuleType
from typing import Any, Dict, List, Optional, Tuple

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")  # APPNOTE.TXT 4.3.7
_EXTENSION = ".abi3.so"
_PREFIX = "hpcwatch-probe-"


class Archive:
    """The files of a zip in memory, unpacked when they are needed."""

    def __init__(self, raw: bytes) -> None:
        """Read the headers. They contain the sizes: the zip was written to a seekable file."""
        self._files: Dict[str, Tuple[int, bytes]] = {}
        position = 0
        while raw[position : position + 4] == b"PK\3\4":
            fields = _LOCAL_HEADER.unpack_from(raw, position)
            method, size, name_size, extra_size = fields[3], fields[7], fields[9], fields[10]
            start = position + _LOCAL_HEADER.size + name_size + extra_size
            name = raw[start - name_size - extra_size : start - extra_size].decode()
            self._files[name] = (method, raw[start : start + size])
            position = start + size

    def find(self, module: str) -> Optional[str]:
        """Return the file of a module, or None."""
        path = module.replace(".", "/")
        for name in (path + "/__init__.py", path + ".py", path + _EXTENSION):
            if name in self._files:
                return name
        return None

    def read(self, name: str) -> bytes:
        """Return a file's content. Raises KeyError."""
        method, data = self._files[name]
        return zlib.decompress(data, -15) if method else data


class Importer:
    """Finds and loads modules of the archive (importlib's finder and loader in one)."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._loaders: Dict[str, ExtensionFileLoader] = {}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        """Return the spec of a module that is in the archive."""
        del path, target
        file = self._archive.find(name)
        if file is None:
            return None
        loader: Any = self
        return ModuleSpec(name, loader, origin=file, is_package=file.endswith("/__init__.py"))

    def create_module(self, spec: ModuleSpec) -> Optional[ModuleType]:
        """Create a compiled module; return None for others, which Python creates itself."""
        assert spec.origin is not None
        if not spec.origin.endswith(_EXTENSION):
            return None
        return self._load_compiled(spec.name, self._archive.read(spec.origin))

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's code."""
        loader = self._loaders.get(module.__name__)
        if loader is not None:
            loader.exec_module(module)
            return
        spec = module.__spec__
        assert spec is not None
        assert spec.origin is not None
        code = compile(self._archive.read(spec.origin), spec.origin, "exec")
        exec(code, module.__dict__)  # noqa: S102  # our own, from the zip

    def _load_compiled(self, name: str, data: bytes) -> ModuleType:
        """Load a compiled module from the first folder that allows it. Raises ImportError."""
        reasons = []
        for place in places():
            try:
                folder = make_folder(place)
            except OSError as error:
                reasons.append("%s: %s" % (place, error))
                continue
            path = os.path.join(folder, "module" + _EXTENSION)
            try:
                with open(path, "wb") as stream:
                    stream.write(data)
                loader = ExtensionFileLoader(name, path)
                module = loader.create_module(ModuleSpec(name, loader, origin=path))
            except (OSError, ImportError) as error:  # a full disk, one mounted noexec, an old libc
                reasons.append("%s: %s" % (place, error))
            else:
                self._loaders[name] = loader
                assert module is not None
                return module
            finally:
                remove(folder)
        raise ImportError("; ".join(reasons))


def places() -> List[str]:
    """Return local folders that any user may write to, the node's own choice first."""
    return [place for place in (os.environ.get("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm") if place]  # noqa: S108


def make_folder(place: str) -> str:
    """Make a private, empty folder. Raises OSError."""
    import tempfile

    for name in os.listdir(place):
        if name.startswith(_PREFIX) and _is_left(os.path.join(place, name), name):
            remove(os.path.join(place, name))
    return tempfile.mkdtemp(prefix="%s%d-" % (_PREFIX, os.getpid()), dir=place)


def _is_left(path: str, name: str) -> bool:
    """True for a folder of ours whose process has ended before it could remove it."""
    number = name[len(_PREFIX) :].partition("-")[0]
    try:
        if os.lstat(path).st_uid != os.getuid() or not number.isdigit():
            return False
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass
    return False


def remove(folder: str) -> None:
    """Remove a folder of files, as far as possible."""
    try:
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)
    except OSError:
        pass


def start(raw: bytes, header: bytes) -> None:
    """Run the probe of the archive, and end the process."""
    finder: Any = Importer(Archive(raw))
    sys.meta_path.insert(0, finder)
    from hpcwatch.probe.__main__ import main

    main("bundle", header)

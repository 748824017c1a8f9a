"""The first file system of the test machine: busybox, kernel modules, and ``init.sh``."""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
import sys
from pathlib import Path

from vm.errors import MachineError

BUSYBOX = "/bin/busybox"
_HERE = Path(__file__).resolve().parent
_MODULES = ("virtio_pci", "virtio_blk", "9p", "9pnet_virtio", "overlay", "ext4", "crc32c_generic")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def kernels() -> list[Path]:
    """Return the kernels whose modules are installed, too, newest first."""
    found = [
        kernel
        for kernel in Path("/boot").glob("vmlinuz-*")
        if os.access(kernel, os.R_OK) and Path("/lib/modules", release(kernel)).is_dir()
    ]
    return sorted(found, key=lambda kernel: _numbers(release(kernel)), reverse=True)


def release(kernel: Path) -> str:
    """Return a kernel's release: ``6.1.0-57-amd64``."""
    return kernel.name.partition("-")[2]


def build(folder: Path, kernel: Path) -> Path:
    """Write the initrd into a folder and return it. Raises MachineError."""
    root = folder / "root"
    for name in ("bin", "dev", "modules", "proc", "sys"):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin" / "busybox")
    for number, module in enumerate(_modules(release(kernel))):
        name = f"{number:03}-{module.name.partition('.')[0]}.ko"
        (root / "modules" / name).write_bytes(_unpacked(module))
    shutil.copy(_HERE / "init.sh", root / "init")
    (root / "init").chmod(0o755)
    (root / "start").write_text(str(_HERE / "start.sh"))
    (root / "python").write_text(sys.executable)
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    image = folder / "initrd"
    with image.open("wb") as stream:
        subprocess.run(
            ["cpio", "--create", "--format=newc", "--quiet", "--owner=0:0"],
            cwd=root,
            input=names.encode(),
            stdout=stream,
            check=True,
        )
    return image


def _modules(kernel_release: str) -> list[Path]:
    """Return the modules' files in the order in which they load."""
    found: dict[Path, None] = {}
    for module in _MODULES:
        done = subprocess.run(
            ["modprobe", "--set-version", kernel_release, "--show-depends", module],
            capture_output=True,
            text=True,
            env={"PATH": _PATH},
        )
        if done.returncode != 0:
            raise MachineError(f"no kernel module {module}: {done.stderr.strip()}")
        for line in done.stdout.splitlines():
            kind, _, path = line.strip().partition(" ")
            if kind == "insmod":
                found[Path(path.strip())] = None
    return list(found)


def _unpacked(module: Path) -> bytes:
    """Return a module as the kernel loads it. Raises MachineError."""
    if module.suffix == ".xz":
        return lzma.decompress(module.read_bytes())
    if module.suffix != ".ko":
        raise MachineError(f"cannot unpack the kernel module {module}")
    return module.read_bytes()


def _numbers(text: str) -> list[int]:
    """Return the numbers in a release, to sort by."""
    return [int(word) for word in "".join(c if c.isdigit() else " " for c in text).split()]

"""A machine of its own for the tests: Debian's kernel under qemu, with control groups version 2.

It sees the host's files through an overlay and throws its own writes away. A function of
``vm.inside`` runs in it with ``Machine.ask``. It is emulated, without KVM: programs run five to ten
times as slowly as on the host, so that tests compare figures and never times.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from vm import database, initrd
from vm.errors import MachineError

CORES = 2
MEMORY_MIB = 2500
DATA_MIB = 1024
SWAP_MIB = 512
BOOT_S = 400.0
ANSWER_S = 1200.0
"""What one question may take on a busy host; never waited for in full where all is well."""

_QEMU = "qemu-system-x86_64"
_NEEDED = (_QEMU, "cpio", "mkfs.ext4", "modprobe", "setpriv")
_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", 'test $PPID = $0 && exec "$@"')
"""Runs a command that the kernel kills with us, or none if we end before that is asked for."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def missing() -> str:
    """Return why no machine can be had here; empty if nothing is missing."""
    if os.uname().machine != "x86_64":
        return "the test machine needs an x86_64 host"
    if os.geteuid() != 0:
        return "the test machine needs root, to show its programs all files of the host"
    absent = [name for name in _NEEDED if not shutil.which(name, path=_PATH)]
    if not os.access(initrd.BUSYBOX, os.R_OK):
        absent.append("busybox")
    if not initrd.kernels():
        absent.append("a kernel in /boot")
    return f"not installed: {', '.join(absent)} (see .ci/run)" if absent else ""


class Machine:
    """A machine that is up between ``with`` and its end.

    The kernel of the host kills qemu when the thread that started it ends, however it ends.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hpcwatch-vm-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._received = b""
        self._answers: dict[str, Any] = {}

    def __enter__(self) -> Machine:
        try:
            self._start()
            self._connect()
            assert self._read(BOOT_S) == {"value": "ready"}
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Return qemu's process id."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """Switch the machine off and remove what it was made of."""
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, question: str, *arguments: Any, timeout_s: float = ANSWER_S) -> Any:
        """Run ``module.function`` of ``vm.inside`` in the machine and return its answer.

        A question is put once; asked again, the same answer is returned. Raises MachineError.
        """
        key = json.dumps([question, arguments])
        if key not in self._answers:
            words = {"question": question, "arguments": arguments, "timeout_s": timeout_s}
            try:
                assert self._line is not None
                self._line.sendall(json.dumps(words).encode() + b"\n")
                self._answers[key] = self._read(timeout_s + 30.0)
            except (OSError, MachineError) as error:
                self._answers[key] = {"error": str(error)}
        answer = self._answers[key]
        if "error" in answer:
            raise MachineError(f"{question}: {answer['error']}")
        return answer["value"]

    def forget(self) -> None:
        """Forget the answers: what is asked again is done again."""
        self._answers.clear()

    def _start(self) -> None:
        kernel = initrd.kernels()[0]
        image = initrd.build(self.folder, kernel)
        for name, size_mib in (("data", DATA_MIB), ("swap", SWAP_MIB)):
            with (self.folder / name).open("wb") as disk:
                disk.truncate(size_mib << 20)
        files = self.folder / "files"  # what the data disk holds from the start
        database.install(files)
        make = ["mkfs.ext4", "-q", "-F", "-d", str(files), str(self.folder / "data")]
        subprocess.run(make, check=True, env={"PATH": _PATH})
        with (self.folder / "qemu").open("wb") as log:
            self._process = subprocess.Popen(
                [*_WITH_US, str(os.getpid()), *self._command(kernel, image)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _command(self, kernel: Path, image: Path) -> list[str]:
        disks = [
            f"file={self.folder}/{name},if=virtio,format=raw,cache=unsafe"
            for name in ("data", "swap")
        ]
        return [
            *(_QEMU, "-machine", "pc", "-accel", "tcg,thread=multi", "-cpu", "Nehalem"),
            *("-smp", str(CORES), "-m", str(MEMORY_MIB)),
            *("-nodefaults", "-nographic", "-no-reboot"),
            *("-kernel", str(kernel), "-initrd", str(image)),
            *("-append", "console=ttyS0 quiet panic=-1 mitigations=off"),
            *("-serial", f"file:{self.folder}/console"),
            *("-serial", f"unix:{self.folder}/line,server=on,wait=off"),
            *("-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,"
              "multidevs=remap"),
            *(word for disk in disks for word in ("-drive", disk)),
        ]  # fmt: skip

    def _connect(self) -> None:
        """Connect to the machine's second serial line, where the agent answers."""
        deadline = time.monotonic() + BOOT_S
        while True:
            line = socket.socket(socket.AF_UNIX)
            try:
                line.connect(str(self.folder / "line"))
            except OSError:
                line.close()
                if self._has_ended() or time.monotonic() > deadline:
                    raise self._failed("qemu did not start") from None
                time.sleep(0.02)
            else:
                self._line = line
                return

    def _read(self, patience_s: float) -> Any:
        """Return the agent's next line."""
        assert self._line is not None
        deadline = time.monotonic() + patience_s
        while b"\n" not in self._received:
            self._line.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self._line.recv(1 << 16)
            except TimeoutError:
                raise self._failed(f"no answer within {patience_s:g} s") from None
            if not data:
                raise self._failed("the machine ended")
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return json.loads(line)

    def _has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _failed(self, what: str) -> MachineError:
        said = [what]
        for name in ("console", "qemu"):
            path = self.folder / name
            if path.exists():
                said += path.read_text(errors="replace").splitlines()[-15:]
        return MachineError("\n  ".join(said))

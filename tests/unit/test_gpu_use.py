"""Whether a process ever opened a GPU: real processes, and trees as /proc shows them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import driver
import pytest
from unit_parts import wait_until

from hpcwatch.probe import gpu_use as uses
from hpcwatch.probe.gpu_use import GpuUse, GpuUseReader, gpu_use

MAPS = (
    "7f1c00000000-7f1c00021000 r-xp 00000000 08:01 131 /usr/lib/x86_64-linux-gnu/libc.so.6\n"
    "7f1c10000000-7f1c11e21000 r-xp 00000000 08:01 977 /usr/lib/x86_64-linux-gnu/{}\n"
)


def process(proc: Path, pid: int, opened: tuple[str, ...] = (), library: str = "libm.so.6") -> None:
    """A process in a captured tree: descriptors are links to what they opened."""
    folder = proc / str(pid) / "fd"
    folder.mkdir(parents=True, exist_ok=True)
    for number, target in enumerate(opened, len(os.listdir(folder))):
        (folder / str(number)).symlink_to(target)
    (proc / str(pid) / "maps").write_text(MAPS.format(library))


@contextmanager
def running(program: str) -> Iterator[int]:
    """A Python program that says when it is ready, and its pid."""
    command = [sys.executable, "-c", f"{program}\nprint('ready', flush=True)\ninput()"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        yield child.pid
    finally:
        child.kill()
        child.communicate()


@pytest.mark.skipif(not driver.has_compiler(), reason="no gcc")
def test_a_process_that_loads_a_cuda_library(tmp_path: Path) -> None:
    library = tmp_path / "libcuda.so.1"
    subprocess.run(["gcc", "-shared", "-o", str(library), "-x", "c", "/dev/null"], check=True)
    with running(f"import ctypes; ctypes.CDLL({str(library)!r})") as pid:
        assert gpu_use(pid) == GpuUse(libraries=frozenset({"libcuda.so"}))


def test_a_process_with_neither_sign() -> None:
    with running("import json") as pid:
        use = gpu_use(pid)
        assert use == GpuUse()
        assert not use.is_any


def test_open_devices_are_told_by_name(tmp_path: Path) -> None:
    opened = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia3", "/dev/null", "socket:[1]")
    process(tmp_path, 7, (*opened, "/dev/nvidia-caps/nvidia-cap1"), "libcuda.so.535.104.05")
    use = gpu_use(7, str(tmp_path))
    assert use is not None
    assert use.devices == {"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia3"}
    assert use.libraries == {"libcuda.so"}


@pytest.mark.parametrize(
    ("device", "library"),
    [("/dev/kfd", "libamdhip64.so.6"), ("/dev/dri/renderD128", "libze_loader.so.1")],
)
def test_other_vendors(tmp_path: Path, device: str, library: str) -> None:
    process(tmp_path, 7, (device,), library)
    use = gpu_use(7, str(tmp_path))
    assert use is not None
    assert list(use.devices) == [device]
    assert len(use.libraries) == 1


def test_a_name_that_only_resembles_one_is_no_sign(tmp_path: Path) -> None:
    process(tmp_path, 7, ("/home/alice/dev/nvidia0", "/dev/nvidia-modeset"), "notlibcuda.so.1")
    assert gpu_use(7, str(tmp_path)) == GpuUse()


def test_an_ended_process_is_unknown(tmp_path: Path) -> None:
    assert gpu_use(7, str(tmp_path)) is None
    assert GpuUseReader(str(tmp_path)).read([7]) == {}


def test_what_was_opened_once_stays_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uses, "_AGAIN_S", 0.0)
    process(tmp_path, 7, ("/dev/nvidia0",))
    reader = GpuUseReader(str(tmp_path))
    wait_until(lambda: 7 in reader.read([7]), "a first look")
    (tmp_path / "7" / "fd" / "0").unlink()
    process(tmp_path, 7, library="libcuda.so.1")
    wait_until(lambda: bool(reader.read([7])[7].libraries), "another look")
    assert reader.read([7])[7].devices == {"/dev/nvidia0"}
    assert reader.read([]) == {}


def test_many_processes_are_looked_at_within_a_ration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uses, "_FIRST_S", 0.001)
    monkeypatch.setattr(uses, "_SHARE", 0.0)
    pids = range(1, 300)
    for pid in pids:
        process(tmp_path, pid, ("/dev/nvidia0",))
    reader = GpuUseReader(str(tmp_path))
    assert 0 < len(reader.read(pids)) < 299
    # Who was not looked at yet comes first, so that everybody's turn comes.
    for _ in range(299):
        reader._ration.spend(-0.01)
        reader.read(pids)
    assert len(reader.read(pids)) == 299


def test_a_process_with_both_signs_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def counted(pid: int, proc: str) -> GpuUse | None:
        looks.append(pid)
        return gpu_use(pid, proc)

    monkeypatch.setattr(uses, "_AGAIN_S", 0.0)
    monkeypatch.setattr(uses, "_FIRST_S", 10.0)
    monkeypatch.setattr(uses, "_MOST_S", 10.0)
    monkeypatch.setattr(uses, "gpu_use", counted)
    process(tmp_path, 7, ("/dev/nvidia0",), "libcuda.so.1")
    process(tmp_path, 8, ("/dev/nvidia0",))
    reader = GpuUseReader(str(tmp_path))
    for _ in range(3):
        reader.read([7, 8])
    assert (looks.count(7), looks.count(8)) == (1, 3)

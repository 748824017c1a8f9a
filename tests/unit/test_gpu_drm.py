"""The kernel's own account of GPU clients: documented and captured texts, several vendors."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcwatch.probe.drm import DrmReader, Engine, parse_fdinfo

KIB = 1 << 10
HEAD = "pos:\t0\nflags:\t0100002\nmnt_id:\t26\nino:\t685\n"
AMDGPU = (
    HEAD + "drm-driver:\tamdgpu\ndrm-client-id:\t{client}\ndrm-pdev:\t0000:c1:00.0\n"
    "drm-memory-vram:\t{vram} KiB\ndrm-memory-gtt:\t2048 KiB\ndrm-memory-cpu:\t0 KiB\n"
    "amd-requested-vram:\t{vram} KiB\n"
    "drm-engine-gfx:\t{gfx} ns\ndrm-engine-compute:\t{compute} ns\n"
)
NEWER_AMDGPU = AMDGPU + "drm-resident-vram:\t300 KiB\ndrm-total-vram:\t900 KiB\n"
I915 = (  # proc_pid_fdinfo(5)
    HEAD + "drm-driver: i915\ndrm-client-id: 39\ndrm-pdev: 0000:00:02.0\n"
    "drm-total-system0: 6044 KiB\ndrm-resident-system0: 6044 KiB\ndrm-total-stolen-system0: 0\n"
    "drm-engine-render: 346249 ns\ndrm-engine-copy: 0 ns\ndrm-engine-video: 10 ns\n"
    "drm-engine-capacity-video: 2\n"
)
XE = (  # docs.kernel.org/gpu/xe/xe-drm-usage-stats.html
    HEAD + "drm-driver:     xe\ndrm-client-id:  3\ndrm-pdev:       0000:03:00.0\n"
    "drm-total-gtt:  192 KiB\ndrm-total-vram0:        23992 KiB\ndrm-shared-vram0:       16 MiB\n"
    "drm-resident-vram0:     23992 KiB\n"
    "drm-cycles-rcs: 28257900\ndrm-total-cycles-rcs:   7655183225\n"
    "drm-cycles-ccs: {ccs}\ndrm-total-cycles-ccs:   {total}\ndrm-engine-capacity-ccs:        4\n"
)


def amdgpu(client: int = 5, vram: int = 1024, gfx: int = 0, compute: int = 0) -> str:
    return AMDGPU.format(client=client, vram=vram, gfx=gfx, compute=compute)


def opened(proc: Path, pid: int, *texts: str, other: str = "/dev/null") -> None:
    """A process in a captured tree that has devices open."""
    for name in ("fd", "fdinfo"):
        (proc / str(pid) / name).mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(texts):
        link = proc / str(pid) / "fd" / str(number)
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/dri/renderD128")
        (proc / str(pid) / "fdinfo" / str(number)).write_text(text)
    last = proc / str(pid) / "fd" / "99"
    last.unlink(missing_ok=True)
    last.symlink_to(other)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the reader sees."""
    now = [100.0]
    monkeypatch.setattr("hpcwatch.probe.drm.time.monotonic", lambda: now[0])
    return now


def test_i915() -> None:
    client = parse_fdinfo(I915.encode())
    assert client is not None
    assert (client.driver, client.device, client.number) == ("i915", "0000:00:02.0", "39")
    assert client.engines == {
        "render": Engine(346249, None),
        "copy": Engine(0, None),
        "video": Engine(10, None, 2),
    }
    assert client.memory_bytes is None  # it has no memory of its own


def test_xe_counts_cycles() -> None:
    client = parse_fdinfo(XE.format(ccs=40, total=1000).encode())
    assert client is not None
    assert client.engines == {
        "rcs": Engine(28257900, 7655183225),
        "ccs": Engine(40, 1000, 4),
    }
    assert client.memory_bytes == 23992 * KIB


def test_amdgpu_old_and_new_names_of_memory() -> None:
    old, new = (
        parse_fdinfo(amdgpu().encode()),
        parse_fdinfo(NEWER_AMDGPU.format(client=1, vram=1024, gfx=7, compute=8).encode()),
    )
    assert old is not None
    assert new is not None
    assert (old.memory_bytes, new.memory_bytes) == (1024 * KIB, 300 * KIB)
    assert new.engines == {"gfx": Engine(7, None), "compute": Engine(8, None)}


@pytest.mark.parametrize("text", ["", HEAD, "drm-engine-gfx: 5 ns\n", "inotify wd:1 ino:2\n"])
def test_files_that_are_not_gpus(text: str) -> None:
    assert parse_fdinfo(text.encode()) is None


@given(st.binary(max_size=200))
def test_any_text_is_survived(raw: bytes) -> None:
    client = parse_fdinfo(b"drm-driver: x\n" + raw)
    assert client is not None


def test_busy_is_the_busiest_engine_between_two_readings(
    tmp_path: Path, clock: list[float]
) -> None:
    opened(tmp_path, 7, amdgpu(gfx=10**9, compute=10**9))
    reader = DrmReader(str(tmp_path))
    (first,) = reader.read([7])
    assert first.processes is not None
    assert first.processes[0].sm_util_pct is None
    opened(tmp_path, 7, amdgpu(gfx=10**9 + 2 * 10**8, compute=10**9 + 10**9))
    clock[0] += 2.0
    (second,) = reader.read([7])
    assert second.processes is not None
    (process,) = second.processes
    assert (process.pid, process.memory_bytes) == (7, 1024 * KIB)
    assert process.sm_util_pct == pytest.approx(50.0)
    assert (second.uuid, second.name) == ("drm-0000:c1:00.0", "amdgpu 0000:c1:00.0")
    assert second.util_pct is None  # of others nothing is known from here


def test_cycles_are_a_share_of_the_engine_s_own(tmp_path: Path, clock: list[float]) -> None:
    opened(tmp_path, 7, XE.format(ccs=0, total=1000))
    reader = DrmReader(str(tmp_path))
    reader.read([7])
    opened(tmp_path, 7, XE.format(ccs=1000, total=2000))
    clock[0] += 1.0
    (gpu,) = reader.read([7])
    assert gpu.processes is not None
    assert gpu.processes[0].sm_util_pct == pytest.approx(25.0)  # one of four engines


def test_a_descriptor_that_was_shared_counts_once(tmp_path: Path, clock: list[float]) -> None:
    opened(tmp_path, 7, amdgpu(), amdgpu(), amdgpu(client=6, vram=10))
    reader = DrmReader(str(tmp_path))
    (gpu,) = reader.read([7])
    assert gpu.processes is not None
    assert gpu.processes[0].memory_bytes == 1034 * KIB


def test_counters_that_fall_back_are_idle_not_negative(tmp_path: Path, clock: list[float]) -> None:
    opened(tmp_path, 7, amdgpu(gfx=500, compute=500))
    reader = DrmReader(str(tmp_path))
    reader.read([7])
    opened(tmp_path, 7, amdgpu(gfx=400, compute=400))
    clock[0] += 1.0
    (gpu,) = reader.read([7])
    assert gpu.processes is not None
    assert gpu.processes[0].sm_util_pct == 0.0


def test_rocm_s_own_queues_are_not_counted_so_nothing_is_known(
    tmp_path: Path, clock: list[float]
) -> None:
    opened(tmp_path, 7, amdgpu(), other="/dev/kfd")
    reader = DrmReader(str(tmp_path))
    reader.read([7])
    clock[0] += 1.0
    (gpu,) = reader.read([7])
    assert gpu.processes is not None
    assert gpu.processes[0].sm_util_pct is None
    assert gpu.processes[0].memory_bytes == 1024 * KIB


def test_two_processes_on_two_devices(tmp_path: Path) -> None:
    opened(tmp_path, 7, amdgpu(), I915)
    opened(tmp_path, 8, amdgpu(client=9))
    gpus = DrmReader(str(tmp_path)).read([7, 8, 4000])
    assert [(gpu.index, gpu.name) for gpu in gpus] == [
        (0, "i915 0000:00:02.0"),
        (1, "amdgpu 0000:c1:00.0"),
    ]
    assert [[process.pid for process in gpu.processes or []] for gpu in gpus] == [[7], [7, 8]]


def test_without_devices_there_are_none(tmp_path: Path) -> None:
    opened(tmp_path, 7)
    assert DrmReader(str(tmp_path)).read([7]) == []

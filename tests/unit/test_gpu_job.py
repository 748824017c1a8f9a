"""What the probe finds out about a job and its GPUs: environments, control groups, pids."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from unit_parts import wait_until

from hpcwatch.probe.gpu_job import GpuJob, allowed_devices, device_variables
from hpcwatch.probe.members import Tracked
from hpcwatch.probe.schema import Gpu, GpuProcess

OWN = os.getpid()
NOBODY = 4_190_000  # no machine has so many


def tracked(pid: int, name: str = "python", state: str = "S") -> Tracked:
    """A process as the probe follows it."""
    numbers = " ".join(["0"] * 20)
    return Tracked(pid, None, f"{pid} ({name}) {state} 1 1 1 0 -1 0 {numbers}\n".encode())


def put(
    proc: Path, pid: int, environment: bytes | None = None, opened: str = "", maps: str = ""
) -> None:
    """Write what /proc shows of a process."""
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True, exist_ok=True)
    (folder / "maps").write_text(maps)
    if opened:
        (folder / "fd" / "3").symlink_to(opened)
    if environment is not None:
        (folder / "environ").write_bytes(environment)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"CUDA_VISIBLE_DEVICES=0,1\0HOME=/root\0", "0,1"),
        (b"HOME=/root\0CUDA_VISIBLE_DEVICES=GPU-5b3c2a1f-0000-4d40\0", "GPU-5b3c2a1f-0000-4d40"),
        (b"A=1\0CUDA_VISIBLE_DEVICES=MIG-GPU-5b3c/1/0", "MIG-GPU-5b3c/1/0"),
        (b"CUDA_VISIBLE_DEVICES=\0", ""),
        (b"NOT_CUDA_VISIBLE_DEVICES=7\0", None),
        (b"X=CUDA_VISIBLE_DEVICES=7\0", None),
        (b"", None),
        (b"CUDA_VISIBLE_DEVICES=\x1b[31m0\0", None),
        (b"CUDA_VISIBLE_DEVICES=\xff0\0", None),
        (b"A=" + b"x" * (1 << 17) + b"\0CUDA_VISIBLE_DEVICES=3\0", "3"),
    ],
)
def test_visible_devices(tmp_path: Path, raw: bytes, value: str | None) -> None:
    put(tmp_path, 7, raw)
    assert device_variables(str(tmp_path / "7")).get("CUDA_VISIBLE_DEVICES") == value


def test_other_variables_that_decide_what_a_process_sees(tmp_path: Path) -> None:
    raw = b"CUDA_DEVICE_ORDER=PCI_BUS_ID\0ROCR_VISIBLE_DEVICES=0,GPU-5b3c\0HIP_VISIBLE_DEVICES=\x1b"
    put(tmp_path, 7, raw)
    assert device_variables(str(tmp_path / "7")) == {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "ROCR_VISIBLE_DEVICES": "0,GPU-5b3c",
    }


def test_of_a_real_process() -> None:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "2,3"}
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert device_variables(f"/proc/{child.pid}") == {"CUDA_VISIBLE_DEVICES": "2,3"}
        child.kill()
    assert device_variables(f"/proc/{child.pid}") == {}


def await_traits(reader: GpuJob, *processes: Tracked, **wanted: list[str]) -> None:
    """Wait for traits: on a machine that is held up, looking is rationed for a while."""
    table = {one.pid: one for one in processes}

    def holds() -> bool:
        traits = reader.traits(table)
        return all(getattr(traits, name) == value for name, value in wanted.items())

    wait_until(holds, str(wanted))


def test_each_environment_is_read_once_and_again_as_another_program(tmp_path: Path) -> None:
    put(tmp_path, 7, b"CUDA_VISIBLE_DEVICES=0\0")
    put(tmp_path, 8, b"CUDA_VISIBLE_DEVICES=1\0")
    reader = GpuJob(str(tmp_path), str(tmp_path))
    await_traits(reader, tracked(7), tracked(8), visible_devices=["0", "1"])
    put(tmp_path, 8, b"CUDA_VISIBLE_DEVICES=5\0")
    assert reader.traits({7: tracked(7), 8: tracked(8)}).visible_devices == ["0", "1"]
    await_traits(reader, tracked(7), tracked(8, "trainer"), visible_devices=["0", "1", "5"])
    assert reader.traits({}).visible_devices == ["0", "1", "5"]  # they have ended


def test_a_value_that_no_run_has(tmp_path: Path) -> None:
    put(tmp_path, 7, b"HOME=/\0")
    assert GpuJob(str(tmp_path), str(tmp_path)).traits({7: tracked(7)}).visible_devices is None


def test_signs_are_empty_only_if_all_were_looked_at(tmp_path: Path) -> None:
    put(tmp_path, 7)
    reader = GpuJob(str(tmp_path), str(tmp_path))
    await_traits(reader, tracked(7), gpu_signs=[])
    assert reader.traits({}).gpu_signs == []  # all have ended
    assert reader.traits({7: tracked(7), 9: tracked(9)}).gpu_signs is None  # 9 may not be seen
    put(tmp_path, 9, opened="/dev/nvidia1", maps="7f00-7f01 r-xp 0 08:01 1 /usr/lib/libcuda.so.1\n")
    later = GpuJob(str(tmp_path), str(tmp_path))
    await_traits(later, tracked(7), tracked(9), gpu_signs=["/dev/nvidia1", "libcuda.so"])
    assert later.traits({}).gpu_signs == ["/dev/nvidia1", "libcuda.so"]


def test_before_there_is_a_process_nothing_is_known(tmp_path: Path) -> None:
    traits = GpuJob(str(tmp_path), str(tmp_path)).traits({})
    assert set(traits) == {None}


@pytest.mark.parametrize(
    ("listed", "allowed"),
    [
        ("a *:* rwm\n", None),
        ("c 1:3 rwm\nc 195:* rwm\n", None),
        ("c *:* m\n", []),
        ("c 195:0 rw\nc 195:3 rw\nc 195:255 rwm\nc 195:254 rwm\nb 8:0 r\n",
         ["/dev/nvidia0", "/dev/nvidia3"]),
        ("c 1:3 rwm\n", []),
        ("garbage\n\nc 195\nc 195:x rw\n", []),
    ],
)  # fmt: skip
def test_devices_that_a_control_group_allows(
    tmp_path: Path, listed: str, allowed: list[str] | None
) -> None:
    group = tmp_path / "fs" / "cgroup" / "devices" / "torque" / "305669.qb3"
    group.mkdir(parents=True)
    (group / "devices.list").write_text(listed)
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text("4:memory:/x\n3:devices:/torque/305669.qb3\n0::/\n")
    assert allowed_devices(7, str(tmp_path), str(tmp_path)) == allowed


def test_version_2_does_not_show_allowed_devices(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text("0::/system.slice/job_7\nodd\n")
    assert allowed_devices(7, str(tmp_path), str(tmp_path)) is None
    assert allowed_devices(8, str(tmp_path), str(tmp_path)) is None


def device(*pids: int, used: int = 0) -> Gpu:
    return Gpu(0, "u", "n", memory_used_bytes=used, processes=[GpuProcess(pid) for pid in pids])


def test_pids_of_another_namespace_are_unknown() -> None:
    reader = GpuJob()
    known = [device(OWN, NOBODY), device(NOBODY), device()]
    assert reader.told_apart(known) == known
    foreign = [device(NOBODY), device()]
    assert [gpu.processes for gpu in reader.told_apart(foreign)] == [None, []]
    assert reader.told_apart([device(used=40 << 30)])[0].processes == []  # we see all processes


def test_in_a_container_a_full_device_without_processes_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "self" / "ns").mkdir(parents=True)
    (tmp_path / "self" / "ns" / "pid").symlink_to("pid:[4026532999]")
    reader = GpuJob(str(tmp_path))
    gpus = reader.told_apart([device(used=40 << 30), device(used=60 << 20)])
    assert [gpu.processes for gpu in gpus] == [None, []]


def test_devices_of_other_vendors_by_the_kernels_counters(tmp_path: Path) -> None:
    put(tmp_path, 7, opened="/dev/dri/renderD128")
    (tmp_path / "7" / "fdinfo").mkdir()
    (tmp_path / "7" / "fdinfo" / "3").write_text(
        "drm-driver:\ti915\ndrm-pdev:\t0000:03:00.0\ndrm-client-id:\t7\n"
        "drm-resident-local0:\t6044 KiB\n"
    )
    reader = GpuJob(str(tmp_path), str(tmp_path))
    assert reader.drm_gpus() == []
    await_traits(reader, tracked(7), gpu_signs=["/dev/dri/renderD128"])
    (gpu,) = reader.drm_gpus()
    assert gpu.name == "i915 0000:03:00.0"
    assert [(one.pid, one.memory_bytes) for one in gpu.processes or []] == [(7, 6044 << 10)]

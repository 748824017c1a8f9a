"""What root's exporters on a node publish: asked in bounds, parsed in bounds, taken by a table."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from pathlib import Path

import pytest
from exporter_servers import HEAD, RECORDED, says, serving

from hpcwatch.probe import exporters
from hpcwatch.probe.exporters import Exporters
from hpcwatch.probe.exporters_http import NoAnswerError, get
from hpcwatch.probe.exporters_listening import trusted
from hpcwatch.probe.exporters_table import TABLE, path_of
from hpcwatch.probe.exporters_taken import gpus_with, taken
from hpcwatch.probe.exporters_text import MOST_LINES, parse, rows
from hpcwatch.probe.schema import Exported, Gpu, Mig, MountUse, Sample, from_line, to_line

A100 = "GPU-34319582-d595-d1c7-d1d2-179bcfa61660"
RAPL = b'node_rapl_package_joules_total{index="0",path="/sys/class/powercap/intel-rapl:0"} 12.5\n'


def silent(connection: socket.socket, _: threading.Event) -> None:
    while connection.recv(65536):  # until the other side gives up
        pass


def recorded(name: str) -> bytes:
    return (RECORDED / name).read_bytes()


def test_a_line_is_parsed_as_the_format_says() -> None:
    assert parse(b'{a="1",b="x\\"y\\\\z\\n"} 1.5e+09 1700000000') == (
        {"a": "1", "b": 'x"y\\z\n'},
        1.5e9,
    )
    assert parse(b" 7") == ({}, 7.0)
    assert parse(b'{gpu="0", UUID="GPU-1",} 0') == ({"gpu": "0", "UUID": "GPU-1"}, 0.0)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" NaN",
        b" +Inf",
        b" -1",
        b" 1_000",
        b" 9223372036854775794",
        b" 1 2 3",
        b'{a="1} 1',
        b'{a="\\x"} 1',
        b"{a=1} 1",
        b'{a b="1"} 1',
        b'{="1"} 1',
        b'{a="\xff"} 1',
        b"{" + b'a="1",' * 100 + b"} 1",
    ],
)
def test_a_line_that_is_not_understood_has_no_value(line: bytes) -> None:
    assert parse(line) is None


def test_only_the_named_families_are_read() -> None:
    body = b"# HELP a b\na 1\nab 2\na_total 3\nxa 4\na{} 5\na\t6"
    assert [row.value for row in rows(body, [b"a"])] == [1.0, 5.0, 6.0]


def test_a_long_line_and_many_lines_are_left_out() -> None:
    long = b'a{x="' + b"y" * 20_000 + b'"} 1\n'
    assert [row.value for row in rows(long + b"a 2\n" + long.rstrip(), [b"a"])] == [2.0]
    assert len(list(rows(b"a 1\n" * (3 * MOST_LINES), [b"a"]))) == MOST_LINES


def test_dcgm_figures_belong_to_the_device_and_the_instance_that_they_name() -> None:
    found = taken(recorded("dcgm-a100-mig.txt"), 5.0, ())
    assert found is not None
    assert found.activity_from == "dcgm-exporter"
    assert found.exported is None
    whole = Gpu(0, A100, "NVIDIA A100-SXM4-40GB", mig_instance_count=1)
    part = Gpu(0, "MIG-1", "MIG 1g.5gb", mig=Mig(0, A100, 13, 0, "1g.5gb"))
    other = Gpu(1, "GPU-another", "NVIDIA A100-SXM4-40GB")
    inner = part._replace(uuid="MIG-2", mig=Mig(0, A100, 13, 1))
    gpus = gpus_with([whole, part, other, inner], found)
    assert [gpu.tensor_active_pct for gpu in gpus] == [92.926, 93.043, None, None]
    assert [gpu.dram_active_pct for gpu in gpus] == [69.079, 80.034, None, None]
    assert [gpu.activity_from for gpu in gpus] == ["dcgm-exporter"] * 2 + [None] * 2
    assert gpus[0].sm_active_pct is None  # its default list of counters has no SM activity


def test_figures_of_nvml_are_kept() -> None:
    found = taken(b'DCGM_FI_PROF_SM_ACTIVE{gpu="0",UUID="GPU-1"} 0.5\n', 5.0, ())
    assert found is not None
    gpus = [Gpu(0, "GPU-1", "NVIDIA H100", sm_active_pct=40.0)]
    assert gpus_with(gpus, found) == gpus


def test_what_dcgm_does_not_know_is_unknown() -> None:
    body = (
        b'DCGM_FI_PROF_SM_ACTIVE{UUID="GPU-1"} 9223372036854775794\n'
        b'DCGM_FI_PROF_DRAM_ACTIVE{UUID="GPU-1"} 7\nDCGM_FI_PROF_DRAM_ACTIVE{gpu="0"} 0.5\n'
    )
    found = taken(body, 5.0, ())
    assert found is not None
    assert found.activity == {}


def test_energy_is_a_counter_for_each_zone() -> None:
    found = taken(recorded("ceems-cgroup2-nvidia.txt"), 5.0, ())
    assert found is not None
    assert found.exported is not None
    assert found.exported.energy_from == "CEEMS"
    assert found.exported.dram_j == [24468.409791, 64930.394974]
    assert found.exported.package_j is not None
    assert len(found.exported.package_j) == 2
    assert found.exported.mounts is None


def test_only_the_jobs_own_traffic_is_taken() -> None:
    line = b'ceems_ebpf_%s_bytes_total{manager="slurm",hostname="n",uuid="%s",mountpoint="%s"} %d\n'
    body = (
        line % (b"read", b"77", b"/scratch", 10)
        + line % (b"write", b"77", b"/scratch", 20)
        + line % (b"read", b"78", b"/scratch", 99)
        + line % (b"read", b"77", b"no path", 99)
        + line % (b"write", b"77", b"/home", 5)
    )
    found = taken(body, 5.0, {"77"})
    assert found is not None
    assert found.exported == Exported(
        5.0,
        mounts=[MountUse("/home", None, 5), MountUse("/scratch", 10, 20)],
        mounts_from="CEEMS",
    )
    other = taken(body, 5.0, {"7"})
    assert other is not None
    assert other.exported is None


def test_a_text_without_our_families_has_nothing() -> None:
    assert taken(recorded("slurm-job-exporter.txt"), 5.0, {"1"}) is None
    assert taken(b"\0\1\2" * 1000, 5.0, ()) is None


def test_a_sample_keeps_what_was_published() -> None:
    said = Exported(4.5, [1.0, 2.0], [0.5], "node_exporter", [MountUse("/scratch", 1, 2)], "CEEMS")
    gpu = Gpu(0, "GPU-1", "A100", activity_from="dcgm-exporter")
    sample = Sample("node", 1.0, 5.0, exported=said, gpus=[gpu])
    assert from_line(to_line(sample)) == sample


def test_one_port_is_asked_for_one_collector() -> None:
    assert path_of(9100) == "/metrics?collect%5B%5D=rapl"
    assert path_of(9400) == "/metrics"
    assert len({family.name for family in TABLE}) == len(TABLE)


def test_an_answer_is_its_body() -> None:
    with serving(says(RAPL)) as server:
        assert get(server.port, "/metrics", 10.0) == RAPL


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "answers 404"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", "something else than text"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "encoded"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "encoded"),
        (b"", "does not speak HTTP"),
    ],
)
def test_what_is_no_exporter_is_refused(head: bytes, why: str) -> None:
    with serving(says(b"", head)) as server, pytest.raises(NoAnswerError, match=why):
        get(server.port, "/metrics", 10.0)


def test_an_endless_answer_is_cut_off() -> None:
    def endless(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(HEAD)
        while not over.is_set():
            connection.sendall(b"# \0\n" * 10_000)

    with serving(endless) as server, pytest.raises(NoAnswerError, match="longer than 4 MiB"):
        get(server.port, "/metrics", 60.0)


def test_a_slow_drip_ends_with_the_budget() -> None:
    def drip(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(HEAD)
        while not over.wait(0.01):
            connection.sendall(b"a 1\n")

    with serving(drip) as server:
        started_s = time.monotonic()
        with pytest.raises(NoAnswerError, match="no whole answer in 200 ms"):
            get(server.port, "/metrics")
        assert time.monotonic() - started_s < 5.0


def test_a_silent_port_ends_with_the_budget() -> None:
    with serving(silent) as server, pytest.raises(NoAnswerError, match="no whole answer"):
        get(server.port, "/metrics")


def test_only_ports_of_root_of_services_and_our_own_are_trusted(tmp_path: Path) -> None:
    lines = ["  sl  local_address rem_address   st tx rx tr tm retr   uid  timeout inode"]

    def add(address: str, port: int, state: str, uid: int) -> None:
        rest = f"00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {uid} 0 1"
        lines.append(f"   {len(lines)}: {address}:{port:04X} {rest}")

    add("0100007F", 9100, "0A", 0)  # root, loopback
    add("00000000", 9400, "0A", 998)  # a service, everywhere
    add("0100007F", 9445, "0A", 12345)  # a user
    add("0100007F", 9010, "0A", 0)  # root and a user
    add("00000000", 9010, "0A", 12345)
    add("0200000A", 9798, "0A", 0)  # another address
    add("0100007F", 9999, "0A", os.getuid())
    add("0100007F", 9306, "01", 0)  # a connection, not a listener
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text("\n".join([*lines, "torn"]))
    wanted = [9100, 9400, 9445, 9010, 9306, 9798, 9999, 9001]
    assert trusted(wanted, str(tmp_path)) == [9100, 9400, 9999]
    six = "0000000000000000FFFF00000100007F"
    (tmp_path / "net" / "tcp").unlink()
    lines[1:] = []
    add("0" * 32, 9100, "0A", 0)
    add(six, 9400, "0A", 0)
    add("0" * 24 + "01000000", 9445, "0A", 0)  # ::1 alone
    (tmp_path / "net" / "tcp6").write_text("\n".join(lines))
    assert trusted(wanted, str(tmp_path)) == [9100, 9400]
    assert trusted(wanted, str(tmp_path / "nothing")) == []


def test_the_kernels_list_shows_listeners_of_ours_over_many_pages() -> None:
    with contextlib.ExitStack() as stack:
        ports = [stack.enter_context(serving(says(b""))).port for _ in range(60)]
        assert trusted([*ports, 1]) == ports


def until(reader: Exporters, is_answer: bool) -> tuple[Exported | None, dict[str, str]]:
    """Read until an answer, or an error, has come."""
    end_s = time.monotonic() + 60
    while time.monotonic() < end_s:
        errors: dict[str, str] = {}
        fresh, _ = reader.read(time.monotonic(), None, errors)
        if fresh is not None if is_answer else errors:
            return fresh, errors
        time.sleep(0.01)
    raise TimeoutError("nothing was read")


def test_those_that_answered_are_asked_again_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exporters, "_EVERY_S", 0.05)
    monkeypatch.setattr(exporters, "BUDGET_S", 30.0)
    monkeypatch.setattr(get, "__defaults__", (30.0,))
    with serving(says(RAPL)) as good, serving(says(b"other 1\n")) as other:
        reader = Exporters([other.port, good.port, 1], [])
        try:
            for _ in range(3):
                fresh, errors = until(reader, is_answer=True)
                assert fresh is not None
                assert (fresh.package_j, fresh.energy_from) == ([12.5], "node_exporter")
                assert errors == {}
            assert good.count >= 3
            assert other.count == 1
        finally:
            reader.close()


def test_one_that_never_answers_is_told_and_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exporters, "_EVERY_S", 0.05)
    with serving(silent) as server:
        reader = Exporters([server.port], [])
        try:
            fresh, errors = until(reader, is_answer=False)
            assert fresh is None
            assert errors == {f"exporter {server.port}": "no whole answer in 200 ms"}
            reader._thread.join(60)
            assert not reader._thread.is_alive()
            assert server.count == 3
        finally:
            reader.close()


def test_a_last_reading_is_waited_for_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporters, "BUDGET_S", 30.0)
    monkeypatch.setattr(get, "__defaults__", (30.0,))
    with serving(says(RAPL)) as good:
        reader = Exporters([good.port], [])
        with contextlib.closing(reader):
            until(reader, is_answer=True)
            reader.hurry()
            reader.finish()
            fresh, _ = reader.read(time.monotonic(), None, {})
            assert fresh is not None
            assert good.count == 2


def test_activity_read_long_ago_is_not_of_now() -> None:
    body = b'DCGM_FI_PROF_SM_ACTIVE{UUID="GPU-1"} 0.5\n'
    gpus = [Gpu(0, "GPU-1", "A100")]
    with serving(says(body)) as server:
        reader = Exporters([server.port], [])
        with contextlib.closing(reader):
            end_s = time.monotonic() + 60
            while not reader._taken and time.monotonic() < end_s:
                time.sleep(0.01)
            now_s = reader._taken[server.port].read_at_s
            _, young = reader.read(now_s + 30, gpus, {})
            _, old = reader.read(now_s + 40, gpus, {})
    assert young is not None
    assert young[0].sm_active_pct == 50.0
    assert old == gpus

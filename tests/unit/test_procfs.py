"""The parsers of /proc: names that users choose, and text that is not what it should be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcwatch.probe.procfs import (
    PAGE_BYTES,
    parse_argv,
    parse_mounts,
    parse_stat,
    parse_table,
    text,
)

AFTER_NAME = (
    b"S 1 7 7 0 -1 4194560 11 22 3 4 500 60 7 8 20 0 5 0 12345 1048576 256"
    b" 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 3 0 0 0 0 0\n"
)


def stat_line(name: bytes) -> bytes:
    return b"42 (" + name + b") " + AFTER_NAME


@given(st.binary(min_size=1, max_size=15).filter(lambda name: b"\0" not in name))
def test_any_process_name_leaves_the_figures_alone(name: bytes) -> None:
    stat = parse_stat(stat_line(name))
    assert (stat.name, stat.ppid, stat.state) == (name, 1, "S")
    assert text(stat.name).encode()


@pytest.mark.parametrize("name", [b"a b", b"a) R 9 (", b"((", b"))", b"a\nb", b"\xff\xfe"])
def test_figures_of_a_stat_line(name: bytes) -> None:
    stat = parse_stat(stat_line(name))
    assert stat.name == name
    assert (stat.user_ticks, stat.system_ticks, stat.reaped_ticks) == (500, 60, 15)
    assert stat.all_ticks == 575
    assert (stat.thread_count, stat.started_ticks) == (5, 12345)
    assert (stat.virtual_bytes, stat.rss_bytes) == (1048576, 256 * PAGE_BYTES)


@given(st.binary(max_size=80))
def test_an_odd_stat_line_raises_only_what_is_caught(raw: bytes) -> None:
    try:
        parse_stat(raw)
    except (ValueError, IndexError):
        return


def test_our_own_line_agrees_with_the_kernel() -> None:
    stat = parse_stat(Path("/proc/self/stat").read_bytes())
    assert stat.ppid == os.getppid()
    assert stat.rss_bytes > 1 << 20


def test_tables_sum_names_that_recur_and_skip_what_is_no_number() -> None:
    raw = (
        b"Name:\tx y\nVmHWM:\t  100 kB\nPss: 5 kB\nPss: 6 kB\nThreads:\t3\nodd\nEmpty:\nMask: ff\n"
    )
    assert parse_table(raw) == {b"VmHWM": 102400, b"Pss": 11264, b"Threads": 3}


@given(st.binary(max_size=200))
def test_any_table_is_read(raw: bytes) -> None:
    assert all(value >= 0 for value in parse_table(raw).values())


@pytest.mark.parametrize(
    ("raw", "argv"),
    [
        (b"", []),
        (b"\0", []),
        (b"python\0train.py\0", ["python", "train.py"]),
        (b"sh\0-c\0\0", ["sh", "-c"]),
        (b"a\0\xff\0", ["a", "\\xff"]),
        (b"with space\0new\nline\0", ["with space", "new\nline"]),
        (b"renamed: worker 1", ["renamed: worker 1"]),
    ],
)
def test_arguments(raw: bytes, argv: list[str]) -> None:
    assert parse_argv(raw) == argv


def mount_line(point: str, kind: str = "tmpfs", root: str = "/") -> bytes:
    line = f"36 35 98:0 {root} {point} rw,noatime master:1 - {kind} none rw,memory\n"
    return line.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("/dev/shm", "/dev/shm"),
        ("/a\\040b", "/a b"),
        ("/a\\011b", "/a\tb"),
        ("/a\\012b", "/a\nb"),
        ("/a\\134b", "/a\\b"),
        ("/a\\134040b", "/a\\040b"),
        ("/a\u00a0b", "/a\u00a0b"),
        ("/a\u2028b", "/a\u2028b"),
        ("/a\x0cb", "/a\x0cb"),
        ("/a\udcffb", "/a\udcffb"),
    ],
)
def test_mount_points_of_any_name(written: str, meant: str) -> None:
    (mount,) = parse_mounts(mount_line(written))
    assert (mount.point, mount.kind, mount.options) == (meant, "tmpfs", "rw,memory")


def test_odd_mounts_are_left_out() -> None:
    raw = b"\nnot a mount\n1 2 3 - \n" + mount_line("/x")
    assert [mount.point for mount in parse_mounts(raw)] == ["/x"]


def test_mounts_with_and_without_optional_fields() -> None:
    raw = (
        b"31 23 0:28 / /sys rw - sysfs sysfs rw\n"
        b"32 23 0:29 / /b rw shared:1 master:2 propagate_from:3 - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    assert [(mount.kind, mount.options) for mount in parse_mounts(raw)] == [
        ("sysfs", "rw"),
        ("cgroup2", "rw,nsdelegate"),
    ]

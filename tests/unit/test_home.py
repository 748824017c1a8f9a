"""The file system of the home: which mount it is, its counters, and what it must never touch."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpcwatch.probe import home
from hpcwatch.probe.home import HomeReader, home_of, mount_of, parse_lustre, resolved
from hpcwatch.probe.probe import Probe, Target
from hpcwatch.probe.procfs import parse_mounts
from hpcwatch.probe.spec import Spec

# The form is the kernel's: fs/proc_namespace.c and fs/nfs/super.c (nfs_show_stats); the NFS
# figures are of a mount that has read 1.2 GB, as prometheus/procfs describes one.
NFS = """\
device {device} mounted on {point} with fstype {kind} statvers=1.1
\topts:\trw,vers=4.0,rsize=1048576,wsize=1048576,namlen=255,hard,proto=tcp,local_lock=none
\tage:\t13968
\tcaps:\tcaps=0xfff7,wtmult=512,dtsize=32768,bsize=0,namlen=255
\tsec:\tflavor=1,pseudoflavor=1
\tevents:\t52 226 0 0 1 13 398 0 0 331 0 47 0 0 77 0 0 77 0 0 0 0 0 0 0 0 0
\tbytes:\t1207640230 11 0 22 {read} {written} 295483 0
\tRPC iostats version: 1.0  p/v: 100003/4 (nfs)
\txprt:\ttcp 832 0 1 0 11 6428 6428 0 12154 0 24 26 5726
\tper-op statistics
\t        NULL: 0 0 0 0 0 0 0 0
\t        READ: 1298 1298 0 207680 1210292152 6 79386 79407
"""
LUSTRE = """\
snapshot_time             1409248409.120297 secs.usecs
read_bytes                3045 samples [bytes] 0 1048576 2389129
write_bytes               13641 samples [bytes] 1 3366225 468230469
open                      100 samples [regs]
"""


class Tree:
    """A node's mounts under another root. A line is ``POINT KIND [SOURCE]``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mounts: list[str] = []
        self.stats = ""
        (root / "proc" / "self").mkdir(parents=True)

    def mount(self, point: str, kind: str, source: str = "none", **counters: int) -> Tree:
        number = 20 + len(self.mounts)
        self.mounts.append(f"{number} 1 0:{number} / {point} rw shared:1 - {kind} {source} rw\n")
        if counters:
            self.stats += NFS.format(device=source, point=point, kind=kind, **counters)
        else:
            self.stats += f"device {source} mounted on {point} with fstype {kind}\n"
        return self

    def write(self) -> Tree:
        (self.root / "proc" / "self" / "mountinfo").write_text("".join(self.mounts))
        (self.root / "proc" / "self" / "mountstats").write_text(self.stats)
        return self

    def lustre(self, folder: str, client: str, text: str = LUSTRE) -> Tree:
        place = self.root / folder / client
        place.mkdir(parents=True)
        (place / "stats").write_text(text)
        return self

    def read(self, path: str, errors: dict[str, str] | None = None) -> tuple[object, ...]:
        self.write()
        return tuple(HomeReader(path, str(self.root)).read({} if errors is None else errors))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path).mount("/", "ext4", "/dev/sda1").mount("/proc", "proc")


def test_what_the_server_sent_and_got_of_the_home_s_mount_alone(tree: Tree) -> None:
    tree.mount("/software", "nfs", "nas:/sw", read=1, written=2)
    tree.mount("/home", "nfs4", "nas:/home", read=1210214218, written=77)
    tree.mount("/home2", "nfs4", "nas:/home2", read=5, written=6)
    errors: dict[str, str] = {}
    assert tree.read("/home/alice", errors) == ("/home", "nfs4", 1210214218, 77)
    assert tree.read("/home", errors)[2] == 1210214218
    assert tree.read("/home2/alice", errors)[2:] == (5, 6)
    assert errors == {}


def test_counters_continue_across_windows(tree: Tree) -> None:
    tree.mount("/home", "nfs4", "nas:/home", read=100, written=7).write()
    reader = HomeReader("/home/alice", str(tree.root))
    assert reader.read({}).home_read_bytes == 100
    file = tree.root / "proc" / "self" / "mountstats"
    file.write_text(tree.stats.replace(" 100 7 ", " 300 8 "))
    assert reader.read({})[2:] == (300, 8)


def test_expensive_readings_are_rare(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.mount("/home", "nfs4", "nas:/home", read=0, written=0).write()
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    spent = iter(range(1, 10**6))  # two readings of the clock a look: each costs 2 ms
    monkeypatch.setattr(time, "perf_counter", lambda: next(spent) * 0.002)
    reader = HomeReader("/home/alice", str(tree.root))
    file = tree.root / "proc" / "self" / "mountstats"
    seen = []
    for second in range(40):
        clock[0] += 1.0
        file.write_text(tree.stats.replace(" 0 0 295483", f" {second} 0 295483"))
        seen.append(reader.read({}).home_read_bytes)
    assert None not in seen
    assert 8 <= len(set(seen)) <= 14  # 0.5 ms a second, and what was saved up
    assert sorted(seen) == seen  # type: ignore[type-var]


def test_a_home_on_a_local_disk_has_no_counters_and_nothing_failed(tree: Tree) -> None:
    errors: dict[str, str] = {}
    assert tree.read("/home/alice", errors) == ("/", "ext4", None, None)
    assert errors == {}


def test_the_longest_point_and_of_several_the_last(tree: Tree) -> None:
    tree.mount("/home", "nfs", "nas:/home", read=1, written=1)
    tree.mount("/home/alice", "autofs", "auto.home")
    tree.mount("/home/alice", "nfs4", "old:/alice", read=2, written=2)
    tree.mount("/home/alice", "nfs4", "new:/alice", read=3, written=3)
    tree.mount("/home/al", "nfs", "nas:/al", read=4, written=4)
    assert tree.read("/home/alice") == ("/home/alice", "nfs4", 3, 3)
    assert tree.read("/home/bob")[2:] == (1, 1)
    assert tree.read("/home/al/x")[2:] == (4, 4)
    assert tree.read("/home/alfred")[2:] == (1, 1)


def test_a_mount_point_with_a_space(tree: Tree) -> None:
    tree.mount("/home/our\\040lab", "nfs4", "nas:/lab", read=8, written=9)
    assert tree.read("/home/our lab/alice") == ("/home/our lab", "nfs4", 8, 9)


def test_a_home_that_is_not_mounted_is_unknown_and_stays_unmounted(tree: Tree) -> None:
    tree.mount("/home", "autofs", "auto.home")
    errors: dict[str, str] = {}
    assert tree.read("/home/alice", errors) == ("/home", "autofs", None, None)
    assert errors == {}


def test_many_mounts_are_read_in_pieces(tree: Tree) -> None:
    for number in range(200):
        tree.mount(f"/net/{number}", "nfs", "nas:/x", read=number, written=number)
    tree.mount("/home", "nfs", "nas:/home", read=12, written=13)
    for number in range(200, 300):
        tree.mount(f"/net/{number}", "nfs", "nas:/x", read=number, written=number)
    assert len(tree.stats) > 2 * 65536
    assert tree.read("/home/alice")[2:] == (12, 13)


def test_a_mount_that_came_while_the_text_was_read_is_not_taken_for_another(tree: Tree) -> None:
    tree.mount("/home", "nfs", "nas:/home")  # no counters: the kernel had not told them yet
    tree.mount("/other", "nfs", "nas:/other", read=1, written=2)
    errors: dict[str, str] = {}
    assert tree.read("/home/alice", errors)[2:] == (None, None)
    assert "tells nothing" in errors["home"]


@pytest.mark.parametrize("line", ["bytes:\t1 2", "bytes:\tx x x x x x x x", "bytes:"])
def test_odd_text_is_unknown_with_its_reason(tree: Tree, line: str) -> None:
    tree.mount("/home", "nfs", "nas:/home", read=1, written=2)
    tree.stats = tree.stats.replace("bytes:\t1207640230 11 0 22 1 2 295483 0", line)
    errors: dict[str, str] = {}
    assert tree.read("/home/alice", errors)[2:] == (None, None)
    assert "home" in errors


@pytest.mark.parametrize("folder", ["proc/fs/lustre/llite", "sys/kernel/debug/lustre/llite"])
def test_lustre(tree: Tree, folder: str) -> None:
    tree.mount("/lus/home", "lustre", "10.0.0.1@o2ib:10.0.0.2@o2ib:/home/users")
    tree.lustre(folder, "home-ffff88085a9c4800").lustre(folder, "home2-ffff88085a9c5800")
    assert tree.read("/lus/home/alice") == ("/lus/home", "lustre", 2389129, 468230469)


def test_lustre_without_counters_says_why(tree: Tree) -> None:
    tree.mount("/home", "lustre", "10.0.0.1@o2ib:/home")
    errors: dict[str, str] = {}
    assert tree.read("/home/alice", errors)[2:] == (None, None)
    assert errors == {"home": "lustre: its counters are not found"}
    tree.lustre("proc/fs/lustre/llite", "home-1", "denied")
    tree.read("/home/alice", errors)
    assert errors == {"home": "lustre: not understood"}


def test_lustre_whose_counters_only_root_may_read(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.mount("/home", "lustre", "10.0.0.1@o2ib:/home")
    real = os.listdir

    def listdir(path: str) -> list[str]:
        if "debug" in path:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    errors: dict[str, str] = {}
    assert tree.read("/home/alice", errors)[2:] == (None, None)
    assert errors == {"home": "lustre: only root may read its counters"}


def test_what_never_happened_on_lustre_is_0() -> None:
    assert parse_lustre(b"snapshot_time 1 secs.usecs\nopen 1 samples [regs]\n") == (0, 0)


@pytest.mark.parametrize("kind", ["gpfs", "beegfs", "cifs", "fuse.sshfs", "afs"])
def test_file_systems_without_counters_are_unknown_and_no_failure(tree: Tree, kind: str) -> None:
    errors: dict[str, str] = {}
    assert tree.mount("/home", kind).read("/home/a", errors) == ("/home", kind, None, None)
    assert errors == {}


def test_links_are_followed_on_local_file_systems(tree: Tree) -> None:
    tree.mount("/net/nas", "nfs", "nas:/", read=1, written=2).write()
    (tree.root / "home").mkdir()
    (tree.root / "home" / "alice").symlink_to("../net/./nas/users/alice")
    (tree.root / "u").symlink_to("/home")
    assert tree.read("/u/alice") == ("/net/nas", "nfs", 1, 2)
    (tree.root / "loop").symlink_to("loop")
    assert tree.read("/loop/alice")[0] == "/"


def test_nothing_below_a_remote_file_system_is_asked_for(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that hangs would hang us, and a look at an unmounted home would mount it."""
    tree.mount("/home", "autofs", "auto.home")
    tree.mount("/nfs", "nfs", "nas:/", read=1, written=2).write()
    asked: list[str] = []
    real = os.readlink

    def readlink(path: str) -> str:
        asked.append(path.removeprefix(str(tree.root)))
        return real(path)

    monkeypatch.setattr(os, "readlink", readlink)
    for name in ("stat", "lstat", "statvfs", "scandir"):
        monkeypatch.setattr(os, name, None)
    mounts = parse_mounts("".join(tree.mounts).encode())
    for path in ("/home/alice/x", "/nfs/alice/x", "/home", "/nfs"):
        assert resolved(path, mounts, str(tree.root)) == path
    assert asked == []
    assert resolved("/local/x", mounts, str(tree.root)) == "/local/x"
    assert asked == ["/local", "/local/x"]


def test_no_mounts_at_all() -> None:
    assert mount_of("/home", []) is None


CHANGES = """
import os, subprocess, sys
from hpcwatch.probe.home import HomeReader
reader = HomeReader(sys.argv[1])
def kind():
    return reader.read({}).home_kind
first = kind()
subprocess.run(["mount", "-t", "tmpfs", "none", sys.argv[1]], check=True)
second = kind()
subprocess.run(["umount", sys.argv[1]], check=True)
print(first == kind() != second, second)
"""


def test_a_home_that_is_mounted_meanwhile_is_seen(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    command = ["unshare", "--mount", sys.executable, "-c", CHANGES, str(home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unshare" in done.stderr:
        pytest.skip("no mount namespaces here")
    assert done.stdout == "True tmpfs\n", done.stderr


def test_home_is_where_the_environment_says(tmp_path: Path) -> None:
    (tmp_path / "environ").write_bytes(b"OLDHOME=/no\0HOME=/work/alice/\0X=1\0")
    assert home_of(str(tmp_path), 0) == "/work/alice"
    for other in (b"HOME=relative\0", b"X=1\0", b""):
        (tmp_path / "environ").write_bytes(other)
        assert home_of(str(tmp_path), 0) == "/root"
    assert home_of(str(tmp_path / "hidden"), 0) == "/root"
    assert home_of(str(tmp_path / "hidden"), 3_999_999_999) is None


class Counted:
    """Counts how often it is asked whose home is where, and answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: HomeReader | None) -> None:
        self.asked: list[tuple[object, ...]] = []
        self._answer = answer
        monkeypatch.setattr(home, "reader_of", self)

    def __call__(self, *asked: object) -> HomeReader | None:
        self.asked.append(asked)
        return self._answer


def test_an_unknown_home_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch, None)
    probe = Probe(Target(os.getpid(), time.time()))
    try:
        samples = [probe.read() for _ in range(3)]
    finally:
        probe.close()
    assert counted.asked == [(os.getpid(), None)]
    assert all(one.node and one.node.home_kind is None for one in samples)
    assert all("home" not in (one.errors or {}) for one in samples)


def test_without_an_owner_no_home_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch, None)
    probe = Probe(Spec(interval_s=1.0, is_everyone=True))
    try:
        probe.read()
    finally:
        probe.close()
    assert counted.asked == []


def test_this_node_s_own_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    probe = Probe(Target(os.getpid(), time.time()))
    try:
        sample = probe.read()
    finally:
        probe.close()
    assert sample.node is not None
    assert sample.node.home_kind
    assert sample.node.home_mount

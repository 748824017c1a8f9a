"""The cluster itself: hosts are apart, logins work, what breaks can be mended, nothing is left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.cluster import LOGIN, NODES, Cluster
from cluster.commands import PATIENCE_S
from cluster.daemon import Daemon, wait_for
from cluster.errors import ClusterError
from cluster.hosts import namespace_of, plug, processes_of, unplug
from cluster.mounts import interpreter_trees, mount_script


def test_a_user_logs_in_from_host_to_host(slurm: Cluster) -> None:
    for node in NODES:
        said = slurm.said("ssh", "-o", "BatchMode=yes", node, "hostname; id -un; squeue -h")
        assert said.split()[:2] == [node, "alice"]


def test_hpcwatch_runs_on_every_host_and_files_are_shared(slurm: Cluster) -> None:
    slurm.said("sh", "-c", "echo shared > work/file; echo own > /tmp/file")
    for node in NODES:
        assert slurm.said("cat", "work/file", host=node) == "shared\n"
        assert slurm.run(["cat", "/tmp/file"], host=node).returncode == 1
        assert slurm.said("hpcwatch", "--version", host=node).startswith("hpcwatch ")
        assert slurm.said(sys.executable, "-c", "import psutil; print(1)", host=node) == "1\n"


def test_hosts_have_processes_of_their_own(slurm: Cluster) -> None:
    with slurm.start(["sleep", "987"], host="qb001") as process:
        seen = ["pgrep", "-fc", "^sleep 987$"]
        wait_for(lambda: slurm.run(seen, host="qb001").stdout == "1\n", "a sleeper")
        assert slurm.run(seen, host="qb002").stdout == "0\n"
        process.terminate()
    wait_for(lambda: slurm.run(seen, host="qb001").stdout == "0\n", "its end")


def test_orphans_leave_no_zombies(slurm: Cluster) -> None:
    slurm.said("sh", "-c", "(sleep 0.01 & echo $! > work/orphan); true", host="qb001")
    gone = ["sh", "-c", "test ! -e /proc/$(cat work/orphan)"]
    wait_for(lambda: slurm.run(gone, host="qb001").returncode == 0, "an orphan to be reaped")


def test_without_sshd_logins_are_refused_and_sessions_end(slurm: Cluster) -> None:
    session = slurm.start(["ssh", "qb001", "echo in; cat"])
    with session:
        assert session.stdout is not None and session.stdout.readline() == "in\n"
        slurm.stop_sshd("qb001")
        try:
            assert session.wait(PATIENCE_S) == 255
            refused = slurm.run(["ssh", "qb001", "true"])
            assert (refused.returncode, "Connection refused" in refused.stderr) == (255, True)
            assert slurm.run(["ssh", "qb002", "true"]).returncode == 0
        finally:
            slurm.start_sshd("qb001")
    assert slurm.run(["ssh", "qb001", "true"]).returncode == 0


def test_a_cut_cable_is_noticed_by_silence(slurm: Cluster) -> None:
    slurm.cut("qb001")
    try:
        lost = slurm.run(["ssh", "-o", "ConnectTimeout=1", "qb001", "true"])
        # A machine that is busy may learn first that nobody answers for the address.
        silence = "timed out" in lost.stderr or "No route to host" in lost.stderr
        assert (lost.returncode, silence) == (255, True), lost.stderr
    finally:
        slurm.mend("qb001")
    assert slurm.run(["ssh", "qb001", "true"]).returncode == 0


def hardware(slurm: Cluster) -> list[str]:
    """The addresses of the network cards of the login host and of a node."""
    words = [
        slurm.said("ip", "-o", "link", "show", "dev", card, user="root", host=host).split()
        for host, card in ((LOGIN, "br0"), ("qb001", "eth0"))
    ]
    return [one[one.index("link/ether") + 1] for one in words]


def test_a_new_cable_leaves_the_network_cards_as_they_are(slurm: Cluster) -> None:
    before = hardware(slurm)
    unplug(slurm.hosts[LOGIN], slurm.hosts["qb001"])
    plug(slurm.hosts[LOGIN], slurm.hosts["qb001"])
    assert hardware(slurm) == before
    assert slurm.run(["ssh", "qb001", "true"]).returncode == 0


def test_a_daemon_that_fails_is_quoted(slurm: Cluster, tmp_path: Path) -> None:
    argv = ["sh", "-c", "echo no such plugin; exit 3"]
    daemon = Daemon(slurm.hosts["qb001"], argv, tmp_path / "log", {"PATH": os.environ["PATH"]})
    daemon.start()
    with pytest.raises(ClusterError, match=r"(?s)sh on qb001 ended.*no such plugin"):
        daemon.await_service(lambda: False)


HOST_ALONE = """
import sys, time
from pathlib import Path
from cluster.hosts import Host
from cluster.mounts import mount_script
host = Host("qb9", 9, Path(sys.argv[1]), mount_script([], {}))
print(host.pid, flush=True)
time.sleep(600)
"""


def test_the_hosts_end_with_the_process_that_started_them(slurm: Cluster, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    argv = [sys.executable, "-c", HOST_ALONE, str(tmp_path)]
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        with namespace_of(int(holder.stdout.readline())) as namespace:
            assert processes_of(namespace)
            holder.kill()
            wait_for(lambda: not processes_of(namespace), "the host to go away")


def test_a_tree_below_a_closed_folder_is_put_back(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "tree").mkdir(parents=True)
    closed.chmod(0o700)
    script = mount_script([str(closed / "tree")], {"/etc/x": str(closed / "tree")})
    # Below the machine's /tmp, which each host has for itself, nothing else need be covered.
    covers = [line.split()[-1] for line in script.splitlines() if line.startswith("mount -t")]
    assert covers[:2] == ["/run", "/tmp"]
    assert f"mkdir -p {closed}/tree && mount --rbind /run/stage/0 {closed}/tree" in script
    assert all(os.path.isdir(tree) for tree in interpreter_trees())

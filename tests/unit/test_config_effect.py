"""`hpcwatch config`, and that what is configured takes effect where it should."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from program import Hpcwatch
from unit_parts import full_sample, run

from hpcwatch.base import config_files
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.transport import Bounds
from hpcwatch.cluster.transport.ways import suitable, ways
from hpcwatch.config.schema import KEYS
from hpcwatch.probe.schema import to_line
from hpcwatch.recording import store
from hpcwatch.recording.store import RunDirectory

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

WRITTEN = (
    "[run]\ninterval_s = 2\n"
    '[storage]\nroot = "$FOLDER/é \\"x\\""\nkeep_days = 9\n'
    '[queues."a b"]\nmemory_per_core_gb = 3.5\n'
    "[findings.cpu-low]\nwindow_s = 60\n"
)


def test_config_prints_toml_that_says_the_same(hpcwatch: Hpcwatch) -> None:
    path = hpcwatch.configure(WRITTEN)
    first = hpcwatch("config", HPCWATCH_HOME="")
    assert (first.code, first.err) == (0, "")
    plain = tomllib.loads(first.out)
    wanted = tomllib.loads(WRITTEN)
    for table, keys in wanted.items():
        assert keys.items() <= plain[table].items()
    path.write_text(first.out)
    again = hpcwatch("config", HPCWATCH_HOME="")
    assert tomllib.loads(again.out) == plain


def test_config_says_where_each_value_is_from(hpcwatch: Hpcwatch) -> None:
    path = hpcwatch.configure(WRITTEN)
    ended = hpcwatch("config", HPCWATCH_SSH_KEEPALIVE_S="5")
    rows = {row.split(" = ")[0]: row for row in ended.out.splitlines() if " = " in row}
    assert rows["interval_s"].endswith(f"# {path}, line 2")
    assert rows["memory_per_core_gb"].endswith(f"# {path}, line 7")
    assert rows["keepalive_s"].split() == [
        "keepalive_s",
        "=",
        "5.0",
        "#",
        "HPCWATCH_SSH_KEEPALIVE_S",
    ]
    assert rows["budget_mb"].endswith("# default")
    assert rows["root"].endswith("# HPCWATCH_HOME")
    assert "# per_core_gb is not set" in ended.out
    assert f"# user: {path}\n" in ended.out
    assert f"# site: {config_files.SITE_FILE}" in ended.out


def test_config_names_every_key(hpcwatch: Hpcwatch) -> None:
    out = hpcwatch("config").out
    for key in KEYS:
        assert f"# {key.what}" in out
        assert f"[{key.path[0]}]" in out


WRONG = """\
[run]
interval_s = "fast"
[costs]
core_hour = 0.5
[rum]
"""


def test_a_command_that_reads_goes_on_and_says_what_is_wrong(hpcwatch: Hpcwatch) -> None:
    hpcwatch("run", "--name", "one", "--", "true")
    path = hpcwatch.configure(WRONG)
    said = f"hpcwatch: {path}, line 2: run.interval_s = 'fast': give a number between"
    for words in (
        ["runs"],
        ["report"],
        ["report", "--format", "json"],
        ["compare", "one", "one"],
        ["replay", "--once"],
    ):
        ended = hpcwatch(*words)
        assert ended.code == 0, words
        (line,) = ended.err.splitlines()
        assert line.startswith(said), words
        assert line.endswith("(1 more); left out, the rest holds"), words


def test_valid_settings_next_to_a_mistake_hold(hpcwatch: Hpcwatch) -> None:
    path = hpcwatch.configure(WRONG)
    ended = hpcwatch("config")
    assert ended.code == 2
    assert f"{'core_hour = 0.5':32}  # {path}, line 4" in ended.out
    assert f"{'interval_s = 1.0':32}  # default" in ended.out
    assert len(ended.err.splitlines()) == 2
    assert f"{path}, line 5: no key rum: did you mean run?" in ended.err


@pytest.mark.parametrize("text", ["[run", "a = [", "x = 1" + "]" * 9, "\0"])
def test_a_file_that_is_no_toml_is_left_out(hpcwatch: Hpcwatch, text: str) -> None:
    path = hpcwatch.configure(text)
    ended = hpcwatch("runs")
    assert (ended.code, len(ended.err.splitlines())) == (0, 1)
    assert str(path) in ended.err


def test_a_command_that_removes_refuses_a_mistake(hpcwatch: Hpcwatch) -> None:
    path = hpcwatch.configure("[rum]\n")
    ended = hpcwatch("runs", "--prune", "30d")
    assert ended.code == 2
    assert f"{path}, line 1: no key rum: did you mean run?" in ended.complaint


def test_a_mistake_does_not_stop_a_program(hpcwatch: Hpcwatch) -> None:
    hpcwatch.configure("[rum]\n")
    ended = hpcwatch("run", "--", "echo", "hello")
    assert (ended.code, ended.out) == (0, "hello\n")
    assert "configuration ignored" in ended.err
    assert (hpcwatch.recorded() / "report.json").exists()


def test_recordings_go_to_the_configured_folder(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    hpcwatch.configure('[storage]\nroot = "$FOLDER/mine"\n')
    folder = {"FOLDER": str(tmp_path), "HPCWATCH_HOME": ""}
    assert hpcwatch("run", "--name", "here", "--", "true", **folder).code == 0
    (made,) = (tmp_path / "mine" / "runs").iterdir()
    assert "-here-" in made.name
    assert "here" in hpcwatch("runs", **folder).out
    assert "No runs" in hpcwatch("runs").out  # HPCWATCH_HOME goes over it


def test_the_user_s_folder_goes_over_the_site_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, user = tmp_path / "site.toml", tmp_path / "config" / "hpcwatch" / "config.toml"
    user.parent.mkdir(parents=True)
    monkeypatch.setattr(config_files, "SITE_FILE", str(site))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.delenv("HPCWATCH_HOME", raising=False)
    assert store.root() == str(tmp_path / "state" / "hpcwatch" / "runs")
    site.write_text('[storage]\nroot = "~/s"\n')
    assert store.root() == "/home/alice/s/runs"
    user.write_text("[storage]\nroot = 3\n")  # whoever reads all of it complains
    assert store.root() == "/home/alice/s/runs"
    user.write_text('[storage]\nroot = "/u"\n')
    assert store.root() == "/u/runs"
    user.write_text("no toml")
    assert store.root() == "/home/alice/s/runs"


def test_the_interval_is_the_configured_one(hpcwatch: Hpcwatch) -> None:
    hpcwatch.configure("[run]\ninterval_s = 7\n")
    hpcwatch("run", "--", "true")
    assert json.loads((hpcwatch.recorded() / "run.json").read_text())["interval_s"] == 7


def recorded(hpcwatch: Hpcwatch, queue: str) -> Path:
    """A run of four of 16 cores of a shared node, with 12 GiB in use for five minutes."""
    job = Job("7", "torque", queue=queue, nodes=("n1",), cores_count=4, node_cores_count=4)
    path = hpcwatch.folder / queue
    directory = RunDirectory.create(str(path))
    directory.write_run(run(job=job, wall_s=400.0, ended_at_s=1_700_000_400.0))
    samples = [full_sample(second, 12 << 30) for second in range(401)]
    (path / "samples.jsonl").write_text("".join(to_line(one) + "\n" for one in samples))
    return path


def test_memory_per_core_of_the_job_s_queue_is_what_the_findings_use(hpcwatch: Hpcwatch) -> None:
    hpcwatch.configure("[memory]\nper_core_gb = 2\n[queues.bigmem]\nmemory_per_core_gb = 8\n")
    found = {}
    for queue in ("workq", "bigmem"):
        plain = json.loads(hpcwatch("report", recorded(hpcwatch, queue), "--format", "json").out)
        found[queue] = {one["rule"]: one for one in plain["findings"]}
    assert "memory-over-share" in found["workq"]
    assert found["workq"]["memory-over-share"]["evidence"]["share_bytes"] == 8 << 30
    assert "memory-over-share" not in found["bigmem"]


def test_ssh_s_bounds_reach_the_transports() -> None:
    made = ways(None, None, "ssh", Bounds(3.0, 7.0, 2))
    [by_paramiko] = made._remote
    patience = by_paramiko._patience  # type: ignore[attr-defined]
    assert (patience.connect_s, patience.keepalive_s) == (3.0, 7.0)
    assert by_paramiko._turns._initial_value == 2  # type: ignore[attr-defined]


def test_nodes_are_reached_as_configured(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    hpcwatch.configure('[ssh]\ntransport = "ssh-program"\nconnect_timeout_s = 3\nkeepalive_s = 7\n')
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nexit 255\n')
    ssh.chmod(0o755)
    path = f"{ssh.parent}:{os.environ['PATH']}"
    ended = hpcwatch("top", "n1", "--once", PATH=path)
    assert ended.code == 1  # no node was read
    asked = (tmp_path / "asked").read_text().split()
    assert {"ConnectTimeout=3", "ServerAliveInterval=7", "n1"} <= set(asked)
    (tmp_path / "asked").unlink()
    hpcwatch("top", "n1", "--once", "--transport", "ssh", PATH=path)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert all(line.startswith("-G ") for line in asked), asked  # its configuration, no login


@pytest.mark.parametrize(
    ("configured", "scheduler", "chosen"),
    [
        ("srun", "slurm", "srun"),
        ("srun", "torque", "auto"),
        ("srun", None, "auto"),
        ("pbs_attach", "torque", "pbs_attach"),
        ("pbs_attach", "slurm", "auto"),
        ("ssh-program", None, "ssh-program"),
        ("ssh", "slurm", "ssh"),
    ],
)
def test_a_configured_transport_is_used_where_it_can_be(
    configured: str, scheduler: str | None, chosen: str
) -> None:
    assert suitable(configured, scheduler) == chosen


def test_the_configured_scheduler_is_asked(hpcwatch: Hpcwatch) -> None:
    hpcwatch.configure('[scheduler]\nname = "pbspro"\n')
    bare = {"PATH": "/nowhere"}
    for words in (["jobs"], ["job", "1"], ["cancel", "1", "--yes"]):
        ended = hpcwatch(*words, **bare)
        assert ended.code == 1
        assert "qstat" in ended.complaint
        assert "no scheduler found" not in ended.complaint
        slurm = hpcwatch(*words, "--scheduler", "slurm", **bare)
        assert "qstat" not in slurm.complaint

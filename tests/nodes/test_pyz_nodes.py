"""hpcwatch.pyz watches a node by the ssh program, with nothing but Python on either side."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from lab_hosts import Hosts

pytest_plugins = ["lab_fixtures"]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("pyz") / "hpcwatch.pyz"
    builder = ROOT / "packaging" / "pyz" / "build.py"
    words = [builder, "--packages", sysconfig.get_path("purelib"), "-o", target]
    subprocess.run([sys.executable, *map(str, words)], check=True, capture_output=True)
    return target


def test_a_node_is_read_by_the_ssh_program(pyz: Path, hosts: Hosts, tmp_path: Path) -> None:
    wrapper = tmp_path / "bin" / "ssh"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {hosts.ssh_config} "$@"\n')
    wrapper.chmod(0o755)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        "PATH": f"{wrapper.parent}:{os.environ['PATH']}",
        "HPCWATCH_HOME": str(tmp_path / "home"),
        "COLUMNS": "300",
    }
    # A folder that the nodes cannot be told of: they have to be sent the probe.
    elsewhere = tmp_path / "new\nline" / "hpcwatch.pyz"
    elsewhere.parent.mkdir()
    shutil.copy(pyz, elsewhere)

    def said(file: Path, *words: str) -> str:
        command = [os.path.realpath(sys.executable), "-S", str(file), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90)
        assert done.stderr == ""
        return done.stdout

    watch = ["top", "qb001", "--once", "--format", "json", "--transport", "ssh-program"]
    [node] = json.loads(said(pyz, *watch))["nodes"]
    assert (node["host"], node["gaps"], node["found_by"]) == ("qb001", [], "all")
    assert node["samples"] > 0
    assert node["memory_peak_bytes"] > 0
    # Without paramiko the ssh program is used unasked.
    doctor = said(elsewhere, "doctor", "--host", "qb001")
    assert "reached by ssh program" in doctor
    assert "the probe was sent along" in doctor

"""What `hpcwatch run` loads for a program of a millisecond: each module costs time and file calls.

Whoever needs another one there adds it here, and says in the commit why a later import will not do.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

RUN = """
import sys
before = set(sys.modules)
import hpcwatch.cli.run as run
run._UNWATCHED_S = 60.0  # on a busy machine, too, the program ends before it is watched
run.main(["--", "true"])
"""

LISTED = "print(*sorted(set(sys.modules) - before))"

OURS = {
    "hpcwatch",
    "hpcwatch.analysis",
    "hpcwatch.analysis.costs",
    "hpcwatch.analysis.limits",
    "hpcwatch.analysis.report",
    "hpcwatch.analysis.report.cpu",
    "hpcwatch.analysis.report.nodes",
    "hpcwatch.analysis.report.records",
    "hpcwatch.analysis.report.summary",
    "hpcwatch.analysis.report.to_json",
    "hpcwatch.analysis.timeline",
    "hpcwatch.analysis.timeline.columns",
    "hpcwatch.analysis.timeline.host",
    "hpcwatch.analysis.timeline.host_metrics",
    "hpcwatch.analysis.timeline.seen",
    "hpcwatch.analysis.timeline.steady",
    "hpcwatch.base",
    "hpcwatch.base.clean",
    "hpcwatch.base.config_files",
    "hpcwatch.base.errors",
    "hpcwatch.base.files",
    "hpcwatch.base.masks",
    "hpcwatch.base.output",
    "hpcwatch.base.units",
    "hpcwatch.cli",
    "hpcwatch.cli.program_report",
    "hpcwatch.cli.run",
    "hpcwatch.cluster",
    "hpcwatch.cluster.current_job",
    "hpcwatch.cluster.schedulers",
    "hpcwatch.config",
    "hpcwatch.launch",
    "hpcwatch.launch.counters_before",
    "hpcwatch.launch.group_signal",
    "hpcwatch.launch.leftovers",
    "hpcwatch.launch.prctl",
    "hpcwatch.launch.program",
    "hpcwatch.launch.spawn",
    "hpcwatch.launch.waited",
    "hpcwatch.monitor",
    "hpcwatch.monitor.guard",
    "hpcwatch.monitor.recording",
    "hpcwatch.monitor.report",
    "hpcwatch.monitor.run",
    "hpcwatch.monitor.run_record",
    "hpcwatch.monitor.standard_error",
    "hpcwatch.probe",
    "hpcwatch.probe.cgroup",
    "hpcwatch.probe.cgroup_files",
    "hpcwatch.probe.cgroup_limits",
    "hpcwatch.probe.cgroup_paths",
    "hpcwatch.probe.discovery",
    "hpcwatch.probe.encode",
    "hpcwatch.probe.listing",
    "hpcwatch.probe.members",
    "hpcwatch.probe.memory",
    "hpcwatch.probe.memory_files",
    "hpcwatch.probe.probe",
    "hpcwatch.probe.procfs",
    "hpcwatch.probe.procs",
    "hpcwatch.probe.schema",
    "hpcwatch.probe.sums",
    "hpcwatch.probe.totals",
    "hpcwatch.probe.typed",
    "hpcwatch.recording",
    "hpcwatch.recording.job_memory",
    "hpcwatch.recording.masking",
    "hpcwatch.recording.metrics",
    "hpcwatch.recording.recorder",
    "hpcwatch.recording.store",
    "hpcwatch.views",
    "hpcwatch.views.report",
    "hpcwatch.views.report.ending",
    "hpcwatch.views.report.terminal",
    "hpcwatch.views.report.used_rows",
    "hpcwatch.views.text",
}

NOT_NEEDED = {
    "argparse",
    "array",
    "ast",
    "bisect",
    "collections",
    "contextlib",
    "dataclasses",
    "difflib",
    "enum",
    "functools",
    "heapq",
    "html",
    "inspect",
    "json",
    "math",
    "psutil",
    "pynvml",
    "re",
    "shlex",
    "signal",
    "subprocess",
    "tempfile",
    "textwrap",
    "threading",
    "typing",
    "unicodedata",
}


def after_a_run(code: str, home: Path) -> set[str]:
    """Run `true` under the monitor in a Python of its own; return the words that code prints."""
    scheduled = ("HPCWATCH_", "SLURM_", "PBS_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(scheduled)}
    done = subprocess.run(
        [sys.executable, "-c", RUN + code],
        env={
            **environment,
            "HOME": str(home),
            "XDG_CONFIG_HOME": "",
            "XDG_STATE_HOME": "",
            "OMP_NUM_THREADS": "2",  # every job has variables that are recorded
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert "true · " in done.stderr, done.stderr
    assert "ended normally" in done.stderr
    return set(done.stdout.split())


def test_a_run_of_a_millisecond_imports_no_more_than_it_needs(tmp_path: Path) -> None:
    found = after_a_run(LISTED, tmp_path)
    ours = {name for name in found if name.partition(".")[0] == "hpcwatch"}
    assert ours <= OURS
    assert not found & NOT_NEEDED

"""`hpcwatch doctor --site`: a page for administrators, with a configuration for /etc. Pure.

What is read of the machine is in ``doctor_checks.site``.
"""

from __future__ import annotations

from collections.abc import Iterator

from hpcwatch.base.config_files import SITE_FILE

SEEN = "What users can see here"
HELPS = "What would show them more"
FILE = f"For {SITE_FILE}"


def configuration(scheduler: str | None) -> Iterator[str]:
    """Yield the lines of a file for ``SITE_FILE``: what was found is set, the rest are offers."""
    yield "# hpcwatch: defaults for all users; each user's own file overrides them."
    yield "# hpcwatch config prints the values in force, man 5 hpcwatch-config explains them."
    yield ""
    yield "[scheduler]"
    if scheduler is None:
        yield '# name = "slurm"           # none was found here'
    else:
        yield f'name = "{scheduler}"'
    yield ""
    yield "[ssh]"
    yield '# transport = "ssh-program"  # if only the site\'s ssh may log in to nodes'
    yield ""
    yield "[storage]"
    yield '# root = "/scratch/$USER/hpcwatch"  # if homes are small or slow'
    yield '# keep = "90d"               # recordings that are older are removed when a run ends'
    yield ""
    yield "[memory]"
    yield "# per_core_gb = 4            # if nodes are shared and memory follows the cores"
    yield ""
    yield "# [queues.bigmem]"
    yield "# memory_per_core_gb = 48"
    yield ""
    yield "[costs]"
    yield "# core_hour = 0.01           # reports then show what idle resources cost"
    yield "# gpu_hour = 0.5"
    yield '# unit = "EUR"'

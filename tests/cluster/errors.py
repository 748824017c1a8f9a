"""How a cluster that did not come up says so."""

from __future__ import annotations


class ClusterError(Exception):
    """What went wrong, with the end of the log that tells why."""

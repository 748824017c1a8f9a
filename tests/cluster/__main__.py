"""Hold a cluster until Ctrl-C: ``PYTHONPATH=tests python -m cluster [FOLDER]``, as root.

FOLDER gets a program for each user and host: ``FOLDER/alice@qb3 hpcwatch jobs``, without words a
shell. They run in this terminal, so tmux and full screens work.
"""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path

from cluster.cluster import LOGIN, NODES, USERS, Cluster
from cluster.errors import ClusterError


def write_doors(cluster: Cluster, folder: Path) -> None:
    """Write the programs that run a command as somebody somewhere."""
    folder.mkdir(parents=True, exist_ok=True)
    for user in (*USERS, "root"):
        for host in (LOGIN, *NODES):
            words = shlex.join(cluster.prefix(user, host))
            door = folder / f"{user}@{host}"
            door.write_text(f'#!/bin/sh\n[ $# -gt 0 ] || set -- bash\nexec {words} "$@"\n')
            door.chmod(0o755)


def main() -> int:
    """Hold the cluster."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "hpcwatch-cluster")
    try:
        with Cluster() as cluster:
            write_doors(cluster, folder)
            print(f"up: {folder}/alice@{LOGIN} CMD…; Ctrl-C ends it", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        return 0
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    finally:
        for door in folder.glob("*@qb*"):
            door.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())

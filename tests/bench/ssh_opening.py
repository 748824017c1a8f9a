"""Opening connections to 128 real sshd hosts at once: `python tests/bench/ssh_opening.py`.

With `--beside CHECKOUT` another version of hpcwatch does the same, by turns with this one: what
differs between them is then not the machine's mood.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nodes"))

from lab_hosts import LOGIN, USER, Hosts, missing
from tables import markdown, progress

COUNT, ROUNDS = 128, 7
COLUMNS = ["", "all open, s", "CPU, s"]

# Runs under either version: only what both have may be used.
CLIENT = """\
import json, resource, sys, threading, time
from hpcwatch.cluster.transport.ssh import SshTransport
transport, names = SshTransport(config_path=sys.argv[1]), sys.argv[2:]
links = []
def visit(name):
    link = transport.open(name, ["cat"])
    link.send(b"x")
    assert link.receive(60.0) == b"x"
    links.append(link)
threads = [threading.Thread(target=visit, args=(name,)) for name in names]
begun = time.monotonic()
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
passed = time.monotonic() - begun
now = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
cpu = sum(b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime for a, b in zip(used, now))
assert len(links) == len(names), "some did not open"
print(json.dumps([passed, cpu]))
[link.close() for link in links]
"""


def opened(hosts: Hosts, names: list[str], checkout: Path) -> tuple[float, float]:
    """Seconds until all are open, and CPU seconds of the client with its children."""
    argv = [sys.executable, "-c", CLIENT, str(hosts.ssh_config), *names]
    with hosts.inside(LOGIN):
        done = subprocess.run(
            argv, env={**os.environ, "PYTHONPATH": str(checkout)}, capture_output=True, check=True
        )
    passed_s, cpu_s = json.loads(done.stdout)
    return passed_s, cpu_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beside", metavar="CHECKOUT", type=Path, action="append", default=[])
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asked = parser.parse_args()
    lacking = missing()
    if lacking:
        sys.exit(f"needs {lacking}")
    names = [f"qb{number:03}" for number in range(1, asked.count + 1)]
    versions = [Path(__file__).resolve().parents[2], *asked.beside]
    figures: dict[Path, list[tuple[float, float]]] = {version: [] for version in versions}
    progress(f"starting {asked.count} hosts")
    with Hosts(names, jump=False) as hosts:
        hosts.write_ssh_config("Host *", f"  User {USER}")
        for number in range(asked.rounds):
            progress(f"round {number + 1}")
            for version in versions:
                figures[version].append(opened(hosts, names, version))
    rows = []
    for version, found in figures.items():
        cells = [
            f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
            for values in zip(*found, strict=False)
        ]
        rows.append(["this version" if version == versions[0] else version.name, *cells])
    print(markdown(COLUMNS, rows))


if __name__ == "__main__":
    main()

"""What the export costs: CPU per scrape of 1000 series, and memory beyond that of a plain run.

The targets are 1 % of a core with a scrape every 15 s, and 10 MB beyond the run's own. CPU is the
whole process's, whose other threads wait. Memory is the monitor's PSS after some scrapes; runs with
and without a listener take turns.
"""

from __future__ import annotations

import http.client
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from harness import wait_until
from tables import markdown, options, save

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

from report_scenes import many_nodes

from hpcwatch.export.exporter import Exporter
from hpcwatch.export.scene import About, Made, Numbers, Scene, about_job
from hpcwatch.export.wanted import Address, Wanted

EVERY_S = 15.0
SERIES = 1000
ACCEPT = "application/openmetrics-text;version=1.0.0"
_PROGRAM = ["sleep", "120"]


class Nodes:
    """A job on as many nodes as give 1000 series."""

    def __init__(self, nodes: int) -> None:
        timeline = many_nodes(nodes=nodes, hours=0.2).timeline
        about = about_job(timeline.job) if timeline.job is not None else About()
        self._scene = Scene(about, timeline, dict.fromkeys(timeline.hosts, True), [])

    def numbers(self, made: Made, is_last: bool = False) -> Numbers:
        return Numbers.of(self._scene, made)


def scraped(port: int) -> str:
    """The metrics at a port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics", headers={"Accept": ACCEPT})
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def cpu_per_scrape(rounds: int) -> tuple[int, float]:
    """How many series there are, and the CPU seconds of serving them once.

    The scraper's own share counts, too: it is small, and the same process's.
    """
    nodes = 1
    while True:
        exporter = Exporter([Nodes(nodes)], Wanted(listen=Address("127.0.0.1", 0)), print)
        exporter.start()
        assert exporter.listener is not None
        port = exporter.listener.port
        count = sum(not line.startswith("#") for line in scraped(port).splitlines())
        if count >= SERIES:
            break
        exporter.stop()
        nodes += max(1, round((SERIES - count) * nodes / count))
    before_s = time.process_time()
    for _ in range(rounds):
        scraped(port)
    used_s = (time.process_time() - before_s) / rounds
    exporter.stop()
    return count, used_s


def pss_bytes(pid: int) -> int:
    """A process's share of memory."""
    found = re.search(
        r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE
    )
    assert found is not None
    return int(found[1]) << 10


def memory_of_a_run(folder: Path, *ways: str) -> int:
    """The PSS of the monitor of a run after ten scrapes, or as much time."""
    errors = folder / "errors"
    command = [
        sys.executable,
        "-m",
        "hpcwatch",
        "run",
        "--view",
        "none",
        "--interval",
        "0.5",
        *ways,
    ]
    with errors.open("w") as stream:
        process = subprocess.Popen(
            [*command, "--", *_PROGRAM],
            env={**os.environ, "HPCWATCH_HOME": str(folder)},
            stderr=stream,
        )
    try:
        if ways:
            wait_until(lambda: "numbers are on" in errors.read_text(), "the listener", 60)
            found = re.search(r":(\d+)/metrics", errors.read_text())
            assert found is not None
            scrape = threading.Thread(target=lambda: [scraped(int(found[1])) for _ in range(10)])
            scrape.start()
            scrape.join()
        time.sleep(6)
        return pss_bytes(process.pid)
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Measure and print."""
    asked = options(__doc__)
    rounds, runs = (5, 1) if asked.quick else (20, 3)
    count, used_s = cpu_per_scrape(rounds)
    plain, listening = [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            plain.append(memory_of_a_run(Path(name)))
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            listening.append(memory_of_a_run(Path(name), "--listen", "0"))
    more = statistics.median(listening) - statistics.median(plain)
    share_pct = 100 * used_s / EVERY_S
    print("### Export\n")
    columns = ["series", "CPU per scrape, ms", "of a core, one per 15 s", "memory beyond a run, MB"]
    row = [str(count), f"{1000 * used_s:.1f}", f"{share_pct:.2f} %", f"{more / 1e6:.1f}"]
    print(markdown(columns, [row]))
    print(f"\nLoad: {os.getloadavg()[0]:.1f}")
    figures = {"series": count, "scrape_s": used_s, "plain": plain, "listening": listening}
    save(asked.json, {"export": figures})


if __name__ == "__main__":
    main()

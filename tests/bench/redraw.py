"""What a redraw of the live view costs in CPU time.

`python tests/bench/redraw.py [--quick] [--json FILE]`

Each node has 4 GPUs, 16 processes and ten minutes of readings; every redraw comes after a new
sample of every 40th node (four redraws a second, a sample per 10 s), or of all nodes at once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "views"))

from live_scenes import NOW_S, UP_S, Quiet, finding, gpu, job, picture, processes, sample, status
from tables import markdown, options, progress, save, spread

from hpcwatch.analysis.timeline import Timeline
from hpcwatch.monitor.picture import Picture
from hpcwatch.views.live.browser import Browser
from hpcwatch.views.live.view import few_collections

WANTED_MS = 30.0
INTERVAL_S = 10.0
HISTORY = 60
PAGES = ("1", "2", "3", "5")
NAMES = {"1": "nodes", "2": "GPUs", "3": "processes", "5": "timeline"}


class Cluster:
    """Nodes that are read every ten seconds."""

    def __init__(self, count: int) -> None:
        self.hosts = [f"qb{number:04}" for number in range(count)]
        self.job = job(nodes=tuple(self.hosts), nodes_count=count)
        self.timeline = Timeline(INTERVAL_S, self.job)
        self.step_s = 0.0
        self.statuses = {host: status(host) for host in self.hosts}
        for _ in range(HISTORY):
            self.read(self.hosts)

    def read(self, hosts: list[str]) -> None:
        """Take a reading of some nodes."""
        self.step_s += INTERVAL_S
        gpus = [gpu(index, float((self.step_s + index) % 97)) for index in range(4)]
        for host in hosts:
            listed = processes(self.step_s, 16)
            at_s = NOW_S - 120 + self.step_s
            reading = sample(host, self.step_s, processes=listed, gpus=gpus, at_s=at_s)
            self.timeline.add(reading)
            self.statuses[host] = status(host, last_at_s=UP_S + self.step_s)

    def picture(self) -> Picture:
        """What the view is told."""
        statuses = tuple(self.statuses.values())
        found = [finding(host=host) for host in self.hosts[::10]]
        shown = picture(self.hosts, job=self.job, timeline=self.timeline, statuses=statuses)
        return shown._replace(findings=found, at_s=NOW_S + self.step_s)


def redraw_ms(browser: Browser, shown: Picture) -> float:
    """Draw a picture on 200 columns and 50 lines, as text for the terminal."""
    begin_s = time.process_time()
    browser.look(shown)
    lines = browser.lines(200, 50)
    passed_ms = 1000 * (time.process_time() - begin_s)
    assert len(lines) == 50
    return passed_ms


def measure(count: int, rounds: int) -> dict[str, list[float]]:
    """Return milliseconds of each redraw by what was redrawn."""
    cluster = Cluster(count)
    browser = Browser(Quiet())
    times = {"first picture": [redraw_ms(browser, cluster.picture())]}
    some = max(count // 40, 1)
    reads: dict[str, Callable[[int], list[str]]] = {
        "": lambda turn: [cluster.hosts[(turn * some + n) % count] for n in range(some)],
        ", all nodes anew": lambda _turn: cluster.hosts,
    }
    for key in PAGES:
        browser.press(key)
        browser.look(cluster.picture())
        browser.lines(200, 50)
        for suffix, hosts in reads.items():
            name = NAMES[key] + suffix
            times[name] = []
            for turn in range(rounds):
                cluster.read(hosts(turn))
                times[name].append(redraw_ms(browser, cluster.picture()))
    return times


def main() -> None:
    asked = options(__doc__)
    sizes = (1, 128) if asked.quick else (1, 128, 1000)
    results: dict[str, object] = {}
    columns: dict[int, dict[str, list[float]]] = {}
    for count in sizes:
        progress(f"redraw with {count} nodes")
        with few_collections():  # as the view does
            columns[count] = measure(count, 3 if asked.quick else 10)
        results |= {f"redraw {count} {name} ms": times for name, times in columns[count].items()}
    rows = [[name, *(spread(columns[n][name], 1) for n in sizes)] for name in columns[sizes[0]]]
    print(f"Redraw in ms, median (range); wanted: at most {WANTED_MS:g} with 1000 nodes\n")
    print(markdown(["what changed", *(f"{count} nodes" for count in sizes)], rows))
    save(asked.json, results)


if __name__ == "__main__":
    main()

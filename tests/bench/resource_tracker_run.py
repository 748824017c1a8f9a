"""Runs a command under resource-tracker, which is a library: FILE INTERVAL CMD...

As its documentation shows it for another process: a tracker on the child's pid, started and
stopped around it. What does not concern the process is switched off (the whole machine's figures,
the search for a cloud provider), which is in its favour.
"""

import csv
import subprocess
import sys

from resource_tracker import ResourceTracker


def main() -> None:
    path, interval, *command = sys.argv[1:]
    child = subprocess.Popen(command)
    tracker = ResourceTracker(
        pid=child.pid,
        interval=float(interval),
        track_system=False,
        discover_server=False,
        discover_cloud=False,
    )
    tracker.start()
    code = child.wait()
    tracker.stop()
    metrics = tracker.process_metrics
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(metrics.columns)
        writer.writerows(zip(*(metrics[column] for column in metrics.columns), strict=True))
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()

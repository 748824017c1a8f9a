"""Runs a command below a panel with made-up figures: ``panel_driver.py KIND EVERY_S CMD ...``.

It does what `hpcwatch run` does with a panel, only with devices and findings where there are none,
and as often as a test likes.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "views"))

from states import finding, live, two_gpus

from hpcwatch.launch.program import Program
from hpcwatch.views.run.panel import Panel
from hpcwatch.views.run.state import LiveState


def state_at(kind: str, count: int) -> LiveState:
    """What is shown the given time."""
    if kind == "plain" or (kind == "varying" and count % 3 == 0):
        return live(elapsed_s=float(count))
    if kind == "varying" and count % 3 == 1:
        return live(elapsed_s=float(count), gpus=two_gpus())
    return live(elapsed_s=float(count), gpus=two_gpus(), findings=[finding()])


def main(kind: str, every_s: float, command: list[str]) -> None:
    """Show the panel until the command has ended."""
    panel = Panel.open()
    program = Program(command)
    program.settle()
    ended = threading.Event()
    counted: list[float] = []

    def paint() -> None:
        while not ended.wait(every_s):
            before_s = time.thread_time()
            if panel is not None:
                panel.show(state_at(kind, len(counted)))
            counted.append(time.thread_time() - before_s)

    painter = threading.Thread(target=paint)
    painter.start()
    if panel is None:
        for _ in program.wait(lambda: None, lambda: None):
            pass
    else:
        for number in program.wait(panel.suspend, panel.resume):
            if number == signal.SIGWINCH:
                panel.resized()
    ended.set()
    painter.join()
    if panel is not None:
        panel.close()
    median_ms = 1000 * sorted(counted)[len(counted) // 2] if counted else 0
    sys.stderr.write(f"driver ended, {len(counted)} times, {median_ms:.3f} ms each\n")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3:])

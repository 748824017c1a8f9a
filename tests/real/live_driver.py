"""Shows the live view with made-up pictures: ``live_driver.py KIND``.

It does what `hpcwatch job` does with a view, without a scheduler and without nodes. KIND is
``plain``, ``many``, ``array``, ``waiting`` (which starts when the user refreshes), ``failing``
(which raises when the user does), ``counting`` (which shows how often it was asked), or ``still``
(which never changes, and notes in the file ``asked`` how often it was asked).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "views"))

from live_scenes import (
    FINDINGS,
    HOSTS,
    NOW_S,
    UP_S,
    Quiet,
    array_of,
    job,
    lost,
    picture,
    sample,
    status,
    timeline,
    waiting,
)

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.monitor.picture import Picture
from hpcwatch.views.live.view import LiveView

STILL = picture(findings=FINDINGS)
MANY = tuple(f"qb{number:03}" for number in range(1, 61))


class Source(Quiet):
    """Pictures that change: every one comes after another sample."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.asked = 0
        self.hosts = MANY if kind == "many" else HOSTS
        self.timeline = timeline(self.hosts)
        self.began_s = time.monotonic()

    def __call__(self) -> Picture:
        self.asked += 1
        if self.kind == "failing" and self.refreshed:
            raise RuntimeError("the picture cannot be made")
        if self.kind == "waiting" and not self.refreshed:
            return waiting()
        if self.kind == "still":
            Path("asked").write_text(str(self.asked))
            return STILL
        if self.kind == "array":
            return array_of()
        passed_s = float(int(time.monotonic() - self.began_s))
        for host in self.hosts:
            self.timeline.add(sample(host, 122 + passed_s))
        statuses = [status(host, last_at_s=UP_S + 120 + passed_s) for host in self.hosts]
        if self.kind == "many":
            statuses[6] = lost(MANY[6])
        return picture(
            self.hosts,
            job=job(nodes=self.hosts, nodes_count=len(self.hosts)),
            statuses=tuple(statuses),
            timeline=self.timeline,
            findings=FINDINGS,
            at_s=NOW_S + passed_s,
            monotonic_s=UP_S + 120 + passed_s,
            note=f"asked {self.asked} times" if self.kind == "counting" else "",
        )


def main(kind: str) -> int:
    """Show it; say how it ended."""
    source = Source(kind)
    try:
        code = LiveView(source, source).run()
    except HpcwatchError as error:
        print(f"driver: {error}")
        return error.exit_code
    except RuntimeError as error:
        print(f"driver: {error}")
        return 1
    passed_s = time.monotonic() - source.began_s
    print(f"driver ended with {code}, opened {source.opened}")
    print(f"asked {source.asked} times in {passed_s:.2f} s")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""The full-screen view of what is watched, until the user leaves it or the job is over."""

from __future__ import annotations

import argparse
import os
from typing import NamedTuple

from hpcwatch.cli import give_back
from hpcwatch.monitor.picture import Picture
from hpcwatch.monitor.watch import Watch
from hpcwatch.probe.listing import login_name
from hpcwatch.views.live.view import LiveView


class _Over(Exception):  # noqa: N818 - not an error: the job has ended
    """Raised to close the view when the job that it shows is over."""


class _Actions:
    """The actions of the view's keys."""

    def __init__(self, watch: Watch) -> None:
        self.refresh = watch.refresh
        self.name_all = watch.name_all
        self.follow_log = watch.follow_log
        self.chosen: str | None = None

    def open_job(self, job_id: str) -> None:
        """Keep the id of the task that the user opened."""
        self.chosen = job_id


class Left(NamedTuple):
    """Why the view was closed."""

    code: int
    chosen: str | None
    """The id of the job that the user opened in it."""


def live(watch: Watch, options: argparse.Namespace, until_over: bool = False) -> Left:
    """Show the full-screen view until the user leaves it, or the job is over."""
    actions, giving = _Actions(watch), give_back.Giving(login_name(os.getuid()), watch.mark)

    def picture() -> Picture:
        job = watch.known.job
        if until_over and job is not None and job.has_ended:
            raise _Over
        made = watch.picture()
        giving.look(made)
        return made

    while True:
        try:
            code = LiveView(picture, actions, options.color, watch.lock, giving).run()
        except _Over:
            code = 0
        except give_back.Asked:
            giving.ask()
            watch.refresh()
            continue
        return Left(code, actions.chosen)

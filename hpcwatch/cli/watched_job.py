"""One watched job, from the first reading to the closing message."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from hpcwatch.base.clean import clean
from hpcwatch.base.output import complain
from hpcwatch.cli import export_options, exporting, finished, notify_options, reporting
from hpcwatch.cli.node_ways import settings_for, ways_to_watched
from hpcwatch.cli.watch_options import is_one_picture
from hpcwatch.cluster.transport.ways import Ways
from hpcwatch.monitor import report
from hpcwatch.monitor.known import Known, Questions
from hpcwatch.monitor.watch import Watch
from hpcwatch.recording.lookup import find

if TYPE_CHECKING:
    from hpcwatch.cli.live_view import Left
    from hpcwatch.cluster.schedulers.job import Job

_LOOK_S = 1.0


class Watching:
    """One job on the screen, from the first reading to the closing message."""

    def __init__(
        self,
        questions: Questions,
        known: Known,
        options: argparse.Namespace,
        until_over: bool = False,
    ) -> None:
        self._options = options
        self._until_over = until_over
        self._wanted = export_options.wanted(options)
        self.code = 0
        settings = self._settings = settings_for(options, len(known.nodes))
        self._watch = Watch(
            title=questions.job_id,
            questions=questions,
            known=known,
            hosts=(),
            opener=self._ways,
            settings=settings,
            is_recorded=not options.no_record,
            user=options.user,
        )
        self._told: list[str] = []
        is_lasting = until_over or not is_one_picture(options)
        is_asked = options.notify or settings.notify or self._idle_s
        if known.job is None:
            notify_options.check_array(options.notify, self._idle_s)
        if known.job is not None and is_lasting and is_asked:
            from hpcwatch.monitor.notify.job import JobNotifying

            self._watch.notifying = JobNotifying(
                known.job, options.notify, self._idle_s, settings, self._watch.mark, self._tell
            )

    @property
    def _idle_s(self) -> float | None:
        """What ``--cancel-if-idle`` of `job` says: `submit` leaves it to the job itself."""
        return None if self._until_over else self._options.cancel_if_idle

    def _tell(self, line: str) -> None:
        """Show a line on the screen; without one it is printed."""
        self._told.append(line)
        self._watch.say(line)

    def _close(self) -> None:
        """End the watch, and print what was said meanwhile and what could not be delivered."""
        self._watch.stop()
        self._watch.tell_end()
        notifying = self._watch.notifying
        failed = notifying.close() if notifying is not None else []
        self._print_told()
        for trouble in failed:
            complain(f"hpcwatch: notify: {trouble}")

    def _print_told(self) -> None:
        told, self._told = self._told, []
        for line in told:
            complain(f"hpcwatch: {clean(line)}")

    def _ways(self, job: Job | None) -> Ways:
        return ways_to_watched(job, self._known, self._options.transport, self._settings)

    def _known(self) -> Known:
        return self._watch.known

    def show(self, is_due: bool = False) -> str | None:
        """Show it; return the id of another job if the user opened one.

        ``is_due`` asks the scheduler about the job at once, on a thread of its own.
        """
        watch = self._watch
        watch.start()
        if is_due:
            watch.refresh()
        try:
            with exporting.of_job(watch, self._wanted, is_strict=not self._until_over):
                left = self._shown()
        finally:
            self._close()
        if left is None:
            self._report()
            return None
        self.code = left.code
        if left.chosen is None:
            self._say_goodbye()
        return left.chosen

    def _shown(self) -> Left | None:
        """Print one picture, or show the view: then return why it was closed."""
        if is_one_picture(self._options):
            from hpcwatch.cli.one_picture import once

            self.code = once(self._watch, self._options)
            return None
        from hpcwatch.cli.live_view import live

        return live(self._watch, self._options, self._until_over)

    def follow(self, told: Callable[[Known], None]) -> Job | None:
        """Record without a screen until the job is over; return its last state.

        ``told`` is called with each answer of the scheduler.
        """
        watch = self._watch
        watch.start()
        try:
            with exporting.of_job(watch, self._wanted, is_strict=False):
                while True:
                    known = watch.known
                    told(known)
                    self._print_told()
                    if known.job is None or known.job.has_ended:
                        break
                    time.sleep(_LOOK_S)
        finally:
            self._close()
        self._say_goodbye()
        return known.job

    def _report(self) -> None:
        """Write the requested reports on what was seen so far, while the job runs on."""
        asked, run_id = self._options.report, self._watch.run_id
        if asked:
            made = report.load(find(run_id)) if run_id is not None else self._watch.report()
            if any(one.path is None for one in asked):
                print(reporting.printed(made, asked, sys.stdout, self._options.color), end="")
            reporting.write_all(made, asked)

    def _say_goodbye(self) -> None:
        """Print, after the screen is closed, the report of a finished job, or where it will be."""
        job, run_id = self._watch.known.job, self._watch.run_id
        if job is not None and job.has_ended:
            finished.report(job, self._options, find(run_id) if run_id is not None else None)
            return
        self._report()
        if run_id is not None:
            print(f"What was seen is kept: hpcwatch report {run_id}")

"""Reports the end of a sweep elsewhere: to a program, a webhook or by mail."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from hpcwatch import config
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.base.output import complain
from hpcwatch.monitor.notify.alerts import Alerts
from hpcwatch.monitor.notify.channel import start_process
from hpcwatch.monitor.notify.message import Subject
from hpcwatch.monitor.notify.plan import plan_of
from hpcwatch.probe.listing import login_name
from hpcwatch.sweep.picture import Picture


def tell(picture: Picture, number: int, began_s: float, given: Sequence[str]) -> None:
    """Report the end; ``number`` is the signal that ended the sweep, or 0.

    ``began_s`` is ``time.monotonic`` of its begin. What fails is one line.
    """
    try:
        plan = plan_of(given, config.load_or_default().notify)
        if plan is None:
            return
        shared = picture.plan
        about = Subject(
            f"sweep {shared.name}", login_name(os.getuid()), os.uname().nodename, shared.job_id
        )
        alerts = Alerts(plan, about, start_process)
    except HpcwatchError as error:
        complain(f"hpcwatch: notify: {clean(str(error))}")
        return
    except OSError as error:
        complain(f"hpcwatch: notify: {os_reason(error)}")
        return
    ran_s = time.monotonic() - began_s
    how, is_bad = _how(picture, number)
    alerts.ended(how, is_bad, bool(number), ran_s, ())
    for trouble in alerts.close():
        complain(f"hpcwatch: notify: {trouble}")


def _how(picture: Picture, number: int) -> tuple[str, bool]:
    """Say how it ended, and whether that is bad."""
    counting = picture.counting()
    good = sum(one.ended is not None and one.ended.is_good for one in counting.values())
    failed, all_count = len(counting) - good, len(picture.tasks)
    left = all_count - len(counting)
    said = f": {good} of {all_count} tasks ended well"
    said += f", {failed} failed" if failed else ""
    said += f", {left} are not done" if left else ""
    said += f" (ended by {signal.Signals(number).name})" if number else ""
    return said, bool(failed or left)

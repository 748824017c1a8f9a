"""Times that do not jump: a clock that is set while a program runs changes no duration. Pure.

Each sample has the time of day and the node's monotonic clock. As long as both go on alike the time
of day is kept; when it jumps, what follows is counted on from before the jump. Slow corrections
(NTP slews both clocks alike) are no jumps.
"""

from hpcwatch.probe.schema import Sample
from hpcwatch.probe.typed import Iterable, NamedTuple, Optional
from hpcwatch.recording.store import Event

_STEP_S = 1.0
"""A smaller difference is no step: the two clocks are not read at one instant."""
_SLACK_S = 10.0
"""Events come in the order of their times, except those that waited for the next sample."""


class _Step(NamedTuple):
    """From a sample on, the time of day is ahead by ``ahead_s``; negative is behind."""

    from_s: float
    ahead_s: float


class SteadyClock:
    """The clock of one host, as its samples show it."""

    def __init__(self) -> None:
        self._offset_s: Optional[float] = None
        self.steps: list[_Step] = [_Step(-float("inf"), 0.0)]

    def steady(self, sample: Sample) -> Sample:
        """Return a sample with the time it would have if the clock had never been set.

        Samples must come in order.
        """
        offset_s = sample.at_s - sample.uptime_s
        if self._offset_s is None:
            self._offset_s = offset_s
        ahead_s = self.steps[-1].ahead_s
        moved_s = offset_s - self._offset_s
        if abs(moved_s - ahead_s) > _STEP_S:
            ahead_s = moved_s if abs(moved_s) > _STEP_S else 0.0
            self.steps.append(_Step(sample.at_s - ahead_s, ahead_s))
        if not ahead_s:
            return sample
        window = sample.window
        if window is not None:  # began no earlier than what is known of its length allows
            started_at_s = min(window.started_at_s, sample.at_s) - ahead_s
            window = window._replace(started_at_s=started_at_s)
        return sample._replace(at_s=sample.at_s - ahead_s, window=window)

    def steadied(self, events: Iterable[Event], started_at_s: float) -> list[Event]:
        """Return events of this host with steady times. They must be in the order of their coming.

        An event has only a time of day. It belongs to the first stretch between two steps in which
        it lies neither before the previous event nor after the stretch's end.
        """
        if len(self.steps) == 1:
            return list(events)
        made = []
        place, least_s = 0, started_at_s
        for event in events:
            at_s = event.at_s - self.steps[place].ahead_s
            while place + 1 < len(self.steps) and not (
                least_s - _SLACK_S <= at_s <= self.steps[place + 1].from_s
            ):
                place += 1
                at_s = event.at_s - self.steps[place].ahead_s
            least_s = max(least_s, at_s)
            made.append(event._replace(at_s=at_s))
        return made

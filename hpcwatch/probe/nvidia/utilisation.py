"""How busy a device is, gap by gap: from the driver's own samples, else by asking it.

Utilisation is the share of a period of 1/6 to 1 s in which any kernel ran (nvml.h). Drivers keep
the last dozen seconds of such periods, so that nothing between two looks is missed; some newer
ones and MIG devices keep none, and then the last period at each look has to do.
"""

import time
from typing import Any, List, Optional

from ..tally import Summary, Tally
from .calls import Calls, percent

_UTIL_SAMPLES = 1  # NVML_GPU_UTILIZATION_SAMPLES
_NONE_NEWER = (0, 6)  # NVML_SUCCESS and NVML_ERROR_NOT_FOUND
_NUMBER = 1  # NVML_VALUE_TYPE_UNSIGNED_INT
_OLDEST_S = 10.0


class UtilReader:
    """Reads one device's utilisation."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._tally = Tally()
        self._seen_us = 0
        self._is_kept = False
        self.memory_util_pct: Optional[float] = None

    def poll(self, is_full: bool) -> None:
        """Read what is new. What the driver keeps is fetched at full polls only."""
        if self._is_kept and not is_full:
            return
        utils = self._samples() if is_full else []
        self._is_kept = bool(utils)
        rates = self._calls("nvmlDeviceGetUtilizationRates")
        self.memory_util_pct = None if rates is None else percent(rates.memory)
        util = None if rates is None else percent(rates.gpu)
        if not utils and util is not None:
            utils = [util]
        for util in utils:
            self._tally.add(util)

    def _samples(self) -> List[float]:
        """Return the driver's samples since the last call; none if it keeps none."""
        told: Any = self._calls(
            "nvmlDeviceGetSamples", _UTIL_SAMPLES, self._seen_us, empty=_NONE_NEWER
        )
        if not told or told[0] != _NUMBER:
            return []
        newer = [one for one in told[1] if self._seen_us < one.timeStamp and _is_pct(one)]
        if not newer:
            return []
        newer.sort(key=_time_us)
        is_first, self._seen_us = self._seen_us == 0, newer[-1].timeStamp
        if abs(time.time() - self._seen_us / 1e6) > _OLDEST_S:
            return []  # left over from earlier, or of another clock: no word of the present
        # The first time the buffer reaches back to before us: its last entry is ours.
        return [float(one.sampleValue.uiVal) for one in (newer[-1:] if is_first else newer)]

    def publish(self) -> None:
        """Make what was polled visible to ``take``. With the reader's lock held."""
        self._tally.publish()

    def take(self, stands: bool) -> Summary:
        """Sum up the readings since the last call. With the reader's lock held."""
        return self._tally.take(stands)


def _time_us(sample: Any) -> int:
    return int(sample.timeStamp)


def _is_pct(sample: Any) -> bool:
    return 0 <= int(sample.sampleValue.uiVal) <= 100

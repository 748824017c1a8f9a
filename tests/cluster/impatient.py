"""hpcwatch that asks the scheduler every second: ``hpcwatch-impatient submit job.sh``.

What is tested is how it follows a job, not that it lets 30 s pass between two questions.
"""

from __future__ import annotations

import sys
import time
from unittest import mock

from hpcwatch.cli import main
from hpcwatch.cluster import client
from hpcwatch.monitor import watch

EVERY_S = 1.0

if __name__ == "__main__":
    own = client.run, time.monotonic, EVERY_S
    with (
        mock.patch.object(client.Asker.__init__, "__defaults__", own),
        mock.patch.object(watch, "POLL_S", EVERY_S),
    ):
        sys.exit(main())

"""Sends numbers to a Pushgateway: one group per run or job, replaced as a whole each time."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from hpcwatch.base import web, web_address
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.export import text
from hpcwatch.export.scene import About, Numbers

_JOB = "hpcwatch"
_GROUP_LABELS = ("cluster", "jobid", "run")
_LEAST_S = 0.2
_MOST_BYTES = 1 << 20
_SAID_LETTERS = 200


def to_gateway(url: str, each: Sequence[Numbers], token: str | None, deadline_s: float) -> None:
    """Replace the group of each run or job. Raises HpcwatchError at the first failure."""
    end_s = time.monotonic() + deadline_s
    for about, points in each:
        body = text.classic(points).encode("utf-8", "replace")
        where = group_url(url, about)
        post(where, body, text.CLASSIC_TYPE, token, end_s - time.monotonic(), method="PUT")


def group_url(url: str, about: About) -> str:
    """Return the address of a run's or job's group; a URL that names a group stays as it is."""
    if "/metrics/job/" in urlsplit(url).path:
        return url
    named = [(name, value) for name, value in about.labels if name in _GROUP_LABELS]
    parts = [f"/{_label(name, value)}" for name, value in (("job", _JOB), *named)]
    return f"{url.rstrip('/')}/metrics{''.join(parts)}"


def _label(name: str, value: str) -> str:
    """Return a label as a part of a path, in base64 if a letter has a meaning in paths."""
    if re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", value):
        return f"{name}/{value}"
    coded = base64.urlsafe_b64encode(value.encode("utf-8", "replace")).decode("ascii")
    return f"{name}@base64/{coded}"


def post(
    url: str,
    body: bytes,
    content_type: str,
    token: str | None,
    deadline_s: float,
    method: str = "POST",
) -> None:
    """Send a body. Raises HpcwatchError if the server does not accept it."""
    answer = web.ask(
        url,
        body,
        {"Content-Type": content_type},
        token=token,
        method=method,
        deadline_s=max(deadline_s, _LEAST_S),
        most_bytes=_MOST_BYTES,
    )
    if not answer.is_ok:
        said = clean(answer.body[:_SAID_LETTERS].decode("utf-8", "replace").strip())
        hint = said or "it gives no reason"
        raise HpcwatchError(f"{web_address.origin(url)} answers with status {answer.status}", hint)

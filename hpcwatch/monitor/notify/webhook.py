"""Sends a message to a webhook: one POST of JSON with the key ``text``."""

from __future__ import annotations

from hpcwatch.base import web, web_address
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError

_MOST_ANSWER_BYTES = 1 << 16


def address_in(path: str) -> str:
    """Return the URL in a file of mode 0600. Raises HpcwatchError, without the URL in it."""
    found = web_address.token_of(path, "web address")
    try:
        return web_address.check_address(found)
    except HpcwatchError as error:
        hint = "write http:// or https:// and the rest, and nothing else"
        if "password" in error.message:  # its URL holds a password: do not repeat it
            hint = error.hint
        raise HpcwatchError(f"{clean(path)} holds no web address", hint, EXIT_USAGE) from None


def post(body: bytes, url_file: str, token_file: str | None, deadline_s: float) -> None:
    """Send a message. Raises HpcwatchError, which shows only the host of the URL."""
    url = address_in(url_file)
    token = web_address.token_of(token_file) if token_file is not None else None
    headers = {"Content-Type": "application/json", "User-Agent": "hpcwatch"}
    answer = web.ask(
        url, body, headers, token, deadline_s=deadline_s, most_bytes=_MOST_ANSWER_BYTES
    )
    if not answer.is_ok:
        raise HpcwatchError(f"{web_address.origin(url)} answers with status {answer.status}")

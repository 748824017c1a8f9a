"""A refusal is readable to its end: the warning, and the command that helps."""

from __future__ import annotations

import pytest
from live_scenes import HOSTS, INTERVAL_S, UP_S, Quiet, picture, status, texts

from hpcwatch.analysis.timeline import Timeline
from hpcwatch.cluster.transport import ConnectError, Trouble
from hpcwatch.monitor.node_status import NodeState, NodeStatus
from hpcwatch.monitor.picture import Picture
from hpcwatch.views.live.browser import Browser
from hpcwatch.views.live.once import text_of

KEY = "SHA256:pN5R+QPbxcv9kIdxUVnohdV4GdLLuj5mDGyCD27l9uw"
OTHER = "SHA256:9aXyQPbxcv9kIdxUVnohdV4GdLLuj5mDGyCD27l9uwu"
CHANGED = ConnectError(
    Trouble.KEY_CHANGED,
    f"HOST KEY OF qb007 HAS CHANGED: it shows ssh-ed25519 {KEY}, but "
    f"/home/alice/.ssh/known_hosts:12 has ssh-ed25519 {OTHER}; someone may be listening in",
    "only if the administrators say that it was changed: ssh-keygen -R qb007",
)
UNKNOWN = ConnectError(
    Trouble.KEY_UNKNOWN,
    f"host key of qb007 is not known (ssh-ed25519 {KEY})",
    "to look at it and accept it, type: ssh qb007 true",
)


def refused(host: str, error: ConnectError) -> NodeStatus:
    return status(host, NodeState.LOST, reason=str(error), last_at_s=None, since_s=UP_S + 80)


def shown(*states: NodeStatus) -> Picture:
    return picture(statuses=states, timeline=Timeline(INTERVAL_S))


def screen(what: Picture, width: int, height: int, keys: str = "") -> list[str]:
    browser = Browser(Quiet())
    browser.look(what)
    browser.lines(width, height)
    for key in keys.split():
        browser.press(key)
    return [line.strip() for line in texts(browser.lines(width, height))]


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("error", [CHANGED, UNKNOWN], ids=["changed", "unknown"])
def test_a_refusal_stands_there_to_its_end(error: ConnectError, width: int) -> None:
    what = shown(refused("qb007", error))
    command = error.hint.partition(": ")[2]
    once = [line.strip() for line in text_of(what, width, None, False).splitlines()]
    for said in (screen(what, width, 24), once):
        assert command in said  # on a row of its own: it is copied
        whole = " ".join(said)
        for word in str(error).split():
            assert word in whole


def test_the_chosen_node_s_reason_is_shown_else_the_first() -> None:
    other = CHANGED.message.replace("qb007", "qb009")
    states = (
        refused("qb007", CHANGED),
        refused("qb009", ConnectError(Trouble.KEY_CHANGED, other, "do: this one")),
        status("qb010"),
    )
    assert "qb007 is lost:" in screen(shown(*states), 100, 30)
    below = screen(shown(*states), 100, 30, "down")
    assert "qb009 is lost:" in below
    assert "this one" in below
    assert "qb007 is lost:" not in below


def test_a_small_screen_keeps_its_table() -> None:
    what = shown(refused("qb007", CHANGED))
    for height in range(4, 30):
        said = screen(what, 80, height)
        assert len(said) <= height
    assert any(line.startswith("›qb007") for line in screen(what, 80, 12))


def test_a_short_reason_needs_no_rows() -> None:
    what = shown(*(refused(host, ConnectError(Trouble.TIMEOUT, "timed out")) for host in HOSTS))
    assert not any("is lost:" in line for line in screen(what, 80, 24))
    assert "is lost:" not in text_of(what, 80, None, False)


def test_many_refusals_are_counted() -> None:
    what = shown(*(refused(f"qb{number:03}", UNKNOWN) for number in range(25)))
    text = text_of(what, 80, None, False)
    assert text.count("is lost:") == 10
    assert "… 15 more nodes with reasons of their own" in text

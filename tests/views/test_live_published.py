"""What exporters on a node publish, on the page of the opened node, each figure with its source."""

from __future__ import annotations

import live_scenes as scenes

from hpcwatch.analysis.timeline import Timeline
from hpcwatch.probe.schema import Exported, MountUse, Sample
from hpcwatch.views.live.node_page import details


def published(at_s: float, joules: float, traffic: int) -> Exported:
    mounts = [MountUse("/scratch\x1b[2J", traffic, 0)]
    return Exported(at_s, [joules], None, "node_exporter", mounts, "CEEMS")


def said(*samples: Sample) -> str:
    timeline = Timeline(scenes.INTERVAL_S, scenes.job())
    timeline.add_all(samples)
    board = scenes.board(scenes.picture(timeline=timeline))
    text = "\n".join(scenes.texts(details(board.by_host["qb002"], 100)))
    assert "\x1b" not in text
    return text


def test_an_opened_node_shows_what_is_published_with_its_source() -> None:
    first, last = (scenes.sample("qb002", step) for step in (0, 1))
    assert last.gpus is not None
    told = [gpu._replace(activity_from="dcgm-exporter") for gpu in last.gpus]
    first = first._replace(exported=published(first.uptime_s, 0.0, 0))
    last = last._replace(exported=published(last.uptime_s, 300.0, 3 << 30), gpus=told)
    watts = 300.0 / (last.uptime_s - first.uptime_s)
    text = said(first, last)
    assert f"whole node {watts:.0f} W (node_exporter)" in text
    assert "is by dcgm-exporter" in text
    assert "read 3 GiB" in text
    assert "(CEEMS)" in text


def test_a_node_without_exporters_shows_none() -> None:
    assert "exporter" not in said(scenes.sample("qb002", 0), scenes.sample("qb002", 1))

"""Rows of many nodes in order: only those that are looked at are made, in the same order as all."""

from __future__ import annotations

import random

import pytest
from live_scenes import board, gpu, job, picture, processes, sample

from hpcwatch.analysis.timeline import Timeline
from hpcwatch.monitor.further import Further
from hpcwatch.views.live.arranged import Arranged
from hpcwatch.views.live.board import Board, Figures
from hpcwatch.views.live.gpus import GpusPage
from hpcwatch.views.live.node_rows import NodeRowsPage
from hpcwatch.views.live.processes import ProcessesPage
from hpcwatch.views.live.rows import NodeFigures

_MANY = tuple(f"n{number}" for number in range(200))


def _cluster(seed: int = 3) -> tuple[Board, Figures]:
    """Nodes with few different values, so that many rows have the same place in an order."""
    pick = random.Random(seed)
    made = Timeline(10.0, job(nodes=_MANY))
    for step_s in (0.0, 10.0):
        for host in _MANY:
            named = [
                one._replace(
                    cpu_user_s=pick.choice((None, 100.0, 100.0 + step_s)),
                    rss_bytes=pick.choice((None, 1 << 20, 1 << 30)),
                    rank=pick.choice((None, 0, 7)),
                )
                for one in processes(step_s, pick.randrange(9))
            ]
            gpus = [
                gpu(index, pick.choice((None, 0.0, 50.0))) for index in range(pick.randrange(4))
            ]
            made.add(sample(host, step_s, processes=named, gpus=gpus))
    figures = Figures()
    further = {"n7": Further(tuple(processes(10.0, 3)), {21270: 99.0})}
    return figures.board(picture(_MANY, timeline=made, job=made.job, further=further)), figures


@pytest.mark.parametrize("page", [ProcessesPage(), GpusPage()], ids=["processes", "GPUs"])
def test_rows_stand_as_if_all_were_sorted(page: NodeRowsPage[object]) -> None:
    shown, _ = _cluster()
    for sort in page.sorts:
        wanted = sorted(page.items(shown), key=sort.key(shown))
        for places in ((0, 1, 50), (250, 3), (len(wanted) - 1,)):
            arranged = page._ordered(shown)
            assert len(arranged) == len(wanted)
            assert [arranged[place] for place in places] == [wanted[place] for place in places]
            assert arranged[40:60] == wanted[40:60]
        assert list(page._ordered(shown)) == wanted
        page.press("s")


def test_a_node_with_a_new_sample_takes_its_new_place() -> None:
    shown, figures = _cluster()
    page = ProcessesPage()
    before = page._ordered(shown)[0]
    busy = [one._replace(cpu_user_s=1e6) for one in processes(20.0, 1)]
    shown.picture.timeline.add(sample("n199", 20.0, processes=busy))
    again = page._ordered(figures.board(shown.picture))
    assert before.host == "n7"
    assert [one.host for one in again[:2]] == ["n199", "n7"]


def test_only_the_nodes_of_the_first_rows_are_looked_at() -> None:
    status = board(picture()).nodes[0].status
    nodes = [NodeFigures(str(number), status) for number in range(1000)]
    asked: list[str] = []

    def rows(node: NodeFigures) -> list[int]:
        asked.append(node.host)
        return [int(node.host), int(node.host) + 5000]

    made = Arranged(nodes, [int(node.host) for node in nodes], 2000, rows, lambda row: row)
    assert made[3] == 3
    assert len(asked) < 100
    assert made[1500] == 5500
    with pytest.raises(IndexError):
        made[2000]
    assert made[-1] == 5999

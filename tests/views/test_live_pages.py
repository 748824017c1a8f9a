"""Every page as text: what is said of nodes in each state, of the unknown, of hostile names."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest
from live_scenes import (
    FINDINGS,
    HOSTS,
    INTERVAL_S,
    NOW_S,
    UP_S,
    Quiet,
    array_of,
    finding,
    gpu,
    job,
    lost,
    picture,
    processes,
    sample,
    status,
    texts,
    timeline,
    waiting,
)

from hpcwatch.analysis.findings import Directive, Severity
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.units import GIB
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.cluster.schedulers.job_exit import Cause, JobExit
from hpcwatch.monitor.job_output import LogText
from hpcwatch.monitor.node_status import NodeState
from hpcwatch.monitor.picture import Picture, Source, Telling
from hpcwatch.probe.schema import GpuProcess, JobUse, Node, Sample
from hpcwatch.views.live.board import Figures
from hpcwatch.views.live.browser import Browser
from hpcwatch.views.live.figures_text import rate
from hpcwatch.views.live.findings import finding_lines
from hpcwatch.views.live.head import left_style
from hpcwatch.views.live.head_amounts import requested_text
from hpcwatch.views.live.once import text_of
from hpcwatch.views.text import Line, line_width

WIDTHS = (40, 80, 100, 200)
HEIGHTS = (8, 12, 24, 30, 50)


def screen(
    shown: Picture, keys: Iterable[str] = (), width: int = 80, height: int = 24
) -> list[str]:
    """What stands on the screen after some keys."""
    return texts(lines(shown, keys, width, height))


def lines(shown: Picture, keys: Iterable[str], width: int, height: int) -> list[Line]:
    browser = Browser(Quiet())
    browser.look(shown)
    browser.lines(width, height)
    for key in keys:
        browser.press(key)
        browser.lines(width, height)
    return browser.lines(width, height)


def row_of(rows: list[str], start: str) -> str:
    """The only row that starts so, whatever marks it as selected."""
    (found,) = [row for row in rows if row[1:].startswith(start)]
    return found


def course() -> Picture:
    return picture(findings=FINDINGS)


def test_memory_requested_for_each_process_is_shown() -> None:
    each = Job("1", "torque", nodes_count=1, node_cores_count=8, pmem_bytes=2 << 30)
    assert requested_text(each) == "1 node × 8 cores, 2 GiB per process"


def test_nodes_say_what_each_uses() -> None:
    rows = screen(course(), width=100, height=30)
    assert rows[0].startswith(" 305669.qb3  cnn.tf.gpu  fchen14  k40  RUNNING")
    assert rows[0].endswith("2:41:07 of 72:00:00, 69 h left")
    assert "requested 3 nodes × 20 cores, 6 GPUs" in rows[1]
    assert "using 6.3 cores, 3 of 6 GPUs, 4.83 GiB" in rows[1]
    assert "3 of 3 nodes" in rows[1]
    assert "torque 12 s ago" in rows[2]
    assert "by ssh" in rows[2]
    assert rows[3].startswith(" ▲ qb[002-003]: GPU 1 idle 12 min, holds 10.7 GiB")
    row = row_of(rows, "qb003")
    assert row.split()[1:5] == ["▲●", "2.1", "▉", "0.32"]
    assert "1.61 ▏░" in row
    assert " 60   0▲" in row
    assert row.endswith("python 204 %")
    titles = " ".join(row_of(rows, "node").split())
    assert titles == "node CPU of 20 load memory of 126 GiB swap GPUs % disk/s net/s top process"
    assert rows[-1].endswith("? help  q quit")


def test_right_columns_give_way_first() -> None:
    wide, narrow = (row_of(screen(course(), width=width), "node") for width in (100, 80))
    assert "disk/s" in wide
    assert "disk/s" not in narrow
    assert "swap" not in narrow
    for title in ("CPU of 20", "load", "memory of 126 GiB", "GPUs %", "top process"):
        assert title in narrow
    assert row_of(screen(course()), "qb007").endswith("python 204 %")


def test_a_lost_node_keeps_its_row_with_reason_and_age() -> None:
    shown = picture(statuses=(status("qb002"), status("qb003"), lost("qb007")))
    rows = screen(shown, width=100)
    wanted = "▲ lost 40 s: connection timed out, next try 12 s · last values 52 s old"
    assert row_of(rows, "qb007").endswith(wanted)
    assert "2 of 3 nodes" in rows[1]
    assert "using 4.2 cores" in rows[1]


def test_connecting_and_stale_nodes_say_so() -> None:
    connecting = status("qb003", NodeState.CONNECTING, since_s=UP_S + 117, last_at_s=None)
    stale = status("qb007", NodeState.STALE, since_s=UP_S + 100, reason="no reading for 20 s")
    shown = picture(
        statuses=(status("qb002"), connecting, stale), timeline=timeline(("qb002", "qb007"))
    )
    rows = screen(shown)
    assert row_of(rows, "qb003").split() == ["qb003", "connecting", "3", "s"]
    assert row_of(rows, "qb007").endswith("stale 20 s")
    opened = screen(shown, ["enter"])
    assert any("qb007  stale 20 s: no reading for 20 s, last values 1 s old" in r for r in opened)


def test_a_connected_node_without_a_reading_says_so() -> None:
    shown = picture(timeline=timeline(("qb002", "qb003")))
    assert "waiting for its first reading" in row_of(screen(shown), "qb007")


def test_more_than_three_nodes_are_summed_up() -> None:
    hosts = ("n1", "n2", "n3", "n4")
    made = timeline(hosts)
    for step in (122.0, 124.0):
        use = JobUse("cgroup", cpu_user_s=2.1 * 120 + 8 * (step - 120), cpu_system_s=0.0)
        made.add(sample("n3", step, job=use))
    rows = screen(picture(hosts, timeline=made), width=100, height=30)
    assert row_of(rows, "mean").split()[1] == "3.57"
    assert row_of(rows, "min").split()[1:3] == ["2.1", "n1"]
    assert row_of(rows, "max").split()[1:3] == ["8", "n3"]
    assert not [row for row in screen(course()) if row.startswith(" mean")]


def test_uneven_nodes_say_of_how_many() -> None:
    made = timeline()
    node = Node(memory_total_bytes=64 * GIB, memory_available_bytes=60 * GIB)
    made.add(sample("qb003", 122.0, node=node))
    rows = screen(picture(job=job(node_cores_count=None), timeline=made), width=100)
    assert "1.61 of 64 GiB" in row_of(rows, "qb003")
    assert "1.61 of 126 GiB" in row_of(rows, "qb002")


def test_many_devices_of_a_node_are_a_bar_each() -> None:
    eight = [gpu(index, 90.0 if index else 0.0) for index in range(8)]
    shown = picture(("n1", "n2"), timeline=timeline(("n1",), gpus=eight))
    shown = shown._replace(findings=[finding(host="n1", entity="GPU 0")])
    assert " ▁███████  79▲1 " in row_of(screen(shown), "n1")
    assert "   0▲ 90  90 " in row_of(screen(shown, width=200), "n1")


def test_a_device_that_does_not_say_is_unknown() -> None:
    shown = picture(("n1", "n2"), timeline=timeline(("n1",), gpus=[gpu(0, None), gpu(1, 5.0)]))
    assert "   –   5 " in row_of(screen(shown), "n1")


def test_gpus_say_how_long_they_were_idle() -> None:
    made = Timeline(10.0)
    for step in range(0, 901, 10):
        busy = 50.0 if step <= 180 else 0.0
        made.add(sample("qb002", float(step), gpus=[gpu(0, busy), gpu(1, 0.0), gpu(2, None)]))
    rows = screen(picture(("qb002",), timeline=made), ["2"], width=100)
    assert row_of(rows, "qb002    0").split()[2:7] == ["0", "%", "11", "min", "10.8"]
    assert "≥ 15 min" in row_of(rows, "qb002    1")
    assert row_of(rows, "qb002    2").split()[2:4] == ["–", "–"]
    assert "61 of 235 W" in row_of(rows, "qb002    0")
    assert "54 °C" in row_of(rows, "qb002    0")
    assert "python 21270" in row_of(rows, "qb002    0")


def test_a_stranger_on_a_device_has_a_number_only() -> None:
    device = gpu(0, 50.0)._replace(processes=[GpuProcess(4711, GIB)])
    hidden = gpu(1, 50.0)._replace(processes=None)
    shown = picture(("n1",), timeline=timeline(("n1",), gpus=[device, hidden]))
    rows = screen(shown, ["2"], width=120)
    assert row_of(rows, "n1      0").endswith(" 4711")
    assert row_of(rows, "n1      1").endswith(" –")


def test_no_gpus_is_not_the_same_as_unknown() -> None:
    none = picture(timeline=timeline(gpus=[]))
    assert any("these nodes have no GPU" in row for row in screen(none, ["2"]))
    sick = picture(timeline=timeline(gpus=None, errors={"gpu": "the driver hangs"}))
    assert any("GPUs are unknown: qb002: the driver hangs" in row for row in screen(sick, ["2"]))


def test_processes_are_as_top_shows_them() -> None:
    rows = screen(course(), ["3"], width=140)
    titles = row_of(rows, "node").split()
    wanted = "node user PID thr CPU % RSS PSS virtual GPU S CPU time command"
    assert titles == wanted.split()
    first = next(row for row in rows if row.startswith("›qb002"))
    wanted = "›qb002 fchen14 21270 37 204 1.6 GiB 1.55 GiB 166 GiB 0,1 R 5:45"
    assert " ".join(first.split()) == f"{wanted} python train.py --epochs 20"
    by_node = screen(course(), ["3", *"ssss"], width=140)
    places = [row.split()[0].strip("›") for row in by_node if row[1:].startswith("qb00")]
    assert places == ["qb002"] * 3 + ["qb003"] * 3 + ["qb007"] * 3


def test_findings_say_what_where_and_how_long() -> None:
    rows = screen(course(), ["4"])
    first = next(place for place, row in enumerate(rows) if row.startswith("›▲"))
    assert rows[first].split()[:5] == ["›▲", "critical", "12", "min", "qb002"]
    assert rows[first + 2].split()[:2] == ["●", "warning"]
    assert "18 of 20 cores idle" in rows[first + 2]
    opened = "\n".join(screen(course(), ["4", "enter"], width=100, height=40))
    for said in (
        "▲ critical  GPU 1 idle 12 min, holds 10.7 GiB",
        "export CUDA_VISIBLE_DEVICES=0",
        "- #PBS -l nodes=3:ppn=20:gpus=2",
        "+ #PBS -l nodes=3:ppn=4:gpus=1",
        "held              10.7 GiB",
        "utilisation mean  0 %",
        "hpcwatch explain gpu-memory-held",
    ):
        assert said in opened
    assert any("nothing to act on" in row for row in screen(picture(), ["4"]))


def test_a_finding_alone_has_the_whole_line_and_an_instant_no_length() -> None:
    killed = (
        course()
        .findings[0]
        ._replace(
            title="out of memory: the kernel killed 1 process of 40 on the node", duration_s=0.0
        )
    )
    shown = course()._replace(findings=[killed])
    rows = screen(shown, [], width=100)
    assert any(row.rstrip().endswith(killed.title) for row in rows[:5])
    opened = "\n".join(screen(shown, ["4", "enter"], width=100, height=40))
    assert "for 0 s" not in opened
    assert ", at " in opened


def test_the_timeline_has_the_job_and_the_selected_node() -> None:
    rows = screen(course(), ["5"], width=100)
    text = "\n".join(rows)
    assert " all 3 nodes together · last 2 min" in text
    assert "CPU 6.3 of 60 cores" in text
    assert "Memory 4.83 of 378 GiB" in text
    assert "60┤╌" in text
    opened = screen(course(), ["5", "down", "down"], width=100)
    assert any(row.startswith(" qb003 · last 2 min") for row in opened)
    assert "CPU 2.1 of 20 cores" in "\n".join(opened)
    alone = "\n".join(screen(course(), ["5", "z"], width=100))
    assert "CPU 6.3 of 60 cores" in alone
    assert "Memory" not in alone


def test_an_opened_node_tells_everything() -> None:
    browser = Browser(Quiet())
    shown = course()
    browser.look(shown)
    for host in HOSTS:
        shown.timeline.add(sample(host, 122.0))
    browser.look(shown)
    browser.press("1")
    browser.lines(120, 60)
    browser.press("enter")
    rows = texts(browser.lines(120, 60))
    browser.press("end")
    text = "\n".join([*rows, *texts(browser.lines(120, 60))])
    for said in (
        " qb002",
        "read by ssh · processes: the job's control group",
        "CPU 2.1 of 20 cores",
        "load 0.32 on 20 cores of the node",
        "cores  ██▁▁▁▁▁▁ ▁▁▁▁▁▁▁▁ ▁▁▁▁",
        "2 of 20 above 90 %, 18 below 5 %",
        "used 1.61 GiB · limit 126 GiB (the node's memory)",
        "cache 12 GiB",
        "cgroup    used 1.61 GiB · torque/305669.qb3 (the job's)",
        "for CPU 2 %, for memory 0 %, for I/O 0 % of the time",
        "last 5 min",
        "20┤╌",
        "python train.py --epochs 20",
        "3 of 4, 41 threads",
        "Tesla K40m",
    ):
        assert said in text, said
    browser.press("esc")
    assert "[NODES]" in "\n".join(texts(browser.lines(100, 60)))


def test_found_by_user_is_said_on_every_page() -> None:
    shown = picture(timeline=timeline(job=JobUse("user", 4, cpu_user_s=1.0, cpu_system_s=0.0)))
    for key in "12345":
        assert "processes: all of the owner's" in " ".join(screen(shown, [key])[1:3])


@pytest.mark.parametrize(
    ("left_s", "walltime_s", "wanted"),
    [
        (9000, 72000, ""),
        (7000, 72000, "warning"),
        (1000, 72000, "critical"),
        (599, 3600, "critical"),
        (601, 3600, ""),
        (500, 600, ""),
        (250, 600, "critical"),
    ],
)
def test_little_time_left_is_seen(left_s: float, walltime_s: float, wanted: str) -> None:
    assert left_style(left_s, walltime_s) == wanted


def test_a_job_that_ended_says_how() -> None:
    ended = job(
        state=JobState.TIMEOUT,
        exit=JobExit(Cause.WALLTIME, "-11"),
        ended_at_s=NOW_S - 60,
    )
    rows = screen(picture(job=ended), width=100)
    assert "TIMEOUT: killed: the walltime was over" in rows[0]
    assert rows[0].endswith("2:40:07 of 72:00:00")
    assert any(row.endswith("ended, last values") for row in rows)


def after_its_end(**changes: Any) -> Picture:
    """The program ended before its job did: of the last readings the memory is not known."""
    made = timeline(cgroup=None)
    for host in HOSTS:
        last = made.hosts[host].last
        assert last is not None
        made.add(last._replace(at_s=last.at_s + 2, uptime_s=last.uptime_s + 2, job=None))
    old = [status(host, NodeState.STALE, since_s=UP_S + 60) for host in HOSTS]
    return picture(timeline=made, statuses=tuple(old), **changes)


def test_after_its_end_the_last_known_values_stay_with_their_age() -> None:
    over = job(state=JobState.COMPLETED, ended_at_s=NOW_S)
    rows = screen(after_its_end(job=over), width=100)
    row = row_of(rows, "qb002")
    assert "1.61" in row
    assert row.endswith("60 s ago")
    assert not any("using" in row or "3 nodes ·" in row for row in rows)
    assert any("peak 1.61 GiB on qb" in row for row in rows)
    going = row_of(screen(after_its_end(), width=100), "qb002")
    assert "1.61" not in going
    assert going.endswith("stale 60 s")


def test_an_unknown_state_keeps_the_scheduler_s_word() -> None:
    odd = job(state=JobState.UNKNOWN, raw_state="X\x1b[2J")
    assert "UNKNOWN (X\\x1b[2J)" in screen(picture(job=odd))[0]


def test_what_the_program_tells_stands_in_the_head() -> None:
    telling = Telling("cnn", "train › epoch · epoch 3, epochs 20, \x1b[31mloss 0.25\nmore")
    rows = screen(picture(telling=telling))
    assert " cnn: train › epoch · epoch 3, epochs 20, \\x1b[31mloss 0.25 more" in rows
    rows = screen(picture(telling=Telling("cnn", "epoch 3", is_going=True, going_count=4)))
    assert " cnn, newest of 4 runs: epoch 3" in rows
    rows = screen(picture(telling=Telling("cnn", "epoch 20", is_going=False, going_count=1)))
    assert " cnn, ended: epoch 20" in rows
    rows = screen(picture(telling=Telling("x" * 300, "epoch 4, " + "y" * 300)))
    assert "x: epoch 4, y" in " ".join(rows).replace("…", "x")


def test_trouble_of_a_source_is_told_with_its_age() -> None:
    shown = picture(sources=(Source("torque", 95.4, "pbs_iff: cannot read reply"),))
    assert "torque 95 s ago: pbs_iff: cannot read reply" in " ".join(screen(shown, width=200))


def test_hosts_without_a_job() -> None:
    rows = screen(picture(job=None, title="qb[002-007]"), width=100)
    assert rows[0] == " qb[002-007]"
    assert "CPU of 20" in row_of(rows, "node")


def test_a_held_job_names_itself_in_the_command_that_releases_it() -> None:
    held = job(id="1234.qb3", state=JobState.HELD, nodes=(), reason="Hold_Types = u")
    text = " ".join("\n".join(screen(waiting(job=held))).split())
    assert "its owner holds it: qrls 1234.qb3 lets it go" in text


def test_a_waiting_job_says_why_and_when() -> None:
    rows = screen(waiting())
    text = "\n".join(rows)
    for said in (
        "QUEUED",
        "It waits in the queue.",
        "not enough is free yet: 40 cores asked, 32 free, 60 in all",
        "In the scheduler's words: Not Running: Insufficient amount of",
        "since        4 h",
        "place        3 in the queue",
        "may start    in 2 h",
        "(the scheduler's guess)",
        "requested    3 nodes × 20 cores, 6 GPUs",
        "goes live by itself",
    ):
        assert said in text, said


def test_an_array_is_a_table_of_tasks() -> None:
    rows = screen(array_of(), width=100)
    assert "5 tasks: 1 queued, 2 running, 1 completed, 1 failed" in rows[0]
    assert row_of(rows, "2_3").split() == ["2_3", "RUNNING", "3:00", "60", "–", "qb002"]
    assert "Resources: it is its turn" in row_of(rows, "2_5")


def everything_unknown() -> Picture:
    bare = Timeline(INTERVAL_S)
    for step in (0.0, 2.0):
        bare.add(Sample("qb002", NOW_S + step, UP_S + step))
    bare.add(Sample("qb003", NOW_S, UP_S, node=Node(), job=JobUse("user"), processes=[], gpus=[]))
    return picture(("qb002", "qb003"), job=job(walltime_s=None, nodes_count=None), timeline=bare)


def test_unknown_is_a_dash_and_never_nought() -> None:
    rows = screen(everything_unknown(), width=100)
    assert row_of(rows, "qb002").split() == ["›qb002", *["–"] * 8]
    assert "using – cores, –" in rows[1]


HOSTILE = "\x1b]0;pwned\x07[bold red]x[/]\x1b[2J\n節節節\u202e"


def hostile() -> Picture:
    host = HOSTILE
    listed = processes(120.0, 3, HOSTILE)
    listed[0] = listed[0]._replace(argv=[HOSTILE] * 50, user=HOSTILE)
    made = timeline((host,), processes=listed, gpus=[gpu(0, 1.0)._replace(name=HOSTILE)])
    bad = job(name=HOSTILE, owner=HOSTILE, queue=HOSTILE, reason=HOSTILE, account=HOSTILE)
    found = finding(host=host, title=HOSTILE)._replace(advice=HOSTILE, evidence={HOSTILE: HOSTILE})
    return picture(
        (host, "down"),
        job=bad,
        statuses=(status(host, way=HOSTILE), lost("down")._replace(reason=HOSTILE)),
        timeline=made,
        findings=[found],
        sources=(Source(HOSTILE, 1.0, HOSTILE),),
        note=HOSTILE,
        telling=Telling(HOSTILE, HOSTILE),
    )


def thousand() -> Picture:
    hosts = tuple(f"qb{number:04}" for number in range(1000))
    made = Timeline(INTERVAL_S)
    for host in hosts:
        for step in (0.0, 2.0):
            made.add(sample(host, 118 + step))
    found = [finding(Severity.WARNING, host) for host in hosts[::100]]
    return picture(hosts, timeline=made, findings=found)


SCENES = {
    "course": course(),
    "unknown": everything_unknown(),
    "hostile": hostile(),
    "thousand": thousand(),
    "waiting": waiting(),
    "waiting, hostile": waiting(job=hostile().job._replace(state=JobState.HELD)),  # type: ignore[union-attr]
    "array": array_of(300),
    "no node": picture(()),
    "nobody read": picture(timeline=Timeline(INTERVAL_S)),
    "lost": picture(statuses=tuple(map(lost, HOSTS)), timeline=Timeline(INTERVAL_S)),
}
KEYS = ["1", "2", "3", "4", "5", "6", "?", "/ x", "p", "s s s", "5 down"]
FULLEST = ("course", "hostile")
OPENING = ["1 enter", "2 enter", "4 enter"]


@pytest.mark.parametrize("name", SCENES)
def test_every_screen_fits_and_is_harmless(name: str) -> None:
    browser = Browser(Quiet())
    browser.look(SCENES[name])
    # In an array the enter key leaves the view.
    every = KEYS if name == "array" else [*KEYS, *OPENING]
    # Every width with every height where most is drawn; elsewhere each with some of the others.
    sizes = list(product(WIDTHS, HEIGHTS))
    for (width, height), keys in product(sizes if name in FULLEST else sizes[::3], every):
        for key in keys.split():
            browser.press(key)
            browser.lines(width, height)
        shown = browser.lines(width, height)
        assert len(shown) == height
        for line in shown:
            text = "".join(span.text for span in line)
            assert line_width(line) <= width, (width, height, keys, text)
            assert text.isprintable(), (width, height, keys, text)
        browser.press("esc")
        browser.press("esc")
        assert not browser.is_over


def test_a_thousand_nodes_scroll() -> None:
    browser = Browser(Quiet())
    browser.look(SCENES["thousand"])
    first = texts(browser.lines(100, 30))
    assert [row for row in first if row.endswith("─") and "1–17 of 1000 nodes" in row]
    assert row_of(first, "● 10 nodes like qb0000: ")
    assert row_of(first, "qb0000  ●")
    browser.press("G")
    last = texts(browser.lines(100, 30))
    assert row_of(last, "qb0999").startswith("›")
    assert any("984–1000 of 1000 nodes" in row for row in last)
    browser.press("pgup")
    assert row_of(texts(browser.lines(100, 30)), "qb0983").startswith("›")


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, "–"),
        (0.0, "0"),
        (2 << 20, "2 M"),
        (340 << 10, "340 k"),
        (1.26e9, "1.2 G"),
        (1023, "1 k"),
    ],
)
def test_rates_are_short(value: float | None, wanted: str) -> None:
    assert rate(value) == wanted


def test_changes_of_one_line_are_one_new_line_in_the_live_views_too() -> None:
    old = "#PBS -l nodes=3:ppn=20:gpus=2"
    changes = ("#PBS -l nodes=3:ppn=4:gpus=2", "#PBS -l nodes=3:ppn=20:gpus=1")
    found = [
        finding(title=f"finding {number}")._replace(
            rule=f"rule-{number}", directives=(Directive("torque", old, new),)
        )
        for number, new in enumerate(changes)
    ]
    shown = picture(findings=found)
    once = text_of(shown, 100, None, coloured=False)
    wanted = "+ #PBS -l nodes=3:ppn=4:gpus=1"
    assert [line.strip() for line in once.split("\n") if "+ #PBS" in line] == [wanted]
    board = Figures().board(shown)
    for one in found:
        lines = ["".join(span.text for span in line) for line in finding_lines(board, one, 100)]
        assert [line.strip() for line in lines if "+ #PBS" in line] == [wanted]


@pytest.mark.parametrize(("width", "is_said"), [(40, False), (60, True)])
def test_on_a_narrow_screen_pages_stay_and_what_goes_without_saying_gives_way(
    width: int, is_said: bool
) -> None:
    logs = (LogText("output", "/x"),)
    rows = screen(picture(findings=FINDINGS, logs=logs), width=width)
    (tabs,) = [row for row in rows if row.startswith("[NODE]")]
    assert tabs.startswith("[NODE] GPUS  PROC  FIND(3)  TIME  LOG")
    assert ("live, every 2 s" in tabs) is is_said


def test_on_a_narrow_screen_a_pause_is_said_in_place_of_other_pages() -> None:
    rows = screen(picture(logs=(LogText("output", "/x"),)), "p", width=40)
    (tabs,) = [row for row in rows if row.startswith("[NODES]")]
    assert tabs.rstrip().endswith("PAUSED")

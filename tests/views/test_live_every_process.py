"""All processes on demand, and ranks: keys, rows, and what is said of them."""

from __future__ import annotations

from live_scenes import HOSTS, Quiet, job, picture, processes, sample, texts, timeline

from hpcwatch.analysis.timeline import Timeline
from hpcwatch.monitor.further import MOST_NODES, FurtherProcesses
from hpcwatch.monitor.picture import Picture
from hpcwatch.probe.schema import Process
from hpcwatch.probe.wish import MOST_PROCESSES
from hpcwatch.views.live.browser import Browser
from hpcwatch.views.live.help import help_lines

WIDTH, HEIGHT = 130, 40


def others(count: int, step: float) -> list[Process]:
    """Processes of a rank each that are not among the largest."""
    return [
        Process(
            pid=30000 + place,
            ppid=1,
            name="rank",
            state="R",
            user="fchen14",
            cpu_user_s=0.5 * step,
            cpu_system_s=0.0,
            rss_bytes=place << 20,
            rank=place,
            argv=["./solve", f"part{place}"] if step == 118.0 else None,
        )
        for place in range(count)
    ]


def asked(count: int = 5, hosts: tuple[str, ...] = ("qb002",)) -> Picture:
    """A picture in which a node named all of its processes, in two samples."""
    made, store = Timeline(2.0, job()), FurtherProcesses()
    store.ask(frozenset(hosts[:1]))
    for host in hosts:
        for step in (118.0, 120.0):
            further = others(count, step) if host == hosts[0] else None
            made.add(store.take(sample(host, step, further=further)))
    assert not any(host.last and host.last.further for host in made.hosts.values())
    return picture(hosts, timeline=made, asked=store.hosts, further=store.by_host)


class Seen:
    """A browser on the page of processes."""

    def __init__(self, shown: Picture, page: str = "3") -> None:
        self.actions = Quiet()
        self.browser = Browser(self.actions)
        self.browser.look(shown)
        self.press(page)

    def press(self, *keys: str) -> list[str]:
        for key in keys:
            self.browser.press(key)
        return texts(self.browser.lines(WIDTH, HEIGHT))


def test_a_asks_all_of_a_few_nodes_and_ends_it() -> None:
    seen = Seen(picture())
    rows = seen.press("a")
    assert seen.actions.named == [frozenset(HOSTS)]
    assert "asks 3 nodes for all processes; a ends it" in rows[-2]
    assert "a all" in rows[-1]
    seen.browser.look(picture(asked=frozenset(HOSTS)))
    assert "asked for all" in seen.press("down")[-2]
    assert "only the largest" in seen.press("a")[-2]
    assert seen.actions.named[-1] == frozenset()


def test_of_many_nodes_only_the_selected_one_is_asked() -> None:
    many = tuple(f"n{number:02}" for number in range(MOST_NODES + 1))
    seen = Seen(picture(many))
    seen.press("down", "a")
    (hosts,) = seen.actions.named[-1]
    assert hosts in many
    seen.browser.look(picture(many, asked=seen.actions.named[-1]))
    seen.press("home", "pgdn", "a")
    assert len(seen.actions.named[-1]) == 1


def test_an_opened_node_is_asked_too_and_shows_them_below() -> None:
    seen = Seen(picture(), "1")
    rows = seen.press("enter")
    assert "a all processes" in rows[-1]
    seen.press("a")
    assert seen.actions.named == [frozenset(HOSTS)]
    seen.browser.look(asked(hosts=("qb002", "qb003")))
    assert "./solve part4" in "\n".join(seen.press("end"))


def test_the_only_node_shows_them_below_its_dashboard() -> None:
    seen = Seen(asked(), "1")
    assert "./solve part4" in "\n".join(seen.press("end"))
    seen.press("a")
    assert seen.actions.named == [frozenset()]


def test_all_are_rows_with_rank_command_line_and_rate() -> None:
    rows = Seen(asked()).press("down")
    row = next(row for row in rows if "./solve part3" in row)
    words = row.split()
    assert "30003" in words
    assert "50" in words  # half a core
    assert words[words.index("30003") + 1] == "3"
    title = next(row for row in rows if "PID" in row)
    assert "rank" in title
    assert "all 8" in rows[-2]


def test_without_ranks_there_is_no_column_of_them() -> None:
    assert not any(" rank " in row for row in Seen(picture()).press("down"))


def test_the_column_of_ranks_stays_while_one_scrolls() -> None:
    seen = Seen(asked(200))
    for rows in (seen.press("home"), seen.press("end"), seen.press(*"/python", "enter")):
        assert any("PID" in row and " rank " in row for row in rows)


def test_ranks_are_an_order() -> None:
    seen = Seen(asked())
    rows = seen.press(*["s"] * 5)
    assert "by rank" in rows[-2]
    found = [row.split()[-1] for row in rows if "./solve" in row]
    assert found == [f"part{place}" for place in range(5)]


def test_the_bound_is_said() -> None:
    shown = asked(MOST_PROCESSES - 3)
    host = shown.timeline.hosts["qb002"]
    assert host.last is not None
    assert host.last.job is not None
    host.last = host.last._replace(job=host.last.job._replace(process_count=1234))
    rows = Seen(shown).press("down")
    assert f"{MOST_PROCESSES} of 1234" in rows[-2]


def test_a_recording_and_an_ended_job_are_not_asked() -> None:
    seen = Seen(picture(replayed="replay 1:00 of 2:00"))
    rows = seen.press("a")
    assert "this is a recording" in rows[-2]
    assert "a all" not in rows[-1]
    from hpcwatch.cluster.schedulers.job import JobState

    over = Seen(picture(job=job(state=JobState.COMPLETED)))
    assert "the job has ended" in over.press("a")[-2]
    assert seen.actions.named == over.actions.named == []


def test_what_was_asked_is_forgotten_when_it_is_no_longer() -> None:
    store = FurtherProcesses()
    store.ask(frozenset({"n"}))
    store.take(sample("n", 118.0, further=others(3, 118.0)))
    assert set(store.by_host) == {"n"}
    store.ask(frozenset())
    assert not store.by_host
    late = store.take(sample("n", 120.0, further=others(3, 120.0)))
    assert late.further is None
    assert not store.by_host


def test_a_command_line_is_kept_while_its_process_is_among_the_largest() -> None:
    store = FurtherProcesses()
    store.ask(frozenset({"n"}))
    store.take(sample("n", 118.0, further=others(2, 118.0)))
    first, second = others(2, 119.0)
    largest = [*processes(119.0), first]
    store.take(sample("n", 119.0, processes=largest, further=[second]))
    store.take(sample("n", 120.0, further=others(2, 120.0)))
    assert [one.argv for one in store.by_host["n"].processes] == [
        ["./solve", "part0"],
        ["./solve", "part1"],
    ]


def test_the_help_names_the_key() -> None:
    page = "\n".join(texts(help_lines(100)))
    assert "all of a node's" in page
    assert timeline(("qb002",)).hosts

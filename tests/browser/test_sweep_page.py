"""The page of a sweep in a real browser: tasks picked, the table sorted, foreign names inert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from chromium import Chromium

from hpcwatch.analysis.findings import Finding, Severity
from hpcwatch.sweep import outcome
from hpcwatch.sweep.best import Goal
from hpcwatch.sweep.joblog import JoblogRow
from hpcwatch.sweep.outcome import Outcome, TaskRow
from hpcwatch.views.sweep import page as sweep_html

pytest_plugins = ("browser_fixtures",)

GOAL = Goal("test_accuracy", False)
RATES = ("0.0001", "0.001", "0.01", "0.1")
EVIL = "</script><img src=x onerror=alert(1)><svg onload=alert(2)>\"'\x1b[2J"
TOLD = "document.getElementById('picked').textContent"


def accuracy(layers: int, rate: int) -> float:
    """The third rate is best, and more layers are better."""
    return round(0.9 + 0.02 * layers - 0.005 * abs(rate - 2), 4)


def of_rows(rows: list[TaskRow], parameters: list[str], name: str = "mnist_hparam") -> Outcome:
    bars = [JoblogRow(row.number, row.host or "a", 0.0, 60.0, 0, 0, "t") for row in rows]
    return outcome.of_joblog(name, bars, "a")._replace(rows=rows, parameters=parameters)


def course() -> Outcome:
    """Twelve tasks; the last one of each number of layers failed."""
    rows: list[TaskRow] = []
    for layers in (1, 2, 3):
        for place, rate in enumerate(RATES):
            good = place < 3
            values = {"layers": str(layers), "rate": rate, "kind": "ab"[place % 2], "same": "1"}
            results = {"test_accuracy": accuracy(layers, place)} if good else {}
            row = TaskRow(
                len(rows) + 1, values, "ok" if good else "exit 1", good, host="qb001",
                wall_s=30.0 * (len(rows) + 1), cpu_s=600.0, results=results, attempts_count=1,
                memory_peak_bytes=(20 - len(rows)) << 28,
            )  # fmt: skip
            rows.append(row)
    return of_rows(rows, ["layers", "rate", "kind", "same"])


def write(
    path: Path,
    made: Outcome,
    goal: Goal | None = GOAL,
    *findings: Finding,
    last_lines: Mapping[int, Sequence[str]] | None = None,
) -> Path:
    path.write_text(sweep_html.page(made, findings, goal, last_lines), "utf-8")
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("pages") / "sweep.html", course())


def column(chromium: Chromium, number: int) -> list[str]:
    script = f"[...document.querySelectorAll('#tasks tbody tr')].map((r) => r.cells[{number}]"
    made: list[str] = chromium.run(f"{script}.textContent)")
    return made


def headings(chromium: Chromium) -> list[str]:
    made: list[str] = chromium.run(
        "[...document.querySelectorAll('#tasks thead th')].map((one) => one.textContent)"
    )
    return made


def press(chromium: Chromium, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        chromium.ask("Input.dispatchKeyEvent", type=kind, key=key)


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_all_is_drawn_without_complaint_or_request(
    chromium: Chromium, page: Path, width: int, dark: bool
) -> None:
    chromium.open(page, width=width, dark=dark)
    assert chromium.complaints() == []
    assert chromium.requests() == [page.as_uri()]
    assert chromium.run("document.documentElement.scrollWidth") == width  # nothing sticks out
    boxes = chromium.run(
        "[...document.querySelectorAll('svg')].map((one) => one.getBoundingClientRect().height)"
    )
    assert len(boxes) == 5  # the lines, a scatter for each of three parameters, the hosts
    assert min(boxes) > 30


def test_a_line_a_task_and_the_failed_ones_apart(chromium: Chromium, page: Path) -> None:
    chromium.open(page)
    titles = chromium.run(
        "[...document.querySelectorAll('.parallel .axis-title')].map((one) => one.textContent)"
    )
    assert titles == ["layers", "rate (log)", "kind", "test_accuracy"]  # one value is no axis
    lines: list[dict[str, Any]] = chromium.run(
        "[...document.querySelectorAll('.parallel polyline')].map((one) => ({"
        "kind: one.className.baseVal, task: Number(one.dataset.task),"
        "points: one.getAttribute('points').split(' ').map((pair) => pair.split(',').map(Number)),"
        "dash: getComputedStyle(one).strokeDasharray}))"
    )
    good = [one for one in lines if one["kind"] != "failed"]
    failed = [one for one in lines if one["kind"] == "failed"]
    assert [one["task"] for one in failed] == [4, 8, 12]
    assert all(one["dash"] != "none" for one in failed)
    assert len({tuple(one["points"][-1]) for one in failed}) == 1
    assert failed[0]["points"][-1][1] > max(one["points"][-1][1] for one in good)
    assert {one["dash"] for one in good} == {"none"}
    # Drawn from the worst to the best, so that the best lies on top; higher is more.
    assert good[-1]["kind"] == "shade-5 winner"
    assert good[-1]["task"] == 11
    heights = [one["points"][-1][1] for one in good]
    assert heights == sorted(heights, reverse=True)
    # A tenfold of the rate is the same way everywhere: a logarithmic axis.
    places = {one["task"]: one["points"][1][1] for one in lines}
    steps = [places[number] - places[number + 1] for number in (1, 2, 3)]
    assert steps == pytest.approx([steps[0]] * 3, abs=0.2)
    words = {one["points"][2][1] for one in lines}
    assert len(words) == 2


def test_the_mouse_picks_the_nearest_task(chromium: Chromium, page: Path) -> None:
    chromium.open(page)
    x, y = chromium.run(
        "(() => { const one = document.querySelector('.winner');"
        "one.scrollIntoView({ block: 'center' }); const at = one.points[3];"
        "const place = new DOMPoint(at.x - 4, at.y).matrixTransform(one.getScreenCTM());"
        "return [place.x, place.y]; })()"
    )
    chromium.mouse("mouseMoved", x, y)
    assert "task 11: layers=3 rate=0.01 kind=a same=1 → 0.9600" in chromium.run(TOLD)
    marked = "[...document.querySelectorAll('.picked')].map((one) => one.dataset.task)"
    assert chromium.run(marked) == ["11", "11"]  # the line and its row
    chromium.mouse("mouseMoved", 5, 5)
    assert chromium.run(marked) == []
    chromium.mouse("mouseMoved", x, y)
    chromium.click(x, y)
    chromium.mouse("mouseMoved", x, y + 60)  # to others
    assert chromium.run(marked) == ["11", "11"]  # a click holds it
    chromium.run("document.getElementById('parallel').focus()")
    press(chromium, "Escape")
    assert chromium.run(marked) == []
    assert chromium.run(TOLD) == ""


def test_arrow_keys_move_from_task_to_task(chromium: Chromium, page: Path) -> None:
    chromium.open(page)
    chromium.run("document.getElementById('parallel').focus()")
    assert chromium.run("document.activeElement.getAttribute('aria-label')").startswith("Arrow")
    told = []
    for key in ("ArrowUp", "ArrowDown", "ArrowDown", "ArrowUp", "Home", "ArrowDown", "End"):
        press(chromium, key)
        told.append(chromium.run(TOLD).split(":")[0])
    assert told == [f"task {number}" for number in (11, 10, 9, 10, 4, 4, 11)]
    order = "[...document.querySelectorAll('.parallel polyline')].map((one) => one.dataset.task)"
    after = chromium.run(order)
    assert after == ["4", "8", "12", "1", "2", "3", "5", "6", "7", "9", "10", "11"]
    assert chromium.run("document.getElementById('picked').getAttribute('aria-live')") == "polite"


def test_the_same_in_words(chromium: Chromium, page: Path) -> None:
    chromium.open(page)
    chromium.run("document.querySelector('#results details').open = true")
    rows = chromium.run(
        "[...document.querySelectorAll('#results details tbody tr')]"
        ".map((row) => [...row.cells].map((cell) => cell.textContent).join(' '))"
    )
    assert "layers=3 3 1 0.9550 0.9600" in rows
    assert "rate=0.1 0 3 – –" in rows
    assert len(rows) == 3 + 4 + 2


def test_the_table_is_sorted_by_click_and_by_key(chromium: Chromium, page: Path) -> None:
    chromium.open(page)
    names = headings(chromium)
    assert column(chromium, 0)[0] == "11"  # the best first, as it comes
    took = names.index("took")
    button = f"document.querySelectorAll('#tasks thead button')[{took}]"
    box = chromium.run(
        f"{button}.scrollIntoView({{block: 'center'}}), {button}.getBoundingClientRect().toJSON()"
    )
    chromium.click(box["x"] + 5, box["y"] + 5)
    assert column(chromium, 0) == [str(number) for number in range(1, 13)]
    sorting = f"document.querySelectorAll('#tasks th[scope=col]')[{took}].getAttribute('aria-sort')"
    assert chromium.run(sorting) == "ascending"
    chromium.run(f"{button}.focus()")
    chromium.key("Enter")
    assert column(chromium, 0) == [str(number) for number in range(12, 0, -1)]
    assert chromium.run(sorting) == "descending"
    result = names.index("test_accuracy")
    for _ in range(2):  # unknown comes last, whichever way
        chromium.run(f"document.querySelectorAll('#tasks thead button')[{result}].click()")
        assert column(chromium, result)[-3:] == ["–"] * 3
    assert column(chromium, 0)[0] == "11"
    assert chromium.run("document.querySelectorAll('#tasks th[aria-sort]').length") == 1
    memory = names.index("memory")  # 3 GiB is more than 900 MiB
    chromium.run(f"document.querySelectorAll('#tasks thead button')[{memory}].click()")
    assert column(chromium, 0) == [str(number) for number in range(12, 0, -1)]


def test_foreign_names_and_values_do_nothing(chromium: Chromium, tmp_path: Path) -> None:
    rows = [
        TaskRow(number, {"p": EVIL + str(number), EVIL: "x" * number}, "ok", True, host=EVIL,
            wall_s=1.0, results={EVIL: float(number), "words": EVIL}, attempts_count=1)
        for number in (1, 2, 3)
    ]  # fmt: skip
    rows.append(TaskRow(4, {"p": EVIL, EVIL: "1"}, EVIL, False, host=EVIL, device=EVIL))
    told = Finding("r", Severity.WARNING, EVIL, "sweep", 0.0, 1.0, EVIL, {}, EVIL)
    made = of_rows(rows, ["p", EVIL], EVIL)
    path = write(tmp_path / "evil.html", made, Goal(EVIL, False), told, last_lines={4: [EVIL]})
    chromium.open(path)
    assert chromium.complaints() == []
    assert chromium.requests() == [path.as_uri()]
    assert chromium.run("document.querySelectorAll('img, [onload], [onerror]').length") == 0
    chromium.run("document.getElementById('parallel').focus()")
    for key in ("ArrowUp", "ArrowDown", "Home"):
        press(chromium, key)
        assert "<img src=x" in chromium.run(TOLD)  # as text
    for place in range(len(headings(chromium))):
        chromium.run(f"document.querySelectorAll('#tasks thead button')[{place}].click()")
    assert chromium.complaints() == []
    assert chromium.run("document.querySelectorAll('img').length") == 0


def test_failed_tasks_show_what_they_wrote_last(chromium: Chromium, tmp_path: Path) -> None:
    """The first ones open, the others at a click; the best task's lines are nowhere."""
    good, *_ = course().rows
    bad = [
        good._replace(number=number, how="exit 2", is_good=False, parameters={"n": str(number)})
        for number in range(2, 60)
    ]
    bad[1] = bad[1]._replace(trouble="no such command", how="not started")
    undone = good._replace(number=60, how="stopped", is_good=False)
    wrote = {number: [f"  first {number}", "", "last <b>é\x1b[0m"] for number in range(1, 61)}
    del wrote[5]
    made = of_rows([good, *bad, undone], ["n"])
    chromium.open(write(tmp_path / "failed.html", made, last_lines=wrote))
    assert chromium.complaints() == []
    every = "[...document.querySelectorAll('#failed details')]"
    assert chromium.run(f"{every}.map((one) => one.open)") == [True] * 3 + [False] * 46
    assert chromium.run(f"{every}[0].querySelector('summary').textContent").startswith(
        "task 2 n=2: exit 2 on qb001"
    )
    texts = chromium.run("[...document.querySelectorAll('#failed pre')].map((p) => p.innerText)")
    assert texts[0] == "  first 2\n\nlast <b>é\\x1b[0m\n"
    assert texts[1].startswith("no such command\n")
    text = chromium.run("document.getElementById('failed').textContent")
    assert "task 5 n=5: exit 2 on qb001 It wrote nothing that is known." in text
    assert "first 1\n" not in text
    assert "first 60" not in text
    assert "8 more tasks failed." in text
    assert chromium.run(f"{every}[3].querySelector('pre').checkVisibility()") is False
    chromium.run(f"{every}[3].querySelector('summary').click()")
    assert chromium.run(f"{every}[3].querySelector('pre').checkVisibility()") is True


def test_of_many_tasks_some_lines_are_drawn_the_best_among_them(
    chromium: Chromium, tmp_path: Path
) -> None:
    rows = [
        TaskRow(
            number, {"n": str(number)}, "ok", True, host="a", wall_s=1.0, results={"f1": number / 7}
        )
        for number in range(1, 6001)
    ]
    rows += [TaskRow(number, {"n": str(number)}, "exit 1", False) for number in range(6001, 7001)]
    chromium.open(write(tmp_path / "many.html", of_rows(rows, ["n"]), Goal("f1", False)))
    assert chromium.complaints() == []
    tasks = chromium.run(
        "[...document.querySelectorAll('.parallel polyline')]"
        ".map((one) => Number(one.dataset.task))"
    )
    assert len(tasks) == 2500
    assert set(range(5001, 6001)) <= set(tasks)
    assert min(tasks) == 1
    assert "4500 lines of the others are left out" in chromium.run("document.body.textContent")
    assert len(column(chromium, 0)) == 5000
    assert "2000 more tasks: --format csv has all" in chromium.run("document.body.textContent")


def test_without_results_there_is_no_picture_of_them(chromium: Chromium, tmp_path: Path) -> None:
    made = course()
    none = made._replace(rows=[row._replace(results={}) for row in made.rows])
    chromium.open(write(tmp_path / "none.html", none, None))
    assert chromium.complaints() == []
    assert chromium.run("document.getElementById('parallel')") is None
    chromium.run("document.querySelector('#tasks thead button').click()")
    assert column(chromium, 0) == [str(number) for number in range(1, 13)]

"""The HTML report in a real browser: drawn, zoomed, chosen from, dark, printed, and inert."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import report_scenes as scenes
from chromium import Chromium
from harness import wait_until

from hpcwatch.analysis.findings import Finding, Severity
from hpcwatch.views.report import html

pytest_plugins = ("browser_fixtures",)

# How many pixels of a canvas differ from what surrounds the lines, in all canvases of a kind.
PAINTED = """
[...document.querySelectorAll(%s)].map((canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let at = 3; at < data.length; at += 4) count += data[at] > 0;
  return count;
})
"""


# How many pixels of a canvas have the colour of a critical finding.
MARKED = """
(() => {
  const canvas = document.querySelector(%s);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const [red, green, blue] = rgb("critical");
  let count = 0;
  for (let at = 0; at < data.length; at += 4) {
    count += data[at] === red && data[at + 1] === green && data[at + 2] === blue;
  }
  return count;
})()
"""


def painted(chromium: Chromium, selector: str) -> list[int]:
    made: list[int] = chromium.run(PAINTED % json.dumps(selector))
    return made


def box(chromium: Chromium, selector: str) -> dict[str, float]:
    """Where an element is in the window, after it has been scrolled there."""
    chosen = f"document.querySelector({json.dumps(selector)})"
    chromium.run(f"{chosen}.scrollIntoView({{block: 'center'}})")
    chromium.settle()
    made: dict[str, float] = chromium.run(f"{chosen}.getBoundingClientRect().toJSON()")
    return made


def shown(chromium: Chromium) -> str:
    text: str = chromium.run("document.getElementById('shown').textContent")
    return text


def drag(chromium: Chromium, plot: str, start: float, end: float) -> None:
    """Drag over a plot, from one share of its width to another."""
    over = box(chromium, f".plot[data-plot='{plot}'] .u-over")
    y = over["y"] + over["height"] / 2
    chromium.mouse("mouseMoved", over["x"] + start * over["width"], y)
    chromium.mouse("mousePressed", over["x"] + start * over["width"], y, 1)
    for share in (0.5, 1.0):
        x = over["x"] + (start + (end - start) * share) * over["width"]
        chromium.mouse("mouseMoved", x, y, 1)
    chromium.mouse("mouseReleased", over["x"] + end * over["width"], y, 1)
    chromium.settle()


def legend(chromium: Chromium, plot: str) -> list[str]:
    """The names of the lines of a plot."""
    names: list[str] = chromium.run(
        f"[...document.querySelectorAll(\".plot[data-plot='{plot}'] .u-legend tr:not(.edge)"
        ' .u-label")].map((label) => label.textContent)'
    )
    return names


@pytest.mark.parametrize("name", ["recorded", "large"])
@pytest.mark.parametrize("width", [1200, 390])
def test_all_is_drawn_without_complaint_or_request(
    chromium: Chromium, request: pytest.FixtureRequest, name: str, width: int
) -> None:
    path: Path = request.getfixturevalue(name)
    chromium.open(path, width=width)
    assert chromium.complaints() == []
    assert chromium.requests() == [path.as_uri()]
    plots = painted(chromium, ".plot canvas")
    assert len(plots) == (3 if name == "recorded" else 8)
    assert min(plots) > 1000
    heat = painted(chromium, ".heatmap canvas")
    assert len(heat) == (0 if name == "recorded" else 3)
    assert all(count > 50_000 for count in heat)
    assert chromium.run("document.documentElement.scrollWidth") == width  # nothing sticks out
    assert chromium.run("document.querySelectorAll('main [hidden]').length") == 0


def test_a_drag_zooms_all_timelines_and_a_double_click_ends_it(
    chromium: Chromium, large: Path
) -> None:
    chromium.open(large)
    assert shown(chromium) == "0:00 to 8:00:00"
    before = chromium.run('document.querySelector(".heatmap canvas").toDataURL()')
    drag(chromium, "cpu", 0.25, 0.5)
    start, end = (_seconds(word) for word in shown(chromium).split(" to "))
    assert start == pytest.approx(7200, abs=120)
    assert end == pytest.approx(14400, abs=120)
    # The time axis of another plot shows it too, and so does the heat map.
    assert chromium.run('document.querySelector(".heatmap canvas").toDataURL()') != before
    over = box(chromium, ".plot[data-plot='gpu-power'] .u-over")
    chromium.mouse("mouseMoved", over["x"] + over["width"] / 2, over["y"] + 20)
    chromium.settle()
    times = chromium.run(
        "[...document.querySelectorAll('.plot .u-legend tr:first-child .u-value')]"
        ".map((value) => value.textContent)"
    )
    assert len(set(times)) == 1  # the pointer is on all plots at once
    elapsed, time_of_day = times[0].removesuffix(")").split(" (")
    assert _seconds(elapsed) == pytest.approx(10800, abs=180)
    offset_s = chromium.run("data.grid.start_s + data.zone.offset_s")
    assert _seconds(time_of_day) * 60 == pytest.approx((offset_s + 10800) % 86400, abs=240)
    chromium.click(over["x"] + 50, over["y"] + 20, clicks=2)
    chromium.settle()
    assert shown(chromium) == "0:00 to 8:00:00"


def _seconds(text: str) -> int:
    total = 0
    for part in text.split(":"):
        total = total * 60 + int(part)
    return total


def test_buttons_zoom_by_keyboard(chromium: Chromium, large: Path) -> None:
    chromium.open(large)
    chromium.run("document.querySelector('[data-zoom=in]').focus()")
    chromium.key("Enter")
    assert shown(chromium) == "2:00:00 to 6:00:00"
    chromium.run("document.querySelector('[data-zoom=later]').focus()")
    chromium.key("Enter")
    assert shown(chromium) == "3:00:00 to 7:00:00"
    for _ in range(5):
        chromium.key("Enter")
    assert shown(chromium) == "4:00:00 to 8:00:00"  # the end is the end
    chromium.run("document.querySelector('[data-zoom=out]').click()")
    assert shown(chromium) == "0:00 to 8:00:00"


def test_a_node_can_be_chosen_by_name_and_by_its_row(chromium: Chromium, large: Path) -> None:
    chromium.open(large)
    assert legend(chromium, "gpu-util") == ["after", "mean of 256 GPUs"]
    chromium.run(
        "(() => { const node = document.getElementById('node'); node.value = '63';"
        " node.dispatchEvent(new Event('change')); })()"
    )
    chromium.settle()
    expected = ["after", *(f"gpu064 GPU {n}" for n in range(4))]
    assert legend(chromium, "gpu-util") == expected
    assert legend(chromium, "cpu") == ["after", "gpu064", "allowed"]
    assert chromium.complaints() == []
    chromium.run("document.getElementById('node').value = ''")
    chromium.run("document.getElementById('node').dispatchEvent(new Event('change'))")
    canvas = box(chromium, ".heatmap[data-plot='cpu'] canvas")
    top = chromium.run("document.querySelector('.heatmap canvas').getBoundingClientRect().top")
    y = top + (2.5 * 10)  # the third row of 64, each 10 pixels high
    chromium.run(
        "scrollBy(0, document.querySelector('.heatmap canvas').getBoundingClientRect().top - 50)"
    )
    chromium.settle()
    y = 50 + 2.5 * 10
    chromium.mouse("mouseMoved", canvas["x"] + 300, y)
    chromium.settle()
    told = chromium.run("document.querySelector('.heatmap output').textContent")
    assert told.startswith("gpu003 at 1:")
    assert told.endswith(" cores")
    chromium.click(canvas["x"] + 300, y)
    chromium.settle()
    assert chromium.run("document.getElementById('node').value") == "2"
    assert legend(chromium, "memory") == ["after", "gpu003", "limit"]


def test_a_finding_is_marked_and_shown(chromium: Chromium, large: Path) -> None:
    chromium.open(large)
    marked = _mark_pixels(chromium, "gpu-util")
    assert marked > 100  # a bar above the plot, an eighth of it long
    assert _mark_pixels(chromium, "cpu") == 0
    chromium.run("document.querySelector('[data-finding]').click()")
    chromium.settle()
    start, end = (_seconds(word) for word in shown(chromium).split(" to "))
    assert (start, end) == pytest.approx((6840, 11160), abs=2)
    assert _mark_pixels(chromium, "gpu-util") > 3 * marked
    # Chosen is a node that does not have it: no mark.
    chromium.run("document.getElementById('node').value = '0'")
    chromium.run("document.getElementById('node').dispatchEvent(new Event('change'))")
    chromium.settle()
    assert _mark_pixels(chromium, "gpu-util") == 0


# How opaque the middle of a plot is painted, from 0 to 255: below the findings' bars and names.
TINT = """
(() => {
  const canvas = document.querySelector(".plot[data-plot='gpu-util'] canvas");
  const [left, top] = [canvas.width / 2 + 7, canvas.height - 150];
  const { data } = canvas.getContext("2d").getImageData(left, top, 1, 110);
  const alphas = [...data].filter((_, at) => at % 4 === 3).sort((a, b) => a - b);
  return alphas[Math.floor(alphas.length / 2)];
})()
"""


def test_many_findings_of_one_time_hide_no_line(chromium: Chromium, tmp_path: Path) -> None:
    report = scenes.many_nodes(nodes=1, gpus=1, hours=0.5)
    many = [
        Finding(
            *("gpu-low", Severity.WARNING, "gpu001", "GPU 0", scenes.START_S, 1800.0),
            *(f"too little: {number}", {}, "advice"),
        )
        for number in range(30)
    ]
    page = tmp_path / "many.html"
    page.write_text(html.page(report._replace(findings=many)), "utf-8")
    chromium.open(page)
    assert 0 < chromium.run(TINT) < 60


def _mark_pixels(chromium: Chromium, plot: str) -> int:
    """How many pixels of a plot have the colour of a critical finding."""
    canvas = json.dumps(f".plot[data-plot='{plot}'] canvas")
    made: int = chromium.run(MARKED % canvas)
    return made


def test_dark_follows_the_system_and_a_switch(chromium: Chromium, recorded: Path) -> None:
    chromium.open(recorded, dark=True)
    dark = _colours(chromium)
    assert dark["ink"] > 0.6 > 0.1 > dark["paper"]
    assert dark["ratio"] > 7
    chromium.run("document.getElementById('theme').click()")
    chromium.settle()
    light = _colours(chromium)
    assert light["paper"] == 1.0
    assert light["ratio"] > 7
    assert chromium.complaints() == []


CONTRASTS = """
(() => {
  const light = (name) => {
    const parts = rgb(name).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  return { ink: light("ink"), paper: light("paper"), ratio: ratio("ink", "paper"),
    ratios: Object.fromEntries(%s.map((name) => [name,
      Math.min(ratio(name, "paper"), ratio(name, "panel"))])) };
})()
"""


def _colours(chromium: Chromium, names: tuple[str, ...] = ()) -> Any:
    return chromium.run(CONTRASTS % json.dumps(names))


@pytest.mark.parametrize("dark", [False, True])
def test_contrast_is_enough_in_both_themes(chromium: Chromium, recorded: Path, dark: bool) -> None:
    """WCAG 2.1: 4.5:1 for text, 3:1 for lines and marks."""
    chromium.open(recorded, dark=dark)
    texts = ("ink", "soft", "accent", "ok-text", "warning-text", "critical-text", "info-text")
    lines = ("warning", "critical", "limit", "unknown", *(f"line-{n}" for n in range(1, 9)))
    text = _colours(chromium, texts)["ratios"]
    drawn = _colours(chromium, lines)["ratios"]
    assert {name: ratio for name, ratio in text.items() if ratio < 4.5} == {}
    assert {name: ratio for name, ratio in drawn.items() if ratio < 3 and name != "unknown"} == {}


def test_print_is_light_and_of_the_papers_width(chromium: Chromium, recorded: Path) -> None:
    chromium.open(recorded, dark=True)
    chromium.run(
        "addEventListener('beforeprint', () => { window.printed ="
        " [document.documentElement.dataset.theme, document.body.clientWidth]; })"
    )
    answer = chromium.ask("Page.printToPDF", printBackground=True)
    assert base64.b64decode(answer["data"]).startswith(b"%PDF")
    theme, width = chromium.run("window.printed")
    assert theme == "light"
    assert 650 < width < 700
    chromium.settle()
    assert chromium.run("document.documentElement.dataset.theme") == "dark"
    assert min(painted(chromium, ".plot canvas")) > 1000
    assert chromium.complaints() == []


IN_PRINT = """
({
  open: document.querySelectorAll("details[open]").length,
  numbers: document.querySelector("details td").getBoundingClientRect().height,
  wide: [...document.querySelectorAll("table")].map((one) => one.getBoundingClientRect().right),
  body: document.body.getBoundingClientRect().right,
})
"""


def test_paper_shows_what_is_folded_and_no_table_leaves_it(
    chromium: Chromium, tmp_path: Path
) -> None:
    page = tmp_path / "wide.html"
    report = scenes.many_nodes(nodes=2, gpus=2, hours=0.1)
    held = ["application clocks", "hardware slow-down"]
    gpus = [one._replace(clocks_held_by=held, energy_j=4e5) for one in report.summary.gpus]
    wide = report._replace(summary=report.summary._replace(gpus=gpus))
    page.write_text(html.page(wide), "utf-8")
    chromium.open(page, width=794)
    assert chromium.run("document.querySelectorAll('details[open]').length") == 0
    chromium.ask("Emulation.setEmulatedMedia", media="print")
    chromium.run("dispatchEvent(new Event('beforeprint'))")
    printed = chromium.run(IN_PRINT)
    assert printed["open"] > 0
    assert printed["numbers"] > 5
    assert max(printed["wide"]) <= printed["body"] + 1
    chromium.run("dispatchEvent(new Event('afterprint'))")
    chromium.ask("Emulation.setEmulatedMedia", media="")
    assert chromium.run("document.querySelectorAll('details[open]').length") == 0


def test_the_data_can_be_saved(chromium: Chromium, recorded: Path, tmp_path: Path) -> None:
    chromium.open(recorded)
    chromium.ask("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    chromium.run("document.getElementById('download').click()")
    file = tmp_path / "hpcwatch-report.json"

    def is_there() -> bool:
        chromium.settle()
        return file.exists()

    wait_until(is_there, "the saved data", 60)
    saved = json.loads(file.read_text("utf-8"))
    assert saved["report"]["run"]["name"] == "mnist_cnn"
    assert saved["series"][0]["plot"] == "cpu"
    assert [one for one in chromium.requests() if not one.startswith(("file:", "blob:"))] == []


@pytest.mark.parametrize("attack", scenes.ATTACKS)
def test_no_name_does_anything(chromium: Chromium, tmp_path: Path, attack: str) -> None:
    path = tmp_path / "hostile.html"
    path.write_text(html.page(scenes.hostile(attack), scenes.earlier(attack)), "utf-8")
    chromium.open(path)
    # All that a reader might do: point at things, choose, press, zoom.
    chromium.run(
        """
        (() => {
          for (const element of document.querySelectorAll("main *")) {
            for (const kind of ["mouseover", "mouseenter", "focus"]) {
              element.dispatchEvent(new Event(kind));
            }
          }
          for (const button of document.querySelectorAll("main button")) button.click();
          const node = document.getElementById("node");
          for (const value of ["0", "1", ""]) {
            node.value = value;
            node.dispatchEvent(new Event("change"));
          }
        })()
        """
    )
    chromium.settle()
    assert chromium.run("window.attacked") is None
    assert chromium.complaints() == []
    assert chromium.requests() == [path.as_uri()]
    assert (
        chromium.run("document.querySelectorAll('img, svg, iframe, [onload], [onerror]').length")
        == 0
    )
    assert min(painted(chromium, ".plot canvas, .heatmap canvas")) > 100
    title = chromium.run("document.querySelector('h1').textContent")
    assert title.strip()
    assert all(character.isprintable() for character in title)


def test_a_script_that_is_not_ours_is_refused(
    chromium: Chromium, recorded: Path, tmp_path: Path
) -> None:
    """The policy holds even if escaping ever failed."""
    path = tmp_path / "changed.html"
    bad = "<script>window.attacked = 1</script><img src='http://127.0.0.1:9/x.png'>"
    path.write_text(recorded.read_text("utf-8").replace("</main>", bad + "</main>"), "utf-8")
    chromium.open(path)
    assert chromium.run("window.attacked") is None
    assert len(chromium.complaints()) >= 2
    assert "127.0.0.1" not in "".join(
        one["params"]["response"]["url"]
        for one in chromium.events
        if one.get("method") == "Network.responseReceived"
    )


def test_headings_names_and_words_for_whoever_cannot_see(chromium: Chromium, large: Path) -> None:
    chromium.open(large)
    unnamed = chromium.run(
        "[...document.querySelectorAll('canvas')].filter((one) =>"
        " one.getAttribute('role') !== 'img' || one.getAttribute('aria-label').length < 20).length"
    )
    assert unnamed == 0
    tree = chromium.ask("Accessibility.getFullAXTree")["nodes"]
    nameless = [
        node["role"]["value"]
        for node in tree
        if node.get("role", {}).get("value") in ("button", "combobox", "region", "image")
        and not node.get("name", {}).get("value")
    ]
    assert nameless == []

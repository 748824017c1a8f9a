"""The report's page: its address keeps the zoom, far limits are drawn, the script is copied."""

from __future__ import annotations

from pathlib import Path

import pytest
from chromium import Chromium

from hpcwatch.monitor.report import load
from hpcwatch.recording.store import RunDirectory
from hpcwatch.views.report import html

pytest_plugins = ("browser_fixtures",)

DEMOS = Path(__file__).resolve().parents[2] / "hpcwatch" / "demos"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job of one node with two GPUs that asked for 20 cores and used 2.4."""
    path = tmp_path_factory.mktemp("pages") / "demo.html"
    path.write_text(html.page(load(RunDirectory(str(DEMOS / "idle-gpu")))), "utf-8")
    return path


def shown(chromium: Chromium) -> str:
    text: str = chromium.run("document.getElementById('shown').textContent")
    return text


def open_at(chromium: Chromium, path: Path, fragment: str) -> None:
    """Open a page at a fragment, afresh: another fragment alone would not load it again."""
    chromium.ask("Page.navigate", url="about:blank")
    chromium.wait_for("location.href === 'about:blank'", "the empty page")
    chromium.events.clear()
    chromium.ask("Page.navigate", url=f"{path.as_uri()}#{fragment}")
    chromium.wait_for(
        "document.readyState === 'complete' && typeof data === 'object'", "the page to load"
    )
    chromium.settle()


def test_the_address_opens_the_same_zoom_and_node(chromium: Chromium, large: Path) -> None:
    chromium.open(large)
    assert chromium.run("location.hash") == ""
    chromium.run("zoom(3600, 7200)")
    chromium.run("show({ host: 3 })")
    address = chromium.run("location.hash")
    assert address == "#from=3600&to=7200&node=gpu004"
    before = shown(chromium)
    open_at(chromium, large, address[1:])
    assert shown(chromium) == before == "1:00:00 to 2:00:00"
    assert chromium.run("document.getElementById('node').value") == "3"
    chromium.run("show({ host: null })")
    chromium.run("zoom(0, runLength)")
    assert chromium.run("location.hash") == ""
    assert chromium.complaints() == []


@pytest.mark.parametrize(
    "fragment",
    [
        "timelines",
        "from=x&to=y&node=evil",
        "from=9&to=3",
        "from=1e308&to=Infinity",
        "%E0%A4%A",
        "node=%3Cimg%20src%3Dx%3E",
    ],
)
def test_an_address_that_says_nothing_shows_the_whole(
    chromium: Chromium, large: Path, fragment: str
) -> None:
    open_at(chromium, large, fragment)
    assert chromium.complaints() == []
    start, end = chromium.run("[shown.from, shown.to]")
    assert 0 <= start < end <= chromium.run("runLength")
    assert chromium.run("shown.host") is None


def test_times_of_day_are_the_clusters_clock(chromium: Chromium, demo: Path) -> None:
    """A reader in another zone sees the zone of the report."""
    chromium.ask("Emulation.setTimezoneOverride", timezoneId="Asia/Tokyo")
    try:
        chromium.open(demo)
        wanted = chromium.run(
            "new Date(1000 * (data.grid.start_s + data.zone.offset_s)).toISOString().slice(11, 16)"
        )
        text = chromium.run("document.getElementById('clocks').textContent")
        assert text.startswith(f"{wanted} to ")
        assert text.endswith(f", UTC{chromium.run('data.zone.name')}")
    finally:
        chromium.ask("Emulation.setTimezoneOverride", timezoneId="")


# How many pixels of a plot's row have the colour of a limit: a dashed line is many in one row.
LIMIT_ROWS = """
(() => {
  const canvas = document.querySelector(".plot[data-plot='%s'] canvas");
  const { data, width, height } = canvas.getContext("2d")
    .getImageData(0, 0, canvas.width, canvas.height);
  const wanted = rgb("limit");
  const rows = [];
  for (let y = 0; y < height; y += 1) {
    let count = 0;
    for (let x = 0; x < width; x += 1) {
      const at = 4 * (y * width + x);
      count += wanted.every((part, index) => Math.abs(data[at + index] - part) < 12);
    }
    if (count > width / 4) rows.push(y);
  }
  return rows.length;
})()
"""


@pytest.mark.parametrize("plot", ["cpu", "memory", "gpu-power"])
def test_a_limit_is_drawn_even_if_far_away(chromium: Chromium, demo: Path, plot: str) -> None:
    chromium.open(demo)
    limit, highest = chromium.run(
        f"(() => {{ const plot = data.plots.find((one) => one.name === '{plot}');"
        "return [limitOf(plot), highestOf(linesOf(plot))]; })()"
    )
    assert limit > 2 * highest
    assert chromium.run(LIMIT_ROWS % plot) >= 1


def test_the_job_script_is_copied(chromium: Chromium, demo: Path) -> None:
    chromium.open(demo)
    # A browser without a window has no clipboard of its own: what is asked of it is heard here.
    chromium.run(
        "Object.defineProperty(navigator, 'clipboard', { value: { writeText: async (text) => {"
        " window.copied = text; } }, configurable: true })"
    )
    chromium.run("document.getElementById('copy').click()")
    chromium.wait_for("document.getElementById('copied').textContent === 'Copied.'", "the word")
    lines = chromium.run("window.copied").splitlines()
    assert lines[0].startswith("#PBS ")
    assert "#PBS -l nodes=1:ppn=4:gpus=1" in lines


def test_without_a_clipboard_the_script_is_selected(chromium: Chromium, demo: Path) -> None:
    chromium.open(demo)
    chromium.run(
        "Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true });"
        "document.execCommand = () => false"
    )
    chromium.run("document.getElementById('copy').click()")
    chromium.wait_for("document.getElementById('copied').textContent.startsWith('Selected')", "it")
    assert "#PBS" in chromium.run("getSelection().toString()")


def test_gpus_have_heat_maps_of_power_and_temperature(chromium: Chromium, demo: Path) -> None:
    chromium.open(demo)
    names = chromium.run(
        "[...document.querySelectorAll('.heatmap')].map((one) => one.dataset.plot)"
    )
    assert names == ["gpu-util", "gpu-power", "gpu-temperature"]


def test_tables_stay_whole_on_paper(chromium: Chromium, demo: Path) -> None:
    chromium.open(demo)
    chromium.ask("Emulation.setEmulatedMedia", media="print")
    try:
        kept = chromium.run(
            "[...document.querySelectorAll('.wide')].map((one) =>"
            " [one.querySelectorAll('tbody tr').length, getComputedStyle(one).breakInside,"
            " getComputedStyle(one.querySelector('tbody tr')).breakAfter])"
        )
    finally:
        chromium.ask("Emulation.setEmulatedMedia", media="")
    assert kept
    for rows_count, inside, after_first in kept:
        assert after_first == "avoid"
        assert inside == ("avoid" if rows_count <= 15 else "auto")


def test_an_idle_device_is_not_held_down(demo: Path) -> None:
    text = demo.read_text("utf-8")
    table = text[text.index("clocks held down by") :]
    assert "<td>nothing</td>" in table[: table.index("</table>")]

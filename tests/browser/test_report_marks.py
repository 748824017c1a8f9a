"""Phases, events and values of a program on the page: seen, told, zoomed to, by hand and key."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import program_scenes as program
import pytest
from chromium import Chromium

from hpcwatch.views.report import html

pytest_plugins = ("browser_fixtures",)

# How many pixels of a plot have a colour of the style sheet.
COLOURED = """
(() => {
  const canvas = document.querySelector(".plot[data-plot='%s'] canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const [red, green, blue] = rgb("%s");
  let count = 0;
  for (let at = 0; at < data.length; at += 4) {
    count += data[at] === red && data[at + 1] === green && data[at + 2] === blue;
  }
  return count;
})()
"""


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a training that loads, trains and is never seen to test."""
    path = tmp_path_factory.mktemp("marks") / "training.html"
    path.write_text(html.page(program.training()), "utf-8")
    return path


@pytest.fixture(scope="module")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a program that tells 20,000 events and 1,800 phases."""
    path = tmp_path_factory.mktemp("marks") / "chatty.html"
    path.write_text(html.page(program.chatty()), "utf-8")
    return path


def told(chromium: Chromium) -> str:
    chromium.settle()
    text: str = chromium.run("document.querySelector('.told').textContent")
    return text


def shown(chromium: Chromium) -> str:
    text: str = chromium.run("document.getElementById('shown').textContent")
    return text


def middle(chromium: Chromium, found: str) -> tuple[float, float]:
    """Where the middle of an element is, after it has been scrolled into the window."""
    chromium.run(f"({found}).scrollIntoView({{block: 'center'}})")
    chromium.settle()
    box = chromium.run(f"({found}).getBoundingClientRect().toJSON()")
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def mark(label: str) -> str:
    """The element of the first mark whose label begins so."""
    return f"document.querySelector('.lanes [role=option][aria-label^=\"{label}\"]')"


def shadows(chromium: Chromium) -> list[list[float]]:
    """Where the chosen mark tints each plot: share of the left edge and of the right one."""
    made: list[list[float]] = chromium.run(
        "[...document.querySelectorAll('.plot .shadow')].filter((one) => one.offsetWidth)"
        ".map((one) => [one.offsetLeft / one.parentElement.offsetWidth,"
        " (one.offsetLeft + one.offsetWidth) / one.parentElement.offsetWidth])"
    )
    return made


def focus(chromium: Chromium, selector: str) -> None:
    """Go to an element by keyboard, so that it shows its focus."""
    chromium.run(f"document.querySelector('{selector}').focus({{focusVisible: true}})")
    chromium.settle()


@pytest.mark.parametrize("width", [1280, 390])
def test_phases_are_bands_on_the_axis_of_the_plots(
    chromium: Chromium, training: Path, width: int
) -> None:
    chromium.open(training, width=width)
    assert chromium.complaints() == []
    bands = chromium.run(
        "[...document.querySelectorAll('.band')].map((one) => [one.textContent,"
        " one.getBoundingClientRect().toJSON()])"
    )
    over = chromium.run("document.querySelector('.plot .u-over').getBoundingClientRect().toJSON()")
    names = [name for name, _ in bands if name]
    assert names[:3] == ["load", "train", "test"]
    assert ("✗ epoch" in names) == (width == 1280)  # where there is room for a name
    boxes = dict(reversed(bands))
    for name, from_s, to_s in (("load", 10, 300), ("train", 300, 1330), ("test", 1400, 1800)):
        box = boxes[name]
        assert box["left"] == pytest.approx(over["left"] + over["width"] * from_s / 1800, abs=2)
        assert box["right"] == pytest.approx(over["left"] + over["width"] * to_s / 1800, abs=2)
    # What lies in another phase stands below it.
    assert bands[3][1]["top"] >= boxes["train"]["bottom"]
    assert chromium.run("document.documentElement.scrollWidth") == width


def test_a_pointer_is_told_what_it_is_on_and_every_plot_shows_it(
    chromium: Chromium, training: Path
) -> None:
    chromium.open(training)
    assert told(chromium).startswith("Point at a phase or an event")
    chromium.mouse("mouseMoved", *middle(chromium, mark("phase train")))
    assert told(chromium) == "phase train, from 5:00, took 17:10"
    tints = shadows(chromium)
    plots_count = chromium.run("document.querySelectorAll('.plot').length")
    assert len(tints) == plots_count > 3
    assert all(tint == pytest.approx([300 / 1800, 1330 / 1800], abs=0.01) for tint in tints)
    chromium.mouse("mouseMoved", *middle(chromium, mark("22:00 checkpoint")))
    assert told(chromium) == "22:00 checkpoint: file /scratch/model.keras"
    chromium.mouse("mouseMoved", 5, 5)
    assert told(chromium).startswith("Point at a phase or an event")
    assert shadows(chromium) == []


def test_phases_that_find_no_room_are_counted(chromium: Chromium, tmp_path: Path) -> None:
    path = tmp_path / "parallel.html"
    path.write_text(html.page(program.parallel(9)), "utf-8")
    chromium.open(path)
    assert "3 more phases found no room here" in told(chromium)


def test_a_click_zooms_to_a_phase_and_a_double_click_back(
    chromium: Chromium, training: Path
) -> None:
    chromium.open(training)
    x, y = middle(chromium, mark("phase train"))
    chromium.mouse("mouseMoved", x, y)
    chromium.click(x, y)
    chromium.settle()
    assert shown(chromium) == "4:09 to 23:02"  # with a twentieth of it around
    assert shadows(chromium)[0] == pytest.approx([51.5 / 1133, 1081.5 / 1133], abs=0.01)
    chromium.click(x, y, clicks=2)
    chromium.settle()
    assert shown(chromium) == "0:00 to 30:00"


def test_arrow_keys_go_through_the_marks_and_enter_zooms(
    chromium: Chromium, training: Path
) -> None:
    chromium.open(training)
    focus(chromium, ".lanes .list")
    assert told(chromium) == "phase load, from 0:10, took 4:50"
    chromium.key("ArrowRight")
    assert told(chromium).startswith("phase train, ")
    chromium.key("ArrowDown")
    assert told(chromium).startswith("phase epoch, from 5:10")
    chromium.key("End")
    assert told(chromium).startswith("phase epoch, from 18:30")
    chromium.key("ArrowLeft")
    assert told(chromium).endswith("; ended by OSError")
    chosen = chromium.run(
        "document.getElementById(document.querySelector('.lanes .list')"
        ".getAttribute('aria-activedescendant'))"
    )
    assert chosen is not None
    selected = "document.querySelector('.lanes [aria-selected=true]').getAttribute('aria-label')"
    assert chromium.run(selected) == told(chromium)
    chromium.key("Enter")
    chromium.settle()
    start, end = shown(chromium).split(" to ")
    assert (start, end) == ("14:25", "19:05")
    assert told(chromium).startswith("phase epoch, from 15:10")  # it stays chosen
    chromium.key("Escape")
    assert told(chromium).startswith("Point at a phase")
    chromium.key("Tab")
    assert chromium.run("document.activeElement.closest('.lanes')") is None


def test_the_pointer_on_a_plot_is_told_the_phases_it_is_in(
    chromium: Chromium, training: Path
) -> None:
    chromium.open(training)
    over = "document.querySelector('.plot[data-plot=memory] .u-over')"
    _, y = middle(chromium, over)
    box = chromium.run(f"{over}.getBoundingClientRect().toJSON()")
    chromium.mouse("mouseMoved", box["left"] + box["width"] * 400 / 1800, y)
    assert told(chromium).endswith(" train › epoch")
    line = chromium.run("document.querySelector('.follower').getBoundingClientRect().left")
    assert line == pytest.approx(box["left"] + box["width"] * 400 / 1800, abs=2)
    chromium.mouse("mouseMoved", box["left"] + box["width"] * 1365 / 1800, y)
    assert told(chromium).endswith(" in no phase")


def test_an_end_that_was_never_told_is_drawn_to_the_end_and_said(
    chromium: Chromium, training: Path
) -> None:
    chromium.open(training)
    style = chromium.run(f"getComputedStyle({mark('phase test')}).borderRightStyle")
    assert style == "dashed"
    assert chromium.run(f"getComputedStyle({mark('phase load')}).borderRightStyle") == "none"
    label = chromium.run(f"{mark('phase test')}.getAttribute('aria-label')")
    assert label == "phase test, from 23:20: it has no end event"
    caption = "document.querySelector('.lanes').previousElementSibling.textContent"
    assert "1 without an end event: drawn to the end of the run." in chromium.run(caption)


def test_borders_of_phases_and_events_are_on_every_plot(
    chromium: Chromium, training: Path, recorded: Path
) -> None:
    chromium.open(training)
    for plot in ("cpu", "memory", "gpu-util"):
        assert chromium.run(COLOURED % (plot, "phase")) > 100
        assert chromium.run(COLOURED % (plot, "event")) >= 5 * 5  # six events, five pixels high
    chromium.open(recorded)  # it told nothing
    assert chromium.run(COLOURED % ("cpu", "event")) == 0
    assert chromium.run("document.querySelectorAll('.lanes').length") == 0


def test_what_the_program_told_has_a_plot_and_is_read_between_its_points(
    chromium: Chromium, training: Path
) -> None:
    chromium.open(training)
    over = "document.querySelector('.plot[data-plot=value-0] .u-over')"
    x, y = middle(chromium, over)
    width = chromium.run(f"{over}.getBoundingClientRect().width")
    chromium.mouse("mouseMoved", x + width * (720 / 1800 - 0.5), y)  # the second was told at 701 s
    chromium.settle()
    read = chromium.run(
        "[...document.querySelectorAll('.plot[data-plot=value-0] .u-series:not(.edge)')]"
        ".slice(1).map((one) => one.textContent)"
    )
    assert read == ["loss0.1", "val_loss0.2"]
    # Four decades at even distances: a logarithmic scale.
    places = chromium.run(
        "[1, 0.1, 0.01, 0.001].map((value) => [...shadows.keys()].at(-1).valToPos(value, 'y'))"
    )
    steps = [after - before for before, after in pairwise(places)]
    assert steps == pytest.approx([steps[0]] * 3, abs=0.5)
    assert steps[0] > 10


def test_twenty_thousand_events_neither_bloat_nor_slow_the_page(
    chromium: Chromium, chatty: Path
) -> None:
    assert chatty.stat().st_size < 1_500_000
    chromium.open(chatty)
    assert chromium.complaints() == []
    assert 200 < chromium.run("document.querySelectorAll('.lanes [role=option]').length") < 1000
    # What comes all the time marks no plot; the one checkpoint does.
    assert 0 < chromium.run(COLOURED % ("cpu", "event")) < 50
    chromium.mouse("mouseMoved", *middle(chromium, mark("0:00 to 0:05: 6")))
    assert "events; first log: residual 1, step 0" in told(chromium)
    footer = chromium.run("document.querySelector('footer').textContent")
    assert "Every 12th of the 23,599 events is in it; hpcwatch report --format json has" in footer


def test_a_row_of_the_heat_map_is_chosen_by_keyboard(chromium: Chromium, large: Path) -> None:
    chromium.open(large)
    focus(chromium, ".heatmap[data-plot=cpu] .rows")
    for _ in range(2):
        chromium.key("ArrowDown")
    rows = "document.querySelector('.heatmap[data-plot=cpu] .rows')"
    assert chromium.run(f"{rows}.getAttribute('aria-valuetext')").startswith("gpu003: mean ")
    assert chromium.run(f"{rows}.getAttribute('aria-valuenow')") == "3"
    plain = chromium.run("document.querySelector('.heatmap canvas').toDataURL()")
    chromium.key("Enter")
    chromium.settle()
    assert chromium.run("document.getElementById('node').value") == "2"
    # All rows stay, the chosen one framed: another can be chosen from there.
    assert chromium.run("document.querySelector('.heatmap canvas').toDataURL()") != plain
    chromium.key("End")
    chromium.key("Enter")
    chromium.settle()
    assert chromium.run("document.getElementById('node').value") == "63"
    chromium.key("Enter")
    chromium.settle()
    assert chromium.run("document.getElementById('node').value") == ""
    assert chromium.run("document.querySelector('.heatmap canvas').toDataURL()") == plain


@pytest.mark.parametrize("dark", [False, True])
def test_names_on_bands_can_be_read(chromium: Chromium, training: Path, dark: bool) -> None:
    """WCAG 2.1: 4.5:1 for the name on its tint, over the panel."""
    chromium.open(training, dark=dark)
    ratios = chromium.run(
        """
        (() => {
          const linear = (part) =>
            (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
          const light = (parts) => [0.2126, 0.7152, 0.0722]
            .reduce((sum, share, index) => sum + share * linear(parts[index] / 255), 0);
          const panel = rgb("panel"), ink = light(rgb("ink"));
          return [...document.querySelectorAll(".band.named")].map((band) => {
            const [red, green, blue, alpha] = getComputedStyle(band).backgroundColor
              .match(/[\\d.]+/g).map(Number);
            const mixed = (part, n) => part * alpha + panel[n] * (1 - alpha);
            const tint = light([red, green, blue].map(mixed));
            return (Math.max(ink, tint) + 0.05) / (Math.min(ink, tint) + 0.05);
          });
        })()
        """
    )
    assert len(ratios) > 4
    assert min(ratios) > 4.5

"""The report as HTML, without a browser: whole, ordered, shut to the network and to every name."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import report_scenes as scenes

from hpcwatch.analysis.findings import Directive, Finding, Severity
from hpcwatch.analysis.report import Report
from hpcwatch.monitor.report import load
from hpcwatch.recording.store import RunDirectory
from hpcwatch.views.report import html
from hpcwatch.views.report.html.markup import escaped, tag

RECORDING = Path(__file__).resolve().parents[2] / "examples" / "recordings" / "mnist_cnn"
VOID = {"meta"}


class Page(HTMLParser):
    """What stands in a page; fails where an element is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[tuple[str, str]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), "an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((tag, ""))
        if tag in ("script", "style"):
            (self.scripts if tag == "script" else self.styles).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        if inside == "script":
            self.scripts[-1] += data
        elif inside == "style":
            self.styles[-1] += data
        elif heading := next((one for one in self.open if re.fullmatch("h[1-6]", one)), ""):
            self.headings[-1] = heading, self.headings[-1][1] + data

    def data(self) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(self.scripts[0])
        return made

    def attributes(self, name: str) -> list[str | None]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]


def with_finding(report: Report, **changed: Any) -> Report:
    finding = Finding(
        "gpu-memory-held",
        Severity.CRITICAL,
        "gpu001",
        "GPU 1",
        scenes.START_S + 60,
        600.0,
        "GPU 1 idle 10 min, holds 10.7 GiB",
        {"held_bytes": 10.7 * scenes.GIB},
        "Ask for one GPU.",
        (Directive("slurm", "#SBATCH --gres=gpu:2", "#SBATCH --gres=gpu:1"),),
    )
    return report._replace(findings=[finding._replace(**changed)])


@pytest.fixture(scope="module")
def large() -> tuple[Report, str]:
    report = with_finding(scenes.many_nodes())
    return report, html.page(report, scenes.earlier())


def test_the_order_is_that_of_every_report(large: tuple[Report, str]) -> None:
    page = Page(large[1])
    assert [text for level, text in page.headings if level == "h2"] == [
        "Next job script",
        "Findings",
        "Requested against used",
        "Timelines",
        "Nodes and GPUs",
        "Processes",
        "Steps of the program",
        "Earlier runs of the same name",
        "How it was measured",
        "Command and environment",
    ]
    levels = [int(level[1]) for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert ("h3", "1 ▲ critical GPU 1 idle 10 min, holds 10.7 GiB") in page.headings


def test_eight_hours_of_64_nodes_with_4_gpus_are_small(large: tuple[Report, str]) -> None:
    assert len(large[1].encode()) < 5_000_000
    data = Page(large[1]).data()
    measured = [one for one in data["series"] if one["host"] is not None]
    assert len(measured) == 64 * (2 + 2) + 256 * 3
    lengths = {
        len(one[part]) for one in measured for part in ("mean", "low", "high") if part in one
    }
    assert lengths == {data["grid"]["steps_count"]}
    assert data["grid"]["steps_count"] >= 200


def test_a_single_spike_is_in_the_data(large: tuple[Report, str]) -> None:
    data = Page(large[1]).data()
    (line,) = (
        one
        for one in data["series"]
        if one["plot"] == "memory" and one["host"] == scenes.SPIKE_HOST
    )
    top = max(line["high"])
    assert top > 170 > 2 * sorted(line["high"])[-5]
    step = line["high"].index(top)
    assert abs((step + 0.5) * data["grid"]["step_s"] - scenes.SPIKE_S) < 2 * data["grid"]["step_s"]
    assert "highest after 1:00:00 on gpu004" in large[1]


def test_an_hour_without_readings_is_null_and_never_0(large: tuple[Report, str]) -> None:
    data = Page(large[1]).data()
    lines = [one for one in data["series"] if one["host"] == 5]
    step_s = data["grid"]["step_s"]
    silent = slice(int(7600 / step_s), int(10600 / step_s))
    assert len(lines) == 4 + 4 * 3
    assert all(set(one["mean"][silent]) == {None} for one in lines)
    assert all(None not in one["mean"][silent.stop + 3 :] for one in lines)


def test_the_data_hold_the_report_and_the_marks(large: tuple[Report, str]) -> None:
    data = Page(large[1]).data()
    assert data["report"]["schema_version"] == 1
    assert data["report"]["run"]["name"] == "train-large"
    (mark,) = data["findings"]
    assert (mark["from_s"], mark["to_s"], mark["hosts"]) == (60.0, 660.0, [0])
    assert mark["plots"] == ["gpu-util", "gpu-active", "gpu-memory", "gpu-power"]


@pytest.mark.parametrize(
    ("rule", "plots"),
    [("memory-growing", {"memory"}), ("cpu-low", {"cpu"}), ("storage-wait", {"read", "written"})],
)
def test_findings_are_marked_where_they_show(rule: str, plots: set[str]) -> None:
    report = with_finding(scenes.many_nodes(1, 1, 0.2), rule=rule)
    assert set(Page(html.page(report)).data()["findings"][0]["plots"]) == plots


def test_the_policy_allows_our_scripts_and_styles_alone(large: tuple[Report, str]) -> None:
    page = Page(large[1])
    (policy,) = (one["content"] for name, one in page.elements if "http-equiv" in one)
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    for kind, texts in (("script", page.scripts[1:]), ("style", page.styles)):
        (allowed,) = re.findall(rf"{kind}-src ([^;]*)", policy)
        assert allowed.split() == [hashed(text) for text in texts]
    assert not [
        one for one in page.attributes("src") + page.attributes("href") if one != "#timelines"
    ]
    assert not page.attributes("style")
    assert page.scripts[1].startswith("/*\nThe MIT License")


def hashed(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@pytest.mark.parametrize("attack", scenes.ATTACKS)
def test_no_name_adds_an_element_or_an_attribute(attack: str) -> None:
    page = Page(html.page(scenes.hostile(attack), scenes.earlier(attack)))
    plain = Page(html.page(scenes.hostile("plain"), scenes.earlier("plain")))
    assert [(name, set(of)) for name, of in page.elements] == [
        (name, set(of)) for name, of in plain.elements
    ]
    assert page.scripts[1:] == plain.scripts[1:]
    assert page.data()["report"]["run"]["name"] == attack  # and the data are as they were
    assert not [name for name in page.attributes("href") if name != "#timelines"]


def test_every_plot_is_told_in_words_and_unknown_is_a_dash() -> None:
    report = load(RunDirectory(str(RECORDING)))
    text = html.page(report._replace(findings=[]))
    assert "Mean 1.51 cores, between 0 and 1.9 cores; highest after 2:35." in text
    assert "No findings; in less than 5 min little can be judged." in text
    assert "None" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    plots = [of["data-plot"] for _, of in Page(text).elements if "data-plot" in of]
    assert plots == ["cpu", "memory", "read"]  # it wrote next to nothing, and has no GPU
    assert '<html lang="en">' in text


def test_elements_escape_what_is_not_markup() -> None:
    made = tag("p", "<b>", tag("i", "x"), class_='"&', hidden=True, title=False)
    assert made == '<p class="&quot;&amp;" hidden>&lt;b&gt;<i>x</i></p>'
    assert escaped(tag("i", "x")) == "<i>x</i>"

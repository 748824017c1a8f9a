"""The pages under axe-core, at the width of a telephone, a laptop and a large screen.

The library is in the wheel of axe-core-python: nothing is fetched while the tests run.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import report_scenes as scenes
from chromium import Chromium

from hpcwatch.monitor.report import load
from hpcwatch.recording.store import RunDirectory
from hpcwatch.views.report import html

pytest_plugins = ("browser_fixtures",)

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (ROOT / "hpcwatch" / "demos", ROOT / "examples" / "recordings")
EXPERIMENTAL = ("label-content-name-mismatch", "css-orientation-lock", "table-fake-caption")
"""Rules that axe leaves out unless they are named, although WCAG 2.1 asks for what they check."""


@pytest.fixture(scope="module")
def axe() -> str:
    """The library's text."""
    found = importlib.util.find_spec("axe_core_python")
    if found is None or found.origin is None:
        pytest.skip("needs axe-core: pip install axe-core-python")
    return Path(found.origin).with_name("axe.min.js").read_text("utf-8")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("axe")
    several = scenes.many_nodes(nodes=4, gpus=2, hours=0.5)
    made = {"several": folder / "several.html"}
    made["several"].write_text(html.page(several, scenes.earlier()), "utf-8")
    for recording in (one.parent for root in FOLDERS for one in sorted(root.glob("*/run.json"))):
        if recording.name not in made:
            made[recording.name] = folder / f"{recording.name}.html"
            made[recording.name].write_text(html.page(load(RunDirectory(str(recording)))), "utf-8")
    return made


def violations(chromium: Chromium, axe: str) -> list[str]:
    """Return what axe finds on the open page: rule, why, and the first elements."""
    chromium.run(f"{axe}; 0")
    rules = ", ".join(f"'{name}': {{ enabled: true }}" for name in EXPERIMENTAL)
    found: list[dict[str, Any]] = chromium.run(
        f"axe.run(document, {{ rules: {{ {rules} }}, resultTypes: ['violations'] }}).then((done) =>"
        " done.violations.map((one) => ({ id: one.id, help: one.help,"
        " nodes: one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200)) })))"
    )
    return [f"{one['id']}: {one['help']}: {one['nodes']}" for one in found]


@pytest.mark.parametrize(
    ("name", "width", "dark"),
    [
        *(("idle-gpu", width, dark) for width in (390, 1280, 2000) for dark in (False, True)),
        *((name, 1280, False) for name in ("mnist_cnn", "memory-kill", "memory", "throttling")),
        *(("several", width, False) for width in (390, 1280, 2000)),
    ],
)
def test_no_page_has_a_violation(
    chromium: Chromium, axe: str, pages: dict[str, Path], name: str, width: int, dark: bool
) -> None:
    chromium.open(pages[name], width=width, dark=dark)
    assert violations(chromium, axe) == []


def test_axe_sees_a_violation_where_there_is_one(
    chromium: Chromium, axe: str, pages: dict[str, Path]
) -> None:
    chromium.open(pages["idle-gpu"], width=1280)
    chromium.run("document.querySelector('[data-zoom=whole]').setAttribute('aria-label', 'other')")
    chromium.run("document.documentElement.removeAttribute('lang')")
    found = violations(chromium, axe)
    assert {one.partition(":")[0] for one in found} == {
        "html-has-lang",
        "label-content-name-mismatch",
    }

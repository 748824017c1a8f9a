"""The report as markdown: its order, its figures, and no markup from any name."""

from __future__ import annotations

from pathlib import Path

import pytest
import report_scenes as scenes
from markdown_it import MarkdownIt
from markdown_it.token import Token

from hpcwatch.analysis.findings import Directive, Finding, Severity
from hpcwatch.analysis.report import Report
from hpcwatch.analysis.rightsize import Advice, Savings
from hpcwatch.monitor.report import load
from hpcwatch.recording.store import Event, RunDirectory
from hpcwatch.views.report import html, markdown, tables

RECORDING = Path(__file__).resolve().parents[2] / "examples" / "recordings" / "mnist_cnn"
SECTIONS = [
    "Next job script",
    "Findings",
    "Requested against used",
    "Timelines",
    "Nodes",
    "GPUs",
    "Processes",
    "Steps of the program",
    "Earlier runs of the same name",
    "How it was measured",
    "Command and environment",
]


def tokens(text: str) -> list[Token]:
    """What a real parser makes of it, with inline parts behind the blocks."""
    blocks = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    return blocks + [child for block in blocks for child in block.children or []]


def headings(text: str, level: str) -> list[str]:
    blocks = MarkdownIt("commonmark").enable("table").parse(text)
    return [
        "".join(child.content for child in blocks[index + 1].children or [])
        for index, block in enumerate(blocks)
        if block.type == "heading_open" and block.tag == level
    ]


def with_finding(report: Report) -> Report:
    finding = Finding(
        "gpu-memory-held",
        Severity.CRITICAL,
        "gpu001",
        "GPU 1",
        scenes.START_S + 60,
        7200.0,
        "GPU 1 idle 2 h, holds 10.7 GiB",
        {"util_pct": 0.0, "held_bytes": 10.7 * scenes.GIB, "seen_s": 7200.0},
        "Ask for one GPU.",
        (Directive("slurm", "#SBATCH --gres=gpu:2", "#SBATCH --gres=gpu:1"),),
    )
    return report._replace(findings=[finding])


def test_the_order_is_that_of_every_report() -> None:
    report = with_finding(scenes.many_nodes(nodes=3, gpus=2, hours=0.5))
    text = markdown.text(report, scenes.earlier())
    assert headings(text, "h2") == SECTIONS
    assert headings(text, "h1") == ["train-large · 4711 · gpu[001-003]"]


def test_a_finding_is_told_with_evidence_and_change() -> None:
    report = with_finding(scenes.many_nodes(nodes=2, gpus=2, hours=0.5))._replace(advice=None)
    text = markdown.text(report)
    assert headings(text, "h3") == ["1. ▲ critical: GPU 1 idle 2 h, holds 10.7 GiB"]
    assert "Rule `gpu-memory-held`: utilisation 0 %, held 10.7 GiB, seen 2 h." in text
    assert "On gpu001. Ask for one GPU." in text
    assert "```diff\n- #SBATCH --gres=gpu:2\n+ #SBATCH --gres=gpu:1\n```" in text
    assert "Critical: GPU 1 idle 2 h, holds 10.7 GiB (on gpu001)." in text


def test_the_next_script_is_told_whole_and_a_findings_own_change_with_it() -> None:
    report = with_finding(scenes.many_nodes(nodes=2, gpus=2, hours=0.5))
    job = report.run.job
    assert job is not None
    change = Directive("slurm", "#SBATCH --time=24:00:00", "#SBATCH --time=0:40:00")
    advice = Advice(
        scheduler="slurm",
        lines=("#SBATCH --nodes=2", "``` # fenced"),
        changes=(change,),
        saves=Savings(core_hours=12.5, gpu_hours=3.0),
        margins="walltime 1.2 times the 30 min used",
        refused=None,
        based_on="this run",
        new=job._replace(walltime_s=2400),
        notes=("Given to sbatch itself: --mem.",),
    )
    text = markdown.text(report._replace(advice=advice))
    script, findings = text.split("## Findings")[0], text.split("## Findings")[1]
    assert "```diff\n- #SBATCH --time=24:00:00\n+ #SBATCH --time=0:40:00\n```" in script
    assert "````bash\n#SBATCH --nodes=2\n``` # fenced\n````" in script
    # 64 cores for half an hour are 32 core-hours.
    assert "Saves 12.5 core-hours, 3 GPU-hours a run: 39 % of the core-hours." in script
    assert "From this run: walltime 1.2 times the 30 min used." in script
    assert "Given to sbatch itself: --mem." in script
    asks = "Next time ask for a walltime of 0:40:00: that saves 12.5 core-hours and 3 GPU-hours"
    assert f"{asks} a run." in script
    assert "```diff\n- #SBATCH --gres=gpu:2\n+ #SBATCH --gres=gpu:1\n```" in findings
    page = html.page(report._replace(advice=advice))
    script = "<span>#SBATCH --nodes=2</span><span>``` # fenced</span>"
    assert f'<pre tabindex="0" id="script">{script}</pre>' in page
    assert "<del>- #SBATCH --gres=gpu:2</del><ins>+ #SBATCH --gres=gpu:1</ins>" in page


def test_a_line_that_the_header_changes_is_not_changed_otherwise_beside_a_finding() -> None:
    report = with_finding(scenes.many_nodes(nodes=2, gpus=2, hours=0.5))
    both = Directive("slurm", "#SBATCH --gres=gpu:2", None)
    advice = Advice("slurm", ("#SBATCH --nodes=2",), (both,), Savings(), "", None, "this run")
    text = markdown.text(report._replace(advice=advice))
    assert text.count("- #SBATCH --gres=gpu:2") == 1
    assert "+ #SBATCH --gres=gpu:1" not in text


def test_a_good_run_is_told_in_figures_without_empty_sections() -> None:
    text = markdown.text(load(RunDirectory(str(RECORDING)))._replace(findings=[]))
    assert "| CPU | 2 cores | 1.51 (75 %) | 1.9 |" in text
    assert "used 1.51 of 2 cores on average and 1.48 of 23.5 GiB of memory at its peak." in text
    assert "| Memory | 23.5 GiB | 1.28 GiB (5.4 %) | 1.48 GiB |" in text
    assert "CPU in use**: mean 1.51 cores, between 0 and 1.9 cores" in text
    assert headings(text, "h2") == [
        "Allowed against used",
        *SECTIONS[3:4],
        "Processes",
        *SECTIONS[-2:],
    ]
    assert "None" not in text


def test_many_devices_are_summed_up_and_long_tables_are_cut() -> None:
    report = scenes.many_nodes(nodes=40, gpus=2, hours=0.1)
    text = markdown.text(report)
    asked = text[text.index("## Requested") : text.index("## Timelines")]
    assert "| 80 GPUs | NVIDIA A100-SXM4-40GB |" in asked
    assert "GPU 0" not in asked
    assert "and 16 more." in text  # 80 devices, 64 rows
    assert len(tables.gpus(report).rows) == 80


def test_long_lists_are_cut() -> None:
    report = scenes.many_nodes(nodes=2, gpus=1, hours=0.1)
    events = [Event(scenes.START_S + n, "epoch", {"number": n}) for n in range(250)]
    quality = report.quality._replace(probe_errors={f"n{n}: gpu": "gone" for n in range(60)})
    text = markdown.text(report._replace(events=events, quality=quality))
    middle = "| 0:09 | epoch | number 9 |\n| … | 230 more |  |\n| 4:00 | epoch | number 240 |"
    assert middle in text
    assert text.count("gpu: gone.") == 20
    assert "… and 40 more like these." in text


@pytest.mark.parametrize("attack", scenes.ATTACKS)
def test_no_name_marks_anything_up(attack: str) -> None:
    report = scenes.hostile(attack)
    text = markdown.text(report, scenes.earlier(attack))
    plain = markdown.text(scenes.hostile("plain"), scenes.earlier("plain"))
    found, expected = tokens(text), tokens(plain)
    # Whatever the names are, the structure is the same: as many of each kind of part.
    kinds = [token.type for token in found if token.type not in ("text", "text_special")]
    assert kinds == [one.type for one in expected if one.type not in ("text", "text_special")]
    assert not [
        one for one in found if one.type in ("html_block", "html_inline", "link_open", "image")
    ]
    assert "://" not in _outside_code(text)
    assert not [c for c in text if not c.isprintable() and c != "\n"]


def _outside_code(text: str) -> str:
    blocks = MarkdownIt("commonmark").enable("table").parse(text)
    lines = text.split("\n")
    for block in blocks:
        if block.type == "fence" and block.map is not None:
            lines[block.map[0] : block.map[1]] = [""] * (block.map[1] - block.map[0])
    return "\n".join(lines)

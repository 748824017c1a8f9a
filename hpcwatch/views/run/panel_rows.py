"""What stands in the panel's rows: totals, devices, processes, the worst finding. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from hpcwatch.base.clean import clean
from hpcwatch.base.units import UNKNOWN, format_bytes, format_clock, format_of_bytes, format_pct
from hpcwatch.views.run.line import (
    activity_text,
    cores_text,
    device_memory_text,
    finding_spans,
    gpu_style,
    line,
    memory_text,
    value,
)
from hpcwatch.views.run.state import GpuState, LiveState, ProcessState
from hpcwatch.views.text import Line, Span, cut, fit, line_width, sparkline, width_of

_GPU_COLUMNS = 38  # the figures of one device and a short sparkline
_LABEL_COLUMNS = 6  # of them for "GPU 10"; an instance's is longer
_GAP = 2
_LEAST_SPARK, _MOST_SPARK = 4, 60
_LEAST_ADVICE = 24
_DOT = " · "
_NAME_COLUMNS = 24
_RECENT = 60  # samples by which the devices to show are chosen where not all fit


def rows(state: LiveState, width: int, most_rows: int) -> list[Line]:
    """Return the panel's rows, top to bottom, none wider than ``width``."""
    if most_rows <= 1:
        return [line(state, width)][:most_rows]
    least = 1 if state.findings else 0
    gpus = _gpu_rows(state, width, min(most_rows - 2 - least, 2))
    spare = most_rows - 2 - len(gpus)
    finding = _finding_rows(state, width, spare) if state.findings else []
    processes = []
    if spare > len(finding):  # with or without processes, so that the panel keeps its height
        processes = [_process_row(state.processes, width)]
    shown = [_separator(state, width), _totals(state, width), *gpus, *processes, *finding]
    return [fit(row, width) for row in shown[:most_rows]]


def _separator(state: LiveState, width: int) -> Line:
    clock = format_clock(state.elapsed_s)
    if state.walltime_s is not None:
        clock = f"{clock} of {format_clock(state.walltime_s)}"
    right = [Span(" hpcwatch", "head"), Span(f" · {clock} "), Span("─", "dim")]
    left = width - line_width(right)
    note: list[Span] = []
    if state.note and left > 10:
        text = cut(clean(state.note), left - 6)
        note = [Span("── ", "dim"), Span(f"{text} ", "warning")]
    elif state.step and left > 10:
        note = [Span("── ", "dim"), Span(f"{cut(clean(state.step), left - 6)} ")]
    rule = Span("─" * max(left - line_width(note), 0), "dim")
    return [*note, rule, *right]


def _totals(state: LiveState, width: int) -> Line:
    cores, memory = cores_text(state), memory_text(state)
    peak = Span(f"  peak {_peak_text(state)}".ljust(11))
    cpu_cell = [Span("CPU", "bold"), value(f" {_aligned(cores)}")]
    memory_cell = [Span("MEM", "bold"), value(f"  {_aligned(memory)}")]
    right = line_width([*memory_cell, peak])
    half = min((width - _GAP) // 2, width - _GAP - right)
    if line_width(cpu_cell) > half:
        row = [Span("CPU ", "bold"), value(cores), Span("  MEM ", "bold"), value(memory)]
        return [*row, peak] if line_width([*row, peak]) <= width else row
    most = line_width(memory_cell) + 1 + _MOST_SPARK
    rest = min(width - half - _GAP - width_of(peak.text), most)
    return [
        *_cell(cpu_cell, state.cores_history, state.cores, half),
        Span(" " * _GAP),
        *_cell(memory_cell, state.used_history, state.limit_bytes or state.peak_bytes, rest),
        peak,
    ]


def _aligned(text: str) -> str:
    """Give a text's first number the room it may need, so that what follows does not dance."""
    number, _, rest = text.partition(" ")
    return f"{number:>4} {rest}"


def _peak_text(state: LiveState) -> str:
    """Return the peak, without its unit if the memory in use beside it has none of its own."""
    used = memory_text(state).partition(" of ")[0]
    if state.peak_bytes is None or state.limit_bytes is None or " " in used:
        return format_bytes(state.peak_bytes)
    return format_of_bytes(state.peak_bytes, state.limit_bytes).partition(" of ")[0]


def _cell(
    fields: Sequence[Span], values: Sequence[float], top: float | None, width: int
) -> list[Span]:
    """Lay out fields, those that fit whole, then a sparkline of the latest values, then blanks."""
    kept: list[Span] = []
    left = width
    for field in fields:
        columns = width_of(field.text)
        if columns > left:
            break
        kept.append(field)
        left -= columns
    if top is not None and left > _LEAST_SPARK:
        columns = min(left - 1, _MOST_SPARK)
        drawn = sparkline(values[-columns:], top, columns)
        kept.append(Span(" " + drawn, "ok"))
        left -= 1 + len(drawn)
    kept.append(Span(" " * left))
    return kept


def _gpu_rows(state: LiveState, width: int, most_rows: int) -> list[Line]:
    """Lay the devices out in columns; the worst first where there are too many."""
    gpus = state.gpus
    if most_rows <= 0:
        return []
    if not gpus:
        return [] if state.gpu_trouble is None else [_trouble("GPUs", state.gpu_trouble)]
    longest = max(width_of(clean(one.gpu.label)) for one in gpus)
    needed = _GPU_COLUMNS + max(longest - _LABEL_COLUMNS, 0)
    most_columns = max((width + _GAP) // (needed + _GAP), 1)
    row_count = min(-(-len(gpus) // most_columns), most_rows)
    columns = min(most_columns, -(-len(gpus) // row_count))
    hidden = len(gpus) - columns * row_count
    if hidden > 0:
        gpus = sorted(gpus, key=_business)[: columns * row_count]
    fields = _gpu_fields(gpus, state)
    more = f"  +{hidden} more" if hidden > 0 else ""
    cell_width = (width - _GAP * (columns - 1)) // columns
    laid: list[Line] = []
    for first in range(0, len(gpus), columns):
        row: list[Span] = []
        for index in range(first, min(first + columns, len(gpus))):
            is_last = index == len(gpus) - 1
            room = cell_width - (len(more) if is_last else 0)
            row += [Span(" " * _GAP)] if index > first else []
            trouble = gpus[index].trouble
            if trouble is None:
                row += _cell(fields[index], gpus[index].history_pct, 100.0, room)
            else:
                row += _padded(_trouble(clean(gpus[index].gpu.label), trouble), room)
        laid.append(row)
    laid[-1] = [*laid[-1], Span(more, "dim")]
    return laid


def _trouble(label: str, reason: str) -> Line:
    """Say why a device, or all of them, cannot be read."""
    said = clean(" ".join(reason.split()))
    return [Span(label, "bold"), Span(f" {UNKNOWN} ", "dim"), Span(said, "warning")]


def _padded(line: Line, width: int) -> list[Span]:
    kept = fit(line, width)
    return [*kept, Span(" " * (width - line_width(kept)))]


def _business(gpu: GpuState) -> tuple[int, int]:
    """How busy a device was of late, in coarse steps so that places are kept; unknown is last."""
    known = [value for value in gpu.history_pct[-_RECENT:] if value == value]
    return (int(sum(known) / len(known)) // 20 if known else 100, gpu.gpu.index)


def _gpu_fields(gpus: list[GpuState], state: LiveState) -> list[list[Span]]:
    """Return each device's label and figures, aligned with each other."""
    table = [
        (
            clean(one.gpu.label),
            activity_text(one.gpu),
            device_memory_text(one.gpu),
            UNKNOWN if one.gpu.power_w is None else f"{one.gpu.power_w:.0f} W",
        )
        for one in gpus
    ]
    label, util, memory, power = (max(map(len, column)) for column in zip(*table))
    util, power = max(util, 5), max(power, 5)
    return [
        [
            Span(cells[0].ljust(label), "bold"),
            value(f" {cells[1]:>{util}}", gpu_style(one, state.findings)),
            value(f" {cells[2]:>{memory}}"),
            value(f" {cells[3]:>{power}}"),
        ]
        for one, cells in zip(gpus, table)
    ]


def _process_row(processes: list[ProcessState], width: int) -> Line:
    """Return the largest processes, as many as fit whole."""
    row: list[Span] = []
    for one in processes:
        separator = " · " if row else ""
        text = separator + _process_text(one)
        if row and line_width(row) + width_of(text) > width:
            break
        row.append(Span(text))
    return row


def _process_text(one: ProcessState) -> str:
    process = one.process
    used_pct = None if one.used_cores is None else 100 * one.used_cores
    memory = process.rss_bytes if process.pss_bytes is None else process.pss_bytes
    name = cut(clean(process.name), _NAME_COLUMNS)
    text = f"{name} {format_pct(used_pct)} {format_bytes(memory)}"
    threads = process.thread_count
    return f"{text} {threads} thr" if threads is not None and threads > 1 else text


def _finding_rows(state: LiveState, width: int, most_rows: int) -> list[Line]:
    """Return the worst finding, then what to do about it, then how many more there are.

    The advice goes on in the next rows if all of it fits there: the command that helps is worth
    more than the row of processes. Else it is cut.
    """
    title, more = finding_spans(state.findings, width)
    advice = clean(" ".join(state.findings[0].advice.split()))
    used = line_width([title, more]) + len(_DOT)
    wrapped = []
    if width - used >= _LEAST_ADVICE:
        wrapped = textwrap.wrap(advice, width, initial_indent=" " * used, break_on_hyphens=False)
    if 1 < len(wrapped) <= most_rows:
        first, *rest = wrapped
        return [[title, Span(_DOT + first.strip()), more], *([Span(row)] for row in rest)]
    left = width - line_width([title, more])
    text = cut(_DOT + advice, left) if left >= _LEAST_ADVICE else ""
    return [[title, Span(text), more]]

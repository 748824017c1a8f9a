"use strict";
// The timelines: one uPlot each, on one axis of time, with findings marked above.

const MOST_LINES = 8; // more are shown as their mean, between the lowest and the highest
const MARK_HEIGHT = 16;
const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3]];
const TIME_STEPS = [
  0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800,
  43200, 86400, 172800, 604800,
];
const times = Array.from({ length: data.grid.steps_count }, (_, step) => (step + 0.5) * data.grid.step_s);

/** The lines a plot has now: one a node or device, or one for all of them. */
function linesOf(plot) {
  const series = data.series.filter((one) => one.plot === plot.name && concerns([one.host]));
  if (series.length <= MOST_LINES) {
    return series.map((one) => ({
      label: nameOf(one), mean: one.mean, low: one.low ?? one.mean, high: one.high ?? one.mean,
    }));
  }
  const each = (name, join) => times.map((_, step) => {
    const known = series.map((one) => (one[name] ?? one.mean)[step]).filter((value) => value !== null);
    return known.length ? join(known) : null;
  });
  return [{
    label: `mean of ${series.length} ${plot.is_gpu ? "GPUs" : "nodes"}`,
    mean: each("mean", (values) => values.reduce((sum, value) => sum + value, 0) / values.length),
    low: each("low", (values) => Math.min(...values)),
    high: each("high", (values) => Math.max(...values)),
  }];
}

/** What a line may reach at most, if that is the same for all hosts shown; else null. */
function limitOf(plot) {
  const limits = plot.limits.filter((_, host) => concerns([host]));
  return limits.every((limit) => limit === limits[0]) ? limits[0] ?? null : null;
}

function highestOf(lines) {
  return lines.reduce((top, line) => Math.max(top, ...line.high), 0);
}

/** The scale of values that a program told: they may lie far from zero, or below it. */
function valueScale(plot, lines) {
  const known = lines.flatMap((line) => [...line.low, ...line.high]).filter((value) => value !== null);
  const [low, high] = known.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
  if (plot.is_wide) return { distr: 3, range: [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high))] };
  const room = (high - low || Math.abs(high) || 1) / 20;
  return { range: [low - room, high + room] };
}

/** Powers of ten between two, at most six of them. */
function decades(from, to) {
  const [first, last] = [Math.round(Math.log10(from)), Math.round(Math.log10(to))];
  const step = Math.ceil((last - first) / 6);
  return Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, index) => Number(`1e${first + index * step}`));
}

/** A figure at an axis, as short as it is. */
function axisFigure(value) {
  if (value === null) return "";
  const isPlain = value === 0 || (Math.abs(value) >= 0.0001 && Math.abs(value) < 1e7);
  return isPlain ? String(Number(value.toPrecision(6))) : value.toExponential().replace("e+", "e");
}

/** The step nearest to the pointer in which a line was told something. */
function nearestTold(columns) {
  return (chart, index, step) => {
    if (index === 0) return step;
    const column = columns[index];
    for (let away = 0; away < column.length; away += 1) {
      if (column[step - away] != null) return step - away;
      if (column[step + away] != null) return step + away;
    }
    return step;
  };
}

/** The series, columns and bands of a uPlot: each line with its lowest and highest values. */
function columnsOf(plot, lines, limit) {
  const made = {
    series: [{ label: "after", value: (_, seconds) => (seconds === null ? "" : `${clock(seconds)} (${timeOfDay(seconds)})`) }],
    columns: [times], bands: [] };
  lines.forEach((line, index) => {
    const stroke = colour(`line-${(index % 8) + 1}`);
    const read = (_, value, __, step) => {
      if (step === null) return "";
      if (value === null) return "–";
      const [low, high] = [line.low[step], line.high[step]];
      const isSame = low === high;
      return figure(value, plot.unit) + (isSame ? "" : ` (${Number(low.toPrecision(3))} to ${Number(high.toPrecision(3))})`);
    };
    made.bands.push({ series: [made.series.length + 2, made.series.length + 1], fill: `${stroke}2e` });
    made.series.push(
      {
        label: line.label, stroke, width: 1.5, dash: DASHES[index % 4], value: read,
        spanGaps: Boolean(plot.is_value), // nothing is told in between
      },
      { class: "edge", stroke: "transparent", points: { show: false }, spanGaps: Boolean(plot.is_value) },
      { class: "edge", stroke: "transparent", points: { show: false }, spanGaps: Boolean(plot.is_value) },
    );
    made.columns.push(line.mean, line.low, line.high);
  });
  if (limit !== null) {
    made.series.push({
      label: plot.name === "cpu" ? "allowed" : "limit", stroke: colour("limit"), width: 1,
      dash: [4, 4], points: { show: false }, value: () => figure(limit, plot.unit),
    });
    made.columns.push(times.map(() => limit));
  }
  return made;
}

/** The findings to be marked on a plot, those of devices only on plots of devices. */
function marksOf(plot) {
  return data.findings.filter((one) => one.plots.includes(plot.name) && concerns(one.hosts));
}

/** Mark the span of each finding: a bar with its number, `room` pixels above the plot, and a tint below. */
function drawMarks(chart, marks, room) {
  const ratio = devicePixelRatio;
  const { left, top, width, height } = chart.bbox;
  const at = (seconds) => Math.min(Math.max(chart.valToPos(seconds, "x", true), left), left + width);
  const ctx = chart.ctx;
  ctx.save();
  ctx.font = `${11 * ratio}px system-ui, sans-serif`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  marks.forEach((mark, row) => {
    const [from, to] = [at(mark.from_s), at(mark.to_s)];
    if (to <= left || from >= left + width) return;
    const barTop = top - ((marks.length - row) * MARK_HEIGHT + room) * ratio;
    const barWidth = Math.max(to - from, 2 * ratio);
    ctx.fillStyle = colour(mark.severity);
    ctx.fillRect(from, barTop + 6 * ratio, barWidth, 4 * ratio);
    ctx.globalAlpha = Math.min(0.07, 0.14 / marks.length); // many that overlap hide no line
    ctx.fillRect(from, top, barWidth, height);
    ctx.globalAlpha = 1;
    const text = ` ${mark.number} ${mark.severity} `;
    const textWidth = ctx.measureText(text).width;
    const textLeft = Math.min(from + 6 * ratio, left + width - textWidth);
    ctx.fillStyle = colour("paper");
    ctx.fillRect(textLeft, barTop, textWidth, MARK_HEIGHT * ratio);
    ctx.fillStyle = colour(`${mark.severity}-text`);
    ctx.fillText(text, textLeft, barTop + 8.5 * ratio);
  });
  ctx.restore();
}

// What comes all the time marks nothing.
const marksOnPlots = laneRows.filter((row) => row.isTicks && row.marks.length <= TICKS_MOST).flatMap((row) => row.marks);

/** Mark where the outermost phases begin and end, and below where events are. */
function drawProgram(chart) {
  const ratio = devicePixelRatio;
  const { left, top, width, height } = chart.bbox;
  const at = (seconds) => Math.round(left + shareOf(seconds) * width);
  const ctx = chart.ctx;
  ctx.save();
  ctx.strokeStyle = colour("phase");
  ctx.setLineDash([2 * ratio, 3 * ratio]);
  ctx.lineWidth = ratio;
  ctx.beginPath();
  for (const seconds of phaseBorders()) {
    if (seconds <= shown.from || seconds >= shown.to) continue;
    ctx.moveTo(at(seconds) + 0.5, top);
    ctx.lineTo(at(seconds) + 0.5, top + height);
  }
  ctx.stroke();
  ctx.fillStyle = colour("event");
  for (const tick of marksOnPlots) {
    if (overlaps(tick)) ctx.fillRect(at(tick.from_s), top + height - 5 * ratio, ratio, 5 * ratio);
  }
  ctx.restore();
}

/** Draw a limit that lies far above the scale: a dashed line at the upper edge, its figure above it. */
function drawLimitAbove(chart, text) {
  const ratio = devicePixelRatio;
  const { left, top, width } = chart.bbox;
  const ctx = chart.ctx;
  ctx.save();
  ctx.strokeStyle = colour("limit");
  ctx.lineWidth = ratio;
  ctx.setLineDash([4 * ratio, 4 * ratio]);
  ctx.beginPath();
  ctx.moveTo(left, top + 0.5);
  ctx.lineTo(left + width, top + 0.5);
  ctx.stroke();
  ctx.font = `${12 * ratio}px system-ui, sans-serif`;
  ctx.textAlign = "right";
  ctx.textBaseline = "bottom";
  ctx.fillStyle = colour("ink");
  ctx.fillText(text, left + width, top - 2 * ratio);
  ctx.restore();
}

function axis(more) {
  const grid = { stroke: colour("grid"), width: 1 };
  return { stroke: colour("ink"), grid, ticks: grid, font: "12px system-ui, sans-serif", ...more };
}

/** Draw one timeline into its place on the page, afresh. */
function draw(place, plot) {
  const lines = linesOf(plot);
  const highest = highestOf(lines);
  const limit = limitOf(plot);
  // A limit far above would press the line flat: then it is drawn at the upper edge, and says so.
  const least = plot.name === "cpu" ? 0.05 : 0.2;
  const isLimitNear = limit !== null && (plot.unit === "%" || highest > least * limit);
  const top = Math.max(highest, isLimitNear ? limit : 0) * 1.05 || 1;
  const { series, columns, bands } = columnsOf(plot, lines, limit !== null && plot.unit !== "%" ? limit : null);
  const isAbove = limit !== null && !isLimitNear;
  const room = isAbove ? MARK_HEIGHT : 0;
  const marks = marksOf(plot);
  const y = plot.is_value ? valueScale(plot, lines) : { range: [0, top] };
  const chart = new uPlot({
    width: place.clientWidth, height: 205 + marks.length * MARK_HEIGHT + room,
    padding: [8 + marks.length * MARK_HEIGHT + room, RIGHT_WIDTH, 0, 0], series, bands,
    scales: { x: { time: false, min: shown.from, max: shown.to }, y },
    axes: [
      axis({ incrs: TIME_STEPS, space: 70, size: 46, values: (_, splits) => splits.map((at) => `${clock(at)}\n${timeOfDay(at)}`) }),
      axis({
        size: AXIS_WIDTH, values: (_, splits) => splits.map(axisFigure),
        ...(plot.is_wide ? { splits: (_, __, from, to) => decades(from, to), filter: (_, splits) => splits } : {}),
      }),
    ],
    legend: { markers: { width: 2 } },
    cursor: {
      drag: { x: true, y: false, setScale: false },
      // Only where the pointer is: the others would each take a drag for their own.
      sync: { key: "run", filters: { pub: (event) => event === "mousemove" || event === "mouseleave" } },
      ...(plot.is_value ? { dataIdx: nearestTold(columns) } : {}),
      bind: { dblclick: () => () => zoom(0, runLength) },
    },
    hooks: {
      draw: [(chart) => {
        drawProgram(chart);
        if (isAbove) drawLimitAbove(chart, `▲ ${plot.name === "cpu" ? "allowed" : "limit"}: ${figure(limit, plot.unit)}, above this scale`);
        drawMarks(chart, marks, room);
      }],
      setCursor: [follow],
      setScale: [(chart) => { if (shadows.has(chart)) placeShadow(chart); }],
      setSelect: [(chart) => {
        const { left, width } = chart.select;
        if (width < 4) return;
        const [from, to] = [chart.posToVal(left, "x"), chart.posToVal(left + width, "x")];
        chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        zoom(from, to);
      }],
    },
  }, columns, place);
  addShadow(chart);
  const canvas = place.querySelector("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", place.previousElementSibling.textContent.trim());
  return chart;
}

/** Keep a timeline drawn: afresh for other lines or colours, moved for another stretch of time. */
function timeline(place) {
  const plot = data.plots.find((one) => one.name === place.dataset.plot);
  let chart = draw(place, plot);
  listeners.push((isZoom) => {
    if (isZoom) {
      chart.setScale("x", { min: shown.from, max: shown.to });
    } else {
      shadows.delete(chart);
      chart.destroy();
      chart = draw(place, plot);
    }
  });
  new ResizeObserver(() => {
    if (place.clientWidth !== chart.width) chart.setSize({ width: place.clientWidth, height: chart.height });
  }).observe(place);
}

"use strict";
// What the page knows: the embedded data, and how much of it is shown at the moment.

const data = JSON.parse(document.getElementById("data").textContent);
data.series.filter((one) => one.steps).forEach(spread);
const runLength = data.grid.steps_count * data.grid.step_s;
const shown = { host: null, from: 0, to: runLength, isPrinted: false };
const listeners = [];
// The same everywhere, so that times stand below one another: room for names and half of a time.
const AXIS_WIDTH = innerWidth < 600 ? 56 : 84;
const RIGHT_WIDTH = 28;

/** Put what was told in a few steps on all of them. */
function spread(series) {
  for (const name of ["mean", "low", "high"]) {
    if (!series[name]) continue;
    const whole = Array(data.grid.steps_count).fill(null);
    series.steps.forEach((step, index) => { whole[step] = series[name][index]; });
    series[name] = whole;
  }
}

/** Change what is shown, and tell the plots; `isZoom` if only the stretch of time changes. */
function show(change) {
  const isZoom = Object.keys(change).every((name) => name === "from" || name === "to");
  Object.assign(shown, change);
  for (const listener of listeners) listener(isZoom);
}

/** Show a stretch of time: within the run, and not shorter than two steps. */
function zoom(from, to) {
  const length = Math.min(Math.max(to - from, 2 * data.grid.step_s), runLength);
  const start = Math.min(Math.max(from, 0), runLength - length);
  show({ from: start, to: start + length });
}

/** Whether a finding, or a line, of these hosts is to be seen now; null is of the program. */
function concerns(hosts) {
  return shown.host === null || hosts.length === 0 || hosts[0] === null || hosts.includes(shown.host);
}

/** A time since the start as schedulers write it: 2:41, 2:41:07; of a short stretch 0:02.5. */
function clock(seconds) {
  if (shown.to - shown.from < 8 && seconds < 3600) {
    const tenths = Math.max(Math.round(seconds * 10), 0);
    const rest = String((tenths % 600) / 10).padStart(tenths % 10 ? 4 : 2, "0");
    return `${Math.floor(tenths / 600)}:${rest}`;
  }
  const whole = Math.max(Math.round(seconds), 0);
  const pair = (count) => String(count).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${pair(minutes)}:${pair(whole % 60)}` : `${minutes}:${pair(whole % 60)}`;
}

/** The time of day on the cluster, so many seconds after the start; seconds only where they matter. */
function timeOfDay(seconds) {
  const at = new Date(1000 * (data.grid.start_s + seconds + data.zone.offset_s)).toISOString();
  return shown.to - shown.from < 600 ? at.slice(11, 19) : at.slice(11, 16);
}

/** A value with its unit; unknown is a dash. */
function figure(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "MiB" && value >= 10240) return figure(value / 1024, "GiB");
  return unit ? `${Number(value.toPrecision(3))} ${unit}` : String(Number(value.toPrecision(4)));
}

/** A colour of the style sheet, as the present theme has it. */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** The host's name, and the device's where the line is of one. */
function nameOf(series) {
  if (series.host === null) return series.entity;
  const host = data.hosts[series.host];
  if (series.entity === "job") return host;
  return data.hosts.length > 1 ? `${host} ${series.entity}` : series.entity;
}

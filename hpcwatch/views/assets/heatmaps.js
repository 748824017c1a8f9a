"use strict";
// Node × time and GPU × time: a row each, coloured by its mean. Same axis of time as the timelines.

const FOOT_HEIGHT = 20;

/** Red, green and blue of a colour of the style sheet. */
function rgb(name) {
  const value = parseInt(colour(name).slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** The rows as a picture of one pixel a step and row; unknown is left out. */
function pictureOf(rows, low, top) {
  const picture = document.createElement("canvas");
  picture.width = data.grid.steps_count;
  picture.height = rows.length;
  const ctx = picture.getContext("2d");
  const image = ctx.createImageData(picture.width, picture.height);
  const stops = [rgb("heat-low"), rgb("heat-middle"), rgb("heat-high")];
  rows.forEach((row, index) => row.mean.forEach((value, step) => {
    if (value === null) return;
    const share = Math.min(Math.max((value - low) / (top - low || 1), 0), 1) * 2;
    const [from, to] = share < 1 ? [stops[0], stops[1]] : [stops[1], stops[2]];
    const pixel = 4 * (index * picture.width + step);
    for (let part = 0; part < 3; part += 1) {
      image.data[pixel + part] = from[part] + (to[part] - from[part]) * (share % 1 || (share === 2 ? 1 : 0));
    }
    image.data[pixel + 3] = 255;
  }));
  ctx.putImageData(image, 0, 0);
  return picture;
}

/** The lowest mean of all rows. */
function lowestOf(rows) {
  return rows.reduce((low, row) => row.mean.reduce((least, value) => (value === null ? least : Math.min(least, value)), low), Infinity);
}

/** Strokes that stand for unknown, below the picture. */
function hatch(ctx, left, width, height) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, 0, width, height);
  ctx.clip();
  ctx.strokeStyle = colour("unknown");
  ctx.beginPath();
  for (let x = left - height; x < left + width; x += 6) {
    ctx.moveTo(x, height);
    ctx.lineTo(x + height, 0);
  }
  ctx.stroke();
  ctx.restore();
}

/** Cut a text to a width in pixels. */
function fitted(ctx, text, width) {
  if (ctx.measureText(text).width <= width) return text;
  let kept = text;
  while (kept && ctx.measureText(`${kept}…`).width > width) kept = kept.slice(0, -1);
  return `${kept}…`;
}

/** Where the rows are too low for a name each: the hosts, with their first row and their count. */
function blocksOf(rows) {
  const blocks = [];
  rows.forEach((row, index) => {
    const last = blocks.at(-1);
    if (last && last[0] === data.hosts[row.host]) last[2] += 1;
    else blocks.push([data.hosts[row.host], index, 1]);
  });
  return blocks;
}

/** The names of the rows that have room for one, and a few times below. */
function label(ctx, rows, rowHeight, width, height) {
  ctx.fillStyle = colour("ink");
  ctx.font = "12px system-ui, sans-serif";
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  let free = 0;
  const names = rowHeight < 12 ? blocksOf(rows) : rows.map((row, index) => [nameOf(row), index, 1]);
  for (const [name, first, count] of names) {
    const middle = Math.max((first + count / 2) * rowHeight, 7);
    if (middle - 6 < free) continue;
    ctx.fillText(fitted(ctx, name, AXIS_WIDTH - 8), AXIS_WIDTH - 6, middle);
    free = middle + 7;
  }
  ctx.textBaseline = "top";
  const wanted = (shown.to - shown.from) / Math.max(width / 90, 1);
  const step = TIME_STEPS.find((one) => one >= wanted) ?? TIME_STEPS.at(-1);
  for (let at = Math.ceil(shown.from / step) * step; at <= shown.to; at += step) {
    const x = AXIS_WIDTH + ((at - shown.from) / (shown.to - shown.from)) * width;
    ctx.textAlign = x - AXIS_WIDTH < 20 ? "left" : x > AXIS_WIDTH + width - 20 ? "right" : "center";
    ctx.fillText(clock(at), x, height + 4);
  }
}

const ROW_HINT = "A click on a row, or Enter, shows its node alone on the timelines; again, all nodes.";

/** Keep a heat map drawn; a click on a row, or Enter, chooses its node. */
function heatmap(place) {
  const plot = data.plots.find((one) => one.name === place.dataset.plot);
  const rows = data.series.filter((one) => one.plot === plot.name);
  const [picture, canvas, pointed] = [document.createElement("div"), document.createElement("canvas"), document.createElement("div")];
  const reading = document.createElement("output");
  const legend = document.createElement("p");
  const canChoose = data.hosts.length > 1;
  legend.className = "legend";
  picture.className = "rows";
  pointed.className = "pointed";
  canvas.setAttribute("role", "img");
  picture.append(canvas, pointed);
  place.append(legend, picture, reading);
  let rowHeight, width, current = -1;

  function redraw() {
    rowHeight = Math.min(Math.max(Math.floor(640 / Math.max(rows.length, 1)), 4), 20);
    width = place.clientWidth - AXIS_WIDTH - RIGHT_WIDTH;
    const height = rows.length * rowHeight;
    const top = limitOf(plot) ?? highestOf(rows.map((row) => ({ high: row.mean })));
    // A card that does nothing is warm, not cold: from 0 on all of them would look alike.
    const low = plot.unit === "°C" ? lowestOf(rows) : 0;
    canvas.style.height = `${height + FOOT_HEIGHT}px`;
    canvas.width = place.clientWidth * devicePixelRatio;
    canvas.height = (height + FOOT_HEIGHT) * devicePixelRatio;
    const ctx = canvas.getContext("2d");
    ctx.scale(devicePixelRatio, devicePixelRatio);
    hatch(ctx, AXIS_WIDTH, width, height);
    ctx.imageSmoothingEnabled = false;
    const from = shown.from / data.grid.step_s;
    const count = (shown.to - shown.from) / data.grid.step_s;
    ctx.drawImage(pictureOf(rows, low, top || 1), from, 0, count, rows.length, AXIS_WIDTH, 0, width, height);
    label(ctx, rows, rowHeight, width, height);
    frame(ctx);
    canvas.setAttribute("aria-label", `${plot.title} of ${rows.length} rows over time; the table of nodes and the sentences above say it in numbers`);
    explain(low, top);
  }

  /** Frame the rows of the chosen node. */
  function frame(ctx) {
    const first = shown.host === null ? -1 : rows.findIndex((row) => row.host === shown.host);
    if (first < 0) return;
    const count = rows.filter((row) => row.host === shown.host).length;
    ctx.strokeStyle = colour("ink");
    ctx.lineWidth = 2;
    ctx.strokeRect(AXIS_WIDTH - 1, first * rowHeight, width + 2, count * rowHeight);
  }

  function point(index) {
    current = index;
    pointed.style.display = index < 0 ? "none" : "block";
    pointed.style.top = `${index * rowHeight}px`;
    pointed.style.height = `${rowHeight}px`;
    pointed.style.left = `${AXIS_WIDTH}px`;
    pointed.style.width = `${width}px`;
  }

  function choose(row) {
    if (row && canChoose) show({ host: shown.host === row.host ? null : row.host });
  }

  /** Go through the rows by keyboard, as on a slider: each row is a value with a name. */
  function listen() {
    picture.tabIndex = 0;
    picture.setAttribute("role", "slider");
    picture.setAttribute("aria-orientation", "vertical");
    picture.setAttribute("aria-label", `Rows of ${plot.title}: arrow keys go from one to the next, Enter chooses its node`);
    picture.setAttribute("aria-valuemin", "1");
    picture.setAttribute("aria-valuemax", String(rows.length));
    const moves = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 10, PageUp: -10, Home: -rows.length, End: rows.length };
    const goTo = (index) => {
      point(Math.min(Math.max(index, 0), rows.length - 1));
      reading.textContent = summary(rows[current]);
      picture.setAttribute("aria-valuenow", String(current + 1));
      picture.setAttribute("aria-valuetext", reading.textContent);
    };
    picture.setAttribute("aria-valuenow", "1");
    picture.setAttribute("aria-valuetext", summary(rows[0]));
    picture.addEventListener("keydown", (event) => {
      if (event.key in moves) goTo(current + moves[event.key]);
      else if (event.key === "Enter") choose(rows[current]);
      else return;
      event.preventDefault();
    });
    picture.addEventListener("focus", () => { if (picture.matches(":focus-visible")) goTo(Math.max(current, 0)); });
    picture.addEventListener("blur", () => { point(-1); reading.textContent = ""; });
  }

  /** A row in words, over the time shown. */
  function summary(row) {
    const known = row.mean.slice(Math.floor(shown.from / data.grid.step_s), Math.ceil(shown.to / data.grid.step_s)).filter((value) => value !== null);
    const mean = known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
    return `${nameOf(row)}: ${mean === null ? "unknown" : `mean ${figure(mean, plot.unit)}`}${shown.host === row.host ? ", chosen" : ""}`;
  }

  function explain(low, top) {
    const swatch = (name) => {
      const made = document.createElement("span");
      made.className = `swatch ${name}`;
      return made;
    };
    legend.replaceChildren(
      `${Number(low.toPrecision(3))} `, swatch("scale"), ` ${figure(top, plot.unit)}`, " · ", swatch("hatched"), " unknown. ",
      canChoose && place === document.querySelector(".heatmap") ? ROW_HINT : "",
    );
  }

  function rowAt(event) {
    return rows[Math.floor((event.clientY - canvas.getBoundingClientRect().top) / rowHeight)];
  }

  canvas.addEventListener("mousemove", (event) => {
    const row = rowAt(event);
    const share = (event.offsetX - AXIS_WIDTH) / width;
    point(row ? rows.indexOf(row) : -1);
    const at = shown.from + share * (shown.to - shown.from);
    const step = Math.floor(at / data.grid.step_s);
    const isInside = row && share >= 0 && share < 1;
    reading.textContent = isInside ? `${nameOf(row)} at ${clock(at)} (${timeOfDay(at)}): ${figure(row.mean[step], plot.unit)}` : "";
  });
  canvas.addEventListener("mouseleave", () => {
    reading.textContent = "";
    point(-1);
  });
  canvas.addEventListener("click", (event) => choose(rowAt(event)));
  if (canChoose) listen();
  listeners.push(redraw);
  new ResizeObserver(() => {
    if (canvas.width !== Math.floor(place.clientWidth * devicePixelRatio)) redraw();
  }).observe(place);
  redraw();
}

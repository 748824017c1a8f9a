"use strict";
// What the program told, above the timelines and on their axis: phases as bands, events as ticks.

const REACH = 8; // pixels around a tick in which the pointer means it
const NAMED_WIDTH = 30; // a narrower band has no room for a name
const BORDERS_MOST = 40; // more borders of phases would hide the lines of a plot
const TICKS_MOST = 60; // of a row; more say only that it went on all the time

/** Bands and ticks by row, each row with its name. */
const laneRows = (() => {
  const rows = [];
  for (const band of data.bands) {
    const row = (rows[band.row ?? 0] ??= { name: band.row ? "" : "phases", marks: [] });
    row.marks.push(band);
  }
  const ofEvents = new Map();
  for (const tick of data.ticks) {
    if (!ofEvents.has(tick.row)) ofEvents.set(tick.row, { name: tick.row, marks: [], isTicks: true });
    ofEvents.get(tick.row).marks.push(tick);
  }
  return [...rows, ...ofEvents.values()];
})();
const bandNames = [...new Set(data.bands.map((band) => band.name))];
const shadows = new Map(); // of the chosen mark, on each plot
let chosen = null;
const HINT =
  "Point at a phase or an event to be told of it, or go through them with the arrow keys; a click or Enter zooms to a phase." +
  (data.bands_left_out ? ` ${data.bands_left_out} more phases found no room here: the table of phases has them.` : "");
const follower = document.createElement("div"); // where the pointer is on the plots

/** Borders of the outermost phases, to be drawn on the plots. */
function phaseBorders() {
  const outer = data.bands.filter((band) => !band.row && overlaps(band));
  const borders = [...new Set(outer.flatMap((band) => [band.from_s, band.to_s]))];
  return borders.length <= BORDERS_MOST ? borders : [];
}

function overlaps(mark) {
  return mark.to_s >= shown.from && mark.from_s <= shown.to;
}

/** Where a time is on what is shown, as a share of its width. */
function shareOf(seconds) {
  return (seconds - shown.from) / (shown.to - shown.from);
}

/** Choose a mark, or none: it is told in words, and its time is tinted on every plot. */
function choose(mark) {
  if (mark === chosen) return;
  chosen = mark;
  for (const chart of shadows.keys()) placeShadow(chart);
  for (const place of document.querySelectorAll(".lanes")) place.dispatchEvent(new Event("chosen"));
}

function addShadow(chart) {
  const shadow = document.createElement("div");
  shadow.className = "shadow";
  chart.over.append(shadow);
  shadows.set(chart, shadow);
}

function placeShadow(chart) {
  const { style } = shadows.get(chart);
  const [from, to] = chosen ? [shareOf(chosen.from_s), shareOf(chosen.to_s)] : [0, 0];
  style.display = chosen && to >= 0 && from <= 1 ? "block" : "none";
  style.left = `${100 * Math.max(from, 0)}%`;
  style.width = `${100 * (Math.min(to, 1) - Math.max(from, 0))}%`;
}

/** Show where on the lanes the pointer on the plots is, and in which phases. */
function follow(chart) {
  const { left } = chart.cursor;
  follower.style.display = left >= 0 ? "block" : "none";
  follower.style.left = `${AXIS_WIDTH + left}px`;
  if (chosen || !follower.isConnected) return;
  const at = chart.posToVal(left, "x");
  const inside = data.bands.filter((band) => band.from_s <= at && at < band.to_s);
  const names = inside.map((band) => band.name).join(" › ");
  follower.parentElement.nextElementSibling.textContent = left >= 0 ? `${clock(at)} ${names || "in no phase"}` : HINT;
}

/** The element of a mark: an option of the list that the keyboard goes through. */
function markElement(mark, row, trackWidth, id) {
  const made = document.createElement("div");
  const [from, to] = [Math.max(shareOf(mark.from_s), 0), Math.min(shareOf(mark.to_s), 1)];
  made.id = id;
  made.className = row.isTicks ? "tick" : "band";
  made.setAttribute("role", "option");
  made.setAttribute("aria-selected", "false");
  made.setAttribute("aria-label", mark.told);
  made.style.left = `${100 * from}%`;
  made.style.width = `${100 * (to - from)}%`;
  if (row.isTicks) return made;
  const stroke = colour(mark.is_failed ? "critical" : `line-${(bandNames.indexOf(mark.name) % 8) + 1}`);
  made.style.backgroundColor = `${stroke}38`;
  made.style.borderLeftColor = stroke;
  made.classList.toggle("open", Boolean(mark.is_open));
  made.classList.toggle("failed", Boolean(mark.is_failed));
  if ((to - from) * trackWidth >= NAMED_WIDTH) {
    made.classList.add("named");
    made.textContent = mark.is_failed ? `✗ ${mark.name}` : mark.name;
  }
  return made;
}

/** A row's line with its name, and the track in it. */
function lineOf(row) {
  const [line, name, track] = ["div", "span", "div"].map((kind) => document.createElement(kind));
  line.className = row.marks.length > TICKS_MOST ? "lane dense" : "lane";
  line.setAttribute("role", "group");
  line.setAttribute("aria-label", row.isTicks ? `events ${row.name}` : "phases");
  name.textContent = name.title = row.name;
  name.setAttribute("aria-hidden", "true");
  track.className = "track";
  track.setAttribute("role", "presentation");
  line.append(name, track);
  return [line, track];
}

/** Keep the lanes drawn, and let pointer and keyboard choose from them. */
function lanes(place) {
  const list = document.createElement("div");
  const told = document.createElement("p");
  list.className = "list";
  list.tabIndex = 0;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Phases and events: arrow keys go from one to the next, Enter zooms to it");
  told.className = "told";
  told.setAttribute("aria-hidden", "true"); // the chosen option says the same
  place.style.setProperty("--axis", `${AXIS_WIDTH}px`);
  place.style.setProperty("--right", `${RIGHT_WIDTH}px`);
  follower.className = "follower";
  place.append(list, told);
  const tracks = laneRows.map((row) => {
    const [line, track] = lineOf(row);
    listen(track, row);
    list.append(line);
    return track;
  });
  list.append(follower);
  let elements = new Map();

  function redraw() {
    elements = new Map();
    tracks.forEach((track, number) => {
      const row = laneRows[number];
      const made = row.marks.filter(overlaps).map((mark, index) => {
        elements.set(mark, markElement(mark, row, track.clientWidth, `mark-${number}-${index}`));
        return elements.get(mark);
      });
      track.replaceChildren(...made);
    });
    tell();
  }

  function tell() {
    list.querySelector(".chosen")?.classList.remove("chosen");
    list.querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
    list.removeAttribute("aria-activedescendant");
    told.textContent = chosen ? chosen.told : HINT;
    const made = elements.get(chosen);
    if (!made) return;
    made.classList.add("chosen");
    made.setAttribute("aria-selected", "true");
    list.setAttribute("aria-activedescendant", made.id);
  }

  function listen(track, row) {
    const at = (event) => markNear(row, event.clientX - track.getBoundingClientRect().left, track.clientWidth);
    track.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") choose(at(event)); });
    track.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") choose(null); });
    track.addEventListener("click", (event) => {
      const mark = at(event);
      const isAgain = mark !== null && mark === chosen; // a finger's first touch only asks what it is
      choose(mark);
      if (isAgain && !row.isTicks) zoomTo(mark);
    });
  }

  list.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && chosen) zoomTo(chosen);
    else if (event.key === "Escape") choose(null);
    else if (event.key in STEPS) choose(STEPS[event.key](...placeOf(chosen)) ?? chosen);
    else return;
    event.preventDefault();
  });
  list.addEventListener("focus", () => { if (!chosen && list.matches(":focus-visible")) choose(firstShown(laneRows)); });
  list.addEventListener("blur", () => choose(null));
  list.addEventListener("dblclick", () => zoom(0, runLength));
  place.addEventListener("chosen", tell);
  listeners.push(redraw);
  let width = place.clientWidth;
  new ResizeObserver(() => {
    if (place.clientWidth === width) return;
    width = place.clientWidth;
    redraw();
  }).observe(place);
  redraw();
}

/** The mark of a row at a place in pixels: the nearest, if it is within reach. */
function markNear(row, x, width) {
  let [nearest, least] = [null, REACH];
  for (const mark of row.marks) {
    const [from, to] = [shareOf(mark.from_s) * width, shareOf(mark.to_s) * width];
    const distance = Math.max(from - x, x - to, 0);
    if (distance < least || (distance === 0 && least === 0)) [nearest, least] = [mark, distance];
  }
  return nearest;
}

/** Show a mark's time with some around it; of an instant, a twentieth of what is shown. */
function zoomTo(mark) {
  const around = Math.max((mark.to_s - mark.from_s) / 20, (shown.to - shown.from) / 40);
  zoom(mark.from_s - around, mark.to_s + around);
}

/** A mark's row and place there; before any is chosen, ahead of the first. */
function placeOf(mark) {
  const row = laneRows.findIndex((one) => one.marks.includes(mark));
  return row < 0 ? [0, -1] : [row, laneRows[row].marks.indexOf(mark)];
}

function firstShown(rows) {
  return rows.flatMap((row) => row.marks).find(overlaps) ?? null;
}

/** The mark of another row that begins nearest to this one. */
function across(row, index, step) {
  const marks = laneRows[row + step]?.marks.filter(overlaps) ?? [];
  const from = laneRows[row].marks[Math.max(index, 0)].from_s;
  const nearer = (one, other) => (Math.abs(other.from_s - from) < Math.abs(one.from_s - from) ? other : one);
  return marks.length ? marks.reduce(nearer) : null;
}

const STEPS = {
  ArrowRight: (row, index) => laneRows[row].marks.slice(index + 1).find(overlaps),
  ArrowLeft: (row, index) => laneRows[row].marks.slice(0, Math.max(index, 0)).findLast(overlaps),
  ArrowDown: (row, index) => across(row, index, 1),
  ArrowUp: (row, index) => across(row, index, -1),
  Home: (row) => laneRows[row].marks.find(overlaps),
  End: (row) => laneRows[row].marks.findLast(overlaps),
};

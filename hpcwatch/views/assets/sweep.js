"use strict";
// Picks one task in the picture and the table, and sorts the table. Texts are only ever set as text.

const picture = document.getElementById("parallel");
const told = document.getElementById("picked");
const body = document.querySelector("#tasks tbody");
const rowOf = new Map([...(body?.rows ?? [])].map((row) => [row.dataset.task, row]));

/** Lines as drawn: the failed first, then from the worst to the best. */
const lines = [...(picture?.querySelectorAll("polyline") ?? [])].map((element) => ({
  element,
  points: element.getAttribute("points").split(" ").map((pair) => pair.split(",").map(Number)),
}));
let picked = -1;
let isHeld = false;

function pick(number) {
  if (number === picked) return;
  const before = lines[picked];
  if (before) {
    before.element.classList.remove("picked");
    rowOf.get(before.element.dataset.task)?.classList.remove("picked");
    // Back to its place among the others: a use of their order is to show the best above.
    before.element.parentNode.insertBefore(before.element, lines[picked + 1]?.element ?? null);
  }
  picked = number;
  const line = lines[picked];
  told.textContent = line ? line.element.dataset.told : "";
  if (!line) return;
  line.element.classList.add("picked");
  line.element.parentNode.append(line.element);
  rowOf.get(line.element.dataset.task)?.classList.add("picked");
}

/** The line that is nearest to a point above or below it, within some distance; -1 for none. */
function nearest(x, y) {
  let found = -1;
  let least = 14;
  lines.forEach(({ points }, number) => {
    for (let at = 1; at < points.length; at += 1) {
      const [x1, y1] = points[at - 1];
      const [x2, y2] = points[at];
      if (x < x1 - 6 || x > x2 + 6) continue;
      const share = Math.min(Math.max((x - x1) / (x2 - x1), 0), 1);
      const slope = (y2 - y1) / (x2 - x1);
      const distance = Math.abs(y - y1 - share * (y2 - y1)) / Math.hypot(1, slope);
      if (distance <= least) {
        least = distance;
        found = number;
      }
    }
  });
  return found;
}

function under(event) {
  const svg = picture.querySelector("svg");
  const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  return nearest(place.x, place.y);
}

const MOVES = {
  ArrowUp: () => picked + 1, ArrowRight: () => picked + 1,
  ArrowDown: () => picked - 1, ArrowLeft: () => picked - 1,
  Home: () => 0, End: () => lines.length - 1, Escape: () => -1,
};

if (lines.length) {
  const help = "Arrow keys move from a task to the next better or worse one, Home and End to the ends.";
  picture.tabIndex = 0;
  picture.setAttribute("role", "group");
  picture.setAttribute("aria-label", help);
  picture.addEventListener("mousemove", (event) => { if (!isHeld) pick(under(event)); });
  picture.addEventListener("mouseleave", () => { if (!isHeld) pick(-1); });
  picture.addEventListener("click", (event) => {
    const number = under(event);
    isHeld = number >= 0;
    pick(number);
  });
  picture.addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    if (!move || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const isFirst = picked < 0 && event.key.startsWith("Arrow");
    const number = isFirst ? lines.length - 1 : move();
    isHeld = event.key !== "Escape";
    pick(event.key === "Escape" ? -1 : Math.min(Math.max(number, 0), lines.length - 1));
  });
}

/** What to sort a cell by: its number where it has one, else its words; nothing where unknown. */
function keyOf(row, column) {
  const cell = row.cells[column];
  if ("unknown" in cell.dataset) return null;
  return "number" in cell.dataset ? Number(cell.dataset.number) : cell.textContent;
}

function compare(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1;
  return one < other ? -1 : Number(one > other);
}

function sort(heading, column) {
  const isUp = heading.getAttribute("aria-sort") !== "ascending";
  const keyed = [...body.rows].map((row) => [keyOf(row, column), row]);
  const known = keyed.filter(([key]) => key !== null);
  known.sort(([one], [other]) => (isUp ? compare(one, other) : compare(other, one)));
  const unknown = keyed.filter(([key]) => key === null);
  body.append(...[...known, ...unknown].map(([, row]) => row));
  document.querySelectorAll("#tasks th[aria-sort]").forEach((one) => one.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", isUp ? "ascending" : "descending");
}

document.querySelectorAll("#tasks thead th").forEach((heading, column) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = heading.textContent;
  button.title = "Sort";
  heading.replaceChildren(button);
  button.addEventListener("click", () => sort(heading, column));
});

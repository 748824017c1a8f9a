"use strict";
// The controls: theme, nodes, zoom, download, print. They are hidden where no script runs.

const root = document.documentElement;
const themeButton = document.getElementById("theme");
const nodeChoice = document.getElementById("node");
const range = document.getElementById("shown");

function setTheme(theme) {
  root.dataset.theme = theme;
  themeButton.textContent = theme === "dark" ? "Light" : "Dark";
}

/** Zoom about the middle, or move by a quarter of what is shown. */
const MOVES = {
  earlier: (from, to, length) => [from - length / 4, to - length / 4],
  later: (from, to, length) => [from + length / 4, to + length / 4],
  in: (from, to, length) => [from + length / 4, to - length / 4],
  out: (from, to, length) => [from - length / 2, to + length / 2],
  whole: () => [0, runLength],
};

function download() {
  const blob = new Blob([document.getElementById("data").textContent], { type: "application/json" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = "hpcwatch-report.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 0);
}

/** Zoom to a finding's span with some time around it, on one of its nodes. */
function showFinding(number) {
  const finding = data.findings.find((one) => one.number === number);
  const around = Math.max((finding.to_s - finding.from_s) / 10, data.grid.step_s);
  if (!concerns(finding.hosts)) show({ host: null });
  zoom(finding.from_s - around, finding.to_s + around);
  const place = document.querySelector(finding.plots.map((name) => `.plot[data-plot="${name}"]`).join());
  (place ?? document.getElementById("timelines")).parentElement.scrollIntoView({ block: "center" });
}

function tellRange() {
  range.textContent = `${clock(shown.from)} to ${clock(shown.to)}`;
  if (nodeChoice) nodeChoice.value = shown.host === null ? "" : String(shown.host);
}

setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
document.querySelectorAll("[hidden]").forEach((control) => { control.hidden = false; });
document.querySelectorAll(".lanes").forEach(lanes);
document.querySelectorAll(".plot").forEach(timeline);
document.querySelectorAll(".heatmap").forEach(heatmap);
if (range) {
  listeners.push(tellRange);
  tellRange();
}

themeButton.addEventListener("click", () => {
  setTheme(root.dataset.theme === "dark" ? "light" : "dark");
  show({ host: shown.host });
});
nodeChoice?.addEventListener("change", () => {
  show({ host: nodeChoice.value === "" ? null : Number(nodeChoice.value) });
});
document.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => {
  zoom(...MOVES[button.dataset.zoom](shown.from, shown.to, shown.to - shown.from));
}));
document.querySelectorAll("[data-finding]").forEach((button) => button.addEventListener("click", () => {
  showFinding(Number(button.dataset.finding));
}));
document.getElementById("download").addEventListener("click", download);

// Paper is white and of its own width, and unfolds nothing: draw for it, then again for the screen.
let themeOnScreen;
let folded = [];
addEventListener("beforeprint", () => {
  themeOnScreen = root.dataset.theme;
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((one) => { one.open = true; });
  setTheme("light");
  root.classList.add("printed");
  show({ isPrinted: true });
});
addEventListener("afterprint", () => {
  root.classList.remove("printed");
  folded.forEach((one) => { one.open = false; });
  setTheme(themeOnScreen);
  show({ isPrinted: false });
});

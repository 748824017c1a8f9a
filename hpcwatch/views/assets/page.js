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

/** Copy the job script; where the browser allows no clipboard, select it for the reader's own copy. */
async function copyScript() {
  const script = document.getElementById("script");
  const lines = [...script.children].map((line) => line.textContent);
  const told = document.getElementById("copied");
  try {
    await navigator.clipboard.writeText(`${lines.join("\n")}\n`);
    told.textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(script);
    told.textContent = document.execCommand("copy") ? "Copied." : "Selected: copy it with your browser.";
  }
}

/** Put what is shown into the page's address: seconds since the start, and the node. */
function keepInAddress() {
  if (shown.isPrinted) return;
  const isWhole = shown.from <= 0 && shown.to >= runLength;
  const parts = [];
  if (!isWhole) parts.push(`from=${Number(shown.from.toFixed(2))}`, `to=${Number(shown.to.toFixed(2))}`);
  if (shown.host !== null) parts.push(`node=${encodeURIComponent(data.hosts[shown.host])}`);
  const hash = parts.length ? `#${parts.join("&")}` : "";
  if (hash === location.hash || (!hash && !location.hash.includes("="))) return;
  try {
    history.replaceState(null, "", hash || location.pathname + location.search);
  } catch { /* some viewers allow no change of the address */ }
}

/** Show what the address says; what it does not say, or says wrongly, stays. */
function showAddress() {
  const said = new URLSearchParams(location.hash.slice(1));
  const host = data.hosts.indexOf(said.get("node"));
  if (host >= 0) show({ host });
  const [from, to] = [said.get("from"), said.get("to")].map((text) => Number(text ?? NaN));
  if (from < to) zoom(from, to);
}

function tellRange() {
  document.getElementById("clocks").textContent = `${timeOfDay(shown.from)} to ${timeOfDay(shown.to)}, UTC${data.zone.name}`;
  range.textContent = `${clock(shown.from)} to ${clock(shown.to)}`;
  if (nodeChoice) nodeChoice.value = shown.host === null ? "" : String(shown.host);
}

setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
document.querySelectorAll("[hidden]").forEach((control) => { control.hidden = false; });
document.querySelectorAll(".lanes").forEach(lanes);
document.querySelectorAll(".plot").forEach(timeline);
document.querySelectorAll(".heatmap").forEach(heatmap);
if (range) {
  listeners.push(tellRange, keepInAddress);
  tellRange();
  showAddress();
  addEventListener("hashchange", showAddress);
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
document.getElementById("copy")?.addEventListener("click", copyScript);
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

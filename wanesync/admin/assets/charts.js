// The charts of the overview: drawn by uPlot from the JSON of the page, and again whenever new values arrive.
import { isPaused } from "./live.js";

const PERCENT = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const CLOCK = uPlot.fmtDate("{HH}:{mm}");
const DAY = uPlot.fmtDate("{D} {MMM}");
const SYNC = uPlot.sync("overview");
const HEIGHT = 170;
const GAP_PX = 64;
const AXIS_PX = 44;
const DASHES = { bound: [6, 4], p95: [5, 3], p99: [2, 3], refused: [3, 2], failed: [3, 2], dead: [3, 2] };
const DAY_S = 86_400;

const holder = document.getElementById("chart-data");
const drawn = new Map();

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--chart-${name}`).trim();
}

function colourOf(line) {
  return colour(line.name.replace("_limit", "")) || colour("other");
}

function format(chart, value) {
  if (value === null || value === undefined) return "–";
  if (chart.share) return PERCENT.format(value);
  return COMPACT.format(value) + (chart.unit === "seconds" ? " s" : "");
}

function inUtc(at) {
  return uPlot.tzDate(new Date(at * 1000), "Etc/UTC");
}

function formatTime(at, step) {
  const time = inUtc(at);
  return step >= 3600 ? `${DAY(time)} ${CLOCK(time)}` : CLOCK(time);
}

function findRange(chart, low, high) {
  if (chart.share) return [Math.max(0, Math.floor((low ?? 0) * 20 - 0.5) / 20), 1];
  return [0, Math.max(high ?? 0, 1) * 1.05];
}

function makeOptions(data, chart, place) {
  const grid = { stroke: colour("grid"), width: 1 };
  const axis = { stroke: colour("text"), grid, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  const long = data.x.at(-1) - data.x[0] > DAY_S;
  return {
    width: place.clientWidth,
    height: HEIGHT,
    tzDate: inUtc,
    cursor: { sync: { key: SYNC.key }, drag: { x: false, y: false }, points: { size: 6 } },
    legend: { show: false },
    scales: { x: { time: true }, y: { range: (_plot, low, high) => findRange(chart, low, high) } },
    axes: [
      { ...axis, space: GAP_PX, size: 26, values: (_plot, ticks) => ticks.map((at) => (long ? DAY : CLOCK)(inUtc(at))),
        ...(long && { incrs: [DAY_S, 2 * DAY_S] }) },
      { ...axis, size: AXIS_PX, space: 34, values: (_plot, ticks) => ticks.map((value) => format(chart, value)) },
    ],
    series: [
      {},
      ...chart.lines.map((line) => ({
        label: line.label,
        stroke: colourOf(line),
        width: line.bound ? 1.25 : 1.75,
        dash: line.bound ? DASHES.bound : DASHES[line.name],
        points: { show: false },
        spanGaps: false,
      })),
    ],
    hooks: { setCursor: [(plot) => showValues(data, chart, place, plot.cursor.idx)] },
  };
}

function showValues(data, chart, place, index) {
  const legend = place.parentElement.querySelector(".legend");
  const at = index ?? data.x.length - 1;
  place.parentElement.querySelector("time").textContent = data.x.length ? formatTime(data.x[at], data.step) : "";
  chart.lines.forEach((line, number) => {
    const value = legend.querySelectorAll("b")[number];
    if (value) value.textContent = format(chart, line.values[at]);
  });
}

function makeLegend(chart, place) {
  const legend = place.parentElement.querySelector(".legend");
  const items = chart.lines.map((line) => {
    const item = document.createElement("span");
    const mark = document.createElement("i");
    mark.style.borderTopColor = colourOf(line);
    mark.style.borderTopStyle = line.bound || DASHES[line.name] ? "dashed" : "solid";
    item.append(mark, `${line.label} `, document.createElement("b"));
    return item;
  });
  legend.replaceChildren(...items);
}

function draw(data) {
  for (const chart of data.charts) {
    const place = document.querySelector(`[data-chart="${chart.name}"] .plot`);
    if (!place) continue;
    const values = [data.x, ...chart.lines.map((line) => line.values)];
    const shape = chart.lines.map((line) => line.name).join();
    const known = drawn.get(chart.name);
    place.setAttribute("aria-label", `Line chart: ${chart.title}, ${chart.unit}. ${chart.summary}.`);
    place.parentElement.querySelector(".summary").textContent = chart.summary;
    if (known?.shape === shape) {
      Object.assign(known.holder, { x: data.x, step: data.step });
      known.chart.lines = chart.lines;
      known.plot.setData(values);
    } else {
      known?.plot.destroy();
      const own = { x: data.x, step: data.step };
      const kept = { ...chart };
      makeLegend(kept, place);
      const plot = new uPlot(makeOptions(own, kept, place), values, place);
      drawn.set(chart.name, { plot, shape, holder: own, chart: kept, place });
    }
    const now = drawn.get(chart.name);
    showValues(now.holder, now.chart, place, now.plot.cursor.idx);
    showTable(chart, data);
  }
}

/** Fills the table of a chart, where it is shown. */
function showTable(chart, data) {
  const table = document.getElementById(`table-${chart.name}`);
  if (!table || table.hidden) return;
  const head = ["Time (UTC)", ...chart.lines.map((line) => line.label)];
  const made = document.createElement("table");
  made.createCaption().textContent = `${chart.title}, ${chart.unit}`;
  const top = made.createTHead().insertRow();
  for (const text of head) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = text;
    if (top.cells.length) cell.className = "number";
    top.append(cell);
  }
  const body = made.createTBody();
  for (let at = data.x.length - 1; at >= 0; at -= 1) {
    const row = body.insertRow();
    const first = document.createElement("th");
    first.scope = "row";
    first.textContent = formatTime(data.x[at], data.step);
    row.append(first);
    for (const line of chart.lines) {
      const cell = row.insertCell();
      cell.className = "number";
      cell.textContent = format(chart, line.values[at]);
    }
  }
  table.replaceChildren(made);
}

function redrawAll() {
  for (const [name, { plot }] of drawn) {
    plot.destroy();
    drawn.delete(name);
  }
  draw(newest);
}

let newest = JSON.parse(holder.textContent);
draw(newest);

document.querySelector("[data-live]")?.addEventListener("live:charts", (event) => {
  if (isPaused()) return;
  newest = event.detail;
  draw(newest);
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-table]");
  if (!link) return;
  event.preventDefault();
  const table = document.getElementById(`table-${link.dataset.table}`);
  table.hidden = !table.hidden;
  link.setAttribute("aria-expanded", String(!table.hidden));
  link.firstChild.nodeValue = table.hidden ? "Show as table" : "Hide the table";
  draw(newest);
});

for (const link of document.querySelectorAll("[data-table]")) {
  link.setAttribute("role", "button");
  link.setAttribute("aria-expanded", "false");
  link.addEventListener("keydown", (event) => {
    if (event.key === " ") {
      event.preventDefault();
      link.click();
    }
  });
}

new ResizeObserver(() => {
  for (const { plot, place } of drawn.values()) {
    if (place.clientWidth && place.clientWidth !== plot.width) plot.setSize({ width: place.clientWidth, height: HEIGHT });
  }
}).observe(document.querySelector(".charts"));
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);

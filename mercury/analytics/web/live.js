// The live page: one event stream, tiles that show its newest answers. Values reach the page as text only.

const POINTS = 48;
const GROUPS = 8;
const SVG = "http://www.w3.org/2000/svg";

const wanted = new URLSearchParams(location.search);
const element = (id) => document.getElementById(id);
const tiles = new Map();

start().catch((error) => say("lost", String(error.message || error)));

async function start() {
  const { models } = await (await fetch("v1/models")).json();
  const open = models.filter((model) => !model.private);
  const model = wanted.has("model") ? models.find((one) => one.name === wanted.get("model")) : open[0];
  if (!model) throw new Error("no such model, or none that can be live");
  const metrics = model.metrics.filter((metric) => metric.number).map((metric) => metric.name).slice(0, 12);
  const grain = model.grains.includes(wanted.get("by")) ? wanted.get("by") : "hour";
  const dimension = model.dimensions.find((one) => one.name === wanted.get("group")) || model.dimensions[0];
  element("title").textContent = model.name;
  document.title = `${model.name}, live`;
  metrics.forEach((name, place) => tiles.set(name, makeTile(name, place)));

  const named = metrics.join(", ");
  const queries = [named, `${named} by ${grain} order by ${grain} desc limit ${POINTS}`];
  if (dimension) {
    queries.push(`${named} by ${dimension.name} order by ${metrics[0]} desc limit ${GROUPS}`);
    element("groups-title").textContent = `By ${dimension.name}`;
  }
  const address = new URLSearchParams([["model", model.name], ...queries.map((text) => ["q", text])]);
  listen(`v1/live?${address}`, metrics, grain, dimension);
}

function listen(address, metrics, grain, dimension) {
  const source = new EventSource(address);
  source.addEventListener("error", () => say("lost", "the connection is lost; trying again"));
  source.addEventListener("answers", (event) => {
    const data = JSON.parse(event.data);
    if (!data.answers) {
      say("", data.waiting || data.failed || "waiting");
      return;
    }
    const [totals, series, groups] = data.answers;
    for (const name of metrics) {
      show(tiles.get(name), totals.data[name][0], [...series.data[name]].reverse(), grain);
    }
    if (dimension) showGroups(groups, dimension.name, metrics);
    const epoch = data.epoch === null ? "" : `epoch ${data.epoch}, `;
    say("live", `${epoch}version ${data.version}`);
    element("route").textContent = `Totals by ${totals.source.route}; by ${grain} by ${series.source.route}.`;
  });
}

function makeTile(name, place) {
  const tile = document.createElement("div");
  tile.className = "tile";
  tile.id = `tile-${name}`;
  const title = document.createElement("h2");
  title.textContent = name.replaceAll("_", " ");
  const value = document.createElement("output");
  value.textContent = "–";
  const chart = document.createElementNS(SVG, "svg");
  chart.setAttribute("viewBox", "0 0 200 40");
  chart.setAttribute("preserveAspectRatio", "none");
  chart.setAttribute("role", "img");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("class", `line s${place % 6}`);
  chart.append(line);
  tile.append(title, value, chart);
  element("tiles").append(tile);
  return { tile, value, chart, line };
}

function show(part, value, points, grain) {
  const text = shown(value);
  part.tile.classList.toggle("moved", part.value.textContent !== text && part.value.textContent !== "–");
  part.value.textContent = text;
  part.line.setAttribute("d", path(points));
  part.chart.setAttribute("aria-label", `the last ${points.length} values by ${grain}`);
}

function path(points) {
  const numbers = points.map((value) => (typeof value === "number" ? value : null));
  const known = numbers.filter((value) => value !== null);
  if (!known.length) return "";
  const low = Math.min(...known);
  const span = Math.max(...known) - low || 1;
  let begun = false;
  return numbers
    .map((value, place) => {
      if (value === null) {
        begun = false;
        return "";
      }
      const x = numbers.length > 1 ? (place * 200) / (numbers.length - 1) : 100;
      const step = `${begun ? "L" : "M"}${x.toFixed(1)} ${(38 - (36 * (value - low)) / span).toFixed(1)}`;
      begun = true;
      return step;
    })
    .join("");
}

function showGroups(answer, dimension, metrics) {
  const names = [dimension, ...metrics];
  element("groups-head").replaceChildren(row(names, "th"));
  const rows = answer.data[dimension].map((_, place) => row(names.map((name) => answer.data[name][place]), "td"));
  element("groups").replaceChildren(...rows);
}

function row(values, tag) {
  const line = document.createElement("tr");
  values.forEach((value, place) => {
    const cell = document.createElement(tag);
    cell.textContent = tag === "th" || place === 0 ? String(value ?? "–").replaceAll("_", " ") : shown(value);
    if (place > 0) cell.className = "n";
    line.append(cell);
  });
  return line;
}

function shown(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  return new Intl.NumberFormat("en", { maximumSignificantDigits: Number.isInteger(value) ? 21 : 5 }).format(value);
}

function say(kind, text) {
  const state = element("state");
  state.className = `state ${kind}`;
  state.textContent = kind || "waiting";
  element("origin").textContent = text;
}

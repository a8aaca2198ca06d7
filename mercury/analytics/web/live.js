// The live page: one event stream, tiles that show its newest answers. Values reach the page as text only.

const POINTS = 48;
const GROUPS = 8;
const WATCH_MS = 5000;
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
  watch(model.name);

  const named = metrics.join(", ");
  const queries = [named, `${named} by ${grain} order by ${grain} desc limit ${POINTS}`];
  if (dimension) {
    queries.push(`${named} by ${dimension.name} order by ${metrics[0]} desc limit ${GROUPS}`);
    element("groups-title").textContent = `By ${dimension.name}`;
  }
  const address = new URLSearchParams([["model", model.name], ...queries.map((text) => ["q", text])]);
  listen(`v1/live?${address}`, metrics, grain, dimension, model);
}

function listen(address, metrics, grain, dimension, model) {
  let newest = null;
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
    // Once for each bucket that has closed.
    if (series.data[grain][0] !== newest) {
      newest = series.data[grain][0];
      lookAhead(model.name, metrics, grain);
    }
    const epoch = data.epoch === null ? "" : `epoch ${data.epoch}, `;
    say("live", `${epoch}version ${data.version}`);
    element("route").textContent = `Totals by ${totals.source.route}; by ${grain} by ${series.source.route}.`;
  });
}

async function lookAhead(model, metrics, grain) {
  const asked = new URLSearchParams([["model", model], ["by", grain], ...metrics.map((name) => ["metric", name])]);
  const answer = await fetch(`v1/outlook?${asked}`);
  if (!answer.ok) return;
  const { outlooks } = await answer.json();
  for (const name of metrics) {
    const part = tiles.get(name);
    part.ahead = outlooks[name];
    const [value, low, high] = ["forecast", "lo-80", "hi-80"].map((key) => part.ahead[key][0]);
    const range = low === null || low === undefined ? "" : ` (${brief(low)} to ${brief(high)})`;
    part.outlook.textContent = value === undefined ? "" : `this ${grain} ${brief(value)}${range}`;
    part.outlook.title = part.ahead.note || "as forecast from those before, with its 80 % interval";
    draw(part);
  }
}

async function watch(model) {
  try {
    const answer = await fetch(`v1/badges?${new URLSearchParams([["model", model]])}`);
    if (!answer.ok) return;
    const { badges } = await answer.json();
    for (const [name, part] of tiles) {
      const found = badges[name] || [];
      part.badge.textContent = found.map((one) => `drift: ${one.value} since ${one.since.slice(0, 10)}`).join(", ");
      part.badge.title = found.map((one) => `${one.value}: ${one.detail} (${one.monitor})`).join("\n");
      part.badge.hidden = !found.length;
    }
  } finally {
    setTimeout(watch, WATCH_MS, model);
  }
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
  const ahead = document.createElementNS(SVG, "path");
  ahead.setAttribute("class", `line ahead s${place % 6}`);
  chart.append(line, ahead);
  const outlook = document.createElement("p");
  outlook.className = "outlook";
  const badge = document.createElement("p");
  badge.className = "badge";
  badge.hidden = true;
  tile.append(title, value, chart, outlook, badge);
  element("tiles").append(tile);
  return { tile, value, chart, line, dashed: ahead, outlook, badge, points: [], ahead: null };
}

function show(part, value, points, grain) {
  const text = shown(value);
  part.tile.classList.toggle("moved", part.value.textContent !== text && part.value.textContent !== "–");
  part.value.textContent = text;
  part.points = points;
  draw(part);
  part.chart.setAttribute("aria-label", `the last ${points.length} values by ${grain}`);
}

function draw(part) {
  const past = part.points.map((value) => (typeof value === "number" ? value : null));
  // The first forecast is of the last bucket, which is open.
  const ahead = part.ahead ? part.ahead.forecast : [];
  const later = [...past.slice(0, -1).map(() => null), ...ahead];
  const width = Math.max(past.length, later.length);
  const known = [...past, ...later].filter((value) => value !== null);
  if (!known.length) return;
  const low = Math.min(...known);
  const span = Math.max(...known) - low || 1;
  part.line.setAttribute("d", path(past, width, low, span));
  part.dashed.setAttribute("d", path(later, width, low, span));
}

function path(numbers, width, low, span) {
  let begun = false;
  return numbers
    .map((value, place) => {
      if (value === null) {
        begun = false;
        return "";
      }
      const x = width > 1 ? (place * 200) / (width - 1) : 100;
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
    cell.textContent = tag === "th" ? value.replaceAll("_", " ") : place === 0 ? named(value) : shown(value);
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

// A group's own name; null and a text without a character are two groups.
function named(value) {
  return value === "" ? "(empty)" : String(value ?? "–");
}

function brief(value) {
  return new Intl.NumberFormat("en", { maximumSignificantDigits: 3 }).format(value);
}

function say(kind, text) {
  const state = element("state");
  state.className = `state ${kind}`;
  state.textContent = kind || "waiting";
  element("origin").textContent = text;
}

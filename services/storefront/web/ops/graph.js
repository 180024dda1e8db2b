// The mesh as a drawing: the edge, the services that call others, and those that do not.
import {html, svg} from "../ui.js";
import {duration, perSecond} from "./parts.js";

const [WIDTH, BOX, HEIGHT, GAP] = [940, 190, 58, 22];
const COLUMNS = [0, (WIDTH - BOX) / 2, WIDTH - BOX];
const EDGE = "envoy";

/** Whether a service has only fetched the public keys, as all do at their start. */
const forKeys = ({upstream, rate}) => upstream === "users" && rate < 0.005;

/** Place each service: {name: {x, y, column}}. */
function place({services, calls}) {
  const callers = new Set(calls.filter((each) => each.caller !== EDGE && !forKeys(each)).map((each) => each.caller));
  const columns = [[EDGE], [], []];
  for (const {name} of services) columns[callers.has(name) ? 1 : 2].push(name);
  const most = Math.max(...columns.map((each) => each.length));
  const height = most * (HEIGHT + GAP) - GAP;
  const places = {};
  columns.forEach((names, column) => names.forEach((name, index) => {
    const space = height / names.length;
    places[name] = {x: COLUMNS[column], y: space * (index + 0.5) - HEIGHT / 2, column};
  }));
  return {places, height};
}

/** The path of a call between two places. */
function route(from, to) {
  const y1 = from.y + HEIGHT / 2;
  const y2 = to.y + HEIGHT / 2;
  if (from.column === to.column) {
    // Calls up and calls down have their own sides.
    const side = y2 > y1 ? from.x + BOX : from.x;
    const bend = y2 > y1 ? 42 : -42;
    return `M${side} ${y1 + 8}C${side + bend} ${y1 + 8} ${side + bend} ${y2 - 8} ${side} ${y2 - 8}`;
  }
  const [x1, x2] = from.x < to.x ? [from.x + BOX, to.x] : [from.x, to.x + BOX];
  const half = (x1 + x2) / 2;
  return `M${x1} ${y1}C${half} ${y1} ${half} ${y2} ${x2} ${y2}`;
}

const failing = ({rate, errorRate}) => errorRate > 0 && errorRate > rate * 0.01;

/** What a call is, in words: for the pointer that rests on it. */
export const described = (call) =>
  `${call.caller} calls ${call.upstream}: ${perSecond(call.rate)}, errors ${perSecond(call.errorRate)}, p95 ${duration(call.p95Seconds)}${call.isCircuitOpen ? ", circuit open" : ""}`;

/** Draw it; `choose` is called with the service that the person clicks on. */
export function graph(mesh, chosen, choose) {
  const {places, height} = place(mesh);
  const calls = mesh.calls.filter((each) => places[each.caller] && places[each.upstream] && !forKeys(each));
  const kind = (call) => [
    "call", call.isCircuitOpen || failing(call) ? "bad" : call.rate > 0.005 ? "busy" : "idle",
    chosen && (call.caller === chosen || call.upstream === chosen) ? "near" : "",
  ].join(" ");
  return html`<div class="table" tabindex="0" role="region" aria-label="The mesh, drawn"><svg class="mesh" viewBox="-4 -4 ${WIDTH + 8} ${height + 8}">
    <defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerUnits="userSpaceOnUse" markerWidth="11" markerHeight="11" orient="auto-start-reverse"><path d="M0 1l9 4-9 4z"/></marker></defs>
    ${calls.map((call) => svg`<path class=${kind(call)} d=${route(places[call.caller], places[call.upstream])}
      marker-end="url(#tip)"><title>${described(call)}</title></path>`)}
    ${box({name: EDGE, ...atEdge(mesh)}, places[EDGE])}
    ${mesh.services.map((each) => box(each, places[each.name], chosen, choose))}</svg></div>`;
}

/** What the edge does: all that it passes on. */
function atEdge({calls}) {
  const passed = calls.filter((each) => each.caller === EDGE);
  const sum = (name) => passed.reduce((total, each) => total + each[name], 0);
  return {rate: sum("rate"), errorRate: sum("errorRate")};
}

function box(service, {x, y}, chosen, choose) {
  const {name, healthyCount, processCount} = service;
  const isEdge = name === EDGE;
  const isBad = (!isEdge && healthyCount < Math.max(1, processCount)) || failing(service);
  const health = isEdge ? "the edge" : `${healthyCount}/${processCount}`;
  const open = (event) => {
    event.preventDefault();
    event.stopPropagation();
    choose(name);
  };
  const inside = svg`<rect class="box ${isBad ? "bad" : ""} ${name === chosen ? "chosen" : ""}" x=${x} y=${y} width=${BOX} height=${HEIGHT} rx="12"/>
    <circle class="light ${isBad ? "bad" : ""}" cx=${x + 16} cy=${y + 19} r="5"/>
    <text class="name" x=${x + 29} y=${y + 24}>${name}</text>
    <text class="facts" x=${x + 14} y=${y + 45}>${health} ${service.errorRate > 0.005 ? `· ${perSecond(service.rate)} · ${perSecond(service.errorRate)} fail` : `${isEdge ? "" : "healthy "}· ${perSecond(service.rate)}`}</text>`;
  return isEdge ? svg`<g>${inside}</g>` : svg`<a href="/ops?service=${name}" @click=${open}>${inside}</a>`;
}

// The mesh now: alerts, services, who calls whom, bus, stores; and the charts of one service.
import {api, replaceQuery} from "../core.js";
import {html, icon, nothing, problem, skeletons} from "../ui.js";
import {graph} from "./graph.js";
import {OpsPart, addStyle, duration, moment, perSecond} from "./parts.js";

const LIVE_MS = 5000;
const CHARTS = [
  ["rate", "Calls a second", "good", perSecond],
  ["errorRate", "Calls that failed, a second", "bad", perSecond],
  ["p95Seconds", "Duration of a call, 95th percentile", "rosa", duration],
];

class OpsMesh extends OpsPart {
  static properties = {mesh: {state: true}, history: {state: true}, hasCharts: {state: true}};
  every = LIVE_MS;

  async fetch() {
    const get = (path) => api("GET", `/api/ops/${path}`, {signal: this.leaving});
    const [mesh, history] = await Promise.all([get("mesh"), get(`services/${encodeURIComponent(this.service)}/history?minutes=60`)]);
    [this.mesh, this.history] = [mesh, history];
    if (mesh.isMonitored && !this.hasCharts) {
      await Promise.all([import("./chart.js"), addStyle("../vendor/uplot.css")]);
      this.hasCharts = true;
    }
  }

  /** The service whose charts are shown: the one in the address. */
  get service() {
    return /^[a-z][a-z0-9_-]*$/.test(this.query.service ?? "") ? this.query.service : "orders";
  }

  async choose(service) {
    replaceQuery({service});
    this.requestUpdate();
    await this._loading; // it may have asked for the one before
    await this.load();
  }

  render() {
    const {mesh} = this;
    return html`<div class="stack"><h1>Mesh</h1>
      ${this.error ? problem(this.error, () => this.load()) : nothing}
      ${!mesh ? (this.error ? nothing : skeletons(1)) : mesh.isMonitored ? this.all(mesh) : html`<div class="message" role="status">${icon("info")}<div>
        <p>Not monitored: there is no Prometheus to ask (<code>MAMIE_PROMETHEUS_URL</code>). <code>scripts/status --watch</code>
          shows figures of every instance without it.</p></div></div>`}</div>`;
  }

  all(mesh) {
    return html`${alerts(mesh.alerts)}
      <section class="stack"><h2>Services</h2>${graph(mesh, this.service, (name) => this.choose(name))}</section>
      ${this.charts()}
      <div class="split even"><section class="stack"><h2>Who calls whom</h2>${calls(mesh.calls)}</section>
        <div class="stack"><section class="stack"><h2>Bus</h2>${bus(mesh)}</section>
          <section class="stack"><h2>Stores</h2>${stores(mesh.stores)}</section></div></div>`;
  }

  charts() {
    const points = this.history?.points ?? [];
    const times = points.map((each) => Date.parse(each.time) / 1000);
    return html`<section class="stack"><div class="row between"><h2>Calls of <select aria-label="Service" @change=${(event) => this.choose(event.target.value)}>
        ${this.mesh.services.map(({name}) => html`<option value=${name} ?selected=${name === this.service}>${name}</option>`)}</select></h2>
        <span class="faint">the last hour, UTC</span></div>
      ${points.length && this.hasCharts ? html`<div class="charts">${CHARTS.map(([name, title, color, format]) => {
        const values = points.map((each) => each[name] ?? null);
        const now = values.at(-1);
        return html`<figure class="panel"><figcaption>${title} <strong>${now === null ? "–" : format(now)}</strong></figcaption>
          <ops-chart .shown=${{times, values, format, color}}></ops-chart></figure>`;
      })}</div>` : html`<p class="faint">No calls were measured.</p>`}</section>`;
  }
}

function alerts(found) {
  if (!found.length) return html`<div class="message success" role="status">${icon("circle-check")}<div><p>No alert.</p></div></div>`;
  return html`<section class="stack" aria-label="Alerts">${found.map((each) => html`<div class="message ${each.isFiring && each.severity === "page" ? "error" : "warning"}" role="status">
    ${icon("circle-alert")}<div><p><strong>${each.name}</strong>${each.isFiring ? "" : " (not yet firing)"}: ${each.summary}</p>
      <p class="faint">${each.severity} · since ${moment(each.since).slice(0, 19)} UTC · what to do: <code>${each.runbook}</code></p></div></div>`)}</section>`;
}

const table = (label, heads, rows) => html`<div class="table" tabindex="0" role="region" aria-label=${label}><table>
  <thead><tr>${heads.map((head, index) => html`<th scope="col" class=${index > 1 || heads.length === 2 && index ? "number" : ""}>${head}</th>`)}</tr></thead>
  <tbody>${rows}</tbody></table></div>`;

const calls = (found) => table("Who calls whom", ["Caller", "Upstream", "Rate", "Errors", "p95"], found.map((each) => html`<tr class=${each.isCircuitOpen || each.errorRate > 0 ? "bad" : ""}>
  <td>${each.caller}</td><td>${each.upstream}${each.isCircuitOpen ? " (circuit open)" : ""}</td><td class="number">${perSecond(each.rate)}</td>
  <td class="number">${perSecond(each.errorRate)}</td><td class="number">${duration(each.p95Seconds)}</td></tr>`));

function bus({outboxes, queues}) {
  return html`${table("Outboxes", ["Outbox", "Relay worked", "Delay, p95"], outboxes.map((each) => html`<tr class=${each.relayAgeSeconds > 60 ? "bad" : ""}>
      <td>${each.service}</td><td>${duration(each.relayAgeSeconds)} ago</td><td class="number">${duration(each.delaySeconds)}</td></tr>`))}
    ${table("Queues", ["Queue", "Messages"], queues.map((each) => html`<tr class=${each.isDeadLetters && Number(each.messageCount) ? "bad" : ""}>
      <td>${each.name}${each.isDeadLetters ? " (dead letters)" : ""}</td><td class="number">${each.messageCount}</td></tr>`))}`;
}

const stores = (found) => table("Stores", ["Service", "Store", "Answers"], found.map((each) => html`<tr class=${each.isHealthy ? "" : "bad"}>
  <td>${each.service}</td><td>${each.name}</td><td class="number">${each.isHealthy ? "yes" : "no"}</td></tr>`));

customElements.define("ops-mesh", OpsMesh);

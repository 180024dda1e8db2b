// The last traces, and those of a request or an order.
import {api, go} from "../core.js";
import {html, icon, nothing, problem, skeletons} from "../ui.js";
import {OpsPart, duration, moment} from "./parts.js";

class OpsTraces extends OpsPart {
  static properties = {found: {state: true}};

  async fetch() {
    const id = this.query.id ?? "";
    this.found = await api("GET", `/api/ops/traces?find=${encodeURIComponent(id)}&limit=100`, {signal: this.leaving});
  }

  find(event) {
    event.preventDefault();
    const id = new FormData(event.target).get("id").trim();
    go(`/ops/traces${id ? `?id=${encodeURIComponent(id)}` : ""}`);
  }

  render() {
    return html`<div class="stack"><div class="row between"><h1>Traces</h1>
        <button class="button quiet" @click=${() => this.load()}>${icon("refresh-cw")} Refresh</button></div>
      <form class="row find" role="search" aria-label="Traces" @submit=${this.find}>
        <label for="trace-id">Id of a trace, a request or an order</label>
        <input id="trace-id" name="id" type="search" maxlength="64" autocomplete="off" spellcheck="false" .value=${this.query.id ?? ""}>
        <button class="button">${icon("search")} Find</button></form>
      ${this.error ? problem(this.error, () => this.load()) : this.found ? this.list() : skeletons(1)}</div>`;
  }

  list() {
    const {isStored, viewerUrl, traces} = this.found;
    const viewer = viewerUrl ? html`<p><a href=${viewerUrl} rel="noreferrer">${viewerUrl}</a> shows traces.</p>` : nothing;
    if (!isStored) return html`<div class="message" role="status">${icon("info")}<div>
      <p>There is no trace store here to ask (<code>MAMIE_TRACE_STORE_URL</code>).</p>${viewer}</div></div>`;
    if (!traces.length) return html`<div class="message" role="status">${icon("info")}<div>
      <p>${this.query.id ? "There is no trace of that." : "There are no traces yet."}
        One request in a hundred is traced, and what fails: <code>MAMIE_TRACE_PERCENT=100 scripts/up</code> traces all.</p></div></div>`;
    return html`${viewer}<div class="table" tabindex="0" role="region" aria-label="Traces"><table>
      <thead><tr><th scope="col">Begin (UTC)</th><th scope="col">What</th><th scope="col" class="number">Duration</th>
        <th scope="col" class="number">Spans</th><th scope="col" class="number">Errors</th></tr></thead>
      <tbody>${traces.map((each) => html`<tr class=${each.errorCount ? "bad" : ""}><td class="moment">${moment(each.startTime)}</td>
        <td><a href="/ops/traces/${each.traceId}">${each.title || each.traceId}</a></td>
        <td class="number">${duration(each.durationSeconds)}</td><td class="number">${each.spanCount}</td>
        <td class="number">${each.errorCount || "–"}</td></tr>`)}</tbody></table></div>`;
  }
}

customElements.define("ops-traces", OpsTraces);

// One trace as a waterfall: each span below the one that it is a part of.
import {api} from "../core.js";
import {html, icon, problem, skeletons} from "../ui.js";
import {OpsPart, duration, moment} from "./parts.js";

const WIDTH = 1000;
const DEEPEST = 12; // how far a span is moved to the right, at most

class OpsTrace extends OpsPart {
  static properties = {trace: {state: true}};

  async fetch() {
    this.trace = await api("GET", `/api/ops/traces/${encodeURIComponent(this.argument)}`, {signal: this.leaving});
  }

  render() {
    const back = html`<nav aria-label="Trail"><a href="/ops/traces">${icon("arrow-left")} Traces</a></nav>`;
    if (this.error) return html`<div class="stack">${back}<h1>Trace</h1>${problem(this.error, () => this.load())}</div>`;
    if (!this.trace) return html`<div class="stack">${back}<h1>Trace</h1>${skeletons(1)}</div>`;
    const {summary, spans} = this.trace;
    const processes = new Set(spans.map((each) => each.process)).size;
    return html`<div class="stack">${back}<h1>${summary.title}</h1>
      <p class="faint">${moment(summary.startTime)} UTC · ${duration(summary.durationSeconds)} · ${summary.spanCount} spans of
        ${processes} processes${summary.errorCount ? `, ${summary.errorCount} failed` : ""}<br>
        <code>scripts/logs --trace ${summary.traceId}</code></p>
      <div class="table" tabindex="0" role="region" aria-label="Spans"><table class="waterfall">
        <thead><tr><th scope="col">Span</th><th scope="col">Process</th><th scope="col" class="number">Begin</th>
          <th scope="col" class="number">Duration</th><th scope="col" class="time">Time</th></tr></thead>
        <tbody>${spans.map((each) => html`<tr class=${each.error ? "bad" : ""}>
          <td class="deep-${Math.min(each.depth, DEEPEST)}">${each.title}</td><td>${each.process}</td>
          <td class="number">${duration(each.offsetSeconds)}</td><td class="number">${duration(each.durationSeconds)}</td>
          <td class="time">${bar(each, summary.durationSeconds)}</td></tr>`)}</tbody></table></div></div>`;
  }
}

function bar({offsetSeconds, durationSeconds}, total) {
  const scale = WIDTH / (total || 1);
  const x = Math.min(offsetSeconds * scale, WIDTH - 4);
  return html`<svg viewBox="0 0 ${WIDTH} 10" preserveAspectRatio="none" aria-hidden="true"><rect x=${x} y="0" height="10"
    width=${Math.max(4, Math.min(durationSeconds * scale, WIDTH - x))}/></svg>`;
}

customElements.define("ops-trace", OpsTrace);

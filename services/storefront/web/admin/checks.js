// What services disagree about and nobody could repair, and where messages that failed wait.
import {api, number, t} from "../core.js";
import {html, icon, nothing, problem, skeletons} from "../ui.js";
import {AdminPart, empty, moment, named, number8} from "./parts.js";

const LIMIT = 50;
const CONSUMERS = ["notifications", "recommendations"];

class AdminChecks extends AdminPart {
  static properties = {found: {state: true}};

  async fetch() {
    this.found = await api("GET", `/api/admin/discrepancies?limit=${LIMIT}`, {signal: this.leaving});
  }

  render() {
    return html`<div class="stack"><div class="row between"><h1>${t("admin.checks")}</h1>
        <button class="button quiet" @click=${() => this.load()}>${icon("refresh-cw")} ${t("admin.refresh")}</button></div>
      <section class="stack"><h2>${t("admin.discrepancies")}</h2><p class="faint">${t("admin.discrepancies.text")}</p>
        ${this.error ? problem(this.error, () => this.load()) : this.found ? this.list() : skeletons(1)}</section>
      <section class="panel stack"><h2>${t("admin.dead-letters")}</h2><p>${t("admin.dead-letters.text")}</p>
        ${CONSUMERS.map((each) => html`<p><code>scripts/redrive ${each} --list</code></p>`)}</section></div>`;
  }

  list() {
    const {discrepancies, total} = this.found;
    if (!discrepancies.length) return empty(t("admin.no-discrepancies"));
    return html`<ul class="panel rows">${discrepancies.map((each) => html`<li><span><strong>${named("finding", each.kind)}</strong><br>
          <span class="faint">${each.kind} · ${moment(each.foundAt)}</span></span>
        ${each.orderId ? html`<a href="/admin/orders/${each.orderId}">${t("order")} <code>${number8(each.orderId)}</code></a>` : html`<span></span>`}</li>`)}</ul>
      ${total > discrepancies.length ? html`<p class="faint">${t("admin.more-found", {count: number(total - discrepancies.length)})}</p>` : nothing}`;
  }
}

customElements.define("admin-checks", AdminChecks);

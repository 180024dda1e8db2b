// What services disagree about and nobody could repair, and the messages that failed.
import {api, number, t} from "../core.js";
import {html, icon, nothing, problem, skeletons} from "../ui.js";
import {AdminPart, empty, moment, named, number8} from "./parts.js";

const LIMIT = 50;
const CONSUMERS = ["notifications", "recommendations"];

class AdminChecks extends AdminPart {
  static properties = {found: {state: true}, dead: {state: true}};

  async fetch() {
    const get = (path) => api("GET", `/api/admin/${path}`, {signal: this.leaving});
    const waiting = CONSUMERS.map((each) => get(`dead-letters/${each}?limit=${LIMIT}`));
    // While the bus does not answer, the discrepancies are shown all the same.
    const dead = Promise.allSettled(waiting);
    this.found = await get(`discrepancies?limit=${LIMIT}`);
    this.dead = (await dead).map((each) => each.value ?? {error: each.reason});
  }

  async redrive(consumer) {
    await this.act(() => api("POST", `/api/admin/dead-letters/${consumer}/redrive`, {body: {}}), t("admin.redriven"));
    await this.load();
  }

  render() {
    return html`<div class="stack"><div class="row between"><h1>${t("admin.checks")}</h1>
        <button class="button quiet" @click=${() => this.load()}>${icon("refresh-cw")} ${t("admin.refresh")}</button></div>
      <section class="stack"><h2>${t("admin.discrepancies")}</h2><p class="faint">${t("admin.discrepancies.text")}</p>
        ${this.error ? problem(this.error, () => this.load()) : this.found ? this.list() : skeletons(1)}</section>
      <section class="stack"><h2>${t("admin.dead-letters")}</h2><p class="faint">${t("admin.dead-letters.text")}</p>
        ${this.dead ? CONSUMERS.map((each, index) => this.letters(each, this.dead[index])) : nothing}</section></div>`;
  }

  list() {
    const {discrepancies, total} = this.found;
    if (!discrepancies.length) return empty(t("admin.no-discrepancies"));
    return html`<ul class="panel rows">${discrepancies.map((each) => html`<li><span><strong>${named("finding", each.kind)}</strong><br>
          <span class="faint">${each.kind} · ${moment(each.foundAt)}</span></span>
        ${each.orderId ? html`<a href="/admin/orders/${each.orderId}">${t("order")} <code>${number8(each.orderId)}</code></a>` : nothing}</li>`)}</ul>
      ${total > discrepancies.length ? html`<p class="faint">${t("admin.more", {count: number(total - discrepancies.length)})}</p>` : nothing}`;
  }

  letters(consumer, {deadLetters = [], total = 0, error}) {
    return html`<section class="panel letters"><div class="row between"><h3>${t(`admin.consumer.${consumer}`)}</h3>
        ${total ? html`<button class="button small" ?disabled=${this.busy} @click=${() => this.redrive(consumer)}>${icon("rotate-ccw")} ${t("admin.redrive", {count: total})}</button>` : nothing}</div>
      ${error ? problem(error) : total ? html`<ul class="rows">${deadLetters.map((each) => html`<li><span><strong>${each.type.split(".").at(-1) || t("admin.no-event")}</strong><br>
          <span class="faint">${each.subject} ${each.diedAt ? `· ${moment(each.diedAt)}` : nothing}</span></span></li>`)}</ul>
          ${total > deadLetters.length ? html`<p class="faint">${t("admin.more", {count: number(total - deadLetters.length)})}</p>` : nothing}`
        : html`<p class="faint">${icon("circle-check")} ${t("admin.no-dead-letters")}</p>`}</section>`;
  }
}

customElements.define("admin-checks", AdminChecks);

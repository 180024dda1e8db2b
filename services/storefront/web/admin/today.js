// The day of the owner: what was ordered, what waits, what runs short.
import {api, date, money, number, t} from "../core.js";
import {html, icon, nothing, picture, problem, skeletons} from "../ui.js";
import {AdminPart, empty, moment, orderRows} from "./parts.js";

const MOST = 1000;

class AdminToday extends AdminPart {
  static properties = {day: {state: true}, waiting: {state: true}, low: {state: true}};

  async fetch() {
    const get = (path) => api("GET", path, {signal: this.leaving});
    // Minutes ahead of UTC; JavaScript counts them the other way round.
    const offset = -new Date().getTimezoneOffset();
    [this.day, this.waiting, this.low] = await Promise.all([
      get(`/api/admin/day?utcOffsetMinutes=${offset}`),
      get("/api/admin/orders?filter=TO_SHIP&limit=5"),
      get("/api/admin/low-stock?limit=8"),
    ]);
  }

  render() {
    return html`<div class="stack"><div class="row between"><div><h1>${t("admin.today")}</h1>
        <p class="faint">${date(new Date(), {weekday: "long", day: "numeric", month: "long", hour: "numeric", minute: "numeric"})}</p></div>
        <button class="button quiet" @click=${() => this.load()}>${icon("refresh-cw")} ${t("admin.refresh")}</button></div>
      ${this.error ? problem(this.error, () => this.load()) : this.day ? this.content() : skeletons(4)}</div>`;
  }

  content() {
    const {day} = this;
    return html`<ul class="figures">
        ${figure(number(day.placedCount), t("admin.placed", {count: day.placedCount}), "/admin/orders?show=recent")}
        ${figure(money(day.revenue, day.currency), t("admin.sold", {count: day.soldCount}))}
        ${figure(many(day.toShipCount), t("admin.to-ship"), "/admin/orders")}
        ${figure(many(day.stuckCount), t("admin.stuck"), "/admin/orders?show=stuck", day.stuckCount ? "bad" : "")}
        ${figure(many(day.discrepancyCount), t("admin.discrepancies"), "/admin/checks", day.discrepancyCount ? "bad" : "")}</ul>
      <div class="split even">
        <section><h2>${icon("package")} ${t("admin.ship-next")}</h2>
          ${this.waiting.orders.length ? orderRows(this.waiting.orders) : empty(t("admin.nothing-to-ship"))}
          ${this.waiting.total > 5 ? html`<p class="more"><a href="/admin/orders">${t("admin.all-of", {count: number(this.waiting.total)})}</a></p>` : nothing}</section>
        <section><h2>${icon("circle-alert")} ${t("admin.low")}</h2>
          ${this.low.products.length ? html`<ul class="panel rows">${this.low.products.map(lowRow)}</ul>` : empty(t("admin.nothing-low"))}
          ${this.low.total > this.low.products.length ? html`<p class="faint more">${t("admin.more", {count: number(this.low.total - this.low.products.length)})}</p>` : nothing}</section></div>`;
  }
}

const many = (count) => (count >= MOST ? `${number(MOST - 1)}+` : number(count));

const figure = (value, label, href = "", kind = "") => {
  const content = html`<strong>${value}</strong><span>${label}</span>`;
  return html`<li class="figure ${kind}">${href ? html`<a href=${href}>${content}</a>` : html`<div>${content}</div>`}</li>`;
};

const lowRow = (low) => html`<li><span class="thumb" aria-hidden="true">${picture(low)}</span>
  <span><a href="/admin/products/${low.sku}">${low.title}</a><br><span class="faint">${t("admin.low-since", {time: moment(low.since)})}</span></span>
  <span class="stock ${low.stock ? "low" : "none"}">${low.stock ? t("stock.low", {count: low.stock}) : t("stock.none")}</span></li>`;

customElements.define("admin-today", AdminToday);

// Orders of all customers: those to ship, those that are stuck, the newest, and any by its number.
import {api, go, t} from "../core.js";
import {field, html, icon, nothing, problem, skeletons} from "../ui.js";
import {AdminPart, empty, orderRows, pager} from "./parts.js";

const PAGE_SIZE = 20;
const FILTERS = {"": "TO_SHIP", stuck: "STUCK", recent: ""};

class AdminOrders extends AdminPart {
  static properties = {found: {state: true}};

  get show() {
    return this.query.show in FILTERS ? this.query.show : "";
  }

  async fetch() {
    const {number} = this.query;
    const query = number ? {number} : {filter: FILTERS[this.show], page: this.page};
    const given = Object.entries({...query, limit: PAGE_SIZE}).filter(([, value]) => value);
    this.found = await api("GET", `/api/admin/orders?${new URLSearchParams(given)}`, {signal: this.leaving});
  }

  search(event) {
    this.send(event, "search", async ({number}) => {
      go(`/admin/orders?number=${encodeURIComponent(number.replace(/\s/g, ""))}`);
    });
  }

  render() {
    const tab = (name, label) => html`<a href="/admin/orders${name ? `?show=${name}` : ""}"
      aria-current=${!this.query.number && this.show === name ? "page" : nothing}>${label}</a>`;
    return html`<div class="stack"><h1>${t("admin.orders")}</h1>
      <div class="row between tools"><nav class="tabs" aria-label=${t("filters")}>
          ${tab("", t("admin.to-ship"))} ${tab("stuck", t("admin.stuck"))} ${tab("recent", t("admin.newest"))}</nav>
        <form class="find" role="search" novalidate @submit=${this.search}>
          ${field({name: "number", label: t("order.number"), required: true, pattern: "\\s*[0-9a-fA-F][0-9a-fA-F\\-]{7,35}\\s*", maxlength: 40, value: this.query.number ?? "", error: this.wrong.number || (this.error?.fields?.number && t("rule.number"))})}
          <button class="button quiet">${icon("search")} ${t("search")}</button></form></div>
      ${this.error && !this.error.fields?.number ? problem(this.error, () => this.load()) : nothing}
      ${this.error ? nothing : this.found ? this.list() : skeletons(3)}</div>`;
  }

  list() {
    const {orders, total} = this.found;
    if (!orders.length) return empty(t(this.query.number ? "admin.no-such-number" : {"": "admin.nothing-to-ship", stuck: "admin.nothing-stuck", recent: "admin.no-orders"}[this.show]));
    const href = (page) => `/admin/orders?${new URLSearchParams({...this.query, page})}`;
    return html`${this.show === "stuck" && !this.query.number ? html`<p class="faint">${t("admin.stuck.text")}</p>` : nothing}
      ${orderRows(orders)} ${pager(this.page, this.query.number ? 1 : Math.min(100, Math.ceil(total / PAGE_SIZE)), href)}`;
  }
}

customElements.define("admin-orders", AdminOrders);

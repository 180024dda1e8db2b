// The products, with their stock.
import {api, categoryName, go, money, number, t} from "../core.js";
import {field, html, icon, picture, problem, skeletons} from "../ui.js";
import {AdminPart, empty, pager} from "./parts.js";

const PAGE_SIZE = 20;

class AdminProducts extends AdminPart {
  static properties = {found: {state: true}};

  async fetch() {
    const {q = ""} = this.query;
    const given = Object.entries({q, page: this.page, limit: PAGE_SIZE}).filter(([, value]) => value);
    this.found = await api("GET", `/api/products?${new URLSearchParams(given)}`, {mine: false, signal: this.leaving});
  }

  search(event) {
    event.preventDefault();
    const q = new FormData(event.target).get("q").trim();
    go(`/admin/products${q ? `?q=${encodeURIComponent(q)}` : ""}`);
  }

  render() {
    return html`<div class="stack"><div class="row between"><h1>${t("admin.products")}</h1>
        <a class="button" href="/admin/products/new">${icon("plus")} ${t("admin.new-product")}</a></div>
      <form class="find" role="search" novalidate @submit=${this.search}>
        ${field({name: "q", label: t("admin.find-product"), type: "search", required: true, maxlength: 100, value: this.query.q ?? ""})}
        <button class="button quiet">${icon("search")} ${t("search")}</button></form>
      ${this.error ? problem(this.error, () => this.load()) : this.found ? this.list() : skeletons(4)}</div>`;
  }

  list() {
    const {products, total} = this.found;
    if (!products.length) return empty(t("found.none"));
    const href = (page) => `/admin/products?${new URLSearchParams({...this.query, page})}`;
    return html`<p class="faint" role="status">${t("found", {count: total})}</p>
      <ul class="panel rows">${products.map((each) => html`<li><span class="thumb" aria-hidden="true">${picture(each)}</span>
        <span><a href="/admin/products/${each.sku}">${each.title}</a><br><span class="faint">${each.sku} · ${categoryName(each.category)}</span></span>
        ${onSale(each)}<strong class="price">${money(each.price, each.currency)}</strong></li>`)}</ul>
      ${pager(this.page, Math.ceil(Math.min(total, 10000) / PAGE_SIZE), href)}`;
  }
}

/** The owner wants to know how many; the shop says so only when few are left. */
const onSale = ({stock}) => html`<span class="stock ${stock === 0 ? "none" : stock < 10 ? "low" : "good"}">${stock ? `${number(stock)} ${t("admin.on-sale", {count: stock})}` : t("stock.none")}</span>`;

customElements.define("admin-products", AdminProducts);

// The customer's orders, newest first.
import {api, date, money, t} from "../core.js";
import {PrivatePart, html, icon, nothing, picture, problem, skeletons} from "../ui.js";

const PAGE_SIZE = 10;

class OrdersPage extends PrivatePart {
  static properties = {found: {state: true}, error: {state: true}};

  open() {
    this.page = Math.max(1, Number(new URLSearchParams(location.search).get("page")) || 1);
    return this.load();
  }

  async load() {
    this.error = null;
    try {
      this.found = await api("GET", `/api/orders?page=${this.page}&limit=${PAGE_SIZE}`, {signal: this.leaving});
    } catch (error) {
      if (error.name !== "AbortError" && !error.isSessionEnd) this.error = error;
    }
  }

  render() {
    return html`<div class="wide stack"><h1>${t("orders")}</h1>
      ${this.error ? problem(this.error, () => this.load()) : !this.found ? skeletons(2) : this.list()}</div>`;
  }

  list() {
    const {orders, total} = this.found;
    if (!orders.length) return html`<div class="empty"><p>${t("orders.none")}</p><a class="button" href="/shop/products">${t("start.browse")}</a></div>`;
    const pages = Math.ceil(total / PAGE_SIZE);
    return html`<ul class="orders">${orders.map((order) => html`<li class="panel"><a href="/shop/orders/${order.orderId}">
        <span class="thumbs">${order.items.slice(0, 3).map(picture)}</span>
        <span><strong>${t("order.of", {date: date(order.createdAt)})}</strong><br>
          <span class="faint">${order.items[0].title}${order.items.length > 1 ? ` ${t("orders.more", {count: order.items.length - 1})}` : nothing}</span></span>
        <span class="pill ${order.status.toLowerCase()}">${t(`status.${order.status}`)}</span>
        <strong class="price">${money(order.finalAmount, order.currency)}</strong>${icon("chevron-right")}</a></li>`)}</ul>
      ${pages > 1 ? html`<nav class="pager" aria-label=${t("pages")}>
        ${this.page > 1 ? html`<a class="button quiet" href="/shop/orders?page=${this.page - 1}">${icon("chevron-left")} ${t("page.previous")}</a>` : html`<span></span>`}
        <span>${t("page", {page: this.page, pages})}</span>
        ${this.page < pages ? html`<a class="button quiet" href="/shop/orders?page=${this.page + 1}">${t("page.next")} ${icon("chevron-right")}</a>` : html`<span></span>`}</nav>` : nothing}`;
  }
}

customElements.define("orders-page", OrdersPage);

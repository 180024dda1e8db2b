// One order, as the owner sees it: what to do next, and all that happened.
import {api, money, notify, t} from "../core.js";
import {field, html, icon, message, nothing, picture, problem, skeletons} from "../ui.js";
import {AdminPart, moment, named, number8, pill} from "./parts.js";

const CANCELLABLE = ["PENDING", "PAYMENT_PROCESSING", "CONFIRMED", "PROCESSING"];

class AdminOrder extends AdminPart {
  static properties = {order: {state: true}, history: {state: true}, cancelling: {state: true}};

  get path() {
    return `/api/orders/${encodeURIComponent(this.argument)}`;
  }

  async fetch() {
    const [order, history] = await Promise.all([
      api("GET", this.path, {signal: this.leaving}),
      api("GET", `${this.path}/history`, {signal: this.leaving}),
    ]);
    [this.order, this.history] = [order, history.events];
  }

  /** Give the order its next status; one that has it already does not change. */
  async move(status, trackingNumber = "") {
    const body = trackingNumber ? {status, trackingNumber} : {status};
    this.order = await api("POST", `${this.path}/status`, {body});
    notify(t(`admin.${status}.done`), "success");
    await this.load();
  }

  go(status) {
    return (event) => this.send(event, "next", ({trackingNumber}) => this.move(status, trackingNumber));
  }

  async failed(error) {
    super.failed(error);
    if (["WRONG_TRANSITION", "ORDER_CHANGED", "ORDER_NOT_CANCELLABLE"].includes(error.reason)) await this.load();
  }

  cancel(event) {
    return this.send(event, "cancel", async ({reason}) => {
      await api("POST", `${this.path}/cancel`, {body: {reason}});
      this.cancelling = false;
      notify(t("status.CANCELLED"), "success");
      await this.load();
    });
  }

  render() {
    const back = html`<nav aria-label=${t("trail")}><a href="/admin/orders">${icon("arrow-left")} ${t("admin.orders")}</a></nav>`;
    if (this.error) return html`<div class="stack">${back}<h1>${t("order")}</h1>${problem(this.error, () => this.load())}</div>`;
    if (!this.order) return html`<div class="stack">${back}<h1>${t("order")}</h1>${skeletons(2)}</div>`;
    const {order} = this;
    return html`<div class="stack">${back}
      <div class="row"><h1>${t("order")} <span class="number">${number8(order.orderId)}</span></h1> ${pill(order.status)}</div>
      <p class="faint">${moment(order.createdAt)} · <a href="/admin/customers/${order.userId}">${t("admin.the-customer")}</a></p>
      <div class="split"><div class="stack">${this.next()} ${this.items()} ${this.story()}</div>
        <aside class="panel summary stack"><h2>${t("summary")}</h2>
          <dl><div><dt>${t("subtotal")}</dt><dd>${money(order.totalAmount, order.currency)}</dd></div>
            ${Number(order.discount) ? html`<div class="good"><dt>${t("discount")} ${order.promoCode}</dt><dd>−${money(order.discount, order.currency)}</dd></div>` : nothing}
            <div class="total"><dt>${t("total")}</dt><dd>${money(order.finalAmount, order.currency)}</dd></div>
            <div><dt>${t("payment")}</dt><dd>${t(`payment.${order.paymentStatus}`)}</dd></div></dl>
          ${this.address()} ${this.cancellation()}</aside></div></div>`;
  }

  address() {
    const {address, trackingNumber} = this.order.shipping;
    return html`<h3>${icon("map-pin")} ${t("address")}</h3>
      <address>${["recipient", "line1", "line2"].map((name) => address[name]).filter(Boolean).map((line) => html`${line}<br>`)}
        ${address.postalCode} ${address.city}<br>${address.country}</address>
      ${trackingNumber ? html`<p>${icon("truck")} ${t("order.tracking")} <code>${trackingNumber}</code></p>` : nothing}`;
  }

  /** What the owner does next with this order. */
  next() {
    const form = (status, fields = nothing) => html`<form class="panel stack next" novalidate @submit=${this.go(status)}>
      <h2>${t("admin.next")}</h2>${this.failure("next")} ${fields}
      <button class="button" ?disabled=${this.busy}>${icon({PROCESSING: "package", SHIPPED: "truck", DELIVERED: "package-check"}[status])} ${t(`admin.${status}`)}</button></form>`;
    switch (this.order.status) {
      case "CONFIRMED": return form("PROCESSING", html`<p>${t("admin.PROCESSING.text")}</p>`);
      case "PROCESSING": return form("SHIPPED", field({name: "trackingNumber", label: t("order.tracking"), required: true, maxlength: 100, hint: t("admin.tracking.hint"), error: this.wrong.trackingNumber}));
      case "SHIPPED": return form("DELIVERED", html`<p>${t("admin.DELIVERED.text")}</p>`);
      case "DELIVERED": return message("success", t("admin.finished"));
      case "CANCELLED": return message("warning", html`<strong>${t("status.CANCELLED")}</strong> ${this.order.cancelReason}`);
      default: return message("info", html`<strong>${t(`status.${this.order.status}`)}</strong> ${t("admin.in-progress")}`,
        html`<button class="button quiet" @click=${() => this.load()}>${icon("refresh-cw")} ${t("admin.refresh")}</button>`);
    }
  }

  items() {
    return html`<section class="panel"><h2>${t("admin.items")}</h2><ul class="lines">${this.order.items.map((each) => html`<li class="line">
      <span aria-hidden="true">${picture(each)}</span>
      <div><a href="/admin/products/${each.sku}">${each.title}</a><p class="faint">${each.quantity} × ${money(each.unitPrice, this.order.currency)} · ${each.sku}</p></div>
      <strong class="price">${money(each.lineTotal, this.order.currency)}</strong></li>`)}</ul></section>`;
  }

  story() {
    return html`<section class="panel stack"><h2>${icon("clock")} ${t("order.history")}</h2>
      <ol class="story">${this.history.map((each) => html`<li><time datetime=${each.time}>${moment(each.time)}</time>
        <div><strong>${named("event", each.type)}</strong> <span class="faint">${t(`status.${each.status}`)}</span>
        ${Object.entries(each.data).filter(([, value]) => value).map(([name, value]) => html`<p class="faint">${named("fact", name)} <code>${value}</code></p>`)}</div></li>`)}</ol>
      <p class="hint">${t("admin.logs")} <code>scripts/logs --order ${this.order.orderId}</code></p>
      <p class="hint">${t("admin.trace")} <a href="/ops/traces?id=${this.order.orderId}">${t("admin.traces")}</a></p></section>`;
  }

  cancellation() {
    if (!CANCELLABLE.includes(this.order.status)) return nothing;
    if (!this.cancelling) return html`<button class="plain danger" @click=${() => (this.cancelling = true)}>${icon("x")} ${t("cancel")}</button>`;
    return html`<form class="stack" novalidate @submit=${this.cancel}><h3>${t("cancel.title")}</h3>${this.failure("cancel")}
      ${field({name: "reason", label: t("admin.cancel-reason"), required: true, maxlength: 255, hint: t("admin.cancel-hint"), error: this.wrong.reason})}
      <div class="row"><button class="button danger" ?disabled=${this.busy}>${t("cancel.confirm")}</button>
        <button type="button" class="button quiet" @click=${() => (this.cancelling = false)}>${t("cancel.keep")}</button></div></form>`;
  }
}

customElements.define("admin-order", AdminOrder);

// One order: where it is, live; what was bought; cancel, refund, order again.
import {ApiError, api, cart, date, fetchProducts, follow, go, money, notify, t} from "../core.js";
import {
  PrivatePart, addToCart, html, icon, message, nothing, picture, problem, skeletons,
} from "../ui.js";

const STEPS = ["PENDING", "PAYMENT_PROCESSING", "CONFIRMED", "PROCESSING", "SHIPPED", "DELIVERED"];
const STEP_ICONS = ["clipboard-list", "credit-card", "check", "package", "truck", "house"];
const FINAL = ["DELIVERED", "CANCELLED"];
const CANCELLABLE = STEPS.slice(0, 4);

class OrderPage extends PrivatePart {
  static properties = {
    argument: {}, order: {state: true}, history: {state: true}, error: {state: true}, isLive: {state: true},
    cancelling: {state: true}, cancelError: {state: true}, busy: {state: true},
  };

  async open() {
    await this.load();
    void this.watch();
  }

  get path() {
    return `/api/orders/${encodeURIComponent(this.argument)}`;
  }

  async load() {
    this.error = null;
    try {
      this.order = await api("GET", this.path, {signal: this.leaving});
    } catch (error) {
      if (error.name !== "AbortError" && !error.isSessionEnd) this.error = error;
    }
  }

  /** Follow the order until it can change no more. */
  async watch() {
    if (!this.order || FINAL.includes(this.order.status)) return;
    try {
      await follow(`${this.path}/events`, {
        signal: this.leaving,
        onState: (isLive) => (this.isLive = isLive),
        onEvent: (event) => this.happened(event),
      });
    } catch (error) {
      if (!error.isSessionEnd) this.error = error;
    }
  }

  happened({status}) {
    const isNew = STEPS.indexOf(status) > STEPS.indexOf(this.order.status) || status === "CANCELLED";
    if (!isNew || status === this.order.status) return;
    this.order = {...this.order, status};
    // The payment, the tracking number and the reason are in the order itself.
    if (!["PENDING", "PAYMENT_PROCESSING"].includes(status)) this.load();
  }

  async showHistory(event) {
    if (!event.target.open || this.history) return;
    try {
      this.history = (await api("GET", `${this.path}/history`, {signal: this.leaving})).events;
    } catch (error) {
      if (error instanceof ApiError) notify(error.text, "error");
    }
  }

  async cancel(event) {
    event.preventDefault();
    if (this.busy) return;
    const reason = new FormData(event.target).get("reason").trim() || t("cancel.reason.default");
    this.busy = true;
    this.cancelError = null;
    try {
      const done = await api("POST", `${this.path}/cancel`, {body: {reason}});
      const isRefunded = Number(done.refundAmount) > 0;
      notify(isRefunded ? t("cancel.refunded", {amount: money(done.refundAmount)}) : t("cancel.done"), "success");
      this.cancelling = false;
      await this.load();
    } catch (error) {
      this.cancelError = error;
      if (["ORDER_NOT_CANCELLABLE", "ORDER_CHANGED"].includes(error.reason)) await this.load();
    } finally {
      this.busy = false;
    }
  }

  /** Put what was bought into the cart again, at the prices of now. */
  async again(path) {
    try {
      const products = await fetchProducts(this.order.items.map((each) => each.productId), {fresh: true});
      const found = new Map(products.map((each) => [each.productId, each]));
      for (const item of this.order.items) {
        const line = cart.lines.find((each) => each.id === item.productId);
        if (found.has(item.productId) && !line) addToCart(found.get(item.productId), item.quantity);
      }
      go(path);
    } catch (error) {
      notify(error.text, "error");
    }
  }

  render() {
    if (this.error) return html`<div class="wide stack"><h1>${t("order")}</h1>${problem(this.error, () => this.load())}
      <p><a href="/shop/orders">${t("orders")}</a></p></div>`;
    if (!this.order) return html`<div class="wide stack"><h1>${t("order")}</h1>${skeletons(1)}</div>`;
    const {order} = this;
    return html`<div class="wide stack">
      <nav aria-label=${t("trail")}><a href="/shop/orders">${icon("arrow-left")} ${t("orders")}</a></nav>
      <h1>${t("order.of", {date: date(order.createdAt)})}</h1>
      <p class="faint">${t("order.number")} <code>${order.orderId.slice(0, 8)}</code></p>
      ${this.headline()}
      <div class="split"><div class="stack">${order.status === "CANCELLED" ? nothing : this.steps()} ${this.items()} ${this.events()}</div>
        <aside class="panel summary stack"><h2>${t("summary")}</h2>
          <dl><div><dt>${t("subtotal")}</dt><dd>${money(order.totalAmount, order.currency)}</dd></div>
            ${Number(order.discount) ? html`<div class="good"><dt>${t("discount")} ${order.promoCode}</dt><dd>−${money(order.discount, order.currency)}</dd></div>` : nothing}
            <div class="total"><dt>${t("total")}</dt><dd>${money(order.finalAmount, order.currency)}</dd></div>
            <div><dt>${t("payment")}</dt><dd>${t(`payment.${order.paymentStatus}`)}</dd></div></dl>
          <h3>${icon("map-pin")} ${t("address")}</h3>
          <address>${["recipient", "line1", "line2"].map((name) => order.shipping.address[name]).filter(Boolean).map((line) => html`${line}<br>`)}
            ${order.shipping.address.postalCode} ${order.shipping.address.city}<br>${order.shipping.address.country}</address>
          <button class="button quiet wide-button" @click=${() => this.again("/shop/cart")}>${icon("rotate-ccw")} ${t("order.again")}</button>
          ${this.cancellation()}</aside></div></div>`;
  }

  headline() {
    const {status, paymentStatus, shipping} = this.order;
    if (status === "CANCELLED" && paymentStatus === "DECLINED") {
      return message("error", t("order.declined"), html`<button class="button" @click=${() => this.again("/shop/checkout")}>${t("order.other-card")}</button>`);
    }
    const live = !FINAL.includes(status) ? html`<p class="faint live ${this.isLive ? "on" : ""}">${icon(this.isLive ? "refresh-cw" : "wifi-off")}
      ${t(this.isLive ? "order.live" : "order.reconnecting")}</p>` : nothing;
    const tracking = shipping.trackingNumber ? html`<p>${icon("truck")} ${t("order.tracking")} <code>${shipping.trackingNumber}</code></p>` : nothing;
    const kind = status === "CANCELLED" ? "warning" : STEPS.indexOf(status) >= 2 ? "success" : "info";
    return html`${message(kind, html`<strong>${t(`status.${status}`)}</strong> ${t(`status.${status}.text`)}`, tracking)} ${live}`;
  }

  steps() {
    const reached = STEPS.indexOf(this.order.status);
    return html`<section class="panel"><h2>${t("order.progress")}</h2><ol class="steps">${STEPS.map((each, index) => html`<li
      class=${index < reached ? "done" : index === reached ? "now" : ""} aria-current=${index === reached ? "step" : nothing}>
      <span>${icon(index < reached ? "check" : STEP_ICONS[index])}</span> ${t(`status.${each}`)}</li>`)}</ol></section>`;
  }

  items() {
    return html`<section class="panel"><h2>${t("order.items")}</h2><ul class="lines">${this.order.items.map((each) => html`<li class="line">
      <a href="/shop/products/${each.sku}" tabindex="-1" aria-hidden="true">${picture(each)}</a>
      <div><a href="/shop/products/${each.sku}">${each.title}</a><p class="faint">${each.quantity} × ${money(each.unitPrice, this.order.currency)}</p>
        ${this.order.status === "DELIVERED" ? html`<a href="/shop/products/${each.sku}">${icon("star")} ${t("rating.title")}</a>` : nothing}</div>
      <strong class="price">${money(each.lineTotal, this.order.currency)}</strong></li>`)}</ul></section>`;
  }

  events() {
    return html`<details class="panel" @toggle=${this.showHistory}><summary>${icon("clock")} ${t("order.history")}</summary>
      <ol class="history">${(this.history ?? []).map((each) => html`<li><time datetime=${each.time}>${date(each.time, {dateStyle: "medium", timeStyle: "medium"})}</time>
        ${t(`status.${each.status}`)}</li>`)}</ol></details>`;
  }

  cancellation() {
    if (!CANCELLABLE.includes(this.order.status)) return nothing;
    if (!this.cancelling) return html`<button class="plain danger" @click=${() => (this.cancelling = true)}>${icon("x")} ${t("cancel")}</button>`;
    return html`<form class="stack" @submit=${this.cancel}><h3>${t("cancel.title")}</h3><p>${t("cancel.text")}</p>
      ${this.cancelError ? problem(this.cancelError) : nothing}
      <div class="field"><label for="reason">${t("cancel.reason")} <span class="faint">${t("optional")}</span></label><input id="reason" name="reason" maxlength="255"></div>
      <div class="row"><button class="button danger" ?disabled=${this.busy}>${t("cancel.confirm")}</button>
      <button type="button" class="button quiet" @click=${() => (this.cancelling = false)}>${t("cancel.keep")}</button></div></form>`;
  }
}

customElements.define("order-page", OrderPage);

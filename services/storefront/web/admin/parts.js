// What the pages of the owner share: loading, forms, rows of orders, paging.
import {date, has, money, notify, t} from "../core.js";
import {Part, check, fieldError, focusFirstWrong, html, icon, nothing, picture, problem, values} from "../ui.js";

/** Reasons of the API that are about one field of a form. */
const FIELD_OF = {
  SKU_EXISTS: "sku", STOCK_BELOW_ZERO: "quantity", STOCK_ABOVE_MAXIMUM: "quantity",
  PROMOTION_EXISTS: "code", INVALID_TIMESTAMP: "validUntil",
};

/** A page of the owner: `fetch` asks for what it shows; `send` sends a form of it. */
export class AdminPart extends Part {
  static properties = {
    argument: {}, error: {state: true}, wrong: {state: true}, busy: {state: true},
    formError: {state: true}, failing: {state: true},
  };

  connectedCallback() {
    super.connectedCallback();
    this.wrong = {};
    this.ready = this.load();
  }

  async load() {
    this.error = null;
    try {
      await this.fetch();
    } catch (error) {
      if (error.name !== "AbortError" && !error.isSessionEnd) this.error = error;
    }
  }

  async fetch() {}

  get query() {
    return Object.fromEntries(new URLSearchParams(location.search));
  }

  get page() {
    return Math.max(1, Number(this.query.page) || 1);
  }

  /** Send a form, named for its messages; `call` gets its values and may return field errors. */
  async send(event, name, call) {
    event.preventDefault();
    const form = event.target;
    if (this.busy) return;
    this.failing = name;
    this.formError = null;
    this.wrong = check(form);
    if (Object.keys(this.wrong).length) return focusFirstWrong(this);
    this.busy = true;
    try {
      const wrong = await call(values(form), form);
      if (wrong) this.wrong = wrong;
    } catch (error) {
      this.failed(error);
    } finally {
      this.busy = false;
    }
    if (Object.keys(this.wrong).length || this.formError) focusFirstWrong(this);
  }

  failed(error) {
    if (error.isSessionEnd || error.name === "AbortError") return;
    const field = FIELD_OF[error.reason];
    this.wrong = field ? {[field]: error.text}
      : Object.fromEntries(Object.keys(error.fields ?? {}).map((each) => [each, fieldError(error, each)]));
    if (!field) this.formError = error;
  }

  failure(name) {
    return this.failing === name && this.formError && !Object.keys(this.wrong).length ? problem(this.formError) : nothing;
  }

  /** Do something at once; what went wrong is a message. */
  async act(call, said) {
    if (this.busy) return;
    this.busy = true;
    try {
      await call();
      notify(said, "success");
    } catch (error) {
      if (!error.isSessionEnd) notify(error.text ?? t("error.OTHER"), "error");
    } finally {
      this.busy = false;
    }
  }
}

export const number8 = (orderId) => orderId.slice(0, 8);
export const moment = (time) => date(time, {dateStyle: "medium", timeStyle: "short"});
export const pill = (status) => html`<span class="pill ${status.toLowerCase()}">${t(`status.${status}`)}</span>`;

/** Orders as rows that lead to them. */
export const orderRows = (orders) => html`<ul class="orders admin-rows">${orders.map((order) => html`<li class="panel"><a href="/admin/orders/${order.orderId}">
  <span class="thumbs" aria-hidden="true">${order.items.slice(0, 2).map(picture)}</span>
  <span><strong><code>${number8(order.orderId)}</code> ${order.shipping.address.recipient || order.shipping.address.city}</strong><br>
    <span class="faint">${moment(order.createdAt)} · ${t("admin.units", {count: order.items.reduce((sum, each) => sum + each.quantity, 0)})} · ${order.shipping.address.postalCode} ${order.shipping.address.city}</span></span>
  ${pill(order.status)}<strong class="price">${money(order.finalAmount, order.currency)}</strong>${icon("chevron-right")}</a></li>`)}</ul>`;

/** Links to the pages before and after; `href` gives the address of a page. */
export function pager(page, pages, href) {
  if (pages < 2) return nothing;
  return html`<nav class="pager" aria-label=${t("pages")}>
    ${page > 1 ? html`<a class="button quiet" href=${href(page - 1)}>${icon("chevron-left")} ${t("page.previous")}</a>` : html`<span></span>`}
    <span>${t("page", {page, pages})}</span>
    ${page < pages ? html`<a class="button quiet" href=${href(page + 1)}>${t("page.next")} ${icon("chevron-right")}</a>` : html`<span></span>`}</nav>`;
}

export const empty = (text) => html`<p class="nothing-here">${icon("circle-check")} ${text}</p>`;

/** A name that the pages know, else the one of the API. */
export const named = (prefix, name) => (has(`${prefix}.${name}`) ? t(`${prefix}.${name}`) : name);

/** A labelled text area with its error beside it. */
export const area = ({name, label, value = "", error = "", rows = 5, ...rest}) => html`<div class="field ${error ? "invalid" : ""}">
  <label for=${name}>${label} <span class="faint">${t("optional")}</span></label>
  <textarea id=${name} name=${name} rows=${rows} maxlength=${rest.maxlength ?? nothing} .value=${value}
    aria-describedby=${error ? `${name}-error` : nothing} aria-invalid=${error ? "true" : nothing}></textarea>
  ${error ? html`<p class="wrong" id="${name}-error">${icon("circle-alert")} ${error}</p>` : nothing}</div>`;

// The checkout: address, promotion code, card, and one order for each attempt.
import {
  api, cart, cents, fetchProducts, go, language, money, newKey, notify, session, t,
} from "../core.js";
import {
  PrivatePart, check, field, fieldError, focusFirstWrong, html, icon, message, nothing, problem, values,
} from "../ui.js";

const COUNTRIES = ["FR", "BE", "CH", "LU", "MC", "DE", "ES", "IT", "NL", "AT", "PT", "IE", "GB"];
const CARDS = ["tok_ok", "tok_slow", "tok_declined", "tok_insufficient_funds"];
const ADDRESS = ["recipient", "line1", "line2", "postalCode", "city", "country"];
const ABOUT_THE_CART = ["OUT_OF_STOCK", "PRODUCT_NOT_FOUND", "ORDER_TOO_LARGE"];
const TYPING_MILLISECONDS = 350;
const ATTEMPT = "attempt";

/** The key of this attempt: the same after a reload and in two tabs, until what is ordered differs. */
function keyOf(body) {
  const text = JSON.stringify([session.userId, body]);
  let hash = 7;
  for (const letter of text) hash = (hash * 31 + letter.charCodeAt(0)) % 2 ** 48;
  let attempt = null;
  try {
    attempt = JSON.parse(localStorage.getItem(ATTEMPT));
  } catch {
    // Nothing is kept: a double click is still one order, by the button's own state.
  }
  if (attempt?.of !== hash) attempt = {key: newKey(), of: hash};
  try {
    localStorage.setItem(ATTEMPT, JSON.stringify(attempt));
  } catch {
    // As above.
  }
  return attempt.key;
}

const endAttempt = () => localStorage.removeItem(ATTEMPT);

class CheckoutPage extends PrivatePart {
  static properties = {
    address: {state: true}, error: {state: true}, wrong: {state: true}, busy: {state: true},
    promo: {state: true}, code: {state: true}, changedPrice: {state: true},
  };

  connectedCallback() {
    this.wrong = {};
    this.code = "";
    super.connectedCallback();
  }

  /** The address of the last order, and the prices of now. */
  async load() {
    const before = cart.total;
    const [orders, products] = await Promise.allSettled([
      api("GET", "/api/orders?limit=1", {signal: this.leaving}),
      fetchProducts(cart.lines.map((line) => line.id), {fresh: true}),
    ]);
    this.address = orders.value?.orders[0]?.shipping.address ?? {country: "FR"};
    if (products.value) cart.refresh(products.value);
    this.changedPrice = cents(before) !== cents(cart.total);
  }

  typedCode(event) {
    this.code = event.target.value.trim();
    this.promo = null;
    this.wrong = {...this.wrong, promoCode: ""};
    clearTimeout(this._typing);
    if (this.code.length >= 3) this._typing = setTimeout(() => this.validate(), TYPING_MILLISECONDS);
  }

  async validate() {
    const promoCode = this.code;
    try {
      const answer = await api("POST", "/api/promotions/validate", {
        body: {promoCode, cartTotal: cart.total}, signal: this.leaving,
      });
      if (promoCode !== this.code) return; // something else was typed meanwhile
      if (answer.isValid) this.promo = answer;
      else this.wrong = {...this.wrong, promoCode: t(`error.${answer.reason}`)};
    } catch (error) {
      if (error.name !== "AbortError" && !error.isSessionEnd) this.wrong = {...this.wrong, promoCode: error.text};
    }
  }

  read(form) {
    const given = values(form);
    const shippingAddress = Object.fromEntries(ADDRESS.map((name) => [name, given[`shippingAddress.${name}`]]));
    const items = cart.lines.map((line) => ({productId: line.id, quantity: line.quantity}));
    return {items, promoCode: this.code, shippingAddress, paymentToken: given.card};
  }

  async order(event) {
    event?.preventDefault();
    if (this.busy) return;
    const form = this.querySelector("form");
    this.error = null;
    this.wrong = check(form);
    if (Object.keys(this.wrong).length) return focusFirstWrong(this);
    this.busy = true;
    const expected = this.promo?.finalTotal ?? cart.total;
    try {
      const placed = await this.place(this.read(form));
      endAttempt();
      cart.clear();
      if (cents(placed.finalAmount) !== cents(expected)) notify(t("order.other-amount", {amount: money(placed.finalAmount)}), "warning");
      go(`/shop/orders/${placed.orderId}`, {replace: true});
    } catch (error) {
      this.failed(error);
    } finally {
      this.busy = false;
    }
  }

  /** Order with the key of this attempt; while an earlier request of it runs, wait for its answer. */
  async place(body) {
    for (let tries = 0; ; tries++) {
      try {
        return await api("POST", "/api/orders", {body, headers: {"idempotency-key": keyOf(body)}});
      } catch (error) {
        const isExpired = ["IDEMPOTENCY_KEY_EXPIRED", "IDEMPOTENCY_KEY_REUSED"].includes(error.reason);
        if (isExpired) endAttempt();
        if (tries >= 5 || !(isExpired || error.reason === "REQUEST_IN_PROGRESS")) throw error;
        await new Promise((resolve) => setTimeout(resolve, 1000 * (error.retryAfter || 1)));
      }
    }
  }

  failed(error) {
    if (error.isSessionEnd) return; // changed() leads to the sign-in, and back here
    if (error.reason === "PROMO_INVALID") {
      this.promo = null;
      this.wrong = {promoCode: error.text};
    } else {
      this.error = error;
      this.wrong = Object.fromEntries(Object.keys(error.fields).map((name) => [name, fieldError(error, name)]));
    }
    focusFirstWrong(this);
  }

  render() {
    if (!cart.lines.length) return html`<div class="wide narrow empty"><h1>${t("checkout")}</h1><p>${t("cart.empty")}</p>
      <a class="button" href="/shop/products">${t("start.browse")}</a></div>`;
    if (!this.address) return html`<div class="wide"><h1>${t("checkout")}</h1></div>`;
    return html`<div class="wide stack"><h1>${t("checkout")}</h1>
      <form class="split" novalidate @submit=${this.order}>
        <div class="stack">${this.addressFields()} ${this.cards()}</div>
        <aside class="panel summary stack"><h2>${t("summary")}</h2>
          <ul class="plain-list">${cart.lines.map((line) => html`<li><span>${line.quantity} × ${line.title}</span>
            <span>${money((cents(line.price) * line.quantity) / 100)}</span></li>`)}</ul>
          ${this.changedPrice ? message("warning", t("cart.price-changed")) : nothing}
          ${field({name: "promoCode", label: t("promo"), maxlength: 40, error: this.wrong.promoCode, oninput: (event) => this.typedCode(event)})}
          <p role="status" class="good">${this.promo ? html`${icon("check")} ${t("promo.valid", {percent: this.promo.discountPercentage, amount: money(this.promo.discountAmount)})}` : nothing}</p>
          <dl><div><dt>${t("subtotal")}</dt><dd>${money(cart.total)}</dd></div>
            ${this.promo ? html`<div class="good"><dt>${t("discount")}</dt><dd>−${money(this.promo.discountAmount)}</dd></div>` : nothing}
            <div><dt>${t("delivery")}</dt><dd>${t("delivery.free")}</dd></div>
            <div class="total"><dt>${t("total")}</dt><dd>${money(this.promo?.finalTotal ?? cart.total)}</dd></div></dl>
          ${this.error ? this.failure() : nothing}
          <button class="button wide-button" ?disabled=${this.busy}>${this.busy ? t("wait") : t("order.place")}</button>
          <p class="faint">${t("order.once")}</p></aside></form></div>`;
  }

  failure() {
    if (ABOUT_THE_CART.includes(this.error.reason)) {
      const ids = (this.error.metadata.productIds ?? "").split(",");
      const left = (this.error.metadata.availableQuantities ?? "").split(",");
      const short = cart.lines.filter((line) => ids.includes(line.id) || ids.includes(line.sku));
      return message("error", this.error.text, html`<ul>${short.map((line) => html`<li>${line.title}
        ${left[0] ? html`: ${t("cart.short", {count: Number(left[ids.indexOf(line.id)] ?? 0)})}` : nothing}</li>`)}</ul>
        <a href="/shop/cart">${t("cart.change")}</a>`);
    }
    return problem(this.error, () => this.order());
  }

  addressFields() {
    const names = new Intl.DisplayNames(language(), {type: "region"});
    const wrong = (name) => this.wrong[`shippingAddress.${name}`];
    const input = (name, more) => field({name: `shippingAddress.${name}`, label: t(`address.${name}`),
      value: this.address[name], error: wrong(name), ...more});
    return html`<fieldset class="panel stack"><legend>${icon("map-pin")} ${t("address")}</legend>
      ${input("recipient", {maxlength: 200, autocomplete: "shipping name"})}
      ${input("line1", {required: true, maxlength: 200, autocomplete: "shipping address-line1"})}
      ${input("line2", {maxlength: 200, autocomplete: "shipping address-line2"})}
      <div class="pair">${input("postalCode", {required: true, maxlength: 20, autocomplete: "shipping postal-code"})}
        ${input("city", {required: true, maxlength: 100, autocomplete: "shipping address-level2"})}</div>
      <div class="field"><label for="country">${t("address.country")}</label>
        <select id="country" name="shippingAddress.country" autocomplete="shipping country">
          ${COUNTRIES.map((each) => html`<option value=${each} ?selected=${each === this.address.country}>${names.of(each)}</option>`)}</select></div></fieldset>`;
  }

  cards() {
    return html`<fieldset class="panel stack"><legend>${icon("credit-card")} ${t("card")}</legend>
      <p class="faint">${t("card.sandbox")}</p>
      ${CARDS.map((each, index) => html`<label class="choice"><input type="radio" name="card" value=${each} ?checked=${index === 0}>
        <span>${t(`card.${each}`)}</span></label>`)}</fieldset>`;
  }
}

customElements.define("checkout-page", CheckoutPage);

// One product: picture, price, stock, ratings; its buyers rate it here.
import {api, categoryName, money, notify, session, t} from "../core.js";
import {
  Part, addToCart, fieldError, html, icon, nothing, picture, problem, quantityPicker, skeletons, stars, stockNote,
} from "../ui.js";

class ProductPage extends Part {
  static properties = {
    argument: {}, product: {state: true}, error: {state: true}, quantity: {state: true},
    chosen: {state: true}, rateError: {state: true}, rated: {state: true}, busy: {state: true},
  };

  connectedCallback() {
    super.connectedCallback();
    this.quantity = 1;
    this.ready = this.load();
  }

  async load({fresh = false} = {}) {
    this.error = null;
    try {
      const path = `/api/products/${encodeURIComponent(this.argument)}`;
      this.product = await api("GET", path, {mine: fresh, signal: this.leaving});
    } catch (error) {
      if (error.name !== "AbortError") this.error = error;
    }
  }

  async rate(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    const body = {stars: Number(form.get("stars")), comment: form.get("comment").trim()};
    this.busy = true;
    this.rateError = null;
    try {
      await api("POST", `/api/products/${this.product.productId}/ratings`, {body});
      this.rated = true;
      notify(t("rating.thanks"), "success");
      await this.load({fresh: true});
    } catch (error) {
      this.rateError = error;
    } finally {
      this.busy = false;
    }
  }

  render() {
    if (this.error) return html`<div class="wide stack"><h1>${t("product")}</h1>${problem(this.error, () => this.load())}
      <p><a href="/shop/products">${t("found.all")}</a></p></div>`;
    if (!this.product) return html`<div class="wide stack">${skeletons(2)}</div>`;
    const {product} = this;
    return html`<div class="wide stack">
      <nav aria-label=${t("trail")}><a href="/shop/products?category=${product.category}">${icon("arrow-left")} ${categoryName(product.category)}</a></nav>
      <article class="detail"><div class="card cover">${picture(product)}</div>
        <div class="stack"><h1>${product.title}</h1>
          <div class="row">${stars(product.ratings)} ${stockNote(product)}</div>
          <p class="lead">${product.description}</p>
          <p class="price big">${money(product.price, product.currency)}</p>
          ${product.promotion ? html`<p class="promotion">${icon("tag")} ${t("product.promotion", {percent: product.promotion.discountPercentage})}
            <code>${product.promotion.code}</code></p>` : nothing}
          ${product.stock ? html`<div class="row buy">
            ${quantityPicker({value: this.quantity, max: Math.min(product.stock, 1000), label: t("quantity"), onChange: (value) => (this.quantity = value)})}
            <button class="button" @click=${() => addToCart(product, this.quantity)}>${icon("shopping-basket")} ${t("cart.add")}</button></div>`
            : html`<p>${t("stock.none.text")}</p>`}
          <ul class="facts"><li>${icon("truck")} ${t("promise.delivery.text")}</li><li>${icon("rotate-ccw")} ${t("promise.refund.text")}</li></ul>
        </div></article>
      ${this.rating()}</div>`;
  }

  rating() {
    return html`<section class="panel narrow"><h2>${t("rating.title")}</h2>
      ${!session.isSignedIn ? html`<p>${t("rating.sign-in")} <a href="/shop/sign-in?next=${encodeURIComponent(location.pathname)}">${t("sign-in")}</a></p>`
        : this.rated ? html`<p>${icon("circle-check")} ${t("rating.thanks")}</p>` : html`
      <form class="stack" @submit=${this.rate}>
        ${this.rateError ? problem(this.rateError) : nothing}
        <fieldset class="star-choice"><legend>${t("rating.stars")}</legend>
          ${[1, 2, 3, 4, 5].map((each) => html`<label class=${each <= this.chosen ? "full" : ""}>
            <input class="visually-hidden" type="radio" name="stars" value=${each} required @change=${() => (this.chosen = each)}>
            <span class="visually-hidden">${t("rating.count", {count: each})}</span>${icon("star")}</label>`)}</fieldset>
        <div class="field"><label for="comment">${t("rating.comment")} <span class="faint">${t("optional")}</span></label>
          <textarea id="comment" name="comment" rows="3" maxlength="2000"></textarea>
          ${fieldError(this.rateError, "comment") ? html`<p class="wrong">${fieldError(this.rateError, "comment")}</p>` : nothing}</div>
        <button class="button quiet" ?disabled=${this.busy}>${t("rating.send")}</button></form>`}</section>`;
  }
}

customElements.define("product-page", ProductPage);

// The cart, compared with the shop as it is now: what is sold out or has another price is named.
import {cart, cents, fetchProducts, money, t} from "../core.js";
import {Part, html, icon, message, nothing, picture, problem, quantityPicker, skeletons} from "../ui.js";

class CartPage extends Part {
  static properties = {products: {state: true}, changedPrices: {state: true}, error: {state: true}};

  connectedCallback() {
    super.connectedCallback();
    this.changedPrices = [];
    this.ready = this.load();
  }

  async load() {
    this.error = null;
    const lines = cart.lines;
    try {
      // Not from a cache: the person is about to buy.
      const products = await fetchProducts(lines.map((line) => line.id), {fresh: true});
      const found = new Map(products.map((each) => [each.productId, each]));
      this.changedPrices = lines.filter((line) => found.has(line.id) && cents(found.get(line.id).price) !== cents(line.price));
      this.products = found;
      if (this.changedPrices.length) cart.refresh(products);
    } catch (error) {
      this.error = error;
      this.products = new Map();
    }
  }

  /** What is wrong with a line: sold out, too many, no longer sold; empty when nothing is. */
  problemOf(line) {
    if (this.error || !this.products) return "";
    const product = this.products.get(line.id);
    if (!product) return t("cart.gone");
    if (product.stock === 0) return t("cart.sold-out");
    return product.stock < line.quantity ? t("cart.short", {count: product.stock}) : "";
  }

  render() {
    const lines = cart.lines;
    if (!lines.length) {
      return html`<div class="wide narrow empty">${picture({title: "bowl", category: "", sku: "b"})}<h1>${t("cart")}</h1>
        <p>${t("cart.empty")}</p><a class="button" href="/shop/products">${t("start.browse")}</a></div>`;
    }
    const isBlocked = lines.some((line) => this.problemOf(line));
    return html`<div class="wide stack"><h1>${t("cart")}</h1>
      ${this.error ? problem(this.error, () => this.load()) : nothing}
      ${this.changedPrices.length ? message("warning", t("cart.price-changed"),
        html`<ul>${this.changedPrices.map((line) => html`<li>${t("cart.price-was", {title: line.title, before: money(line.price)})}</li>`)}</ul>`) : nothing}
      ${this.products ? nothing : skeletons(1)}
      <div class="split"><ul class="lines">${lines.map((line) => this.line(line))}</ul>
        <aside class="panel summary"><h2>${t("summary")}</h2>
          <dl><div><dt>${t("cart.items", {count: cart.count})}</dt><dd>${money(cart.total)}</dd></div>
          <div><dt>${t("delivery")}</dt><dd>${t("delivery.free")}</dd></div>
          <div class="total"><dt>${t("total")}</dt><dd>${money(cart.total)}</dd></div></dl>
          ${isBlocked ? message("warning", t("cart.blocked")) : nothing}
          <a class="button wide-button" href="/shop/checkout" aria-disabled=${isBlocked ? "true" : nothing}
            @click=${(event) => isBlocked && (event.preventDefault(), event.stopPropagation())}>${t("checkout")} ${icon("chevron-right")}</a>
          <p class="faint">${t("cart.promo-later")}</p></aside></div></div>`;
  }

  line(line) {
    const wrong = this.problemOf(line);
    const stock = this.products?.get(line.id)?.stock ?? 1000;
    return html`<li class="line ${wrong ? "wrong-line" : ""}"><a href="/shop/products/${line.sku}" tabindex="-1" aria-hidden="true">${picture(line)}</a>
      <div><a href="/shop/products/${line.sku}">${line.title}</a><p class="faint">${money(line.price)}</p>
        ${wrong ? html`<p class="wrong" role="alert">${icon("circle-alert")} ${wrong}
          ${stock > 0 && stock < line.quantity ? html`<button class="plain" @click=${() => cart.set(line.id, stock)}>${t("cart.take", {count: stock})}</button>` : nothing}</p>` : nothing}</div>
      ${quantityPicker({value: line.quantity, max: Math.max(1, Math.min(1000, Math.max(stock, line.quantity))), label: t("quantity.of", {title: line.title}), onChange: (value) => cart.set(line.id, value)})}
      <strong class="price">${money((cents(line.price) * line.quantity) / 100)}</strong>
      <button class="plain" @click=${() => cart.set(line.id, 0)} aria-label=${t("cart.remove", {title: line.title})}>${icon("trash")}</button></li>`;
  }
}

customElements.define("cart-page", CartPage);

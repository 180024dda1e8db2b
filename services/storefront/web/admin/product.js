// One product: its details and picture, and its stock. At /new, a product that is added.
import {api, categoryName, go, language, notify, t} from "../core.js";
import {field, html, icon, nothing, picture, problem, skeletons} from "../ui.js";
import {AdminPart, area} from "./parts.js";

const CATEGORIES = ["dog-food", "cat-food", "small-animals", "toys", "care-and-accessories"];
const REASONS = ["delivery", "count", "damaged", "returned"];
const NEW = {sku: "", title: "", description: "", category: "", price: "", imageUrl: ""};

/** A price as people type it: "4,50" is "4.50". */
const price = (typed) => typed.replace(",", ".");
const shown = (amount) => (language() === "fr" ? amount.replace(".", ",") : amount);

class AdminProduct extends AdminPart {
  static properties = {product: {state: true}, draft: {state: true}};

  get isNew() {
    return this.argument === "new";
  }

  get path() {
    return `/api/products/${encodeURIComponent(this.argument)}`;
  }

  async fetch() {
    this.product = this.isNew ? NEW : await api("GET", this.path, {signal: this.leaving});
    this.draft = {title: this.product.title, category: this.product.category, sku: this.product.sku};
  }

  /** The picture follows what is typed. */
  typed(event) {
    if (event.target.name in this.draft) this.draft = {...this.draft, [event.target.name]: event.target.value};
  }

  save(event) {
    return this.send(event, "details", async ({sku, stock, ...details}) => {
      const body = {...details, price: price(details.price)};
      if (!this.isNew) {
        this.product = await api("PUT", this.path, {body});
        notify(t("admin.product.saved"), "success");
        return;
      }
      const added = await api("POST", "/api/products", {body: {...body, sku, stock: Number(stock)}});
      notify(t("admin.product.added", {title: added.title}), "success");
      go(`/admin/products/${added.sku}`, {replace: true});
    });
  }

  adjust(event) {
    return this.send(event, "stock", async ({quantity: typed, reason}, form) => {
      const quantity = typed.replace("−", "-"); // as the hint writes it
      if (!/^[+-]?\d{1,7}$/.test(quantity) || !Number(quantity)) return {quantity: t("rule.quantity")};
      const body = {quantity: Number(quantity), reason};
      const {newQuantity} = await api("PATCH", `${this.path}/inventory`, {body});
      this.product = {...this.product, stock: newQuantity};
      notify(t("admin.stock.saved", {count: newQuantity}), "success");
      form.reset();
    });
  }

  render() {
    const back = html`<nav aria-label=${t("trail")}><a href="/admin/products">${icon("arrow-left")} ${t("admin.products")}</a></nav>`;
    if (this.error) return html`<div class="stack">${back}<h1>${t("product")}</h1>${problem(this.error, () => this.load())}</div>`;
    if (!this.product) return html`<div class="stack">${back}<h1>${t("product")}</h1>${skeletons(2)}</div>`;
    return html`<div class="stack">${back}
      <h1>${this.isNew ? t("admin.new-product") : this.product.title}</h1>
      <div class="split">${this.details()}
        <aside class="stack"><div class="panel stack preview">${picture(this.draft)}
            <p class="hint">${t("admin.picture.text")}</p>
            ${this.isNew ? nothing : html`<a class="button quiet" href="/shop/products/${this.product.sku}">${t("admin.see-in-shop")} ${icon("chevron-right")}</a>`}</div>
          ${this.isNew ? nothing : this.stock()}</aside></div></div>`;
  }

  details() {
    const {product, wrong} = this;
    return html`<form class="panel stack" novalidate @submit=${this.save} @input=${this.typed}>
      <h2>${t("admin.details")}</h2>${this.failure("details")}
      ${field({name: "title", label: t("admin.title"), value: product.title, required: true, maxlength: 255, error: wrong.title})}
      ${this.isNew ? field({name: "sku", label: t("admin.sku"), required: true, maxlength: 64, pattern: "[A-Za-z0-9_\\-]+", hint: t("rule.sku"), error: wrong.sku}) : nothing}
      ${area({name: "description", label: t("admin.description"), value: product.description, maxlength: 5000, error: wrong.description})}
      <div class="pair"><div class="field ${wrong.category ? "invalid" : ""}"><label for="category">${t("category")}</label>
          <select id="category" name="category" required aria-invalid=${wrong.category ? "true" : nothing} aria-describedby=${wrong.category ? "category-error" : nothing}>
            ${[...new Set(["", ...CATEGORIES, product.category])].map((each) => html`<option value=${each} ?selected=${each === product.category}>${each ? categoryName(each) : t("admin.choose")}</option>`)}</select>
          ${wrong.category ? html`<p class="wrong" id="category-error">${icon("circle-alert")} ${wrong.category}</p>` : nothing}</div>
        ${field({name: "price", label: t("admin.price"), value: shown(product.price), required: true, maxlength: 9, inputmode: "decimal", pattern: "[0-9]{1,6}([.,][0-9]{1,2})?", error: wrong.price})}
        ${this.isNew ? field({name: "stock", label: t("admin.first-stock"), value: "0", required: true, maxlength: 7, inputmode: "numeric", pattern: "[0-9]+", error: wrong.stock}) : nothing}</div>
      ${field({name: "imageUrl", label: t("admin.image"), value: product.imageUrl, maxlength: 500, hint: t("admin.image.hint"), error: wrong.imageUrl})}
      <button class="button" ?disabled=${this.busy}>${t(this.isNew ? "admin.add-product" : "save")}</button></form>`;
  }

  stock() {
    return html`<form class="panel stack" novalidate @submit=${this.adjust}>
      <h2>${t("admin.stock")}</h2><p class="on-sale" role="status"><strong>${this.product.stock}</strong> ${t("admin.on-sale", {count: this.product.stock})}</p>
      ${this.failure("stock")}
      ${field({name: "quantity", label: t("admin.change"), required: true, maxlength: 8, hint: t("admin.change.hint"), error: this.wrong.quantity})}
      ${field({name: "reason", label: t("admin.reason"), required: true, maxlength: 255, error: this.wrong.reason})}
      <div class="row suggestions" role="group" aria-label=${t("admin.reason")}>${REASONS.map((each) => html`<button type="button" class="chip"
        @click=${(event) => (event.target.form.elements.reason.value = t(`admin.reason.${each}`))}>${t(`admin.reason.${each}`)}</button>`)}</div>
      <button class="button" ?disabled=${this.busy}>${t("admin.change.save")}</button></form>`;
  }
}

customElements.define("admin-product", AdminProduct);

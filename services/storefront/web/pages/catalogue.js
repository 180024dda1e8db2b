// The catalogue: search as you type, category, animal, price, order and pages, all in the address.
import {api, categoryName, go, replaceQuery, t} from "../core.js";
import {Part, html, icon, message, nothing, problem, productGrid, skeletons} from "../ui.js";

const CATEGORIES = ["dog-food", "cat-food", "small-animals", "toys", "care-and-accessories"];
const ANIMALS = ["dog", "cat", "rabbit"];
const SORTS = ["", "PRICE_ASCENDING", "PRICE_DESCENDING"];
const PRICES = ["10", "20", "50"];
const PAGE_SIZE = 24;
const TYPING_MILLISECONDS = 250;

class CataloguePage extends Part {
  static properties = {found: {state: true}, error: {state: true}, filters: {state: true}, busy: {state: true}};

  connectedCallback() {
    super.connectedCallback();
    this.filters = Object.fromEntries(new URLSearchParams(location.search));
    this.ready = this.load();
  }

  /** Ask for what the filters say; what an older request finds is dropped. */
  async load() {
    this._request?.abort();
    this._request = new AbortController();
    this.busy = true;
    this.error = null;
    try {
      const signal = AbortSignal.any([this._request.signal, this.leaving]);
      this.found = await api("GET", `/api/products?${this.query()}`, {mine: false, signal});
      this.busy = false;
    } catch (error) {
      if (error.name === "AbortError") return;
      this.error = error;
      this.busy = false;
    }
  }

  query() {
    const {q = "", animal = "", category, sort, max, page} = this.filters;
    const query = {q: `${q} ${animal}`.trim(), category, sort, maxPrice: max, page, limit: PAGE_SIZE};
    return new URLSearchParams(Object.entries(query).filter(([, value]) => value));
  }

  get page() {
    return Math.max(1, Number(this.filters.page) || 1);
  }

  typed(event) {
    const q = event.target.value;
    this.filters = {...this.filters, q, page: ""};
    clearTimeout(this._typing);
    this._typing = setTimeout(() => {
      replaceQuery(this.filters);
      this.load();
    }, TYPING_MILLISECONDS);
  }

  /** A choice is a step that the back button takes back. */
  choose(change) {
    const query = new URLSearchParams(
      Object.entries({...this.filters, page: "", ...change}).filter(([, value]) => value),
    );
    go(`/shop/products${query.size ? `?${query}` : ""}`);
  }

  select(name, label, options) {
    return html`<div class="field"><label for=${name}>${label}</label>
      <select id=${name} @change=${(event) => this.choose({[name]: event.target.value})}>
        ${options.map(([value, text]) => html`<option value=${value} ?selected=${(this.filters[name] ?? "") === value}>${text}</option>`)}
      </select></div>`;
  }

  render() {
    const {category = "", q = ""} = this.filters;
    const title = category ? categoryName(category) : t("products");
    return html`<div class="wide stack"><h1>${title}</h1>
      <form class="filters" role="search" aria-label=${t("filters")} @submit=${(event) => event.preventDefault()}>
        <div class="field grow"><label for="q">${t("search")}</label>
          <input id="q" type="search" maxlength="100" autocomplete="off" .value=${q} @input=${this.typed}></div>
        ${this.select("category", t("category"), [["", t("all")], ...CATEGORIES.map((each) => [each, categoryName(each)])])}
        ${this.select("animal", t("animal"), [["", t("all")], ...ANIMALS.map((each) => [each, t(`animal.${each}`)])])}
        ${this.select("max", t("price"), [["", t("all")], ...PRICES.map((each) => [each, t("price.below", {amount: each})])])}
        ${this.select("sort", t("sort"), SORTS.map((each) => [each, t(`sort.${each}`)]))}
      </form>
      <p class="faint" role="status" aria-live="polite">${this.found && !this.busy ? t("found", {count: this.found.total}) : nothing}</p>
      ${this.results()}</div>`;
  }

  results() {
    if (this.error) return problem(this.error, () => this.load());
    if (!this.found) return skeletons(12);
    if (!this.found.products.length) {
      return message("info", t("found.none"), html`<a href="/shop/products">${t("found.all")}</a>`);
    }
    return html`<div class=${this.busy ? "reloading" : ""}>${productGrid(this.found.products)}</div>${this.pager()}`;
  }

  pager() {
    const pages = Math.ceil(this.found.total / PAGE_SIZE);
    if (pages < 2) return nothing;
    const link = (page, label, name) => html`<a class="button quiet" rel=${label}
      href="?${new URLSearchParams(Object.entries({...this.filters, page: String(page)}).filter(([, value]) => value))}">${name}</a>`;
    return html`<nav class="pager" aria-label=${t("pages")}>
      ${this.page > 1 ? link(this.page - 1, "prev", html`${icon("chevron-left")} ${t("page.previous")}`) : html`<span></span>`}
      <span>${t("page", {page: this.page, pages})}</span>
      ${this.page < pages ? link(this.page + 1, "next", html`${t("page.next")} ${icon("chevron-right")}`) : html`<span></span>`}</nav>`;
  }
}

customElements.define("catalogue-page", CataloguePage);

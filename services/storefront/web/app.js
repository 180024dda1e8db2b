// The frame of every page (header, messages, footer), the routes, and the start page.
import {
  LANGUAGES, api, cart, categoryName, changes, chooseLanguage, fetchProducts, go, language, loadLanguage, session, t,
} from "./core.js";
import {
  Part, hero, html, icon, logo, message, nothing, picture, problem, productGrid, skeletons,
} from "./ui.js";

const ROUTES = [
  [/^\/$/, "start-page", null],
  [/^\/shop\/products$/, "catalogue-page", () => import("./pages/catalogue.js")],
  [/^\/shop\/products\/([^/]+)$/, "product-page", () => import("./pages/product.js")],
  [/^\/shop\/cart$/, "cart-page", () => import("./pages/cart.js")],
  [/^\/shop\/checkout$/, "checkout-page", () => import("./pages/checkout.js")],
  [/^\/shop\/(sign-in|register)$/, "sign-in-page", () => import("./pages/sign-in.js")],
  [/^\/shop\/account$/, "account-page", () => import("./pages/account.js")],
  [/^\/shop\/orders$/, "orders-page", () => import("./pages/orders.js")],
  [/^\/shop\/orders\/([^/]+)$/, "order-page", () => import("./pages/order.js")],
  [/^\/admin(?:\/(.*))?$/, "admin-frame", () => import("./admin/frame.js")],
  [/^\/ops(?:\/(.*))?$/, "ops-frame", () => import("./ops/frame.js")],
];
export const CATEGORIES = ["dog-food", "cat-food", "small-animals", "toys", "care-and-accessories"];
const CATEGORY_ICONS = ["dog", "cat", "rabbit", "bone", "heart"];

class ShopApp extends Part {
  static properties = {page: {state: true}, notice: {state: true}};

  async connectedCallback() {
    super.connectedCallback();
    history.scrollRestoration = "manual";
    changes.addEventListener("notice", ({detail}) => this.show(detail));
    addEventListener("popstate", () => this.navigate({y: history.state?.y ?? 0}));
    addEventListener("navigate", () => this.navigate({y: 0}));
    addEventListener("pagehide", () => history.replaceState({...history.state, y: scrollY}, ""));
    this.addEventListener("click", followLink);
    await loadLanguage();
    await this.navigate({y: history.state?.y ?? 0, isFirst: true});
  }

  async navigate({y, isFirst = false}) {
    const path = decodeURI(location.pathname).replace(/(.)\/$/, "$1");
    const [pattern, tag, load] = ROUTES.find(([each]) => each.test(path)) ?? [/$/, "lost-page", null];
    try {
      await load?.();
    } catch {
      // The scripts of another version, or no connection: the page is loaded again from the start.
      this.show({text: t("error.OFFLINE"), kind: "error"});
      return;
    }
    this.page = {tag, argument: path.match(pattern)[1] ?? "", url: location.href};
    await this.updateComplete;
    const place = this.querySelector("main");
    const element = document.createElement(tag);
    element.argument = this.page.argument;
    place.replaceChildren(element);
    await element.updateComplete;
    await element.ready?.catch?.(() => {});
    await element.updateComplete;
    const heading = place.querySelector("h1");
    document.title = heading && tag !== "start-page" ? `${heading.textContent.trim()} · Mamie Rosa` : "Mamie Rosa";
    scrollTo({top: y, behavior: "instant"});
    if (!isFirst) {
      // Where a reader of the screen, or of the keyboard, goes on.
      heading?.setAttribute("tabindex", "-1");
      heading?.focus({preventScroll: true});
    }
  }

  show(notice) {
    this.notice = notice;
    clearTimeout(this._fading);
    this._fading = setTimeout(() => (this.notice = null), 7000);
  }

  render() {
    if (!this.page) return nothing;
    return html`<a class="skip" href="#main" @click=${skipToMain}>${t("skip")}</a>
      ${header()}
      <main id="main" tabindex="-1"></main>
      <div class="notices" role="status" aria-live="polite">
        ${this.notice ? html`<p class="notice ${this.notice.kind}">${this.notice.text}
          <button class="plain" @click=${() => (this.notice = null)} aria-label=${t("close")}>${icon("x")}</button></p>` : nothing}</div>
      ${footer()}`;
  }
}

function skipToMain(event) {
  event.preventDefault();
  event.stopPropagation();
  document.getElementById("main").focus();
}

/** Turn a click on a link of the shop into navigation without a new load. */
function followLink(event) {
  const link = event.target.closest("a[href]");
  const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  if (!link || !isPlain || link.origin !== location.origin || link.target) return;
  if (link.pathname !== "/" && !/^\/(shop|admin|ops)(\/|$)/.test(link.pathname)) return;
  event.preventDefault();
  go(link.pathname + link.search);
}

function search(event) {
  event.preventDefault();
  const q = new FormData(event.target).get("q").trim();
  go(`/shop/products${q ? `?q=${encodeURIComponent(q)}` : ""}`);
}

const at = (path) => (location.pathname === path ? "page" : nothing);

function header() {
  const count = cart.count;
  return html`<header class="top"><div class="wide row">
      <a class="brand" href="/">${logo} <span>Mamie Rosa</span></a>
      <form class="search" role="search" @submit=${search}>
        <input type="search" name="q" maxlength="100" aria-label=${t("search")} placeholder=${t("search.hint")}>
        <button class="plain" aria-label=${t("search")}>${icon("search")}</button></form>
      <nav aria-label=${t("menu")} class="row">
        ${session.isSignedIn
          ? html`${session.isAdmin
              ? html`<a class="tool" href="/admin" aria-current=${location.pathname.startsWith("/admin") ? "page" : nothing}>${icon("house")}<span>${t("admin")}</span></a>`
              : html`<a class="tool" href="/shop/orders" aria-current=${at("/shop/orders")}>${icon("clipboard-list")}<span>${t("orders")}</span></a>`}
            <a class="tool" href="/shop/account" aria-current=${at("/shop/account")}>${icon("user")}<span>${t("account")}</span></a>`
          : html`<a class="tool" href="/shop/sign-in" aria-current=${at("/shop/sign-in")}>${icon("user")}<span>${t("sign-in")}</span></a>`}
        <a class="tool basket" href="/shop/cart" aria-current=${at("/shop/cart")}
          aria-label=${t("cart.items", {count})}>${icon("shopping-basket")}<span>${t("cart")}</span>
          ${count ? html`<b aria-hidden="true">${count}</b>` : nothing}</a></nav></div>
    <nav class="categories" aria-label=${t("categories")}><div class="wide row">
      ${CATEGORIES.map((each) => html`<a href="/shop/products?category=${each}"
        aria-current=${new URLSearchParams(location.search).get("category") === each ? "page" : nothing}>${categoryName(each)}</a>`)}
    </div></nav></header>`;
}

const footer = () => html`<footer><div class="wide">
  <p class="brand">${logo} <span>Mamie Rosa</span></p>
  <p class="faint">${t("footer.about")}</p>
  <p class="faint">${t("footer.sandbox")}</p>
  <div class="row" role="group" aria-label=${t("language")}>${icon("globe")}
    ${Object.entries(LANGUAGES).map(([name, label]) => html`<button class="plain" lang=${name}
      aria-pressed=${String(language() === name)} @click=${() => chooseLanguage(name)}>${label}</button>`)}</div>
  </div></footer>`;

// --- The start page -------------------------------------------------------------------------

class StartPage extends Part {
  static properties = {home: {state: true}, products: {state: true}, error: {state: true}};

  connectedCallback() {
    super.connectedCallback();
    this._for = session.userId;
    this.ready = this.load();
  }

  changed() {
    super.changed();
    if (this._for !== session.userId) this.connectedCallback();
  }

  async load() {
    this.error = null;
    try {
      this.home = session.isSignedIn ? await this.fetchHome() : null;
      this.products = (this.home && (await this.fetchNamed())) ??
        (await api("GET", "/api/products?limit=8", {mine: false, signal: this.leaving})).products;
    } catch (error) {
      if (error.name !== "AbortError") this.error = error;
    }
  }

  async fetchHome() {
    try {
      return await api("GET", "/api/home", {signal: this.leaving});
    } catch (error) {
      if (error.isSessionEnd) return null; // the page of visitors, under the message about it
      throw error;
    }
  }

  /** The products that the page names, as they are now; nothing when it names none. */
  async fetchNamed() {
    const ids = [...new Set([...this.recommended, ...this.bought].map((each) => each.productId))];
    return ids.length ? await fetchProducts(ids.slice(0, 50)) : null;
  }

  get recommended() {
    return this.home?.recommendations ?? [];
  }

  get bought() {
    return (this.home?.orders ?? []).flatMap((order) => order.items).slice(0, 8);
  }

  select(items) {
    const found = new Map((this.products ?? []).map((each) => [each.productId, each]));
    const unique = [...new Map(items.map((each) => [each.productId, each])).values()];
    return unique.filter((each) => found.has(each.productId))
      .map((each) => ({...found.get(each.productId), reason: language() === "en" ? each.reason : ""}));
  }

  render() {
    const name = this.home?.profile?.firstName;
    const again = this.select(this.bought);
    const recommended = this.select(this.recommended);
    return html`<section class="hero"><div class="wide">
        <div><h1>${name ? t("start.hello", {name}) : t("start.title")}</h1>
          <p class="lead">${t("start.lead")}</p>
          <p><a class="button" href="/shop/products">${t("start.browse")} ${icon("chevron-right")}</a></p></div>
        ${hero}</div></section>
      <div class="wide stack">
        <nav aria-label=${t("categories")}><ul class="tiles">${CATEGORIES.map((each, index) => html`<li>
          <a class="tile tile-${index}" href="/shop/products?category=${each}">${icon(CATEGORY_ICONS[index])}
            <span>${categoryName(each)}</span></a></li>`)}</ul></nav>
        ${this.home ? promotions(this.home.promotions) : nothing}
        ${this.home?.degraded.length ? message("info", t("start.degraded")) : nothing}
        ${this.error ? problem(this.error, () => this.load()) : nothing}
        ${this.products || this.error ? nothing : skeletons()}
        ${again.length ? html`<section><h2>${icon("rotate-ccw")} ${t("start.again")}</h2>${productGrid(again)}</section>` : nothing}
        ${recommended.length ? html`<section><h2>${icon("sparkles")} ${t("start.recommended")}</h2>${productGrid(recommended)}</section>` : nothing}
        ${this.products && !again.length && !recommended.length
          ? html`<section><h2>${icon("heart")} ${t("start.popular")}</h2>${productGrid(this.products)}</section>` : nothing}
        <section class="promises"><h2 class="visually-hidden">${t("promises")}</h2>
          ${[["truck", "promise.delivery"], ["heart", "promise.recipes"], ["rotate-ccw", "promise.refund"]].map(([name, key]) =>
            html`<div>${icon(name)}<h3>${t(key)}</h3><p>${t(`${key}.text`)}</p></div>`)}</section></div>`;
  }
}

const promotions = (active) => active?.length
  ? html`<section class="promotions" aria-label=${t("promotions")}>${active.slice(0, 3).map((each) => html`<p>${icon("tag")}
      <span>${t("promotion", {percent: each.discountPercentage})}
      ${each.category ? t("promotion.category", {category: categoryName(each.category)}) : nothing}</span>
      <code>${each.code}</code></p>`)}</section>` : nothing;

class LostPage extends Part {
  render() {
    return html`<div class="wide narrow empty">${picture({title: "Plush cat", category: "toys"})}
      <h1>${t("lost")}</h1><p>${t("lost.text")}</p><a class="button" href="/">${t("home")}</a></div>`;
  }
}

customElements.define("start-page", StartPage);
customElements.define("lost-page", LostPage);
customElements.define("shop-app", ShopApp);

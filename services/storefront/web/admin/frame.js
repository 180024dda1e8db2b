// The owner's part of the shop: its menu, and one page of it at a time.
import {addWords, session, t} from "../core.js";
import {PrivatePart, html, icon, nothing, problem} from "../ui.js";

const PAGES = [
  [/^$/, "admin-today", () => import("./today.js")],
  [/^orders$/, "admin-orders", () => import("./orders.js")],
  [/^orders\/([^/]+)$/, "admin-order", () => import("./order.js")],
  [/^products$/, "admin-products", () => import("./products.js")],
  [/^products\/([^/]+)$/, "admin-product", () => import("./product.js")],
  [/^promotions$/, "admin-promotions", () => import("./promotions.js")],
  [/^customers$/, "admin-customers", () => import("./customers.js")],
  [/^customers\/([^/]+)$/, "admin-customer", () => import("./customer.js")],
  [/^checks$/, "admin-checks", () => import("./checks.js")],
];

class AdminFrame extends PrivatePart {
  static properties = {argument: {}, isOpen: {state: true}, error: {state: true}};

  async open() {
    if (!session.isAdmin) return;
    const path = this.argument ?? "";
    const [pattern, tag, load] = PAGES.find(([each]) => each.test(path)) ?? [/$/, "lost-page", null];
    try {
      await Promise.all([addWords("./admin/lang"), load?.(), addStyle()]);
    } catch {
      this.error = {text: t("error.OFFLINE")};
      return;
    }
    this.isOpen = true;
    await this.updateComplete;
    const page = document.createElement(tag);
    page.argument = path.match(pattern)[1] ?? "";
    this.querySelector(".admin-page").replaceChildren(page);
    await page.updateComplete;
    await page.ready?.catch?.(() => {});
    await page.updateComplete;
  }

  render() {
    if (!session.isSignedIn) return nothing;
    if (!session.isAdmin) return html`<div class="wide narrow empty"><h1>${t("admin.only")}</h1>
      <p>${t("error.ADMIN_ONLY")}</p><a class="button" href="/">${t("home")}</a></div>`;
    if (this.error) return html`<div class="wide stack"><h1>${t("admin")}</h1>${problem(this.error, () => location.reload())}</div>`;
    if (!this.isOpen) return nothing;
    const section = (this.argument ?? "").split("/")[0];
    const link = (name, path, label, symbol) => html`<a href="/admin${path}" aria-current=${section === name ? "page" : nothing}>${icon(symbol)} ${label}</a>`;
    return html`<div class="wide admin"><nav class="admin-menu" aria-label=${t("admin")}>
        ${link("", "", t("admin.today"), "house")}
        ${link("orders", "/orders", t("admin.orders"), "package")}
        ${link("products", "/products", t("admin.products"), "paw-print")}
        ${link("promotions", "/promotions", t("admin.promotions"), "tag")}
        ${link("customers", "/customers", t("admin.customers"), "user")}
        ${link("checks", "/checks", t("admin.checks"), "circle-check")}</nav>
      <div class="admin-page"></div></div>`;
  }
}

/** The style of these pages alone: customers do not wait for it. */
function addStyle() {
  const href = new URL("./admin.css", import.meta.url).href;
  if (document.querySelector(`link[href="${href}"]`)) return null;
  return new Promise((resolve, reject) => {
    const link = Object.assign(document.createElement("link"), {rel: "stylesheet", href, onload: resolve, onerror: reject});
    document.head.append(link);
  });
}

customElements.define("admin-frame", AdminFrame);

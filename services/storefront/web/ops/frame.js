// The part for engineers: its menu, and one page of it at a time. It is in English only: its words
// are those of the metrics, the logs and the runbook.
import {addWords, session, t} from "../core.js";
import {PrivatePart, html, icon, nothing, problem} from "../ui.js";
import {addStyle} from "./parts.js";

const PAGES = [
  [/^$/, "ops-mesh", () => import("./mesh.js")],
  [/^traces$/, "ops-traces", () => import("./traces.js")],
  [/^traces\/([0-9a-f]+)$/, "ops-trace", () => import("./trace.js")],
];

class OpsFrame extends PrivatePart {
  static properties = {argument: {}, isOpen: {state: true}, error: {state: true}};

  async open() {
    if (!session.isAdmin) return;
    const path = this.argument ?? "";
    const [pattern, tag, load] = PAGES.find(([each]) => each.test(path)) ?? [/$/, "lost-page", null];
    try {
      await Promise.all([addWords("./admin/lang"), load?.(), addStyle("./ops.css")]);
    } catch {
      this.error = {text: t("error.OFFLINE")};
      return;
    }
    this.isOpen = true;
    await this.updateComplete;
    const page = document.createElement(tag);
    page.argument = path.match(pattern)[1] ?? "";
    this.querySelector(".ops-page").replaceChildren(page);
    await page.updateComplete;
    await page.ready?.catch?.(() => {});
    await page.updateComplete;
  }

  render() {
    if (!session.isSignedIn) return nothing;
    if (!session.isAdmin) return html`<div class="wide narrow empty"><h1>${t("admin.only")}</h1>
      <p>${t("error.ADMIN_ONLY")}</p><a class="button" href="/">${t("home")}</a></div>`;
    if (this.error) return html`<div class="wide stack"><h1>Ops</h1>${problem(this.error, () => location.reload())}</div>`;
    if (!this.isOpen) return nothing;
    const inTraces = (this.argument ?? "").startsWith("traces");
    const link = (path, label, symbol, isHere) => html`<a href=${path} aria-current=${isHere ? "page" : nothing}>${icon(symbol)} ${label}</a>`;
    return html`<div class="wide ops" lang="en"><nav class="ops-menu" aria-label="Ops">
        ${link("/ops", "Mesh", "activity", !inTraces)}
        ${link("/ops/traces", "Traces", "clock", inTraces)}
        ${link("/admin", "Owner's pages", "house", false)}</nav>
      <div class="ops-page"></div></div>`;
  }
}

customElements.define("ops-frame", OpsFrame);

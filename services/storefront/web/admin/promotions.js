// Promotion codes: all of them, a new one, and the end of one.
import {api, categoryName, date, money, notify, number, t} from "../core.js";
import {field, html, icon, nothing, problem, skeletons} from "../ui.js";
import {AdminPart, empty, pager} from "./parts.js";

const PAGE_SIZE = 20;
const CATEGORIES = ["dog-food", "cat-food", "small-animals", "toys", "care-and-accessories"];
const DAYS = 30;

/** A moment as an input of type datetime-local has it. */
const local = (moment) => new Date(moment - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);

function stateOf(promotion, now = Date.now()) {
  if (Date.parse(promotion.validUntil) <= now) return "over";
  if (promotion.maxUses && promotion.usageCount >= promotion.maxUses) return "used-up";
  return Date.parse(promotion.validFrom) > now ? "soon" : "active";
}

class AdminPromotions extends AdminPart {
  static properties = {found: {state: true}, ending: {state: true}};

  async fetch() {
    this.found = await api("GET", `/api/admin/promotions?page=${this.page}&limit=${PAGE_SIZE}`, {signal: this.leaving});
  }

  add(event) {
    return this.send(event, "promotion", async (given, form) => {
      const [validFrom, validUntil] = [new Date(given.validFrom), new Date(given.validUntil)];
      if (validUntil <= validFrom) return {validUntil: t("rule.validUntil")};
      const numbers = ["discountPercentage", "maxUses", "maxUsesPerUser"].map((name) => [name, Number(given[name] || 0)]);
      const body = {
        ...given, ...Object.fromEntries(numbers), minCartTotal: given.minCartTotal.replace(",", "."),
        validFrom: validFrom.toISOString(), validUntil: validUntil.toISOString(),
      };
      const added = await api("POST", "/api/promotions", {body});
      notify(t("admin.promotion.added", {code: added.code}), "success");
      form.reset();
      // Shown first, wherever its end would put it.
      this.found = {...this.found, promotions: [added, ...(this.found?.promotions ?? [])]};
    });
  }

  end(code) {
    this.ending = "";
    return this.act(async () => {
      const ended = await api("POST", `/api/promotions/${encodeURIComponent(code)}/end`, {body: {}});
      const promotions = this.found.promotions.map((each) => (each.code === ended.code ? ended : each));
      this.found = {...this.found, promotions};
    }, t("admin.promotion.ended", {code}));
  }

  render() {
    return html`<div class="stack"><h1>${t("admin.promotions")}</h1>
      <div class="split"><section class="stack">
          ${this.error ? problem(this.error, () => this.load()) : this.found ? this.list() : skeletons(2)}</section>
        ${this.form()}</div></div>`;
  }

  list() {
    const {promotions, total} = this.found;
    if (!promotions.length) return empty(t("admin.no-promotions"));
    return html`<ul class="panel rows codes">${promotions.map((each) => this.row(each))}</ul>
      ${pager(this.page, Math.ceil(total / PAGE_SIZE), (page) => `/admin/promotions?page=${page}`)}`;
  }

  row(promotion) {
    const {code} = promotion;
    const state = stateOf(promotion);
    const uses = promotion.maxUses ? `${number(promotion.usageCount)} / ${number(promotion.maxUses)}` : number(promotion.usageCount);
    const rules = [
      promotion.category && categoryName(promotion.category),
      Number(promotion.minCartTotal) && t("admin.from-total", {amount: money(promotion.minCartTotal)}),
      promotion.maxUsesPerUser && t("admin.per-customer", {count: promotion.maxUsesPerUser}),
    ].filter(Boolean).join(" · ");
    return html`<li><span><code>${code}</code> <strong>${t("promotion", {percent: promotion.discountPercentage})}</strong><br>
        <span class="faint">${date(promotion.validFrom, {dateStyle: "medium"})} – ${date(promotion.validUntil, {dateStyle: "medium"})} · ${t("admin.used", {uses})}${rules ? ` · ${rules}` : nothing}</span></span>
      <span class="pill ${state}">${t(`admin.promotion.${state}`)}</span>
      ${state === "over" ? nothing : this.ending === code
        ? html`<span class="row"><button class="button danger small" ?disabled=${this.busy} @click=${() => this.end(code)}>${t("admin.end-now")}</button>
            <button class="button quiet small" @click=${() => (this.ending = "")}>${t("cancel.keep")}</button></span>`
        : html`<button class="plain danger" aria-label=${t("admin.end-code", {code})} @click=${() => (this.ending = code)}>${t("admin.end")}</button>`}</li>`;
  }

  form() {
    const {wrong} = this;
    const now = new Date();
    return html`<form class="panel stack" novalidate @submit=${this.add}><h2>${t("admin.new-promotion")}</h2>${this.failure("promotion")}
      <div class="pair">${field({name: "code", label: t("promo"), required: true, pattern: "[A-Za-z0-9]{3,40}", maxlength: 40, error: wrong.code})}
        ${field({name: "discountPercentage", label: t("admin.percent"), required: true, pattern: "[0-9]+", maxlength: 3, inputmode: "numeric", error: wrong.discountPercentage})}</div>
      <div class="pair">${this.when("validFrom", local(now))} ${this.when("validUntil", local(new Date(now.getTime() + DAYS * 86_400_000)))}</div>
      <div class="field"><label for="category">${t("category")} <span class="faint">${t("optional")}</span></label>
        <select id="category" name="category"><option value="">${t("all")}</option>
          ${CATEGORIES.map((each) => html`<option value=${each}>${categoryName(each)}</option>`)}</select></div>
      ${field({name: "minCartTotal", label: t("admin.min-total"), maxlength: 11, inputmode: "decimal", pattern: "[0-9]{1,8}([.,][0-9]{1,2})?", error: wrong.minCartTotal})}
      <div class="pair">${field({name: "maxUses", label: t("admin.max-uses"), maxlength: 9, inputmode: "numeric", pattern: "[0-9]+", error: wrong.maxUses})}
        ${field({name: "maxUsesPerUser", label: t("admin.max-uses-each"), maxlength: 9, inputmode: "numeric", pattern: "[0-9]+", error: wrong.maxUsesPerUser})}</div>
      <p class="hint">${t("admin.promotion.mail")}</p>
      <button class="button" ?disabled=${this.busy}>${t("admin.add-promotion")}</button></form>`;
  }

  when(name, value) {
    // Set once: what the person has chosen is not replaced when the page is drawn again.
    this._moments ??= {};
    this._moments[name] ??= value;
    const error = this.wrong[name];
    return html`<div class="field ${error ? "invalid" : ""}"><label for=${name}>${t(`admin.${name}`)}</label>
      <input id=${name} name=${name} type="datetime-local" required .defaultValue=${this._moments[name]}
        aria-invalid=${error ? "true" : nothing} aria-describedby=${error ? `${name}-error` : nothing}>
      ${error ? html`<p class="wrong" id="${name}-error">${icon("circle-alert")} ${error}</p>` : nothing}</div>`;
  }
}

customElements.define("admin-promotions", AdminPromotions);

// The parts that pages are made of: a base class, icons, pictures, cards, fields, messages.
import {LitElement, html, icons, nothing, svg} from "./vendor/kit.js";
import {cart, changes, go, has, money, notify, number, session, t} from "./core.js";

export {html, nothing, svg};

/** A page or a part of it: in the light DOM, drawn again when session, cart or language change. */
export class Part extends LitElement {
  createRenderRoot() {
    return this;
  }

  connectedCallback() {
    super.connectedCallback();
    this._redraw = () => this.changed();
    changes.addEventListener("change", this._redraw);
    this._leaving = new AbortController();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    changes.removeEventListener("change", this._redraw);
    this._leaving.abort();
  }

  /** Called when session, cart or language have changed. */
  changed() {
    this.requestUpdate();
  }

  /** Aborted when the person leaves the page: for requests of this page. */
  get leaving() {
    return this._leaving.signal;
  }
}

/** A page for people who are signed in: `open` loads it; the others sign in first, and come back. */
export class PrivatePart extends Part {
  connectedCallback() {
    super.connectedCallback();
    this.ready = session.isSignedIn ? this.open() : Promise.resolve().then(askToSignIn);
  }

  changed() {
    super.changed();
    if (!session.isSignedIn && this.isConnected && !this._asked) {
      this._asked = true;
      askToSignIn();
    }
  }

  open() {
    return this.load();
  }
}

export function icon(name, label = "") {
  const shapes = icons[name].map(([tag, attributes]) => {
    const shape = document.createElementNS("http://www.w3.org/2000/svg", tag);
    Object.entries(attributes).forEach(([key, value]) => shape.setAttribute(key, value));
    return shape;
  });
  return html`<svg class="icon" viewBox="0 0 24 24" role=${label ? "img" : "presentation"}
    aria-label=${label || nothing} aria-hidden=${label ? nothing : "true"}>${shapes}</svg>`;
}

// --- Pictures -------------------------------------------------------------------------------
// Products are drawn by what they are: the first kind whose word is in the title, else by category.

const KINDS = [
  ["can", /pât[ée]e?\b|terrine|stew|pot-au-feu|tuna|mousse/i],
  ["pouch", /bouillon|flakes|pillows|freeze|sticks|galettes|strips|herb|millet sprays|biscuits/i],
  ["hay", /hay\b|foin|bedding|litter/i],
  ["ball", /ball\b|balls|balle|tower|knot|disc/i],
  ["mouse", /mice|souris|feather|catnip|tunnel|plush|canard/i],
  ["house", /cottage|rack|puzzle|mat\b|post/i],
  ["bottle", /shampoo|balm/i],
  ["brush", /brush|comb|clippers/i],
  ["collar", /collar|lead|harness/i],
  ["bowl", /bowl/i],
  ["bed", /bed\b|panier|cushion/i],
];
const BY_CATEGORY = {toys: "ball", "care-and-accessories": "bowl"};
const ANIMALS = {"dog-food": "dog", "cat-food": "cat", "small-animals": "rabbit"};
const SHADES = 6;

function shadeOf(text) {
  let sum = 0;
  for (const letter of text) sum = (sum * 31 + letter.charCodeAt(0)) >>> 0;
  return sum % SHADES;
}

const FACES = {
  dog: svg`<path class="fur" d="M-15 -4c-7-4-12 2-10 12 1 5 6 7 9 3zM15 -4c7-4 12 2 10 12-1 5-6 7-9 3z"/>
    <ellipse class="skin" rx="17" ry="16"/><ellipse class="snout" cy="6" rx="9" ry="7"/>
    <circle class="eye" cx="-7" cy="-3" r="2"/><circle class="eye" cx="7" cy="-3" r="2"/>
    <ellipse class="eye" cy="3" rx="3.4" ry="2.4"/><path class="outline" d="M0 5v3m0 0c-2 3-5 2-5 2m5-2c2 3 5 2 5 2"/>`,
  cat: svg`<path class="skin" d="M-16 -4l-2-15 11 7zM16 -4l2-15-11 7z"/><ellipse class="skin" rx="18" ry="15"/>
    <circle class="eye" cx="-7" cy="-2" r="2.2"/><circle class="eye" cx="7" cy="-2" r="2.2"/>
    <path class="eye" d="M-2 3h4l-2 2.5z"/><path class="outline" d="M0 5c-1 3-4 3-5 2m5-2c1 3 4 3 5 2M-11 5l-10-1m10 4l-9 2M11 5l10-1m-10 4l9 2"/>`,
  rabbit: svg`<path class="skin" d="M-9 -10c-6-8-6-22-1-22s6 14 5 21zM9 -10c6-8 6-22 1-22s-6 14-5 21z"/>
    <ellipse class="skin" rx="16" ry="15"/><circle class="eye" cx="-6" cy="-2" r="2"/><circle class="eye" cx="6" cy="-2" r="2"/>
    <path class="eye" d="M-2 3h4l-2 2.5z"/><path class="outline" d="M0 5v3m-4 1c2 1 3 0 4-1 1 1 2 2 4 1"/>`,
};
const PAW = svg`<path class="paw" d="M0 2c5 0 9 4 9 8s-4 5-9 5-9-1-9-5 4-8 9-8z"/><circle class="paw" cx="-11" cy="2" r="3.4"/>
  <circle class="paw" cx="-4.5" cy="-5" r="3.6"/><circle class="paw" cx="4.5" cy="-5" r="3.6"/><circle class="paw" cx="11" cy="2" r="3.4"/>`;

const DRAWINGS = {
  bag: (face) => svg`<path class="pack" d="M60 46c0-6 4-8 8-8h64c4 0 8 2 8 8l4 106c0 6-4 10-10 10H66c-6 0-10-4-10-10z"/>
    <path class="dark" d="M62 38c-2-6 2-12 6-12h64c4 0 8 6 6 12-2 8-74 8-76 0z"/><path class="paper" d="M59 74h82l2 54H57z"/>
    <g transform="translate(100 103)">${face}</g><path class="stitch" d="M68 32h64"/>`,
  can: (face) => svg`<path class="pack" d="M52 62h96v84c0 8-22 14-48 14s-48-6-48-14z"/><ellipse class="metal" cx="100" cy="62" rx="48" ry="13"/>
    <ellipse class="dark" cx="100" cy="62" rx="39" ry="9"/><path class="paper" d="M52 84c20 9 76 9 96 0v50c-20 9-76 9-96 0z"/>
    <g transform="translate(100 116) scale(.85)">${face}</g>`,
  pouch: (face) => svg`<path class="pack" d="M58 40h84l6 116c0 4-3 6-6 6H58c-3 0-6-2-6-6z"/><path class="dark" d="M56 34h88v16H56z"/>
    <circle class="paper" cx="100" cy="106" r="36"/><g transform="translate(100 108)">${face}</g><path class="stitch" d="M62 42h76"/>`,
  hay: () => svg`<path class="straw" d="M48 150c4-50 30-84 52-96 22 12 48 46 52 96-20 14-84 14-104 0z"/>
    <path class="strand" d="M70 144c2-30 14-54 30-74M92 150c-2-30 4-52 12-72M118 148c4-30-4-52-14-70M136 140c-6-30-20-50-34-64"/>
    <path class="pack" d="M52 118c30 14 66 14 96 0v16c-30 14-66 14-96 0z"/>`,
  ball: () => svg`<circle class="pack" cx="100" cy="104" r="52"/><path class="band" d="M58 74c26 14 60 14 84 0M58 134c26-14 60-14 84 0"/>
    <circle class="shine" cx="80" cy="82" r="9"/><g transform="translate(100 100)">${PAW}</g>`,
  mouse: () => svg`<path class="outline thick" d="M150 122c20 2 24-20 12-28"/><path class="pack" d="M40 132c0-34 34-58 66-58 30 0 48 26 48 58z"/>
    <circle class="dark" cx="78" cy="80" r="15"/><circle class="paper" cx="78" cy="80" r="8"/><circle class="eye" cx="60" cy="112" r="4"/>
    <circle class="eye" cx="40" cy="128" r="5"/><path class="stitch" d="M112 90c14 6 20 20 20 34"/>`,
  house: () => svg`<path class="straw" d="M52 96h96v58H52z"/><path class="pack" d="M40 98l60-48 60 48-8 8-52-40-52 40z"/>
    <path class="dark" d="M82 154v-30c0-24 36-24 36 0v30z"/><path class="strand" d="M56 112h22M122 112h22M56 130h22M122 130h22"/>`,
  bottle: () => svg`<path class="dark" d="M86 34h28v20H86z"/><path class="pack" d="M72 74c0-14 12-20 28-20s28 6 28 20v78c0 6-4 10-10 10H82c-6 0-10-4-10-10z"/>
    <path class="paper" d="M72 92h56v44H72z"/><g transform="translate(100 112)">${PAW}</g>`,
  brush: () => svg`<path class="straw" d="M92 108h16v44c0 12-16 12-16 0z"/><rect class="pack" x="58" y="52" width="84" height="60" rx="20"/>
    <path class="stitch" d="M72 68v4m14-4v4m14-4v4m14-4v4m14-4v4M72 82v4m14-4v4m14-4v4m14-4v4m14-4v4M72 96v4m14-4v4m14-4v4m14-4v4m14-4v4"/>`,
  collar: () => svg`<ellipse class="ring" cx="100" cy="92" rx="52" ry="40"/><path class="stitch" d="M56 76c14-26 74-26 88 0"/>
    <circle class="gold" cx="100" cy="146" r="15"/><path class="outline" d="M94 146h12m-6-6v12"/>`,
  bowl: () => svg`<path class="straw" d="M66 92c6-20 20-22 34-22s28 2 34 22z"/><ellipse class="dark" cx="100" cy="94" rx="56" ry="12"/>
    <path class="pack" d="M44 94c20 14 92 14 112 0l-10 48c-2 8-10 12-18 12H72c-8 0-16-4-18-12z"/><g transform="translate(100 124) scale(.9)">${PAW}</g>`,
  bed: () => svg`<ellipse class="pack" cx="100" cy="120" rx="66" ry="38"/><ellipse class="paper" cx="100" cy="110" rx="48" ry="22"/>
    <g transform="translate(100 96)">${FACES.cat}</g><path class="pack" d="M34 120c0 50 132 50 132 0-20 26-112 26-132 0z"/>`,
};

/** Draw a product: {title, category, sku}. Decorative: the title always stands beside it. */
export function picture(product) {
  const title = product.title ?? "";
  const kind = KINDS.find(([, words]) => words.test(title))?.[0] ?? BY_CATEGORY[product.category] ?? "bag";
  const named = /\bcats?\b|kitten/i.test(title) ? "cat" : /\bdogs?\b|puppy/i.test(title) ? "dog" : "";
  const face = FACES[ANIMALS[product.category] ?? named] ?? PAW;
  return html`<svg class="picture shade-${shadeOf(product.sku ?? title)}" viewBox="0 0 200 200" preserveAspectRatio="xMidYMid slice" aria-hidden="true">
    <rect class="backdrop" width="200" height="200"/><g transform="translate(17 18) scale(.83)">
    <ellipse class="ground" cx="100" cy="164" rx="70" ry="10"/>${DRAWINGS[kind](face)}</g></svg>`;
}

export const logo = html`<svg class="logo" viewBox="0 0 48 48" aria-hidden="true"><circle class="rosa" cx="24" cy="24" r="24"/>
  <circle class="hair" cx="24" cy="9" r="6.5"/><path class="hair" d="M9 27c-2-18 32-18 30 0z"/><ellipse class="face" cx="24" cy="27" rx="12.5" ry="13"/>
  <path class="hair" d="M11 25c2-9 9-11 13-11s11 2 13 11c-5-2-8-5-9-8-3 4-10 7-17 8z"/>
  <g class="glasses"><circle cx="18.5" cy="27" r="4.2"/><circle cx="29.5" cy="27" r="4.2"/><path d="M22.7 27h2.6"/></g>
  <path class="glasses" d="M19.5 34c2.5 2.6 6.5 2.6 9 0"/><circle class="cheek" cx="15.5" cy="33" r="2"/><circle class="cheek" cx="32.5" cy="33" r="2"/></svg>`;

export const hero = html`<svg class="scene" viewBox="0 0 420 300" aria-hidden="true">
  <rect class="wall" x="20" y="40" width="380" height="230" rx="18"/><g class="shelf">
    <path d="M44 136h94v7H44zM282 136h94v7h-94z"/></g>
  <g class="pots"><rect x="52" y="104" width="24" height="32" rx="5"/><rect class="b" x="82" y="96" width="20" height="40" rx="5"/>
    <rect class="c" x="108" y="110" width="24" height="26" rx="5"/><rect class="b" x="290" y="108" width="24" height="28" rx="5"/>
    <rect x="320" y="98" width="20" height="38" rx="5"/><rect class="c" x="346" y="104" width="24" height="32" rx="5"/></g>
  <g class="awning"><path d="M12 40c0-10 6-18 16-18h364c10 0 16 8 16 18v12H12z"/>
    <path class="stripe" d="M62 22h44v30H62zM158 22h46v30h-46zM254 22h46v30h-46zM350 22h42c10 0 14 6 16 18v12h-58z"/>
    ${[0, 1, 2, 3, 4, 5, 6, 7].map((n) => svg`<path class=${n % 2 ? "stripe" : ""} d="M${12 + n * 49.5} 50h49.5v8c0 24-49.5 24-49.5 0z"/>`)}</g>
  <g transform="translate(210 150)"><path class="cardigan" d="M-62 120c-4-56 14-76 62-76s66 20 62 76z"/><path class="apron" d="M-30 120l6-70h48l6 70z"/>
    <circle class="hair" cy="-58" r="19"/><path class="hair" d="M-44 0c-8-62 96-62 88 0z"/><ellipse class="face" cy="2" rx="37" ry="39"/>
    <path class="hair" d="M-38-4c4-30 24-36 38-36s34 6 38 36c-14-6-24-14-28-24-8 12-28 22-48 24z"/>
    <g class="glasses"><circle cx="-16" cy="2" r="12"/><circle cx="16" cy="2" r="12"/><path d="M-4 2h8"/></g>
    <circle class="eye" cx="-16" cy="3" r="2.6"/><circle class="eye" cx="16" cy="3" r="2.6"/>
    <path class="glasses" d="M-12 21c7 8 17 8 24 0"/><circle class="cheek" cx="-25" cy="19" r="6"/><circle class="cheek" cx="25" cy="19" r="6"/></g>
  <path class="counter" d="M0 244h420v36c0 10-8 16-18 16H18c-10 0-18-6-18-16z"/>
  <g class="picture shade-1" transform="translate(92 208) scale(1.9)">${FACES.dog}</g>
  <g class="picture shade-4" transform="translate(334 214) scale(1.7)">${FACES.cat}</g>
  <g class="picture shade-2" transform="translate(152 196) scale(.42)">${DRAWINGS.bowl(PAW)}</g></svg>`;

// --- Products -------------------------------------------------------------------------------

export function stars({average, count}) {
  if (!count) return nothing;
  const label = t("product.rated", {average: number(average, {maximumFractionDigits: 1}), count});
  return html`<span class="stars" role="img" aria-label=${label}>
    ${[1, 2, 3, 4, 5].map((each) => html`<span class=${each <= Math.round(average) ? "full" : ""}>${icon("star")}</span>`)}
    <span class="faint" aria-hidden="true">${number(average, {maximumFractionDigits: 1})} (${count})</span></span>`;
}

export function stockNote({stock}) {
  const [kind, key] = stock === 0 ? ["none", "stock.none"] : stock < 10 ? ["low", "stock.low"] : ["good", "stock.good"];
  return html`<span class="stock ${kind}">${t(key, {count: stock})}</span>`;
}

export function addToCart(product, quantity = 1) {
  const added = cart.add(product, quantity);
  if (added) notify(t("cart.added", {title: product.title}), "success");
  else notify(t("cart.full"), "warning");
}

export function productCard(product) {
  const path = `/shop/products/${product.sku}`;
  return html`<article class="card product">
    <a class="cover" href=${path} tabindex="-1" aria-hidden="true">${picture(product)}</a>
    ${product.promotion ? html`<span class="badge">${number(-product.promotion.discountPercentage / 100, {style: "percent"})}</span>` : nothing}
    <div class="card-body">
      <h3><a href=${path}>${product.title}</a></h3>
      ${product.reason ? html`<p class="faint">${product.reason}</p>` : nothing}
      <div class="row meta">${stars(product.ratings)} ${stockNote(product)}</div>
      <div class="row between">
        <strong class="price">${money(product.price, product.currency)}</strong>
        <button class="round" ?disabled=${!product.stock} @click=${() => addToCart(product)}
          aria-label=${t("cart.add.named", {title: product.title})} title=${t("cart.add")}>${icon("plus")}</button>
      </div>
    </div></article>`;
}

export const productGrid = (products) =>
  html`<ul class="grid">${products.map((each) => html`<li>${productCard(each)}</li>`)}</ul>`;

export const skeletons = (count = 8) =>
  html`<div class="grid" role="status" aria-label=${t("loading")}>
    ${Array.from({length: count}, () => html`<div class="card skeleton"><div></div><p></p><p></p></div>`)}</div>`;

// --- Messages and fields --------------------------------------------------------------------

/** A message in the page: what happened and the way on. */
export function message(kind, text, action = nothing) {
  const name = {error: "circle-alert", warning: "circle-alert", success: "circle-check"}[kind] ?? "info";
  return html`<div class="message ${kind}" role=${kind === "error" ? "alert" : "status"}>
    ${icon(name)}<div><p>${text}</p>${action}</div></div>`;
}

/** An error of the API, with a button that tries again. */
export const problem = (error, retry) =>
  message("error", error.text ?? t("error.OTHER", {requestId: ""}),
    retry ? html`<button class="quiet" @click=${retry}>${icon("refresh-cw")} ${t("retry")}</button>` : nothing);

/** The text for a field that the API rejected: ours when there is one, else the rule's own. */
export function fieldError(error, name) {
  const rule = error?.fields?.[name];
  if (!rule) return "";
  const short = name.split(".").at(-1);
  return has(`rule.${short}`) ? t(`rule.${short}`) : t("rule.other");
}

/** A labelled input with its hint and its error beside it. */
export function field({name, label, hint = "", error = "", type = "text", ...rest}) {
  const described = [hint && `${name}-hint`, error && `${name}-error`].filter(Boolean).join(" ");
  return html`<div class="field ${error ? "invalid" : ""}">
    <label for=${name}>${label}${rest.required ? nothing : html` <span class="faint">${t("optional")}</span>`}</label>
    <input id=${name} name=${name} type=${type} .value=${rest.value ?? ""} ?required=${rest.required}
      autocomplete=${rest.autocomplete ?? "off"} inputmode=${rest.inputmode ?? nothing}
      maxlength=${rest.maxlength ?? nothing} minlength=${rest.minlength ?? nothing} pattern=${rest.pattern ?? nothing}
      aria-describedby=${described || nothing} aria-invalid=${error ? "true" : nothing} @input=${rest.oninput ?? nothing}>
    ${hint ? html`<p class="hint" id="${name}-hint">${hint}</p>` : nothing}
    ${error ? html`<p class="wrong" id="${name}-error">${icon("circle-alert")} ${error}</p>` : nothing}</div>`;
}

/** Check a form as the browser would, but in our words beside the fields: {name: text}. */
export function check(form) {
  const wrong = {};
  for (const input of form.elements) {
    if (input.name && !input.validity.valid) {
      const short = input.name.split(".").at(-1);
      wrong[input.name] = input.validity.valueMissing ? t("rule.required")
        : has(`rule.${short}`) ? t(`rule.${short}`) : t("rule.other");
    }
  }
  return wrong;
}

/** Move the focus to the first field that is wrong, after it was drawn. */
export async function focusFirstWrong(part) {
  await part.updateComplete;
  part.querySelector("[aria-invalid=true], .message.error")?.focus();
}

/** What a form says, without the blanks around it; a password is taken as it is. */
export const values = (form) => Object.fromEntries(
  [...new FormData(form)].map(([name, value]) => [name, /password/i.test(name) ? value : value.trim()]),
);

export function quantityPicker({value, max, label, onChange}) {
  const step = (change) => onChange(Math.max(1, Math.min(max, value + change)));
  return html`<div class="quantity" role="group" aria-label=${label}>
    <button type="button" ?disabled=${value <= 1} @click=${() => step(-1)} aria-label=${t("quantity.less")}>${icon("minus")}</button>
    <input type="number" min="1" max=${max} .value=${String(value)} aria-label=${label}
      @change=${(event) => onChange(Math.max(1, Math.min(max, Math.trunc(Number(event.target.value)) || 1)))}>
    <button type="button" ?disabled=${value >= max} @click=${() => step(1)} aria-label=${t("quantity.more")}>${icon("plus")}</button></div>`;
}

/** Send the person to sign in, and back here afterwards. */
function askToSignIn() {
  go(`/shop/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`, {replace: true});
}

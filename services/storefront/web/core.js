// What every page uses: languages, the API and its errors, the session, the cart, navigation.

// --- Changes --------------------------------------------------------------------------------

/** Announces "change" when the session, the cart or the language changes, in this tab or another. */
export const changes = new EventTarget();
const announce = () => changes.dispatchEvent(new Event("change"));

/** Shows a message in the page's live region: announce.detail = {text, kind}. */
export function notify(text, kind = "info") {
  changes.dispatchEvent(new CustomEvent("notice", {detail: {text, kind}}));
}

function load(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise; // disabled by the person, or written by something else
  }
}

function save(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, JSON.stringify(value));
  } catch {
    // Nothing is kept over reloads then; the page itself still works.
  }
}

addEventListener("storage", announce);

// --- Languages ------------------------------------------------------------------------------

export const LANGUAGES = {fr: "Français", en: "English"};
const vocabularies = ["./lang"];
let messages = {};

/** The language of the pages: the person's choice, else the browser's first that we speak. */
export function language() {
  const chosen = load("language", "");
  if (LANGUAGES[chosen]) return chosen;
  const spoken = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase());
  return spoken.find((each) => LANGUAGES[each]) ?? "fr";
}

/** The locale of numbers and dates: the browser's own variant of the language, if it has one. */
export function locale() {
  return navigator.languages.find((tag) => tag.toLowerCase().startsWith(language())) ?? language();
}

export async function loadLanguage() {
  const loaded = await Promise.all(vocabularies.map((each) => import(`${each}/${language()}.js`)));
  messages = Object.assign({}, ...loaded.map((each) => each.default));
  document.documentElement.lang = language();
}

/** Load the words of pages that few people visit, in this language and in those chosen later. */
export async function addWords(folder) {
  if (vocabularies.includes(folder)) return;
  vocabularies.push(folder);
  await loadLanguage();
}

export async function chooseLanguage(name) {
  save("language", name);
  await loadLanguage();
  announce();
}

/** Return a message; {name} is filled in; plurals are "one|many", chosen by `count`. */
export function t(key, values = {}) {
  let text = messages[key] ?? key;
  if ("count" in values && text.includes("|")) {
    const [one, many] = text.split("|");
    text = new Intl.PluralRules(language()).select(values.count) === "one" ? one : many;
  }
  return text.replace(/{(\w+)}/g, (whole, name) => values[name] ?? whole);
}

export const has = (key) => key in messages;

/** The name of a category; one that the pages do not know yet has its own. */
export const categoryName = (category) =>
  has(`category.${category}`) ? t(`category.${category}`) : category.replaceAll("-", " ");

export const money = (amount, currency = "EUR") =>
  new Intl.NumberFormat(locale(), {style: "currency", currency}).format(Number(amount));
export const date = (time, options = {dateStyle: "long"}) =>
  new Intl.DateTimeFormat(locale(), options).format(new Date(time));
export const number = (value, options) => new Intl.NumberFormat(locale(), options).format(value);

/** Amounts are decimal strings; sums are made in cents, so that no fraction gets lost. */
export const cents = (amount) => Math.round(Number(amount) * 100);
export const decimal = (amount) => (amount / 100).toFixed(2);

// --- The API --------------------------------------------------------------------------------

/** An error of the API, or of the way to it (reason OFFLINE). `fields` maps a field to its rule. */
export class ApiError extends Error {
  constructor({status = 0, reason = "INTERNAL", metadata = {}, fields = {}, requestId = ""}) {
    super(reason);
    Object.assign(this, {status, reason, metadata, fields, requestId});
  }

  get retryAfter() {
    return Number(this.metadata.retryAfterSeconds ?? 0);
  }

  get isSessionEnd() {
    return ["NOT_SIGNED_IN", "TOKEN_EXPIRED", "TOKEN_INVALID"].includes(this.reason);
  }

  /** What happened and what to do, in the person's language. */
  get text() {
    const key = this.reason === "PROMO_INVALID" ? this.metadata.promoReason : this.reason;
    const known = has(`error.${key}`) ? key : this.status >= 500 ? "SERVICE_UNAVAILABLE" : "OTHER";
    const values = {...this.metadata, seconds: this.retryAfter || 30, requestId: this.requestId};
    return t(`error.${known}`, values);
  }
}

async function toError(response) {
  const body = await response.json().catch(() => ({}));
  const details = body.details ?? [];
  const info = details.find((each) => each.reason) ?? {};
  const violations = details.flatMap((each) => each.fieldViolations ?? []);
  const metadata = {...info.metadata};
  const wait = response.headers.get("retry-after");
  if (wait && !metadata.retryAfterSeconds) metadata.retryAfterSeconds = wait;
  return new ApiError({
    status: response.status,
    reason: info.reason,
    metadata,
    fields: Object.fromEntries(violations.map((each) => [camel(each.field), each.description])),
    requestId: response.headers.get("x-request-id") ?? "",
  });
}

const camel = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());

async function send(method, path, {body, headers = {}, signal, mine = true} = {}) {
  const sent = {"accept-language": locale(), ...headers};
  // The edge takes the session's cookie only from a request with this header; what is the same
  // for all is asked for without it, and so may come from a cache.
  if (mine) sent["x-session"] = "1";
  if (body) sent["content-type"] = "application/json";
  const cache = mine ? "no-cache" : "default"; // as it is now, though the browser may have it already
  try {
    return await fetch(path, {method, headers: sent, signal, cache, body: body && JSON.stringify(body)});
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({reason: "OFFLINE"});
  }
}

/** Call the API; return its JSON or throw an ApiError. `mine: false` for what all may read. */
export async function api(method, path, options) {
  const response = await send(method, path, options);
  if (response.ok) return response.status === 204 ? null : response.json();
  const error = await toError(response);
  if (error.isSessionEnd && session.isSignedIn) session.lapse();
  throw error;
}

/**
 * Follow a stream of Server-Sent Events until it ends for good, calling onEvent with each.
 *
 * EventSource cannot send a header, so the stream is read here; it resumes after the last event,
 * and waits longer after each failure in a row. onState says whether it is connected.
 */
export async function follow(path, {signal, onEvent, onState = () => {}}) {
  let last = null;
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      const response = await send("GET", path, {
        signal, headers: last === null ? {} : {"last-event-id": last},
      });
      if (response.status === 204) return;
      if (!response.ok) throw await toError(response);
      onState(true);
      for await (const event of events(response.body)) {
        failures = 0;
        last = event.id ?? last;
        onEvent(JSON.parse(event.data));
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error.isSessionEnd) {
        session.lapse();
        throw error;
      }
      if (error.status === 404 || error.status === 403) throw error;
    }
    onState(false);
    await pause(Math.min(1000 * 2 ** failures, 15000), signal);
  }
}

async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {done, value} = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(
        block.split("\n").map((line) => [line.split(":")[0], line.slice(line.indexOf(":") + 1).trim()]),
      );
      if (fields.data) yield fields;
    }
  }
}

const pause = (milliseconds, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), {once: true});
  });

/** A key that makes one attempt to order safe to repeat; randomUUID needs HTTPS, this does not. */
export const newKey = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

// --- The session ----------------------------------------------------------------------------

/**
 * Who is signed in. The token itself is in a cookie that no script can read (the edge keeps it);
 * here is only whose it is and when it ends.
 */
export const session = {
  get known() {
    const known = load("session", null);
    return known && known.endsAt > Date.now() ? known : null;
  },
  get isSignedIn() {
    return this.known !== null;
  },
  get userId() {
    return this.known?.userId ?? "";
  },
  /** Whether the pages of the shop's owner are offered; what they may do, the services decide. */
  get isAdmin() {
    return this.known?.role === "admin";
  },
  async signIn(email, password) {
    const deviceToken = load("device", "");
    this._begin(await api("POST", "/api/users/login", {body: {email, password, deviceToken}}));
  },
  async register(account) {
    this._begin(await api("POST", "/api/users/register", {body: account}));
  },
  _begin({userId, role, expiresIn, deviceToken}) {
    save("session", {userId, role, endsAt: Date.now() + expiresIn * 1000});
    save("device", deviceToken); // gives no access: it keeps other people's failures from ours
    cart.merge();
    announce();
  },
  async signOut() {
    await api("DELETE", "/api/session").catch(() => {});
    save("session", null);
    announce();
  },
  /** The server no longer knows the session: say so, and keep the person's cart in sight. */
  lapse() {
    cart.carryOver();
    save("session", null);
    announce();
    notify(t("error.TOKEN_EXPIRED"), "warning");
  },
};

// --- The cart -------------------------------------------------------------------------------

export const MAX_LINES = 50;
export const MAX_QUANTITY = 1000;

/**
 * The cart, kept in this browser: one of each customer, one of visitors. A line is
 * {id, sku, title, category, price, quantity}, with the price that the person last saw.
 */
export const cart = {
  get _name() {
    return `cart.${session.userId || "visitor"}`;
  },
  get lines() {
    return load(this._name, []);
  },
  get count() {
    return this.lines.reduce((sum, line) => sum + line.quantity, 0);
  },
  get total() {
    return decimal(this.lines.reduce((sum, line) => sum + cents(line.price) * line.quantity, 0));
  },
  write(lines) {
    save(this._name, lines.length ? lines : null);
    announce();
  },
  /** Add units of a product; return false when the cart is full. */
  add(product, quantity = 1) {
    const lines = this.lines;
    const line = lines.find((each) => each.id === product.productId);
    if (!line && lines.length >= MAX_LINES) return false;
    if (line) line.quantity = Math.min(line.quantity + quantity, MAX_QUANTITY);
    else lines.push({...toLine(product), quantity});
    this.write(lines);
    return true;
  },
  set(id, quantity) {
    const limited = Math.max(0, Math.min(quantity, MAX_QUANTITY));
    const changed = this.lines.map((each) => (each.id === id ? {...each, quantity: limited} : each));
    this.write(changed.filter((each) => each.quantity > 0));
  },
  /** Take the current prices and titles over; lines of unknown products stay. */
  refresh(products) {
    const found = new Map(products.map((each) => [each.productId, each]));
    this.write(this.lines.map((line) => {
      const product = found.get(line.id);
      return product ? {...line, ...toLine(product)} : line;
    }));
  },
  clear() {
    this.write([]);
  },
  /** At sign-in: what the visitor chose joins what the customer had. */
  merge() {
    const chosen = load("cart.visitor", []);
    save("cart.visitor", null);
    const lines = this.lines;
    for (const each of chosen) {
      const line = lines.find((mine) => mine.id === each.id);
      if (line) line.quantity = Math.max(line.quantity, each.quantity);
      else if (lines.length < MAX_LINES) lines.push(each);
    }
    this.write(lines);
  },
  /** When the session ends by itself: the person's cart stays the one in sight. */
  carryOver() {
    save("cart.visitor", this.lines);
  },
};

const toLine = ({productId, sku, title, category, price}) =>
  ({id: productId, sku, title, category, price});

/** Return products by their ids, each as it is now; ids without a product are left out. */
export async function fetchProducts(ids, {fresh = false} = {}) {
  if (!ids.length) return [];
  const query = ids.map((id) => `ids=${encodeURIComponent(id)}`).join("&");
  const found = await api("GET", `/api/products?${query}&limit=50`, {mine: fresh});
  return found.products;
}

// --- Navigation -----------------------------------------------------------------------------

export function go(path, {replace = false} = {}) {
  if (replace) history.replaceState(history.state, "", path);
  else {
    history.replaceState({...history.state, y: scrollY}, "");
    history.pushState({}, "", path);
  }
  dispatchEvent(new Event("navigate"));
}

/** Change the query of this page without a new page: the back button still understands it. */
export function replaceQuery(values) {
  const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value));
  history.replaceState(history.state, "", query.size ? `?${query}` : location.pathname);
}

// What the pages for engineers share: loading, and how figures are written.
import {Part} from "../ui.js";

/** A page for engineers: `fetch` asks for what it shows; with `every` again, so often (ms). */
export class OpsPart extends Part {
  static properties = {argument: {}, error: {state: true}};

  connectedCallback() {
    super.connectedCallback();
    this.ready = this.load();
    if (this.every) this._timer = setInterval(() => document.hidden || this.load(), this.every);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearInterval(this._timer);
  }

  /** Load; one at a time, so that a slow answer is not overtaken by the next one. */
  async load() {
    if (this._loading) return this._loading;
    this._loading = this._load();
    try {
      await this._loading;
    } finally {
      this._loading = null;
    }
  }

  async _load() {
    try {
      await this.fetch();
      this.error = null;
    } catch (error) {
      if (error.name !== "AbortError" && !error.isSessionEnd) this.error = error;
    }
  }

  get query() {
    return Object.fromEntries(new URLSearchParams(location.search));
  }
}

const short = new Intl.NumberFormat("en", {maximumSignificantDigits: 3});

export const perSecond = (rate) => `${short.format(rate < 0.005 ? 0 : rate)}/s`;

/** A duration in the unit that fits; a dash for none. */
export function duration(seconds) {
  if (seconds === undefined || seconds === null) return "–";
  if (seconds >= 120) return `${short.format(seconds / 60)} min`;
  return seconds >= 1 ? `${short.format(seconds)} s` : `${short.format(seconds * 1000)} ms`;
}

/** A moment as in the logs, in UTC. */
export const moment = (time) => new Date(time).toISOString().slice(0, 23).replace("T", " ");

/** The style of these pages alone: customers do not wait for it. */
export function addStyle(path) {
  const href = new URL(path, import.meta.url).href;
  if (document.querySelector(`link[href="${href}"]`)) return null;
  return new Promise((resolve, reject) => {
    const link = Object.assign(document.createElement("link"), {rel: "stylesheet", href, onload: resolve, onerror: reject});
    document.head.append(link);
  });
}

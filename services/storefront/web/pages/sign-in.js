// Sign-in and registration: one page with two forms.
import {cart, go, session, t} from "../core.js";
import {Part, check, field, fieldError, focusFirstWrong, html, icon, nothing, problem, values} from "../ui.js";

/** The page to go back to: a path of the shop alone, never another host. The owner goes to work. */
function next() {
  const path = new URLSearchParams(location.search).get("next") ?? "";
  const otherwise = session.isAdmin ? "/admin" : "/";
  return /^\/((shop|admin|ops)(\/|\?|$)|$)/.test(path) ? path : otherwise;
}

class SignInPage extends Part {
  static properties = {argument: {}, error: {state: true}, wrong: {state: true}, busy: {state: true}};

  connectedCallback() {
    super.connectedCallback();
    this.wrong = {};
  }

  get isNew() {
    return this.argument === "register";
  }

  async send(event) {
    event.preventDefault();
    const form = event.target;
    if (this.busy) return;
    this.error = null;
    this.wrong = check(form);
    if (Object.keys(this.wrong).length) return focusFirstWrong(this);
    this.busy = true;
    try {
      const given = values(form);
      if (this.isNew) await session.register(given);
      else await session.signIn(given.email, given.password);
      go(next(), {replace: true});
    } catch (error) {
      this.error = error;
      this.wrong = Object.fromEntries(Object.keys(error.fields ?? {}).map((name) => [name, fieldError(error, name)]));
      focusFirstWrong(this);
    } finally {
      this.busy = false;
    }
  }

  render() {
    const other = `/shop/${this.isNew ? "sign-in" : "register"}${location.search}`;
    return html`<div class="wide narrow"><form class="panel stack" novalidate @submit=${this.send}>
      <h1>${t(this.isNew ? "register" : "sign-in")}</h1>
      ${cart.count && !this.isNew ? html`<p class="faint">${icon("shopping-basket")} ${t("sign-in.cart")}</p>` : nothing}
      ${this.error && !Object.keys(this.wrong).length ? problem(this.error) : nothing}
      ${this.isNew ? html`<div class="pair">
        ${field({name: "firstName", label: t("first-name"), required: true, maxlength: 100, autocomplete: "given-name", error: this.wrong.firstName})}
        ${field({name: "lastName", label: t("last-name"), required: true, maxlength: 100, autocomplete: "family-name", error: this.wrong.lastName})}</div>` : nothing}
      ${field({name: "email", label: t("email"), type: "email", required: true, maxlength: 255, autocomplete: "username", error: this.wrong.email})}
      ${field({name: "password", label: t("password"), type: "password", required: true, maxlength: 128,
        minlength: this.isNew ? 10 : undefined, hint: this.isNew ? t("rule.password") : "",
        autocomplete: this.isNew ? "new-password" : "current-password", error: this.wrong.password})}
      ${this.isNew ? animalChoice("") : nothing}
      <button class="button" ?disabled=${this.busy}>${this.busy ? t("wait") : t(this.isNew ? "register" : "sign-in")}</button>
      <p>${t(this.isNew ? "register.known" : "sign-in.new")} <a href=${other}>${t(this.isNew ? "sign-in" : "register")}</a></p>
    </form></div>`;
  }
}

export const animalChoice = (chosen) => html`<fieldset class="choices"><legend>${t("animal.home")}</legend>
  ${[["dog", "dog"], ["cat", "cat"], ["rabbit", "rabbit"], ["", "paw-print"]].map(([value, name]) => html`<label class="choice">
    <input type="radio" name="animalType" value=${value} ?checked=${chosen === value}>${icon(name)}
    <span>${t(`animal.${value || "none"}`)}</span></label>`)}</fieldset>`;

customElements.define("sign-in-page", SignInPage);

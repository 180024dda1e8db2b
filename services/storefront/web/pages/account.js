// The customer's account: name, preferences, password, sign-out.
import {LANGUAGES, api, chooseLanguage, go, language, notify, session, t} from "../core.js";
import {
  PrivatePart, check, field, fieldError, focusFirstWrong, html, icon, nothing, problem, skeletons, values,
} from "../ui.js";
import {animalChoice} from "./sign-in.js";

class AccountPage extends PrivatePart {
  static properties = {
    user: {state: true}, error: {state: true}, wrong: {state: true}, busy: {state: true},
    formError: {state: true}, failing: {state: true},
  };

  connectedCallback() {
    this.wrong = {};
    super.connectedCallback();
  }

  get path() {
    return `/api/users/${session.userId}`;
  }

  async load() {
    this.error = null;
    try {
      this.user = await api("GET", this.path, {signal: this.leaving});
    } catch (error) {
      if (error.name !== "AbortError" && !error.isSessionEnd) this.error = error;
    }
  }

  /** Send a form; `call` gets its values. Errors stay beside their fields. */
  async send(event, name, call) {
    event.preventDefault();
    const form = event.target;
    if (this.busy) return;
    this.failing = name;
    this.formError = null;
    this.wrong = check(form);
    if (Object.keys(this.wrong).length) return focusFirstWrong(this);
    this.busy = true;
    try {
      await call(values(form));
      notify(t(`${name}.saved`), "success");
      if (name === "password") form.reset();
    } catch (error) {
      this.formError = error;
      this.wrong = error.reason === "INVALID_CREDENTIALS" ? {currentPassword: t("rule.currentPassword")}
        : Object.fromEntries(Object.keys(error.fields ?? {}).map((each) => [each, fieldError(error, each)]));
      focusFirstWrong(this);
    } finally {
      this.busy = false;
    }
  }

  async saveProfile(given) {
    // The mails follow the language of this request (accept-language).
    if (given.language !== language()) await chooseLanguage(given.language);
    const preferences = {animalType: given.animalType, notificationsEnabled: given.notifications === "on"};
    const body = {firstName: given.firstName, lastName: given.lastName, preferences};
    this.user = await api("PUT", this.path, {body});
  }

  changePassword({currentPassword, newPassword}) {
    return api("POST", `${this.path}/password`, {body: {currentPassword, newPassword}});
  }

  async leave() {
    await session.signOut();
    go("/");
  }

  render() {
    if (this.error) return html`<div class="wide stack"><h1>${t("account")}</h1>${problem(this.error, () => this.load())}</div>`;
    if (!this.user) return html`<div class="wide stack"><h1>${t("account")}</h1>${skeletons(1)}</div>`;
    return html`<div class="wide stack"><div class="row between"><h1>${t("account")}</h1>
        <button class="button quiet" @click=${this.leave}>${icon("log-out")} ${t("sign-out")}</button></div>
      <p class="faint">${this.user.email}</p>
      <div class="split even">${this.profile()} ${this.password()}</div></div>`;
  }

  failure(name) {
    return this.failing === name && this.formError && !Object.keys(this.wrong).length ? problem(this.formError) : nothing;
  }

  profile() {
    const {firstName, lastName, preferences} = this.user;
    return html`<form class="panel stack" novalidate @submit=${(event) => this.send(event, "profile", (given) => this.saveProfile(given))}>
      <h2>${t("profile")}</h2>${this.failure("profile")}
      <div class="pair">${field({name: "firstName", label: t("first-name"), value: firstName, required: true, maxlength: 100, autocomplete: "given-name", error: this.wrong.firstName})}
        ${field({name: "lastName", label: t("last-name"), value: lastName, required: true, maxlength: 100, autocomplete: "family-name", error: this.wrong.lastName})}</div>
      ${animalChoice(preferences.animalType)}
      <div class="field"><label for="language">${t("language")}</label><select id="language" name="language">
        ${Object.entries(LANGUAGES).map(([name, label]) => html`<option value=${name} ?selected=${name === language()}>${label}</option>`)}</select></div>
      <label class="choice"><input type="checkbox" name="notifications" ?checked=${preferences.notificationsEnabled}><span>${t("notifications")}</span></label>
      <button class="button" ?disabled=${this.busy}>${t("save")}</button></form>`;
  }

  password() {
    return html`<form class="panel stack" novalidate @submit=${(event) => this.send(event, "password", (given) => this.changePassword(given))}>
      <h2>${t("password.change")}</h2>${this.failure("password")}
      <input class="visually-hidden" type="text" name="username" autocomplete="username" .value=${this.user.email} tabindex="-1" aria-hidden="true" readonly>
      ${field({name: "currentPassword", label: t("password.current"), type: "password", required: true, maxlength: 128, autocomplete: "current-password", error: this.wrong.currentPassword})}
      ${field({name: "newPassword", label: t("password.new"), type: "password", required: true, minlength: 10, maxlength: 128, hint: t("rule.password"), autocomplete: "new-password", error: this.wrong.newPassword})}
      <button class="button" ?disabled=${this.busy}>${t("password.change")}</button></form>`;
  }
}

customElements.define("account-page", AccountPage);

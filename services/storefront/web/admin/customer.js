// One customer: who they are, what they ordered, and what the shop has written to them.
import {LANGUAGES, api, date, t} from "../core.js";
import {html, icon, nothing, problem, skeletons} from "../ui.js";
import {AdminPart, empty, moment, named, orderRows, pager} from "./parts.js";

const ORDERS = 5;
const PAGE_SIZE = 20;

class AdminCustomer extends AdminPart {
  static properties = {user: {state: true}, orders: {state: true}, sent: {state: true}};

  async fetch() {
    const id = encodeURIComponent(this.argument);
    const get = (path) => api("GET", path, {signal: this.leaving});
    [this.user, this.orders, this.sent] = await Promise.all([
      get(`/api/users/${id}`),
      get(`/api/orders?userId=${id}&limit=${ORDERS}`),
      get(`/api/notifications?userId=${id}&page=${this.page}&limit=${PAGE_SIZE}`),
    ]);
  }

  render() {
    const back = html`<nav aria-label=${t("trail")}><a href="/admin/customers">${icon("arrow-left")} ${t("admin.customers")}</a></nav>`;
    if (this.error) return html`<div class="stack">${back}<h1>${t("admin.customer")}</h1>${problem(this.error, () => this.load())}</div>`;
    if (!this.user) return html`<div class="stack">${back}<h1>${t("admin.customer")}</h1>${skeletons(2)}</div>`;
    const {email, firstName, lastName, preferences, createdAt} = this.user;
    return html`<div class="stack">${back}
      <div><h1>${firstName} ${lastName}</h1><p class="faint">${email} · ${t("admin.since", {date: date(createdAt)})}
        · ${t(preferences.notificationsEnabled ? "admin.writes" : "admin.writes-not")}</p></div>
      <div class="split even"><section><h2>${icon("package")} ${t("admin.last-orders")}</h2>
          ${this.orders.orders.length ? orderRows(this.orders.orders) : empty(t("admin.no-orders"))}</section>
        <section><h2>${icon("info")} ${t("admin.notifications")}</h2>${this.notifications()}</section></div></div>`;
  }

  notifications() {
    const {notifications, total} = this.sent;
    if (!notifications.length) return empty(t("admin.no-notifications"));
    return html`<ul class="panel rows sent">${notifications.map((each) => html`<li>
        <span><strong>${each.subject || named("template", each.template)}</strong><br>
          <span class="faint">${t(`channel.${each.channel}`)} · ${named("template", each.template)} · ${LANGUAGES[each.language] ?? each.language} · ${moment(each.sentAt ?? each.createdAt)}</span></span>
        <span class="pill ${each.status.toLowerCase()}">${t(`sent.${each.status}`)}${each.status === "SENT" || !each.attemptCount ? nothing : ` (${each.attemptCount})`}</span></li>`)}</ul>
      ${pager(this.page, Math.ceil(total / PAGE_SIZE), (page) => `/admin/customers/${this.argument}?page=${page}`)}`;
  }
}

customElements.define("admin-customer", AdminCustomer);

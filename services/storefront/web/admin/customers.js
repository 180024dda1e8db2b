// Finds a customer by the email that they write from.
import {api, go, t} from "../core.js";
import {field, html, icon} from "../ui.js";
import {AdminPart} from "./parts.js";

class AdminCustomers extends AdminPart {
  find(event) {
    return this.send(event, "customer", async ({email}) => {
      try {
        const {userId} = await api("POST", "/api/admin/users/find", {body: {email}});
        go(`/admin/customers/${userId}`);
        return {};
      } catch (error) {
        if (error.reason === "USER_NOT_FOUND") return {email: t("admin.no-account")};
        throw error;
      }
    });
  }

  render() {
    return html`<div class="stack"><h1>${t("admin.customers")}</h1>
      <form class="panel stack narrow" novalidate @submit=${this.find}><p>${t("admin.customers.text")}</p>${this.failure("customer")}
        ${field({name: "email", label: t("email"), type: "email", required: true, maxlength: 255, error: this.wrong.email})}
        <button class="button" ?disabled=${this.busy}>${icon("search")} ${t("search")}</button></form></div>`;
  }
}

customElements.define("admin-customers", AdminCustomers);

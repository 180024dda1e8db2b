"""A person in front of a browser: what they do on the pages, and what went wrong meanwhile."""

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect

from tests.support.shop import PASSWORD

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""
expect.set_options(timeout=15_000)


class Visitor:
    """A browser with one tab on the shop; `problems` are what the pages reported.

    `expects` is a regular expression for what the browser itself reports when the server answers
    with an error that the test provokes.
    """

    def __init__(
        self,
        browser: Browser,
        url: str,
        *,
        locale: str = "fr-FR",
        viewport: Any = DESK,
        expects: str = "",
        **settings: Any,
    ) -> None:
        self.url = url
        self.problems: list[str] = []
        self._expects = expects
        self.context = browser.new_context(
            base_url=url, locale=locale, viewport=viewport, reduced_motion="reduce", **settings
        )
        self.context.add_init_script(REPORT_VIOLATIONS)
        self.page = self.open_tab()

    def close(self) -> None:
        """Close the browser's window."""
        self.context.close()

    def open_tab(self) -> Page:
        """Open one more tab."""
        tab = self.context.new_page()
        tab.on("console", self._report)
        tab.on("pageerror", lambda error: self.problems.append(str(error)))
        return tab

    def _report(self, message: ConsoleMessage) -> None:
        is_expected = self._expects and re.search(self._expects, message.text)
        if message.type in ("error", "warning") and not is_expected:
            self.problems.append(f"{message.text} ({message.location.get('url', '')})")

    def visit(self, path: str) -> Page:
        """Open a path of the shop and wait for its heading."""
        self.page.goto(path)
        expect(self.page.locator("main h1").first).to_be_visible()
        return self.page

    def add(self, sku: str) -> None:
        """Put a product into the cart, from its page."""
        self.visit(f"/shop/products/{sku}")
        self.page.locator(".buy > .button").click()
        expect(self.page.locator(".notice.success")).to_be_visible()

    def sign_in(self, email: str, password: str = PASSWORD) -> None:
        """Fill in the form of the sign-in page, which is open, and send it."""
        self.page.get_by_label(re.compile("E-mail|Email")).fill(email)
        self.page.locator("#password").fill(password)
        self.page.locator("form.panel .button").click()

    def fill_address(self) -> None:
        """Fill in the address at the checkout, which is open."""
        expect(self.page.locator("main h1")).to_be_visible()
        for name, value in {
            "recipient": "Alice Martin",
            "line1": "1 rue des Lilas",
            "postalCode": "75011",
            "city": "Paris",
        }.items():
            self.page.locator(f"[name='shippingAddress.{name}']").fill(value)

    def order(self) -> None:
        """Send the order of the checkout, which is open."""
        self.page.locator(".summary .button").click()

    def tab_to(self, target: Locator) -> None:
        """Press Tab until the focus is on an element."""
        expect(target).to_be_visible()
        for _ in range(60):
            self.page.keyboard.press("Tab")
            if target.evaluate("element => element === document.activeElement"):
                return
        raise AssertionError(f"The keyboard does not reach {target}.")

    def serious_findings(self) -> list[str]:
        """Return what axe finds on this page that keeps people from using it."""
        if not self.page.evaluate("typeof axe === 'object'"):
            self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run({resultTypes: ['violations']})")
        return [
            f"{each['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return width

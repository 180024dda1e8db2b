"""A real Chromium in front of the whole shop."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.visitor import Visitor
from tests.support.shop import Shop

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
OpenBrowser = Callable[..., Visitor]


@pytest.fixture(scope="module")  # while it runs, this thread can run no other event loop
def chromium() -> Iterator[Browser]:
    """Yield Chromium; without one the tests fail, for the pages would be untested."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    assert path, f"There is none of {', '.join(CHROMIUM)} on PATH; scripts/test installs it."
    with sync_playwright() as playwright:
        # Tests run as root in containers, where Chromium's own sandbox cannot.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_browser(chromium: Browser, shop: Shop) -> Iterator[OpenBrowser]:
    """Return a function that opens the shop in a browser of its own: no cookie, no cart.

    At the end of the test no page may have reported an error that the test did not expect.
    """
    visitors = []

    def open_one(**settings: Any) -> Visitor:
        visitors.append(Visitor(chromium, shop.url, **settings))
        return visitors[-1]

    yield open_one
    problems = [problem for visitor in visitors for problem in visitor.problems]
    for visitor in visitors:
        visitor.close()
    assert problems == []


@pytest.fixture
def visitor(open_browser: OpenBrowser) -> Visitor:
    """Return a visitor with a French browser on a desk."""
    return open_browser()

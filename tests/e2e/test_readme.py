"""The shell lines of the README, run as a reader runs them."""

import json
import re
import subprocess

import pytest

from scripts.paths import ROOT

pytestmark = pytest.mark.e2e


def block_under(heading: str) -> str:
    """Return the first block of shell lines under a heading of the README."""
    text = (ROOT / "README.md").read_text()
    section = text.split(f"## {heading}\n", 1)[1]
    found = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert found
    return found[1]


def json_values(text: str):
    """Yield the JSON values of a text; curl puts nothing between them."""
    decoder, at = json.JSONDecoder(), 0
    while text[at:].strip():
        at = len(text) - len(text[at:].lstrip())
        value, at = decoder.raw_decode(text, at)
        yield value


def test_the_lines_of_the_readme_end_with_a_confirmed_order(shop):
    lines = block_under("Place an order").replace("http://127.0.0.1:8080", shop.url)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    answers = list(json_values(done.stdout))
    registered, listed, stock, uses, placed, order, history, stock_after, uses_after = answers
    assert registered["expiresIn"] == 3600
    assert len(listed["products"]) == 2
    assert (placed["status"], placed["totalAmount"], placed["discount"]) == (
        "PENDING",
        "25.80",
        "2.58",
    )
    assert (order["status"], order["paymentStatus"]) == ("CONFIRMED", "CAPTURED")
    assert history["events"][-1]["type"] == "OrderConfirmed"
    assert (stock - stock_after, uses_after - uses) == (2, 1)

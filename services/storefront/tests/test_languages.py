"""Both languages of the pages are complete, and every error has its words."""

import re

import pytest

from scripts.paths import ROOT
from services.common.languages import Language
from services.storefront.assets import WEB

ENTRY = re.compile(r'^  "([^"]+)": "(.*)",$', re.MULTILINE)
CALL = re.compile(r'\bt\("([^"]+)"')
NOT_FOR_CUSTOMERS = {
    "PROMO_INVALID",  # shown by its promoReason
    *("INVALID_TIMESTAMP", "SKU_EXISTS", "STOCK_BELOW_ZERO", "STOCK_ABOVE_MAXIMUM"),  # the owner's
    "PROMOTION_EXISTS",
}
"""Reasons that the pages of customers never get as they are."""


def read(language: str) -> dict[str, str]:
    return dict(ENTRY.findall((WEB / "lang" / f"{language}.js").read_text()))


def public_reasons() -> set[str]:
    """Return the reasons that docs/errors.md and docs/edge.md list for calls from outside."""
    errors = (ROOT / "docs/errors.md").read_text()
    outside, _, _ = errors.partition("## Reasons between services")
    _, _, tables = outside.partition("## Reasons of the services")
    edge = (ROOT / "docs/edge.md").read_text().partition("## Errors of the edge")[2]
    edge = edge.partition("## Settings")[0]
    found = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+|INTERNAL|OVERLOADED)`", tables + edge))
    return {name for name in found if not name.startswith("MAMIE_")}


@pytest.fixture(params=list(Language))
def words(request):
    return read(request.param)


def test_the_languages_have_the_same_keys():
    assert {name: set(read(name)) ^ set(read("fr")) for name in Language} == {
        "fr": set(),
        "en": set(),
    }


def test_the_languages_fill_in_the_same_values():
    english, french = read("en"), read("fr")
    for key, text in english.items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", french[key])), key
        assert text.count("|") == french[key].count("|"), key


def test_each_word_that_a_page_uses_exists(words):
    pages = [path for path in WEB.rglob("*.js") if path.parent.name not in {"vendor", "lang"}]
    used = {key for path in pages for key in CALL.findall(path.read_text())}
    assert len(used) > 100
    assert used <= set(words)


def test_each_reason_that_can_reach_a_customer_has_words(words):
    reasons = public_reasons()
    assert {"OUT_OF_STOCK", "RATE_LIMITED", "CODE_EXPIRED", "TOKEN_EXPIRED"} <= reasons
    assert {each for each in reasons - NOT_FOR_CUSTOMERS if f"error.{each}" not in words} == set()

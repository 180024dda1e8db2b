"""Both languages of the pages are complete, and every error has its words."""

import re

import pytest

from scripts.paths import ROOT
from services.common.languages import Language
from services.storefront.assets import WEB

ENTRY = re.compile(r'^  "([^"]+)": "(.*)",$', re.MULTILINE)
CALL = re.compile(r'\bt\("([^"]+)"')
NEVER_SHOWN = {"PROMO_INVALID"}
"""Reasons that stand for another one: the pages show the promoReason."""
FOR_THE_OWNER = {
    *("INVALID_TIMESTAMP", "SKU_EXISTS", "STOCK_BELOW_ZERO", "STOCK_ABOVE_MAXIMUM"),
    *("PROMOTION_EXISTS", "TRACE_NOT_FOUND", "MONITORING_UNAVAILABLE", "TRACES_UNAVAILABLE"),
}
"""Reasons that the pages of customers never get; their words are the owner's."""


def read_folder(folder: str, language: str) -> dict[str, str]:
    return dict(ENTRY.findall((WEB / folder / f"{language}.js").read_text()))


def read(language: str) -> dict[str, str]:
    """Return the words of all pages."""
    return read_folder("lang", language) | read_folder("admin/lang", language)


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


@pytest.mark.parametrize("language", list(Language))
def test_the_words_of_the_owner_are_no_words_of_customers(language):
    # Customers do not load them, and they replace none of theirs.
    owner, customer = (read_folder(name, language) for name in ("admin/lang", "lang"))
    assert len(owner) > 100
    assert owner.keys() & customer.keys() == set()
    pages = [path for path in WEB.rglob("*.js") if "admin" not in path.parts[-3:]]
    used = {key for path in pages for key in CALL.findall(path.read_text())}
    assert used & owner.keys() == set()


@pytest.mark.parametrize("language", list(Language))
def test_each_reason_that_can_reach_a_customer_has_words(language):
    words, reasons = read_folder("lang", language), public_reasons()
    assert {"OUT_OF_STOCK", "RATE_LIMITED", "CODE_EXPIRED", "TOKEN_EXPIRED"} <= reasons
    known = reasons - NEVER_SHOWN - FOR_THE_OWNER
    assert {each for each in known if f"error.{each}" not in words} == set()


@pytest.mark.parametrize("language", list(Language))
def test_each_reason_that_can_reach_the_owner_has_words(language):
    words = read_folder("admin/lang", language)
    assert public_reasons() >= FOR_THE_OWNER
    assert {each for each in FOR_THE_OWNER if f"error.{each}" not in words} == set()


def test_each_kind_of_discrepancy_and_each_event_of_an_order_has_words(words):
    kinds = re.findall(
        r"^\| `([A-Z_]+)`", (ROOT / "docs/reconciliation.md").read_text(), re.MULTILINE
    )
    assert len(kinds) > 20
    assert {each for each in kinds if f"finding.{each}" not in words} == set()
    events = (ROOT / "services/orders/events.py").read_text()
    types = re.findall(r"^class (\w+)\(Event\)", events, re.MULTILINE)
    assert len(types) > 10
    assert {each for each in types if f"event.{each}" not in words} == set()

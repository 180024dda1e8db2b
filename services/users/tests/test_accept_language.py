"""Language negotiation by Accept-Language."""

import pytest

from services.common.languages import Language
from services.users.accept_language import choose_language


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("fr", "fr"),
        ("FR", "fr"),
        ("fr-CA", "fr"),
        ("fr-Latn-CH-1996", "fr"),
        ("en-GB", "en"),
        ("fr-FR,fr;q=0.9,en-US;q=0.8,en;q=0.7", "fr"),
        ("en-US,en;q=0.9,fr;q=0.8", "en"),
        ("de-CH, de;q=0.9, fr;q=0.3", "fr"),
        ("en;q=0.5, fr", "fr"),
        ("en;q=0.001,fr;q=0.002", "fr"),
        ("fr\t;\tQ=0.8 ,\ten ; q=0.7", "fr"),
        ("fr;q=0.5, en;q=0.6, fr-CA;q=0.7", "fr"),
        ("fr;q=1.000, en;q=1.", "fr"),
    ],
)
def test_the_language_of_the_highest_quality_is_chosen(header, language):
    assert choose_language(header) == language


@pytest.mark.parametrize(("header", "language"), [("fr, en", "fr"), ("en, fr", "en")])
def test_of_languages_of_equal_quality_the_first_is_chosen(header, language):
    assert choose_language(header) == language


@pytest.mark.parametrize(
    ("header", "language"),
    [("*, en;q=0", "fr"), ("*, fr;q=0.5", "en"), ("fr;q=0.4, *;q=0.5", "en"), ("fr, *", "fr")],
)
def test_a_wildcard_stands_for_languages_that_are_not_named(header, language):
    assert choose_language(header) == language


@pytest.mark.parametrize("default", Language)
@pytest.mark.parametrize(
    "header",
    ["", " ", "*", "de", "de, *;q=0.1", "fr;q=0", "en;q=0", "fr;q=0, en;q=0", "*;q=0", "fra, eng"],
)
def test_a_header_without_a_preference_leaves_the_default(header, default):
    assert choose_language(header, default=default) == default


@pytest.mark.parametrize(
    "garbage",
    [
        ",,;,",
        "fr;q=2",
        "fr;q=0.1234",
        "fr;q=-1",
        "fr;q=nan",
        "fr;q=",
        "fr q=1",
        "fr_FR",
        "fr-",
        "-fr",
        "*-FR",
        "français",
        "fr;q=\u0661",
        "fr;level=1",
        "<script>",
        "fr-" + "a" * 9,
        "x" * 100_000,
        "fr-" * 20_000,
    ],
)
def test_invalid_language_ranges_are_ignored(garbage):
    assert choose_language(garbage) == "fr"
    assert choose_language(f"{garbage}, en;q=0.1") == "en"

"""Folding of titles, descriptions and search texts."""

import pytest

from services.catalog.search_text import build_document, build_query, fold, split_words


@pytest.mark.parametrize(
    "typed",
    ["pâtée", "PÂTÉE", "patee", "pa\u0302te\u0301e", "Pâtée", "ＰÂＴＥＥ", "PA\u0302TE\u0301E"],
)
def test_a_word_is_the_same_in_any_case_spelling_and_normal_form(typed):
    assert fold(typed) == "patee"


@pytest.mark.parametrize(
    ("typed", "folded"),
    [
        ("bœuf", "boeuf"),
        ("BŒUF", "boeuf"),
        ("Ægir", "aegir"),
        ("Straße", "strasse"),
        ("STRASSE", "strasse"),
        ("İzmir", "izmir"),
        ("ﬁlet", "filet"),
        ("Łódź", "lodz"),
        ("ΣΊΣΥΦΟΣ", "σισυφοσ"),
    ],
)
def test_ligatures_and_letters_of_other_languages_are_folded(typed, folded):
    assert fold(typed) == folded


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Poulet 100%, 2 kg", ["poulet", "100", "2", "kg"]),
        ("l'os d\u2019agneau", ["l", "os", "d", "agneau"]),
        ("dog-food_mini", ["dog", "food", "mini"]),
        ("  \u00a0\u3000 ", []),
        ("%%% '&|!():*", []),
        ("犬の餌", ["犬の餌"]),
        ("Chats, jeux et os", ["chat", "jeu", "et", "os"]),
        ("bas 100s x6s", ["bas", "100s", "x6s"]),
    ],
)
def test_words_are_letters_and_digits(text, words):
    assert split_words(text) == words


def test_the_document_of_a_product_has_positions_and_weights():
    assert build_document("Pâtée au bœuf", "Pâtée!") == "'patee':1A,4D 'au':2A 'boeuf':3A"


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("chat CHÂT 100% ", "'chat' & '100':*"),
        ("croquettes au poulet", "'croquette' & 'au' & 'poulet':*"),
        ("2 kg", "'2' & 'kg':*"),
        ("os", "'os':*"),
        ("l'os", "'os':*"),
        ("vitamine c", "'vitamine':*"),
        ("c", "'c':*"),
        ("a b", "'a' & 'b':*"),
        ("' | !*", ""),
        ("", ""),
    ],
)
def test_a_search_wants_every_word_and_takes_the_last_as_a_beginning(text, query):
    assert build_query(text) == query


def test_what_is_too_long_is_cut():
    assert build_query(" ".join(f"w{n}" for n in range(50))).count("&") == 9
    assert build_document("y" * 300, "") == f"'{'y' * 100}':1A"
    assert len(build_document("", "a " * 2500).split(",")) == 256

"""What is recommended, in which order, and why."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.recommendations.domain import (
    BASIS,
    Companion,
    Evidence,
    History,
    Popular,
    Purchase,
    is_consumable,
    normalize_animal,
    recommend,
)
from services.recommendations.tests.fakes import NOW, build_product

MONTH = timedelta(weeks=5)
KIBBLE = build_product("croquettes", "dog-food")
BALL = build_product("ball")


def bought(product, ago=timedelta(), count=1):
    return Purchase(product=product, count=count, last_at=NOW - ago, buyers=4)


def history(*purchases, animal="", user_id="alice"):
    return History(user_id=user_id, animal_type=animal, purchases=purchases)


def companion(name, strength=1.0, buyers=4, together=10, because=BALL):
    return Companion(
        product=build_product(name),
        strength=strength,
        because=because.product_id,
        together=together,
        buyers=buyers,
    )


def popular(name, buyers=1, **changes):
    return Popular(build_product(name, **changes), buyers)


def titles(evidence, limit=5):
    return [each.product.title for each in recommend(evidence, limit, NOW)]


def reasons(evidence, limit=5):
    return [each.reason for each in recommend(evidence, limit, NOW)]


def test_without_anything_known_nothing_is_recommended():
    assert recommend(Evidence(history=history()), 5, NOW) == []


def test_what_is_bought_together_comes_before_what_is_popular():
    evidence = Evidence(
        history=history(bought(BALL), animal="dog"),
        companions=[companion("rope", strength=0.01)],
        with_animal=[popular("lead", 50)],
        in_categories=[popular("disc", 60)],
        overall=[popular("bowl", 99)],
    )
    assert titles(evidence) == ["Rope", "Lead", "Disc", "Bowl"]
    assert reasons(evidence) == [
        "Bought by clients who also chose Ball.",
        "Popular with dog owners.",
        "A favourite in toys.",
        "Popular with all our clients.",
    ]


def test_scores_fall_and_are_above_zero_and_at_most_one():
    evidence = Evidence(
        history=history(bought(BALL), bought(KIBBLE, MONTH, count=99), animal="dog"),
        companions=[companion("rope", strength=100), companion("mat", strength=0)],
        with_animal=[popular("lead", 50), popular("collar", 1)],
        in_categories=[popular("disc", 60)],
        overall=[popular("bowl", 99), popular("brush", 1)],
    )
    scores = [each.score for each in recommend(evidence, 50, NOW)]
    assert len(scores) == 8
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0 and scores[0] <= 1


def test_a_product_that_everybody_buys_is_less_telling_than_one_bought_with_this():
    common = companion("bowl", strength=10, buyers=1_000)
    special = companion("rope", strength=8, buyers=16)
    evidence = Evidence(history=history(bought(BALL)), companions=[common, special])
    assert titles(evidence) == ["Rope", "Bowl"]


def test_what_one_client_bought_together_may_be_chance():
    chance = companion("rope", strength=1.0, together=1)
    known = companion("disc", strength=0.9, together=30)
    evidence = Evidence(history=history(bought(BALL)), companions=[chance, known])
    assert titles(evidence) == ["Disc", "Rope"]


def test_equals_are_in_the_order_of_their_ids():
    evidence = Evidence(
        history=history(bought(BALL)),
        companions=[companion(name) for name in "cab"],
        overall=[popular(name) for name in "fed"],
    )
    assert titles(evidence, 6) == list("ABCDEF")


def test_at_most_as_many_as_asked_for_are_recommended_and_each_once():
    evidence = Evidence(
        history=history(animal="dog"),
        with_animal=[popular("lead", 5), popular("ball", 4)],
        overall=[popular("lead", 9), popular("ball", 8), popular("bowl", 7)],
    )
    assert titles(evidence, 2) == ["Lead", "Ball"]
    assert titles(evidence, 50) == ["Lead", "Ball", "Bowl"]


def test_a_product_without_a_title_is_not_recommended():
    evidence = Evidence(history=history(), overall=[popular("x", title=""), popular("bowl")])
    assert titles(evidence) == ["Bowl"]


@pytest.mark.parametrize("ago", [timedelta(), MONTH, 30 * MONTH])
def test_what_lasts_is_not_recommended_again(ago):
    evidence = Evidence(history=history(bought(BALL, ago)), overall=[Popular(BALL, 9)])
    assert titles(evidence) == []


@pytest.mark.parametrize(
    ("ago", "expected"),
    [
        (timedelta(weeks=4), []),
        (timedelta(weeks=4, microseconds=1), ["Croquettes"]),
        (timedelta(weeks=26), ["Croquettes"]),
        (timedelta(weeks=26, microseconds=1), []),
    ],
)
def test_a_consumable_is_recommended_again_when_it_is_used_up(ago, expected):
    evidence = Evidence(history=history(bought(KIBBLE, ago)), overall=[Popular(KIBBLE, 9)])
    assert titles(evidence) == expected


def test_running_low_is_the_reason_for_what_is_due():
    evidence = Evidence(history=history(bought(KIBBLE, MONTH)))
    assert reasons(evidence) == ["You may be running low on Croquettes."]


def test_what_is_due_leaves_room_for_what_is_new():
    foods = [build_product(name, "dog-food") for name in "abcdef"]
    evidence = Evidence(
        history=history(*(bought(food, MONTH) for food in foods)),
        overall=[popular(name, 9) for name in "uvwxyz"],
    )
    assert titles(evidence, 5) == ["A", "B", "U", "V", "W"]
    assert titles(evidence, 1) == ["A"]


def test_what_is_bought_most_often_is_due_first():
    often = bought(build_product("z", "cat-food"), MONTH, count=7)
    evidence = Evidence(history=history(bought(KIBBLE, MONTH), often))
    assert titles(evidence) == ["Z", "Croquettes"]


def test_a_purchase_without_a_title_is_not_named_as_the_reason():
    nameless = replace(BALL, title="")
    evidence = Evidence(history=history(bought(nameless)), companions=[companion("rope")])
    assert reasons(evidence) == ["Bought by clients who also chose the same as you."]


def test_the_basis_is_what_was_bought_last():
    purchases = [bought(build_product(f"p{number}")) for number in range(BASIS + 5)]
    assert history(*purchases).basis == tuple(purchases[:BASIS])


@pytest.mark.parametrize(
    ("title", "category", "consumable"),
    [
        ("Mousse de Saumon, 85 g", "cat-food", True),
        ("Crunchy Treats", "toys", True),
        ("Clumping Cat Litter, Wood Fibre, 10 l", "care-and-accessories", True),
        ("Foin des Alpes, Meadow Hay, 1 kg", "small-animals", True),
        ("Hay Rack in Beech Wood", "small-animals", False),
        ("Stoneware Bowl Rosa, 0.8 l", "care-and-accessories", False),
        ("Treat Puzzle, Four Drawers", "toys", False),
    ],
)
def test_food_treats_and_litter_are_used_up(title, category, consumable):
    assert is_consumable(build_product("x", category, title=title)) == consumable


@pytest.mark.parametrize(
    ("told", "animal"),
    [(" Chat ", "cat"), ("CHIEN", "dog"), ("Cochon  d'Inde", "guinea pig"), ("axolotl", "axolotl")],
)
def test_animals_have_one_name(told, animal):
    assert normalize_animal(told) == animal

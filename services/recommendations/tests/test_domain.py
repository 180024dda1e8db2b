"""The ranking of recommendations, and their reasons."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.recommendations.domain import (
    MAX_RECENT_PURCHASES,
    Candidates,
    CoPurchase,
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


def co_purchase(name, strength=1.0, buyers=4, shared_buyers=10, source_id=BALL):
    return CoPurchase(
        product=build_product(name),
        strength=strength,
        source_id=source_id.product_id,
        shared_buyers=shared_buyers,
        buyers=buyers,
    )


def popular(name, buyers=1, **changes):
    return Popular(build_product(name, **changes), buyers)


def titles(candidates, limit=5):
    return [each.product.title for each in recommend(candidates, limit, NOW)]


def reasons(candidates, limit=5):
    return [each.reason for each in recommend(candidates, limit, NOW)]


def test_without_candidates_nothing_is_recommended():
    assert recommend(Candidates(history=history()), 5, NOW) == []


def test_co_purchases_come_before_popular_products():
    candidates = Candidates(
        history=history(bought(BALL), animal="dog"),
        co_purchases=[co_purchase("rope", strength=0.01)],
        with_animal=[popular("lead", 50)],
        in_categories=[popular("disc", 60)],
        overall=[popular("bowl", 99)],
    )
    assert titles(candidates) == ["Rope", "Lead", "Disc", "Bowl"]
    assert reasons(candidates) == [
        "Bought by customers who also chose Ball.",
        "Popular with dog owners.",
        "A favourite in toys.",
        "Popular with all our customers.",
    ]


def test_scores_decrease_and_are_above_zero_and_at_most_one():
    candidates = Candidates(
        history=history(bought(BALL), bought(KIBBLE, MONTH, count=99), animal="dog"),
        co_purchases=[co_purchase("rope", strength=100), co_purchase("mat", strength=0)],
        with_animal=[popular("lead", 50), popular("collar", 1)],
        in_categories=[popular("disc", 60)],
        overall=[popular("bowl", 99), popular("brush", 1)],
    )
    scores = [each.score for each in recommend(candidates, 50, NOW)]
    assert len(scores) == 8
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0 and scores[0] <= 1


def test_popularity_is_taken_out_of_the_similarity():
    common = co_purchase("bowl", strength=10, buyers=1_000)
    special = co_purchase("rope", strength=8, buyers=16)
    candidates = Candidates(history=history(bought(BALL)), co_purchases=[common, special])
    assert titles(candidates) == ["Rope", "Bowl"]


def test_few_shared_buyers_lower_the_similarity():
    chance = co_purchase("rope", strength=1.0, shared_buyers=1)
    known = co_purchase("disc", strength=0.9, shared_buyers=30)
    candidates = Candidates(history=history(bought(BALL)), co_purchases=[chance, known])
    assert titles(candidates) == ["Disc", "Rope"]


def test_equal_scores_are_ordered_by_product_id():
    candidates = Candidates(
        history=history(bought(BALL)),
        co_purchases=[co_purchase(name) for name in "cab"],
        overall=[popular(name) for name in "fed"],
    )
    assert titles(candidates, 6) == list("ABCDEF")


def test_at_most_limit_products_are_recommended_each_once():
    candidates = Candidates(
        history=history(animal="dog"),
        with_animal=[popular("lead", 5), popular("ball", 4)],
        overall=[popular("lead", 9), popular("ball", 8), popular("bowl", 7)],
    )
    assert titles(candidates, 2) == ["Lead", "Ball"]
    assert titles(candidates, 50) == ["Lead", "Ball", "Bowl"]


def test_a_product_without_a_title_is_not_recommended():
    candidates = Candidates(history=history(), overall=[popular("x", title=""), popular("bowl")])
    assert titles(candidates) == ["Bowl"]


@pytest.mark.parametrize("ago", [timedelta(), MONTH, 30 * MONTH])
def test_a_durable_product_is_not_recommended_again(ago):
    candidates = Candidates(history=history(bought(BALL, ago)), overall=[Popular(BALL, 9)])
    assert titles(candidates) == []


@pytest.mark.parametrize(
    ("ago", "expected"),
    [
        (timedelta(weeks=4), []),
        (timedelta(weeks=4, microseconds=1), ["Croquettes"]),
        (timedelta(weeks=26), ["Croquettes"]),
        (timedelta(weeks=26, microseconds=1), []),
    ],
)
def test_a_consumable_is_recommended_again_for_replenishment(ago, expected):
    candidates = Candidates(history=history(bought(KIBBLE, ago)), overall=[Popular(KIBBLE, 9)])
    assert titles(candidates) == expected


def test_running_low_is_the_reason_of_a_replenishment():
    candidates = Candidates(history=history(bought(KIBBLE, MONTH)))
    assert reasons(candidates) == ["You may be running low on Croquettes."]


def test_replenishments_leave_places_for_new_products():
    foods = [build_product(name, "dog-food") for name in "abcdef"]
    candidates = Candidates(
        history=history(*(bought(food, MONTH) for food in foods)),
        overall=[popular(name, 9) for name in "uvwxyz"],
    )
    assert titles(candidates, 5) == ["A", "B", "U", "V", "W"]
    assert titles(candidates, 1) == ["A"]


def test_the_most_frequent_replenishment_comes_first():
    often = bought(build_product("z", "cat-food"), MONTH, count=7)
    candidates = Candidates(history=history(bought(KIBBLE, MONTH), often))
    assert titles(candidates) == ["Z", "Croquettes"]


def test_a_source_without_a_title_is_not_named_in_the_reason():
    nameless = replace(BALL, title="")
    candidates = Candidates(history=history(bought(nameless)), co_purchases=[co_purchase("rope")])
    assert reasons(candidates) == ["Bought by customers who also chose the same as you."]


def test_the_recent_purchases_are_the_newest():
    purchases = [bought(build_product(f"p{number}")) for number in range(MAX_RECENT_PURCHASES + 5)]
    assert history(*purchases).recent == tuple(purchases[:MAX_RECENT_PURCHASES])


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
def test_food_treats_and_litter_are_consumables(title, category, consumable):
    assert is_consumable(build_product("x", category, title=title)) == consumable


@pytest.mark.parametrize(
    ("text", "animal"),
    [(" Chat ", "cat"), ("CHIEN", "dog"), ("Cochon  d'Inde", "guinea pig"), ("axolotl", "axolotl")],
)
def test_animals_are_normalized(text, animal):
    assert normalize_animal(text) == animal

"""When a code applies, and what it takes off."""

from datetime import timedelta
from decimal import Decimal

import pytest

from services.promotions import domain
from services.promotions.domain import CartLine, Refusal, Usage
from services.promotions.tests.fakes import NOW, build_promotion

CART = [CartLine("dog-food", Decimal("25.80")), CartLine("toys", Decimal("9.95"))]
CLOSED = {"valid_from": NOW + timedelta(days=1), "valid_until": NOW + timedelta(days=2)}
OVER = {"valid_from": NOW - timedelta(days=2), "valid_until": NOW - timedelta(days=1)}


def assess(cart=CART, *, used=0, used_by_user=0, now=NOW, **rules):
    usage = Usage(promotion=build_promotion(**rules), used=used, used_by_user=used_by_user)
    return domain.assess(usage, cart, now)


def test_a_code_takes_its_percentage_off_the_whole_cart():
    verdict = assess()
    assert verdict.is_valid
    assert verdict.discount_percentage == 10
    assert (verdict.discount, verdict.final_total) == (Decimal("3.58"), Decimal("32.17"))


def test_a_code_of_a_category_takes_its_percentage_off_that_category_only():
    verdict = assess(category="toys", discount_percentage=20)
    assert (verdict.discount, verdict.final_total) == (Decimal("1.99"), Decimal("33.76"))


@pytest.mark.parametrize(
    ("amount", "percentage", "discount"),
    [
        ("0.05", 10, "0.01"),
        ("0.04", 10, "0.00"),
        ("12.50", 5, "0.63"),
        ("0.01", 50, "0.01"),
        ("99999999.99", 1, "1000000.00"),
        ("10.00", 100, "10.00"),
        ("0.00", 10, "0.00"),
    ],
)
def test_a_discount_is_rounded_to_the_cent_halves_up(amount, percentage, discount):
    verdict = assess([CartLine("toys", Decimal(amount))], discount_percentage=percentage)
    assert verdict.discount == Decimal(discount)
    assert verdict.discount + verdict.final_total == Decimal(amount)


def test_a_discount_is_rounded_once_for_the_cart_not_for_each_line():
    cart = [CartLine("toys", Decimal("0.05"))] * 3
    assert assess(cart).discount == Decimal("0.02")


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        (CLOSED, Refusal.CODE_NOT_STARTED),
        (OVER, Refusal.CODE_EXPIRED),
        ({"max_uses": 3, "used": 3}, Refusal.CODE_EXHAUSTED),
        ({"max_uses_per_user": 1, "used_by_user": 1}, Refusal.CODE_ALREADY_USED),
        ({"min_cart_total": Decimal("35.76")}, Refusal.CART_TOO_SMALL),
        ({"category": "cat-food"}, Refusal.CATEGORY_NOT_IN_CART),
    ],
)
def test_a_code_that_does_not_apply_takes_nothing_and_says_why(given, refusal):
    verdict = assess(**given)
    assert not verdict.is_valid
    assert verdict.refusal is refusal
    assert (verdict.discount, verdict.final_total) == (0, Decimal("35.75"))


def test_an_unknown_code_takes_nothing():
    assert domain.assess(None, CART, NOW).refusal is Refusal.CODE_UNKNOWN


@pytest.mark.parametrize(
    "given",
    [
        {"max_uses": 3, "used": 2},
        {"max_uses": 0, "used": 1_000_000},
        {"max_uses_per_user": 2, "used_by_user": 1},
        {"max_uses_per_user": 0, "used_by_user": 1_000},
        {"min_cart_total": Decimal("35.75")},
    ],
)
def test_a_code_applies_up_to_its_limits(given):
    assert assess(**given).is_valid


def test_a_code_applies_from_its_first_instant_until_just_before_its_end():
    start, end = NOW, NOW + timedelta(hours=1)
    instants = [start - timedelta.resolution, start, end - timedelta.resolution, end]
    verdicts = [assess(valid_from=start, valid_until=end, now=now) for now in instants]
    assert [verdict.is_valid for verdict in verdicts] == [False, True, True, False]


def test_the_smallest_cart_counts_all_lines_also_for_a_code_of_one_category():
    assert assess(category="toys", min_cart_total=Decimal("35.75")).is_valid


def test_of_several_reasons_the_first_in_order_is_told():
    rules = {
        "max_uses": 1,
        "max_uses_per_user": 1,
        "min_cart_total": Decimal(1000),
        "category": "cat-food",
    }
    told = [
        assess(used=1, used_by_user=1, **rules, **CLOSED),
        assess(used=1, used_by_user=1, **rules, **OVER),
        assess(used=1, used_by_user=1, **rules),
        assess(used=0, used_by_user=1, **rules),
        assess(**rules),
        assess(**rules | {"min_cart_total": Decimal(0)}),
    ]
    assert [verdict.refusal for verdict in told] == list(Refusal)[1:]


def test_a_total_alone_is_judged_as_if_all_of_it_fitted_the_code():
    usage = Usage(promotion=build_promotion(category="toys"))
    verdict = domain.assess_total(usage, Decimal("100.00"), NOW)
    assert (verdict.discount, verdict.final_total) == (10, 90)


def test_a_total_is_not_judged_by_an_unknown_code():
    verdict = domain.assess_total(None, Decimal("100.00"), NOW)
    assert (verdict.refusal, verdict.final_total) == (Refusal.CODE_UNKNOWN, 100)


def test_every_refusal_that_needs_no_cart_has_an_error_of_its_own():
    of_carts = {Refusal.CART_TOO_SMALL, Refusal.CATEGORY_NOT_IN_CART}
    assert set(domain.REFUSED) == set(Refusal) - of_carts
    assert set(domain.REFUSED.values()) == set(domain.CodeRefusedError.__subclasses__())


def test_codes_are_kept_in_upper_case():
    assert domain.normalize("Welcome10") == "WELCOME10"

"""The validation of codes and their discounts."""

from datetime import timedelta
from decimal import Decimal

import pytest

from services.promotions import domain
from services.promotions.domain import CartLine, RejectionReason, Usage
from services.promotions.tests.fakes import NOW, build_promotion

CART = [CartLine("dog-food", Decimal("25.80")), CartLine("toys", Decimal("9.95"))]
NOT_STARTED = {"valid_from": NOW + timedelta(days=1), "valid_until": NOW + timedelta(days=2)}
EXPIRED = {"valid_from": NOW - timedelta(days=2), "valid_until": NOW - timedelta(days=1)}


def validate(cart=CART, *, used=0, used_by_user=0, redeemed_by_order=False, now=NOW, **rules):
    usage = Usage(
        promotion=build_promotion(**rules),
        used=used,
        used_by_user=used_by_user,
        redeemed_by_order=redeemed_by_order,
    )
    return domain.validate(usage, cart, now)


def test_a_code_takes_its_percentage_off_the_whole_cart():
    result = validate()
    assert result.is_valid
    assert result.discount_percentage == 10
    assert (result.discount, result.final_total) == (Decimal("3.58"), Decimal("32.17"))


def test_a_code_of_a_category_takes_its_percentage_off_that_category_only():
    result = validate(category="toys", discount_percentage=20)
    assert (result.discount, result.final_total) == (Decimal("1.99"), Decimal("33.76"))


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
    result = validate([CartLine("toys", Decimal(amount))], discount_percentage=percentage)
    assert result.discount == Decimal(discount)
    assert result.discount + result.final_total == Decimal(amount)


def test_a_discount_is_rounded_once_for_the_cart_not_for_each_line():
    cart = [CartLine("toys", Decimal("0.05"))] * 3
    assert validate(cart).discount == Decimal("0.02")


@pytest.mark.parametrize(
    ("given", "rejection"),
    [
        (NOT_STARTED, RejectionReason.CODE_NOT_STARTED),
        (EXPIRED, RejectionReason.CODE_EXPIRED),
        ({"max_uses": 3, "used": 3}, RejectionReason.CODE_EXHAUSTED),
        ({"max_uses_per_user": 1, "used_by_user": 1}, RejectionReason.CODE_ALREADY_USED),
        ({"min_cart_total": Decimal("35.76")}, RejectionReason.CART_TOO_SMALL),
        ({"category": "cat-food"}, RejectionReason.CATEGORY_NOT_IN_CART),
    ],
)
def test_a_code_that_does_not_apply_has_a_reason_and_no_discount(given, rejection):
    result = validate(**given)
    assert not result.is_valid
    assert result.rejection is rejection
    assert (result.discount, result.final_total) == (0, Decimal("35.75"))


def test_an_unknown_code_has_no_discount():
    assert domain.validate(None, CART, NOW).rejection is RejectionReason.CODE_UNKNOWN


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
    assert validate(**given).is_valid


def test_a_code_applies_from_its_first_instant_until_just_before_its_end():
    start, end = NOW, NOW + timedelta(hours=1)
    instants = [start - timedelta.resolution, start, end - timedelta.resolution, end]
    results = [validate(valid_from=start, valid_until=end, now=now) for now in instants]
    assert [result.is_valid for result in results] == [False, True, True, False]


def test_the_minimum_total_counts_all_lines_also_for_a_code_of_one_category():
    assert validate(category="toys", min_cart_total=Decimal("35.75")).is_valid


def test_the_first_broken_rule_in_order_is_the_reason():
    rules = {
        "max_uses": 1,
        "max_uses_per_user": 1,
        "min_cart_total": Decimal(1000),
        "category": "cat-food",
    }
    results = [
        validate(used=1, used_by_user=1, **rules, **NOT_STARTED),
        validate(used=1, used_by_user=1, **rules, **EXPIRED),
        validate(used=1, used_by_user=1, **rules),
        validate(used=0, used_by_user=1, **rules),
        validate(**rules),
        validate(**rules | {"min_cart_total": Decimal(0)}),
    ]
    assert [result.rejection for result in results] == list(RejectionReason)[1:]


def test_a_total_is_validated_as_if_all_lines_were_of_the_codes_category():
    usage = Usage(promotion=build_promotion(category="toys"))
    result = domain.validate_total(usage, Decimal("100.00"), NOW)
    assert (result.discount, result.final_total) == (10, 90)


def test_an_unknown_code_does_not_apply_to_a_total():
    result = domain.validate_total(None, Decimal("100.00"), NOW)
    assert (result.rejection, result.final_total) == (RejectionReason.CODE_UNKNOWN, 100)


def test_every_reason_that_does_not_need_a_cart_has_an_error():
    of_carts = {RejectionReason.CART_TOO_SMALL, RejectionReason.CATEGORY_NOT_IN_CART}
    assert set(domain.REJECTION_ERRORS) == set(RejectionReason) - of_carts
    assert set(domain.REJECTION_ERRORS.values()) == set(domain.CodeRejectedError.__subclasses__())


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("Welcome10", "WELCOME10"),
        ("welcome10 ", "WELCOME10"),
        ("\u3000welcome10\r\n", "WELCOME10"),
        ("e\u0301te\u0301", "ÉTÉ"),
        ("straße", "STRASSE"),
    ],
)
def test_a_code_is_normalized_as_people_type_it(typed, code):
    assert domain.normalize(typed) == domain.normalize(code) == code


@pytest.mark.parametrize(
    "given", [NOT_STARTED, EXPIRED, {"max_uses": 1, "used": 1}, {"max_uses_per_user": 1}]
)
def test_the_rules_of_a_code_are_not_judged_again_for_an_order_that_redeemed_it(given):
    counts = {"used": given.get("used", 1), "used_by_user": 1}
    rules = {name: value for name, value in given.items() if name not in counts}
    assert not validate(**rules, **counts).is_valid
    assert validate(**rules, **counts, redeemed_by_order=True).is_valid

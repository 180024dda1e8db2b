"""The rules of reservations, stock and promotions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.catalog import domain
from services.catalog.domain import (
    Line,
    Promotion,
    Reservation,
    ReservationChange,
    ReservationState,
)
from services.catalog.tests.fakes import build_product

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LINES = [Line("a", 2), Line("b", 1)]
RETURNED = [Line("a", -2), Line("b", -1)]
HELD = Reservation(
    order_id="o", state=ReservationState.HELD, expires_at=NOW + timedelta(minutes=1), lines=LINES
)
COMMITTED = replace(HELD, state=ReservationState.COMMITTED)
EXPIRED = replace(HELD, state=ReservationState.EXPIRED)
RELEASED = replace(HELD, state=ReservationState.RELEASED)


def test_reserving_takes_the_units_off_sale():
    assert domain.reserve(None, HELD) == ReservationChange(HELD, taken=LINES)


@pytest.mark.parametrize("existing", [HELD, COMMITTED])
def test_reserving_again_changes_nothing(existing):
    assert domain.reserve(existing, HELD) == ReservationChange(existing)


def test_reserving_after_expiry_takes_the_units_again():
    assert domain.reserve(EXPIRED, HELD) == ReservationChange(HELD, taken=LINES)


def test_reserving_after_a_release_is_rejected():
    with pytest.raises(domain.ReservationClosedError):
        domain.reserve(RELEASED, HELD)


def test_reserving_other_lines_for_the_same_order_is_rejected():
    with pytest.raises(domain.ReservationMismatchError):
        domain.reserve(HELD, replace(HELD, lines=[Line("a", 3)]))


def test_committing_a_held_reservation_takes_no_more_units():
    assert domain.commit(HELD, "o") == ReservationChange(COMMITTED)


def test_committing_again_changes_nothing():
    assert domain.commit(COMMITTED, "o") == ReservationChange(COMMITTED)


def test_committing_after_expiry_takes_the_units_again():
    assert domain.commit(EXPIRED, "o") == ReservationChange(COMMITTED, taken=LINES)


def test_committing_without_a_reservation_is_rejected():
    with pytest.raises(domain.ReservationNotFoundError):
        domain.commit(None, "o")


def test_committing_a_released_reservation_is_rejected():
    with pytest.raises(domain.ReservationClosedError):
        domain.commit(RELEASED, "o")


@pytest.mark.parametrize("existing", [HELD, COMMITTED])
def test_releasing_puts_the_units_back_on_sale(existing):
    assert domain.release(existing, "o", NOW) == ReservationChange(RELEASED, taken=RETURNED)


@pytest.mark.parametrize("existing", [EXPIRED, RELEASED])
def test_releasing_an_expired_or_released_reservation_moves_no_units(existing):
    assert domain.release(existing, "o", NOW) == ReservationChange(RELEASED)


def test_an_order_that_released_first_cannot_reserve_later():
    released = domain.release(None, "o", NOW).reservation
    with pytest.raises(domain.ReservationClosedError):
        domain.reserve(released, HELD)


def test_a_held_reservation_expires_at_its_expiry_time():
    assert domain.expire(HELD, HELD.expires_at) == ReservationChange(EXPIRED, taken=RETURNED)


@pytest.mark.parametrize("existing", [HELD, COMMITTED, RELEASED, EXPIRED])
def test_no_other_reservation_expires(existing):
    early = NOW if existing is HELD else NOW + timedelta(days=1)
    assert domain.expire(existing, early) == ReservationChange(existing)


def test_the_quantities_of_one_product_are_summed():
    assert domain.merge_lines([Line("b", 1), Line("a", 2), Line("b", 3)]) == [
        Line("a", 2),
        Line("b", 4),
    ]


@pytest.mark.parametrize(
    ("stock", "quantity", "expected"),
    [(3, 3, "AVAILABLE"), (2, 3, "INSUFFICIENT"), (0, 1, "INSUFFICIENT")],
)
def test_availability_compares_the_quantity_with_the_stock(stock, quantity, expected):
    assert domain.availability(build_product(stock=stock), quantity) == expected


def test_an_unknown_product_is_never_available():
    assert domain.availability(None, 1) == "UNKNOWN_PRODUCT"


@pytest.mark.parametrize(
    ("before", "after", "crosses"), [(6, 5, True), (10, 0, True), (5, 4, False), (4, 6, False)]
)
def test_stock_crosses_the_low_threshold_once_on_its_way_down(before, after, crosses):
    assert domain.crosses_low_stock(before=before, after=after) is crosses


def test_the_best_promotion_has_the_largest_discount_in_the_category():
    active = [
        Promotion(code="ALL10", discount_percentage=10),
        Promotion(code="DOG20", discount_percentage=20, category="dog-food"),
        Promotion(code="CAT50", discount_percentage=50, category="cat-food"),
    ]
    best = domain.best_promotion("dog-food", active)
    assert best is not None
    assert best.code == "DOG20"


def test_a_promotion_of_another_category_is_never_the_best():
    cat = Promotion(code="CAT50", discount_percentage=50, category="cat-food")
    assert domain.best_promotion("dog-food", [cat]) is None

"""What an order may do with stock, and what a client sees of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.catalog import domain
from services.catalog.domain import Line, Promotion, Reservation, ReservationState
from services.catalog.tests.fakes import build_product

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LINES = [Line("a", 2), Line("b", 1)]
BACK = [Line("a", -2), Line("b", -1)]
HELD = Reservation(
    order_id="o", state=ReservationState.HELD, expires_at=NOW + timedelta(minutes=1), lines=LINES
)
COMMITTED = replace(HELD, state=ReservationState.COMMITTED)
EXPIRED = replace(HELD, state=ReservationState.EXPIRED)
RELEASED = replace(HELD, state=ReservationState.RELEASED)


def test_holding_takes_the_units_off_sale():
    assert domain.reserve(None, HELD) == domain.Change(HELD, taken=LINES)


@pytest.mark.parametrize("existing", [HELD, COMMITTED])
def test_holding_again_changes_nothing(existing):
    assert domain.reserve(existing, HELD) == domain.Change(existing)


def test_holding_after_expiry_takes_the_units_again():
    assert domain.reserve(EXPIRED, HELD) == domain.Change(HELD, taken=LINES)


def test_holding_after_release_is_refused():
    with pytest.raises(domain.ReservationClosedError):
        domain.reserve(RELEASED, HELD)


def test_holding_something_else_for_the_same_order_is_refused():
    with pytest.raises(domain.ReservationMismatchError):
        domain.reserve(HELD, replace(HELD, lines=[Line("a", 3)]))


def test_selling_what_is_held_takes_no_more_units():
    assert domain.commit(HELD, "o") == domain.Change(COMMITTED)


def test_selling_again_changes_nothing():
    assert domain.commit(COMMITTED, "o") == domain.Change(COMMITTED)


def test_selling_after_expiry_takes_the_units_again():
    assert domain.commit(EXPIRED, "o") == domain.Change(COMMITTED, taken=LINES)


def test_selling_what_was_never_held_is_refused():
    with pytest.raises(domain.ReservationNotFoundError):
        domain.commit(None, "o")


def test_selling_what_was_released_is_refused():
    with pytest.raises(domain.ReservationClosedError):
        domain.commit(RELEASED, "o")


@pytest.mark.parametrize("existing", [HELD, COMMITTED])
def test_releasing_puts_the_units_back(existing):
    assert domain.release(existing, "o", NOW) == domain.Change(RELEASED, taken=BACK)


@pytest.mark.parametrize("existing", [EXPIRED, RELEASED])
def test_releasing_what_is_back_already_moves_no_units(existing):
    assert domain.release(existing, "o", NOW) == domain.Change(RELEASED)


def test_releasing_before_holding_closes_the_door():
    closed = domain.release(None, "o", NOW).reservation
    with pytest.raises(domain.ReservationClosedError):
        domain.reserve(closed, HELD)


def test_a_hold_expires_when_its_time_is_over():
    assert domain.expire(HELD, HELD.expires_at) == domain.Change(EXPIRED, taken=BACK)


@pytest.mark.parametrize("existing", [HELD, COMMITTED, RELEASED, EXPIRED])
def test_nothing_else_expires(existing):
    early = NOW if existing is HELD else NOW + timedelta(days=1)
    assert domain.expire(existing, early) == domain.Change(existing)


def test_lines_of_one_product_are_added_up():
    assert domain.merge_lines([Line("b", 1), Line("a", 2), Line("b", 3)]) == [
        Line("a", 2),
        Line("b", 4),
    ]


@pytest.mark.parametrize(
    ("stock", "quantity", "expected"),
    [(3, 3, "AVAILABLE"), (2, 3, "INSUFFICIENT"), (0, 1, "INSUFFICIENT")],
)
def test_availability_compares_with_what_is_on_sale(stock, quantity, expected):
    assert domain.availability(build_product(stock=stock), quantity) == expected


def test_an_unknown_product_is_never_available():
    assert domain.availability(None, 1) == "UNKNOWN_PRODUCT"


@pytest.mark.parametrize(
    ("before", "after", "low"), [(6, 5, True), (10, 0, True), (5, 4, False), (4, 6, False)]
)
def test_stock_becomes_low_once_on_its_way_down(before, after, low):
    assert domain.became_low(before=before, after=after) is low


def test_the_best_promotion_is_the_one_that_takes_most_off():
    running = [
        Promotion(code="ALL10", discount_percentage=10),
        Promotion(code="DOG20", discount_percentage=20, category="dog-food"),
        Promotion(code="CAT50", discount_percentage=50, category="cat-food"),
    ]
    best = domain.best_promotion("dog-food", running)
    assert best is not None
    assert best.code == "DOG20"


def test_without_a_fitting_promotion_there_is_none():
    cat = Promotion(code="CAT50", discount_percentage=50, category="cat-food")
    assert domain.best_promotion("dog-food", [cat]) is None

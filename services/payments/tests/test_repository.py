"""The contract of the payments repository, for the fake and for the real store."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import pytest
import sqlalchemy as sa

from services.common.errors import StoreUnavailableError
from services.common.storage import postgres
from services.payments import repository, sandbox_ledger
from services.payments.domain import PaymentClosedError, PaymentNotFoundError, PaymentStatus
from services.payments.repository import PostgresPaymentsRepository
from services.payments.tests.fakes import (
    ORDER,
    InMemoryPaymentsRepository,
    build_payment,
    build_voided,
)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def payments(request):
    if request.param == "memory":
        return InMemoryPaymentsRepository()
    return PostgresPaymentsRepository(request.getfixturevalue("engine"))


def store(payments, payment):
    return payments.change(payment.order_id, lambda _existing: payment)


@pytest.mark.parametrize(
    "payment",
    [
        build_payment(),
        build_voided(),
        build_payment(
            status=PaymentStatus.REFUNDED,
            refunded_amount=Decimal("12.90"),
            transaction_id="t",
            close_reason="why",
        ),
        build_payment(status=PaymentStatus.DECLINED, decline_reason="CARD_DECLINED"),
        build_payment(amount=Decimal("99999999.99")),
    ],
)
def test_a_payment_is_found_as_it_was_stored(payments, payment):
    assert store(payments, payment) == payment
    assert payments.find(ORDER) == payment


def test_an_unknown_payment_is_not_found(payments):
    with pytest.raises(PaymentNotFoundError):
        payments.find(ORDER)


def test_a_change_sees_the_result_of_the_last_one(payments):
    store(payments, build_payment())
    captured = payments.change(ORDER, lambda x: replace(x, status=PaymentStatus.CAPTURED))
    assert captured == build_payment(status=PaymentStatus.CAPTURED)
    assert payments.find(ORDER) == captured


def test_a_change_that_raises_has_no_effect(payments):
    def reject(_existing):
        raise PaymentClosedError(ORDER)

    store(payments, build_payment())
    with pytest.raises(PaymentClosedError):
        payments.change(ORDER, reject)
    assert payments.find(ORDER) == build_payment()


def test_changes_of_one_order_are_serialized(payments):
    def add_a_letter(_):
        def longer(existing):
            before = existing or build_payment(user_id="")
            return replace(before, user_id=before.user_id + "a")

        payments.change(ORDER, longer)

    with ThreadPoolExecutor(8) as callers:
        list(callers.map(add_a_letter, range(40)))
    assert payments.find(ORDER).user_id == "a" * 40


def test_the_first_payment_of_an_order_stays(payments):
    first, second = build_payment(), build_payment(user_id="bob")
    assert payments.add(first)
    assert not payments.add(second)
    assert payments.find(ORDER) == first


def test_a_payment_is_replaced_unless_it_has_changed(payments):
    pending = store(payments, build_payment())
    captured = replace(pending, status=PaymentStatus.CAPTURED, transaction_id="t")
    assert payments.replace(pending, captured)
    assert not payments.replace(pending, replace(pending, status=PaymentStatus.DECLINED))
    assert payments.find(ORDER) == captured


def test_an_order_without_a_payment_has_none_to_replace(payments):
    assert not payments.replace(build_payment(), build_payment(status=PaymentStatus.CAPTURED))


def test_of_concurrent_payments_one_is_added_and_one_replaces_it(payments):
    def write(number):
        added = payments.add(build_payment(user_id=str(number)))
        pending = payments.find(ORDER)
        captured = replace(pending, status=PaymentStatus.CAPTURED, transaction_id=str(number))
        return added, payments.replace(replace(pending, status=PaymentStatus.PENDING), captured)

    with ThreadPoolExecutor(8) as callers:
        added, replaced = zip(*callers.map(write, range(40)), strict=True)
    assert sum(added) == 1
    assert payments.find(ORDER).status is PaymentStatus.CAPTURED
    assert sum(replaced) == 1


def test_payments_are_listed_by_order_id_from_a_given_id(payments):
    orders = [f"{digit}1111111-1111-4111-8111-111111111111" for digit in "0a39f"]
    for number, order_id in enumerate(orders):
        payment_id = f"22222222-2222-4222-8222-00000000000{number}"
        store(payments, build_payment(order_id=order_id, payment_id=payment_id))

    def listed(order_id, limit):
        return [payment.order_id for payment in payments.list_from(order_id, limit)]

    assert listed("", 10) == sorted(orders)
    assert listed("", 2) == sorted(orders)[:2]
    assert listed(sorted(orders)[2], 2) == sorted(orders)[2:4]
    assert listed("22222222-2222-4222-8222-222222222222", 1) == sorted(orders)[1:2]
    assert listed("ffffffff-ffff-4fff-8fff-ffffffffffff", 1) == []
    named = payments.list_of([orders[3], "22222222-2222-4222-8222-222222222222", orders[0]])
    assert {payment.order_id for payment in named} == {orders[3], orders[0]}


def test_payments_are_listed_as_they_were_stored(payments):
    payment = store(payments, build_payment())
    assert payments.list_from("", 1) == [payment]


def test_a_repository_that_works_can_be_pinged(payments):
    payments.ping()


@pytest.mark.integration
def test_an_unavailable_store_raises_store_unavailable():
    unavailable = PostgresPaymentsRepository(
        postgres.create_engine("postgresql://127.0.0.1:1/none")
    )
    for use in (
        unavailable.ping,
        lambda: unavailable.find(ORDER),
        lambda: store(unavailable, build_payment()),
    ):
        with pytest.raises(StoreUnavailableError):
            use()


@pytest.mark.integration
def test_the_store_rejects_a_partial_refund(engine):
    payments = PostgresPaymentsRepository(engine)
    with pytest.raises(sa.exc.IntegrityError):
        store(payments, build_payment(refunded_amount=Decimal("1.00")))


@pytest.mark.integration
def test_the_migrations_create_the_columns_that_the_code_uses(engine):
    inspector = sa.inspect(engine)
    for table in (repository.payments, sandbox_ledger.transactions):
        made = {column["name"] for column in inspector.get_columns(table.name)}
        assert made == {column.name for column in table.columns}

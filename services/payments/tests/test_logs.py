"""What payments logs when its store or its provider fails: no card, nothing about a person."""

import grpc
import pytest
import sqlalchemy as sa
from mamie_rosa.payments.internal.v1 import payments_pb2

from services.common.rpc.testing import InMemoryServer
from services.common.tests.logs import assert_nothing_private, logged
from services.payments.repository import PostgresPaymentsRepository
from services.payments.sandbox import SandboxProvider
from services.payments.sandbox_ledger import PostgresLedger
from services.payments.servicer import PaymentsServicer
from services.payments.tests.fakes import ORDER, FakeClock, build_processor

pytestmark = pytest.mark.integration

SERVICE = payments_pb2.DESCRIPTOR.services_by_name["PaymentsService"]


@pytest.fixture
def output():
    with logged("payments") as lines:
        yield lines


@pytest.fixture
def payments(engine):
    clock = FakeClock()
    provider = SandboxProvider(
        ledger=PostgresLedger(engine),
        slow_seconds=3,
        timeout_seconds=10,
        clock=clock,
        sleep=clock.sleep,
    )
    repository = PostgresPaymentsRepository(engine)
    servicer = PaymentsServicer(
        repository=repository, processor=build_processor(repository, provider), clock=clock
    )
    return InMemoryServer(SERVICE, servicer)


@pytest.mark.parametrize("table", ["payments", "sandbox_transactions"])
@pytest.mark.parametrize("token", ["tok_ok", "tok_slow", "tok_declined"])
def test_a_payment_that_cannot_be_stored_logs_no_card(engine, payments, output, table, token):
    with engine.begin() as connection:
        connection.execute(sa.text(f"ALTER TABLE {table} ADD CONSTRAINT broken CHECK (false)"))
    request = payments_pb2.ProcessPaymentRequest(
        order_id=ORDER, user_id="Alice", amount="12.90", currency="EUR", payment_token=token
    )
    assert payments.call("ProcessPayment", request).code == grpc.StatusCode.INTERNAL
    assert_nothing_private(output, event="call_crashed")

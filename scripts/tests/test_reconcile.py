"""The output and the exit status of scripts/reconcile."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import StringIO

import grpc
import pytest
from mamie_rosa.orders.internal.v1 import orders_pb2, orders_pb2_grpc
from rich.console import Console
from typing_extensions import override

from scripts.operations.reconcile import reconcile

pytestmark = pytest.mark.integration

ORDER = "11111111-1111-4111-8111-111111111111"
NEXT = "22222222-2222-4222-8222-222222222222"
REPAIRED = orders_pb2.Discrepancy(
    kind="STOCK_NOT_SOLD", order_id=ORDER, repair="COMMIT_STOCK", is_repaired=True
)
NOT_REPAIRED = orders_pb2.Discrepancy(
    kind="STOCK_NOT_SOLD",
    order_id=NEXT,
    repair="COMMIT_STOCK",
    failure="OUT_OF_STOCK",
    facts={"reservationState": "EXPIRED"},
)
LEFT = orders_pb2.Discrepancy(kind="OUTBOX_STUCK")


class FixedReconciliation(orders_pb2_grpc.ReconciliationServiceServicer):
    """Answers two pages."""

    def __init__(self, *pages: list[orders_pb2.Discrepancy]) -> None:
        self._pages = dict(zip(("", NEXT), pages, strict=True))

    @override
    def Reconcile(
        self, request: orders_pb2.ReconcileRequest, context: grpc.ServicerContext
    ) -> orders_pb2.ReconcileResponse:
        return orders_pb2.ReconcileResponse(
            discrepancies=self._pages[request.page_token],
            checked_count=10,
            next_page_token="" if request.page_token else NEXT,
        )


@contextmanager
def answering(*pages: list[orders_pb2.Discrepancy]) -> Iterator[grpc.Channel]:
    server = grpc.server(ThreadPoolExecutor(1))
    orders_pb2_grpc.add_ReconciliationServiceServicer_to_server(FixedReconciliation(*pages), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    server.stop(0).wait()


def run(*pages: list[orders_pb2.Discrepancy]) -> tuple[int, str]:
    shown = StringIO()
    with answering(*pages) as channel:
        status = reconcile(channel, Console(file=shown, width=200))
    return status, shown.getvalue()


def test_no_discrepancies_exit_with_zero():
    assert run([], []) == (0, "20 orders compared: 0 discrepancies, 0 repaired, 0 left\n")


def test_repaired_discrepancies_are_listed_and_exit_with_zero():
    status, shown = run([REPAIRED], [])
    assert status == 0
    assert "repaired (COMMIT_STOCK)" in shown
    assert "20 orders compared: 1 discrepancies, 1 repaired, 0 left" in shown


def test_a_discrepancy_left_on_any_page_is_listed_with_its_facts_and_exits_with_one():
    status, shown = run([REPAIRED, NOT_REPAIRED], [LEFT])
    assert status == 1
    assert f"{NEXT}" in shown
    assert "left (OUT_OF_STOCK)" in shown
    assert "reservationState EXPIRED" in shown
    assert "OUTBOX_STUCK" in shown
    assert "3 discrepancies, 1 repaired, 2 left" in shown

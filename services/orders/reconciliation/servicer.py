"""The internal gRPC service with which the platform team reconciles on demand."""

import grpc
from mamie_rosa.orders.internal.v1 import orders_pb2, orders_pb2_grpc
from typing_extensions import override

from services.orders.reconciliation.domain import Finding
from services.orders.reconciliation.reconciler import BATCH_SIZE, Reconciler


class ReconciliationServicer(orders_pb2_grpc.ReconciliationServiceServicer):
    """Reconciles batches of orders on demand."""

    def __init__(self, *, reconciler: Reconciler) -> None:
        self._reconciler = reconciler

    @override
    def Reconcile(
        self, request: orders_pb2.ReconcileRequest, context: grpc.ServicerContext
    ) -> orders_pb2.ReconcileResponse:
        first = request.page_token.lower()
        report = self._reconciler.reconcile(first, request.page_size or BATCH_SIZE)
        return orders_pb2.ReconcileResponse(
            discrepancies=map(_render, report.findings),
            checked_count=report.checked_count,
            next_page_token=report.next_order_id,
        )


def _render(finding: Finding) -> orders_pb2.Discrepancy:
    discrepancy = finding.discrepancy
    return orders_pb2.Discrepancy(
        kind=discrepancy.kind,
        order_id=discrepancy.order_id,
        facts=discrepancy.facts,
        repair=discrepancy.repair or "",
        is_repaired=finding.is_repaired,
        failure=finding.failure,
    )

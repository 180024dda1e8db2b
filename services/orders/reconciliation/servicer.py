"""What the platform team asks of the reconciliation."""

from mamie_rosa.orders.internal.v1 import orders_pb2, orders_pb2_grpc

from services.orders.reconciliation.domain import Finding
from services.orders.reconciliation.reconciler import SLICE, Reconciler


class ReconciliationServicer(orders_pb2_grpc.ReconciliationServiceServicer):
    """Compares orders on demand."""

    def __init__(self, *, reconciler: Reconciler) -> None:
        self._reconciler = reconciler

    def Reconcile(self, request, context):
        """Compare some orders with what the other services know of them."""
        first = request.page_token.lower()
        report = self._reconciler.reconcile(first, request.page_size or SLICE)
        return orders_pb2.ReconcileResponse(
            discrepancies=map(_render, report.findings),
            checked_count=report.checked,
            next_page_token=report.following,
        )


def _render(finding: Finding) -> orders_pb2.Discrepancy:
    found = finding.discrepancy
    return orders_pb2.Discrepancy(
        kind=found.kind,
        order_id=found.order_id,
        facts=found.facts,
        repair=found.repair or "",
        is_repaired=finding.is_repaired,
        failure=finding.failure,
    )

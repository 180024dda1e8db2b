"""How much the reconciliation repairs by itself before a person has to look.

Accidents are few. Many discrepancies of one kind mean a bug, or a store that was lost or set back
to a backup, and what is repaired then (refunds!) cannot be undone. So each kind has a budget for
each hour, across batches, runs and instances.
"""

from collections.abc import Mapping

from services.orders.reconciliation.domain import REPAIRS, Kind

MAX_REPAIRS_PER_HOUR = 20
MAX_WITHOUT_ORDER_PER_HOUR = 3
WITHOUT_ORDER = frozenset(
    {Kind.PAYMENT_WITHOUT_ORDER, Kind.STOCK_WITHOUT_ORDER, Kind.PROMO_WITHOUT_ORDER}
)
"""Orders that other services know and the orders' own store does not: was it set back?"""


def allowed_kinds(found: Mapping[Kind, int], repaired: Mapping[Kind, int]) -> frozenset[Kind]:
    """Return the kinds that may be repaired, given how many were found and repaired this hour.

    A kind is repaired whole or not at all. Nothing is when the store may have been set back.
    """
    within = frozenset(kind for kind in REPAIRS if _is_within(kind, found, repaired))
    lost = {kind for kind in WITHOUT_ORDER if found.get(kind, 0)}
    return within if lost <= within else frozenset()


def _is_within(kind: Kind, found: Mapping[Kind, int], repaired: Mapping[Kind, int]) -> bool:
    limit = MAX_WITHOUT_ORDER_PER_HOUR if kind in WITHOUT_ORDER else MAX_REPAIRS_PER_HOUR
    return found.get(kind, 0) + repaired.get(kind, 0) <= limit

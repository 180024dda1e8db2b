"""The nine invariants, judged on the facts of one order, product, code or queue at a time.

What the reconciliation compares is not written twice: its kinds of discrepancies are the part of
the invariants that it can see. It repairs slowly and spares what is in progress; here an order
at rest is judged at once.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise

from scripts.verification.facts import (
    Charge,
    ChargeState,
    KeyedAnswer,
    ListEntry,
    OrderFacts,
    ProductFacts,
    PromotionFacts,
    Published,
    Waiting,
)
from scripts.verification.histories import find_impossible
from services.orders.domain import ZERO, Order, next_step
from services.orders.events import OrderConfirmed
from services.orders.reconciliation.domain import Kind, compare
from services.orders.reconciliation.records import Payment, PaymentState

CREATED = "OrderCreated"
JUDGED_FOR = timedelta(days=90)
"""Until when the ids of processed events and the send log are sure to be there."""
MAX_WAIT_SECONDS = 10.0
REFUSAL_SECONDS = 30.0
"""How long a rejected cart gets the same answer again (services.orders.placing.attempts)."""
UNKNOWN_REASONS = frozenset({"REQUEST_IN_PROGRESS", "ORDER_CHANGED"})
"""The reasons of conflicts after which the same request is sent again."""


class Invariant(StrEnum):
    """What must hold."""

    ORDERS_END = "every order reaches a final state"
    MONEY = "one capture an order, of its total, refunded if it is cancelled"
    STOCK = "supplied minus on sale is sold and reserved, never below zero"
    PROMOTIONS = "uses of a code are the orders that hold them, within its limits"
    EVENTS = "one OrderCreated for each confirmed order, with one effect in each consumer"
    HISTORY = "the state of an order follows from its events"
    DRAINED = "no event waits for longer than ten seconds"
    KEYS = "one key and body, one answer and one order"
    TIMEOUTS = "a time-out leaves one outcome, not a part of one"


OF_KIND: Mapping[Kind, Invariant] = {
    Kind.HISTORY_LOST: Invariant.ORDERS_END,
    Kind.HISTORY_BROKEN: Invariant.HISTORY,
    Kind.INDEX_MISSING: Invariant.HISTORY,
    Kind.SAGA_MISSING: Invariant.ORDERS_END,
    Kind.SAGA_NOT_DUE: Invariant.ORDERS_END,
    Kind.SAGA_DUE_IN_VAIN: Invariant.ORDERS_END,
    Kind.ORDER_STALLED: Invariant.ORDERS_END,
    Kind.ORDER_NOT_PAID: Invariant.MONEY,
    Kind.PAYMENT_DIFFERS: Invariant.MONEY,
    Kind.PAYMENT_NOT_RETURNED: Invariant.MONEY,
    Kind.REFUND_TOO_SMALL: Invariant.MONEY,
    Kind.PAYMENT_WITHOUT_ORDER: Invariant.TIMEOUTS,
    Kind.STOCK_NOT_SOLD: Invariant.STOCK,
    Kind.STOCK_DIFFERS: Invariant.STOCK,
    Kind.STOCK_NOT_RELEASED: Invariant.STOCK,
    Kind.STOCK_WITHOUT_ORDER: Invariant.TIMEOUTS,
    Kind.HOLD_OVERDUE: Invariant.TIMEOUTS,
    Kind.PROMO_NOT_REDEEMED: Invariant.PROMOTIONS,
    Kind.PROMO_DIFFERS: Invariant.PROMOTIONS,
    Kind.PROMO_UNEXPECTED: Invariant.PROMOTIONS,
    Kind.PROMO_NOT_RELEASED: Invariant.PROMOTIONS,
    Kind.PROMO_WITHOUT_ORDER: Invariant.TIMEOUTS,
    Kind.OUTBOX_STUCK: Invariant.DRAINED,
}
"""The invariant that each kind of discrepancy breaks."""


@dataclass(frozen=True)
class Violation:
    """An invariant that is broken: by which order, product, code or queue, and how."""

    invariant: Invariant
    subject: str
    problem: str


def check_order(facts: OrderFacts, now: datetime, *, within: timedelta) -> Iterator[Violation]:
    """Check all that is known of an order; `within` is how long its saga may take."""
    for invariant, problem in _order_problems(facts, now, within):
        yield Violation(invariant, facts.order_id, problem)


Problem = tuple[Invariant, str]


def _order_problems(facts: OrderFacts, now: datetime, within: timedelta) -> Iterator[Problem]:
    for found in compare(facts.records, now, grace=timedelta()):
        yield OF_KIND[found.kind], found.kind
    for problem in _charge_problems(facts.charges, facts.records.payment, now):
        yield Invariant.MONEY, problem
    yield from _answer_problems(facts)
    order = facts.records.order
    if order is None:
        return
    if next_step(order, now) and now - order.updated_at > within:
        yield Invariant.ORDERS_END, f"{order.status} for {(now - order.updated_at).seconds} s"
    for problem in _history_problems(facts, order):
        yield Invariant.HISTORY, problem
    for problem in _event_problems(facts, order, now):
        yield Invariant.EVENTS, problem


def _charge_problems(
    charges: Sequence[Charge], payment: Payment | None, now: datetime
) -> Iterator[str]:
    """Compare a payment with what the provider did; one in progress may be behind it."""
    charged = [each for each in charges if each.state is ChargeState.CHARGED]
    if len(charged) > 1:
        yield f"charged {len(charged)} times"
    if payment is None or payment.state is PaymentState.PENDING:
        return
    expected = _expected_charge(payment)
    seen = Counter((each.state, each.amount) for each in charges)
    seen = Counter({key: n for key, n in seen.items() if key[0] is not ChargeState.NONE})
    if seen != expected:
        yield f"{payment.state}, and the provider has {_describe(seen)}"


def _expected_charge(payment: Payment) -> Counter[tuple[ChargeState, Decimal]]:
    states = {
        PaymentState.CAPTURED: ChargeState.CHARGED,
        PaymentState.REFUNDED: ChargeState.REFUNDED,
    }
    state = states.get(payment.state)
    return Counter({(state, payment.amount): 1} if state and payment.amount else {})


def _describe(seen: Counter[tuple[ChargeState, Decimal]]) -> str:
    return ", ".join(f"{state} {amount}" for state, amount in sorted(seen.elements())) or "nothing"


def _history_problems(facts: OrderFacts, order: Order) -> Iterator[str]:
    if facts.history and (impossible := find_impossible(order.order_id, facts.history)):
        yield impossible
    entry = facts.records.index
    listed = (entry.user_id, entry.created_at) if isinstance(entry, ListEntry) else None
    if listed and listed != (order.user_id, order.created_at):
        yield "its entry in the customer's list has another customer or time"


def _event_problems(facts: OrderFacts, order: Order, now: datetime) -> Iterator[str]:
    """Check the event of a confirmed order, and its effects while their traces are kept."""
    confirmed = [each.time for each in facts.history if isinstance(each.event, OrderConfirmed)]
    created = {each.event_id: each for each in facts.published if each.name == CREATED}
    if not facts.log_begins or (confirmed and confirmed[0] <= facts.log_begins):
        return
    if len(created) != len(confirmed):
        yield f"confirmed {len(confirmed)} times, {len(created)} OrderCreated"
        return
    cancelled = any(each.name == "OrderCancelled" for each in facts.published)
    for event in created.values():
        yield from _mail_problems(facts, event, now)
        yield from _graph_problems(facts, order, is_cancelled=cancelled)


def _mail_problems(facts: OrderFacts, event: Published, now: datetime) -> Iterator[str]:
    processed = facts.effects.processed
    if processed is None or now - event.time >= JUDGED_FOR:
        return
    summaries = facts.mailing.summaries if facts.mailing else 0
    if event.event_id not in processed:
        yield "notifications has not processed its OrderCreated"
    elif summaries > 1 or (summaries == 0 and not facts.effects.is_silent):
        yield f"{summaries} summaries"


def _graph_problems(facts: OrderFacts, order: Order, *, is_cancelled: bool) -> Iterator[str]:
    purchases = facts.effects.purchases
    if purchases is None:
        return
    products = {item.product_id for item in order.placed.items}
    expected = {} if is_cancelled else dict.fromkeys(products, 1)
    if dict(purchases) != expected:
        yield f"the graph has {sum(purchases.values())} purchases, not {len(expected)}"


def _answer_problems(facts: OrderFacts) -> Iterator[Problem]:
    finals = [each for each in facts.answers if is_final(each.status, each.reason)]
    placed = [each for each in finals if each.status == 201]
    order = facts.records.order
    if placed and order is None:
        yield Invariant.ORDERS_END, "answered with 201, and lost"
    if {each.placed_id for each in placed} - {facts.order_id}:
        yield Invariant.KEYS, f"{len({each.placed_id for each in placed})} orders"
    if len({each.body for each in placed}) > 1:
        yield Invariant.KEYS, "one order for two bodies"
    for body in {each.body for each in finals}:
        if problem := _contradiction([each for each in finals if each.body == body]):
            yield Invariant.KEYS, problem
    if order and facts.answers and _was_rejected(facts.answers):
        yield Invariant.TIMEOUTS, f"answered {finals[-1].status}, and {order.status}"


def is_final(status: int, reason: str = "") -> bool:
    """Return whether an answer says what became of the request; 0 is no answer."""
    is_answer = 200 <= status < 500 and status != 429
    return is_answer and reason not in UNKNOWN_REASONS


def _contradiction(answers: Sequence[KeyedAnswer]) -> str:
    """Return how two answers to one body differ; a rejection is repeated for some seconds only."""
    for before, after in pairwise(answers):
        same = (before.status, before.reason) == (after.status, after.reason)
        is_over = before.status != 201 and after.at - before.at >= REFUSAL_SECONDS
        if not same and not is_over:
            return f"answered {before.status} {before.reason}, then {after.status} {after.reason}"
    return ""


def _was_rejected(answers: Sequence[KeyedAnswer]) -> bool:
    """Return whether the sender knows that there is no order: all it heard is that."""
    return all(is_final(each.status, each.reason) and each.status != 201 for each in answers)


def check_charge(charge: Charge) -> Iterator[Violation]:
    """Check a transaction of the provider that no payment knows: it must have no money."""
    if charge.state is ChargeState.CHARGED and charge.amount != ZERO:
        yield Violation(Invariant.MONEY, charge.key, f"{charge.amount} charged for no payment")


def check_product(facts: ProductFacts) -> Iterator[Violation]:
    """Check the units of a product."""
    if facts.stock < 0:
        yield Violation(Invariant.STOCK, facts.product_id, f"{facts.stock} on sale")
    if facts.supplied is not None and facts.supplied - facts.stock != facts.off_sale:
        problem = f"{facts.supplied} supplied, {facts.stock} on sale, {facts.off_sale} off sale"
        yield Violation(Invariant.STOCK, facts.product_id, problem)


def check_promotion(facts: PromotionFacts) -> Iterator[Violation]:
    """Check the uses of a code, of all customers and of each."""
    for problem in _promotion_problems(facts):
        yield Violation(Invariant.PROMOTIONS, facts.code, problem)


def _promotion_problems(facts: PromotionFacts) -> Iterator[str]:
    before = facts.used_before
    low, high = min(facts.used), max(facts.used)
    if before is not None and not low <= facts.orders + before <= high:
        yield f"{high - before} uses are counted, and {facts.orders} orders hold one"
    if before is None and facts.orders > high:
        yield f"{high} uses are counted, and {facts.orders} orders hold one"
    if facts.max_uses and max(high, facts.orders) > facts.max_uses:
        yield f"{max(high, facts.orders)} uses of {facts.max_uses}"
    if facts.by_customer is None:
        return
    total, most = 0, 0
    for _customer, uses in facts.by_customer:
        total, most = total + uses, max(most, uses)
    if facts.max_uses_per_user and most > facts.max_uses_per_user:
        yield f"{most} uses of one customer, of {facts.max_uses_per_user}"
    if before is not None and not low <= total + before <= high:
        yield f"{high - before} uses are counted, {total} of customers"


def check_waiting(waiting: Waiting) -> Iterator[Violation]:
    """Check what waits in one place; what has no known age should not be there at all."""
    too_old = waiting.seconds is None or waiting.seconds > MAX_WAIT_SECONDS
    if waiting.count and too_old:
        age = f", for {waiting.seconds:.0f} s" if waiting.seconds is not None else ""
        yield Violation(Invariant.DRAINED, waiting.where, f"{waiting.count} events wait{age}")

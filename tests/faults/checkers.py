"""Checkers: what must hold whatever failed. Each returns the problems that it finds.

`check(one, another, seconds=...)` waits until all of them find none. test_checkers.py proves
that each can fail.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import httpx

from scripts.verification.judge import Verdict
from tests.faults.calls import Answer
from tests.faults.keyed_orders import KeyedOrder
from tests.faults.workloads import PlacedOrder
from tests.support.event_log import Published
from tests.support.shop import Product
from tests.support.stores import Payment
from tests.support.waiting import eventually

Checker = Callable[[], Iterable[str]]


def check(*checkers: Checker, seconds: float = 0) -> None:
    """Return when no checker sees a problem; AssertionError with the problems after `seconds`."""
    problems: list[str] = []

    def hold() -> bool:
        problems[:] = [problem for checker in checkers for problem in checker()]
        return not problems

    try:
        eventually(hold, seconds=seconds)
    except AssertionError:
        raise AssertionError("\n".join(problems)) from None


class Stock(Protocol):
    """Answers how many units of a product are on sale (tests.support.shop.Shop)."""

    def stock_of(self, product: Product) -> int:
        """Return the units on sale."""


class Load(Protocol):
    """Counts how calls ended (tests.support.steady_load.SteadyLoad)."""

    outcomes: Counter[str]


class Purchases(Protocol):
    """Answers the orders of a customer's purchases (RecommendationsGraph)."""

    def orders_of(self, user_id: str) -> Sequence[str]:
        """Return order ids, each as often as it is stored."""


def every_call_succeeded(load: Load) -> Checker:
    """Check that every call of a load was answered with 200."""
    return lambda: [f"{n} calls: {end}" for end, n in load.outcomes.items() if end != "200"]


def every_answer_in_time(answers: Sequence[Answer], limit: Callable[[str], float]) -> Checker:
    """Check that no call took longer than the seconds that `limit` has for its name."""
    return lambda: [
        f"{late.call} was answered {late.outcome} after {late.seconds:.1f} s"
        for late in list(answers)
        if late.seconds > limit(late.call)
    ]


def only_fail(names: Iterable[str], answers: Sequence[Answer], *, since: float) -> Checker:
    """Check that all calls but the named ones succeeded, of those begun since a moment."""
    allowed = frozenset(names)
    return lambda: [
        f"{each.call} was answered {each.outcome} {each.began - since:.1f} s later"
        for each in list(answers)
        if each.began >= since and not each.succeeded and each.call not in allowed
    ]


def calls_succeed(make_calls: Callable[[], Iterable[Answer]]) -> Checker:
    """Check that every call succeeds when it is made now."""
    return lambda: [
        f"{each.call} is answered {each.outcome}" for each in make_calls() if not each.succeeded
    ]


def one_answer_per_key(orders: Sequence[KeyedOrder]) -> Checker:
    """Check that each key has one final answer, and that a rejected one placed nothing."""

    def find() -> Iterable[str]:
        for order in orders:
            finals = order.finals
            if len(finals) != 1:
                yield f"key {order.key} has the final answers {sorted(finals)}"
            placed = order.customer.get("/api/orders").json()["total"]
            expected = len({each.order_id for each in finals} - {""})
            if placed != expected:
                yield f"key {order.key} placed {placed} orders; its answers: {sorted(finals)}"

    return find


def orders_are(status: str, orders: Sequence[PlacedOrder]) -> Checker:
    """Check that no acknowledged order is lost, and that all have a status."""

    def find() -> Iterable[str]:
        for order in orders:
            answer = order.customer.get(f"/api/orders/{order.order_id}")
            seen = _status_of(answer)
            if seen != status:
                yield f"order {order.order_id} is {seen}, not {status}"

    return find


def _status_of(answer: httpx.Response) -> str:
    return answer.json()["status"] if answer.status_code == 200 else str(answer.status_code)


def orders_equal_acknowledgements(orders: Sequence[PlacedOrder]) -> Checker:
    """Check that each customer has as many orders as 201s: none lost, none placed twice."""

    def find() -> Iterable[str]:
        expected = Counter(order.customer for order in orders)
        for customer, count in expected.items():
            listed = customer.get("/api/orders").json()["total"]
            if listed != count:
                yield f"user {customer.user_id} has {listed} orders and {count} acknowledgements"

    return find


def stock_is_conserved(shop: Stock, product: Product, *, initial: int, sold: int) -> Checker:
    """Check that what is on sale and what was sold are the initial stock."""

    def find() -> Iterable[str]:
        left = shop.stock_of(product)
        if left + sold != initial:
            yield f"{left} units are left and {sold} are sold of {initial}"

    return find


def one_payment_per_order(
    payments_of: Callable[[str], Sequence[Payment]], order_ids: Iterable[str]
) -> Checker:
    """Check that each order has exactly one payment."""

    def find() -> Iterable[str]:
        for order_id in order_ids:
            payments = payments_of(order_id)
            if len(payments) != 1:
                yield f"order {order_id} has {len(payments)} payments: {payments}"

    return find


def invariants_hold(judge: Callable[[], Verdict]) -> Checker:
    """Check that the records of all services agree, as scripts/verify judges them."""
    return lambda: [
        f"{violation.invariant}: {violation.subject}: {violation.problem}"
        for found in judge().violations.values()
        for violation in found
    ]


def outbox_is_empty(count: Callable[[], int]) -> Checker:
    """Check that no event waits to be published."""
    return lambda: [f"{waiting} events are not published" for waiting in [count()] if waiting]


def nothing_waits(count: Callable[[], Mapping[str, int]]) -> Checker:
    """Check that no event waits anywhere: `count` returns how many wait where."""
    return lambda: [f"{n} events wait in the {where}" for where, n in count().items() if n]


def all_published(published: Published, subjects: Iterable[str], *, events_each: int) -> Checker:
    """Check that all events of each subject are in the event log."""
    return lambda: [
        f"{found} of {events_each} events of {subject} are published"
        for subject in subjects
        if (found := len(published.get(subject, {}))) != events_each
    ]


def published_in_order(published: Published) -> Checker:
    """Check that the events of each subject were first published in the order of their times."""
    return lambda: [
        f"events of {subject} are out of order: {list(events.values())}"
        for subject, events in published.items()
        if list(events.values()) != sorted(events.values())
    ]


def last_change_had_effect(
    first_names: Callable[[Sequence[str]], Sequence[str]], user_ids: Sequence[str], name: str
) -> Checker:
    """Check that the newest name of every user is stored."""

    def find() -> Iterable[str]:
        seen = Counter(first_names(user_ids))
        if seen != Counter({name: len(user_ids)}):
            yield f"{len(user_ids)} users should be {name!r}: {dict(seen)}"

    return find


def one_welcome_per_user(
    welcome_counts: Callable[[Sequence[str]], Mapping[str, int]], user_ids: Sequence[str]
) -> Checker:
    """Check that each user's first event had one effect: one welcome."""

    def find() -> Iterable[str]:
        counts = welcome_counts(user_ids)
        for user_id in user_ids:
            if counts.get(user_id, 0) != 1:
                yield f"user {user_id} was welcomed {counts.get(user_id, 0)} times"

    return find


def every_event_had_effect(
    processing_times: Callable[[Sequence[str]], Mapping[str, datetime]], published: Published
) -> Checker:
    """Check that the consumer remembers every published event as processed."""

    def find() -> Iterable[str]:
        event_ids = [event_id for events in published.values() for event_id in events]
        if missing := set(event_ids) - processing_times(event_ids).keys():
            yield f"{len(missing)} published events had no effect: {sorted(missing)}"

    return find


def one_summary_per_order(orders: Sequence[PlacedOrder]) -> Checker:
    """Check that the one order of each customer was summarised in one sent notification."""

    def find() -> Iterable[str]:
        for order in orders:
            answer = order.customer.get("/api/notifications")
            seen = _summaries(answer) if answer.status_code == 200 else [str(answer.status_code)]
            if seen != ["SENT"]:
                yield f"the summaries of order {order.order_id} are {seen}"

    return find


def _summaries(answer: httpx.Response) -> list[str]:
    notifications = answer.json()["notifications"]
    return [each["status"] for each in notifications if each["template"] == "order_summary"]


def one_mail_per_order(
    texts_to: Callable[[str], Sequence[str]], orders: Sequence[PlacedOrder]
) -> Checker:
    """Check that one mail to each customer names the order; `texts_to` reads an address's mails."""

    def find() -> Iterable[str]:
        for order in orders:
            mails = [text for text in texts_to(order.customer.email) if order.order_id in text]
            if len(mails) != 1:
                yield f"{len(mails)} mails name order {order.order_id}"

    return find


def one_purchase_per_order(graph: Purchases, orders: Sequence[PlacedOrder]) -> Checker:
    """Check that the graph has the one order of each customer, once."""

    def find() -> Iterable[str]:
        for order in orders:
            seen = graph.orders_of(order.customer.user_id)
            if seen != [order.order_id]:
                yield f"the graph has {seen}, not order {order.order_id}"

    return find

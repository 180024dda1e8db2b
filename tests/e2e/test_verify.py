"""scripts/verify on a running stack: it finds what is planted in the real stores, and nothing else.

Other tests plant faults in the same stack, so each judges what it has made itself.
"""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import neo4j
import psycopg2
import pymongo
import pytest
import redis

from scripts.verification.__main__ import main, read_urls
from scripts.verification.invariants import Invariant
from scripts.verification.judge import Verdict, judge
from scripts.verification.published import order_of_key
from scripts.verification.stores import StoredFacts
from services.common.messaging import rabbitmq
from services.recommendations.repository import connect as connect_graph
from tests.faults.checkers import check, invariants_hold
from tests.support.commands import run_script
from tests.support.outboxes import count_waiting
from tests.support.shop import Customer, Shop
from tests.support.verification import WITHIN, judge_selected
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.local]

DEAD_QUEUE = rabbitmq.dead_letter_queue("recommendations")


class Traded:
    """Orders of one customer: confirmed ones, and one that is cancelled; all with a code."""

    def __init__(self, shop: Shop) -> None:
        self.customer = shop.register()
        product = shop.add_product(stock=50)
        self.product_id = str(product["productId"])
        self.code = shop.add_promotion(maxUsesPerUser=20)
        self.key = uuid.uuid4().hex
        line = (product, 1)
        self.orders = [
            self.customer.buy(line, promoCode=self.code, **({"key": self.key} if not n else {}))
            for n in range(4)
        ]
        self.cancelled = self.customer.buy((product, 2), promoCode=self.code)
        self.customer.cancel(self.cancelled)
        self.customer.await_saga_end(self.cancelled)

    @property
    def ids(self) -> set[str]:
        """The ids of all that was made."""
        return {*self.orders, self.cancelled, self.product_id, self.code}


@pytest.fixture(scope="module")
def traded(stack, shop) -> Traded:
    """Return orders whose events have had their effects."""
    made = Traded(shop)
    eventually(lambda: not any(count_waiting(stack).values()), seconds=20)
    return made


def answers_of(path, customer: Customer, key: str, *answers: tuple[int, str]):
    """Write answers to one request down, a second apart."""
    lines = [
        {
            "userId": customer.user_id,
            "key": key,
            "body": "cart",
            "at": time.time() + n,
            "status": status,
            "orderId": order_id,
        }
        for n, (status, order_id) in enumerate(answers)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_orders_that_were_placed_and_cancelled_break_nothing(stack, traded, tmp_path):
    first = traded.orders[0]
    answers = answers_of(tmp_path / "a", traded.customer, traded.key, (504, ""), (201, first))
    check(invariants_hold(partial(judge_selected, stack, traded.ids, answers)), seconds=20)
    verdict = judge_selected(stack, traded.ids, answers)
    assert (verdict.counts["orders"], verdict.counts["answers"]) == (5, 2)
    assert (verdict.counts["products"], verdict.counts["codes"]) == (1, 1)
    assert not verdict.counts["products without a first stock"]


class Stores:
    """The stores of a running stack, to be changed behind their services' backs."""

    def __init__(self, stack: Any, opened: ExitStack) -> None:
        self._stack, self._opened = stack, opened
        client: pymongo.MongoClient = pymongo.MongoClient(stack.store_url("orders"))
        self.orders = opened.enter_context(client).get_default_database()
        self.redis = opened.enter_context(redis.Redis.from_url(stack.store_url("promotions")))
        driver, self._graph_name = connect_graph(stack.store_url("recommendations"))
        self._graph: neo4j.Driver = opened.enter_context(driver)

    def sql(self, service: str, change: str, undo: str, **values: Any) -> None:
        """Execute a statement, and another one that undoes it at the end."""
        connection = psycopg2.connect(self._stack.store_url(service))
        connection.autocommit = True
        self._opened.enter_context(closing(connection))
        cursor = connection.cursor()
        cursor.execute(change, values)
        self._opened.callback(cursor.execute, undo, values)

    def mongo(self, collection: str, document: dict[str, Any]) -> None:
        """Insert a document until the end."""
        _id = self.orders[collection].insert_one(document).inserted_id
        self._opened.callback(self.orders[collection].delete_one, {"_id": _id})

    def count_uses(self, code: str, by: int) -> None:
        """Change the counter of a code until the end."""
        key = f"promotions:promotion:{code}"
        self.redis.hincrby(key, "used", by)
        self._opened.callback(self.redis.hincrby, key, "used", -by)

    def dead_letter(self) -> None:
        """Put a message among the dead letters until the end."""
        bus = rabbitmq.connection(self._stack.url("rabbitmq"), "test")
        channel = self._opened.enter_context(bus).channel()
        channel.confirm_delivery()
        channel.basic_publish("", DEAD_QUEUE, b"planted", mandatory=True)
        self._opened.callback(channel.queue_purge, DEAD_QUEUE)


@contextmanager
def planted(stack, traded: Traded) -> Iterator[dict[str, Invariant]]:
    """Break every invariant, each about something of its own; yield what is broken about it."""
    second, third, fourth = traded.orders[1:]
    lost, orphan, now = str(uuid.uuid4()), str(uuid.uuid4()), datetime.now(UTC)
    with ExitStack() as opened:
        stores = Stores(stack, opened)
        entry = {"user_id": traded.customer.user_id, "created_at": now - timedelta(hours=1)}
        stores.mongo("orders", {"_id": lost} | entry)
        raise_amount = "UPDATE payments SET amount = amount {} 1 WHERE order_id = %(id)s"
        stores.sql("payments", raise_amount.format("+"), raise_amount.format("-"), id=second)
        add_stock = "UPDATE products SET stock = stock {} 1 WHERE product_id = %(id)s"
        stores.sql("catalog", add_stock.format("+"), add_stock.format("-"), id=traded.product_id)
        stores.count_uses(traded.code, 1)
        mail = "UPDATE notifications SET facts = facts {} WHERE facts->>'order_id' = %(id)s"
        renamed = mail.format("""|| '{"order_id": "moved"}'""")
        restored = """
            UPDATE notifications SET facts = facts || jsonb_build_object('order_id', %(id)s)
            WHERE facts->>'order_id' = 'moved'
        """
        stores.sql("notifications", renamed, restored, id=third)
        again: Any = stores.orders.events.find_one({"order_id": fourth}, sort=[("sequence", -1)])
        stores.mongo("events", again | {"_id": "planted", "sequence": again["sequence"] + 1})
        stores.dead_letter()
        reserve = """
            INSERT INTO reservations (order_id, state, expires_at, lines)
            VALUES (%(id)s, 'COMMITTED', now(), '[]')
        """
        forget = "DELETE FROM reservations WHERE order_id = %(id)s"
        stores.sql("catalog", reserve, forget, id=orphan)
        yield {
            lost: Invariant.ORDERS_END,
            second: Invariant.MONEY,
            traded.product_id: Invariant.STOCK,
            traded.code: Invariant.PROMOTIONS,
            third: Invariant.EVENTS,
            fourth: Invariant.HISTORY,
            DEAD_QUEUE: Invariant.DRAINED,
            order_of_key(traded.customer.user_id, traded.key): Invariant.KEYS,
            orphan: Invariant.TIMEOUTS,
        }


def test_what_is_planted_in_the_stores_is_found(stack, traded, tmp_path):
    first, second = traded.orders[:2]
    answers = answers_of(tmp_path / "a", traded.customer, traded.key, (201, first), (201, second))
    with planted(stack, traded) as expected, StoredFacts(read_urls(stack), answers) as facts:
        verdict = judge(facts, datetime.now(UTC), within=WITHIN)
    assert set(expected.values()) == set(Invariant)
    assert {subject: subject in subjects(verdict, each) for subject, each in expected.items()} == (
        dict.fromkeys(expected, True)
    )
    check(invariants_hold(partial(judge_selected, stack, traded.ids)), seconds=20)


def subjects(verdict: Verdict, invariant: Invariant) -> set[str]:
    return {violation.subject for violation in verdict.of(invariant)}


def test_the_command_prints_a_line_for_each_invariant(stack, traded, tmp_path):
    answers = answers_of(tmp_path / "a", traded.customer, traded.key, (201, traded.orders[1]))
    status, output = run_script(stack, "verify", "--answers", str(answers))
    assert status == 1
    for number, invariant in enumerate(Invariant, 1):
        assert f"{number}  {invariant}: " in output
    assert f"{traded.orders[0]}: 1 orders" in output


def test_no_stack_is_one_line(tmp_path, capsys):
    assert main(["--data", str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"no stack runs on {tmp_path}\n"

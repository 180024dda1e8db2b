"""Each checker accepts what is right and reports one planted fault."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx
import pytest

from scripts.tests.verified import product, verdict_of
from tests.faults import checkers
from tests.faults.calls import Answer
from tests.faults.keyed_orders import KeyedAnswer, KeyedOrder
from tests.faults.workloads import PlacedOrder
from tests.support.shop import Customer

START = datetime(2026, 1, 1, tzinfo=UTC)
PRODUCT = {"productId": "kibble"}


def customer_with(**answers):
    """Return a customer whose paths, by their last part, have these answers."""

    def answer(request):
        body = answers.get(request.url.path.rpartition("/")[2])
        return httpx.Response(404 if body is None else 200, json=body)

    http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://shop")
    return Customer(http, user_id="user", email="user@customers.example")


def order_of(**answers):
    return PlacedOrder(customer_with(**answers), "one", 1)


def summaries(*statuses):
    listed = [{"template": "order_summary", "status": status} for status in statuses]
    return {"notifications": [{"template": "welcome", "status": "SENT"}, *listed]}


def published(*minutes):
    times = {f"event-{n}": START + timedelta(minutes=each) for n, each in enumerate(minutes)}
    return {"user": times}


def load(**outcomes):
    return SimpleNamespace(outcomes=Counter({"200": 5} | outcomes))


def stock(units):
    return SimpleNamespace(stock_of=lambda _product: units)


def graph(*order_ids):
    return SimpleNamespace(orders_of=lambda _user_id: list(order_ids))


def conserved(units):
    return checkers.stock_is_conserved(stock(units), PRODUCT, initial=10, sold=2)


def paid(*payments):
    return checkers.one_payment_per_order(lambda _order_id: payments, ["one"])


def renamed(*names):
    return checkers.last_change_had_effect(lambda _ids: names, ["a", "b"], "New")


def welcomed(**counts):
    return checkers.one_welcome_per_user(lambda _ids: counts, ["a", "b"])


def processed(*event_ids):
    times = dict.fromkeys(event_ids, START)
    return checkers.every_event_had_effect(lambda _ids: times, published(1, 2))


def mailed(*texts):
    return checkers.one_mail_per_order(lambda _address: texts, [order_of()])


def answers(*outcomes, seconds=1.0):
    return [Answer(f"call-{n}", n, seconds, outcome) for n, outcome in enumerate(outcomes)]


def in_time(seconds):
    return checkers.every_answer_in_time(answers("200", seconds=seconds), lambda _call: 5)


def only_second_fails(*outcomes, since=0):
    return checkers.only_fail({"call-1"}, answers(*outcomes), since=since)


def keyed(*given, placed):
    customer = customer_with(orders={"total": placed})
    return checkers.one_answer_per_key(
        [KeyedOrder(customer, PRODUCT, "CODE", key="key", answers=list(given))]
    )


BUSY, SHORT = KeyedAnswer(503, "SERVICE_UNAVAILABLE"), KeyedAnswer(422, "OUT_OF_STOCK")
CREATED = KeyedAnswer(201, order_id="one")
CAPTURED = ("CAPTURED", "10.00")
VALID = {
    "every_call_succeeded": checkers.every_call_succeeded(load()),
    "every_answer_in_time": in_time(5),
    "only_fail": only_second_fails("503", "503", "201", since=1),
    "calls_succeed": checkers.calls_succeed(lambda: answers("200", "201")),
    "one_answer_per_key": keyed(BUSY, CREATED, CREATED, placed=1),
    "nothing_waits": checkers.nothing_waits(lambda: {"outbox": 0}),
    "orders_are": checkers.orders_are("CONFIRMED", [order_of(one={"status": "CONFIRMED"})]),
    "orders_equal_acknowledgements": checkers.orders_equal_acknowledgements(
        [order_of(orders={"total": 1})]
    ),
    "stock_is_conserved": conserved(8),
    "one_payment_per_order": paid(CAPTURED),
    "invariants_hold": checkers.invariants_hold(lambda: verdict_of(product())),
    "outbox_is_empty": checkers.outbox_is_empty(lambda: 0),
    "all_published": checkers.all_published(published(1, 2), ["user"], events_each=2),
    "published_in_order": checkers.published_in_order(published(1, 2, 3)),
    "last_change_had_effect": renamed("New", "New"),
    "one_welcome_per_user": welcomed(a=1, b=1),
    "every_event_had_effect": processed("event-0", "event-1"),
    "one_summary_per_order": checkers.one_summary_per_order(
        [order_of(notifications=summaries("SENT"))]
    ),
    "one_mail_per_order": mailed("welcome", "order one"),
    "one_purchase_per_order": checkers.one_purchase_per_order(graph("one"), [order_of()]),
}
FAULTY = [
    ("every_call_succeeded", checkers.every_call_succeeded(load(**{"503": 2})), "2 calls: 503"),
    ("every_answer_in_time", in_time(5.1), "call-0 was answered 200 after 5.1 s"),
    ("only_fail", only_second_fails("503", "503"), "call-0 was answered 503 0.0 s later"),
    ("only_fail", only_second_fails("200", "503", "401"), "call-2 was answered 401"),
    (
        "calls_succeed",
        checkers.calls_succeed(lambda: answers("200", "500")),
        "call-1 is answered 500",
    ),
    ("one_answer_per_key", keyed(SHORT, CREATED, placed=1), "has the final answers"),
    (
        "one_answer_per_key",
        keyed(CREATED, KeyedAnswer(201, order_id="two"), placed=2),
        "has the final answers",
    ),
    ("one_answer_per_key", keyed(BUSY, placed=0), "has the final answers []"),
    ("one_answer_per_key", keyed(SHORT, placed=1), "key placed 1 orders"),
    ("one_answer_per_key", keyed(CREATED, placed=2), "key placed 2 orders"),
    (
        "nothing_waits",
        checkers.nothing_waits(lambda: {"outbox": 0, "queue": 2}),
        "2 events wait in the queue",
    ),
    ("orders_are", checkers.orders_are("CONFIRMED", [order_of()]), "order one is 404"),
    (
        "orders_are",
        checkers.orders_are("CONFIRMED", [order_of(one={"status": "PENDING"})]),
        "order one is PENDING",
    ),
    (
        "orders_equal_acknowledgements",
        checkers.orders_equal_acknowledgements([order_of(orders={"total": 2})]),
        "2 orders and 1 acknowledgements",
    ),
    ("stock_is_conserved", conserved(9), "9 units are left and 2 are sold of 10"),
    ("one_payment_per_order", paid(), "0 payments"),
    ("one_payment_per_order", paid(CAPTURED, CAPTURED), "2 payments"),
    (
        "invariants_hold",
        checkers.invariants_hold(lambda: verdict_of(product(stock=8))),
        "kibble: 10 supplied, 8 on sale",
    ),
    ("outbox_is_empty", checkers.outbox_is_empty(lambda: 3), "3 events"),
    (
        "all_published",
        checkers.all_published(published(1), ["user"], events_each=2),
        "1 of 2 events of user",
    ),
    (
        "all_published",
        checkers.all_published({}, ["user"], events_each=2),
        "0 of 2 events of user",
    ),
    ("published_in_order", checkers.published_in_order(published(1, 3, 2)), "out of order"),
    ("last_change_had_effect", renamed("New", "Old"), "2 users should be 'New'"),
    ("last_change_had_effect", renamed("New"), "2 users should be 'New'"),
    ("one_welcome_per_user", welcomed(a=1), "b was welcomed 0 times"),
    ("one_welcome_per_user", welcomed(a=2, b=1), "a was welcomed 2 times"),
    ("every_event_had_effect", processed("event-0"), "event-1"),
    (
        "one_summary_per_order",
        checkers.one_summary_per_order([order_of(notifications=summaries())]),
        "order one are []",
    ),
    (
        "one_summary_per_order",
        checkers.one_summary_per_order([order_of(notifications=summaries("SENT", "SENT"))]),
        "['SENT', 'SENT']",
    ),
    ("one_summary_per_order", checkers.one_summary_per_order([order_of()]), "['404']"),
    ("one_mail_per_order", mailed("order one", "order one"), "2 mails name order one"),
    ("one_mail_per_order", mailed("welcome"), "0 mails name order one"),
    (
        "one_purchase_per_order",
        checkers.one_purchase_per_order(graph("one", "one"), [order_of()]),
        "['one', 'one'], not order one",
    ),
    (
        "one_purchase_per_order",
        checkers.one_purchase_per_order(graph(), [order_of()]),
        "[], not order one",
    ),
]


@pytest.mark.parametrize("name", VALID)
def test_a_checker_accepts_a_valid_state(name):
    checkers.check(VALID[name])


@pytest.mark.parametrize(("name", "checker", "problem"), FAULTY)
def test_a_checker_reports_a_planted_fault(name, checker, problem):
    with pytest.raises(AssertionError) as caught:
        checkers.check(VALID[name], checker)
    assert problem in str(caught.value)


def test_every_checker_is_proved_able_to_fail():
    public = {
        name
        for name, value in vars(checkers).items()
        if getattr(value, "__annotations__", {}).get("return") is checkers.Checker
    }
    assert public == set(VALID) == {name for name, _, _ in FAULTY}


def test_a_check_waits_until_all_checkers_hold():
    rounds = iter([["late"], ["later"], []])
    checkers.check(lambda: next(rounds), lambda: (), seconds=5)
    assert next(rounds, "all rounds are used") == "all rounds are used"


def test_a_check_reports_the_problems_of_all_checkers():
    with pytest.raises(AssertionError, match="one\ntwo"):
        checkers.check(lambda: ["one"], lambda: ["two"])


@pytest.mark.parametrize(
    ("answer", "final"),
    [
        (KeyedAnswer(201, order_id="one"), True),
        (KeyedAnswer(422, "OUT_OF_STOCK"), True),
        (KeyedAnswer(409, "IDEMPOTENCY_KEY_REUSED"), True),
        (KeyedAnswer(409, "REQUEST_IN_PROGRESS"), False),
        (KeyedAnswer(429, "OVERLOADED"), False),
        (KeyedAnswer(503, "SERVICE_UNAVAILABLE"), False),
        (KeyedAnswer(0, "ReadTimeout"), False),
    ],
)
def test_an_order_is_final_and_so_is_a_reason_in_the_request(answer, final):
    assert answer.final is final

"""The visits of scripts/demo, against a shop of this test, and their pace."""

import threading
from collections import deque
from random import Random

import pytest

from scripts.load import journeys
from scripts.load.demo import Summary, main, pace
from scripts.load.journeys import Answer, Customers, Journey, Outcome, Tally


class FakeShop:
    """Answers as the shop does; `statuses` has those of an order, one a read."""

    def __init__(self, *statuses):
        self.requests = []
        self.failures = {}
        self.statuses = deque(statuses or ["PENDING", "CONFIRMED"])
        self.products = [
            {"productId": f"prod_{n}", "stock": 50, "price": "12.90"} for n in range(5)
        ]

    def send(self, method, path, body, headers):
        self.requests.append((method, path, body, headers))
        name = path.split("?")[0]
        if name in self.failures:
            return Answer(self.failures[name])
        if name == "/api/users/register":
            return Answer(201, {"token": f"token-{len(self.requests)}"})
        if name == "/api/products":
            return Answer(200, {"products": self.products})
        if name == "/api/products/check-stock":
            return Answer(200, {"allAvailable": True})
        if name == "/api/promotions/validate":
            return Answer(200, {"isValid": body["promoCode"] == "WELCOME10"})
        if (method, name) == ("POST", "/api/orders"):
            return Answer(201, {"orderId": "order-1"})
        if (method, name) == ("GET", "/api/orders/order-1"):
            several = len(self.statuses) > 1
            return Answer(200, {"status": self.statuses.popleft() if several else self.statuses[0]})
        return Answer(200)

    def bodies(self, path):
        return [body for _, asked, body, _ in self.requests if asked == path]


@pytest.fixture
def tally():
    return Tally()


@pytest.fixture
def visit(tally, monkeypatch):
    """Return a function that makes visits; of all chances those in `happens` come true."""
    customers, stop = Customers(), threading.Event()

    def make(shop, *happens, visits=1, stopped=False, seed=1):
        monkeypatch.setattr(
            journeys, "CHANCE", {name: float(name in happens) for name in journeys.CHANCE}
        )
        if stopped:
            stop.set()
        for number in range(visits):
            Journey(
                send=shop.send,
                tally=tally,
                customers=customers,
                random=Random(seed + number),
                stop=stop,
                poll_seconds=0.001,
                follow_seconds=0.02,
            ).run()
        return tally.read()[0]

    return make


def test_a_customer_registers_orders_and_follows_the_order(visit, tally):
    shop = FakeShop()
    assert visit(shop) == {Outcome.REGISTERED: 1, Outcome.ORDERED: 1, Outcome.CONFIRMED: 1}
    assert len(tally.read()[1]) == 1
    (order,) = shop.bodies("/api/orders")
    assert 1 <= len(order["items"]) <= 3
    assert "promoCode" not in order
    headers = next(h for method, path, _, h in shop.requests if path == "/api/orders")
    assert headers["authorization"] == "Bearer token-1"
    assert headers["idempotency-key"]


def test_a_customer_comes_back_with_the_same_account(visit):
    counts = visit(FakeShop(), visits=3)
    assert (counts[Outcome.REGISTERED], counts[Outcome.ORDERED]) == (1, 3)


def test_new_customers_register(visit):
    assert visit(FakeShop(), "new", visits=3)[Outcome.REGISTERED] == 3


def test_a_code_is_used_only_if_it_applies(visit):
    shop = FakeShop()
    counts = visit(shop, "code", visits=30)
    tried = [body["promoCode"] for body in shop.bodies("/api/promotions/validate")]
    used = [order.get("promoCode") for order in shop.bodies("/api/orders")]
    assert set(tried) == {"WELCOME10", "EXPIRED20"}
    assert set(used) == {"WELCOME10", None}
    assert counts[Outcome.WITH_CODE] == used.count("WELCOME10") == tried.count("WELCOME10")


def test_a_payment_is_declined(visit):
    shop = FakeShop("CANCELLED")
    counts = visit(shop, "declined")
    assert shop.bodies("/api/orders")[0]["paymentToken"] == "tok_declined"
    assert (counts[Outcome.DECLINED], counts[Outcome.CONFIRMED]) == (1, 0)


@pytest.mark.parametrize(
    ("happens", "outcome", "path"),
    [("cancel", Outcome.CANCELLED, "/cancel"), ("rate", Outcome.RATED, "/ratings")],
)
def test_a_confirmed_order_is_cancelled_or_rated(visit, happens, outcome, path):
    shop = FakeShop()
    assert visit(shop, happens)[outcome] == 1
    assert any(asked.endswith(path) for _, asked, _, _ in shop.requests)


def test_an_order_that_is_never_decided_is_counted(visit):
    assert visit(FakeShop("PAYMENT_PROCESSING"))[Outcome.OPEN] == 1


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (429, Outcome.LIMITED),
        (503, Outcome.FAILED),
        (0, Outcome.FAILED),
        (422, Outcome.OUT_OF_STOCK),
    ],
)
def test_an_order_that_fails_is_counted_and_ends_the_visit(visit, status, outcome):
    shop = FakeShop()
    shop.failures["/api/orders"] = status
    counts = visit(shop)
    assert (counts[outcome], counts[Outcome.ORDERED]) == (1, 0)
    assert shop.requests[-1][1] == "/api/orders"


def test_an_answer_without_what_it_must_have_is_a_failure(visit):
    shop = FakeShop()
    shop.failures["/api/users/register"] = 201
    assert visit(shop) == {Outcome.FAILED: 1}


def test_a_customer_whose_token_has_expired_does_not_come_back(visit):
    shop = FakeShop()
    shop.failures["/api/orders"] = 401
    counts = visit(shop, visits=2)
    assert counts == {Outcome.REGISTERED: 2}


def test_products_that_are_nearly_sold_out_are_left_alone(visit):
    shop = FakeShop()
    shop.products = [{"productId": "prod_1", "stock": 1, "price": "1.00"}]
    assert visit(shop)[Outcome.OUT_OF_STOCK] == 1
    assert not shop.bodies("/api/orders")


def test_a_visit_that_is_stopped_makes_no_more_requests(visit):
    shop = FakeShop()
    assert visit(shop, stopped=True) == {}
    assert shop.requests == []


def test_visits_begin_at_the_rate_and_stop_at_the_end(tally):
    begun = []
    pace(lambda: begun.append(1), tally, threading.Event(), rate=1000, seconds=0.05)
    assert len(begun) == 50


def test_a_stop_ends_the_pace_at_once(tally):
    stop = threading.Event()
    stop.set()
    pace(lambda: pytest.fail("a visit began"), tally, stop, rate=0.001)


def test_visits_that_would_be_too_many_at_once_are_skipped_and_counted(tally):
    stop, begun = threading.Event(), []

    def visit():
        begun.append(1)
        stop.wait()

    class Stopping(Tally):
        def add(self, outcome):
            tally.add(outcome)
            stop.set()

    pace(visit, Stopping(), stop, rate=1000, at_once=2)
    assert len(begun) == 2
    assert tally.read()[0] == {Outcome.SKIPPED: 1}


def test_the_summary_shows_what_was_counted(tally, capsys):
    from rich import print as show

    tally.add(Outcome.ORDERED)
    tally.add(Outcome.LIMITED)
    tally.add_latency(0.1)
    show(Summary(tally, 0.0))
    shown = capsys.readouterr().out
    assert "1  orders placed" in shown
    assert "p95 100 ms" in shown
    assert "(429)" in shown
    assert "confirmed" not in shown


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "101", "many"])
def test_a_bad_rate_is_rejected(rate, capsys):
    with pytest.raises(SystemExit):
        main([f"--rate={rate}"])
    assert "above 0" in capsys.readouterr().err


def test_without_a_shop_it_says_how_to_start_one(tmp_path, capsys):
    assert main(["--data", str(tmp_path)]) == 1
    assert "scripts/up" in capsys.readouterr().err

"""Money, clock, ids, events and the periodic worker."""

import threading
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from mamie_rosa.events.v1 import events_pb2

from services.common import clock, money
from services.common.background import PeriodicWorker
from services.common.context import CallContext, use
from services.common.messaging.events import build_event

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("amount", "rounded"),
    [
        ("0.125", "0.13"),
        ("0.135", "0.14"),
        ("1.005", "1.01"),
        ("1.004", "1.00"),
        ("-0.125", "-0.13"),
        ("2", "2.00"),
        ("99999999.995", "100000000.00"),
    ],
)
def test_every_function_rounds_amounts_to_the_cent_halves_up(amount, rounded):
    assert str(money.round_amount(Decimal(amount))) == rounded
    assert str(money.parse_amount(amount)) == rounded
    assert money.format_amount(Decimal(amount)) == rounded


@pytest.mark.parametrize("text", ["12.90", "0.00", "1234567.89"])
def test_parsing_and_formatting_an_amount_is_lossless(text):
    assert money.format_amount(money.parse_amount(text)) == text


def test_the_current_time_is_in_utc():
    assert clock.utc_now().utcoffset() == timedelta(0)


def test_ids_are_unique_uuids():
    ids = {clock.new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(str(uuid.UUID(each)) == each for each in ids)


def built_event():
    data = events_pb2.StockLow(product_id="p1")
    return build_event(data, source="catalog", subject="p1", now=NOW, new_id=lambda: "id-1")


def test_an_event_has_the_trace_of_the_current_call():
    with use(CallContext(traceparent="00-a-b-01")):
        event = built_event()
    assert (event.id, event.time, event.subject) == ("id-1", NOW, "p1")
    assert (event.type, event.source) == ("mamie_rosa.events.v1.StockLow", "/mamie-rosa/catalog")
    assert event.traceparent == "00-a-b-01"
    assert events_pb2.StockLow.FromString(event.data).product_id == "p1"


def test_an_event_outside_of_a_call_has_no_trace():
    assert built_event().traceparent == ""


class Calls:
    """Work that counts its calls, fails in the first, and sets `three` in the third."""

    def __init__(self):
        self.count = 0
        self.three = threading.Event()

    def __call__(self):
        self.count += 1
        if self.count == 1:
            raise RuntimeError("first")
        if self.count == 3:
            self.three.set()


def test_work_goes_on_after_an_exception(log):
    calls = Calls()
    worker = PeriodicWorker(name="sweeper", work=calls, interval_seconds=0.001)
    worker.start()
    assert calls.three.wait(10)
    worker.stop()
    failed = [line for line in log if line["event"] == "worker_failed"]
    assert [(line["worker"], line["exc_info"]) for line in failed] == [("sweeper", True)]


def test_stopping_waits_for_a_running_call():
    began, finish, done = threading.Event(), threading.Event(), []

    def work():
        began.set()
        assert finish.wait(10)
        done.append(True)

    worker = PeriodicWorker(name="slow", work=work, interval_seconds=0.001)
    worker.start()
    assert began.wait(10)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    assert done == []
    finish.set()
    stopping.join(10)
    assert done
    assert not stopping.is_alive()

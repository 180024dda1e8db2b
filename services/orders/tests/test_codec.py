"""Stored events: every version that was ever written can be read.

`golden/` has one document for each event type and version, as MongoDB stores it (extended
JSON). A golden file is never changed; a new version gets a new file.
"""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from bson import json_util

from services.orders import codec
from services.orders.codec import EVENT_TYPES, UnreadableEventError, current_version
from services.orders.domain import apply, fold
from services.orders.events import (
    Address,
    Event,
    Item,
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderPlaced,
    OrderPreparationStarted,
    OrderShipped,
    PaymentCaptured,
    PaymentDeclined,
    PaymentSettled,
    PaymentStarted,
    PromoRedeemed,
    PromoReleased,
    RecordedEvent,
    StockReleased,
)
from services.orders.tests.fakes import NOW, build_placed

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.iterdir())
FIRST_VERSIONS = [file for file in FILES if file.name.endswith(".v1.json")]
ORDER_ID = "11111111-1111-4111-8111-111111111111"
TIME = datetime(2026, 11, 24, 12, 30, 15, 123000, tzinfo=UTC)

EVENTS: list[Event] = [
    OrderPlaced(
        user_id="0a11ce00-0000-4000-8000-000000000001",
        items=(
            Item(
                product_id="00000000-0000-4000-8000-000000000001",
                sku="sku_001",
                title="Kibble",
                category="dog-food",
                quantity=2,
                unit_price=Decimal("12.90"),
            ),
        ),
        discount=Decimal("2.58"),
        currency="EUR",
        promo_code="WELCOME10",
        address=Address(
            recipient="Rosa",
            line1="1 rue des Lilas",
            line2="Bat. B",
            postal_code="75011",
            city="Paris",
            country="FR",
        ),
        hold_expires_at=datetime(2026, 11, 24, 12, 45, 15, 123000, tzinfo=UTC),
        fingerprint="5d41402abc4b2a76b9719d911017c592",
    ),
    PromoRedeemed(),
    PaymentStarted(),
    PaymentCaptured(payment_id="22222222-2222-4222-8222-222222222222"),
    PaymentDeclined(decline_reason="CARD_DECLINED"),
    OrderConfirmed(),
    OrderPreparationStarted(),
    OrderShipped(tracking_number="TRACK-1"),
    OrderDelivered(),
    OrderCancelled(reason="changed my mind"),
    PaymentSettled(refunded=Decimal("23.22")),
    PromoReleased(),
    StockReleased(),
]
"""One event of each type, with every field set: the content of the golden files."""

BY_TYPE = {type(event).__name__: event for event in EVENTS}
OPTIONS = json_util.RELAXED_JSON_OPTIONS.with_options(tz_aware=True)


def read(file):
    return json_util.loads(file.read_text(encoding="utf-8"), json_options=OPTIONS)


def record(event):
    return RecordedEvent(sequence=EVENTS.index(event) + 1, time=TIME, event=event)


def test_every_event_type_has_a_golden_file_of_every_version():
    expected = {
        f"{name}.v{version}.json"
        for name in EVENT_TYPES
        for version in range(1, current_version(name) + 1)
    }
    assert {file.name for file in FILES} == expected


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_golden_document_is_read(file):
    recorded = codec.from_document(read(file))
    assert recorded == record(BY_TYPE[file.name.split(".")[0]])


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_an_event_is_written_as_its_newest_golden_document(name):
    golden = read(GOLDEN / f"{name}.v{current_version(name)}.json")
    written = codec.to_document(ORDER_ID, record(BY_TYPE[name]))
    as_json = json_util.dumps(written, json_options=OPTIONS)
    assert json.loads(as_json) == json.loads(json_util.dumps(golden, json_options=OPTIONS))


@pytest.mark.parametrize("file", FIRST_VERSIONS, ids=lambda file: file.stem)
def test_a_document_without_a_version_is_version_1(file):
    golden = read(file)
    unversioned = {key: value for key, value in golden.items() if key != "version"}
    assert codec.from_document(unversioned) == codec.from_document(golden)


def test_data_is_upcast_version_by_version(monkeypatch):
    upcasters = {
        ("OrderShipped", 1): lambda data: {"number": data["tracking"]},
        ("OrderShipped", 2): lambda data: {"tracking_number": data["number"]},
    }
    monkeypatch.setattr(codec, "UPCASTERS", upcasters)
    document = codec.to_document(ORDER_ID, record(BY_TYPE["OrderShipped"]))
    assert document["version"] == 3
    for version, field in enumerate(("tracking", "number", "tracking_number"), 1):
        old = document | {"version": version, "data": {field: "T"}}
        assert codec.from_document(old).event == OrderShipped(tracking_number="T")


def test_an_unknown_field_is_ignored():
    document = read(GOLDEN / "OrderShipped.v1.json")
    document["data"]["carrier"] = "of a newer release"
    assert codec.from_document(document).event == BY_TYPE["OrderShipped"]


@pytest.mark.parametrize("change", [{"type": "OrderLost"}, {"version": 2}])
def test_an_unknown_type_or_version_is_not_read(change):
    document = read(GOLDEN / "OrderConfirmed.v1.json")
    with pytest.raises(UnreadableEventError):
        codec.from_document(document | change)


def test_a_saga_is_marked_from_the_confirmation_until_it_is_shipped_or_cancelled():
    placed = RecordedEvent(sequence=1, time=NOW, event=build_placed())
    order = fold("o1", [placed])

    def marks(event):
        recorded = RecordedEvent(sequence=2, time=NOW, event=event)
        return codec.saga_marks(apply(order, recorded), recorded)

    cents = int(order.final_amount * 100)
    assert marks(OrderConfirmed()) == {"to_ship_since": NOW, "sold_at": NOW, "sold_cents": cents}
    assert marks(OrderPreparationStarted()) == {}
    assert marks(OrderShipped(tracking_number="1")) == {"to_ship_since": None}
    assert set(marks(OrderCancelled(reason="why")).values()) == {None}
    assert codec.saga_change(None, {"to_ship_since": None, "sold_at": NOW}) == {
        "$set": {"due_at": None, "sold_at": NOW},
        "$unset": {"waits_for": "", "payment_token": "", "to_ship_since": ""},
    }


def test_a_saga_whose_document_was_lost_gets_its_marks_again():
    history = [RecordedEvent(sequence=1, time=NOW, event=build_placed())]
    assert codec.restored_marks(fold("o1", history)) == {}
    history.append(RecordedEvent(sequence=2, time=NOW, event=OrderConfirmed()))
    assert codec.restored_marks(fold("o1", history)).keys() == {
        "to_ship_since",
        "sold_at",
        "sold_cents",
    }

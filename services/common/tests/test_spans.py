"""Spans of stores and messages; and what is in no span."""

import re
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from mamie_rosa.catalog.internal.v1 import catalog_pb2
from mamie_rosa.events.v1 import events_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from services.common.context import CallContext, current, use
from services.common.messaging.events import CloudEvent, build_event
from services.common.messaging.relay import Outbox, publish_batch
from services.common.messaging.spans import processing
from services.common.tracing import otlp, stores
from services.common.tracing.calls import ServedMethod
from services.common.tracing.spans import ORDER_ID, Kind, span

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-01", f"00-{TRACE_ID}-{SPAN_ID}-00"
CALL = CallContext(traceparent=SAMPLED)
EVENT_ID = "3f0c7a52-8f0e-4b2e-9d39-0f6c1b0a7d11"
ORDER = "56c40643-6f58-4a5e-b410-8895247364b9"


# Stores and messages ---------------------------------------------------------------------


def test_a_block_is_a_part_of_the_call_and_what_it_does_is_a_part_of_it(recorded):
    with use(CALL), span("saga CAPTURE_PAYMENT"), stores.operation("neo4j", "READ"):
        pass
    inner, outer = recorded
    assert (outer.parent_id, inner.parent_id) == (SPAN_ID, outer.span_id)
    assert inner.attributes["db.system.name"] == "neo4j"


def test_a_block_that_raises_has_the_type_of_the_error(recorded):
    with use(CALL), pytest.raises(KeyError), span("x"):
        raise KeyError("4242 4242 4242 4242")
    assert [each.error for each in recorded] == ["KeyError"]


@pytest.mark.parametrize(
    ("statement", "summary"),
    [
        ("SELECT id FROM products WHERE id = %(id)s", ("SELECT", "products")),
        ("INSERT INTO outbox (id) VALUES (%(id)s)", ("INSERT", "outbox")),
        ("UPDATE notifications SET status='PENDING'", ("UPDATE", "notifications")),
        ("WITH claimed AS (UPDATE notifications SET x=1) SELECT 1", ("WITH", "notifications")),
        ("WITH x AS (SELECT * FROM unnest(%(a)s)) UPDATE stock SET y=1", ("WITH", "stock")),
        ("SELECT pg_advisory_xact_lock(1)", ("SELECT", "")),
        ("rosa@example.org", ("STATEMENT", "")),
    ],
)
def test_a_statement_is_summarized_by_its_operation_and_table(statement, summary):
    assert stores.summarize(statement) == summary


class ListOutbox(Outbox):
    def __init__(self, events):
        self._events = events

    @contextmanager
    def take(self, limit):
        yield self._events[:limit]


def order_created():
    data = events_pb2.OrderCreated(order_id=ORDER)
    return build_event(
        data,
        source="orders",
        subject=ORDER,
        now=datetime(2026, 11, 24, tzinfo=UTC),
        new_id=lambda: EVENT_ID,
    )


def test_consumers_continue_from_the_span_in_which_an_event_was_published(recorded):
    with use(CALL):
        event = order_created()
    published: list[CloudEvent] = []
    publish_batch(ListOutbox([event]), published.append)
    (begun,) = recorded
    assert (begun.name, begun.kind) == ("send OrderCreated", Kind.PRODUCER)
    assert begun.attributes[ORDER_ID] == ORDER
    assert published == [replace(event, traceparent=begun.traceparent)]


def test_an_event_whose_trace_is_not_sampled_is_published_as_it_is(recorded):
    with use(replace(CALL, traceparent=UNSAMPLED)):
        event = order_created()
    published: list[CloudEvent] = []
    publish_batch(ListOutbox([event]), published.append)
    assert published == [event]
    assert not recorded


def test_a_handler_works_in_the_span_of_its_event(recorded):
    with use(CALL):
        event = order_created()
    with processing([event], "mamie_rosa.notifications") as contexts:
        (context,) = contexts
    (begun,) = recorded
    assert (begun.name, begun.kind, begun.parent_id) == (
        "process OrderCreated",
        Kind.CONSUMER,
        SPAN_ID,
    )
    assert context == CallContext(request_id=event.id, traceparent=begun.traceparent)


def test_a_handler_that_fails_ends_the_span_of_each_event_with_the_error(recorded):
    with use(CALL):
        events = [order_created(), order_created()]
    with pytest.raises(KeyError), processing(events, "queue"):
        raise KeyError
    assert [each.error for each in recorded] == ["KeyError", "KeyError"]


def test_the_forged_trace_of_an_event_is_dropped(recorded):
    forged = replace(order_created(), traceparent="00-x-y-01")
    with processing([forged], "queue") as contexts:
        assert contexts[0].traceparent is None
    assert not recorded


# What never leaves the process -----------------------------------------------------------

PLANTED = (
    "marie.petit@example.org",
    "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    "4242424242424242",
    "1 rue des Lilas",
    "+33612345678",
)


@pytest.mark.parametrize("private", PLANTED)
def test_nothing_private_is_in_an_exported_span(recorded, private):
    request = catalog_pb2.ReserveStockRequest(order_id=private)
    method = ServedMethod("/mamie_rosa.catalog.internal.v1.CatalogService/ReserveStock")
    with use(CallContext(traceparent=SAMPLED, request_id=private, token=private)):
        call, begun = method.begin(current())
        with (
            use(call),
            pytest.raises(ValueError, match=re.escape(private)),
            span("x", attributes={"y": private}),
        ):
            raise ValueError(private)
        method.end(begun, call, request, None, outcome="INTERNAL", seconds=1)
        statement = f"UPDATE clients SET email='{private}'"  # noqa: S608 - what no repository does
        stores.begin_statement("postgresql", statement).end()
    event = replace(order_created(), id=private, subject=private, traceparent=SAMPLED)
    with processing([event], "queue"):
        pass
    sent = otlp.encode(list(recorded), service="orders", instance="orders-1")
    assert len(recorded) == 4
    assert private.encode() not in sent


def test_only_known_attributes_are_exported(recorded):
    with use(CALL), span("x", attributes={"user.email": "a", ORDER_ID: ORDER}):
        pass
    request = ExportTraceServiceRequest.FromString(
        otlp.encode(list(recorded), service="orders", instance="orders-1")
    )
    (exported,) = request.resource_spans[0].scope_spans[0].spans
    assert {each.key: each.value.string_value for each in exported.attributes} == {ORDER_ID: ORDER}
    assert (exported.trace_id.hex(), exported.parent_span_id.hex()) == (TRACE_ID, SPAN_ID)
    resource = {
        each.key: each.value.string_value for each in request.resource_spans[0].resource.attributes
    }
    assert (resource["service.name"], resource["service.instance.id"]) == ("orders", "orders-1")

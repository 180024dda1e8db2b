"""The stream of an order's status changes, without a socket."""

import asyncio
import json
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import grpc
import pytest
from mamie_rosa.orders.v1 import order_events_pb2

from services.common.rpc.streaming import with_interceptors
from services.common.rpc.testing import (
    ADMIN,
    ALICE,
    ALICE_ID,
    ANONYMOUS,
    BOB,
    TOKENS,
    bearer,
    sign_token,
    signed_in,
)
from services.common.rpc.tokens import LEEWAY_SECONDS
from services.common.tests.streams import METHOD, StreamCall
from services.orders.events import (
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderPreparationStarted,
    OrderShipped,
    PaymentSettled,
    PaymentStarted,
    PromoRedeemed,
)
from services.orders.tests.fakes import (
    InMemoryOrdersRepository,
    build_placed,
)
from services.orders.tracking.feed import OrderFeed
from services.orders.tracking.quota import StreamQuota
from services.orders.tracking.servicer import OrderEventsServicer
from services.orders.tracking.tests.fakes import InMemoryFeedRepository

WATCH = order_events_pb2.WatchOrderRequest(id="o")
UNTIL_DELIVERED = [
    PaymentStarted(),
    OrderConfirmed(),
    OrderPreparationStarted(),
    OrderShipped(tracking_number="TRACK"),
    OrderDelivered(),
]
REFUNDED = PaymentSettled(refunded=Decimal("23.22"))
RETRY, KEEP_ALIVE = b"retry: 1000\n\n", b": keep-alive\n\n"


class World:
    """A placed order of Alice's, a feed that runs, and streams."""

    def __init__(self, *, heartbeat_seconds=60.0):
        orders = InMemoryOrdersRepository()
        placed = build_placed(user_id=ALICE_ID)
        orders.place("o", placed, payment_token="t")
        self.repository = InMemoryFeedRepository(orders)
        self.feed = OrderFeed(repository=self.repository, retry_delay_seconds=0)
        servicer = OrderEventsServicer(
            feed=self.feed, quota=StreamQuota(100), heartbeat_seconds=heartbeat_seconds
        )
        self._handler = with_interceptors(servicer.WatchOrder, METHOD, TOKENS)

    def watch(self, who=ALICE, *, last=None, request=WATCH, **how):
        metadata = who if last is None else who | {"last-event-id": last}
        return StreamCall(metadata, **how).begin(self._handler, request)

    def append(self, *events):
        self.repository.append("o", *events)


@asynccontextmanager
async def world(**how):
    world = World(**how)
    work = asyncio.create_task(world.feed.run())
    while not world.repository.is_watched:
        await asyncio.sleep(0)
    yield world
    work.cancel()
    await asyncio.wait([work])


def scenario(**how):
    """Run a coroutine that takes a world as a test."""

    def make(test):
        def run():
            async def in_a_world():
                async with world(**how) as here:
                    await test(here)

            asyncio.run(in_a_world())

        run.__name__ = test.__name__
        return run

    return make


def events(parts):
    """Return (id, status) of the events in the messages of a stream."""
    frames = [part.data.decode() for part in parts]
    fields = [dict(line.split(": ", 1) for line in frame.splitlines() if line) for frame in frames]
    return [(int(e["id"]), json.loads(e["data"])["status"]) for e in fields if "id" in e]


async def next_event(call):
    """Return (id, status) of the next event."""
    while not (found := events([await call.next_part()])):
        pass
    return found[0]


@scenario()
async def test_an_event_has_the_format_of_server_sent_events(world):
    world.append(*UNTIL_DELIVERED)
    call = world.watch()
    parts = await call.parts()
    assert {part.content_type for part in parts} == {"text/event-stream"}
    assert [part.data for part in parts[:2]] == [
        RETRY,
        b"id: 1\nevent: status\n"
        b'data: {"orderId":"o","status":"PENDING","time":"2026-11-24T12:00:00Z"}\n\n',
    ]
    assert b'"status":"SHIPPED"' in parts[5].data
    assert b'"trackingNumber":"TRACK"' in parts[5].data
    assert call.initial == {"cache-control": "no-store"}


@scenario()
async def test_changes_are_streamed_as_they_happen_until_the_delivery(world):
    call = world.watch()
    assert await next_event(call) == (1, "PENDING")
    for event, expected in zip(
        UNTIL_DELIVERED,
        [
            (2, "PAYMENT_PROCESSING"),
            (3, "CONFIRMED"),
            (4, "PROCESSING"),
            (5, "SHIPPED"),
            (6, "DELIVERED"),
        ],
        strict=True,
    ):
        world.append(event)
        assert await next_event(call) == expected
    assert (await call.answer()).code is grpc.StatusCode.OK
    assert world.feed.subscription_count == 0


@scenario()
async def test_events_that_change_no_status_are_not_streamed_but_counted(world):
    world.append(PromoRedeemed(), PaymentStarted())
    call = world.watch()
    assert [await next_event(call), await next_event(call)] == [
        (1, "PENDING"),
        (3, "PAYMENT_PROCESSING"),
    ]
    await call.leave()


@scenario()
async def test_a_client_that_reconnects_gets_each_change_once(world):
    world.append(PaymentStarted(), OrderConfirmed())
    call = world.watch(last="2")
    assert await next_event(call) == (3, "CONFIRMED")
    world.append(*UNTIL_DELIVERED[2:])
    assert events(await call.parts()) == [(4, "PROCESSING"), (5, "SHIPPED"), (6, "DELIVERED")]


@pytest.mark.parametrize("cut", range(8))
def test_a_stream_resumed_after_any_event_is_complete(cut):
    async def scenario():
        async with world() as here:
            here.append(*UNTIL_DELIVERED)
            whole = events(await here.watch().parts())
            later = events(await here.watch(last=str(cut)).parts())
            assert [event for event in whole if event[0] <= cut] + later == whole

    asyncio.run(scenario())


@scenario()
async def test_a_client_that_has_the_last_event_gets_no_content(world):
    world.append(*UNTIL_DELIVERED)
    call = world.watch(last="6")
    assert [part.data for part in await call.parts()] == [b""]
    assert call.initial == {"x-http-code": "204"}


@pytest.mark.parametrize("garbage", ["x", "-1", "1.5", "1 2", "٣", "9" * 10])
def test_an_invalid_last_event_id_is_rejected(garbage):
    async def scenario():
        async with world() as here:
            answer = await here.watch(last=garbage).answer()
            assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
            assert answer.reason == "INVALID_LAST_EVENT_ID"

    asyncio.run(scenario())


@scenario()
async def test_an_empty_last_event_id_is_none(world):
    call = world.watch(last="")
    assert await next_event(call) == (1, "PENDING")
    await call.leave()


@pytest.mark.parametrize(
    ("who", "code"),
    [
        (ANONYMOUS, grpc.StatusCode.UNAUTHENTICATED),
        (BOB, grpc.StatusCode.PERMISSION_DENIED),
        (ALICE, grpc.StatusCode.OK),
        (ADMIN, grpc.StatusCode.OK),
    ],
)
def test_an_order_is_watched_by_its_customer_and_administrators_only(who, code):
    async def scenario():
        async with world() as here:
            here.append(*UNTIL_DELIVERED)
            call = here.watch(who)
            assert (await call.answer()).code is code
            assert bool(await call.parts()) is (code is grpc.StatusCode.OK)

    asyncio.run(scenario())


@scenario()
async def test_an_unknown_order_is_not_found(world):
    answer = await world.watch(request=order_events_pb2.WatchOrderRequest(id="unknown")).answer()
    assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, "ORDER_NOT_FOUND")


@scenario()
async def test_an_unavailable_store_answers_unavailable(world):
    world.repository.is_unavailable = True
    answer = await world.watch().answer()
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")


@scenario(heartbeat_seconds=0.05)
async def test_a_stream_stays_open_while_the_store_is_unavailable(world):
    call = world.watch()
    assert await next_event(call) == (1, "PENDING")
    world.repository.is_unavailable = True
    world.append(*UNTIL_DELIVERED)
    assert (await call.next_part()).data == KEEP_ALIVE
    world.repository.is_unavailable = False
    assert len(events(await call.parts())) == 5


@scenario(heartbeat_seconds=0.05)
async def test_an_idle_stream_sends_keep_alives(world):
    call = world.watch()
    parts = [(await call.next_part()).data for _ in range(5)]
    assert parts[2:] == [KEEP_ALIVE] * 3
    await call.leave()


@scenario(heartbeat_seconds=0.05)
async def test_a_lost_notification_is_made_up_for_at_the_next_heartbeat(world):
    call = world.watch()
    assert await next_event(call) == (1, "PENDING")
    world.repository.drop_notifications()
    world.append(*UNTIL_DELIVERED)
    assert len(events(await call.parts())) == 5


@scenario()
async def test_the_stream_of_a_cancelled_order_ends_when_the_payment_is_settled(world):
    world.append(OrderCancelled(reason="why"))
    call = world.watch()
    assert [await next_event(call), await next_event(call)] == [(1, "PENDING"), (2, "CANCELLED")]
    assert world.feed.subscription_count == 1
    world.append(REFUNDED)
    assert await call.parts() == []


@scenario()
async def test_closing_the_feed_ends_its_streams_without_an_error(world):
    calls = [world.watch() for _ in range(3)]
    for call in calls:
        await next_event(call)
    world.feed.close()
    for call in calls:
        assert (await call.answer()).code is grpc.StatusCode.OK


@scenario()
async def test_a_stream_ends_without_an_error_before_its_deadline(world):
    call = world.watch(remaining_seconds=1.1)
    assert await next_event(call) == (1, "PENDING")
    assert (await call.answer()).code is grpc.StatusCode.OK


@scenario()
async def test_a_stream_ends_with_its_token_and_is_resumed_with_a_new_one(world):
    world.append(PaymentStarted())
    # A second and a half before it is rejected: whole seconds, so up to one more.
    ending = int(time.time() - LEEWAY_SECONDS + 2.5)
    call = world.watch(bearer(sign_token(ALICE_ID, exp=ending)))
    assert await next_event(call) == (1, "PENDING")
    assert await next_event(call) == (2, "PAYMENT_PROCESSING")
    assert (await call.answer()).code is grpc.StatusCode.OK
    world.append(*UNTIL_DELIVERED[1:])
    resumed = world.watch(signed_in(ALICE_ID), last="2")
    assert [id for id, _ in events(await resumed.parts())] == [3, 4, 5, 6]


@scenario()
async def test_a_cancelled_stream_ends_its_subscription(world):
    call = world.watch()
    await next_event(call)
    assert world.feed.subscription_count == 1
    await call.leave()
    assert world.feed.subscription_count == 0


@scenario()
async def test_an_event_causes_no_reads_for_streams_of_unrelated_orders(world):
    unrelated = [world.watch(ADMIN) for _ in range(3)]
    for call in unrelated:
        await next_event(call)
    placed = replace(build_placed(), user_id=ALICE_ID)
    world.repository.place("second", placed)
    call = world.watch(request=order_events_pb2.WatchOrderRequest(id="second"))
    await next_event(call)
    world.repository.reads.clear()
    world.repository.append("second", *UNTIL_DELIVERED)
    await call.parts()
    assert set(world.repository.reads) == {"second"}
    for each in unrelated:
        await each.leave()

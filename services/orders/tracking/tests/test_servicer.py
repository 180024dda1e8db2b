"""What a client is told who watches an order, without a socket."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import grpc
import pytest
from mamie_rosa.orders.v1 import order_events_pb2

from services.common.rpc.streaming import with_interceptors
from services.common.rpc.testing import ADMIN, ALICE, ANONYMOUS, BOB
from services.common.tests.streams import METHOD, StreamCall
from services.orders.domain import (
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
    NOW,
    InMemoryFeedRepository,
    InMemoryOrdersRepository,
    build_placed,
)
from services.orders.tracking.feed import OrderFeed
from services.orders.tracking.servicer import OrderEventsServicer

WATCH = order_events_pb2.WatchOrderRequest(id="o")
TO_THE_DOOR = [
    PaymentStarted(),
    OrderConfirmed(),
    OrderPreparationStarted(),
    OrderShipped(tracking_number="TRACK"),
    OrderDelivered(),
]
REFUNDED = PaymentSettled(refunded=Decimal("23.22"))
RETRY, KEEP_ALIVE = b"retry: 1000\n\n", b": keep-alive\n\n"


class World:
    """An order of Alice's that is placed, a feed that listens, and who watches."""

    def __init__(self, *, heartbeat_seconds=60.0):
        orders = InMemoryOrdersRepository()
        placed = build_placed(user_id=ALICE["x-user-id"])
        orders.place("o", placed, payment_token="t", due_at=NOW)
        self.repository = InMemoryFeedRepository(orders)
        self.feed = OrderFeed(repository=self.repository, retry_delay_seconds=0)
        servicer = OrderEventsServicer(feed=self.feed, heartbeat_seconds=heartbeat_seconds)
        self._handler = with_interceptors(servicer.WatchOrder, METHOD)

    def watch(self, who=ALICE, *, last=None, request=WATCH, **how):
        metadata = who if last is None else who | {"last-event-id": last}
        return StreamCall(metadata, **how).begin(self._handler, request)

    def happens(self, *events):
        self.repository.append("o", *events)


@asynccontextmanager
async def world(**how):
    world = World(**how)
    work = asyncio.create_task(world.feed.run())
    while not world.repository.is_listened_to:
        await asyncio.sleep(0)
    yield world
    work.cancel()
    await asyncio.wait([work])


def scenario(**how):
    """Make an ordinary test of a coroutine that takes a world."""

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
    """Return (id, status) of the events in what was written."""
    frames = [part.data.decode() for part in parts]
    told = [dict(line.split(": ", 1) for line in frame.splitlines() if line) for frame in frames]
    return [(int(e["id"]), json.loads(e["data"])["status"]) for e in told if "id" in e]


async def next_event(call):
    """Return (id, status) of the next event."""
    while not (found := events([await call.next_part()])):
        pass
    return found[0]


@scenario()
async def test_an_event_has_the_form_that_browsers_read(world):
    world.happens(*TO_THE_DOOR)
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
async def test_changes_are_told_as_they_happen_until_the_delivery(world):
    call = world.watch()
    assert await next_event(call) == (1, "PENDING")
    for event, expected in zip(
        TO_THE_DOOR,
        [
            (2, "PAYMENT_PROCESSING"),
            (3, "CONFIRMED"),
            (4, "PROCESSING"),
            (5, "SHIPPED"),
            (6, "DELIVERED"),
        ],
        strict=True,
    ):
        world.happens(event)
        assert await next_event(call) == expected
    assert (await call.answer()).code is grpc.StatusCode.OK
    assert world.feed.followers == 0


@scenario()
async def test_what_changes_no_status_is_not_told_but_counts(world):
    world.happens(PromoRedeemed(), PaymentStarted())
    call = world.watch()
    assert [await next_event(call), await next_event(call)] == [
        (1, "PENDING"),
        (3, "PAYMENT_PROCESSING"),
    ]
    await call.leave()


@scenario()
async def test_a_client_that_comes_back_gets_what_it_missed_and_nothing_twice(world):
    world.happens(PaymentStarted(), OrderConfirmed())
    call = world.watch(last="2")
    assert await next_event(call) == (3, "CONFIRMED")
    world.happens(*TO_THE_DOOR[2:])
    assert events(await call.parts()) == [(4, "PROCESSING"), (5, "SHIPPED"), (6, "DELIVERED")]


@pytest.mark.parametrize("cut", range(8))
def test_wherever_it_is_cut_the_two_parts_make_the_whole(cut):
    async def scenario():
        async with world() as here:
            here.happens(*TO_THE_DOOR)
            whole = events(await here.watch().parts())
            later = events(await here.watch(last=str(cut)).parts())
            assert [event for event in whole if event[0] <= cut] + later == whole

    asyncio.run(scenario())


@scenario()
async def test_a_client_that_has_heard_the_end_is_told_not_to_come_back(world):
    world.happens(*TO_THE_DOOR)
    call = world.watch(last="6")
    assert [part.data for part in await call.parts()] == [b""]
    assert call.initial == {"x-http-code": "204"}


@pytest.mark.parametrize("garbage", ["x", "-1", "1.5", "1 2", "٣", "9" * 10])
def test_an_id_that_was_never_sent_is_refused(garbage):
    async def scenario():
        async with world() as here:
            answer = await here.watch(last=garbage).answer()
            assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
            assert answer.reason == "INVALID_LAST_EVENT_ID"

    asyncio.run(scenario())


@scenario()
async def test_an_empty_id_is_none(world):
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
def test_an_order_is_its_owners_and_the_administrators_to_watch(who, code):
    async def scenario():
        async with world() as here:
            here.happens(*TO_THE_DOOR)
            call = here.watch(who)
            assert (await call.answer()).code is code
            assert bool(await call.parts()) is (code is grpc.StatusCode.OK)

    asyncio.run(scenario())


@scenario()
async def test_an_unknown_order_is_not_found(world):
    answer = await world.watch(request=order_events_pb2.WatchOrderRequest(id="nothing")).answer()
    assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, "ORDER_NOT_FOUND")


@scenario()
async def test_a_store_that_is_away_at_first_is_said_so(world):
    world.repository.is_away = True
    answer = await world.watch().answer()
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")


@scenario(heartbeat_seconds=0.05)
async def test_a_store_that_goes_away_later_is_waited_for(world):
    call = world.watch()
    assert await next_event(call) == (1, "PENDING")
    world.repository.is_away = True
    world.happens(*TO_THE_DOOR)
    assert (await call.next_part()).data == KEEP_ALIVE
    world.repository.is_away = False
    assert len(events(await call.parts())) == 5


@scenario(heartbeat_seconds=0.05)
async def test_while_nothing_happens_there_are_signs_of_life(world):
    call = world.watch()
    parts = [(await call.next_part()).data for _ in range(5)]
    assert parts[2:] == [KEEP_ALIVE] * 3
    await call.leave()


@scenario(heartbeat_seconds=0.05)
async def test_a_wake_up_that_was_missed_is_made_up_for(world):
    call = world.watch()
    assert await next_event(call) == (1, "PENDING")
    world.repository.deafen()
    world.happens(*TO_THE_DOOR)
    assert len(events(await call.parts())) == 5


@scenario()
async def test_a_cancelled_order_is_told_and_ends_when_the_money_is_settled(world):
    world.happens(OrderCancelled(reason="why"))
    call = world.watch()
    assert [await next_event(call), await next_event(call)] == [(1, "PENDING"), (2, "CANCELLED")]
    assert world.feed.followers == 1
    world.happens(REFUNDED)
    assert await call.parts() == []


@scenario()
async def test_an_instance_that_leaves_ends_its_streams_well(world):
    calls = [world.watch() for _ in range(3)]
    for call in calls:
        await next_event(call)
    world.feed.close()
    for call in calls:
        assert (await call.answer()).code is grpc.StatusCode.OK


@scenario()
async def test_a_stream_ends_well_before_its_deadline(world):
    call = world.watch(remaining_seconds=1.1)
    assert await next_event(call) == (1, "PENDING")
    assert (await call.answer()).code is grpc.StatusCode.OK


@scenario()
async def test_whoever_leaves_is_forgotten(world):
    call = world.watch()
    await next_event(call)
    assert world.feed.followers == 1
    await call.leave()
    assert world.feed.followers == 0


@scenario()
async def test_an_event_costs_those_who_watch_other_orders_nothing(world):
    others = [world.watch(ADMIN) for _ in range(3)]
    for call in others:
        await next_event(call)
    placed = replace(build_placed(), user_id=ALICE["x-user-id"])
    world.repository.place("other", placed)
    call = world.watch(request=order_events_pb2.WatchOrderRequest(id="other"))
    await next_event(call)
    world.repository.reads.clear()
    world.repository.append("other", *TO_THE_DOOR)
    await call.parts()
    assert set(world.repository.reads) == {"other"}
    for each in others:
        await each.leave()

"""Who is woken by what, whatever becomes of the store."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from services.orders.domain import (
    OrderConfirmed,
    OrderNotFoundError,
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

SOON = 5.0
NOT_YET = 0.05


@asynccontextmanager
async def listening():
    """Yield a feed that listens, and the repository that it listens to."""
    orders = InMemoryOrdersRepository()
    for order_id in ("a", "b"):
        orders.place(order_id, build_placed(), payment_token="t", due_at=NOW)
    repository = InMemoryFeedRepository(orders)
    feed = OrderFeed(repository=repository, retry_delay_seconds=0)
    work = asyncio.create_task(feed.run())
    await listened_to(repository)
    yield feed, repository
    work.cancel()
    await asyncio.wait([work])
    assert repository.is_closed


async def listened_to(repository):
    while not repository.is_listened_to:
        await asyncio.sleep(0)


def told(changes):
    return [(order.sequence, str(order.status)) for order in changes]


def scenario(test):
    """Make an ordinary test of a coroutine that takes a feed and its repository."""

    def run():
        async def told_to_a_feed():
            async with listening() as (feed, repository):
                await test(feed, repository)

        asyncio.run(told_to_a_feed())

    run.__name__ = test.__name__
    return run


@scenario
async def test_a_follower_loads_how_the_order_stood_so_far(feed, repository):
    repository.append("a", PromoRedeemed(), PaymentStarted())
    with feed.follow("a") as follower:
        assert told(await follower.load()) == [(1, "PENDING"), (3, "PAYMENT_PROCESSING")]
        assert follower.order.sequence == 3


@scenario
async def test_an_order_that_there_is_not_cannot_be_followed(feed, _repository):
    with feed.follow("nothing") as follower, pytest.raises(OrderNotFoundError):
        await follower.load()


@scenario
async def test_a_follower_is_woken_by_what_happens(feed, repository):
    with feed.follow("a") as follower:
        await follower.load()
        repository.append("a", PaymentStarted())
        assert await follower.wait(SOON)
        assert told(await follower.look()) == [(2, "PAYMENT_PROCESSING")]
        assert not await follower.wait(NOT_YET)


@scenario
async def test_what_happens_while_the_order_is_loaded_is_not_missed(feed, repository):
    with feed.follow("a") as follower:
        repository.append("a", PaymentStarted())
        assert told(await follower.load()) == [(1, "PENDING"), (2, "PAYMENT_PROCESSING")]
        assert await follower.wait(SOON)
        assert await follower.look() == []


@scenario
async def test_an_event_that_changes_no_status_is_nothing_to_tell(feed, repository):
    with feed.follow("a") as follower:
        await follower.load()
        repository.append("a", PromoRedeemed())
        assert await follower.wait(SOON)
        assert await follower.look() == []
        assert follower.order.sequence == 2


@scenario
async def test_nobody_is_woken_for_an_order_of_somebody_else(feed, repository):
    with feed.follow("a") as follower, feed.follow("b") as other:
        await follower.load()
        await other.load()
        repository.append("a", PaymentStarted())
        assert await follower.wait(SOON)
        assert not await other.wait(NOT_YET)


@scenario
async def test_all_followers_of_an_order_are_woken(feed, repository):
    with feed.follow("a") as first, feed.follow("a") as second:
        for follower in (first, second):
            await follower.load()
        repository.append("a", PaymentStarted())
        for follower in (first, second):
            assert await follower.wait(SOON)
            assert told(await follower.look()) == [(2, "PAYMENT_PROCESSING")]


@scenario
async def test_what_was_missed_while_nobody_listened_wakes_everybody_afterwards(feed, repository):
    with feed.follow("a") as follower:
        await follower.load()
        repository.interrupt()
        repository.append("a", PaymentStarted())
        assert await follower.wait(SOON)
        assert told(await follower.look()) == [(2, "PAYMENT_PROCESSING")]
        await listened_to(repository)
        repository.append("a", OrderConfirmed())
        assert await follower.wait(SOON)
        assert told(await follower.look()) == [(3, "CONFIRMED")]


@scenario
async def test_a_store_that_is_away_is_looked_at_again(feed, repository):
    with feed.follow("a") as follower:
        await follower.load()
        repository.is_away = True
        repository.append("a", PaymentStarted())
        assert await follower.wait(SOON)
        assert await follower.look() == []
        repository.is_away = False
        assert told(await follower.look()) == [(2, "PAYMENT_PROCESSING")]


@scenario
async def test_whoever_left_is_forgotten(feed, repository):
    with feed.follow("a"):
        pass
    repository.append("a", PaymentStarted())
    with feed.follow("a") as follower:
        await follower.load()
    assert feed.followers == 0


@scenario
async def test_closing_wakes_everybody(feed, _repository):
    with feed.follow("a") as follower, feed.follow("b") as other:
        await follower.load()
        await other.load()
        feed.close()
        assert await follower.wait(SOON)
        assert await other.wait(SOON)
        assert feed.is_closed

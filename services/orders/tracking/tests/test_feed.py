"""Which subscriptions are notified, also while the store is unavailable."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from services.orders.errors import OrderNotFoundError
from services.orders.events import OrderConfirmed, PaymentStarted, PromoRedeemed
from services.orders.tests.fakes import (
    InMemoryOrdersRepository,
    build_placed,
)
from services.orders.tracking.feed import OrderFeed
from services.orders.tracking.tests.fakes import InMemoryFeedRepository

SOON = 5.0
NOT_YET = 0.05


@asynccontextmanager
async def running_feed():
    """Yield a feed that runs, and its repository."""
    orders = InMemoryOrdersRepository()
    for order_id in ("a", "b"):
        orders.place(order_id, build_placed(), payment_token="t")
    repository = InMemoryFeedRepository(orders)
    feed = OrderFeed(repository=repository, retry_delay_seconds=0)
    work = asyncio.create_task(feed.run())
    await watched(repository)
    yield feed, repository
    work.cancel()
    await asyncio.wait([work])
    assert repository.is_closed


async def watched(repository):
    while not repository.is_watched:
        await asyncio.sleep(0)


def summarize(changes):
    return [(order.sequence, str(order.status)) for order in changes]


def scenario(test):
    """Run a coroutine that takes a feed and its repository as a test."""

    def run():
        async def with_a_feed():
            async with running_feed() as (feed, repository):
                await test(feed, repository)

        asyncio.run(with_a_feed())

    run.__name__ = test.__name__
    return run


@scenario
async def test_a_subscription_loads_the_changes_so_far(feed, repository):
    repository.append("a", PromoRedeemed(), PaymentStarted())
    with feed.subscribe("a") as subscription:
        assert summarize(await subscription.load()) == [(1, "PENDING"), (3, "PAYMENT_PROCESSING")]
        assert subscription.order.sequence == 3


@scenario
async def test_an_unknown_order_cannot_be_loaded(feed, _repository):
    with feed.subscribe("unknown") as subscription, pytest.raises(OrderNotFoundError):
        await subscription.load()


@scenario
async def test_a_subscription_is_notified_of_new_events(feed, repository):
    with feed.subscribe("a") as subscription:
        await subscription.load()
        repository.append("a", PaymentStarted())
        assert await subscription.wait(SOON)
        assert summarize(await subscription.read_changes()) == [(2, "PAYMENT_PROCESSING")]
        assert not await subscription.wait(NOT_YET)


@scenario
async def test_events_during_the_load_are_not_missed(feed, repository):
    with feed.subscribe("a") as subscription:
        repository.append("a", PaymentStarted())
        assert summarize(await subscription.load()) == [(1, "PENDING"), (2, "PAYMENT_PROCESSING")]
        assert await subscription.wait(SOON)
        assert await subscription.read_changes() == []


@scenario
async def test_an_event_that_changes_no_status_is_no_change(feed, repository):
    with feed.subscribe("a") as subscription:
        await subscription.load()
        repository.append("a", PromoRedeemed())
        assert await subscription.wait(SOON)
        assert await subscription.read_changes() == []
        assert subscription.order.sequence == 2


@scenario
async def test_subscriptions_of_different_orders_are_not_notified(feed, repository):
    with feed.subscribe("a") as subscription, feed.subscribe("b") as second:
        await subscription.load()
        await second.load()
        repository.append("a", PaymentStarted())
        assert await subscription.wait(SOON)
        assert not await second.wait(NOT_YET)


@scenario
async def test_all_subscriptions_of_an_order_are_notified(feed, repository):
    with feed.subscribe("a") as first, feed.subscribe("a") as second:
        for subscription in (first, second):
            await subscription.load()
        repository.append("a", PaymentStarted())
        for subscription in (first, second):
            assert await subscription.wait(SOON)
            assert summarize(await subscription.read_changes()) == [(2, "PAYMENT_PROCESSING")]


@scenario
async def test_all_are_notified_after_an_interruption_of_the_change_stream(feed, repository):
    with feed.subscribe("a") as subscription:
        await subscription.load()
        repository.interrupt()
        repository.append("a", PaymentStarted())
        assert await subscription.wait(SOON)
        assert summarize(await subscription.read_changes()) == [(2, "PAYMENT_PROCESSING")]
        await watched(repository)
        repository.append("a", OrderConfirmed())
        assert await subscription.wait(SOON)
        assert summarize(await subscription.read_changes()) == [(3, "CONFIRMED")]


@scenario
async def test_an_unavailable_store_is_read_again_later(feed, repository):
    with feed.subscribe("a") as subscription:
        await subscription.load()
        repository.is_unavailable = True
        repository.append("a", PaymentStarted())
        assert await subscription.wait(SOON)
        assert await subscription.read_changes() == []
        repository.is_unavailable = False
        assert summarize(await subscription.read_changes()) == [(2, "PAYMENT_PROCESSING")]


@scenario
async def test_a_subscription_ends_with_its_block(feed, repository):
    with feed.subscribe("a"):
        pass
    repository.append("a", PaymentStarted())
    with feed.subscribe("a") as subscription:
        await subscription.load()
    assert feed.subscription_count == 0


@scenario
async def test_closing_notifies_all_subscriptions(feed, _repository):
    with feed.subscribe("a") as subscription, feed.subscribe("b") as second:
        await subscription.load()
        await second.load()
        feed.close()
        assert await subscription.wait(SOON)
        assert await second.wait(SOON)
        assert feed.is_closed

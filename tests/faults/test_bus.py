"""Events while relays and the broker are killed, or a queue is: each event has one effect."""

import uuid
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count, cycle

import pytest
import sqlalchemy as sa

from tests.faults.checkers import (
    all_published,
    check,
    every_event_had_effect,
    last_change_had_effect,
    one_welcome_per_user,
    outbox_is_empty,
    published_in_order,
)
from tests.faults.faults import killing
from tests.faults.workloads import UserEvents, name_of
from tests.support.event_log import read_event_log
from tests.support.waiting import eventually

pytestmark = pytest.mark.faults

USERS, CHANGES = 200, 5


@pytest.fixture
def events(users_store):
    return UserEvents(users_store, [str(uuid.uuid4()) for _ in range(USERS)])


def relays_and_broker(stack) -> Iterator[Sequence[str]]:
    """Yield rounds of kills: each instance of users in turn; RabbitMQ in the rounds 2 and 6."""
    relays = cycle(stack.instances("users"))
    for number in count(1):
        yield (next(relays), "rabbitmq") if number in (2, 6) else (next(relays),)


def test_a_thousand_events_are_published_in_order_and_have_one_effect_while_relays_are_killed(
    stack, events, notifications, say
):
    with killing(stack, relays_and_broker(stack)) as killed:
        for change in range(CHANGES):
            # At least two relays are killed between one change of a user and the next.
            eventually(partial(has_length, killed, 2 * change))
            events.commit(change)
    check(outbox_is_empty(partial(count_outbox, events.users)), seconds=90)
    published = check_one_effect_each(stack, notifications, events)
    say(f"{len(killed)} relays killed, and RabbitMQ twice: {lags(notifications, published)}")


def test_a_thousand_events_are_published_in_order_and_have_one_effect_without_a_fault(
    stack, events, notifications, say
):
    for change in range(CHANGES):
        events.commit(change)
        check(has_effect(notifications, events, change), seconds=60)
    published = check_one_effect_each(stack, notifications, events)
    say(f"without a fault: {lags(notifications, published)}")


def has_length(items, length):
    return len(items) >= length


def has_effect(notifications, events, change):
    return last_change_had_effect(notifications.first_names, events.user_ids, name_of(change))


def count_outbox(users):
    with users.connect() as connection:
        return connection.execute(sa.text("SELECT count(*) FROM outbox")).scalar_one()


def check_one_effect_each(stack, notifications, events):
    """Check that all events are published in order, with one effect each; return them."""
    check(has_effect(notifications, events, CHANGES - 1), seconds=60)
    published = read_event_log(stack, set(events.user_ids))
    check(
        all_published(published, events.user_ids, events_each=CHANGES),
        published_in_order(published),
        one_welcome_per_user(notifications.welcome_counts, events.user_ids),
        every_event_had_effect(notifications.processing_times, published),
    )
    return published


def lags(notifications, published):
    """Describe how long after their commit events had their effect."""
    committed = {event_id: at for events in published.values() for event_id, at in events.items()}
    processed = notifications.processing_times(list(committed))
    found = sorted((processed[each] - committed[each]).total_seconds() for each in committed)
    median, late = found[len(found) // 2], found[int(len(found) * 0.99)]
    return f"lag of {len(found)} events p50 {median:.2f} s, p99 {late:.2f} s"

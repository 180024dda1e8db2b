"""The number of streams that one customer may have open."""

import pytest

from services.common.context import Caller
from services.orders.tracking.quota import StreamQuota, TooManyStreamsError

ALICE, BOB = Caller("alice", "customer"), Caller("bob", "customer")
ADMIN = Caller("rosa", "admin")


def test_a_customer_has_as_many_streams_as_the_quota_and_no_more():
    quota = StreamQuota(2)
    with quota.take(ALICE), quota.take(ALICE):
        with pytest.raises(TooManyStreamsError), quota.take(ALICE):
            pass
        with quota.take(BOB):
            pass


def test_a_stream_that_ended_is_not_counted_however_it_ended():
    quota = StreamQuota(1)
    for _ in range(3):
        with pytest.raises(RuntimeError), quota.take(ALICE):
            raise RuntimeError
    with quota.take(ALICE):
        pass


def test_administrators_are_not_limited():
    quota = StreamQuota(1)
    with quota.take(ADMIN), quota.take(ADMIN), quota.take(ADMIN):
        pass

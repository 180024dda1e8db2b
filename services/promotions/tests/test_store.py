"""How long a call waits for a Redis that does not answer."""

import time

import pytest

from services.common.context import CallContext, use
from services.common.errors import StoreUnavailableError
from services.promotions.repository import RedisPromotionsRepository
from services.promotions.store import TIMEOUT_SECONDS, connect
from services.promotions.tests.fakes import NOW, build_promotion
from tests.support.freezing_proxy import freezing_proxy

pytestmark = pytest.mark.integration

ORDER = "11111111-1111-4111-8111-111111111111"
CALLS = [
    lambda promotions: promotions.find("TEN", "alice", ORDER),
    lambda promotions: promotions.list_active(NOW, 10),
    lambda promotions: promotions.redeem(ORDER, "TEN", "alice", NOW),
    lambda promotions: promotions.release(ORDER, "TEN"),
    lambda promotions: promotions.list_from("", 10),
]


@pytest.fixture
def proxy(redis_url):
    with freezing_proxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
def promotions(proxy):
    with connect(proxy.url) as client:
        promotions = RedisPromotionsRepository(client, clock=lambda: NOW)
        promotions.add(build_promotion(), publish=False)
        yield promotions


def seconds_until_unavailable(call, seconds=None):
    """Return how long a call takes that fails; `seconds` are left until its deadline."""
    begun = time.monotonic()
    context = CallContext(deadline=None if seconds is None else begun + seconds)
    with use(context), pytest.raises(StoreUnavailableError):
        call()
    return time.monotonic() - begun


@pytest.mark.parametrize("call", CALLS)
def test_a_frozen_server_is_awaited_until_the_deadline_of_the_call(promotions, proxy, call):
    call(promotions)
    proxy.freeze()
    assert seconds_until_unavailable(lambda: call(promotions), 0.3) < 0.8


def test_a_new_connection_to_a_frozen_server_is_awaited_until_the_deadline(proxy):
    proxy.freeze()
    with connect(proxy.url) as client:
        promotions = RedisPromotionsRepository(client)
        assert seconds_until_unavailable(promotions.ping, 0.3) < 0.8


def test_without_a_deadline_a_frozen_server_is_awaited_for_the_timeout(promotions, proxy):
    with use(CallContext(deadline=time.monotonic() + 0.3)):
        promotions.ping()  # its short timeout is no later call's
    proxy.freeze()
    waited = seconds_until_unavailable(promotions.ping)
    assert TIMEOUT_SECONDS <= waited < TIMEOUT_SECONDS + 1


def test_nothing_is_written_when_the_deadline_is_over(promotions):
    redeem = CALLS[2]
    assert seconds_until_unavailable(lambda: redeem(promotions), 0.0) < 0.1
    assert promotions.load("TEN").used == 0


def test_a_thawed_server_is_used_again(promotions, proxy):
    proxy.freeze()
    seconds_until_unavailable(promotions.ping, 0.1)
    proxy.thaw()
    assert promotions.load("TEN").promotion == build_promotion()

"""Start pages: complete, and with parts that are unavailable or late."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from mamie_rosa.storefront.v1 import storefront_pb2

from services.common.context import CallContext, Caller, current, use
from services.storefront.parts import PartUnavailableError
from services.storefront.tests.fakes import (
    NAMES,
    VALUES,
    BlockedPart,
    FakePart,
    build_fakes,
    build_home,
)

CALL = CallContext(request_id="r1", caller=Caller("alice", "customer"))


@pytest.fixture
def parts():
    return build_fakes()


@pytest.fixture
def block(parts):
    """Return a function that blocks a part until the end of the test."""
    blocked = []

    def block(name):
        parts[name] = BlockedPart(VALUES[name])
        blocked.append(parts[name])
        return parts[name]

    yield block
    for part in blocked:
        part.release.set()


def page_without(*missing):
    available = {name: value for name, value in VALUES.items() if name not in missing}
    return storefront_pb2.Home(degraded=missing, **available)


def test_a_page_has_every_part_of_the_customer(parts):
    assert build_home(parts).compose("alice") == page_without()
    assert [part.user_ids for part in parts.values()] == [["alice"]] * 4


def test_the_parts_are_fetched_concurrently(parts):
    barrier = threading.Barrier(4, timeout=10)

    class WaitingPart(FakePart):
        def fetch(self, user_id):
            barrier.wait()  # passes when all four calls have started
            return super().fetch(user_id)

    waiting = {name: WaitingPart(value) for name, value in VALUES.items()}
    assert build_home(waiting).compose("alice") == page_without()


def test_each_part_is_fetched_in_the_context_of_the_call(parts):
    contexts = []

    class RecordingPart(FakePart):
        def fetch(self, user_id):
            contexts.append(current())
            return super().fetch(user_id)

    with use(CALL):
        build_home({name: RecordingPart(value) for name, value in VALUES.items()}).compose("alice")
    assert contexts == [CALL] * 4


@pytest.mark.parametrize("name", NAMES)
def test_an_unavailable_part_is_degraded_and_the_page_has_the_rest(parts, name):
    parts[name].make_unavailable()
    assert build_home(parts).compose("alice") == page_without(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_late_part_is_degraded(parts, block, name):
    late = block(name)
    assert build_home(parts, timeout_seconds=0.5).compose("alice") == page_without(name)
    assert not late.release.is_set()


def test_all_parts_may_be_late(parts, block):
    for name in NAMES:
        block(name)
    assert build_home(parts, timeout_seconds=0.05).compose("alice") == page_without(*NAMES)


@pytest.mark.parametrize("left_seconds", [0.3, 0.0, -1.0])
def test_a_page_keeps_the_deadline_of_the_caller(parts, block, left_seconds):
    block("orders")
    with use(CallContext(deadline=time.monotonic() + left_seconds)):
        assert "orders" in build_home(parts).compose("alice").degraded


def test_a_blocked_page_does_not_delay_the_next(parts, block):
    late = block("orders")
    home = build_home(parts, timeout_seconds=0.5)
    assert home.compose("alice").degraded == ["orders"]
    parts["orders"] = FakePart(VALUES["orders"])
    assert home.compose("bob").degraded == []
    assert not late.release.is_set()


def test_a_part_that_hangs_degrades_no_other_however_many_pages_are_composed(parts, block):
    block("orders")
    home = build_home(parts, timeout_seconds=0.3)
    with ThreadPoolExecutor(4) as customers:
        for page in customers.map(home.compose, [f"customer-{n}" for n in range(40)]):
            assert page.degraded == ["orders"]


def test_without_any_part_the_page_is_degraded(parts):
    for part in parts.values():
        part.make_unavailable()
    assert build_home(parts).compose("alice") == page_without(*NAMES)


def test_a_part_recovers_with_its_service(parts):
    home = build_home(parts)
    parts["profile"].make_unavailable()
    assert home.compose("alice").degraded == ["profile"]
    parts["profile"].failure = None
    assert home.compose("alice") == page_without()


def test_a_part_that_crashes_is_degraded(parts):
    parts["profile"].failure = RuntimeError("a bug")
    assert build_home(parts).compose("alice") == page_without("profile")


def test_each_degraded_part_is_logged_once(parts, block, log):
    parts["profile"].failure = PartUnavailableError("UNAVAILABLE")
    parts["promotions"].failure = crash = RuntimeError("a bug")
    block("orders")
    build_home(parts, timeout_seconds=0.5).compose("alice")
    assert log == [
        {"event": "part_degraded", "part": part, "code": code, "log_level": level} | more
        for part, code, level, more in [
            ("profile", "UNAVAILABLE", "warning", {}),
            ("orders", "DEADLINE_EXCEEDED", "warning", {}),
            ("promotions", "CRASHED", "error", {"exc_info": crash}),
        ]
    ]


def test_a_complete_page_is_not_logged(parts, log):
    build_home(parts).compose("alice")
    assert log == []


def test_a_value_that_pages_share_is_not_fetched_again(parts):
    parts["promotions"].shared = VALUES["promotions"]
    assert build_home(parts).compose("alice") == page_without()
    assert parts["promotions"].user_ids == []

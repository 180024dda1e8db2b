"""What a start page is made of, and what becomes of it when something is missing."""

import threading
import time

import pytest
from mamie_rosa.storefront.v1 import storefront_pb2

from services.common.context import CallContext, Caller, current, use
from services.storefront.parts import PartAwayError
from services.storefront.tests.fakes import (
    NAMES,
    VALUES,
    FakePart,
    StuckPart,
    build_fakes,
    build_home,
)

CALL = CallContext(request_id="r1", caller=Caller("alice", "customer"))


@pytest.fixture
def parts():
    return build_fakes()


@pytest.fixture
def stick(parts):
    """Return what makes a part stuck; all are released when the test is over."""
    stuck = []

    def stick(name):
        parts[name] = StuckPart(VALUES[name])
        stuck.append(parts[name])
        return parts[name]

    yield stick
    for part in stuck:
        part.release.set()


def page_without(*missing):
    there = {name: value for name, value in VALUES.items() if name not in missing}
    return storefront_pb2.Home(degraded=missing, **there)


def test_a_page_has_every_part_of_the_client_who_asks(parts):
    assert build_home(parts).compose("alice") == page_without()
    assert [part.asked for part in parts.values()] == [["alice"]] * 4


def test_the_parts_are_asked_for_at_the_same_time(parts):
    together = threading.Barrier(4, timeout=10)

    class Meeting(FakePart):
        def fetch(self, user_id):
            together.wait()  # passes only when all four are on their way
            return super().fetch(user_id)

    meeting = {name: Meeting(value) for name, value in VALUES.items()}
    assert build_home(meeting).compose("alice") == page_without()


def test_each_part_is_asked_for_within_the_call_that_is_being_answered(parts):
    seen = []

    class Seeing(FakePart):
        def fetch(self, user_id):
            seen.append(current())
            return super().fetch(user_id)

    with use(CALL):
        build_home({name: Seeing(value) for name, value in VALUES.items()}).compose("alice")
    assert seen == [CALL] * 4


@pytest.mark.parametrize("name", NAMES)
def test_a_part_that_is_away_is_named_and_the_others_are_there(parts, name):
    parts[name].go_away()
    assert build_home(parts).compose("alice") == page_without(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_part_that_is_late_is_named_and_not_waited_for(parts, stick, name):
    late = stick(name)
    assert build_home(parts, timeout_seconds=0.5).compose("alice") == page_without(name)
    assert not late.release.is_set()


def test_all_parts_may_be_late_at_once(parts, stick):
    for name in NAMES:
        stick(name)
    assert build_home(parts, timeout_seconds=0.05).compose("alice") == page_without(*NAMES)


@pytest.mark.parametrize("left_seconds", [0.3, 0.0, -1.0])
def test_no_part_is_waited_for_when_the_caller_does_not_wait_any_more(parts, stick, left_seconds):
    stick("orders")
    with use(CallContext(deadline=time.monotonic() + left_seconds)):
        assert "orders" in build_home(parts).compose("alice").degraded


def test_a_page_that_is_stuck_does_not_hold_up_the_next(parts, stick):
    late = stick("orders")
    home = build_home(parts, timeout_seconds=0.5)
    assert home.compose("alice").degraded == ["orders"]
    parts["orders"] = FakePart(VALUES["orders"])
    assert home.compose("bob").degraded == []
    assert not late.release.is_set()


def test_when_all_is_away_there_is_a_page_that_says_so(parts):
    for part in parts.values():
        part.go_away()
    assert build_home(parts).compose("alice") == page_without(*NAMES)


def test_a_part_is_back_as_soon_as_its_service_is(parts):
    home = build_home(parts)
    parts["profile"].go_away()
    assert home.compose("alice").degraded == ["profile"]
    parts["profile"].failure = None
    assert home.compose("alice") == page_without()


def test_a_part_that_crashes_is_missing_as_one_that_is_away(parts):
    parts["profile"].failure = RuntimeError("a bug")
    assert build_home(parts).compose("alice") == page_without("profile")


def test_each_missing_part_is_one_line_in_the_log(parts, stick, log):
    parts["profile"].failure = PartAwayError("UNAVAILABLE")
    parts["promotions"].failure = crash = RuntimeError("a bug")
    stick("orders")
    build_home(parts, timeout_seconds=0.5).compose("alice")
    assert log == [
        {"event": "part_degraded", "part": part, "why": why, "log_level": level} | more
        for part, why, level, more in [
            ("profile", "UNAVAILABLE", "warning", {}),
            ("orders", "DEADLINE_EXCEEDED", "warning", {}),
            ("promotions", "CRASHED", "error", {"exc_info": crash}),
        ]
    ]


def test_a_page_without_a_missing_part_is_not_worth_a_line(parts, log):
    build_home(parts).compose("alice")
    assert log == []

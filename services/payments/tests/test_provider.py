"""The promises of a provider, kept by the sandbox on either ledger; and what its tokens do."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import pytest

from services.common.context import CallContext, use
from services.common.storage import postgres
from services.payments.domain import Captured, Closed, Declined, ProviderUnavailableError
from services.payments.provider import (
    PostgresLedger,
    RefundRefusedError,
    SandboxProvider,
    Transaction,
    TransactionState,
)
from services.payments.tests.fakes import FakeClock, InMemoryLedger

GOOD = "tok_ok"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def ledger(request):
    if request.param == "memory":
        return InMemoryLedger()
    return PostgresLedger(request.getfixturevalue("engine"))


@pytest.fixture
def sandbox(ledger, clock):
    return build_sandbox(ledger, clock)


def build_sandbox(ledger, clock, **changes):
    given = {"slow_seconds": 3, "timeout_seconds": 10, "sleep": clock.sleep} | changes
    return SandboxProvider(ledger=ledger, clock=clock, **given)


def capture(sandbox, token=GOOD, key="k"):
    return sandbox.capture(key, amount=Decimal("12.90"), currency="EUR", token=token)


def test_a_good_token_is_captured(sandbox):
    assert isinstance(capture(sandbox), Captured)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("tok_declined", "CARD_DECLINED"),
        ("tok_insufficient_funds", "INSUFFICIENT_FUNDS"),
        ("tok_unheard_of", "INVALID_TOKEN"),
        ("4242424242424242", "INVALID_TOKEN"),
    ],
)
def test_a_bad_token_is_declined_with_its_reason(sandbox, token, reason):
    assert capture(sandbox, token) == Declined(reason)


@pytest.mark.parametrize("token", ["tok_ok", "tok_slow", "tok_declined"])
def test_a_key_has_one_outcome_however_often_it_is_asked_for(sandbox, token):
    first = capture(sandbox, token)
    assert capture(sandbox, token) == first
    assert capture(sandbox, "tok_ok") == first


def test_keys_have_transactions_of_their_own(sandbox):
    assert capture(sandbox, key="a") != capture(sandbox, key="b")


def test_what_was_said_outlives_the_process(sandbox, ledger, clock):
    said = capture(sandbox)
    assert capture(build_sandbox(ledger, clock)) == said


def test_an_unreachable_provider_is_said_so_every_time(sandbox):
    for _ in range(2):
        with pytest.raises(ProviderUnavailableError):
            capture(sandbox, "tok_error")
    assert sandbox.void("k") == Closed()


def test_a_slow_token_is_captured_after_its_time(sandbox, clock):
    before = clock()
    assert isinstance(capture(sandbox, "tok_slow"), Captured)
    assert (clock() - before).total_seconds() == 3


def test_a_slow_token_is_given_up_when_the_provider_takes_too_long(ledger, clock):
    impatient = build_sandbox(ledger, clock, timeout_seconds=1)
    before = clock()
    with pytest.raises(ProviderUnavailableError):
        capture(impatient, "tok_slow")
    assert (clock() - before).total_seconds() == 1


def test_a_slow_token_is_given_up_before_the_callers_deadline(sandbox, clock):
    before = clock()
    with use(CallContext(deadline=time.monotonic() + 2)), pytest.raises(ProviderUnavailableError):
        capture(sandbox, "tok_slow")
    assert (clock() - before).total_seconds() < 2


def test_a_slow_capture_goes_on_when_nobody_waits(ledger, clock):
    impatient = build_sandbox(ledger, clock, timeout_seconds=1.6)
    with pytest.raises(ProviderUnavailableError):
        capture(impatient, "tok_slow")
    assert isinstance(capture(impatient, "tok_slow"), Captured)


def test_a_capture_under_a_voided_key_is_refused(sandbox):
    assert sandbox.void("k") == Closed()
    assert capture(sandbox) == Closed()
    assert sandbox.void("k") == Closed()


def test_voiding_what_was_captured_tells_so_and_keeps_it(sandbox):
    captured = capture(sandbox)
    assert sandbox.void("k") == captured
    assert capture(sandbox) == captured


def test_voiding_what_was_declined_tells_so(sandbox):
    declined = capture(sandbox, "tok_declined")
    assert sandbox.void("k") == declined


def test_a_slow_capture_can_be_voided_while_it_is_waited_for(ledger, clock):
    def void_meanwhile(seconds):
        clock.sleep(seconds / 2)
        assert waiting.void("k") == Closed()
        clock.sleep(seconds / 2)

    waiting = build_sandbox(ledger, clock, sleep=void_meanwhile)
    assert capture(waiting, "tok_slow") == Closed()


def test_a_slow_capture_whose_time_has_come_is_not_voided_any_more(ledger, clock):
    impatient = build_sandbox(ledger, clock, timeout_seconds=1)
    with pytest.raises(ProviderUnavailableError):
        capture(impatient, "tok_slow")
    clock.sleep(2)
    assert isinstance(impatient.void("k"), Captured)


def test_a_refund_may_be_repeated(sandbox):
    captured = capture(sandbox)
    for _ in range(2):
        sandbox.refund("k", refund_key="k:refund")
    assert sandbox.void("k") == captured


def test_money_is_returned_once(sandbox):
    capture(sandbox)
    sandbox.refund("k", refund_key="k:refund")
    with pytest.raises(RefundRefusedError):
        sandbox.refund("k", refund_key="another")


@pytest.mark.parametrize("token", ["tok_declined", "tok_error"])
def test_what_was_never_taken_is_not_returned(sandbox, token):
    if token == "tok_declined":
        capture(sandbox, token)
    with pytest.raises(RefundRefusedError):
        sandbox.refund("k", refund_key="k:refund")


@pytest.mark.integration
def test_a_provider_whose_store_is_away_is_unavailable(clock):
    away = PostgresLedger(postgres.create_engine("postgresql://127.0.0.1:1/none"))
    with pytest.raises(ProviderUnavailableError):
        capture(build_sandbox(away, clock))


def test_captures_of_one_key_at_once_are_one_transaction(sandbox):
    with ThreadPoolExecutor(8) as repeats:
        outcomes = set(repeats.map(lambda _: capture(sandbox), range(20)))
    assert len(outcomes) == 1


def test_captures_and_voids_at_once_agree_who_was_first(sandbox):
    def ask(number):
        key = str(number // 2)
        return key, sandbox.void(key) if number % 2 else capture(sandbox, key=key)

    with ThreadPoolExecutor(8) as callers:
        answers = set(callers.map(ask, range(80)))
    assert len(answers) == 40


def test_changes_of_one_key_wait_for_each_other(ledger, clock):
    def add_a_letter(_):
        ledger.change(opening, lambda found: replace(found, currency=found.currency + "a"))

    opening = Transaction(
        key="k",
        transaction_id="t",
        state=TransactionState.VOIDED,
        amount=Decimal("0.00"),
        currency="",
        settles_at=clock(),
    )
    with ThreadPoolExecutor(8) as callers:
        list(callers.map(add_a_letter, range(40)))
    assert ledger.change(opening, lambda found: found).currency == "a" * 40

"""The guarantees of a provider, kept by the sandbox on either ledger; and its tokens."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import pytest

from services.common.context import CallContext, use
from services.common.storage import postgres
from services.payments.domain import Captured, Declined, ProviderUnavailableError, Voided
from services.payments.provider import RefundRejectedError
from services.payments.sandbox import SandboxProvider
from services.payments.sandbox_ledger import PostgresLedger, Transaction, TransactionState
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
def test_a_key_has_one_outcome_however_often_it_is_requested(sandbox, token):
    first = capture(sandbox, token)
    assert capture(sandbox, token) == first
    assert capture(sandbox, "tok_ok") == first


def test_each_key_has_its_own_transaction(sandbox):
    assert capture(sandbox, key="a") != capture(sandbox, key="b")


def test_an_outcome_survives_the_process(sandbox, ledger, clock):
    outcome = capture(sandbox)
    assert capture(build_sandbox(ledger, clock)) == outcome


def test_the_error_token_is_unavailable_every_time(sandbox):
    for _ in range(2):
        with pytest.raises(ProviderUnavailableError):
            capture(sandbox, "tok_error")
    assert sandbox.void("k") == Voided()


def test_a_slow_token_is_captured_after_its_delay(sandbox, clock):
    before = clock()
    assert isinstance(capture(sandbox, "tok_slow"), Captured)
    assert (clock() - before).total_seconds() == 3


def test_a_slow_capture_times_out(ledger, clock):
    impatient = build_sandbox(ledger, clock, timeout_seconds=1)
    before = clock()
    with pytest.raises(ProviderUnavailableError):
        capture(impatient, "tok_slow")
    assert (clock() - before).total_seconds() == 1


def test_a_slow_capture_times_out_before_the_callers_deadline(sandbox, clock):
    before = clock()
    with use(CallContext(deadline=time.monotonic() + 2)), pytest.raises(ProviderUnavailableError):
        capture(sandbox, "tok_slow")
    assert (clock() - before).total_seconds() < 2


def test_a_slow_capture_completes_after_its_call_timed_out(ledger, clock):
    impatient = build_sandbox(ledger, clock, timeout_seconds=1.6)
    with pytest.raises(ProviderUnavailableError):
        capture(impatient, "tok_slow")
    assert isinstance(capture(impatient, "tok_slow"), Captured)


def test_a_capture_under_a_voided_key_is_voided(sandbox):
    assert sandbox.void("k") == Voided()
    assert capture(sandbox) == Voided()
    assert sandbox.void("k") == Voided()


def test_voiding_a_captured_key_answers_the_capture_and_keeps_it(sandbox):
    captured = capture(sandbox)
    assert sandbox.void("k") == captured
    assert capture(sandbox) == captured


def test_voiding_a_declined_key_answers_the_decline(sandbox):
    declined = capture(sandbox, "tok_declined")
    assert sandbox.void("k") == declined


def test_a_slow_capture_can_be_voided_while_its_call_waits(ledger, clock):
    def void_meanwhile(seconds):
        clock.sleep(seconds / 2)
        assert waiting.void("k") == Voided()
        clock.sleep(seconds / 2)

    waiting = build_sandbox(ledger, clock, sleep=void_meanwhile)
    assert capture(waiting, "tok_slow") == Voided()


def test_a_slow_capture_that_is_due_cannot_be_voided(ledger, clock):
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


def test_a_transaction_is_refunded_once(sandbox):
    capture(sandbox)
    sandbox.refund("k", refund_key="k:refund")
    with pytest.raises(RefundRejectedError):
        sandbox.refund("k", refund_key="another")


@pytest.mark.parametrize("token", ["tok_declined", "tok_error"])
def test_a_transaction_that_was_not_captured_is_not_refunded(sandbox, token):
    if token == "tok_declined":
        capture(sandbox, token)
    with pytest.raises(RefundRejectedError):
        sandbox.refund("k", refund_key="k:refund")


@pytest.mark.integration
def test_a_provider_with_an_unavailable_store_is_unavailable(clock):
    unavailable = PostgresLedger(postgres.create_engine("postgresql://127.0.0.1:1/none"))
    with pytest.raises(ProviderUnavailableError):
        capture(build_sandbox(unavailable, clock))


def test_concurrent_captures_of_one_key_are_one_transaction(sandbox):
    with ThreadPoolExecutor(8) as repeats:
        outcomes = set(repeats.map(lambda _: capture(sandbox), range(20)))
    assert len(outcomes) == 1


def test_concurrent_captures_and_voids_of_one_key_get_one_outcome(sandbox):
    def ask(number):
        key = str(number // 2)
        return key, sandbox.void(key) if number % 2 else capture(sandbox, key=key)

    with ThreadPoolExecutor(8) as callers:
        answers = set(callers.map(ask, range(80)))
    assert len(answers) == 40


def test_the_first_transaction_of_a_key_stays(ledger, clock):
    first = build_transaction(clock, currency="EUR")
    assert ledger.add(first)
    assert not ledger.add(replace(first, transaction_id="u", currency="USD"))
    assert ledger.change(first, lambda existing: existing) == first


def test_changes_of_one_key_are_serialized(ledger, clock):
    def add_a_letter(_):
        ledger.change(initial, lambda existing: replace(existing, currency=existing.currency + "a"))

    initial = build_transaction(clock)
    with ThreadPoolExecutor(8) as callers:
        list(callers.map(add_a_letter, range(40)))
    assert ledger.change(initial, lambda existing: existing).currency == "a" * 40


def build_transaction(clock, **changes):
    voided = Transaction(
        key="k",
        transaction_id="t",
        state=TransactionState.VOIDED,
        amount=Decimal("0.00"),
        currency="",
        capture_at=clock(),
    )
    return replace(voided, **changes)

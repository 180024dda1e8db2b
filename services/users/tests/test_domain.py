"""The rules of accounts, failures and signing keys."""

from datetime import timedelta

import pytest

from services.users import domain
from services.users.domain import (
    FAILURE_LIMIT,
    FAILURE_WINDOW,
    RETIREMENT,
    TOKEN_LIFE,
    AccountThrottledError,
    Failures,
    Language,
    SigningKey,
)
from services.users.tests.fakes import NOW, POLICY, build_user

SECOND = timedelta(seconds=1)
FULL = Failures(FAILURE_LIMIT, NOW)


def key(kid, signs_from=NOW):
    return SigningKey(kid=kid, private_pem="", signs_from=signs_from)


OLD, NEW = key("old"), key("new", NOW + timedelta(days=30))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Marie@Example.org", "marie@example.ORG"),
        ("STRASSE@x.org", "straße@x.org"),
        ("e\u0301@x.org", "É@x.org"),
    ],
)
def test_emails_are_compared_without_case(one, other):
    assert domain.canonical_email(one) == domain.canonical_email(other)


def test_revising_keeps_identity_email_and_role():
    user = build_user()
    revised = domain.revise(
        user,
        first_name="A",
        last_name="B",
        animal_type="dog",
        notifications_enabled=False,
        language=Language.FRENCH,
    )
    assert (revised.user_id, revised.email, revised.role) == (user.user_id, user.email, user.role)
    assert (revised.first_name, revised.animal_type, revised.language) == ("A", "dog", "fr")


@pytest.mark.parametrize(
    ("told", "language"),
    [
        ("fr", "fr"),
        ("FR", "fr"),
        ("fr-CA", "fr"),
        ("fr-Latn-CH-1996", "fr"),
        ("en-GB", "en"),
        ("fr-FR,fr;q=0.9,en-US;q=0.8,en;q=0.7", "fr"),
        ("en-US,en;q=0.9,fr;q=0.8", "en"),
        ("de-CH, de;q=0.9, fr;q=0.3", "fr"),
        ("en;q=0.5, fr", "fr"),
        ("en;q=0.001,fr;q=0.002", "fr"),
        ("fr\t;\tQ=0.8 ,\ten ; q=0.7", "fr"),
        ("fr;q=0.5, en;q=0.6, fr-CA;q=0.7", "fr"),
        ("fr;q=1.000, en;q=1.", "fr"),
    ],
)
def test_the_language_that_is_wanted_most_is_chosen(told, language):
    assert domain.choose_language(told) == language


@pytest.mark.parametrize(("told", "language"), [("fr, en", "fr"), ("en, fr", "en")])
def test_of_languages_that_are_wanted_alike_the_first_is_chosen(told, language):
    assert domain.choose_language(told) == language


@pytest.mark.parametrize(
    ("told", "language"),
    [("*, en;q=0", "fr"), ("*, fr;q=0.5", "en"), ("fr;q=0.4, *;q=0.5", "en"), ("fr, *", "fr")],
)
def test_a_wildcard_means_what_is_not_named(told, language):
    assert domain.choose_language(told) == language


@pytest.mark.parametrize("otherwise", Language)
@pytest.mark.parametrize(
    "told",
    ["", " ", "*", "de", "de, *;q=0.1", "fr;q=0", "en;q=0", "fr;q=0, en;q=0", "*;q=0", "fra, eng"],
)
def test_a_header_that_leaves_the_choice_changes_nothing(told, otherwise):
    assert domain.choose_language(told, otherwise=otherwise) == otherwise


@pytest.mark.parametrize(
    "garbage",
    [
        ",,;,",
        "fr;q=2",
        "fr;q=0.1234",
        "fr;q=-1",
        "fr;q=nan",
        "fr;q=",
        "fr q=1",
        "fr_FR",
        "fr-",
        "-fr",
        "*-FR",
        "français",
        "fr;q=\u0661",
        "fr;level=1",
        "<script>",
        "fr-" + "a" * 9,
        "x" * 100_000,
        "fr-" * 20_000,
    ],
)
def test_what_is_no_language_range_is_passed_over(garbage):
    assert domain.choose_language(garbage) == "en"
    assert domain.choose_language(f"{garbage}, fr;q=0.1") == "fr"


def test_the_limit_of_failures_is_counted_and_the_next_is_throttled():
    failures = None
    for _ in range(FAILURE_LIMIT):
        failures = domain.fail(failures, NOW)
    assert failures == FULL
    with pytest.raises(AccountThrottledError):
        domain.fail(failures, NOW)


def test_a_throttled_email_is_told_how_long_and_never_longer_than_the_window():
    with pytest.raises(AccountThrottledError) as caught:
        domain.check_patience(FULL, NOW)
    assert caught.value.metadata == {"retryAfterSeconds": str(15 * 60)}
    with pytest.raises(AccountThrottledError) as caught:
        domain.check_patience(FULL, NOW + FAILURE_WINDOW - SECOND / 2)
    assert caught.value.metadata == {"retryAfterSeconds": "1"}


def test_a_window_that_is_over_is_forgotten():
    later = NOW + FAILURE_WINDOW
    domain.check_patience(FULL, later)
    assert domain.fail(FULL, later) == Failures(1, later)


def test_a_right_password_does_not_help_while_throttled():
    with pytest.raises(AccountThrottledError):
        domain.succeed(FULL, NOW)


def test_below_the_limit_a_right_password_helps():
    domain.succeed(Failures(FAILURE_LIMIT - 1, NOW), NOW)


def test_a_key_signs_from_its_time_until_its_successors():
    keys = [NEW, OLD]
    assert domain.signing_key(keys, NEW.signs_from - SECOND) == OLD
    assert domain.signing_key(keys, NEW.signs_from) == NEW


def test_the_first_key_signs_even_where_the_clock_is_behind():
    assert domain.signing_key([NEW, OLD], OLD.signs_from - SECOND) == OLD


def test_a_key_is_public_before_it_signs():
    assert domain.public_keys([NEW, OLD], NEW.signs_from - POLICY.lead) == [OLD, NEW]


def test_a_retired_key_stays_public_for_longer_than_its_last_token_lives():
    keys = [OLD, NEW]
    assert domain.public_keys(keys, NEW.signs_from + TOKEN_LIFE + SECOND) == keys
    assert domain.public_keys(keys, NEW.signs_from + RETIREMENT) == [NEW]


def test_the_last_key_is_never_over():
    assert domain.public_keys([OLD], NOW + timedelta(days=3650)) == [OLD]


def test_the_next_key_is_due_its_lead_before_the_last_has_lived():
    due = OLD.signs_from + POLICY.life - POLICY.lead
    assert not domain.is_key_due([OLD], due - SECOND, POLICY)
    assert domain.is_key_due([OLD], due, POLICY)
    assert not domain.is_key_due([OLD, NEW], due, POLICY)


def test_the_first_key_is_due_and_signs_at_once_the_next_after_its_lead():
    assert domain.is_key_due([], NOW, POLICY)
    assert domain.next_signs_from([], NOW, POLICY) == NOW
    assert domain.next_signs_from([OLD], NOW, POLICY) == NOW + POLICY.lead

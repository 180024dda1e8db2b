"""The rules of accounts, failures and signing keys."""

from datetime import timedelta

import pytest

from services.common.languages import Language
from services.users import domain
from services.users.domain import (
    RETIRED_KEY_RETENTION,
    TOKEN_LIFETIME,
    SigningKey,
)
from services.users.tests.fakes import NOW, POLICY, build_user

SECOND = timedelta(seconds=1)


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


def test_updating_a_profile_keeps_identity_email_and_role():
    user = build_user()
    updated = domain.update_profile(
        user,
        first_name="A",
        last_name="B",
        animal_type="dog",
        notifications_enabled=False,
        language=Language.EN,
    )
    assert (updated.user_id, updated.email, updated.role) == (user.user_id, user.email, user.role)
    assert (updated.first_name, updated.animal_type, updated.language) == ("A", "dog", "en")


def test_a_key_signs_until_its_successor_does():
    keys = [NEW, OLD]
    assert domain.signing_key(keys, NEW.signs_from - SECOND) == OLD
    assert domain.signing_key(keys, NEW.signs_from) == NEW


def test_the_first_key_signs_on_an_instance_whose_clock_is_behind():
    assert domain.signing_key([NEW, OLD], OLD.signs_from - SECOND) == OLD


def test_a_key_is_published_before_it_signs():
    assert domain.public_keys([NEW, OLD], NEW.signs_from - POLICY.lead_time) == [OLD, NEW]


def test_a_retired_key_stays_public_longer_than_the_lifetime_of_its_last_token():
    keys = [OLD, NEW]
    assert domain.public_keys(keys, NEW.signs_from + TOKEN_LIFETIME + SECOND) == keys
    assert domain.public_keys(keys, NEW.signs_from + RETIRED_KEY_RETENTION) == [NEW]


def test_the_newest_key_never_expires():
    assert domain.public_keys([OLD], NOW + timedelta(days=3650)) == [OLD]


def test_the_next_key_is_due_its_lead_time_before_the_newest_key_retires():
    due = OLD.signs_from + POLICY.lifetime - POLICY.lead_time
    assert not domain.is_rotation_due([OLD], due - SECOND, POLICY)
    assert domain.is_rotation_due([OLD], due, POLICY)
    assert not domain.is_rotation_due([OLD, NEW], due, POLICY)


def test_the_first_key_signs_at_once_and_later_keys_after_their_lead_time():
    assert domain.is_rotation_due([], NOW, POLICY)
    assert domain.next_signing_time([], NOW, POLICY) == NOW
    assert domain.next_signing_time([OLD], NOW, POLICY) == NOW + POLICY.lead_time

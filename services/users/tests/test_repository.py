"""The contract of the repositories, for the fakes and for the real store."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

import services.users
from services.common.clock import new_id
from services.common.errors import StoreUnavailableError
from services.common.languages import Language
from services.common.storage import postgres
from services.users import domain, throttling
from services.users.domain import Account, Role, SigningKey
from services.users.key_repository import PostgresKeyRepository
from services.users.repository import PostgresUsersRepository
from services.users.schema import sign_in_failures, users
from services.users.tests.fakes import (
    NOW,
    InMemoryKeyRepository,
    InMemoryUsersRepository,
    build_user,
)
from services.users.throttling import FAILURE_LIMIT, SignInFailures, Throttle

MARIE = build_user()
THROTTLES = [
    Throttle("a", FAILURE_LIMIT),
    Throttle("b", 3 * FAILURE_LIMIT, cleared_by_success=False),
]
EMAIL = domain.canonical_email(MARIE.email)
MIGRATIONS = Path(services.users.__path__[0]) / "migrations"
STORES = ["memory", pytest.param("postgres", marks=pytest.mark.integration)]


@pytest.fixture(params=STORES)
def repository(request):
    real = request.param == "postgres"
    repository = (
        PostgresUsersRepository(request.getfixturevalue("engine"))
        if real
        else InMemoryUsersRepository()
    )
    repository.add(Account(MARIE, "hash 1"))
    return repository


@pytest.fixture(params=STORES)
def keys(request):
    real = request.param == "postgres"
    return (
        PostgresKeyRepository(request.getfixturevalue("engine"))
        if real
        else InMemoryKeyRepository()
    )


def key(kid):
    return SigningKey(kid=kid, private_pem="pem", signs_from=NOW)


def test_an_account_is_found_by_id_and_by_email(repository):
    assert repository.find(MARIE.user_id) == MARIE
    assert repository.find_by_email(EMAIL) == Account(MARIE, "hash 1")


def test_ids_are_compared_without_case(repository):
    assert repository.find(MARIE.user_id.upper()) == MARIE


@pytest.mark.parametrize(
    "user_id", [new_id(), "login", "", "a\0b", "x" * 64, f"urn:uuid:{MARIE.user_id}"]
)
def test_an_unknown_user_is_not_found(repository, user_id):
    with pytest.raises(domain.UserNotFoundError):
        repository.find(user_id)


def test_an_unknown_email_has_no_account(repository):
    assert repository.find_by_email("unknown@example.org") is None


def test_an_email_has_one_account_whatever_its_case(repository):
    with pytest.raises(domain.EmailExistsError):
        repository.add(Account(build_user(email=MARIE.email.upper()), "hash 2"))
    assert repository.find_by_email(EMAIL) == Account(MARIE, "hash 1")


def test_an_update_replaces_name_preferences_and_language(repository):
    changed = replace(
        MARIE,
        first_name="M",
        animal_type="dog",
        notifications_enabled=False,
        language=Language.EN,
    )
    repository.update(changed)
    assert repository.find_by_email(EMAIL) == Account(replace(changed, version=2), "hash 1")


def test_a_hash_is_replaced_only_if_it_is_still_the_same(repository):
    read = repository.find_by_email(EMAIL)
    assert repository.replace_hash(read, "hash 2")
    assert not repository.replace_hash(read, "hash 3")
    assert repository.find_by_email(EMAIL).password_hash == "hash 2"


def test_an_administrator_is_added_once_and_gets_the_last_password(repository):
    for number in (1, 2):
        admin = build_user(email="Admin@example.org", role=Role.ADMIN, first_name=str(number))
        repository.upsert_admin(Account(admin, f"hash {number}"))
    kept = repository.find_by_email("admin@example.org")
    assert (kept.password_hash, kept.user.role, kept.user.first_name) == ("hash 2", "admin", "1")


def test_an_account_may_become_the_administrators_and_keeps_its_profile(repository):
    repository.upsert_admin(Account(build_user(role=Role.ADMIN, first_name="Root"), "hash 2"))
    assert repository.find(MARIE.user_id) == replace(MARIE, role=Role.ADMIN)


def test_failures_are_stored_per_key_and_can_be_cleared(repository):
    for _ in range(2):
        repository.change_failures(
            ["a", "b"], lambda known: throttling.record(THROTTLES, known, NOW)
        )
    assert repository.failures(["a", "b", "c"]) == dict.fromkeys("ab", SignInFailures(2, NOW))
    repository.change_failures(["a", "b"], lambda known: throttling.clear(THROTTLES, known, NOW))
    assert repository.failures(["a", "b"]) == {"b": SignInFailures(2, NOW)}


def test_a_change_of_failures_that_raises_changes_nothing(repository):
    full = {"a": SignInFailures(FAILURE_LIMIT, NOW)}
    repository.change_failures(["a"], lambda _: full)
    with pytest.raises(domain.AccountThrottledError):
        repository.change_failures(
            ["a", "b"], lambda known: throttling.record(THROTTLES, known, NOW)
        )
    assert repository.failures(["a", "b"]) == full


def test_only_old_failures_are_deleted(repository):
    old = SignInFailures(3, NOW - timedelta(seconds=1))
    new = SignInFailures(3, NOW)
    repository.change_failures(["old", "new"], lambda _: {"old": old, "new": new})
    repository.delete_failures(before=NOW)
    assert repository.failures(["old", "new"]) == {"new": new}


def test_a_change_adds_and_deletes_keys(keys):
    assert keys.keys() == []
    keys.change_keys(lambda _: [key("a"), key("b")])
    assert keys.change_keys(lambda known: [known[1], key("c")]) == [key("b"), key("c")]
    assert keys.keys() == [key("b"), key("c")]


@pytest.mark.integration
def test_an_unavailable_store_raises_store_unavailable():
    engine = postgres.create_engine("postgresql://127.0.0.1:1/none")
    with pytest.raises(StoreUnavailableError):
        PostgresUsersRepository(engine).find(MARIE.user_id)
    with pytest.raises(StoreUnavailableError):
        PostgresKeyRepository(engine).keys()


def test_each_update_raises_the_version(repository):
    for _ in range(3):
        repository.update(MARIE)
    assert repository.find(MARIE.user_id).version == 4


@pytest.mark.integration
def test_an_account_older_than_the_language_column_is_english(engine):
    PostgresUsersRepository(engine).add(Account(MARIE, "hash"))
    with engine.begin() as connection:
        row = connection.execute(sa.select(users)).mappings().one()
        changes = {"user_id": new_id(), "email_key": "old@example.org"}
        values = {name: row[name] for name in row if name != "language"} | changes
        added = sa.insert(users).values(values).returning(users.c.language)
        assert connection.execute(added).scalar_one() == "en"


@pytest.mark.integration
def test_failures_are_stored_without_the_email(engine):
    PostgresUsersRepository(engine).change_failures(
        [EMAIL], lambda _: {EMAIL: SignInFailures(1, NOW)}
    )
    with engine.connect() as connection:
        [row] = connection.execute(sa.select(sign_in_failures)).all()
    assert "marie" not in str(row)

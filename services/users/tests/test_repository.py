"""The contract of the repositories, for the fakes and for the real store."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from mamie_rosa.events.v1 import events_pb2

import services.users
from services.common.clock import new_id
from services.common.errors import StoreUnavailableError
from services.common.languages import Language
from services.common.storage import migrations, postgres
from services.users import domain
from services.users.domain import FAILURE_LIMIT, Account, Role, SignInFailures, SigningKey
from services.users.key_repository import PostgresKeyRepository
from services.users.keys import KeyRotation
from services.users.repository import PostgresUsersRepository
from services.users.schema import outbox, sign_in_failures, users
from services.users.tests.fakes import (
    NOW,
    POLICY,
    InMemoryKeyRepository,
    InMemoryUsersRepository,
    build_user,
)

MARIE = build_user()
EMAIL = domain.canonical_email(MARIE.email)
MIGRATIONS = Path(services.users.__path__[0]) / "migrations"
STORES = ["memory", pytest.param("postgres", marks=pytest.mark.integration)]


@pytest.fixture
def engine(postgres_url):
    migrations.migrate(url=postgres_url, directory=MIGRATIONS)
    engine = postgres.create_engine(postgres_url, pool_size=8)
    yield engine
    engine.dispose()


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
    repository.replace_hash(read, "hash 2")
    repository.replace_hash(read, "hash 3")
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


def test_failures_are_stored_per_email_and_can_be_cleared(repository):
    repository.change_failures(EMAIL, lambda known: domain.record_failure(known, NOW))
    repository.change_failures(EMAIL, lambda known: domain.record_failure(known, NOW))
    assert repository.failures(EMAIL) == SignInFailures(2, NOW)
    assert repository.failures("unknown@example.org") is None
    repository.change_failures(EMAIL, lambda known: domain.clear_failures(known, NOW))
    assert repository.failures(EMAIL) is None


def test_a_change_of_failures_that_raises_changes_nothing(repository):
    repository.change_failures(EMAIL, lambda _: SignInFailures(FAILURE_LIMIT, NOW))
    with pytest.raises(domain.AccountThrottledError):
        repository.change_failures(EMAIL, lambda known: domain.clear_failures(known, NOW))
    assert repository.failures(EMAIL) == SignInFailures(FAILURE_LIMIT, NOW)


def test_only_old_failures_are_deleted(repository):
    second = timedelta(seconds=1)
    repository.change_failures("old@x.org", lambda _: SignInFailures(3, NOW - second))
    repository.change_failures("new@x.org", lambda _: SignInFailures(3, NOW))
    repository.delete_failures(before=NOW)
    assert repository.failures("old@x.org") is None
    assert repository.failures("new@x.org") == SignInFailures(3, NOW)


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


def outbox_of(engine):
    with engine.connect() as connection:
        return connection.execute(sa.select(outbox).order_by(outbox.c.position)).all()


@pytest.mark.integration
def test_new_and_updated_accounts_are_published_but_not_rejected_ones(engine):
    repository = PostgresUsersRepository(engine)
    repository.add(Account(MARIE, "hash"))
    repository.update(replace(MARIE, notifications_enabled=False, language=Language.EN))
    with pytest.raises(domain.EmailExistsError):
        repository.add(Account(build_user(), "hash"))
    events = outbox_of(engine)
    assert [(event.type, event.source, event.subject) for event in events] == [
        ("mamie_rosa.events.v1.UserCreated", "/mamie-rosa/users", MARIE.user_id),
        ("mamie_rosa.events.v1.UserUpdated", "/mamie-rosa/users", MARIE.user_id),
    ]
    assert events_pb2.UserCreated.FromString(events[0].data) == events_pb2.UserCreated(
        user_id=MARIE.user_id,
        email=MARIE.email,
        first_name="Marie",
        last_name="Petit",
        animal_type="cat",
        notifications_enabled=True,
        language="fr",
        version=1,
    )
    updated = events_pb2.UserUpdated.FromString(events[1].data)
    assert (updated.notifications_enabled, updated.language) == (False, "en")
    assert updated.version == 2


@pytest.mark.integration
def test_the_last_of_two_updates_has_the_highest_version_whatever_the_clocks(engine):
    ahead = PostgresUsersRepository(engine, clock=lambda: NOW + timedelta(seconds=90))
    ahead.add(Account(MARIE, "hash"))
    ahead.update(MARIE)
    PostgresUsersRepository(engine, clock=lambda: NOW).update(
        replace(MARIE, notifications_enabled=False)
    )
    *_, first, last = outbox_of(engine)
    assert first.time > last.time
    versions = [events_pb2.UserUpdated.FromString(event.data).version for event in (first, last)]
    assert versions == [2, 3]


@pytest.mark.integration
def test_a_new_administrator_is_published_once_as_an_update_however_often_it_is_seeded(engine):
    repository = PostgresUsersRepository(engine)
    for number in range(3):
        admin = build_user(email="admin@example.org", role=Role.ADMIN)
        repository.upsert_admin(Account(admin, f"hash {number}"))
    (event,) = outbox_of(engine)
    data = events_pb2.UserUpdated.FromString(event.data)
    assert (event.type, event.subject) == ("mamie_rosa.events.v1.UserUpdated", data.user_id)
    assert repository.find(data.user_id).email == data.email == "admin@example.org"


@pytest.mark.integration
def test_a_customer_who_becomes_the_administrator_is_not_published_again(engine):
    repository = PostgresUsersRepository(engine)
    repository.add(Account(MARIE, "hash 1"))
    repository.upsert_admin(Account(build_user(role=Role.ADMIN), "hash 2"))
    assert [event.type for event in outbox_of(engine)] == ["mamie_rosa.events.v1.UserCreated"]


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
    PostgresUsersRepository(engine).change_failures(EMAIL, lambda _: SignInFailures(1, NOW))
    with engine.connect() as connection:
        [row] = connection.execute(sa.select(sign_in_failures)).all()
    assert "marie" not in str(row)


@pytest.mark.integration
class TestUnderConcurrency:
    def test_one_of_concurrent_registrations_with_one_email_succeeds(self, engine):
        repository = PostgresUsersRepository(engine)

        def register(number):
            email = MARIE.email.upper() if number % 2 else MARIE.email
            try:
                repository.add(Account(build_user(email=email), f"hash {number}"))
            except domain.EmailExistsError:
                return 0
            return 1

        with ThreadPoolExecutor(8) as callers:
            assert sum(callers.map(register, range(16))) == 1
        assert len(outbox_of(engine)) == 1

    def test_concurrent_updates_have_versions_of_their_own(self, engine):
        repository = PostgresUsersRepository(engine)
        repository.add(Account(MARIE, "hash"))
        with ThreadPoolExecutor(8) as callers:
            list(callers.map(repository.update, [MARIE] * 16))
        versions = [events_pb2.UserUpdated.FromString(e.data).version for e in outbox_of(engine)]
        assert versions == list(range(1, 18))

    def test_concurrent_failures_are_all_counted_up_to_the_limit(self, engine):
        repository = PostgresUsersRepository(engine)

        def fail(_):
            try:
                repository.change_failures(EMAIL, lambda known: domain.record_failure(known, NOW))
            except domain.AccountThrottledError:
                return 0
            return 1

        with ThreadPoolExecutor(8) as guesses:
            assert sum(guesses.map(fail, range(3 * FAILURE_LIMIT))) == FAILURE_LIMIT

    def test_instances_that_start_together_create_one_key(self, engine):
        def start(_):
            keys = PostgresKeyRepository(engine)
            return KeyRotation(repository=keys, policy=POLICY).rotate_if_due()[0].kid

        with ThreadPoolExecutor(8) as instances:
            assert len(set(instances.map(start, range(8)))) == 1

"""What users publishes, and concurrent writers of its store."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from mamie_rosa.events.v1 import events_pb2

from services.common.languages import Language
from services.users import domain, throttling
from services.users.domain import Account, Role
from services.users.key_repository import PostgresKeyRepository
from services.users.keys import KeyRotation
from services.users.repository import PostgresUsersRepository
from services.users.schema import outbox
from services.users.tests.fakes import NOW, POLICY, build_user
from services.users.throttling import FAILURE_LIMIT, Throttle

pytestmark = pytest.mark.integration

MARIE = build_user()
THROTTLES = [Throttle("a", FAILURE_LIMIT), Throttle("b", 3 * FAILURE_LIMIT)]


def outbox_of(engine):
    with engine.connect() as connection:
        return connection.execute(sa.select(outbox).order_by(outbox.c.position)).all()


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


def test_a_new_administrator_is_published_once_as_an_update_however_often_it_is_seeded(engine):
    repository = PostgresUsersRepository(engine)
    for number in range(3):
        admin = build_user(email="admin@example.org", role=Role.ADMIN)
        repository.upsert_admin(Account(admin, f"hash {number}"))
    (event,) = outbox_of(engine)
    data = events_pb2.UserUpdated.FromString(event.data)
    assert (event.type, event.subject) == ("mamie_rosa.events.v1.UserUpdated", data.user_id)
    assert repository.find(data.user_id).email == data.email == "admin@example.org"


def test_a_customer_who_becomes_the_administrator_is_not_published_again(engine):
    repository = PostgresUsersRepository(engine)
    repository.add(Account(MARIE, "hash 1"))
    repository.upsert_admin(Account(build_user(role=Role.ADMIN), "hash 2"))
    assert [event.type for event in outbox_of(engine)] == ["mamie_rosa.events.v1.UserCreated"]


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

        def fail(number):
            keys = ["a", "b"] if number % 2 else ["b", "a"]
            try:
                repository.change_failures(
                    keys, lambda known: throttling.record(THROTTLES, known, NOW)
                )
            except domain.AccountThrottledError:
                return 0
            return 1

        with ThreadPoolExecutor(8) as guesses:
            assert sum(guesses.map(fail, range(3 * FAILURE_LIMIT))) == FAILURE_LIMIT

    def test_instances_share_the_key_of_known_devices(self, engine):
        keys = {PostgresKeyRepository(engine).device_key() for _ in range(2)}
        assert [len(key) for key in keys] == [32]

    def test_instances_that_start_together_create_one_key(self, engine):
        def start(_):
            keys = PostgresKeyRepository(engine)
            return KeyRotation(repository=keys, policy=POLICY).rotate_if_due()[0].kid

        with ThreadPoolExecutor(8) as instances:
            assert len(set(instances.map(start, range(8)))) == 1

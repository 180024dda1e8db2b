"""What users logs when its store fails: nothing about a person."""

from dataclasses import replace

import grpc
import pytest
import sqlalchemy as sa
import structlog

from services.common.rpc.testing import InMemoryServer
from services.common.tests.logs import logged
from services.users.domain import Account
from services.users.passwords import Passwords
from services.users.repository import PostgresUsersRepository
from services.users.tests.fakes import CountingHasher, build_user
from services.users.tests.test_servicer import PASSWORD, SERVICE, build_servicer, register

pytestmark = pytest.mark.integration

PERSONAL = ("marie", "petit", "argon2", "the hash", PASSWORD)


@pytest.fixture
def output():
    with logged("users") as lines:
        yield lines


def assert_nothing_personal(text):
    assert "exception" in text
    assert [word for word in PERSONAL if word in text] == []


def test_a_failing_registration_logs_nothing_about_the_person(engine, output):
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE users ADD CONSTRAINT broken CHECK (false)"))
    repository = PostgresUsersRepository(engine)
    servicer = build_servicer(repository, Passwords(hasher=CountingHasher()))
    answer = register(InMemoryServer(SERVICE, servicer))
    assert answer.code == grpc.StatusCode.INTERNAL
    assert_nothing_personal(output.getvalue().lower())


def test_a_statement_that_fails_logs_no_parameters(engine, output):
    account = Account(build_user(), "the hash")
    repository = PostgresUsersRepository(engine)
    repository.add(account)
    same_id = replace(account, user=replace(account.user, email="petit@example.org"))
    with pytest.raises(sa.exc.IntegrityError) as caught:
        repository.add(same_id)
    structlog.get_logger().error("call_crashed", exc_info=caught.value)
    assert_nothing_personal(output.getvalue().lower())

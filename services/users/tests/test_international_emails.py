"""An account whose email has an internationalised domain: one, however the domain is spelled."""

import grpc
import pytest
from google.rpc import error_details_pb2

from services.common.rpc.testing import ADMIN
from services.users.passwords import Passwords
from services.users.repository import PostgresUsersRepository
from services.users.tests.fakes import CountingHasher, InMemoryUsersRepository
from services.users.tests.test_servicer import build_server, get, login, register

TYPED = "Marie@exämple.fr"
STORED = "Marie@xn--exmple-cua.fr"
SPELLINGS = [
    TYPED,
    STORED,
    "marie@EXÄMPLE.FR",
    " marie@exa\u0308mple.fr ",
    "marie@exämple\u3002fr",
    "MARIE@XN--EXMPLE-CUA.FR",
]


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def repository(request):
    if request.param == "postgres":
        return PostgresUsersRepository(request.getfixturevalue("engine"))
    return InMemoryUsersRepository()


@pytest.fixture
def users(repository):
    return build_server(repository, Passwords(hasher=CountingHasher()))


def test_it_is_stored_in_ascii_and_shown_in_unicode(users, repository):
    user_id = register(users, email=TYPED).response.user_id
    assert repository.find(user_id).email == STORED
    assert get(users, user_id, ADMIN).response.email == TYPED


@pytest.mark.parametrize("first", [TYPED, STORED])
def test_it_registers_once_and_signs_in_by_any_spelling(users, first):
    user_id = register(users, email=first).response.user_id
    for email in SPELLINGS:
        assert register(users, email=email).reason == "EMAIL_EXISTS"
        assert login(users, email).response.user_id == user_id


@pytest.mark.parametrize(
    "email", ["marié@example.fr", "marié@exämple.fr", "\uff4darie@example.fr", "ä@b@example.fr"]
)
def test_characters_that_are_not_ascii_before_the_at_are_rejected_by_name(users, email):
    answer = register(users, email=email)
    assert answer.reason == "INVALID_FIELDS"
    violations = answer.detail(error_details_pb2.BadRequest).field_violations
    assert violations[0].field == "email"
    assert violations[0].description == "must have ASCII characters alone before the @"
    assert login(users, email).reason == "INVALID_CREDENTIALS"


@pytest.mark.parametrize(
    "email", ["marie@\u2603.net", "marie@a_ä.fr", "marie@ä", "marie\uff20exämple.fr"]
)
def test_a_domain_that_no_mail_can_go_to_is_rejected(users, email):
    answer = register(users, email=email)
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")

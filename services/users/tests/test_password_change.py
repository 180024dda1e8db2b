"""A customer changes the password, with the current one as proof."""

import grpc
import pytest
from mamie_rosa.users.v1 import users_pb2

from services.common.rpc.testing import ADMIN, ALICE, ANONYMOUS, BOB
from services.users.domain import Account
from services.users.passwords import Passwords
from services.users.tests.fakes import CountingHasher, InMemoryUsersRepository, build_user
from services.users.tests.test_servicer import ALICE_ID, PASSWORD, build_server, login
from services.users.throttling import FAILURE_LIMIT


@pytest.fixture
def repository():
    return InMemoryUsersRepository()


@pytest.fixture
def users(repository):
    return build_server(repository, Passwords(hasher=CountingHasher()))


@pytest.fixture
def alice(repository):
    user = build_user(user_id=ALICE_ID, email="alice@example.org")
    repository.add(Account(user, CountingHasher().hash(PASSWORD)))
    return user


def change_password(users, user_id, current, new="another long password", who=ALICE):
    request = users_pb2.ChangePasswordRequest(
        id=user_id, current_password=current, new_password=new
    )
    return users.call("ChangePassword", request, who)


def test_a_changed_password_signs_in_and_the_old_one_does_not(users, alice):
    assert change_password(users, ALICE_ID, PASSWORD).code is grpc.StatusCode.OK
    assert login(users, alice.email, "another long password").code is grpc.StatusCode.OK
    assert login(users, alice.email).reason == "INVALID_CREDENTIALS"


def test_a_password_is_not_changed_without_the_current_one(users, alice):
    assert change_password(users, ALICE_ID, "wrong").reason == "INVALID_CREDENTIALS"
    assert login(users, alice.email).code is grpc.StatusCode.OK


def test_guessing_the_current_password_is_throttled_as_at_sign_in(users, alice):
    for _ in range(FAILURE_LIMIT):
        change_password(users, ALICE_ID, "wrong")
    assert change_password(users, ALICE_ID, PASSWORD).reason == "ACCOUNT_THROTTLED"


@pytest.mark.parametrize(
    ("who", "reason"), [(ANONYMOUS, "NOT_SIGNED_IN"), (BOB, "NOT_YOURS"), (ADMIN, "NOT_YOURS")]
)
def test_nobody_else_changes_a_password(users, alice, who, reason):
    assert change_password(users, ALICE_ID, PASSWORD, who=who).reason == reason


def test_a_short_new_password_is_rejected(users, alice):
    assert change_password(users, ALICE_ID, PASSWORD, new="short").reason == "INVALID_FIELDS"

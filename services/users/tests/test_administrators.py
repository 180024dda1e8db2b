"""What the answers of UsersService say to and about administrators."""

import pytest
from mamie_rosa.users.v1 import users_pb2

from services.common.rpc.testing import ADMIN, ALICE, ALICE_ID, ANONYMOUS
from services.users.domain import Account, Role
from services.users.passwords import Passwords
from services.users.tests.fakes import CountingHasher, InMemoryUsersRepository, build_user
from services.users.tests.test_servicer import PASSWORD, build_server, login


@pytest.fixture
def users():
    repository = InMemoryUsersRepository()
    for user_id, role in ((ALICE_ID, Role.CUSTOMER), ("owner", Role.ADMIN)):
        user = build_user(user_id=user_id, email=f"{role.value}@example.org", role=role)
        repository.add(Account(user, CountingHasher().hash(PASSWORD)))
    return build_server(repository, Passwords(hasher=CountingHasher()))


@pytest.mark.parametrize("role", ["customer", "admin"])
def test_a_sign_in_says_which_role_the_user_has(users, role):
    assert login(users, f"{role}@example.org").response.role == role


def test_an_administrator_finds_an_account_by_its_email(users):
    def find(email, caller):
        return users.call("FindUser", users_pb2.FindUserRequest(email=email), caller)

    assert find("Customer@example.org", ADMIN).response.user_id == ALICE_ID
    assert find("nobody@example.org", ADMIN).reason == "USER_NOT_FOUND"
    assert find("customer@example.org", ALICE).reason == "ADMIN_ONLY"
    assert find("customer@example.org", ANONYMOUS).reason == "NOT_SIGNED_IN"

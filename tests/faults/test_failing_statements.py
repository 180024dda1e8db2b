"""Statements that PostgreSQL rejects: what the customer is answered, and what the logs have."""

import uuid

import pytest

from tests.faults.faults import faulty_constraint, read_only
from tests.support.shop import PASSWORD, error_of
from tests.support.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.local]

RECOVERY_SECONDS = 10


@pytest.fixture
def account():
    """Return a new account, in which everything personal has the same unique word."""
    word = f"secret{uuid.uuid4().hex}"
    return {
        "email": f"{word}@customers.example",
        "password": PASSWORD,
        "firstName": word,
        "lastName": word,
    }


def logs_with(stack, word):
    """Return the lines of all logs that have a word."""
    files = (stack.data / "logs").glob("*.log")
    return [line for file in files for line in file.read_text().splitlines() if word in line]


def register(shop, account):
    return shop.visitor.post("/api/users/register", account)


def test_a_rejected_registration_leaves_nothing_personal_in_any_log(
    shop, stack, users_store, account
):
    with faulty_constraint(users_store, "users", "first_name NOT LIKE 'secret%'"):
        assert error_of(register(shop, account)) == (500, "INTERNAL")
    assert logs_with(stack, account["firstName"]) == []
    assert logs_with(stack, "$argon2") == []


def test_a_store_that_became_read_only_is_unavailable_and_is_used_again_afterwards(
    shop, stack, account
):
    with read_only(stack, "users"):
        answers = [error_of(register(shop, account)) for _ in range(10)]
        assert set(answers) == {(503, "STORE_UNAVAILABLE")}
    eventually(lambda: register(shop, account).status_code == 201, seconds=RECOVERY_SECONDS)
    assert logs_with(stack, account["firstName"]) == []

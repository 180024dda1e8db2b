"""Registration, sign-in and profiles."""

import uuid

import pytest

from tests.support.shop import PASSWORD, error_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e


def test_an_email_registers_once_regardless_of_case(shop):
    email = f"{uuid.uuid4().hex}@Customers.example"
    first = shop.register(email=email)
    assert (first.expires_in, bool(first.user_id)) == (3600, True)
    again = {"email": email.upper(), "password": PASSWORD, "firstName": "A", "lastName": "B"}
    assert error_of(shop.visitor.post("/api/users/register", again)) == (409, "EMAIL_EXISTS")
    assert shop.sign_in(email.upper(), PASSWORD).user_id == first.user_id


def test_an_email_with_an_internationalised_domain_is_one_account_in_all_spellings(shop, stack):
    name = uuid.uuid4().hex
    typed, in_ascii = f"{name}@exämple.example", f"{name}@xn--exmple-cua.example"
    first = shop.register(email=typed)
    for email in (typed, in_ascii, f"{name.upper()}@EXA\u0308MPLE.example"):
        again = {"email": email, "password": PASSWORD, "firstName": "A", "lastName": "B"}
        assert error_of(shop.visitor.post("/api/users/register", again)) == (409, "EMAIL_EXISTS")
        assert shop.sign_in(email, PASSWORD).user_id == first.user_id
    assert first.get(f"/api/users/{first.user_id}").json()["email"] == typed
    eventually(lambda: stack.mails_to(in_ascii))


def test_characters_that_are_not_ascii_before_the_at_are_rejected(shop):
    account = {"email": "renée@customers.example", "password": PASSWORD}
    answer = shop.visitor.post("/api/users/register", account | {"firstName": "A", "lastName": "B"})
    assert error_of(answer) == (400, "INVALID_FIELDS")
    assert "ASCII characters alone before the @" in answer.text


def test_an_owner_reads_and_changes_their_profile(shop):
    customer = shop.register(animalType="cat")
    path = f"/api/users/{customer.user_id}"
    profile = customer.get(path).json()
    assert profile["preferences"] == {"animalType": "cat", "notificationsEnabled": True}
    assert profile["createdAt"].endswith("Z")
    changed = {
        "firstName": "Alicia",
        "lastName": "Martin",
        "preferences": {"animalType": "dog", "notificationsEnabled": False},
    }
    assert customer.put(path, changed).status_code == 200
    after = shop.admin.get(path).json()
    assert (after["firstName"], after["preferences"]) == ("Alicia", changed["preferences"])
    assert after["email"] == customer.email


def test_an_unknown_email_and_a_wrong_password_get_the_same_error(shop, customer):
    answers = [
        shop.visitor.post("/api/users/login", {"email": email, "password": "wrong password"})
        for email in (customer.email, f"{uuid.uuid4().hex}@nowhere.example")
    ]
    assert [error_of(answer) for answer in answers] == [(401, "INVALID_CREDENTIALS")] * 2
    known, unknown = (answer.json() for answer in answers)
    assert known == unknown


def test_the_key_set_has_public_keys_only(shop):
    (key, *_) = shop.visitor.get("/.well-known/jwks.json").json()["keys"]
    assert (key["kty"], key["crv"], key["use"], "d" in key) == ("EC", "P-256", "sig", False)

"""Accounts: in, out, and what is known about whom."""

import uuid

import pytest

from tests.support.shop import PASSWORD, problem

pytestmark = pytest.mark.e2e


def test_an_account_is_made_once_whatever_the_case_of_its_email(shop):
    email = f"{uuid.uuid4().hex}@Clients.example"
    first = shop.register(email=email)
    assert (first.expires_in, bool(first.user_id)) == (3600, True)
    again = {"email": email.upper(), "password": PASSWORD, "firstName": "A", "lastName": "B"}
    assert problem(shop.visitor.post("/api/users/register", again)) == (409, "EMAIL_EXISTS")
    assert shop.sign_in(email.upper(), PASSWORD).user_id == first.user_id


def test_a_profile_is_shown_and_changed_by_its_owner(shop):
    alice = shop.register(animalType="cat")
    path = f"/api/users/{alice.user_id}"
    profile = alice.get(path).json()
    assert profile["preferences"] == {"animalType": "cat", "notificationsEnabled": True}
    assert profile["createdAt"].endswith("Z")
    changed = {
        "firstName": "Alicia",
        "lastName": "Martin",
        "preferences": {"animalType": "dog", "notificationsEnabled": False},
    }
    assert alice.put(path, changed).status_code == 200
    after = shop.admin.get(path).json()
    assert (after["firstName"], after["preferences"]) == ("Alicia", changed["preferences"])
    assert after["email"] == alice.email


def test_an_unknown_email_and_a_wrong_password_get_the_same_answer(shop, alice):
    answers = [
        shop.visitor.post("/api/users/login", {"email": email, "password": "wrong password"})
        for email in (alice.email, f"{uuid.uuid4().hex}@nowhere.example")
    ]
    assert [problem(answer) for answer in answers] == [(401, "INVALID_CREDENTIALS")] * 2
    known, unknown = (answer.json() for answer in answers)
    assert known == unknown


def test_the_public_keys_are_public(shop):
    (key, *_) = shop.visitor.get("/.well-known/jwks.json").json()["keys"]
    assert (key["kty"], key["crv"], key["use"], "d" in key) == ("EC", "P-256", "sig", False)

"""The answers of UsersService, and who may have them."""

import json

import grpc
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from mamie_rosa.users.v1 import users_pb2

from services.common.languages import Language
from services.common.rpc.testing import ADMIN, ALICE, ALICE_ID, ANONYMOUS, BOB, InMemoryServer
from services.users.devices import KnownDevices
from services.users.domain import Account, Role
from services.users.keys import Keyring, KeyRotation
from services.users.passwords import Passwords
from services.users.servicer import UsersServicer
from services.users.sign_in import SignIn
from services.users.tests.fakes import (
    NOW,
    POLICY,
    CountingHasher,
    InMemoryKeyRepository,
    InMemoryUsersRepository,
    ManualClock,
    build_user,
)
from services.users.throttling import FAILURE_LIMIT
from services.users.tokens import TokenIssuer

SERVICE = users_pb2.DESCRIPTOR.services_by_name["UsersService"]
PASSWORD = "correct horse"
REGISTER = {
    "email": "Marie@Example.org",
    "password": PASSWORD,
    "first_name": "Marie",
    "last_name": "Petit",
    "animal_type": "cat",
}


@pytest.fixture
def repository():
    return InMemoryUsersRepository()


@pytest.fixture
def users(repository):
    return build_server(repository, Passwords(hasher=CountingHasher()))


def build_server(repository, passwords):
    return InMemoryServer(SERVICE, build_servicer(repository, passwords))


def build_servicer(repository, passwords):
    clock, keys = ManualClock(), InMemoryKeyRepository()
    rotation = KeyRotation(repository=keys, policy=POLICY, clock=clock)
    keyring = Keyring(repository=keys, rotation=rotation, clock=clock, monotonic=clock.monotonic)
    devices = KnownDevices(load_key=keys.device_key, clock=clock)
    return UsersServicer(
        repository=repository,
        passwords=passwords,
        sign_in=SignIn(repository=repository, passwords=passwords, devices=devices, clock=clock),
        devices=devices,
        keyring=keyring,
        tokens=TokenIssuer(keyring=keyring, clock=clock),
        clock=clock,
    )


@pytest.fixture
def alice(repository):
    user = build_user(user_id=ALICE_ID, email="alice@example.org", notifications_enabled=False)
    repository.add(Account(user, CountingHasher().hash(PASSWORD)))
    return user


def register(users, headers=None, **changes):
    request = users_pb2.RegisterUserRequest(**REGISTER | changes)
    return users.call("RegisterUser", request, headers)


def login(users, email, password=PASSWORD, address="", device_token=""):
    request = users_pb2.LoginUserRequest(email=email, password=password, device_token=device_token)
    return users.call("LoginUser", request, {"x-client-address": address})


def get(users, user_id, who):
    return users.call("GetUser", users_pb2.GetUserRequest(id=user_id), who)


def update(users, user_id, who, **preferences):
    request = users_pb2.UpdateUserRequest(
        id=user_id,
        first_name="Alicia",
        last_name="Grand",
        preferences=users_pb2.Preferences(**preferences),
    )
    return users.call("UpdateUser", request, who)


def read_token(users, token):
    keys = users.call("GetJwks", users_pb2.GetJwksRequest()).response
    return jwt.decode(token, KeySet.import_key_set(json.loads(keys.data)), algorithms=["ES256"])


def test_registering_creates_a_customer_and_signs_them_in(users):
    answer = register(users)
    assert (answer.code, answer.http) == (grpc.StatusCode.OK, 201)
    claims = read_token(users, answer.response.token).claims
    assert (claims["sub"], claims["role"]) == (answer.response.user_id, "customer")
    assert answer.response.expires_in == 3600


def test_a_new_profile_reads_as_it_was_given(users):
    user_id = register(users).response.user_id
    user = get(users, user_id, ADMIN).response
    assert (user.email, user.first_name, user.last_name) == ("Marie@Example.org", "Marie", "Petit")
    assert (user.preferences.animal_type, user.preferences.notifications_enabled) == ("cat", True)
    assert user.created_at.ToDatetime(tzinfo=NOW.tzinfo) == NOW


def test_an_email_is_registered_once_whatever_its_case(users):
    register(users)
    answer = register(users, email="mARIE@eXAMPLE.ORG")
    assert (answer.code, answer.reason) == (grpc.StatusCode.ALREADY_EXISTS, "EMAIL_EXISTS")
    assert answer.http is None


@pytest.mark.parametrize(
    "field",
    [
        {"email": "not an email"},
        {"email": "marie@localhost"},
        {"email": "ma rie@example.org"},
        {"email": "marie@@example.org"},
        {"first_name": " \t\u00a0"},
        {"email": f"{'x' * 250}@y.org"},
        {"password": "too short"},
        {"password": "x" * 129},
        {"first_name": ""},
        {"last_name": "x" * 101},
        {"animal_type": "x" * 51},
    ],
)
def test_an_invalid_registration_is_rejected(users, field):
    answer = register(users, **field)
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")


@pytest.mark.parametrize("field", ["email", "first_name", "last_name", "animal_type"])
def test_nul_is_rejected_and_nothing_is_written(users, repository, field):
    answer = register(users, **{field: "a\0@example.org"})
    assert answer.code == grpc.StatusCode.INVALID_ARGUMENT
    assert login(users, "a\0@example.org").code == grpc.StatusCode.INVALID_ARGUMENT
    assert repository.find_by_email("marie@example.org") is None


def test_what_is_typed_with_blanks_and_accents_is_stored_normalised(users, repository):
    answer = register(users, email=" Marie@Example.org ", first_name="Rene\u0301e ")
    assert repository.find(answer.response.user_id).first_name == "Ren\u00e9e"
    assert login(users, "marie@example.org ").code == grpc.StatusCode.OK


def test_signing_in_answers_a_token_of_that_user(users, alice):
    answer = login(users, "ALICE@example.org").response
    assert answer.user_id == ALICE_ID
    assert read_token(users, answer.token).claims["sub"] == ALICE_ID


def test_a_token_has_the_role_of_the_account(users, repository):
    admin = build_user(role=Role.ADMIN)
    repository.add(Account(admin, CountingHasher().hash(PASSWORD)))
    token = login(users, admin.email).response.token
    assert read_token(users, token).claims["role"] == "admin"


def test_a_wrong_password_and_an_unknown_email_get_the_same_answer(users, alice):
    wrong = login(users, "alice@example.org", "something else")
    unknown = login(users, "unknown@example.org", "something else")
    assert (wrong.code, wrong.reason) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_CREDENTIALS")
    assert (wrong.code, wrong.status) == (unknown.code, unknown.status)


@pytest.mark.parametrize("email", ["alice@example.org", "unknown@example.org"])
def test_too_many_failures_answer_when_to_retry(users, alice, email):
    for _ in range(FAILURE_LIMIT):
        assert login(users, email, "something else").reason == "INVALID_CREDENTIALS"
    answer = login(users, email)
    assert (answer.code, answer.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "ACCOUNT_THROTTLED",
    )
    assert answer.facts == {"retryAfterSeconds": "900"}


def test_an_attacker_locks_out_neither_other_networks_nor_known_devices(users):
    token = register(users).response.device_token
    email = REGISTER["email"]
    for _ in range(FAILURE_LIMIT):
        login(users, email, "something else", address="198.51.100.1")
    assert login(users, email, address="198.51.100.2").reason == "ACCOUNT_THROTTLED"
    assert login(users, email, address="192.0.2.1").response.device_token
    assert login(users, email, address="198.51.100.1", device_token=token).response.token


def test_too_many_concurrent_sign_ins_are_rejected(repository, alice):
    no_capacity = Passwords(hasher=CountingHasher(), concurrency=0, queue=0)
    answer = login(build_server(repository, no_capacity), "alice@example.org")
    assert (answer.code, answer.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_SIGN_INS",
    )


@pytest.mark.parametrize("who", [ALICE, ADMIN])
def test_a_profile_is_for_its_owner_and_administrators(users, alice, who):
    assert get(users, ALICE_ID, who).response.email == "alice@example.org"
    assert update(users, ALICE_ID, who).response.first_name == "Alicia"


@pytest.mark.parametrize("method", [get, update])
@pytest.mark.parametrize("user_id", [ALICE_ID, "44444444-4444-4444-8444-444444444444", "login"])
@pytest.mark.parametrize(
    ("who", "code"),
    [(ANONYMOUS, grpc.StatusCode.UNAUTHENTICATED), (BOB, grpc.StatusCode.PERMISSION_DENIED)],
)
def test_a_stranger_does_not_learn_whether_a_profile_exists(
    users, alice, method, user_id, who, code
):
    assert method(users, user_id, who).code == code


@pytest.mark.parametrize("method", [get, update])
@pytest.mark.parametrize(
    "user_id", ["44444444-4444-4444-8444-444444444444", "login", f"urn:uuid:{ALICE_ID}"]
)
def test_a_profile_that_does_not_exist_is_not_found(users, alice, method, user_id):
    answer = method(users, user_id, ADMIN)
    assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND")


def test_an_update_replaces_name_and_preferences_and_nothing_else(users, repository, alice):
    update(users, ALICE_ID, ALICE, animal_type="dog", notifications_enabled=True)
    user = get(users, ALICE_ID, ALICE).response
    assert (user.first_name, user.last_name, user.email) == ("Alicia", "Grand", alice.email)
    assert (user.preferences.animal_type, user.preferences.notifications_enabled) == ("dog", True)


@pytest.mark.parametrize(
    ("preferences", "accepted"),
    [
        ({}, True),
        ({"notifications_enabled": True}, True),
        ({"notifications_enabled": False}, False),
    ],
)
def test_notifications_are_accepted_unless_declined(users, alice, preferences, accepted):
    user = update(users, ALICE_ID, ALICE, **preferences).response
    assert user.preferences.notifications_enabled is accepted


ENGLISH = {"accept-language": "en-GB,en;q=0.9,fr;q=0.5"}


@pytest.mark.parametrize(("headers", "language"), [(ENGLISH, "en"), (ANONYMOUS, "fr")])
def test_a_new_customer_has_the_browsers_language_or_french(users, repository, headers, language):
    user_id = register(users, headers).response.user_id
    assert repository.find(user_id).language == language


def test_an_update_changes_the_language_to_that_of_the_browser(users, repository, alice):
    update(users, ALICE_ID, ALICE | ENGLISH)
    assert repository.find(ALICE_ID).language == "en"


def test_an_update_by_an_administrator_keeps_the_language(users, repository, alice):
    update(users, ALICE_ID, ADMIN | ENGLISH)
    assert repository.find(ALICE_ID).language == "fr"


def test_an_update_without_a_known_language_keeps_the_language(users, repository):
    repository.add(Account(build_user(user_id=ALICE_ID, language=Language.EN), ""))
    for headers in ({}, {"accept-language": "*"}, {"accept-language": "de"}):
        update(users, ALICE_ID, ALICE | headers)
        assert repository.find(ALICE_ID).language == "en"


def test_an_update_without_preferences_is_rejected(users, alice):
    request = users_pb2.UpdateUserRequest(id=ALICE_ID, first_name="A", last_name="B")
    assert users.call("UpdateUser", request, ALICE).reason == "INVALID_FIELDS"


def test_public_keys_are_answered_as_plain_json(users):
    body = users.call("GetJwks", users_pb2.GetJwksRequest()).response
    assert body.content_type == "application/json"
    [key] = json.loads(body.data)["keys"]
    assert "d" not in key

"""The check of the logs itself: it finds what is planted, and nothing in usual lines."""

import pytest

from tests.support.log_privacy import PRIVATE, find_private_data

USUAL = """
{"event": "call_answered", "method": "/mamie_rosa.users.v1.UsersService/LoginUser", "outcome": "OK"}
{"event": "event_processed", "event_id": "c0ffee", "type": "mamie_rosa.events.v1.UserCreated"}
2026-01-01 [info] <0.1.0> node : mamie@localhost.example
"""
PLANTED = [
    ("an email", "DETAIL:  Key (email)=(someone@customers.example) already exists."),
    ("a password hash", "'password_hash': '$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA'"),
    ("a password", '{"password": "a long enough password"}'),
    ("a token", "authorization: Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"),
    ("a private key", "-----BEGIN PRIVATE KEY-----"),
    ("a name", "{'first_name': 'Alice'}"),
    ("an address", '"line1": "1 rue des Lilas"'),
    ("a card", "payment_token: 'tok_slow'"),
]


def test_usual_lines_have_no_private_data(tmp_path):
    (tmp_path / "users-1.log").write_text(USUAL)
    assert list(find_private_data(tmp_path)) == []


@pytest.mark.parametrize(("kind", "line"), PLANTED)
def test_planted_private_data_is_found(tmp_path, kind, line):
    (tmp_path / "users-1.log").write_text(f"{USUAL}{line}\n")
    (found,) = find_private_data(tmp_path)
    assert found == f"users-1.log has {kind}, 1 times: {line}"


def test_each_kind_of_private_data_is_proved_to_be_found():
    assert {kind for kind, _ in PLANTED} == set(PRIVATE)

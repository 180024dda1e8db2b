"""Secrets are private and permanent."""

import stat

import pytest

from scripts.stack.credentials import Secrets


@pytest.fixture
def file(tmp_path):
    return tmp_path / "secrets.json"


def test_only_the_owner_reads_the_file(file):
    Secrets(file).get("postgres")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_secret_is_the_same_after_a_restart(file):
    first = Secrets(file).get("postgres")
    assert Secrets(file).get("postgres") == first


def test_secrets_are_long_and_differ(file):
    secrets = Secrets(file)
    made = {secrets.get(name) for name in ("a", "b", "c")}
    assert len(made) == 3
    assert min(map(len, made)) >= 24


def test_a_secret_is_new_once(file):
    secrets = Secrets(file)
    secrets.get("admin")
    again = Secrets(file)
    again.get("admin")
    assert (secrets.is_new("admin"), again.is_new("admin")) == (True, False)


def test_a_chosen_secret_is_stored_and_not_new(file):
    secrets = Secrets(file)
    secrets.set("admin", "chosen")
    assert (secrets.get("admin"), secrets.is_new("admin")) == ("chosen", False)
    assert Secrets(file).get("admin") == "chosen"

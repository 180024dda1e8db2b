"""Bad settings end the process and are named."""

from dataclasses import replace

import pytest

from services.users.config import read_config, require_admin_password


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv("MAMIE_INSTANCE", "users-1")
    monkeypatch.setenv("MAMIE_STORE_URL", "postgresql://127.0.0.1/users")
    monkeypatch.delenv("MAMIE_ADMIN_PASSWORD", raising=False)
    return monkeypatch


def test_only_the_store_has_to_be_configured_to_serve(environment):
    config = read_config()
    assert (config.hash_concurrency, config.keys.lifetime.days) == (2, 30)
    assert config.keys.lead_time.total_seconds() == 600


def test_a_bad_variable_is_named(environment, capsys):
    environment.setenv("MAMIE_HASH_CONCURRENCY", "none")
    with pytest.raises(SystemExit) as caught:
        read_config()
    assert caught.value.code == 2
    assert "MAMIE_HASH_CONCURRENCY" in capsys.readouterr().err


def test_the_administrators_email_is_in_ascii(environment):
    environment.setenv("MAMIE_ADMIN_EMAIL", "rosa@\u00e9picerie.example")
    assert read_config().admin_email == "rosa@xn--picerie-9xa.example"


@pytest.mark.parametrize("email", ["rosa", "ros\u00e9@example.org", "rosa@\u2603.example"])
def test_an_administrators_email_that_no_mail_can_go_to_is_named(environment, capsys, email):
    environment.setenv("MAMIE_ADMIN_EMAIL", email)
    with pytest.raises(SystemExit):
        read_config()
    assert "MAMIE_ADMIN_EMAIL" in capsys.readouterr().err


@pytest.mark.parametrize("password", ["", "too short", "x" * 129])
def test_an_admin_password_of_invalid_length_ends_the_process(environment, capsys, password):
    config = replace(read_config(), admin_password=password)
    with pytest.raises(SystemExit) as caught:
        require_admin_password(config)
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert "MAMIE_ADMIN_PASSWORD" in message
    assert message.count("\n") == 1

"""Bad settings stop the process, by name."""

from dataclasses import replace

import pytest

from services.users.config import read_config, require_admin_password


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv("MAMIE_INSTANCE", "users-1")
    monkeypatch.setenv("MAMIE_STORE_URL", "postgresql://127.0.0.1/users")
    monkeypatch.delenv("MAMIE_ADMIN_PASSWORD", raising=False)
    return monkeypatch


def test_the_store_alone_is_enough_to_serve(environment):
    config = read_config()
    assert (config.hash_concurrency, config.keys.life.days) == (2, 30)
    assert config.keys.lead.total_seconds() == 600


def test_a_bad_variable_is_named(environment, capsys):
    environment.setenv("MAMIE_HASH_CONCURRENCY", "none")
    with pytest.raises(SystemExit) as caught:
        read_config()
    assert caught.value.code == 2
    assert "MAMIE_HASH_CONCURRENCY" in capsys.readouterr().err


@pytest.mark.parametrize("password", ["", "too short", "x" * 129])
def test_a_password_that_nobody_could_sign_in_with_is_named(environment, capsys, password):
    config = replace(read_config(), admin_password=password)
    with pytest.raises(SystemExit) as caught:
        require_admin_password(config)
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert "MAMIE_ADMIN_PASSWORD" in told
    assert told.count("\n") == 1

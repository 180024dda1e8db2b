"""The settings: defaults, and the errors that name a bad variable."""

from datetime import timedelta

import pytest

from services.notifications.config import read_config


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv("MAMIE_INSTANCE", "notifications-1")
    monkeypatch.setenv("MAMIE_STORE_URL", "postgresql://127.0.0.1/notifications")
    monkeypatch.setenv("MAMIE_SMTP_URL", "smtp://127.0.0.1:2525")
    return monkeypatch


def test_a_store_and_a_mail_server_are_enough(environment):
    config = read_config()
    assert (config.smtp.port, config.sender.addr_spec) == (2525, "bonjour@mamie-rosa.example")
    assert (config.admin_email, config.admin_language) == ("admin@mamie-rosa.example", "en")
    assert (config.retry.max_attempts, config.lease) == (6, timedelta(seconds=60))
    assert sum(config.retry.delays, timedelta()) == timedelta(seconds=756)


def test_addresses_are_in_ascii(environment):
    environment.setenv("MAMIE_MAIL_FROM", "Rosé <rosa@épicerie.example>")
    environment.setenv("MAMIE_ADMIN_EMAIL", "rosa@épicerie.example")
    config = read_config()
    assert config.sender.addr_spec == config.admin_email == "rosa@xn--picerie-9xa.example"


def test_links_lead_to_the_address_of_the_shop(environment):
    assert read_config().shop_url == "http://127.0.0.1:8080"
    environment.setenv("MAMIE_SHOP_ADDRESS", "https://shop.example/")
    assert read_config().shop_url == "https://shop.example"


def test_retry_delays_can_be_set(environment):
    environment.setenv("MAMIE_SEND_RETRY_DELAYS_SECONDS", "0.1,2")
    assert read_config().retry.delays == [timedelta(seconds=0.1), timedelta(seconds=2)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SMTP_URL", "http://rosa:secret@mail.example"),
        ("MAIL_FROM", "nobody"),
        ("MAIL_FROM", "Rosé <rosé@example.org>"),
        ("ADMIN_EMAIL", "nobody"),
        ("ADMIN_LANGUAGE", "de"),
        ("SHOP_ADDRESS", "shop.example"),
        ("SHOP_ADDRESS", "https://shop.example/?secret=1"),
        ("SEND_MAX_ATTEMPTS", "0"),
        ("SEND_RETRY_DELAYS_SECONDS", "soon"),
        ("SEND_RETRY_DELAYS_SECONDS", ""),
        ("SEND_RETRY_DELAYS_SECONDS", "-1"),
    ],
)
def test_a_bad_variable_is_named_without_its_secret(environment, capsys, name, value):
    environment.setenv(f"MAMIE_{name}", value)
    with pytest.raises(SystemExit) as caught:
        read_config()
    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert f"MAMIE_{name}" in error
    assert "secret" not in error

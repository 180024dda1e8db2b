"""The settings: defaults, and the errors that name a bad variable."""

import pytest

from services.storefront.config import read_config


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv("MAMIE_INSTANCE", "storefront-1")
    monkeypatch.delenv("MAMIE_PART_TIMEOUT_SECONDS", raising=False)
    return monkeypatch


def test_the_instance_is_the_only_required_setting(environment):
    assert read_config().part_timeout_seconds == 0.8


def test_ops_asks_servers_that_are_urls(environment, capsys):
    assert (read_config().prometheus_url, read_config().trace_store_url) == ("", "")
    environment.setenv("MAMIE_PROMETHEUS_URL", "http://prometheus:9090/")
    assert read_config().prometheus_url == "http://prometheus:9090"
    environment.setenv("MAMIE_PROMETHEUS_URL", "prometheus:9090")
    with pytest.raises(SystemExit):
        read_config()
    assert "MAMIE_PROMETHEUS_URL" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["soon", "0", "5", "nan"])
def test_a_bad_variable_is_named(environment, capsys, seconds):
    environment.setenv("MAMIE_PART_TIMEOUT_SECONDS", seconds)
    with pytest.raises(SystemExit) as caught:
        read_config()
    assert caught.value.code == 2
    assert "MAMIE_PART_TIMEOUT_SECONDS" in capsys.readouterr().err

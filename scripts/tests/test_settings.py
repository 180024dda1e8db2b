"""The settings of the local stack, their defaults and their validation."""

import os

import pytest

from scripts.stack.settings import DEFAULT_DATA, read_settings


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Return a function that sets a MAMIE_ variable; none is set before."""
    for name in [name for name in os.environ if name.startswith("MAMIE_")]:
        monkeypatch.delenv(name)
    return lambda name, value: monkeypatch.setenv(f"MAMIE_{name}", value)


def test_the_default_ports():
    settings = read_settings()
    assert (settings.http_port, settings.https_port, settings.envoy_admin_port) == (
        8080,
        8443,
        9901,
    )
    assert (settings.consul_port, settings.rate_limit_per_minute) == (8500, 100)
    assert (settings.free_ports, settings.urls) == (False, {})


def test_a_stack_beside_the_first_takes_free_ports(tmp_path):
    assert read_settings(tmp_path).free_ports


def test_the_default_data_directory_is_recognized_as_a_relative_path(monkeypatch):
    monkeypatch.chdir(DEFAULT_DATA.parent)
    assert not read_settings(DEFAULT_DATA.relative_to(DEFAULT_DATA.parent)).free_ports


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PORT", "0"),
        ("HTTPS_PORT", "65536"),
        ("CONSUL_PORT", "eight"),
        ("RATE_LIMIT_PER_MINUTE", "0"),
        ("TRUSTED_PROXY_HOPS", "-1"),
        ("TRACE_PERCENT", "101"),
        ("TRACE_PERCENT", "some"),
    ],
)
def test_a_bad_variable_ends_the_process_and_is_named_in_one_line(environment, capsys, name, value):
    environment(name, value)
    with pytest.raises(SystemExit) as caught:
        read_settings()
    printed = capsys.readouterr().err
    assert caught.value.code == 2
    assert f"MAMIE_{name}" in printed
    assert printed.count("\n") == 1


def test_a_server_is_replaced_by_its_url_unless_that_is_empty(environment):
    environment("POSTGRES_URL", "postgresql://db/x")
    environment("REDIS_URL", "")
    assert read_settings().urls == {"postgres": "postgresql://db/x"}

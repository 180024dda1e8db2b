"""Tokens of known devices."""

import pytest

from services.users.devices import DEVICE_LIFETIME, KnownDevices
from services.users.tests.fakes import ManualClock

EMAIL = "marie@example.org"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def devices(clock):
    return KnownDevices(load_key=lambda: b"key", clock=clock)


def test_a_device_is_known_to_every_instance_for_its_email_alone(devices, clock):
    token = devices.issue(EMAIL)
    again = KnownDevices(load_key=lambda: b"key", clock=clock)
    assert again.identify(token, EMAIL)
    assert again.identify(token, "jean@example.org") == ""


def test_each_sign_in_makes_a_device_of_its_own(devices):
    ids = {devices.identify(devices.issue(EMAIL), EMAIL) for _ in range(2)}
    assert len(ids) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda token: "",
        lambda token: ".",
        lambda token: "a.b.c",
        lambda token: token[:-1],
        lambda token: "x" + token,
        lambda token: token + "\u00e9",
        lambda token: token.replace(".", ".9", 1),
    ],
)
def test_a_forged_token_is_of_no_device(devices, change):
    assert devices.identify(change(devices.issue(EMAIL)), EMAIL) == ""


def test_a_token_of_another_key_is_of_no_device(devices, clock):
    other = KnownDevices(load_key=lambda: b"another key", clock=clock)
    assert devices.identify(other.issue(EMAIL), EMAIL) == ""


def test_an_old_token_is_of_no_device(devices, clock):
    token = devices.issue(EMAIL)
    clock.now += DEVICE_LIFETIME
    assert devices.identify(token, EMAIL) == ""


def test_a_token_does_not_show_the_email(devices):
    assert "marie" not in devices.issue(EMAIL)

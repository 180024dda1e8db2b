"""LISTEN and NOTIFY on a real PostgreSQL: what a subscriber hears, and when."""

import time

import pytest
import sqlalchemy as sa

from services.common.storage.listener import Listener, Subscriber
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

END_LISTENER = sa.text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


class Recorder(Subscriber):
    """Records what it hears."""

    def __init__(self):
        self.heard = []
        self.confirmed_at = 0.0

    def connected(self):
        self.heard.append("connected")

    def changed(self, names):
        self.heard.extend(names)

    def confirmed(self, at):
        self.confirmed_at = at

    def disconnected(self):
        self.heard.append("disconnected")


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def listener(postgres_url, recorder):
    listener = Listener(url=postgres_url, channel="changes", subscriber=recorder)
    listener.start()
    eventually(lambda: recorder.confirmed_at)
    yield listener
    listener.stop()


def notify(engine, *names):
    with engine.begin() as connection:
        for name in names:
            connection.execute(sa.select(sa.func.pg_notify("changes", name)))


def test_what_is_notified_is_heard_in_order(engine, listener, recorder):
    notify(engine, "a", "b")
    notify(engine, "c")
    eventually(lambda: recorder.heard == ["connected", "a", "b", "c"])


def test_a_silent_connection_is_confirmed_again_and_again(listener, recorder):
    first = recorder.confirmed_at
    eventually(lambda: recorder.confirmed_at > first)
    assert recorder.confirmed_at <= time.monotonic()


def test_a_session_that_ends_is_reported_and_begun_again(engine, listener, recorder):
    with engine.begin() as connection:
        connection.execute(END_LISTENER)
    eventually(lambda: recorder.heard == ["connected", "disconnected", "connected"])
    notify(engine, "a")
    eventually(lambda: recorder.heard[-1] == "a")


def test_a_listener_that_stops_is_not_connected(listener, recorder):
    listener.stop()
    assert recorder.heard == ["connected", "disconnected"]


def test_without_a_server_nothing_is_heard(recorder):
    listener = Listener(url="postgresql://127.0.0.1:1/none", channel="changes", subscriber=recorder)
    listener.start()
    eventually(lambda: not listener._loop.report().healthy)
    listener.stop()
    assert "connected" not in recorder.heard

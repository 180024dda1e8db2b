"""The clock of a store: real on PostgreSQL, its pace and its failures with a scripted one."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from services.common.errors import StoreUnavailableError
from services.common.storage import postgres, store_clock
from services.common.storage.store_clock import SYNC_SECONDS, StoreClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Scripted:
    """A store whose answers are given, and a monotonic clock that is moved by hand."""

    def __init__(self, monkeypatch, *answers):
        self.answers = list(answers)
        self.seconds = 100.0
        monkeypatch.setattr(store_clock, "ask", self.ask)
        self.clock = StoreClock(sa.create_engine("sqlite://"), monotonic=lambda: self.seconds)

    def ask(self, _engine):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_the_store_is_asked_rarely_and_the_monotonic_clock_counts_in_between(monkeypatch):
    script = Scripted(monkeypatch, NOON, NOON + timedelta(hours=1))
    assert script.clock() == NOON
    script.seconds += SYNC_SECONDS - 1
    assert script.clock() == NOON + timedelta(seconds=SYNC_SECONDS - 1)
    script.seconds += 1
    assert script.clock() == NOON + timedelta(hours=1)


def test_a_store_that_is_unavailable_is_an_error_only_at_first(monkeypatch):
    script = Scripted(monkeypatch, StoreUnavailableError(), NOON, StoreUnavailableError())
    with pytest.raises(StoreUnavailableError):
        script.clock()
    assert script.clock() == NOON
    script.seconds += SYNC_SECONDS + 2
    assert script.clock() == NOON + timedelta(seconds=SYNC_SECONDS + 2)


@pytest.mark.integration
def test_the_time_is_that_of_postgresql(postgres_url):
    engine = postgres.create_engine(postgres_url)
    clock = StoreClock(engine)
    before = store_clock.ask(engine)
    assert before <= clock() <= store_clock.ask(engine)
    engine.dispose()

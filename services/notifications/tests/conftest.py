"""Fixtures of the notifications tests: an empty, migrated database."""

from pathlib import Path

import pytest

import services.notifications
from services.common.storage import migrations, postgres
from services.common.tests.recording import recorded

__all__ = ["recorded"]

MIGRATIONS = Path(services.notifications.__path__[0]) / "migrations"


@pytest.fixture
def engine(postgres_url):
    migrations.migrate(url=postgres_url, directory=MIGRATIONS)
    engine = postgres.create_engine(postgres_url, pool_size=10)
    yield engine
    engine.dispose()

"""The store of users, with an empty schema."""

from pathlib import Path

import pytest

import services.users
from services.common.storage import migrations, postgres

MIGRATIONS = Path(services.users.__path__[0]) / "migrations"


@pytest.fixture
def engine(postgres_url):
    """Return an engine of a migrated database."""
    migrations.migrate(url=postgres_url, directory=MIGRATIONS)
    engine = postgres.create_engine(postgres_url, pool_size=8)
    yield engine
    engine.dispose()

"""The catalog's database, migrated."""

from pathlib import Path

import pytest

import services.catalog
from services.common.storage import migrations, postgres

MIGRATIONS = Path(services.catalog.__path__[0]) / "migrations"


@pytest.fixture
def engine(postgres_url):
    migrations.migrate(url=postgres_url, directory=MIGRATIONS)
    engine = postgres.create_engine(postgres_url, pool_size=20)
    yield engine
    engine.dispose()

"""Schema migrations of PostgreSQL stores, with Alembic."""

from pathlib import Path

import sqlalchemy as sa

from services.common.storage.outbox import create_lease
from services.common.storage.postgres import create_engine, transaction
from services.common.storage.waiting import PatientConnection

MIGRATION_LOCK = 7_262_001
"""The key of the advisory lock that is held during migrations; it must be unique."""


def migrate(*, url: str, directory: Path) -> None:
    """Bring the schema up to date; several processes may do so at once.

    StoreUnavailableError when the store does not answer.
    """
    # Half of what a service would import, and only its tasks use it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    engine = create_engine(url, pool_size=1, statement_timeout=0, connection=PatientConnection)
    config = Config()
    # Options are interpolated: a percent sign in a path has to be doubled.
    config.set_main_option("script_location", str(directory).replace("%", "%%"))
    try:
        with transaction(engine) as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            create_lease(connection)
    finally:
        engine.dispose()

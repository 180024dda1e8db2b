"""The users service: `python -m services.users [serve | migrate | seed | rotate-keys] ...`."""

from pathlib import Path

from mamie_rosa.users.v1 import users_pb2_grpc

from services.common import runtime
from services.common.background import PeriodicWorker
from services.common.clock import new_id, utc_now
from services.common.messaging.relay import WOKEN_POLL_SECONDS, OutboxRelay
from services.common.rpc.server import ServiceBinding
from services.common.storage import migrations, postgres
from services.common.storage.outbox import PostgresOutbox
from services.users.config import UsersConfig, read_config, require_admin_password
from services.users.devices import KnownDevices
from services.users.domain import Account, Role, User
from services.users.key_repository import PostgresKeyRepository
from services.users.keys import Keyring, KeyRotation
from services.users.manifest import MANIFEST
from services.users.passwords import Passwords, build_hasher
from services.users.repository import PostgresUsersRepository, outbox
from services.users.servicer import UsersServicer
from services.users.sign_in import SignIn
from services.users.tokens import TokenIssuer
from services.users.worker import RetentionJob


def serve(config: UsersConfig) -> None:
    """Wire the service and serve until it is stopped."""
    engine = postgres.create_engine(config.store_url, pool_size=config.service.worker_threads)
    repository = PostgresUsersRepository(engine)
    keys = PostgresKeyRepository(engine)
    rotation = KeyRotation(repository=keys, policy=config.keys)
    keyring = Keyring(repository=keys, rotation=rotation)
    passwords = _passwords(config)
    devices = KnownDevices(load_key=keys.device_key)
    servicer = UsersServicer(
        repository=repository,
        passwords=passwords,
        sign_in=SignIn(repository=repository, passwords=passwords, devices=devices),
        keyring=keyring,
        tokens=TokenIssuer(keyring=keyring),
        devices=devices,
    )
    retention = RetentionJob(repository=repository, rotation=rotation)
    worker = PeriodicWorker(
        name="retention",
        work=retention.run,
        interval_seconds=config.retention_interval_seconds,
    )
    relay = OutboxRelay(
        outbox=PostgresOutbox(engine, outbox),
        url=config.service.bus_url,
        name="users",
        poll_seconds=WOKEN_POLL_SECONDS,
    )
    add_to_server = users_pb2_grpc.add_UsersServiceServicer_to_server
    runtime.serve(
        name=MANIFEST.name,
        config=config.service,
        bindings=[ServiceBinding("mamie_rosa.users.v1.UsersService", servicer, add_to_server)],
        checks={"postgres": repository.ping},
        workers=[worker, relay],
        fetch_keys=keyring.jwks,
    )


def migrate(config: UsersConfig) -> None:
    """Bring the schema up to date."""
    migrations.migrate(url=config.store_url, directory=Path(__file__).parent / "migrations")


def seed(config: UsersConfig) -> None:
    """Create the administrator's account, or set its password to the configured one."""
    password_hash = _passwords(config).hash(require_admin_password(config))
    admin = User(
        user_id=new_id(),
        email=config.admin_email,
        first_name="Mamie",
        last_name="Rosa",
        role=Role.ADMIN,
        created_at=utc_now(),
    )
    repository = PostgresUsersRepository(postgres.create_engine(config.store_url))
    repository.upsert_admin(Account(admin, password_hash))


def rotate_keys(config: UsersConfig) -> None:
    """Create a new signing key; it signs once caches of the public keys hold it."""
    keys = PostgresKeyRepository(postgres.create_engine(config.store_url))
    KeyRotation(repository=keys, policy=config.keys).rotate()


def _passwords(config: UsersConfig) -> Passwords:
    return Passwords(
        hasher=build_hasher(),
        concurrency=config.hash_concurrency,
        queue=config.hash_queue,
        wait_seconds=config.hash_wait_seconds,
    )


if __name__ == "__main__":
    runtime.run(
        MANIFEST, read_config, serve=serve, migrate=migrate, seed=seed, rotate_keys=rotate_keys
    )

"""The notifications service: `python -m services.notifications [serve | migrate | declare] ...`."""

import sys
from pathlib import Path

from mamie_rosa.notifications.v1 import notifications_pb2_grpc

from services.common import runtime
from services.common.background import PeriodicWorker
from services.common.messaging import rabbitmq
from services.common.messaging.consumer import Consumer
from services.common.messaging.dead_letter_queue import DeadLetterQueue
from services.common.rpc.server import ServiceBinding
from services.common.storage import migrations, postgres
from services.notifications.catch_up import catch_up as replay
from services.notifications.config import NotificationsConfig, read_config
from services.notifications.consumer import QUEUE, EventHandler
from services.notifications.domain import Recipient
from services.notifications.mail import SmtpMailer
from services.notifications.manifest import MANIFEST
from services.notifications.rendering import Renderer
from services.notifications.repository import (
    NotificationsRepository,
    PostgresNotificationsRepository,
)
from services.notifications.servicer import NotificationsServicer
from services.notifications.sms import SendLogSms
from services.notifications.worker import RetentionJob, Sender, SendingWorker

RETENTION_INTERVAL_SECONDS = 60
"""A thousand events are deleted each time: more than a million a day."""


def serve(config: NotificationsConfig) -> None:
    """Wire the service and serve until stopped.

    The service starts without the mail server and the bus; its workers connect to them later.
    """
    repository = PostgresNotificationsRepository(postgres.create_engine(config.store_url))
    worker = SendingWorker(
        sender=_build_sender(config, repository), poll_seconds=config.poll_interval_seconds
    )
    handler = EventHandler(repository=repository, wake=worker.wake)
    retention = RetentionJob(repository=repository)
    runtime.serve(
        name=MANIFEST.name,
        config=config.service,
        bindings=[
            ServiceBinding(
                "mamie_rosa.notifications.v1.NotificationsService",
                NotificationsServicer(
                    repository=repository,
                    dead_letters=DeadLetterQueue(config.service.bus_url, QUEUE),
                ),
                notifications_pb2_grpc.add_NotificationsServiceServicer_to_server,
            )
        ],
        checks={"postgres": repository.ping},
        workers=[
            Consumer(queue=QUEUE, handler=handler.handle, url=config.service.bus_url),
            worker,
            PeriodicWorker(
                name="retention",
                work=retention.run,
                interval_seconds=RETENTION_INTERVAL_SECONDS,
            ),
        ],
        mesh=runtime.open_mesh(MANIFEST, config.service),
    )


def _build_sender(config: NotificationsConfig, repository: NotificationsRepository) -> Sender:
    return Sender(
        repository=repository,
        renderer=Renderer(shop_url=config.shop_url),
        mailer=SmtpMailer(server=config.smtp, timeout_seconds=config.smtp_timeout_seconds),
        sms=SendLogSms(),
        mail_from=config.sender,
        admin=Recipient(email=config.admin_email, language=config.admin_language),
        policy=config.retry,
        lease=config.lease,
    )


def migrate(config: NotificationsConfig) -> None:
    """Bring the schema up to date."""
    migrations.migrate(url=config.store_url, directory=Path(__file__).parent / "migrations")


def catch_up(config: NotificationsConfig) -> None:
    """Apply the events of the log since MAMIE_REPLAY_SINCE that had no effect yet."""
    if config.replay_since is None:
        print("configuration: MAMIE_REPLAY_SINCE is not set", file=sys.stderr)  # noqa: T201
        raise SystemExit(2)
    repository = PostgresNotificationsRepository(postgres.create_engine(config.store_url))
    replay(url=config.service.bus_url, repository=repository, since=config.replay_since)


def declare(config: NotificationsConfig) -> None:
    """Declare the queue."""
    rabbitmq.declare(config.service.bus_url, QUEUE)


if __name__ == "__main__":
    runtime.run(
        MANIFEST, read_config, serve=serve, migrate=migrate, declare=declare, catch_up=catch_up
    )

"""From the bus to the mailbox: everything real, within two seconds, once."""

import uuid
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta

import pytest
import sqlalchemy as sa
from mamie_rosa.events.v1 import events_pb2

from services.common.clock import utc_now
from services.common.messaging import rabbitmq
from services.common.messaging.consumer import Consumer
from services.notifications.consumer import QUEUE, EventHandler
from services.notifications.domain import Channel, Recipient, Status
from services.notifications.mail import SmtpMailer, parse_sender, parse_smtp_url
from services.notifications.rendering import Renderer
from services.notifications.repository import PostgresNotificationsRepository
from services.notifications.schema import clients
from services.notifications.sms import SendLogSms
from services.notifications.tests.fakes import (
    POLICY,
    build_client,
    cloud_event,
    order_created,
    user_created,
)
from services.notifications.tests.sink import Sink
from services.notifications.worker import Sender, SendingWorker
from tests.plugin import server_url
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

TOLD_SECONDS = 2
"""How soon a client is told."""
SUBSCRIBERS = 40_000
CAMPAIGNS = 5


@pytest.fixture
def bus_url(request):
    return server_url(request, "rabbitmq")


@pytest.fixture
def queue(bus_url):
    """A queue of these tests alone, for the events that the service asks for."""
    queue = rabbitmq.Queue(f"test-{uuid.uuid4().hex}", QUEUE.types)
    yield queue
    with rabbitmq.connection(bus_url, "test") as connection:
        for each in (queue.name, queue.dead):
            connection.channel().queue_delete(each)


@pytest.fixture
def sink():
    with Sink() as sink:
        yield sink


@pytest.fixture
def repository(engine):
    return PostgresNotificationsRepository(engine)


@contextmanager
def running(*workers):
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.stop()


def build_sender(repository, sink):
    return Sender(
        repository=repository,
        renderer=Renderer(),
        mailer=SmtpMailer(server=parse_smtp_url(sink.url), timeout_seconds=2),
        sms=SendLogSms(),
        mail_from=parse_sender("bonjour@mamie-rosa.example"),
        admin=Recipient(email="admin@mamie-rosa.example", language="en"),
        policy=POLICY,
        lease=timedelta(seconds=60),
    )


@pytest.fixture
def publish(repository, sink, queue, bus_url):
    """The service without its server; returns what publishes events."""
    worker = SendingWorker(sender=build_sender(repository, sink), poll_seconds=1)
    handler = EventHandler(repository=repository, wake=worker.wake)
    consumer = Consumer(queue=queue, handler=handler.handle, url=bus_url)
    with rabbitmq.connection(bus_url, "test") as connection, running(worker, consumer):
        channel = connection.channel()
        channel.confirm_delivery()
        rabbitmq.declare_queue(channel, queue)
        yield lambda event: rabbitmq.publish(channel, event)


def news(data):
    """Return an event of now."""
    return cloud_event(data, time=utc_now())


def someone(language, **changes):
    user_id = f"test-{uuid.uuid4().hex}"
    email = f"{user_id}@example.org"
    return user_created(user_id=user_id, email=email, language=language, **changes)


def mails_to(sink, client):
    return [mail["Subject"] for mail in sink.mails if client.email in mail["To"]]


def test_a_client_is_welcomed_and_told_of_an_order_once_and_in_their_language(publish, sink):
    clients = [someone("fr"), someone("en")]
    for client in clients:
        order = news(order_created(user_id=client.user_id))
        for event in (news(client), order, order):
            publish(event)
    eventually(
        lambda: all(len(mails_to(sink, client)) >= 2 for client in clients), seconds=TOLD_SECONDS
    )
    french, english = (mails_to(sink, client) for client in clients)
    assert set(french) == {
        "Bienvenue chez Mamie Rosa\xa0!",
        "Merci\xa0! Votre commande de 23,22\xa0€ est confirmée",
    }
    assert set(english) == {
        "Welcome to Mamie Rosa!",
        "Thank you! Your order of €23.22 is confirmed",
    }
    marker = someone("fr")
    publish(news(marker))  # handled after all that was published before
    eventually(lambda: mails_to(sink, marker))
    assert [len(mails_to(sink, client)) for client in clients] == [2, 2]


def test_a_parcel_is_told_by_mail_and_sms_even_when_its_client_is_known_last(
    publish, sink, repository
):
    client = someone("en")
    shipped = events_pb2.OrderShipped(
        order_id="order-1", user_id=client.user_id, tracking_number="TRK42"
    )
    publish(news(shipped))
    eventually(lambda: repository.list_of(client.user_id, page=1, limit=10)[1] == 2)
    publish(news(client))

    def sent():
        found, _ = repository.list_of(client.user_id, page=1, limit=10)
        return {n.channel: n for n in found if n.template == "order_shipped" and n.sent_at}

    told = eventually(lambda: len(sent()) == 2 and sent())
    assert "TRK42" in told[Channel.SMS].subject
    assert all(notification.status is Status.SENT for notification in told.values())
    assert "Your parcel is on its way" in mails_to(sink, client)


def test_a_promotion_reaches_those_who_accept_notifications_alone(publish, sink, repository):
    on, off = someone("fr"), someone("fr", notifications_enabled=False)
    publish(news(on))
    publish(news(off))
    publish(news(events_pb2.PromoCreated(code="NOEL15", discount_percentage=15)))
    told = "15\xa0% de remise, avec le code NOEL15"
    eventually(lambda: told in mails_to(sink, on))
    eventually(lambda: repository.list_of(off.user_id, page=1, limit=10)[1] == 0)
    assert mails_to(sink, off) == []


@pytest.fixture
def crowd(engine):
    """So many clients who accept notifications."""
    known = asdict(build_client()) | {"known_since": utc_now()}
    del known["user_id"]
    names = sa.func.concat("crowd-", sa.func.generate_series(1, SUBSCRIBERS))
    same = [sa.literal(value, clients.c[name].type) for name, value in known.items()]
    rows = sa.select(names, *same)
    with engine.begin() as connection:
        connection.execute(sa.insert(clients).from_select(["user_id", *known], rows))


def test_an_orders_mail_does_not_wait_for_the_mails_of_campaigns(crowd, publish, sink, repository):
    client = someone("en")
    publish(news(client))
    eventually(lambda: mails_to(sink, client))
    for number in range(CAMPAIGNS):
        promotion = events_pb2.PromoCreated(code=f"NOEL{number}", discount_percentage=15)
        publish(news(promotion))
    eventually(lambda: len(sink.mails) > 10)  # the first campaign has begun
    publish(news(order_created(user_id=client.user_id)))
    summary = "Thank you! Your order of €23.22 is confirmed"
    eventually(lambda: summary in mails_to(sink, client), seconds=TOLD_SECONDS)
    assert len(sink.mails) < SUBSCRIBERS
    assert repository.continue_campaign(utc_now(), 1)

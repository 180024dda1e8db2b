"""From the bus to the mailbox with real servers: once, within two seconds."""

import uuid
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta

import pytest
import sqlalchemy as sa
from mamie_rosa.events.v1 import events_pb2

from services.common.clock import utc_now
from services.common.languages import Language
from services.common.messaging import rabbitmq
from services.common.messaging.consumer import Consumer
from services.notifications.consumer import QUEUE, EventHandler
from services.notifications.domain import Channel, Recipient, Status
from services.notifications.mail import SmtpMailer, parse_sender, parse_smtp_url
from services.notifications.rendering import Renderer
from services.notifications.repository import PostgresNotificationsRepository
from services.notifications.schema import customers
from services.notifications.sms import SendLogSms
from services.notifications.tests.fakes import (
    POLICY,
    SHOP_URL,
    build_customer,
    cloud_event,
    order_created,
    user_created,
)
from services.notifications.tests.sink import Sink
from services.notifications.worker import Sender, SendingWorker
from tests.plugin import server_url
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

MAX_DELAY_SECONDS = 2
"""From the publication of an event to its mail."""
SUBSCRIBERS = 40_000
CAMPAIGNS = 5


@pytest.fixture
def bus_url(request):
    return server_url(request, "rabbitmq")


@pytest.fixture
def queue(bus_url):
    """A queue of this test for the event types of the service."""
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
        renderer=Renderer(shop_url=SHOP_URL),
        mailer=SmtpMailer(server=parse_smtp_url(sink.url), timeout_seconds=2),
        sms=SendLogSms(),
        mail_from=parse_sender("bonjour@mamie-rosa.example"),
        admin=Recipient(email="admin@mamie-rosa.example", language=Language.EN),
        policy=POLICY,
        lease=timedelta(seconds=60),
    )


@pytest.fixture
def publish(repository, sink, queue, bus_url):
    """Run the service without its gRPC server; yield a function that publishes events."""
    worker = SendingWorker(sender=build_sender(repository, sink), poll_seconds=1)
    handler = EventHandler(repository=repository, wake=worker.wake)
    consumer = Consumer(queue=queue, handler=handler.handle, url=bus_url)
    with rabbitmq.connection(bus_url, "test") as connection, running(worker, consumer):
        channel = connection.channel()
        channel.confirm_delivery()
        rabbitmq.declare_queue(channel, queue)
        yield lambda event: rabbitmq.publish(channel, event)


def event_of(data):
    """Build an event of now."""
    return cloud_event(data, time=utc_now())


def new_customer(language, **changes):
    user_id = f"test-{uuid.uuid4().hex}"
    email = f"{user_id}@example.org"
    return user_created(user_id=user_id, email=email, language=language, **changes)


def mails_to(sink, customer):
    return [mail["Subject"] for mail in sink.mails if customer.email in mail["To"]]


def test_a_customer_gets_a_welcome_and_an_order_summary_once_in_their_language(publish, sink):
    customers = [new_customer("fr"), new_customer("en")]
    for customer in customers:
        order = event_of(order_created(user_id=customer.user_id))
        for event in (event_of(customer), order, order):
            publish(event)
    eventually(
        lambda: all(len(mails_to(sink, customer)) >= 2 for customer in customers),
        seconds=MAX_DELAY_SECONDS,
    )
    french, english = (mails_to(sink, customer) for customer in customers)
    assert set(french) == {
        "Bienvenue chez Mamie Rosa\xa0!",
        "Merci\xa0! Votre commande de 23,22\xa0€ est confirmée",
    }
    assert set(english) == {
        "Welcome to Mamie Rosa!",
        "Thank you! Your order of €23.22 is confirmed",
    }
    marker = new_customer("fr")
    publish(event_of(marker))  # consumed after everything above
    eventually(lambda: mails_to(sink, marker))
    assert [len(mails_to(sink, customer)) for customer in customers] == [2, 2]


def test_a_shipment_is_notified_by_mail_and_sms_even_when_its_customer_is_known_later(
    publish, sink, repository
):
    customer = new_customer("en")
    shipped = events_pb2.OrderShipped(
        order_id="order-1", user_id=customer.user_id, tracking_number="TRK42"
    )
    publish(event_of(shipped))
    eventually(lambda: repository.list_by_user(customer.user_id, page=1, limit=10)[1] == 2)
    publish(event_of(customer))

    def sent():
        found, _ = repository.list_by_user(customer.user_id, page=1, limit=10)
        return {n.channel: n for n in found if n.template == "order_shipped" and n.sent_at}

    found = eventually(lambda: len(sent()) == 2 and sent())
    assert "TRK42" in found[Channel.SMS].subject
    assert all(notification.status is Status.SENT for notification in found.values())
    assert "Your parcel is on its way" in mails_to(sink, customer)


def test_a_promotion_reaches_only_customers_who_accept_notifications(publish, sink, repository):
    on, off = new_customer("fr"), new_customer("fr", notifications_enabled=False)
    publish(event_of(on))
    publish(event_of(off))
    publish(event_of(events_pb2.PromoCreated(code="NOEL15", discount_percentage=15)))
    subject = "15\xa0% de remise, avec le code NOEL15"
    eventually(lambda: subject in mails_to(sink, on))
    eventually(lambda: repository.list_by_user(off.user_id, page=1, limit=10)[1] == 0)
    assert mails_to(sink, off) == []


@pytest.fixture
def subscribers(engine):
    """Insert SUBSCRIBERS customers who accept notifications."""
    values = asdict(build_customer()) | {"known_since": utc_now()}
    del values["user_id"]
    user_ids = sa.func.concat("subscriber-", sa.func.generate_series(1, SUBSCRIBERS))
    columns = [sa.literal(value, customers.c[name].type) for name, value in values.items()]
    rows = sa.select(user_ids, *columns)
    with engine.begin() as connection:
        connection.execute(sa.insert(customers).from_select(["user_id", *values], rows))


def test_an_orders_mail_does_not_wait_for_the_mails_of_campaigns(
    subscribers, publish, sink, repository
):
    customer = new_customer("en")
    publish(event_of(customer))
    eventually(lambda: mails_to(sink, customer))
    for number in range(CAMPAIGNS):
        promotion = events_pb2.PromoCreated(code=f"NOEL{number}", discount_percentage=15)
        publish(event_of(promotion))
    eventually(lambda: len(sink.mails) > 10)  # the first campaign has begun
    publish(event_of(order_created(user_id=customer.user_id)))
    summary = "Thank you! Your order of €23.22 is confirmed"
    eventually(lambda: summary in mails_to(sink, customer), seconds=MAX_DELAY_SECONDS)
    assert len(sink.mails) < SUBSCRIBERS
    assert repository.expand_campaign(utc_now(), 1)

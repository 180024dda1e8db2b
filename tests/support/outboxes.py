"""What waits on its way between services: the outboxes, and the queues of the bus."""

from collections.abc import Mapping

import pymongo
import redis
import sqlalchemy as sa

from scripts.manifests import read_services
from services.common.messaging import rabbitmq
from services.promotions.repository import OUTBOX
from tests.support.running_stack import RunningStack
from tests.support.stores import open_store


def count_waiting(stack: RunningStack) -> Mapping[str, int]:
    """Return how many events each outbox and each queue of a consumer holds."""
    services = read_services()
    outboxes = {
        f"outbox of {each.name}": COUNT_IN[each.store](stack, each.name)
        for each in services
        if each.publishes
    }
    return {**outboxes, **_in_queues(stack, [each.name for each in services if each.consumes])}


def _count_rows(stack: RunningStack, service: str) -> int:
    with open_store(stack, service) as engine, engine.connect() as connection:
        count: int = connection.execute(sa.text("SELECT count(*) FROM outbox")).scalar_one()
        return count


def _count_documents(stack: RunningStack, service: str) -> int:
    client: pymongo.MongoClient = pymongo.MongoClient(stack.store_url(service))
    with client:
        return client.get_default_database().outbox.count_documents({})


def _count_entries(stack: RunningStack, service: str) -> int:
    with redis.Redis.from_url(stack.store_url(service)) as client:
        return int(client.xlen(OUTBOX))


COUNT_IN = {"postgres": _count_rows, "mongodb": _count_documents, "redis": _count_entries}
"""How the events of an outbox are counted, by the kind of its store."""


def _in_queues(stack: RunningStack, consumers: list[str]) -> Mapping[str, int]:
    with rabbitmq.connection(stack.url("rabbitmq"), "test") as connection:
        channel = connection.channel()
        queues = [rabbitmq.Queue(consumer, ()).name for consumer in consumers]
        return {
            queue: channel.queue_declare(queue, passive=True).method.message_count
            for queue in queues
        }

"""What orders read and write is durable: a decision, an answer or an event follows from it."""

from pathlib import Path

import pymongo

import services.orders
from services.orders import store
from services.orders.outbox import MongoOutbox
from services.orders.reconciliation.repository import MongoReconciliationRepository
from services.orders.repository import MongoOrdersRepository

URL = "mongodb://127.0.0.1:1/none"


def test_every_repository_reads_and_writes_with_a_majority():
    client: pymongo.MongoClient = pymongo.MongoClient(URL, connect=False)
    with client:
        stored_in = (
            MongoOrdersRepository(client)._database,
            MongoReconciliationRepository(client)._database,
            MongoOutbox(client)._outbox,
        )
        for store_of in stored_in:
            assert store_of.read_concern.level == "majority"
            assert store_of.write_concern == store.MAJORITY


def test_only_the_store_opens_a_database_unless_with_durable_reads():
    root = Path(services.orders.__path__[0])
    opened = [
        f"{path.relative_to(root)}: {line.strip()}"
        for path in root.rglob("*.py")
        if "tests" not in path.parts and path.name != "store.py"
        for line in path.read_text().splitlines()
        if "get_default_database" in line and "read_concern=DURABLE" not in line
    ]
    assert opened == []

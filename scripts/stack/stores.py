"""Prepares the stores for the services: databases, roles, a replica set.

Everything here is idempotent.
"""

from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

import psycopg2
import pymongo
from psycopg2 import extensions, sql

REPLICA_SET = "rs0"


def make_databases(admin_url: str, store_urls: Sequence[str]) -> None:
    """Create the database and the role of each URL; no other role can use the database."""
    connection = psycopg2.connect(admin_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for url in store_urls:
            store = urlsplit(url)
            _make_role(cursor, store.username or "", unquote(store.password or ""))
            _make_database(cursor, store.path[1:], store.username or "")
    connection.close()


def _make_role(cursor: extensions.cursor, role: str, password: str) -> None:
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
    verb = "ALTER" if cursor.fetchone() else "CREATE"
    statement = sql.SQL(verb + " ROLE {} LOGIN PASSWORD {}")
    cursor.execute(statement.format(sql.Identifier(role), sql.Literal(password)))


def _make_database(cursor: extensions.cursor, name: str, owner: str) -> None:
    names = {"name": sql.Identifier(name), "owner": sql.Identifier(owner)}
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
    if not cursor.fetchone():
        cursor.execute(sql.SQL("CREATE DATABASE {name} OWNER {owner}").format(**names))
    cursor.execute(sql.SQL("REVOKE CONNECT ON DATABASE {name} FROM PUBLIC").format(**names))


def form_replica_set(host: str) -> bool:
    """Initiate a replica set of one, "host:port"; return whether it accepts writes."""
    client: pymongo.MongoClient = pymongo.MongoClient(
        host, directConnection=True, serverSelectionTimeoutMS=500
    )
    with client:
        hello = client.admin.command("hello")
        if "setName" not in hello:
            _initiate(client, host)
        return bool(hello.get("isWritablePrimary"))


def _initiate(client: pymongo.MongoClient, host: str) -> None:
    """Initiate the replica set, or reconfigure one that had another address."""
    members = [{"_id": 0, "host": host}]
    before = client.local.system.replset.find_one()
    if before:
        moved = {"_id": REPLICA_SET, "members": members, "version": before["version"] + 1}
        client.admin.command("replSetReconfig", moved, force=True)
    else:
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})

"""The servers of compose.yaml in a separate project, and a client of each that stores a text."""

import json
import smtplib
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, LiteralString, Protocol

import neo4j
import pika
import psycopg2
import pymongo
import redis
import requests
import yaml

from scripts.paths import ROOT
from tests.support.waiting import eventually

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
PASSWORD = "a-password-of-the-tests"
SECRETS = {
    "postgres-password": PASSWORD,
    "neo4j-auth": f"neo4j/{PASSWORD}",
    "rabbitmq-user": f"default_user = mamie\ndefault_pass = {PASSWORD}",
}
PORTS = {
    "consul": [8500],
    "envoy": [9901],
    "mail": [1025, 8025],
    "mongodb": [27017],
    "neo4j": [7687],
    "postgres": [5432],
    "rabbitmq": [5672, 15672],
    "redis": [6379],
}
ADMIN = {"socket_address": {"address": "0.0.0.0", "port_value": 9901}}


class Servers:
    """The servers of compose.yaml in a separate project."""

    def __init__(self, folder: Path) -> None:
        self._project = ["docker", "compose", "--file", str(folder / "compose.json")]
        self._project += ["--project-directory", str(ROOT)]
        (folder / "compose.json").write_text(json.dumps(describe(folder)))

    def compose(self, *arguments: str) -> str:
        """Run docker compose on the project and return its output."""
        done = subprocess.run(
            [*self._project, *arguments], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def port(self, name: str, number: int) -> int:
        """Return the published port of a server's port."""
        return int(self.compose("port", name, str(number)).rpartition(":")[2])

    def state(self, name: str) -> dict[str, Any]:
        """Return Compose's description of a server."""
        found: dict[str, Any] = json.loads(self.compose("ps", "--all", "--format", "json", name))
        return found

    def wait(self, name: str) -> None:
        """Return when a server is healthy."""
        eventually(lambda: self.state(name)["Health"] == "healthy", seconds=180)


def describe(folder: Path) -> dict[str, Any]:
    """Return a project of the servers alone: their settings, with secrets of the tests."""
    for name, text in SECRETS.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o444)
    (folder / "envoy.json").write_text(json.dumps({"admin": {"address": ADMIN}}))
    folder.chmod(0o755)
    services = {name: dict(COMPOSE["services"][name]) for name in PORTS}
    for name, service in services.items():
        for key in ("networks", "depends_on"):
            service.pop(key, None)
        service["ports"] = [f"127.0.0.1::{port}" for port in PORTS[name]]
    services["envoy"]["volumes"] = [f"{folder}/envoy.json:/etc/mamie-rosa/envoy.json:ro"]
    return {
        "name": f"mamie-rosa-servers-{uuid.uuid4().hex[:8]}",
        "services": services,
        "secrets": {name: {"file": str(folder / name)} for name in SECRETS},
        "volumes": COMPOSE["volumes"],
    }


class Store(Protocol):
    """A server that keeps one text."""

    def put(self, text: str) -> None:
        """Store a text."""

    def get(self) -> str:
        """Return the stored text."""


class Postgres:
    """PostgreSQL, which stores the text in a table."""

    def __init__(self, servers: Servers, password: str = PASSWORD) -> None:
        self._port = servers.port("postgres", 5432)
        self._password = password

    def put(self, text: str) -> None:
        self.run(f"CREATE TABLE kept AS SELECT '{text}' AS text")

    def get(self) -> str:
        return str(self.run("SELECT text FROM kept")[0][0])

    def run(self, statement: str) -> list[Any]:
        connection = psycopg2.connect(
            host="127.0.0.1", port=self._port, user="mamie", password=self._password
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            rows = cursor.fetchall() if cursor.description else []
        connection.close()
        return rows


class MongoDB:
    """MongoDB as a replica set of one, which stores the text in a document."""

    def __init__(self, servers: Servers) -> None:
        self._port = servers.port("mongodb", 27017)

    def put(self, text: str) -> None:
        with self._client() as client:
            client.admin.command("replSetInitiate")
            eventually(lambda: client.admin.command("hello")["isWritablePrimary"], seconds=30)
            client.kept.kept.insert_one({"text": text})

    def get(self) -> str:
        with self._client() as client:
            eventually(lambda: client.admin.command("hello")["isWritablePrimary"], seconds=30)
            found = client.kept.kept.find_one()
        assert found
        return str(found["text"])

    def _client(self) -> pymongo.MongoClient[Any]:
        return pymongo.MongoClient("127.0.0.1", self._port, directConnection=True)


class Redis:
    """Redis, which stores the text under a key."""

    def __init__(self, servers: Servers) -> None:
        self._client = redis.Redis(port=servers.port("redis", 6379), decode_responses=True)

    def put(self, text: str) -> None:
        with self._client as client:
            client.set("kept", text)

    def get(self) -> str:
        with self._client as client:
            return client.get("kept")


class Neo4j:
    """Neo4j, which stores the text in a node."""

    def __init__(self, servers: Servers, password: str = PASSWORD) -> None:
        url = f"bolt://127.0.0.1:{servers.port('neo4j', 7687)}"
        self._driver = neo4j.GraphDatabase.driver(url, auth=("neo4j", password))

    def put(self, text: str) -> None:
        self.run("CREATE (:Kept {text: $text})", text=text)

    def get(self) -> str:
        return self.run("MATCH (kept:Kept) RETURN kept.text AS text")[0]["text"]

    def run(self, query: LiteralString, **parameters: str) -> list[neo4j.Record]:
        with self._driver as driver:
            return driver.execute_query(query, parameters).records


class RabbitMQ:
    """RabbitMQ, which stores the text in a quorum queue."""

    def __init__(self, servers: Servers, password: str = PASSWORD) -> None:
        self._login = pika.ConnectionParameters(
            "127.0.0.1",
            servers.port("rabbitmq", 5672),
            credentials=pika.PlainCredentials("mamie", password),
        )

    def put(self, text: str) -> None:
        with pika.BlockingConnection(self._login) as connection, connection.channel() as channel:
            channel.queue_declare("kept", durable=True, arguments={"x-queue-type": "quorum"})
            channel.confirm_delivery()
            channel.basic_publish("", "kept", text, pika.BasicProperties(delivery_mode=2))

    def get(self) -> str:
        with pika.BlockingConnection(self._login) as connection, connection.channel() as channel:
            return eventually(lambda: channel.basic_get("kept")[2], seconds=30).decode()


class Consul:
    """Consul, which stores the text under a key."""

    def __init__(self, servers: Servers) -> None:
        self._key = f"http://127.0.0.1:{servers.port('consul', 8500)}/v1/kv/kept"

    def put(self, text: str) -> None:
        requests.put(self._key, text, timeout=5).raise_for_status()

    def get(self) -> str:
        return eventually(lambda: requests.get(f"{self._key}?raw", timeout=5).text, seconds=30)


class Mail:
    """The mail server, which stores the text as the subject of a mail."""

    def __init__(self, servers: Servers) -> None:
        self._smtp, web = servers.port("mail", 1025), servers.port("mail", 8025)
        self.api = f"http://127.0.0.1:{web}/api/v1"

    def put(self, text: str) -> None:
        headers = "From: Shop <shop@mamie-rosa.example>\r\nTo: Alice <alice@customers.example>"
        mail = f"{headers}\r\nSubject: {text}\r\n\r\nWelcome, {text}"
        with smtplib.SMTP("127.0.0.1", self._smtp) as client:
            client.sendmail("shop@mamie-rosa.example", ["alice@customers.example"], mail)

    def get(self) -> str:
        return self.to("alice@customers.example")[0]["Subject"]

    def to(self, address: str) -> list[dict[str, Any]]:
        query = {"query": f'to:"{address}"'}
        answer = requests.get(f"{self.api}/search", query, timeout=5).json()
        messages: list[dict[str, Any]] = answer["messages"]
        return messages


STORES: dict[str, Callable[[Servers], Store]] = {
    "consul": Consul,
    "mail": Mail,
    "mongodb": MongoDB,
    "neo4j": Neo4j,
    "postgres": Postgres,
    "rabbitmq": RabbitMQ,
    "redis": Redis,
}

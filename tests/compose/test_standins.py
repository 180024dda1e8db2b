"""What compose.yaml needs of each server's image, of the originals and of the stand-ins.

Every server runs as compose.yaml describes it, but alone, with a port of this machine.
"""

import json
import signal
import smtplib
import subprocess
import uuid
from typing import Any

import neo4j
import pika
import psycopg2
import pymongo
import pytest
import redis
import requests
import yaml

from scripts.paths import ROOT
from tests.support.waiting import eventually

pytestmark = [pytest.mark.compose, pytest.mark.timeout(300)]

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
STOP_SECONDS = 5
KILLED = 128 + signal.SIGKILL


class Servers:
    """The servers of compose.yaml in a separate project."""

    def __init__(self, folder):
        self._project = ["docker", "compose", "--file", str(folder / "compose.json")]
        self._project += ["--project-directory", str(ROOT)]
        (folder / "compose.json").write_text(json.dumps(describe(folder)))

    def compose(self, *arguments):
        """Run docker compose on the project and return its output."""
        done = subprocess.run(
            [*self._project, *arguments], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def port(self, name, number):
        """Return the published port of a server's port."""
        return int(self.compose("port", name, str(number)).rpartition(":")[2])

    def state(self, name):
        """Return Compose's description of a server."""
        return json.loads(self.compose("ps", "--all", "--format", "json", name))

    def wait(self, name):
        """Return when a server is healthy."""
        eventually(lambda: self.state(name)["Health"] == "healthy", seconds=180)


def describe(folder):
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


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Yield the servers, once the health checks of compose.yaml pass."""
    servers = Servers(tmp_path_factory.mktemp("servers"))
    try:
        servers.compose("up", "--detach", "--wait", "--pull=never")
        yield servers
    finally:
        servers.compose("down", "--volumes", "--timeout=5")


class Postgres:
    def __init__(self, servers, password=PASSWORD):
        address = {"host": "127.0.0.1", "port": servers.port("postgres", 5432)}
        self._login = address | {"user": "mamie", "password": password}

    def put(self, text):
        self.run(f"CREATE TABLE kept AS SELECT '{text}' AS text")

    def get(self):
        return self.run("SELECT text FROM kept")[0][0]

    def run(self, statement):
        connection = psycopg2.connect(**self._login)
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            rows = cursor.fetchall() if cursor.description else []
        connection.close()
        return rows


class MongoDB:
    def __init__(self, servers):
        self._port = servers.port("mongodb", 27017)

    def put(self, text):
        with self._client() as client:
            client.admin.command("replSetInitiate")
            eventually(lambda: client.admin.command("hello")["isWritablePrimary"], seconds=30)
            client.kept.kept.insert_one({"text": text})

    def get(self):
        with self._client() as client:
            eventually(lambda: client.admin.command("hello")["isWritablePrimary"], seconds=30)
            return client.kept.kept.find_one()["text"]

    def _client(self):
        return pymongo.MongoClient("127.0.0.1", self._port, directConnection=True)


class Redis:
    def __init__(self, servers):
        self._client = redis.Redis(port=servers.port("redis", 6379), decode_responses=True)

    def put(self, text):
        with self._client as client:
            client.set("kept", text)

    def get(self):
        with self._client as client:
            return client.get("kept")


class Neo4j:
    def __init__(self, servers, password=PASSWORD):
        url = f"bolt://127.0.0.1:{servers.port('neo4j', 7687)}"
        self._driver = neo4j.GraphDatabase.driver(url, auth=("neo4j", password))

    def put(self, text):
        self.run("CREATE (:Kept {text: $text})", text=text)

    def get(self):
        return self.run("MATCH (kept:Kept) RETURN kept.text AS text")[0]["text"]

    def run(self, query, **parameters):
        with self._driver as driver:
            return driver.execute_query(query, parameters).records


class RabbitMQ:
    def __init__(self, servers, password=PASSWORD):
        self._login = pika.ConnectionParameters(
            "127.0.0.1",
            servers.port("rabbitmq", 5672),
            credentials=pika.PlainCredentials("mamie", password),
        )

    def put(self, text):
        with pika.BlockingConnection(self._login) as connection, connection.channel() as channel:
            channel.queue_declare("kept", durable=True, arguments={"x-queue-type": "quorum"})
            channel.confirm_delivery()
            channel.basic_publish("", "kept", text, pika.BasicProperties(delivery_mode=2))

    def get(self):
        with pika.BlockingConnection(self._login) as connection, connection.channel() as channel:
            return eventually(lambda: channel.basic_get("kept")[2], seconds=30).decode()


class Consul:
    def __init__(self, servers):
        self._key = f"http://127.0.0.1:{servers.port('consul', 8500)}/v1/kv/kept"

    def put(self, text):
        requests.put(self._key, text, timeout=5).raise_for_status()

    def get(self):
        return eventually(lambda: requests.get(f"{self._key}?raw", timeout=5).text, seconds=30)


class Mail:
    def __init__(self, servers):
        self._smtp, web = servers.port("mail", 1025), servers.port("mail", 8025)
        self.api = f"http://127.0.0.1:{web}/api/v1"

    def put(self, text):
        headers = "From: Shop <shop@mamie-rosa.example>\r\nTo: Alice <alice@customers.example>"
        mail = f"{headers}\r\nSubject: {text}\r\n\r\nWelcome, {text}"
        with smtplib.SMTP("127.0.0.1", self._smtp) as client:
            client.sendmail("shop@mamie-rosa.example", ["alice@customers.example"], mail)

    def get(self):
        return self.to("alice@customers.example")[0]["Subject"]

    def to(self, address):
        query = {"query": f'to:"{address}"'}
        return requests.get(f"{self.api}/search", query, timeout=5).json()["messages"]


STORES: dict[str, Any] = {
    "consul": Consul,
    "mail": Mail,
    "mongodb": MongoDB,
    "neo4j": Neo4j,
    "postgres": Postgres,
    "rabbitmq": RabbitMQ,
    "redis": Redis,
}


@pytest.mark.parametrize("name", STORES)
def test_data_is_there_after_a_restart(servers, name):
    written = uuid.uuid4().hex
    STORES[name](servers).put(written)
    servers.compose("restart", name)
    servers.wait(name)
    assert STORES[name](servers).get() == written


def test_postgres_rejects_a_wrong_password(servers):
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        Postgres(servers, "wrong").run("SELECT 1")


def test_neo4j_rejects_a_wrong_password(servers):
    with pytest.raises(neo4j.exceptions.AuthError):
        Neo4j(servers, "a wrong one").run("RETURN 1")


@pytest.mark.parametrize("user", ["mamie", "guest"])
def test_rabbitmq_rejects_a_wrong_password_and_has_no_guest(servers, user):
    overview = f"http://127.0.0.1:{servers.port('rabbitmq', 15672)}/api/overview"
    assert requests.get(overview, auth=("mamie", PASSWORD), timeout=5).status_code == 200
    assert requests.get(overview, auth=(user, "guest"), timeout=5).status_code == 401


def test_postgres_has_a_utf8_database_of_the_users_name(servers):
    query = "SELECT current_database(), current_setting('server_encoding')"
    assert Postgres(servers).run(query) == [("mamie", "UTF8")]


def test_neo4j_reads_its_settings_from_the_environment(servers):
    environment = COMPOSE["services"]["neo4j"]["environment"]
    wanted = {
        name.removeprefix("NEO4J_").replace("__", "%").replace("_", ".").replace("%", "_"): value
        for name, value in environment.items()
        if not name.endswith("_FILE") and "internal" not in name  # those are not listed
    }
    listed = Neo4j(servers).run("SHOW SETTINGS YIELD name, value")
    shown = {setting["name"]: str(setting["value"]).lower() for setting in listed}
    sizes = {"64m": "64.00mib", "256m": "256.00mib", "32m": "32.00mib"}
    assert {name: shown[name] for name in wanted} == {
        name: sizes.get(value, value) for name, value in wanted.items()
    }


def test_a_mail_can_be_read_as_it_was_sent(servers):
    box, subject = Mail(servers), uuid.uuid4().hex
    box.put(subject)
    found = box.to("alice@customers.example")[0]
    assert found["To"] == [{"Name": "Alice", "Address": "alice@customers.example"}]
    assert not box.to("bob@customers.example")
    message = f"{box.api}/message/{found['ID']}"
    assert requests.get(message, timeout=5).json()["Text"].strip() == f"Welcome, {subject}"
    raw = requests.get(f"{message}/raw", timeout=5).text
    assert f"Subject: {subject}\r\n" in raw
    listed = requests.get(f"{box.api}/messages", {"limit": 1}, timeout=5).json()["messages"]
    assert [mail["ID"] for mail in listed] == [found["ID"]]


@pytest.mark.parametrize("name", PORTS)
def test_a_server_stops_on_sigterm_in_time(servers, name):
    servers.compose("stop", f"--timeout={STOP_SECONDS}", name)
    assert servers.state(name)["ExitCode"] != KILLED
    servers.compose("start", name)
    servers.wait(name)

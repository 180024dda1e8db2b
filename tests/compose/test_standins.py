"""What compose.yaml needs of each server's image, of the originals and of the stand-ins.

Every server runs as compose.yaml describes it, but alone, with a port of this machine.
"""

import signal
import uuid

import neo4j
import psycopg2
import pytest
import requests

from tests.compose.servers import COMPOSE, PASSWORD, PORTS, STORES, Mail, Neo4j, Postgres, Servers

pytestmark = [pytest.mark.compose, pytest.mark.timeout(300)]

STOP_SECONDS = 5
KILLED = 128 + signal.SIGKILL


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Yield the servers, once the health checks of compose.yaml pass."""
    servers = Servers(tmp_path_factory.mktemp("servers"))
    try:
        servers.compose("up", "--detach", "--wait", "--pull=never")
        yield servers
    finally:
        servers.compose("down", "--volumes", "--timeout=5")


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

"""Fixtures that every test may ask for: real stores, each test's own corner of them.

The servers are those of a stack that the first test that needs one starts (and that the
last one stops), beside any other stack on the machine. MAMIE_TEST_POSTGRES_URL,
MAMIE_TEST_MONGODB_URL and MAMIE_TEST_REDIS_URL name servers to use instead.
"""

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pymongo
import pytest
import redis
import structlog

from scripts.paths import ROOT
from scripts.stack.client import Stack
from tests.support.compose_stack import ComposeStack

# Events are dropped, not formatted: a test that wants them asks for `log` (structlog's own).
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))


WIDER = ("integration", "e2e", "faults", "compose")
"""Marks of tests that need more than themselves, in the order in which they are run."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what has no mark as unit, leave out what is not for the stack, quick ones first."""
    in_containers = os.environ.get("MAMIE_TEST_STACK") == "compose"
    elsewhere = "local" if in_containers else "compose"
    items[:] = [item for item in items if not item.get_closest_marker(elsewhere)]
    for item in items:
        if not any(map(item.get_closest_marker, WIDER)):
            item.add_marker(pytest.mark.unit)
    items.sort(key=_width)


def _width(item: pytest.Item) -> int:
    return max((n for n, mark in enumerate(WIDER, 1) if item.get_closest_marker(mark)), default=0)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Return what prints a figure for people, though the test passes."""

    def print_now(figure: str) -> None:
        with capsys.disabled():
            print(f"\n    {figure}", flush=True)

    return print_now


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack | ComposeStack]:
    """Yield the tests' own stack: the whole shop on free ports, without tight rate limits.

    MAMIE_TEST_STACK names the data directory of one that runs already; "compose" is the one
    that compose.yaml runs.
    """
    if running := os.environ.get("MAMIE_TEST_STACK"):
        yield ComposeStack() if running == "compose" else Stack(Path(running))
        return
    data = tmp_path_factory.mktemp("stack")
    limits = {
        "MAMIE_RATE_LIMIT_PER_MINUTE": "1000000",
        "MAMIE_LOGIN_RATE_LIMIT_PER_MINUTE": "1000000",
    }
    up = [str(ROOT / "scripts" / "up"), "--detach", "--data", str(data)]
    try:
        subprocess.run(up, check=True, env=os.environ | limits)
        yield Stack(data)
    finally:
        subprocess.run([ROOT / "scripts" / "down", "--data", data], check=True)


def server_url(request: pytest.FixtureRequest, server: str) -> str:
    """Return where a server is: as the environment tells, else in the tests' own stack."""
    named = os.environ.get(f"MAMIE_TEST_{server.upper()}_URL")
    return named or request.getfixturevalue("stack").server_url(server)


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of an empty PostgreSQL database; it is dropped afterwards."""
    admin = urlsplit(server_url(request, "postgres"))
    name = f"test_{uuid.uuid4().hex}"
    _run_sql(urlunsplit(admin), f"CREATE DATABASE {name}")
    yield urlunsplit(admin._replace(path=f"/{name}"))
    _run_sql(urlunsplit(admin), f"DROP DATABASE {name} WITH (FORCE)")


def _run_sql(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    connection.cursor().execute(statement)
    connection.close()


@pytest.fixture
def mongodb_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of an empty MongoDB database; it is dropped afterwards."""
    server = urlsplit(server_url(request, "mongodb"))
    name = f"test_{uuid.uuid4().hex}"
    yield urlunsplit(server._replace(path=f"/{name}"))
    client: pymongo.MongoClient = pymongo.MongoClient(urlunsplit(server))
    with client:
        client.drop_database(name)


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of an empty Redis database; it is emptied afterwards.

    Number 15 of the server: the shop uses 0.
    """
    url = urlunsplit(urlsplit(server_url(request, "redis"))._replace(path="/15"))
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()

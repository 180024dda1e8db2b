"""Fixtures of all tests: a running stack, and databases of one test on its servers.

The first test that needs a stack starts it, beside any other stack on the machine; it stops
after the last test. MAMIE_TEST_POSTGRES_URL, MAMIE_TEST_MONGODB_URL and
MAMIE_TEST_REDIS_URL name servers to use instead.
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
from scripts.stack.consul_package import find_consul
from tests.support import hostile
from tests.support.compose_stack import ComposeStack
from tests.support.running_stack import RunningStack

# Log events are dropped, not formatted; structlog's `log` fixture captures them.
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))


MARKS = ("integration", "e2e", "faults", "compose")
"""Marks of tests that are not unit tests, in the order in which they are run."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose how much is tested (tests/faults/freezes.py, tests/api)."""
    parser.addoption(
        "--typescript",
        action="store_true",
        help="generate and compile the TypeScript client too; needs npm and its registry",
    )
    parser.addoption(
        "--long",
        action="store_true",
        help="10,000 generated requests, 200 keyed orders sent 20 times at once (minutes each), "
        "20 rounds of each race",
    )
    parser.addoption(
        "--freeze",
        choices=("selected", "full"),
        default="selected",
        help="freeze a selection (3 minutes), or each part for 1, 5, 30 and 120 s (50 minutes)",
    )


def pytest_configure() -> None:
    """Leave Prometheus out of the stacks of tests; tests/e2e/test_monitoring.py starts it."""
    os.environ.setdefault("MAMIE_MONITORING", "off")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the rest as unit tests, deselect those of the other kind of stack, sort by mark."""
    if not config.getoption("--typescript"):
        items[:] = [item for item in items if not item.get_closest_marker("typescript")]
    in_containers = os.environ.get("MAMIE_TEST_STACK") == "compose"
    excluded = "local" if in_containers else "compose"
    items[:] = [item for item in items if not item.get_closest_marker(excluded)]
    for item in items:
        if not any(map(item.get_closest_marker, MARKS)):
            item.add_marker(pytest.mark.unit)
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> tuple[int, bool]:
    kind = max((n for n, mark in enumerate(MARKS, 1) if item.get_closest_marker(mark)), default=0)
    return kind, item.get_closest_marker("early") is None


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Return a function that prints a measured figure, also when the test passes."""

    def print_now(figure: str) -> None:
        with capsys.disabled():
            print(f"\n    {figure}", flush=True)

    return print_now


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Yield a stack of the tests alone: the whole shop on free ports, with high rate limits.

    It starts in a hostile shell, so that all tests show that it hears nothing of it.
    MAMIE_TEST_STACK names the data directory of one that runs already; "compose" is the one
    of compose.yaml.
    """
    if running := os.environ.get("MAMIE_TEST_STACK"):
        yield ComposeStack() if running == "compose" else Stack(Path(running))
        return
    data = tmp_path_factory.mktemp("stack")
    limits = {
        "MAMIE_RATE_LIMIT_PER_MINUTE": "1000000",
        "MAMIE_LOGIN_RATE_LIMIT_PER_MINUTE": "1000000",
    }
    find_consul()  # what is missing is fetched with the network of this shell
    up = [str(ROOT / "scripts" / "up"), "--detach", "--data", str(data)]
    try:
        subprocess.run(up, check=True, env={**os.environ, **hostile.VARIABLES, **limits})
        yield Stack(data)
    finally:
        subprocess.run([ROOT / "scripts" / "down", "--data", data], check=True)


def server_url(request: pytest.FixtureRequest, server: str) -> str:
    """Return the URL of a server: from the environment, else of the tests' stack."""
    named = os.environ.get(f"MAMIE_TEST_{server.upper()}_URL")
    return named or str(request.getfixturevalue("stack").server_url(server))


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of an empty PostgreSQL database; it is dropped afterwards."""
    admin = urlsplit(server_url(request, "postgres"))
    name = f"test_{uuid.uuid4().hex}"
    run_sql(urlunsplit(admin), f"CREATE DATABASE {name}")
    yield urlunsplit(admin._replace(path=f"/{name}"))
    run_sql(urlunsplit(admin), f"DROP DATABASE {name} WITH (FORCE)")


def run_sql(url: str, statement: str) -> None:
    """Run one statement outside of any transaction."""
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

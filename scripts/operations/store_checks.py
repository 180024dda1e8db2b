"""The checks of scripts/doctor on the stores, the bus and the mail server, and on their clocks."""

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

import neo4j.exceptions
import pika.exceptions
import psycopg2
import pymongo
import pymongo.errors
import redis

from scripts.operations.findings import Check, Finding, good, warning, wrong
from services.common.messaging import queues, rabbitmq
from services.recommendations.repository import connect as connect_graph

TIMEOUT_SECONDS = 3
MAX_SKEW_SECONDS = 2.0
"""Leases, tokens and reservations are some seconds long."""
MANY_MESSAGES = 1000
SILENT = (
    *(OSError, psycopg2.Error, pymongo.errors.PyMongoError, redis.RedisError),
    *(neo4j.exceptions.Neo4jError, neo4j.exceptions.DriverError, pika.exceptions.AMQPError),
)
"""What drivers raise when a server does not answer, or not well."""

Clock = Callable[[str], float | None]
"""Asks a store for its time, in seconds since 1970; None for a store that has no clock to read."""


def store_checks(stores: Mapping[str, str], urls: Mapping[str, str]) -> list[Check]:
    """Return a check for the store of each service, and for the bus and the mail server.

    `stores` are URLs by service, `urls` those of the servers by name.
    """

    def check(service: str, url: str) -> Check:
        return lambda: check_store(f"store of {service}", url, _clock_of(url))

    checks = [check(service, url) for service, url in stores.items()]
    return [*checks, lambda: check_bus(urls["rabbitmq"]), lambda: check_mail(urls["smtp"])]


def _clock_of(url: str) -> Clock:
    """Return what asks a store; a URL may be of a server of one's own, such as rediss://."""
    clocks: dict[str, Clock] = {
        "postgres": _postgres_time,
        "mongodb": _mongodb_time,
        "redis": _redis_time,
    }
    scheme = urlsplit(url).scheme
    return next((ask for kind, ask in clocks.items() if scheme.startswith(kind)), _ask_graph)


def check_store(
    name: str, url: str, ask: Clock, now: Callable[[], float] = time.time
) -> Iterator[Finding]:
    """Ask a store for its time; judge whether it answers, and how far its clock is from ours."""
    began = now()
    try:
        theirs = ask(url)
    except SILENT as error:
        cure = f"scripts/status; scripts/logs {_server_of(url)}; docs/runbook.md, a store is down"
        yield wrong(name, f"{address(url)} does not answer: {type(error).__name__}", cure)
        return
    took = now() - began
    yield good(name, f"{address(url)} answers in {took * 1000:.0f} ms")
    if theirs is not None and not began - MAX_SKEW_SECONDS <= theirs <= now() + MAX_SKEW_SECONDS:
        skew = theirs - began
        cure = "set both clocks: a time service such as chrony must run on both machines"
        yield wrong("clock", f"that of {address(url)} differs by {skew:+.1f} s from ours", cure)


def address(url: str) -> str:
    """Return what kind of server a URL names, and where it is; no password."""
    parts = urlsplit(url)
    return f"{parts.scheme} at {parts.hostname}:{parts.port}"


def _server_of(url: str) -> str:
    """Return the name of the unit that serves a URL."""
    scheme = urlsplit(url).scheme
    servers = ("postgres", "mongodb", "redis")
    return next((name for name in servers if scheme.startswith(name)), "neo4j")


def _postgres_time(url: str) -> float:
    connection = psycopg2.connect(
        url, connect_timeout=TIMEOUT_SECONDS, options=f"-c statement_timeout={TIMEOUT_SECONDS}s"
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
            row = cursor.fetchone()
            assert row
            return float(row[0])
    finally:
        connection.close()


def _mongodb_time(url: str) -> float:
    milliseconds = TIMEOUT_SECONDS * 1000
    client: pymongo.MongoClient = pymongo.MongoClient(
        url,
        serverSelectionTimeoutMS=milliseconds,
        connectTimeoutMS=milliseconds,
        socketTimeoutMS=milliseconds,
        tz_aware=True,
    )
    with client:  # a replica set without a primary is not found in time
        return float(client.admin.command("hello")["localTime"].timestamp())


def _redis_time(url: str) -> float:
    with redis.Redis.from_url(
        url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
    ) as client:
        seconds, microseconds = client.time()
        return float(seconds + microseconds / 1e6)


def _ask_graph(url: str) -> None:
    driver, database = connect_graph(url)
    with driver, driver.session(database=database) as session:
        session.run("RETURN 1").consume()


def check_bus(url: str) -> Iterator[Finding]:
    """Judge whether RabbitMQ answers, and what waits in the queues of the consumers."""
    try:
        with rabbitmq.connection(url, "doctor") as connection:
            yield good("bus", f"{address(url)} answers")
            for queue in queues.ALL:
                for name in (queue.name, queue.dead):
                    declared = connection.channel().queue_declare(name, passive=True)
                    count = declared.method.message_count
                    yield from judge_queue(queue.consumer, name, count)
    except pika.exceptions.ChannelClosedByBroker as error:
        yield wrong("bus", error.reply_text, "restart that consumer: it declares its queue")
    except SILENT as error:
        cure = "scripts/logs rabbitmq; docs/runbook.md, the broker is frozen"
        yield wrong("bus", f"{address(url)} does not answer: {type(error).__name__}", cure)


def judge_queue(consumer: str, queue: str, count: int) -> Iterator[Finding]:
    """Judge the messages that wait in a queue of a consumer, or in that of its dead letters."""
    if queue == rabbitmq.dead_letter_queue(consumer):
        if count:
            cure = f"scripts/redrive {consumer} --list, mend the cause, scripts/redrive {consumer}"
            yield warning("bus", f"{count} dead letters of {consumer}", cure)
    elif count >= MANY_MESSAGES:
        cure = f"see what it waits for: scripts/logs {consumer}; docs/runbook.md"
        yield warning("bus", f"{count} messages wait for {consumer}", cure)


def check_mail(url: str) -> Iterator[Finding]:
    """Judge whether the mail server greets."""
    parts = urlsplit(url)
    try:
        with socket.create_connection(
            (parts.hostname, parts.port or 25), TIMEOUT_SECONDS
        ) as server:
            greeting = server.recv(3)
    except OSError as error:
        greeting, cause = b"", type(error).__name__
    else:
        cause = "no greeting"
    if greeting == b"220":
        yield good("mail", f"{address(url)} answers")
    else:
        cure = "scripts/logs smtp; mails wait meanwhile, none is lost"
        yield wrong("mail", f"{address(url)} does not answer: {cause}", cure)

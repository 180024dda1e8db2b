"""The command of scripts/verify: exits with 1 when an invariant is broken.

Nothing is changed. What looks broken is read a second time, ten seconds later: the stores are
not read at one moment, and orders may be in progress.
"""

import argparse
import logging
import sys
import textwrap
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import neo4j.exceptions
import pika.exceptions
import psycopg2
import pymongo.errors
import redis
import structlog
from rich.console import Console
from rich.text import Text

from scripts.manifests import read_services
from scripts.stack.client import NoStackError, Stack
from scripts.stack.settings import DEFAULT_DATA
from scripts.verification.facts import Facts
from scripts.verification.invariants import Invariant
from scripts.verification.judge import Verdict, judge, seen_twice
from scripts.verification.published import AnswersError
from scripts.verification.stores import StoredFacts, Urls
from services.common.errors import MamieRosaError

PAUSE_SECONDS = 10.0
MAX_SHOWN = 20
MAX_CAUSE = 120
SILENT = {
    "PostgreSQL": (psycopg2.OperationalError, psycopg2.InterfaceError),
    "MongoDB": (pymongo.errors.ConnectionFailure,),
    "Redis": (redis.ConnectionError, redis.TimeoutError),
    "the graph": (neo4j.exceptions.DriverError, neo4j.exceptions.TransientError),
    "RabbitMQ": (pika.exceptions.AMQPError,),
    "a server": (OSError, MamieRosaError),
}
"""What drivers raise when a server does not answer, or not well."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge the invariants of a running stack and return the exit status."""
    options = _parser().parse_args(arguments)
    console = Console(soft_wrap=True, highlight=False)
    _mute_drivers()
    try:
        return verify(
            read_urls(Stack(options.data)),
            console,
            answers=options.answers,
            within=timedelta(seconds=options.within),
        )
    except (NoStackError, AnswersError) as error:
        failure = str(error)
    except tuple(error for errors in SILENT.values() for error in errors) as error:
        failure = explain(error)
    console.print(Text(failure, "red"))
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/verify", description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="data directory")
    parser.add_argument(
        "--answers", type=Path, metavar="FILE", help="recorded answers to orders with a key"
    )
    parser.add_argument(
        "--within", type=float, default=60, metavar="SECONDS", help="how long an order may take"
    )
    return parser


def _mute_drivers() -> None:
    """Keep drivers and readers from logging what is printed once, at the end."""
    for library in ("pika", "neo4j"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))


def explain(error: Exception) -> str:
    """Return one line about a server that does not answer."""
    name = next(name for name, errors in SILENT.items() if isinstance(error, errors))
    cause = textwrap.shorten(str(error), MAX_CAUSE, placeholder="...") or type(error).__name__
    return f"{name} does not answer: {cause}; see scripts/doctor"


class Located(Protocol):
    """A stack whose parts have URLs."""

    def url(self, name: str) -> str:
        """Return the URL of a server."""

    def store_url(self, service: str) -> str:
        """Return the URL of a service's store."""


def read_urls(stack: Located) -> Urls:
    """Return where the stores of a running stack are; NoStackError."""
    bus = stack.url("rabbitmq")
    services = [each.name for each in read_services() if each.store]
    return Urls(stores={name: stack.store_url(name) for name in services}, bus=bus)


def verify(urls: Urls, console: Console, *, answers: Path | None, within: timedelta) -> int:
    """Judge the invariants, print a line for each and return the exit status."""
    with StoredFacts(urls, answers) as facts:
        return print_verdict(console, judge_twice(facts, within=within))


def print_verdict(console: Console, verdict: Verdict) -> int:
    """Print a line for each invariant and what breaks it; return the exit status."""
    for number, invariant in enumerate(Invariant, 1):
        title = Text(f"{number}  {invariant}: ")
        console.print(title.append_text(_outcome(verdict, invariant)))
        found = verdict.of(invariant)
        for each in found[:MAX_SHOWN]:
            console.print(Text(f"     {each.subject}: {each.problem}"))
        if len(found) > MAX_SHOWN:
            console.print(Text(f"     and {verdict.totals[invariant] - MAX_SHOWN} more"))
    console.print(", ".join(f"{count} {name}" for name, count in verdict.counts.items() if count))
    return int(not verdict.holds)


def _outcome(verdict: Verdict, invariant: Invariant) -> Text:
    if count := verdict.totals[invariant]:
        return Text(f"{count} times broken", "red")
    if invariant is Invariant.KEYS and not verdict.counts["answers"]:
        return Text("not judged (no --answers)", "yellow")
    return Text("holds", "green")


def judge_twice(
    facts: Facts, *, within: timedelta, pause_seconds: float = PAUSE_SECONDS
) -> Verdict:
    """Judge, and again after a pause if anything is broken: what is so both times counts."""
    first = judge(facts, datetime.now(UTC), within=within)
    if first.holds:
        return first
    threading.Event().wait(pause_seconds)
    return seen_twice(first, judge(facts, datetime.now(UTC), within=within))


if __name__ == "__main__":
    sys.exit(main())

"""The command of scripts/demo: customers who order at a chosen rate, through Envoy only.

They register, search, fill a cart, sometimes use a promotion code, order, follow the order, and
rate or cancel it. A visit makes about eight requests: with the edge's default limits (100 requests
a minute from one address) some ten visits a minute are possible.
"""

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import requests
from rich.console import Console
from rich.live import Live
from rich.table import Table

from scripts.load.journeys import Answer, Customers, Journey, Outcome, Send, Tally
from scripts.stack.client import NoStackError, Stack
from scripts.stack.runner import stop_on_signals
from scripts.stack.settings import DEFAULT_DATA

DEFAULT_RATE = 0.15
MAX_RATE = 100.0
MAX_AT_ONCE = 64
TIMEOUT_SECONDS = 10
UNLIMITED = (
    "MAMIE_RATE_LIMIT_PER_MINUTE=1000000 MAMIE_LOGIN_RATE_LIMIT_PER_MINUTE=1000000 scripts/up"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Let customers order until it is stopped; return 1 when no order was placed."""
    options = _parser().parse_args(arguments)
    console = Console()
    try:
        url = Stack(options.data).url("http")
    except NoStackError as error:
        print(f"{error}; scripts/up starts one", file=sys.stderr)
        return 1
    stop, tally = threading.Event(), Tally()
    stop_on_signals(stop)
    send = open_shop(url)
    customers, random = Customers(), Random()  # noqa: S311 - no secret

    def visit() -> None:
        Journey(
            send=send,
            tally=tally,
            customers=customers,
            random=Random(random.random()),  # noqa: S311 - no secret
            stop=stop,
        ).run()

    with Live(Summary(tally, time.monotonic()), console=console, refresh_per_second=2):
        pace(visit, tally, stop, rate=options.rate, seconds=options.seconds)
    counts, _ = tally.read()
    if counts[Outcome.LIMITED]:
        console.print(f"For a higher rate, without limits: {UNLIMITED}", soft_wrap=True)
    return int(not counts[Outcome.ORDERED])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="data directory")
    parser.add_argument(
        "--rate", type=_rate, default=DEFAULT_RATE, metavar="N", help="visits a second: %(default)s"
    )
    parser.add_argument(
        "--seconds", type=_seconds, metavar="N", help="for how long; without it until Ctrl-C"
    )
    return parser


def _rate(text: str) -> float:
    return _number(text, MAX_RATE)


def _seconds(text: str) -> float:
    return _number(text, 1e6)


def _number(text: str, maximum: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= maximum:  # not for NaN either
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0, up to {maximum:g}")
    return number


def open_shop(url: str) -> Send:
    """Return what sends requests to the shop; each thread has connections of its own."""
    threads = threading.local()

    def session() -> requests.Session:
        if not hasattr(threads, "session"):
            threads.session = requests.Session()
            threads.session.trust_env = False  # no proxy between this machine and itself
        opened: requests.Session = threads.session
        return opened

    def send(
        method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> Answer:
        try:
            answer = session().request(
                method, url + path, json=body, headers=headers, timeout=TIMEOUT_SECONDS
            )
            return Answer(answer.status_code, answer.json())
        except (requests.RequestException, ValueError):
            return Answer(0)

    return send


def pace(
    visit: Callable[[], None],
    tally: Tally,
    stop: threading.Event,
    *,
    rate: float,
    seconds: float | None = None,
    at_once: int = MAX_AT_ONCE,
) -> None:
    """Begin `rate` visits a second, whatever the earlier ones do; return when all have ended.

    A visit that would be one of more than `at_once` is skipped, and counted so.
    """
    began, number = time.monotonic(), 0
    room = threading.BoundedSemaphore(at_once)

    def run() -> None:
        try:
            visit()
        finally:
            room.release()

    with ThreadPoolExecutor(at_once, "visit") as pool:
        while seconds is None or number / rate < seconds:
            if stop.wait(max(0.0, began + number / rate - time.monotonic())):
                return
            if room.acquire(blocking=False):
                pool.submit(run)
            else:
                tally.add(Outcome.SKIPPED)
            number += 1


class Summary:
    """What has happened so far; rich renders it again and again."""

    def __init__(self, tally: Tally, began: float) -> None:
        self._tally = tally
        self._began = began

    def __rich__(self) -> Table:
        """Return the table as it is now."""
        counts, seconds = self._tally.read()
        elapsed = time.monotonic() - self._began
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right")
        for outcome in Outcome:
            bad = outcome in (Outcome.LIMITED, Outcome.FAILED, Outcome.SKIPPED, Outcome.OPEN)
            if counts[outcome] or outcome is Outcome.ORDERED:
                table.add_row(str(counts[outcome]), outcome, style="red" if bad else "")
        table.add_row(
            f"{elapsed:.0f} s", f"{counts[Outcome.ORDERED] / elapsed:.2f} orders a second"
        )
        if seconds:
            p95 = seconds[int(len(seconds) * 0.95)]
            median = statistics.median(seconds) * 1000
            table.add_row("", f"an order is answered in {median:.0f} ms, p95 {p95 * 1000:.0f} ms")
        return table


if __name__ == "__main__":
    sys.exit(main())

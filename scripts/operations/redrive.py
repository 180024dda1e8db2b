"""The command of scripts/redrive: moves dead letters back to their consumer, or lists them."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import pika
import pika.exceptions
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scripts.manifests import read_services
from scripts.stack.client import NoStackError, Stack
from scripts.stack.settings import DEFAULT_DATA
from services.common.messaging import dead_letters, rabbitmq
from services.common.messaging.dead_letters import DeadLetter

CONSUMERS = [service.name for service in read_services() if service.consumes]
COLUMNS = ("event", "type", "subject", "reason", "died", "bytes")
PIPED_WIDTH = 180


def main(arguments: Sequence[str] | None = None) -> int:
    """Redrive or list dead letters of a running stack and return the exit status."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # the failure is printed below, once
    queue = rabbitmq.Queue(options.consumer, ())
    try:
        with rabbitmq.connection(Stack(options.data).url("rabbitmq"), "redrive") as connection:
            if options.list:
                print_list(
                    console, dead_letters.list_dead_letters(connection, queue, options.limit), queue
                )
            else:
                moved = dead_letters.redrive(connection, queue, options.limit)
                console.print(f"{moved} messages moved back to {queue.name}", highlight=False)
            return 0
    except NoStackError as error:
        failure = str(error)
    except pika.exceptions.ChannelClosedByBroker as error:
        failure = error.reply_text
    except (pika.exceptions.AMQPError, OSError) as error:
        failure = f"RabbitMQ does not answer: {error!r}; no message is lost, run this again"
    console.print(Text(failure, "red"), soft_wrap=True)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/redrive", description=__doc__)
    parser.add_argument("consumer", choices=CONSUMERS)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="data directory")
    parser.add_argument("--list", action="store_true", help="only list them")
    parser.add_argument("--limit", type=_limit, metavar="N", help="the N oldest only")
    return parser


def _limit(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def print_list(console: Console, letters: Sequence[DeadLetter], queue: rabbitmq.Queue) -> None:
    """Print one line a message, the oldest first."""
    table = Table(box=None, padding=(0, 2))
    for title in COLUMNS:
        table.add_column(title, overflow="fold", justify="right" if title == "bytes" else "left")
    for letter in letters:
        table.add_row(*(Text(str(cell)) for cell in _row(letter)))
    if letters:
        console.print(table, highlight=False)
    console.print(f"{len(letters)} messages in {queue.dead}", highlight=False)


def _row(letter: DeadLetter) -> tuple[object, ...]:
    """Return the cells of a message; one that is no event has its message id, if any."""
    event, message_id = letter.event, letter.properties.message_id or "-"
    what = (event.id, event.type, event.subject) if event else (message_id, "unreadable", "-")
    died = f"{letter.died_at.astimezone():%Y-%m-%d %H:%M:%S}" if letter.died_at else "-"
    return (*what, letter.reason or "-", died, len(letter.body))


if __name__ == "__main__":
    raise SystemExit(main())

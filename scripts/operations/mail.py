"""The command of scripts/mail: lists the mails of the local mail server, or shows one.

The mail server (scripts.stack.mailbox) stores every mail in a Maildir; the oldest is number 1.
"""

import argparse
import email
import email.policy
import mailbox
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scripts.stack.settings import DEFAULT_DATA

SHOWN = ("Date", "From", "To", "Subject", "Message-ID")
PIPED_WIDTH = 160


@dataclass(frozen=True)
class Mail:
    """One mail, and when it was received."""

    received: datetime
    message: EmailMessage


def main(arguments: Sequence[str] | None = None) -> int:
    """List the mails, or show one, and return the exit status."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    mails = read_mails(options.data.resolve() / "mailbox")
    if options.number is None:
        print_list(console, mails)
        return 0
    if not 1 <= options.number <= len(mails):
        console.print(f"There is no mail {options.number}; there are {len(mails)}.")
        return 1
    print_mail(console, mails[options.number - 1])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/mail", description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="data directory")
    parser.add_argument("number", type=int, nargs="?", metavar="N", help="show this mail")
    return parser


def read_mails(folder: Path) -> list[Mail]:
    """Return the mails of a Maildir, oldest first; none when there is no Maildir."""
    try:
        box = mailbox.Maildir(folder, create=False)
    except mailbox.NoSuchMailboxError:
        return []
    in_order = sorted((box.get_message(key).get_date(), key) for key in box.keys())  # noqa: SIM118
    return [_read(box, key, seconds) for seconds, key in in_order]


def _read(box: mailbox.Maildir, key: str, seconds: float) -> Mail:
    message = email.message_from_bytes(box.get_bytes(key), policy=email.policy.default)
    return Mail(datetime.fromtimestamp(seconds, UTC), message)


def print_list(console: Console, mails: Sequence[Mail]) -> None:
    """Print one line a mail, the newest last."""
    if not mails:
        console.print("There are no mails yet.")
        return
    table = Table(box=None, padding=(0, 2))
    table.add_column("N", justify="right")
    for title in ("time", "to", "subject"):
        table.add_column(title, no_wrap=True)
    for number, mail in enumerate(mails, 1):
        received = f"{mail.received.astimezone():%Y-%m-%d %H:%M:%S}"
        to, subject = (Text(mail.message.get(name, "")) for name in ("To", "Subject"))
        table.add_row(str(number), received, to, subject)
    console.print(table, highlight=False)


def print_mail(console: Console, mail: Mail) -> None:
    """Print the headers and the text of a mail."""
    for name in SHOWN:
        console.out(f"{name}: {mail.message.get(name, '')}", highlight=False)
    console.out(f"\n{read_text(mail.message)}", highlight=False)


def read_text(message: EmailMessage) -> str:
    """Return the text part of a mail, or its HTML when that is all there is."""
    body = message.get_body(("plain", "html"))
    return body.get_content().replace("\r\n", "\n") if body else "(It has no text.)"


if __name__ == "__main__":
    raise SystemExit(main())

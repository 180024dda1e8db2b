"""The command of scripts/replay: rebuilds a store from the event log, or catches up with it."""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from scripts.paths import ROOT
from scripts.stack.client import NoStackError, Stack
from scripts.stack.settings import DEFAULT_DATA

SERVICES = ("recommendations", "notifications")
"""The first has the commands `rebuild` and `rebuild-partial`, the second has `catch-up`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Become a command of the service, beside its instances; return 1 without a stack."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if (options.service == "notifications") != bool(options.since):
        parser.error("notifications needs --since, and recommendations has none")
    try:
        environment = environment_of(Stack(options.data), options.service)
    except NoStackError as error:
        print(error, file=sys.stderr)
        return 1
    if options.since:
        verb, environment["MAMIE_REPLAY_SINCE"] = "catch-up", options.since.isoformat()
    else:
        verb = "rebuild-partial" if options.partial else "rebuild"
    command = [sys.executable, "-m", f"services.{options.service}", verb]
    return os.execve(sys.executable, command, os.environ | environment)  # noqa: S606


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/replay", description=__doc__)
    parser.add_argument("service", choices=SERVICES)
    parser.add_argument(
        "--partial", action="store_true", help="also from a log whose oldest events are gone"
    )
    parser.add_argument(
        "--since",
        type=_moment,
        metavar="TIME",
        help="for notifications: since when, as 2026-01-31T08:00 (UTC without an offset)",
    )
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="data directory")
    return parser


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time as 2026-01-31T08:00") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def environment_of(stack: Stack, service: str) -> dict[str, str]:
    """Return the environment of a service's command on a running stack."""
    state = stack.describe()
    return {
        "PYTHONPATH": f"{ROOT}:{ROOT / 'build' / 'gen'}",
        "MAMIE_INSTANCE": f"{service}-replay",
        "MAMIE_BUS_URL": state["urls"]["rabbitmq"],
        "MAMIE_STORE_URL": state["stores"][service],
        "MAMIE_SMTP_URL": state["urls"]["smtp"],
    }


if __name__ == "__main__":
    raise SystemExit(main())

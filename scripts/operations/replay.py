"""The command of scripts/replay: rebuilds the store of a service from the event log."""

import argparse
import os
import sys
from pathlib import Path

from scripts.paths import ROOT
from scripts.stack.client import NoStackError, Stack
from scripts.stack.settings import DEFAULT_DATA

REBUILDABLE = ("recommendations",)
"""Services with the commands `rebuild` and `rebuild-partial`."""


def main() -> int:
    """Become `rebuild` of the service, beside its instances; return 1 without a stack."""
    parser = argparse.ArgumentParser(prog="scripts/replay", description=__doc__)
    parser.add_argument("service", choices=REBUILDABLE)
    parser.add_argument(
        "--partial", action="store_true", help="also from a log whose oldest events are gone"
    )
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="data directory")
    options = parser.parse_args()
    try:
        environment = environment_of(Stack(options.data), options.service)
    except NoStackError as error:
        print(error, file=sys.stderr)
        return 1
    verb = "rebuild-partial" if options.partial else "rebuild"
    command = [sys.executable, "-m", f"services.{options.service}", verb]
    return os.execve(sys.executable, command, os.environ | environment)  # noqa: S606


def environment_of(stack: Stack, service: str) -> dict[str, str]:
    """Return the environment of a service's command on a running stack."""
    state = stack.describe()
    return {
        "PYTHONPATH": f"{ROOT}:{ROOT / 'build' / 'gen'}",
        "MAMIE_INSTANCE": f"{service}-replay",
        "MAMIE_BUS_URL": state["urls"]["rabbitmq"],
        "MAMIE_STORE_URL": state["stores"][service],
    }


if __name__ == "__main__":
    raise SystemExit(main())

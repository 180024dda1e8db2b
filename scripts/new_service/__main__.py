"""The command behind scripts/new-service: creates a service and starts it where the shop runs."""

import argparse
import subprocess
import sys
from pathlib import Path

from scripts.new_service.render import BadNameError, create
from scripts.openapi import files
from scripts.paths import ROOT
from scripts.protos import generate
from scripts.stack.client import CommandFailedError, NoStackError, Stack
from scripts.stack.settings import DEFAULT_DATA


def main() -> int:
    """Create the service and return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/new-service", description=__doc__)
    parser.add_argument("name", help="2 to 20 lower-case letters and digits, such as wishlist")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="data of the running stack")
    options = parser.parse_args()
    try:
        written = create(options.name)
    except BadNameError as error:
        print(error, file=sys.stderr)
        return 2
    _format([file for file in written if file.suffix == ".py"])
    for file in written:
        print(file.relative_to(ROOT))
    generate.main()
    files.write()
    return _start(options.name, Stack(options.data))


def _format(files: list[Path]) -> None:
    """Sort the imports and wrap the lines; both depend on the name."""
    for command in (["check", "--quiet", "--select", "I", "--fix"], ["format", "--quiet"]):
        subprocess.run(["ruff", *command, *map(str, files)], cwd=ROOT, check=True)


def _start(name: str, stack: Stack) -> int:
    """Let the running stack adopt the service; without a stack scripts/up starts it."""
    try:
        stack.reload()
        print(f"{name} runs: {stack.url('http')}/api/{name}")
    except NoStackError:
        print("No stack runs: scripts/up starts it.")
    except CommandFailedError as error:
        print(f"{error}\nscripts/reload tries again.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

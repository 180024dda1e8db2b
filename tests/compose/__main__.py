"""From nothing to the tested shop in containers: `scripts/test --compose [pytest's arguments]`.

An engine of the tests' own, stand-ins for the official images (none is pulled), our image,
`docker compose up --wait`, every test of the shop that containers can have, `down`. It needs
root. The engine has a network of its own, so all of it runs beside a shop, on the usual ports.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from scripts.paths import ROOT
from tests.compose import standins
from tests.compose.engine import NoEngineError, engine

TESTS = ["tests/compose", "tests/e2e", "tests/faults/test_mesh.py"]
NO_ENGINE = 77
"""The exit status by which test harnesses know what could not be tried."""
SETTINGS = {
    "MAMIE_TEST_STACK": "compose",
    "MAMIE_RATE_LIMIT_PER_MINUTE": "1000000",
    "MAMIE_LOGIN_RATE_LIMIT_PER_MINUTE": "1000000",
}


def main() -> int:
    """Return the exit status of the tests, or NO_ENGINE with the reason."""
    try:
        return test_containers()
    except NoEngineError as error:
        print(f"No Docker engine can run here: {error}", file=sys.stderr)
        return NO_ENGINE


def test_containers() -> int:
    """Do all of it, print how long each part took, and return the exit status of the tests."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # also then everything is put away
    tests = ["pytest", *(sys.argv[1:] or TESTS)]
    with timed("all"), engine() as running:
        os.environ.update(running.environment)
        os.environ.update(SETTINGS)
        with timed("stand-ins"):
            standins.build()
        with timed("secrets and image"):
            run("scripts/secrets")
            run("docker", "compose", "build", "--quiet")
        try:
            with timed("up --wait"):
                run("docker", "compose", "up", "--detach", "--wait")
            run("docker", "stats", "--no-stream", "--format", "table {{.Name}}\t{{.MemUsage}}")
            with timed("tests"):
                command = running.inside(sys.executable, "-m", *tests)
                return subprocess.run(command, cwd=ROOT, check=False).returncode
        finally:
            with timed("down"):
                run("docker", "compose", "down", "--volumes", "--timeout", "15")


def run(*command: str) -> None:
    """Run a command; CalledProcessError when it fails."""
    subprocess.run(command, cwd=ROOT, check=True)


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long the block took."""
    began = time.monotonic()
    yield
    print(f"== {what}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

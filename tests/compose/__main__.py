"""Test the shop in containers, from scratch: `scripts/test --compose [arguments of pytest]`.

Start a separate Docker engine, build stand-ins for the official images (none is pulled) and the
shop's image, run `docker compose up --wait`, the tests that fit containers, and `down`. It needs
root. The engine has a network of its own, so it runs beside another shop, on the usual ports.
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
"""The exit status of a test that cannot run here, as test harnesses know it."""
SETTINGS = {
    "MAMIE_TEST_STACK": "compose",
    "MAMIE_RATE_LIMIT_PER_MINUTE": "1000000",
    "MAMIE_LOGIN_RATE_LIMIT_PER_MINUTE": "1000000",
}


def main() -> int:
    """Return the exit status of the tests; print the reason of NO_ENGINE."""
    try:
        return test_containers()
    except NoEngineError as error:
        print(f"No Docker engine can run here: {error}", file=sys.stderr)
        return NO_ENGINE


def test_containers() -> int:
    """Build, start, test and stop the shop; return the exit status of the tests."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # everything is removed then too
    tests = ["pytest", *(sys.argv[1:] or TESTS)]
    with timed("all"), engine() as running:
        os.environ.update(running.environment)
        os.environ.update(SETTINGS)
        build_images()
        with shop_up(), timed("tests"):
            command = running.inside(sys.executable, "-m", *tests)
            return subprocess.run(command, cwd=ROOT, check=False).returncode


def build_images() -> None:
    """Build the stand-ins, the secrets and the shop's image."""
    with timed("stand-ins"):
        standins.build()
    with timed("secrets and image"):
        run("scripts/secrets")
        run("docker", "compose", "build", "--quiet")


@contextmanager
def shop_up() -> Iterator[None]:
    """Run the shop inside the block; remove it with its data afterwards."""
    try:
        with timed("up --wait"):
            run("docker", "compose", "up", "--detach", "--wait")
        run("docker", "stats", "--no-stream", "--format", "table {{.Name}}\t{{.MemUsage}}")
        yield
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

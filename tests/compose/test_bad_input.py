"""Faulty settings are named in one line by `docker compose up`, or by the log it points to."""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from scripts.paths import ROOT

pytestmark = [pytest.mark.compose, pytest.mark.timeout(240)]


class Copy:
    """A copy of the Compose project that shares only the images."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("consul", "deploy", ".secrets"):
            shutil.copytree(ROOT / name, folder / name)
        shutil.copy(ROOT / "compose.yaml", folder)
        self._compose = ["docker", "compose", "--project-name", "mamie-rosa-bad"]

    def compose(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Run docker compose and return (exit status, output)."""
        done = subprocess.run(
            [*self._compose, *arguments],
            cwd=self.folder,
            env=os.environ | environment,
            check=False,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr

    def up(self, *services: str, **environment: str) -> tuple[int, str]:
        """Start some services and their dependencies."""
        return self.compose("up", "--detach", "--wait", *services, **environment)


@pytest.fixture
def project(tmp_path):
    copy = Copy(tmp_path)
    yield copy
    copy.compose("down", "--volumes", "--timeout", "5")


def last_line(output):
    return output.strip().splitlines()[-1]


def test_a_missing_secret_is_named(project):
    (project.folder / ".secrets" / "postgres-password").unlink()
    status, output = project.up("postgres")
    assert status != 0
    assert re.search(r"does not exist: .*/\.secrets/postgres-password$", last_line(output))


def test_a_port_in_use_is_named(project):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, output = project.up("mail", MAMIE_MAIL_PORT=str(port))
    assert status != 0
    assert re.search(rf"127\.0\.0\.1:{port}.* (already|in use)", last_line(output))


def test_a_wrong_password_of_a_store_is_named_in_the_log_of_the_failed_task(project):
    url = project.folder / ".secrets" / "users-store-url"
    valid = url.read_text()
    # To its end: it reads the URL that is changed below.
    assert project.compose("run", "--rm", "stores-prepare")[0] == 0
    url.chmod(0o644)
    url.write_text(re.sub(r":[^:@]+@", ":wrong@", valid))
    status, output = project.compose("run", "--rm", "--no-deps", "users-prepare")
    assert status == 1
    gave_up = [line for line in output.splitlines() if '"gave_up"' in line]
    assert len(gave_up) == 1
    assert 'password authentication failed for user \\"users\\"' in gave_up[0]
    assert "Traceback" not in output


def test_a_bad_variable_is_named(project):
    # To its end: `up --wait` is content with a task that has only begun.
    task = ("run", "--rm", "--no-deps", "edge-prepare")
    status, output = project.compose(*task, MAMIE_RATE_LIMIT_PER_MINUTE="many")
    assert status != 0
    assert "MAMIE_RATE_LIMIT_PER_MINUTE" in output


def test_an_engine_that_is_too_old_is_named(project):
    status, output = project.up("redis", DOCKER_API_VERSION="1.41")
    assert status != 0
    assert "requires API version 1.44, but the Docker daemon API version is 1.41" in output

"""What is wrong is named in one line by `docker compose up`, or by the log that it points to."""

import os
import re
import shutil
import socket
import subprocess

import pytest

from scripts.paths import ROOT

pytestmark = [pytest.mark.compose, pytest.mark.timeout(240)]


class Copy:
    """A copy of the project; nothing of it is shared but the images."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("consul", "deploy", ".secrets"):
            shutil.copytree(ROOT / name, folder / name)
        shutil.copy(ROOT / "compose.yaml", folder)
        self._compose = ["docker", "compose", "--project-name", "mamie-rosa-bad"]

    def compose(self, *arguments, **environment):
        """Run docker compose and return (exit status, what it said)."""
        done = subprocess.run(
            [*self._compose, *arguments],
            cwd=self.folder,
            env=os.environ | environment,
            check=False,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr

    def up(self, *services, **environment):
        """Start some services, and what they need."""
        return self.compose("up", "--detach", "--wait", *services, **environment)


@pytest.fixture
def project(tmp_path):
    copy = Copy(tmp_path)
    yield copy
    copy.compose("down", "--volumes", "--timeout", "5")


def last_line(said):
    return said.strip().splitlines()[-1]


def test_a_missing_secret_is_named(project):
    (project.folder / ".secrets" / "postgres-password").unlink()
    status, said = project.up("postgres")
    assert status != 0
    assert re.search(r"does not exist: .*/\.secrets/postgres-password$", last_line(said))


def test_a_port_that_is_taken_is_named(project):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, said = project.up("mail", MAMIE_MAIL_PORT=str(port))
    assert status != 0
    assert re.search(rf"127\.0\.0\.1:{port}.* (already|in use)", last_line(said))


def test_a_store_that_refuses_a_password_is_named_in_the_log_of_what_failed(project):
    url = project.folder / ".secrets" / "users-store-url"
    right = url.read_text()
    assert project.up("stores-prepare")[0] == 0
    url.chmod(0o644)
    url.write_text(re.sub(r":[^:@]+@", ":wrong@", right))
    status, said = project.compose("run", "--rm", "--no-deps", "users-prepare")
    assert status == 1
    gave_up = [line for line in said.splitlines() if '"gave_up"' in line]
    assert len(gave_up) == 1
    assert 'password authentication failed for user \\"users\\"' in gave_up[0]
    assert "Traceback" not in said


def test_a_bad_variable_is_named(project):
    status, _ = project.up("edge-prepare", MAMIE_RATE_LIMIT_PER_MINUTE="many")
    assert status != 0
    _, log = project.compose("logs", "--no-log-prefix", "edge-prepare")
    assert "MAMIE_RATE_LIMIT_PER_MINUTE" in last_line(log)


def test_an_engine_that_is_too_old_is_named(project):
    status, said = project.up("redis", DOCKER_API_VERSION="1.41")
    assert status != 0
    assert "requires API version 1.44, but the Docker daemon API version is 1.41" in said

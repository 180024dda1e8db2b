"""A missing or invalid variable ends the process and is named."""

import os
import socket
import subprocess
import sys

import pytest
from environs import Env

from scripts.paths import ROOT
from services.common.config import ServiceConfig, reading_environment

GOOD = {"MAMIE_INSTANCE": "catalog-1", "MAMIE_STORE_URL": "postgresql://127.0.0.1:1/none"}


@pytest.fixture
def environment(monkeypatch):
    """Return a function that sets MAMIE_ variables; none is set before."""
    for name in [name for name in os.environ if name.startswith("MAMIE_")]:
        monkeypatch.delenv(name)

    def use(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(f"MAMIE_{name}", value)

    return use


def read():
    with reading_environment() as env:
        return ServiceConfig.read(env)


def test_variables_have_defaults(environment):
    environment(INSTANCE="catalog-1")
    config = read()
    assert (config.host, config.advertise_host, config.port) == ("127.0.0.1", "127.0.0.1", 0)
    assert config.consul_url == "http://127.0.0.1:8500"
    assert config.xds_servers == ("127.0.0.1:18000",)
    assert (config.worker_threads, config.queue_limit, config.log_level) == (16, 64, "info")


def test_an_instance_is_registered_with_its_host_by_default(environment):
    environment(INSTANCE="catalog-1", HOST="10.0.0.1")
    assert read().advertise_host == "10.0.0.1"
    environment(ADVERTISE_HOST="10.0.0.2")
    assert read().advertise_host == "10.0.0.2"


def test_an_instance_that_listens_everywhere_has_no_configured_address(environment):
    environment(HOST="0.0.0.0")
    assert read().advertise_host == ""


def test_an_instance_is_named_after_its_machine_by_default(environment):
    assert read().instance == socket.gethostname()


def test_a_variable_can_be_read_from_a_file(environment, tmp_path):
    (tmp_path / "bus-url").write_text("amqp://mamie:secret@rabbitmq/%2F\n")
    environment(BUS_URL_FILE=str(tmp_path / "bus-url"))
    assert read().bus_url == "amqp://mamie:secret@rabbitmq/%2F"


def test_a_missing_file_is_named(environment, capsys, tmp_path):
    environment(BUS_URL_FILE=str(tmp_path / "none"))
    with pytest.raises(SystemExit):
        read()
    assert "MAMIE_BUS_URL_FILE" in capsys.readouterr().err


def test_there_can_be_several_control_planes(environment):
    environment(INSTANCE="catalog-1", XDS_SERVERS="a:1,b:2")
    assert read().xds_servers == ("a:1", "b:2")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("WORKER_THREADS", "0"),
        ("QUEUE_LIMIT", "many"),
        ("DRAIN_SECONDS", "61"),
        ("STOP_GRACE_SECONDS", "-1"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_bad_variable_ends_the_process_and_is_named_in_one_line(
    environment, capsys, variable, value
):
    environment(INSTANCE="catalog-1", **{variable: value})
    with pytest.raises(SystemExit) as caught:
        read()
    message = capsys.readouterr().err
    assert caught.value.code == 2
    assert f"MAMIE_{variable}" in message
    assert message.count("\n") == 1


def test_a_missing_variable_is_named(environment, capsys):
    with pytest.raises(SystemExit), reading_environment() as env:
        env.str("STORE_URL")
    assert "MAMIE_STORE_URL" in capsys.readouterr().err


def test_what_is_raised_for_another_reason_passes(environment):
    with pytest.raises(ZeroDivisionError), reading_environment() as env:
        assert isinstance(env, Env)
        raise ZeroDivisionError


@pytest.mark.integration
class TestAsAProcess:
    def start(self, *arguments, **variables):
        path = os.pathsep.join(map(str, (ROOT, ROOT / "build" / "gen")))
        chosen = {name: value for name, value in {**GOOD, **variables}.items() if value}
        inherited = {key: value for key, value in os.environ.items() if "MAMIE" not in key}
        return subprocess.run(
            [sys.executable, "-m", "services.catalog", *arguments],
            cwd=ROOT,
            env=inherited | {"PYTHONPATH": path} | chosen,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @pytest.mark.parametrize(
        ("variables", "named"),
        [({"MAMIE_STORE_URL": ""}, "MAMIE_STORE_URL"), ({"MAMIE_PORT": "http"}, "MAMIE_PORT")],
    )
    def test_it_ends_with_status_2_and_one_line(self, variables, named):
        ended = self.start(**variables)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.count("\n") == 1
        assert named in ended.stderr

    def test_an_unknown_verb_is_named_with_those_there_are(self):
        ended = self.start("fly")
        assert ended.returncode == 2
        assert ended.stderr == "unknown verb 'fly'; there are: serve, migrate, seed\n"

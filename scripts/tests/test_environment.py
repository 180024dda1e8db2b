"""The environments of processes: no variable of the developer, no secret of another process."""

import os
import re

import pytest

from scripts.paths import ROOT
from scripts.stack.environment import private_environment, tuning
from scripts.stack.plan import make_plan
from scripts.stack.settings import read_settings
from tests.support import hostile

OURS = re.compile(
    r"PATH|HOME|LANG|TZ|TMPDIR|PYTHONPATH|MAMIE_\w+|ERL_EPMD_\w+|GOMEMLIMIT"
    r"|RABBITMQ_(NODENAME|\w+_PORT|\w+_BASE|\w+_FILE|SERVER_ADDITIONAL_ERL_ARGS)"
)


@pytest.fixture
def units(tmp_path, monkeypatch):
    """Return the environment of every process of a stack that starts in a hostile shell."""
    for name, value in ({**hostile.VARIABLES, "MAMIE_ADMIN_PASSWORD": "Ch0sen-password"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("scripts.stack.servers._init_postgres", lambda *_: None)
    (tmp_path / "postgres").mkdir()
    plan = make_plan(read_settings(tmp_path), {})
    base = private_environment(tmp_path / "home")
    return {unit.name: {**base, **unit.environment} for unit in plan.units}


def test_no_process_has_a_variable_of_the_developer(units):
    names = {name for environment in units.values() for name in environment}
    assert [name for name in sorted(names) if not OURS.fullmatch(name)] == []
    values = {value for environment in units.values() for value in environment.values()}
    assert not values & set(hostile.VARIABLES.values())


def test_the_administrators_password_goes_to_the_task_that_needs_it_alone(units):
    with_it = [name for name, has in units.items() if "Ch0sen-password" in has.values()]
    assert with_it == ["users-prepare"]


def test_a_service_has_the_url_of_its_own_store_alone(units):
    passwords = {
        name: re.findall(r"://\w+:([^@]+)@", " ".join(has.values())) for name, has in units.items()
    }
    catalog, payments = set(passwords["catalog-1"]), set(passwords["payments-1"])
    assert catalog
    assert payments
    assert not (catalog - {"guest"}) & (payments - {"guest"})
    assert passwords["storefront-1"] == passwords["control_plane"] == passwords["envoy"] == []


def test_dot_files_are_read_from_a_private_home(units):
    assert os.environ["HOME"] not in {environment["HOME"] for environment in units.values()}


def test_settings_that_tune_services_reach_them_but_no_secret_does():
    chosen = {
        "MAMIE_LOG_LEVEL": "debug",
        "MAMIE_KEY_LIFE_SECONDS": "3600",
        "MAMIE_ADMIN_PASSWORD": "x",
        "MAMIE_POSTGRES_URL": "x",
        "MAMIE_STORE_URL_FILE": "x",
        "MAMIE_SMS_API_KEY": "x",
        "MAMIE_HTTP_PORT": "8081",
        "EDITOR": "vi",
    }
    assert set(tuning(chosen)) == {"MAMIE_LOG_LEVEL", "MAMIE_KEY_LIFE_SECONDS"}


def test_no_setting_of_a_service_is_withheld_but_those_that_the_plan_gives():
    """A new MAMIE_ variable of a service is either tuned by a person or set by the plan."""
    text = "\n".join(file.read_text() for file in ROOT.glob("services/*/config.py"))
    names = set(re.findall(r"(?:env\.\w+\(|read_email\(env,)\s*\"(\w+)\"", text))
    tuned = {name.removeprefix("MAMIE_") for name in tuning({f"MAMIE_{n}": "" for n in names})}
    given = {
        *(
            "INSTANCE",
            "HOST",
            "ADVERTISE_HOST",
            "PORT",
            "METRICS_PORT",
            "CONSUL_URL",
            "XDS_SERVERS",
        ),
        *("BUS_URL", "STORE_URL", "ADMIN_EMAIL", "ADMIN_PASSWORD", "SMTP_URL"),
        "TRACES_URL",
    }
    assert names - tuned == given

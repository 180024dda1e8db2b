"""Where the processes of a stack send their traces, and how to leave traces out."""

import json

import pytest

from scripts.stack.plan import listeners_file, make_plan
from scripts.stack.settings import REPLACEABLE, Settings, read_settings

OWN = "http://collector.example:4318/v1/traces"


@pytest.fixture
def plan_with(tmp_path):
    """Return a function that plans a stack whose other servers run already."""

    def plan(percent, **urls):
        running = {name: "http://server:1" for name in REPLACEABLE if name != "traces"}
        usual = vars(read_settings(tmp_path)) | {"urls": running | urls}
        return make_plan(Settings(**usual | {"trace_percent": percent}), {})

    return plan


def destinations(plan):
    """Return where the services send their traces."""
    found = {unit.environment.get("MAMIE_TRACES_URL") for unit in plan.units}
    return found - {None}


def tracing_of(plan):
    """Return the tracer of the edge."""
    listener = json.loads(listeners_file(plan).read_text())["resources"][0]
    return listener["filter_chains"][0]["filters"][0]["typed_config"]["tracing"]


def units(plan):
    return {unit.name for unit in plan.units}


def test_a_stack_has_a_trace_store_to_which_all_send(plan_with):
    plan = plan_with(2.5)
    assert "traces" in units(plan)
    assert destinations(plan) == {plan.urls["traces"]}
    config = tracing_of(plan)["provider"]["typed_config"]
    assert config["http_service"]["http_uri"]["uri"] == plan.urls["traces"]
    share = config["sampler"]["typed_config"]["sampling_percentage"]
    assert share == {"numerator": 25_000, "denominator": "MILLION"}


def test_another_collector_takes_the_place_of_the_trace_store(plan_with):
    plan = plan_with(1.0, traces=OWN)
    assert "traces" not in units(plan)
    assert destinations(plan) == {OWN}


def test_without_a_share_there_is_no_trace_store_and_no_tracer(plan_with):
    plan = plan_with(0.0)
    assert "traces" not in units(plan)
    assert destinations(plan) == {""}
    assert tracing_of(plan) is None

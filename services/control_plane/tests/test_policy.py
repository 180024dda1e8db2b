"""The policy file: defaults, overrides, and errors that name the key."""

from dataclasses import replace
from datetime import timedelta

import pytest
import yaml

from services.control_plane import resources
from services.control_plane.policy import POLICY_FILE, PolicyError, read_policy


def write_policy(path, **changes):
    """Write the policy with changed keys; None removes a key."""
    values = yaml.safe_load(POLICY_FILE.read_text()) | changes
    path.write_text(yaml.safe_dump({key: value for key, value in values.items() if value}))
    return path


@pytest.fixture
def file(tmp_path):
    return tmp_path / "policy.yaml"


def test_the_installed_policy_is_valid():
    policy = read_policy()
    resources.check(policy)
    assert resources.cluster("a", policy).connect_timeout == timedelta(seconds=1)


def test_a_missing_key_is_named(file):
    with pytest.raises(PolicyError, match="missing or unknown: keepalive"):
        read_policy(write_policy(file, keepalive=None))


def test_an_unknown_key_is_named(file):
    with pytest.raises(PolicyError, match="missing or unknown: retries"):
        read_policy(write_policy(file, retries=3))


@pytest.mark.parametrize("missing", ["retry_budget_percent", "min_retry_concurrency"])
def test_a_missing_key_of_the_retry_budget_is_named(file, missing):
    both = {"retry_budget_percent": 20, "min_retry_concurrency": 64}
    del both[missing]
    with pytest.raises(PolicyError, match=rf"circuit_breakers\.{missing}"):
        read_policy(write_policy(file, circuit_breakers={"max_requests": 1, **both}))


def test_all_requests_that_wait_for_a_dead_instance_can_be_retried():
    breakers = resources.cluster("a", read_policy()).circuit_breakers
    assert breakers
    budgets = [threshold.retry_budget for threshold in breakers.thresholds]
    assert [budget and budget.min_retry_concurrency for budget in budgets] == [64]


def test_an_empty_policy_is_rejected(file):
    file.write_text("")
    with pytest.raises(PolicyError, match="retry_policy"):
        read_policy(file)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"retry_policy": {"retry_onn": "unavailable"}}, "retry_onn"),
        ({"outlier_detection": {"consecutive_gateway_failures": 3}}, "consecutive_gateway"),
        ({"connect_timeout": "soon"}, "soon"),
        ({"max_stream_duration": "15 minutes"}, "15 minutes"),
    ],
)
def test_a_key_or_value_unknown_to_envoys_api_is_named(change, named):
    with pytest.raises(PolicyError, match=named):
        resources.check(replace(read_policy(), **change))


@pytest.mark.parametrize(("name", "limit"), [("orders", 512), ("order-events", 4096)])
def test_a_service_can_have_its_own_limit_of_active_requests(name, limit):
    breakers = resources.cluster(name, read_policy()).circuit_breakers
    assert breakers
    assert [threshold.max_requests for threshold in breakers.thresholds] == [limit]

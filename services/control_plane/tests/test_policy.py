"""The policy is said once, and a word that nobody understands is named at start."""

from dataclasses import replace
from datetime import timedelta

import pytest
import yaml

from services.control_plane import resources
from services.control_plane.policy import POLICY_FILE, PolicyError, read_policy


def written(path, **changes):
    """Write the policy with some words changed; None leaves one out."""
    said = yaml.safe_load(POLICY_FILE.read_text()) | changes
    path.write_text(yaml.safe_dump({key: value for key, value in said.items() if value}))
    return path


@pytest.fixture
def file(tmp_path):
    return tmp_path / "policy.yaml"


def test_the_policy_that_is_installed_is_understood():
    policy = read_policy()
    resources.check(policy)
    assert resources.cluster("a", policy).connect_timeout == timedelta(seconds=1)


def test_a_word_that_is_missing_is_named(file):
    with pytest.raises(PolicyError, match="missing or unknown: keepalive"):
        read_policy(written(file, keepalive=None))


def test_a_word_that_is_unknown_is_named(file):
    with pytest.raises(PolicyError, match="missing or unknown: retries"):
        read_policy(written(file, retries=3))


@pytest.mark.parametrize("missing", ["retry_budget_percent", "min_retry_concurrency"])
def test_a_missing_part_of_the_retry_budget_is_named(file, missing):
    both = {"retry_budget_percent": 20, "min_retry_concurrency": 64}
    del both[missing]
    with pytest.raises(PolicyError, match=rf"circuit_breakers\.{missing}"):
        read_policy(written(file, circuit_breakers={"max_requests": 1, **both}))


def test_the_requests_that_wait_for_a_dead_instance_may_all_be_tried_again():
    breakers = resources.cluster("a", read_policy()).circuit_breakers
    assert breakers
    budgets = [threshold.retry_budget for threshold in breakers.thresholds]
    assert [budget and budget.min_retry_concurrency for budget in budgets] == [64]


def test_an_empty_policy_is_refused(file):
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
def test_what_envoys_api_does_not_know_is_named(change, named):
    with pytest.raises(PolicyError, match=named):
        resources.check(replace(read_policy(), **change))


@pytest.mark.parametrize(("name", "most"), [("orders", 512), ("order-events", 4096)])
def test_a_service_whose_requests_last_may_have_more_of_them_than_others(name, most):
    breakers = resources.cluster(name, read_policy()).circuit_breakers
    assert breakers
    assert [threshold.max_requests for threshold in breakers.thresholds] == [most]

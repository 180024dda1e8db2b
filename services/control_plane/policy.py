"""Reads `policy.yaml`: retries, deadlines, circuit breakers and outlier ejection of the mesh."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

POLICY_FILE = Path(__file__).with_name("policy.yaml")
RETRY_BUDGET, MIN_RETRY_CONCURRENCY = "retry_budget_percent", "min_retry_concurrency"


class PolicyError(ValueError):
    """The policy is invalid; the message names the key."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The policy; names and values are those of Envoy's API."""

    retry_policy: dict[str, Any]
    max_stream_duration: str
    connect_timeout: str
    circuit_breakers: dict[str, Any]
    max_requests_of: dict[str, int]
    outlier_detection: dict[str, Any]
    keepalive: dict[str, Any]

    def circuit_breakers_of(self, service: str) -> dict[str, Any]:
        """Return the circuit breakers of a service, with its own `max_requests` if it has one."""
        if service not in self.max_requests_of:
            return self.circuit_breakers
        (threshold,) = self.circuit_breakers["thresholds"]
        return {"thresholds": [{**threshold, "max_requests": self.max_requests_of[service]}]}


def read_policy(path: Path = POLICY_FILE) -> Policy:
    """Read the policy from a file; PolicyError names a key that is missing or unknown."""
    values = yaml.safe_load(path.read_text()) or {}
    expected = set(Policy.__dataclass_fields__)
    if wrong := expected.symmetric_difference(values):
        raise PolicyError(f"{path.name}: missing or unknown: {', '.join(sorted(wrong))}")
    breakers = dict(values.pop("circuit_breakers"))
    for name in (RETRY_BUDGET, MIN_RETRY_CONCURRENCY):
        if name not in breakers:
            raise PolicyError(f"{path.name}: missing: circuit_breakers.{name}")
    budget = {
        "budget_percent": {"value": breakers.pop(RETRY_BUDGET)},
        MIN_RETRY_CONCURRENCY: breakers.pop(MIN_RETRY_CONCURRENCY),
    }
    thresholds = {**breakers, "retry_budget": budget}
    return Policy(circuit_breakers={"thresholds": [thresholds]}, **values)

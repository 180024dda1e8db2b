"""Reads `policy.yaml`, in which retries, deadlines, breakers and ejection are said once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

POLICY_FILE = Path(__file__).with_name("policy.yaml")
BUDGET, AT_LEAST = "retry_budget_percent", "min_retry_concurrency"


class PolicyError(ValueError):
    """The policy does not say what it should; the message names what is wrong."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The policy, in the words of Envoy's API."""

    retry_policy: dict[str, Any]
    max_stream_duration: str
    connect_timeout: str
    circuit_breakers: dict[str, Any]
    max_requests_of: dict[str, int]
    outlier_detection: dict[str, Any]
    keepalive: dict[str, Any]

    def circuit_breakers_of(self, service: str) -> dict[str, Any]:
        """Return the circuit breakers of one service."""
        if service not in self.max_requests_of:
            return self.circuit_breakers
        (threshold,) = self.circuit_breakers["thresholds"]
        return {"thresholds": [{**threshold, "max_requests": self.max_requests_of[service]}]}


def read_policy(path: Path = POLICY_FILE) -> Policy:
    """Return the policy of a file; PolicyError names a key that is missing or unknown."""
    said = yaml.safe_load(path.read_text()) or {}
    expected = set(Policy.__dataclass_fields__)
    if wrong := expected.symmetric_difference(said):
        raise PolicyError(f"{path.name}: missing or unknown: {', '.join(sorted(wrong))}")
    breakers = dict(said.pop("circuit_breakers"))
    for name in (BUDGET, AT_LEAST):
        if name not in breakers:
            raise PolicyError(f"{path.name}: missing: circuit_breakers.{name}")
    budget = {"budget_percent": {"value": breakers.pop(BUDGET)}, AT_LEAST: breakers.pop(AT_LEAST)}
    thresholds = {**breakers, "retry_budget": budget}
    return Policy(circuit_breakers={"thresholds": [thresholds]}, **said)

"""The figures of scripts/status, from the metrics endpoints themselves: no Prometheus is needed.

Rates and percentiles are those between two samples of an instance.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

import requests
from prometheus_client.parser import text_string_to_metric_families

from services.common.metrics.endpoint import TAG

TIMEOUT_SECONDS = 2
HANDLING = "grpc_server_handling_seconds"
FAULTS = frozenset({"UNKNOWN", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "DATA_LOSS"})
"""The codes that say that a service failed, not that a request was wrong."""
SUFFIX = "-workers"


@dataclass
class Sample:
    """What an endpoint said at a time, on the monotonic clock."""

    time: float
    version: str = ""
    calls: int = 0
    faults: int = 0
    queue: int = 0
    buckets: Counter[float] = field(default_factory=Counter)
    """Calls by the upper bound of their duration, in seconds; cumulative."""

    @classmethod
    def parse(cls, text: str, now: float) -> Self:
        """Read an exposition in Prometheus' text format; ValueError when it is none."""
        sample = cls(time=now)
        for family in text_string_to_metric_families(text):
            for name, labels, value, *_ in family.samples:
                sample._add(name, labels, value)
        return sample

    def _add(self, name: str, labels: Mapping[str, str], value: float) -> None:
        if name == f"{HANDLING}_bucket":
            self.buckets[float(labels["le"])] += int(value)
        elif name == f"{HANDLING}_count":
            self.calls += int(value)
            self.faults += int(value) if labels["grpc_code"] in FAULTS else 0
        elif name == "mamie_rpc_rejected_total":
            self.calls += int(value)
            self.faults += int(value)
        elif name == "mamie_rpc_queue_length":
            self.queue = int(value)
        elif name == "mamie_build_info":
            self.version = labels["version"]


@dataclass(frozen=True)
class Figures:
    """The figures of an instance; the p95 is None without a call."""

    version: str
    requests_per_second: float
    p95_ms: float | None
    errors_per_second: float
    queue: int


def compare(before: Sample, after: Sample) -> Figures:
    """Return the figures between two samples; one that was restarted meanwhile began at zero."""
    if after.calls < before.calls:
        before = Sample(time=before.time)
    seconds = max(after.time - before.time, 1e-9)
    bounds = {bound: after.buckets[bound] - before.buckets[bound] for bound in after.buckets}
    p95 = quantile(0.95, bounds)
    return Figures(
        version=after.version,
        requests_per_second=round((after.calls - before.calls) / seconds, 1),
        p95_ms=None if p95 is None else round(p95 * 1000, 1),
        errors_per_second=round((after.faults - before.faults) / seconds, 1),
        queue=after.queue,
    )


def quantile(q: float, bounds: Mapping[float, int]) -> float | None:
    """Estimate a quantile from cumulative counts, as histogram_quantile; None without any.

    Above the largest finite bound it is that bound.
    """
    total = max(bounds.values(), default=0)
    if total == 0:
        return None
    ordered = [(0.0, 0), *sorted(bounds.items())]
    for (low, below), (high, count) in pairwise(ordered):
        if count >= q * total:
            if high == float("inf"):
                return low
            return low + (high - low) * (q * total - below) / (count - below)
    return None


def find_endpoints(consul_url: str) -> Mapping[str, str]:
    """Return the URLs of the endpoints, by instance; none when Consul does not answer."""
    try:
        found = requests.get(f"{consul_url}/v1/agent/services", timeout=TIMEOUT_SECONDS).json()
    except (requests.RequestException, ValueError):
        return {}
    return {
        name.removesuffix(SUFFIX): f"http://{each['Address']}:{each['Port']}/metrics"
        for name, each in found.items()
        if TAG in (each["Tags"] or ())
    }


def read_samples(consul_url: str) -> Mapping[str, Sample]:
    """Return a sample of each instance that answers."""
    endpoints = find_endpoints(consul_url)
    with ThreadPoolExecutor(len(endpoints) or 1) as readers:
        samples = readers.map(_read, endpoints.values())
    return {name: each for name, each in zip(endpoints, samples, strict=True) if each}


def _read(url: str) -> Sample | None:
    try:
        answer = requests.get(url, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        return Sample.parse(answer.text, time.monotonic())
    except (requests.RequestException, ValueError, KeyError):
        return None


def compare_all(
    before: Mapping[str, Sample], after: Mapping[str, Sample], names: Iterable[str]
) -> Mapping[str, Figures | None]:
    """Return the figures of some instances; None of one that did not answer twice."""
    return {
        name: compare(before[name], after[name]) if name in before and name in after else None
        for name in names
    }

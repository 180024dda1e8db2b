"""Prometheus, over its HTTP API."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from typing_extensions import override

from services.storefront.ops import json_over_http
from services.storefront.ops.domain import MonitoringUnavailableError
from services.storefront.ops.json_over_http import ServerUnavailableError

Labels = Mapping[str, str]
Value = tuple[Labels, float]
Series = tuple[Labels, Mapping[float, float]]
"""Labels, and the value at each time in seconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An alert whose condition holds."""

    name: str
    severity: str
    summary: str
    runbook: str
    since: datetime
    is_firing: bool


class Metrics(Protocol):
    """What is measured. Each method raises MonitoringUnavailableError."""

    def query(self, query: str) -> Sequence[Value]:
        """Return the series of a query that have a value now."""

    def history(self, query: str, *, start: float, end: float, step: int) -> Sequence[Series]:
        """Return the series of a query from a time until another, a value each `step` seconds."""

    def alerts(self) -> Sequence[Alert]:
        """Return the alerts, the oldest first."""


class Prometheus(Metrics):
    """The Prometheus at a URL."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/api/v1"

    @override
    def query(self, query: str) -> Sequence[Value]:
        result = self._get("query", "result", {"query": query})
        return [
            (each["metric"], value) for each in result for _, value in _numbers([each["value"]])
        ]

    @override
    def history(self, query: str, *, start: float, end: float, step: int) -> Sequence[Series]:
        when = {"start": str(start), "end": str(end), "step": str(step)}
        result = self._get("query_range", "result", {"query": query} | when)
        return [(each["metric"], dict(_numbers(each["values"]))) for each in result]

    @override
    def alerts(self) -> Sequence[Alert]:
        found = map(_alert, self._get("alerts", "alerts", {}))
        return sorted(found, key=lambda alert: alert.since)

    def _get(self, path: str, name: str, parameters: Mapping[str, str]) -> Sequence[Any]:
        try:
            body: Any = json_over_http.get(f"{self._url}/{path}", parameters)
            found: Sequence[Any] = body["data"][name]
        except (ServerUnavailableError, TypeError, KeyError) as error:
            raise MonitoringUnavailableError from error
        return found


def _numbers(values: Sequence[tuple[float, str]]) -> Iterator[tuple[float, float]]:
    """Yield times and values; a quantile without calls is no number, and left out."""
    for time, text in values:
        if math.isfinite(value := float(text)):
            yield time, value


def _alert(found: Mapping[str, Any]) -> Alert:
    labels, annotations = found["labels"], found["annotations"]
    return Alert(
        name=labels["alertname"],
        severity=labels.get("severity", ""),
        summary=annotations.get("summary", ""),
        runbook=annotations.get("runbook", ""),
        since=datetime.fromisoformat(found["activeAt"]),
        is_firing=found["state"] == "firing",
    )

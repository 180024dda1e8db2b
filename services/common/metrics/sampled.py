"""Gauges that are read when they are scraped: what they measure costs nothing in between."""

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

Read = Callable[[], Iterable[tuple[Sequence[str], float]]]
"""Returns the label values and the value of each series; quickly, and without I/O."""


class SampledGauge(Collector):
    """A gauge of which `read` returns all series; registered when it is built."""

    def __init__(self, name: str, about: str, labels: Sequence[str], read: Read) -> None:
        self._name, self._about, self._labels, self._read = name, about, labels, read
        REGISTRY.register(self)

    @override
    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._about, labels=self._labels)
        for values, value in self._read():
            family.add_metric(values, value)
        yield family

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name the metric, without its series."""
        yield GaugeMetricFamily(self._name, self._about, labels=self._labels)

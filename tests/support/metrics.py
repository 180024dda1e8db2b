"""What the metrics of this process say."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prometheus_client import REGISTRY


def value(name: str, **labels: str) -> float:
    """Return the value of a series; 0 when there is none."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


@contextmanager
def adds(amount: float, name: str, **labels: str) -> Iterator[None]:
    """Check that the block adds so much to a series."""
    before = value(name, **labels)
    yield
    assert value(name, **labels) - before == pytest.approx(amount), (name, labels)

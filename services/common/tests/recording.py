"""A fixture: the spans of a test."""

from collections import deque
from collections.abc import Iterator

import pytest

from services.common.tracing import spans
from services.common.tracing.spans import Span


@pytest.fixture
def recorded() -> Iterator[deque[Span]]:
    """Yield the spans of the test, in the order in which they ended."""
    spans.waiting.clear()
    spans.enable()
    yield spans.waiting
    spans.enable(enabled=False)
    spans.waiting.clear()

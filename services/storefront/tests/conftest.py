"""Fixtures of the storefront tests."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture


@pytest.fixture
def log() -> Iterator[list[Any]]:
    """Yield the list of log entries, from level "info" on."""
    before = structlog.get_config()
    capture = LogCapture()
    filtering = structlog.make_filtering_bound_logger("info")
    structlog.configure(processors=[capture], wrapper_class=filtering)
    yield capture.entries
    structlog.configure(**before)

"""What the tests of the storefront ask for."""

from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import LogCapture


@pytest.fixture
def log() -> Iterator[list]:
    """Yield the events that are logged, from "info" on."""
    before = structlog.get_config()
    capture = LogCapture()
    filtering = structlog.make_filtering_bound_logger("info")
    structlog.configure(processors=[capture], wrapper_class=filtering)
    yield capture.entries
    structlog.configure(**before)

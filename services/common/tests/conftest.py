"""What the tests of the shared code ask for."""

from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import LogCapture

from tests.plugin import server_url


@pytest.fixture
def log() -> Iterator[list]:
    """Yield the events that are logged, from "debug" on."""
    before = structlog.get_config()
    capture = LogCapture()
    filtering = structlog.make_filtering_bound_logger("debug")
    structlog.configure(processors=[capture], wrapper_class=filtering)
    yield capture.entries
    structlog.configure(**before)


@pytest.fixture
def consul_url(request: pytest.FixtureRequest) -> str:
    """Return where a Consul agent is."""
    return server_url(request, "consul")

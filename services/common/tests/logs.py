"""The log of a service, as text."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from services.common.logging import AnsweredCallLog, configure_logging
from tests.support.log_privacy import kinds_of_private_data


@contextmanager
def logged(service: str) -> Iterator[io.StringIO]:
    """Yield what is logged inside the block, as a service writes it to its standard output."""
    before, handlers, lines = structlog.get_config(), logging.root.handlers, io.StringIO()
    enabled = AnsweredCallLog.enabled
    configure_logging(level="debug", service=service, instance="test")
    factory = structlog.PrintLoggerFactory(lines)
    structlog.configure(logger_factory=factory, cache_logger_on_first_use=False)
    try:
        yield lines
    finally:
        structlog.configure(**before)
        AnsweredCallLog.enabled = enabled
        logging.root.handlers = handlers


def assert_nothing_private(lines: io.StringIO, *, event: str) -> None:
    """Check that an event was logged, and nothing about a person with it (log_privacy.py)."""
    text = lines.getvalue()
    assert f'"event": "{event}"' in text
    assert kinds_of_private_data(text) == set(), text

"""Structured logs on standard output: per line one JSON object, with a constant event name."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from typing_extensions import override

from services.common.context import current

QUIET_LIBRARIES = ("pika",)
"""Libraries that log an outage with many tracebacks; our code logs it in one line."""

DATA_OF_STATEMENTS = re.compile(
    r"(DETAIL:|\[parameters:|full error:|dup key:).*?"
    r"(?=\n\[SQL:|\n\[parameters:|\n\(Background|\n\n+\S|\Z)",
    re.DOTALL,
)

Event = MutableMapping[str, Any]


def configure_logging(*, level: str, service: str, instance: str) -> None:
    """Set up structlog for this process, also for the loggers of the standard library."""

    def add_identity(_logger: Any, _method: str, event: Event) -> Event:
        return {"service": service, "instance": instance, **event}

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_call,
            add_identity,
            structlog.processors.format_exc_info,
            _hide_data_of_statements,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_ToStructlog()], force=True)
    for library in QUIET_LIBRARIES:
        logging.getLogger(library).setLevel(logging.CRITICAL)


def _add_call(_logger: Any, _method: str, event: Event) -> Event:
    """Add the ids of the current call."""
    call = current()
    if call.request_id:
        event["request_id"] = call.request_id
    if call.trace_id:
        event["trace_id"] = call.trace_id
    return event


def _hide_data_of_statements(_logger: Any, _method: str, event: Event) -> Event:
    """Hide what database errors quote.

    PostgreSQL and its driver quote the parameters of statements and rows (DETAIL), MongoDB the
    values that break a rule or are there already, in the text or in the answer that follows.
    """
    if "exception" in event:
        event["exception"] = DATA_OF_STATEMENTS.sub(r"\1 hidden", event["exception"])
    return event


class _ToStructlog(logging.Handler):
    """Forwards the log records of libraries to structlog."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno,
            "library_log",
            logger=record.name,
            message=record.getMessage(),
            exc_info=record.exc_info,
        )

"""Structured logs on standard output: per line one JSON object, with a constant event name.

Every line is one write to the file descriptor: a process that is killed loses none. Nearly every
line is that of an answered call; `AnsweredCallLog` formats it without structlog, which would cost
five times as much.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from json.encoder import encode_basestring
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

STANDARD_OUTPUT = 1

Event = MutableMapping[str, Any]


def configure_logging(*, level: str, service: str, instance: str) -> None:
    """Set up structlog for this process, also for the loggers of the standard library."""
    AnsweredCallLog.enabled = level in ("debug", "info")
    AnsweredCallLog.identity = {"service": service, "instance": instance}

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
        cache_logger_on_first_use=True,
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


class AnsweredCallLog:
    """Logs the answered calls of one method, without their content, each in one line.

    The fields are those of any other line; what is the same for all calls is formatted once.
    `enabled` and `identity` are the process's: nothing is written before `configure_logging`.
    """

    enabled = False
    identity: Mapping[str, str] = {}

    def __init__(self, method: str) -> None:
        constant = {**self.identity, "event": "call_answered", "level": "info", "method": method}
        self._constant = json.dumps(constant, ensure_ascii=False).removesuffix("}")

    def write(self, outcome: str, elapsed_seconds: float) -> None:
        """Log a call of the current context; `outcome` is the name of a gRPC code."""
        if not self.enabled:
            return
        call = current()
        # What callers send is quoted; all the rest needs no escape.
        ids = f', "request_id": {encode_basestring(call.request_id)}' if call.request_id else ""
        if call.trace_id:
            ids += f', "trace_id": {encode_basestring(call.trace_id)}'
        now = datetime.now(UTC).isoformat(timespec="microseconds").removesuffix("+00:00")
        line = (
            f'{self._constant}, "outcome": "{outcome}", '
            f'"elapsed_ms": {elapsed_seconds * 1000:.1f}, "timestamp": "{now}Z"{ids}}}\n'
        )
        os.write(STANDARD_OUTPUT, line.encode())


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

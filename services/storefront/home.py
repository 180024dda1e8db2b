"""The start page: all parts that are available in time."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any

import structlog
from mamie_rosa.storefront.v1 import storefront_pb2

from services.common.context import current
from services.common.mesh.channels import remaining_timeout
from services.storefront.parts import Part, PartUnavailableError

log = structlog.get_logger()


class HomePage:
    """Composes start pages of `parts`, which are named as the fields of `Home`.

    All parts are fetched concurrently, for at most `timeout_seconds`. Each part has threads of its
    own for `max_concurrent_pages` pages: one that hangs for longer degrades no other.
    """

    def __init__(
        self, *, parts: Mapping[str, Part], timeout_seconds: float, max_concurrent_pages: int
    ) -> None:
        self._parts = parts
        self._timeout_seconds = timeout_seconds
        self._executors = {
            name: ThreadPoolExecutor(max_concurrent_pages, f"home-{name}") for name in parts
        }

    def compose(self, user_id: str) -> storefront_pb2.Home:
        """Return the page of one customer; parts that fail or are late are in `degraded`."""
        # Each call runs in a copy of this call's context, for its deadline, caller and trace.
        recalled = {name: part.recall() for name, part in self._parts.items()}
        found = {name: value for name, value in recalled.items() if value is not None}
        calls = {
            name: self._executors[name].submit(copy_context().run, part.fetch, user_id)
            for name, part in self._parts.items()
            if name not in found
        }
        wait(calls.values(), timeout=remaining_timeout(current(), self._timeout_seconds))
        failures = {name: _failure(call) for name, call in calls.items()}
        degraded = [name for name, failure in failures.items() if failure]
        for name in degraded:
            _log_degraded(name, failures[name])
        found |= {name: calls[name].result() for name in calls if name not in degraded}
        return storefront_pb2.Home(degraded=degraded, **found)


def _failure(call: Future[Any]) -> BaseException | None:
    """Return the failure of a call, if there is one; an unfinished call is cancelled."""
    if not call.done():
        call.cancel()
        return PartUnavailableError("DEADLINE_EXCEEDED")
    return call.exception()


def _log_degraded(name: str, failure: BaseException | None) -> None:
    """Log a missing part; anything other than an unavailable service is a bug here."""
    if isinstance(failure, PartUnavailableError):
        log.warning("part_degraded", part=name, code=failure.code)
    else:
        log.error("part_degraded", part=name, code="CRASHED", exc_info=failure)

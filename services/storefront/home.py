"""The start page: what can be had of it, in the time that there is."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any

import structlog
from mamie_rosa.storefront.v1 import storefront_pb2

from services.common.context import current
from services.common.mesh.channels import remaining_timeout
from services.storefront.parts import Part, PartAwayError

log = structlog.get_logger()


class HomePage:
    """Puts start pages together from `parts`, which are named as the fields of `Home`.

    All parts are asked for at the same time, and nobody waits longer than `timeout_seconds`.
    `pages_at_once` are made without one waiting for the threads of another.
    """

    def __init__(
        self, *, parts: Mapping[str, Part], timeout_seconds: float, pages_at_once: int
    ) -> None:
        self._parts = parts
        self._timeout_seconds = timeout_seconds
        self._calls = ThreadPoolExecutor(pages_at_once * len(parts), "home-part")

    def compose(self, user_id: str) -> storefront_pb2.Home:
        """Return the page of one client; parts that fail or are late are named in `degraded`."""
        # Each call runs in a copy of this call's context, for its deadline, caller and trace.
        asked = {
            name: self._calls.submit(copy_context().run, part.fetch, user_id)
            for name, part in self._parts.items()
        }
        wait(asked.values(), timeout=remaining_timeout(current(), self._timeout_seconds))
        failures = {name: _failure(call) for name, call in asked.items()}
        degraded = [name for name, failure in failures.items() if failure]
        for name in degraded:
            _tell(name, failures[name])
        found = {name: asked[name].result() for name in asked if name not in degraded}
        return storefront_pb2.Home(degraded=degraded, **found)


def _failure(call: Future[Any]) -> BaseException | None:
    """Return why a part is not there, None if it is; who is late is not waited for."""
    if not call.done():
        call.cancel()
        return PartAwayError("DEADLINE_EXCEEDED")
    return call.exception()


def _tell(name: str, failure: BaseException | None) -> None:
    """Log a part that is missing; what is not a service that is away is a bug of ours."""
    if isinstance(failure, PartAwayError):
        log.warning("part_degraded", part=name, why=failure.why)
    else:
        log.error("part_degraded", part=name, why="CRASHED", exc_info=failure)

"""Watches Consul and keeps the service registry of this control plane.

Each blocking query has a thread, because the library is synchronous; the results are handed
to the event loop. Three rules protect the mesh from failures of Consul:

- nothing is published before every service has been read once;
- while Consul is unavailable the registry stays as it is;
- when the last instance of a service disappears, it is removed only after a grace period: an
  agent that lost its data knows no instance until all have registered again, seconds later.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TypeVar

import structlog

from services.common.background import BackgroundLoop
from services.common.mesh.consul import (
    WAIT_SECONDS,
    ConsulClient,
    ConsulUnavailableError,
    Instance,
)
from services.control_plane.metrics import INSTANCES
from services.control_plane.resources import Services

GRACE_SECONDS = 10.0
RETRY_SECONDS = 1.0
APPLY_TIMEOUT_SECONDS = 10.0
STALE_SECONDS = 2.0 * WAIT_SECONDS

Result = TypeVar("Result")
BlockingQuery = Callable[[str | None], tuple[str, Result]]
"""Given the last index, returns (new index, result) at a change or after the wait time."""

log = structlog.get_logger()


class ServiceRegistry:
    """The services and their healthy instances; to be used on the event loop only.

    `on_change` is called after each change, and not for what is known already, once every service
    known at first has been read.
    """

    def __init__(self, on_change: Callable[[Services], None], *, grace_seconds: float) -> None:
        self._on_change = on_change
        self._grace_seconds = grace_seconds
        self._instances: dict[str, Sequence[Instance] | None] | None = None
        self._complete = False
        self._grace_timers: dict[str, asyncio.TimerHandle] = {}

    def set_names(self, names: Sequence[str]) -> list[str]:
        """Add services; return those that are new.

        A service that is no longer in Consul stays in the registry: it may return, and until
        then calls to it fail as unavailable. One that has left before it was read is dropped:
        nobody reads it any more, and at first everything waits for the unread.
        """
        known = {
            name: found
            for name, found in (self._instances or {}).items()
            if found is not None or name in names
        }
        new = [name for name in names if name not in known]
        instances = {**known, **dict.fromkeys(new)}
        if instances != self._instances:
            self._instances = instances
            self._publish()
        return new

    def has_instances(self, name: str) -> bool:
        """Return whether a service has instances, as far as is known."""
        return bool((self._instances or {}).get(name))

    def set_instances(self, name: str, instances: Sequence[Instance]) -> None:
        """Replace the healthy instances of a service; by none only after the grace period."""
        if not instances and (self._instances or {}).get(name):
            self._start_grace_period(name)
            return
        if timer := self._grace_timers.pop(name, None):
            timer.cancel()
        self._set(name, instances)

    def _start_grace_period(self, name: str) -> None:
        """Schedule the removal of all instances, unless it is scheduled already."""
        if name not in self._grace_timers:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self._grace_seconds, self._end_grace_period, name)
            self._grace_timers[name] = timer

    def _end_grace_period(self, name: str) -> None:
        del self._grace_timers[name]
        self._set(name, ())

    def _set(self, name: str, instances: Sequence[Instance]) -> None:
        assert self._instances is not None
        known = self._instances.get(name)
        if known is not None and list(instances) == list(known):
            return  # Consul answers after each change of a check, also when its state is the same
        log.info("instances_changed", service=name, count=len(instances))
        INSTANCES.labels(name).set(len(instances))
        self._instances[name] = instances
        self._publish()

    def _publish(self) -> None:
        services = {
            name: found for name, found in (self._instances or {}).items() if found is not None
        }
        if self._instances is not None and len(services) == len(self._instances):
            self._complete = True
        # Later, a service that cannot be read yet must not hold up the changes of the rest.
        if self._complete:
            self._on_change(services)


class Watcher:
    """Runs the blocking queries, each in a daemon thread."""

    def __init__(
        self,
        *,
        consul: ConsulClient,
        registry: ServiceRegistry,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._consul = consul
        self._registry = registry
        self._retry_seconds = retry_seconds
        self._loop = asyncio.get_running_loop()
        self._unavailable = False
        self._watches: dict[str, BackgroundLoop] = {}

    def start(self) -> None:
        """Start to watch; returns at once."""
        self._spawn("names", self._consul.wait_for_names, self._update_names)

    def _update_names(self, names: Sequence[str]) -> None:
        """Watch every service in Consul, and none that has left it and has no instances.

        Consul answers a query for an unknown service at each change of any other.
        """
        self._registry.set_names(names)
        for name in names:
            if name not in self._watches:
                query = partial(self._consul.wait_for_instances, name)
                update = partial(self._registry.set_instances, name)
                self._watches[name] = self._spawn(name, query, update)
        for name in set(self._watches) - set(names):
            if not self._registry.has_instances(name):
                self._watches.pop(name).request_stop()

    def _spawn(
        self, name: str, query: BlockingQuery[Result], update: Callable[[Result], None]
    ) -> BackgroundLoop:
        watch = partial(self._watch, query, update)
        loop = BackgroundLoop(name=f"watch-{name}", work=watch, stale_seconds=STALE_SECONDS)
        loop.start()
        return loop

    def _watch(
        self,
        query: BlockingQuery[Result],
        update: Callable[[Result], None],
        loop: BackgroundLoop,
    ) -> None:
        """Repeat a query and pass each new result to `update`, on the event loop."""
        index: str | None = None
        while not self._loop.is_closed() and not loop.stopping:
            try:
                new_index, result = query(index)
            except ConsulUnavailableError as error:
                self._log_unavailable(error)
                loop.failing("Consul does not answer")
                index = None
                loop.wait(self._retry_seconds)
                continue
            self._unavailable = False
            if new_index != index:
                self._apply(update, result, loop)
            # An index that decreases means that Consul restarted: query without one.
            index = new_index if index is None or int(new_index) >= int(index) else None
            loop.succeeded()
        loop.request_stop()

    def _apply(
        self, update: Callable[[Result], None], result: Result, loop: BackgroundLoop
    ) -> None:
        """Call `update` on the event loop and wait for it; raise what it raises.

        Otherwise the result would be lost until the next change. What a watch finds that was
        stopped meanwhile has no effect: its service may be watched again already.
        """
        done: Future[None] = Future()

        def call() -> None:
            try:
                if not loop.stopping:
                    update(result)
            except Exception as error:  # noqa: BLE001 - raised again in the watcher's thread
                done.set_exception(error)
            else:
                done.set_result(None)

        with suppress(RuntimeError):  # the loop was closed in the meantime
            self._loop.call_soon_threadsafe(call)
            done.result(APPLY_TIMEOUT_SECONDS)

    def _log_unavailable(self, error: ConsulUnavailableError) -> None:
        if not self._unavailable:
            log.warning("consul_unavailable", error=str(error))
        self._unavailable = True

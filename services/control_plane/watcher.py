"""Follows Consul, and tells the loop what the mesh looks like.

Each blocking query has a thread, for the library is synchronous; what they learn is
handed to the event loop. Three rules keep Consul's troubles out of the mesh:

- nothing is said before everything has been read once;
- while Consul is away the last word stands;
- when the last instance of a service goes, it is believed only after a grace period: an
  agent that lost its data forgets everybody for the seconds until they announce themselves.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import structlog

from services.common.mesh.consul import ConsulClient, ConsulUnavailableError, Instance
from services.control_plane.resources import Services

GRACE_SECONDS = 10.0
RETRY_SECONDS = 1.0

log = structlog.get_logger()


class Mesh:
    """The services and their healthy instances; used on the event loop alone.

    `changed` is called after each change, from the moment that everything is known.
    """

    def __init__(self, changed: Callable[[Services], None], *, grace_seconds: float) -> None:
        self._changed = changed
        self._grace_seconds = grace_seconds
        self._instances: dict[str, Sequence[Instance] | None] | None = None
        self._empty: dict[str, asyncio.TimerHandle] = {}

    def set_names(self, names: Sequence[str]) -> list[str]:
        """Take note of the services there are; return those that are new.

        A service that goes keeps its name here: it may come back, and until then its
        calls fail as unavailable.
        """
        known = self._instances or {}
        new = [name for name in names if name not in known]
        self._instances = {**known, **dict.fromkeys(new)}
        self._publish()
        return new

    def set_instances(self, name: str, instances: Sequence[Instance]) -> None:
        """Take note of a service's healthy instances."""
        if not instances and (self._instances or {}).get(name):
            self._doubt(name)
            return
        if timer := self._empty.pop(name, None):
            timer.cancel()
        self._set(name, instances)

    def _doubt(self, name: str) -> None:
        """Believe that nobody is left when nobody has come back after the grace period.

        The period begins once: hearing again that nobody is there does not prolong it.
        """
        if name not in self._empty:
            loop = asyncio.get_running_loop()
            self._empty[name] = loop.call_later(self._grace_seconds, self._believe, name)

    def _believe(self, name: str) -> None:
        del self._empty[name]
        self._set(name, ())

    def _set(self, name: str, instances: Sequence[Instance]) -> None:
        assert self._instances is not None
        log.info("instances_changed", service=name, count=len(instances))
        self._instances[name] = instances
        self._publish()

    def _publish(self) -> None:
        services = {
            name: found for name, found in (self._instances or {}).items() if found is not None
        }
        if self._instances is not None and len(services) == len(self._instances):
            self._changed(services)


class Watcher:
    """Runs the blocking queries, each in a daemon thread, from now on."""

    def __init__(
        self, *, consul: ConsulClient, mesh: Mesh, retry_seconds: float = RETRY_SECONDS
    ) -> None:
        self._consul = consul
        self._mesh = mesh
        self._retry_seconds = retry_seconds
        self._loop = asyncio.get_running_loop()
        self._away = False

    def start(self) -> None:
        """Begin to watch; returns at once."""
        self._spawn("names", self._consul.wait_for_names, self._learn_names)

    def _learn_names(self, names: Sequence[str]) -> None:
        for name in self._mesh.set_names(names):
            query = partial(self._consul.wait_for_instances, name)
            self._spawn(name, query, partial(self._mesh.set_instances, name))

    def _spawn(self, name: str, query: Callable, learn: Callable) -> None:
        threading.Thread(
            target=self._follow, args=(query, learn), name=f"watch-{name}", daemon=True
        ).start()

    def _follow(self, query: Callable, learn: Callable) -> None:
        """Ask again and again; each answer comes when there is news, or after a while."""
        index: str | None = None
        while not self._loop.is_closed():
            try:
                new_index, answer = query(index)
            except ConsulUnavailableError as error:
                self._is_away(error)
                index = None
                threading.Event().wait(self._retry_seconds)
                continue
            self._away = False
            if new_index != index:
                with suppress(RuntimeError):  # the loop was closed meanwhile: nobody listens
                    self._loop.call_soon_threadsafe(learn, answer)
            # An index that goes back means that Consul began anew: ask from the start.
            index = new_index if index is None or int(new_index) >= int(index) else None

    def _is_away(self, error: ConsulUnavailableError) -> None:
        if not self._away:
            log.warning("consul_unavailable", error=str(error))
        self._away = True

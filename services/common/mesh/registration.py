"""Keeps an instance announced in Consul for as long as it lives."""

import threading

import structlog

from services.common.mesh.consul import ConsulClient, ConsulUnavailableError, Instance

VERIFY_SECONDS = 2.0

log = structlog.get_logger()


class Registration:
    """Announces an instance, and again whenever Consul has forgotten it.

    Consul may be away, restart, or lose its data: nothing that runs stops for it. Each
    change of state is logged once. Without an `address` it is the one that Consul sees.
    """

    def __init__(
        self,
        *,
        consul: ConsulClient,
        name: str,
        instance: str,
        address: str,
        port: int,
        health_service: str,
        verify_seconds: float = VERIFY_SECONDS,
    ) -> None:
        self._consul = consul
        self._name = name
        self._instance = instance
        self._address = address
        self._port = port
        self._health_service = health_service
        self._verify_seconds = verify_seconds
        self._state = ""
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="registration", daemon=True)

    def start(self) -> None:
        """Announce the instance in the background, as soon as Consul answers."""
        self._thread.start()

    def leave(self) -> None:
        """Take the instance back, so that nobody calls it any more."""
        self._leaving.set()
        self._thread.join()
        try:
            self._consul.deregister(self._instance)
        except ConsulUnavailableError as error:
            log.warning("consul_unavailable", error=str(error))

    def _run(self) -> None:
        while not self._leaving.is_set():
            self._verify()
            self._leaving.wait(self._verify_seconds)

    def _verify(self) -> None:
        try:
            # Just after its start an agent may know an instance that the catalogue does not:
            # announcing again makes it sync. And one that was killed may have left its name
            # with a port that it has no longer.
            address = self._address or self._consul.own_address()
            here = Instance(self._instance, address, self._port)
            if not self._consul.is_in_catalogue(self._name, here):
                self._register(address)
            self._became("registered")
        except ConsulUnavailableError as error:
            self._became("consul_unavailable", error=str(error))

    def _register(self, address: str) -> None:
        self._consul.register(
            name=self._name,
            instance_id=self._instance,
            address=address,
            port=self._port,
            health_service=self._health_service,
        )

    def _became(self, state: str, **facts: str) -> None:
        if state != self._state:
            log.info(state, **facts)
        self._state = state

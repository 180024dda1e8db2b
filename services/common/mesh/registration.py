"""Keeps an instance registered in Consul while its process runs."""

import structlog

from services.common.background import BackgroundLoop
from services.common.mesh.consul import ConsulClient, ConsulUnavailableError, Instance

VERIFY_SECONDS = 2.0

log = structlog.get_logger()


class Registration:
    """Registers an instance, and again whenever Consul has lost it.

    Consul may be unavailable, restart or lose its data: the service goes on. Each change of
    state is logged once. An empty `address` is replaced by this machine's address on Consul's
    network.
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
        self._loop = BackgroundLoop(name="registration", work=self._run)

    def start(self) -> None:
        """Register the instance in the background, as soon as Consul answers."""
        self._loop.start()

    def leave(self) -> None:
        """Deregister the instance, so that it gets no more calls."""
        self._loop.stop()
        try:
            self._consul.deregister(self._instance)
        except ConsulUnavailableError as error:
            log.warning("consul_unavailable", error=str(error))

    def _run(self, loop: BackgroundLoop) -> None:
        while not loop.stopping:
            if self._verify():
                loop.succeeded()
            else:
                loop.failing("Consul does not answer")
            loop.wait(self._verify_seconds)

    def _verify(self) -> bool:
        """Register the instance unless it is; False when Consul does not answer."""
        try:
            # A new agent may know an instance that the catalogue does not: registering again
            # makes it sync. And an instance that was killed may still be registered with its
            # old port.
            address = self._address or self._consul.own_address()
            instance = Instance(self._instance, address, self._port)
            if not self._consul.is_in_catalogue(self._name, instance):
                self._register(address)
        except ConsulUnavailableError as error:
            self._set_state("consul_unavailable", error=str(error))
            return False
        self._set_state("registered")
        return True

    def _register(self, address: str) -> None:
        self._consul.register(
            name=self._name,
            instance_id=self._instance,
            address=address,
            port=self._port,
            health_service=self._health_service,
        )

    def _set_state(self, state: str, **details: str) -> None:
        if state != self._state:
            log.info(state, **details)
        self._state = state

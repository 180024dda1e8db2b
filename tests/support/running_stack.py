"""What tests need of a running stack, whether of processes or of containers."""

import signal
from typing import Any, Protocol


class RunningStack(Protocol):
    """The whole shop; scripts.stack.client.Stack and ComposeStack implement it."""

    def url(self, name: str) -> str:
        """Return the URL of a part: http, https, envoy_admin, consul, a server."""

    def server_url(self, name: str) -> str:
        """Return the URL of a server."""

    def store_url(self, service: str) -> str:
        """Return the URL of a service's store."""

    def admin_credentials(self) -> tuple[str, str]:
        """Return the administrator's (email, password)."""

    def mails_to(self, address: str) -> list[bytes]:
        """Return the mails to an address, as they were delivered."""

    def unit(self, name: str) -> dict[str, Any]:
        """Return the name, state and process id of a unit, such as "catalog-2"."""

    def address(self, instance: str, endpoint: str = "") -> str:
        """Return "host:port" of an instance, or of its further endpoint, from Consul."""

    def instances(self, service: str) -> list[str]:
        """Return the names of a service's instances."""

    def scale(self, service: str, instances: int) -> None:
        """Run that many instances of a service."""

    def kill(self, unit: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a unit's process."""

    def hold(self, unit: str) -> None:
        """Do not restart a unit when it ends, until `resume`."""

    def resume(self, unit: str) -> None:
        """Restart a unit again when it ends, and now if it has."""

"""The commands that a driver sends to MongoDB."""

from pymongo import monitoring
from typing_extensions import override


class StartedCommands(monitoring.CommandListener):
    """The names of the commands that were sent, handshakes apart."""

    def __init__(self) -> None:
        self.names: list[str] = []

    @override
    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.names.append(event.command_name)

    @override
    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    @override
    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass

"""A connection to RabbitMQ that notices soon that the broker is silent.

A frozen broker (SIGSTOP, a paused machine) keeps its connections open, and its kernel still
acknowledges what is sent, so no TCP timeout ends them: only missing heartbeats show it. pika
compares the bytes received once per heartbeat plus five seconds, and so notices between that
and twice that time: with a heartbeat of 4 s, after 9 to 18 s. Here they are compared each second.

A check is due only while the connection's owner gives it time, so a process that was frozen
itself, or waited for its store, counts one silent check and not all that it missed.
"""

import pika
import pika.connection
from pika.adapters.select_connection import SelectConnection
from pika.heartbeat import HeartbeatChecker
from typing_extensions import override

CHECK_SECONDS = 1
SILENT_CHECKS = 7
"""So many silent checks in a row end a connection; heartbeats of 4 s leave 3 s for delays."""


class SilenceChecker(HeartbeatChecker):
    """Ends a connection on which nothing arrived for SILENT_CHECKS checks in a row."""

    @property
    @override
    def connection_is_idle(self) -> bool:
        return self._idle_byte_intervals >= SILENT_CHECKS

    @override
    def _start_check_timer(self) -> None:
        self._check_interval = CHECK_SECONDS
        super()._start_check_timer()


class WatchfulConnection(SelectConnection):
    """A connection whose heartbeats are checked by a SilenceChecker."""

    @override
    def _create_heartbeat_checker(self) -> HeartbeatChecker | None:
        heartbeat = self.params.heartbeat
        return SilenceChecker(self, heartbeat) if heartbeat else None


def connect(parameters: pika.connection.Parameters) -> pika.BlockingConnection:
    """Open a connection that ends with AMQPHeartbeatTimeout within 8 s of the broker's silence."""
    return pika.BlockingConnection(parameters, _impl_class=WatchfulConnection)

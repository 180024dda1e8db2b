"""What clients are told about an order as it happens: a stream of Server-Sent Events."""

import re
from collections.abc import AsyncGenerator, Sequence

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.timestamp_pb2 import Timestamp
from grpc.aio import ServicerContext
from mamie_rosa.orders.v1 import order_events_pb2_grpc

from services.common.context import current
from services.common.errors import InvalidArgumentError
from services.common.rpc import authorization, sse
from services.common.rpc.status import HTTP_CODE
from services.orders.domain import Order
from services.orders.tracking import domain
from services.orders.tracking.feed import Follower, OrderFeed

HEARTBEAT_SECONDS = 15.0
MARGIN_SECONDS = 1.0
"""What is kept of a deadline, to come to a clean end before it."""
RETRY = sse.retry(1_000)
KEEP_ALIVE = sse.comment("keep-alive")
UNCACHED = (("cache-control", "no-store"),)
NO_MORE = ((HTTP_CODE, "204"),)
"""The one answer after which browsers do not come back."""


class InvalidLastEventIdError(InvalidArgumentError):
    """Last-Event-ID is none that was ever sent."""

    reason = "INVALID_LAST_EVENT_ID"

    def __init__(self) -> None:
        super().__init__("Last-Event-ID must be the id of an event of this order, a number.")


class OrderEventsServicer(order_events_pb2_grpc.OrderEventsServiceServicer):
    """Tells what happens to orders."""

    def __init__(self, *, feed: OrderFeed, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self._feed = feed
        self._heartbeat_seconds = heartbeat_seconds

    async def WatchOrder(self, request, context):
        """Stream the status changes of an order until it has come to its end."""
        authorization.require_user()
        last = _last_event_id(context)
        with self._feed.follow(request.id) as follower:
            changes = await follower.load()
            authorization.require_self_or_admin(follower.order.user_id)
            untold = [change for change in changes if change.sequence > last]
            if domain.is_over(follower.order) and not untold:
                await context.send_initial_metadata(NO_MORE)
                # Without any part, the edge would take the stream for JSON, and compress it.
                yield HttpBody(content_type=sse.CONTENT_TYPE)
                return
            await context.send_initial_metadata(UNCACHED)
            async for frame in self._frames(follower, untold):
                yield HttpBody(content_type=sse.CONTENT_TYPE, data=frame)

    async def _frames(
        self, follower: Follower, changes: Sequence[Order]
    ) -> AsyncGenerator[bytes, None]:
        """Yield what is written to a client, until the order, the instance or the time ends."""
        yield RETRY
        while True:
            for change in changes:
                yield _event(change)
            seconds = self._patience_seconds()
            if domain.is_over(follower.order) or self._feed.is_closed or seconds <= 0:
                return
            if not await follower.wait(seconds):
                yield KEEP_ALIVE
            changes = await follower.look()

    def _patience_seconds(self) -> float:
        """Return how long nothing may happen until a client gets a sign of life."""
        remaining = current().remaining_seconds()
        if remaining is None:
            return self._heartbeat_seconds
        return min(self._heartbeat_seconds, remaining - MARGIN_SECONDS)


def _last_event_id(context: ServicerContext) -> int:
    """Return the id of the last event that a client got; 0 for one that comes anew."""
    received = dict(context.invocation_metadata() or ())
    text = str(received.get("last-event-id") or "0")
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise InvalidLastEventIdError
    return int(text)


def _event(order: Order) -> bytes:
    """Return the event that says how an order stood; its place in the history is the id."""
    time = Timestamp()
    time.FromDatetime(order.updated_at)
    data = {"orderId": order.order_id, "status": order.status, "time": time.ToJsonString()}
    if order.tracking_number:
        data["trackingNumber"] = order.tracking_number
    return sse.event(event_id=order.sequence, name="status", data=data)

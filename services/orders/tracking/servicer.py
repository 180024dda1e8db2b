"""The gRPC service that streams an order's status changes as Server-Sent Events."""

import re
from collections.abc import AsyncGenerator, Sequence

import grpc
from google.api.httpbody_pb2 import HttpBody
from mamie_rosa.orders.v1 import order_events_pb2, order_events_pb2_grpc
from typing_extensions import override

from services.common.context import current
from services.common.errors import InvalidArgumentError
from services.common.rpc import authorization, sse
from services.common.rpc.status import HTTP_CODE
from services.common.rpc.timestamps import to_timestamp
from services.orders.domain import Order
from services.orders.tracking import domain
from services.orders.tracking.feed import OrderFeed, Subscription
from services.orders.tracking.quota import StreamQuota

HEARTBEAT_SECONDS = 15.0
DEADLINE_MARGIN_SECONDS = 1.0
"""How long before its deadline a stream ends by itself."""
RETRY = sse.retry(1_000)
KEEP_ALIVE = sse.comment("keep-alive")
NO_STORE = (("cache-control", "no-store"),)
NO_CONTENT = ((HTTP_CODE, "204"),)
"""The one answer after which a browser's EventSource does not reconnect."""


class InvalidLastEventIdError(InvalidArgumentError):
    """Last-Event-ID is not the id of an event."""

    reason = "INVALID_LAST_EVENT_ID"

    def __init__(self) -> None:
        super().__init__("Last-Event-ID must be the id of an event of this order, a number.")


class OrderEventsServicer(order_events_pb2_grpc.OrderEventsServiceServicer):
    """Streams the status changes of orders."""

    def __init__(
        self,
        *,
        feed: OrderFeed,
        quota: StreamQuota,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._feed = feed
        self._quota = quota
        self._heartbeat_seconds = heartbeat_seconds

    @override
    async def WatchOrder(
        self, request: order_events_pb2.WatchOrderRequest, context: grpc.aio.ServicerContext
    ) -> AsyncGenerator[HttpBody, None]:
        caller = authorization.require_user()
        last = _last_event_id(context)
        with self._quota.take(caller), self._feed.subscribe(request.id) as subscription:
            changes = await subscription.load()
            authorization.require_self_or_admin(subscription.order.user_id)
            unsent = [change for change in changes if change.sequence > last]
            if domain.is_terminal(subscription.order) and not unsent:
                await context.send_initial_metadata(NO_CONTENT)
                # Without any message, the edge would take the stream for JSON, and compress it.
                yield HttpBody(content_type=sse.CONTENT_TYPE)
                return
            await context.send_initial_metadata(NO_STORE)
            async for frame in self._frames(subscription, unsent):
                yield HttpBody(content_type=sse.CONTENT_TYPE, data=frame)

    async def _frames(
        self, subscription: Subscription, changes: Sequence[Order]
    ) -> AsyncGenerator[bytes, None]:
        """Yield frames until the order is terminal, the instance drains or the deadline is near."""
        yield RETRY
        while True:
            for change in changes:
                yield _to_frame(change)
            seconds = self._wait_seconds()
            if domain.is_terminal(subscription.order) or self._feed.is_closed or seconds <= 0:
                return
            if not await subscription.wait(seconds):
                yield KEEP_ALIVE
            changes = await subscription.read_changes()

    def _wait_seconds(self) -> float:
        """Return how long to wait for a change until the next keep-alive."""
        remaining = current().remaining_seconds()
        if remaining is None:
            return self._heartbeat_seconds
        return min(self._heartbeat_seconds, remaining - DEADLINE_MARGIN_SECONDS)


def _last_event_id(context: grpc.aio.ServicerContext) -> int:
    """Return the id of the last event that the client has received; 0 for none."""
    received = dict(context.invocation_metadata() or ())
    text = str(received.get("last-event-id") or "0")
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise InvalidLastEventIdError
    return int(text)


def _to_frame(order: Order) -> bytes:
    """Render an order's status as an event, whose id is the sequence number."""
    time = to_timestamp(order.updated_at).ToJsonString()
    data = {"orderId": order.order_id, "status": order.status, "time": time}
    if order.tracking_number:
        data["trackingNumber"] = order.tracking_number
    return sse.event(event_id=order.sequence, name="status", data=data)

"""The gRPC service that shows the orders of all customers to administrators."""

from datetime import timedelta

import grpc
from mamie_rosa.orders.v1 import shop_orders_pb2, shop_orders_pb2_grpc
from typing_extensions import override

from services.common.clock import Clock
from services.common.money import format_amount
from services.common.rpc import authorization, rest_hints
from services.common.rpc.timestamps import to_timestamp
from services.orders.overview.domain import Day, Filter, OpenDiscrepancy, Orders, day_start
from services.orders.overview.repository import ShopOrdersRepository
from services.orders.servicer import DEFAULT_LIMIT, render_order

CURRENCY = "EUR"


class ShopOrdersServicer(shop_orders_pb2_grpc.ShopOrdersServiceServicer):
    """Shows what happened today, and what waits for a person."""

    def __init__(self, *, orders: ShopOrdersRepository, clock: Clock) -> None:
        self._orders = orders
        self._clock = clock

    @override
    def GetDay(
        self, request: shop_orders_pb2.GetDayRequest, context: grpc.ServicerContext
    ) -> shop_orders_pb2.Day:
        authorization.require_admin()
        offset = timedelta(minutes=request.utc_offset_minutes)
        day = self._orders.count_day(day_start(self._clock(), offset))
        return rest_hints.revalidated(context, _render_day(day))

    @override
    def ListShopOrders(
        self, request: shop_orders_pb2.ListShopOrdersRequest, context: grpc.ServicerContext
    ) -> shop_orders_pb2.ListShopOrdersResponse:
        authorization.require_admin()
        found = self._find(request)
        response = shop_orders_pb2.ListShopOrdersResponse(
            orders=map(render_order, found.orders), total=found.total, page=request.page or 1
        )
        return rest_hints.revalidated(context, response)

    @override
    def ListDiscrepancies(
        self, request: shop_orders_pb2.ListDiscrepanciesRequest, context: grpc.ServicerContext
    ) -> shop_orders_pb2.ListDiscrepanciesResponse:
        authorization.require_admin()
        found, total = self._orders.list_discrepancies(request.limit or DEFAULT_LIMIT)
        response = shop_orders_pb2.ListDiscrepanciesResponse(
            discrepancies=map(_render_discrepancy, found), total=total
        )
        return rest_hints.revalidated(context, response)

    def _find(self, request: shop_orders_pb2.ListShopOrdersRequest) -> Orders:
        limit = request.limit or DEFAULT_LIMIT
        if request.number:
            return self._orders.find_by_number(request.number.lower(), limit=limit)
        which = Filter(shop_orders_pb2.ShopOrdersFilter.Name(request.filter))
        return self._orders.list_orders(which, page=request.page or 1, limit=limit)


def _render_day(day: Day) -> shop_orders_pb2.Day:
    return shop_orders_pb2.Day(
        since=to_timestamp(day.since),
        placed_count=day.placed_count,
        sold_count=day.sold_count,
        revenue=format_amount(day.revenue),
        currency=CURRENCY,
        to_ship_count=day.to_ship_count,
        stuck_count=day.stuck_count,
        discrepancy_count=day.discrepancy_count,
    )


def _render_discrepancy(found: OpenDiscrepancy) -> shop_orders_pb2.OpenDiscrepancy:
    return shop_orders_pb2.OpenDiscrepancy(
        kind=found.kind, order_id=found.order_id, found_at=to_timestamp(found.found_at)
    )
